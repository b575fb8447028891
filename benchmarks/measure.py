"""One timed run of a program, and what many of them come to."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
_KEPT_LINES = 15


class BenchmarkError(Exception):
    """The benchmark cannot run, or a row does not count: the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Run:
    """A program that has ended: wall clock and processor seconds, peak memory in MiB, and all that it said.

    `threads` and `files` are the most that it was seen to have at the same time, by a look four times in a second.
    """

    argv: tuple[str, ...]
    seconds: float
    cpu: float
    peak: float
    status: int
    stdout: str
    stderr: str
    threads: int = 0
    files: int = 0

    def require(self, status: int = 0, *, why: str = "") -> Run:
        """Return itself, or raise BenchmarkError where the program ended in another way."""
        if self.status != status:
            tail = "\n".join(f"{self.stdout}\n{self.stderr}".strip().splitlines()[-_KEPT_LINES:])
            said = f": {why}" if why else ""
            raise BenchmarkError(f"{' '.join(self.argv)}: exit {self.status}, not {status}{said}\n{tail}")
        return self


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 3600,
    core: bool = False,
) -> Run:
    """Run a program to its end, without a terminal, and time it.

    Args:
        argv: the program and its arguments.
        env: more environment, over this process's own.
        cwd: the folder it runs in.
        timeout: seconds after which it is killed and BenchmarkError is raised.
        core: keep it on one core.
    """
    words = tuple(str(word) for word in argv)
    pinned = ("taskset", "-c", str(min(os.sched_getaffinity(0)))) if core else ()
    with tempfile.TemporaryDirectory() as folder:
        report, out, err = (Path(folder) / name for name in ("report", "out", "err"))
        timed = [*pinned, sys.executable, "-I", "-S", str(HERE / "timed.py"), str(report), *words]
        with out.open("wb") as to_out, err.open("wb") as to_err:
            try:
                subprocess.run(
                    timed, stdin=subprocess.DEVNULL, stdout=to_out, stderr=to_err, check=False, cwd=cwd,
                    timeout=timeout, env={**os.environ, "NO_COLOR": "1", "COLUMNS": "160", **(env or {})},
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise BenchmarkError(f"{' '.join(words)}: no end after {timeout:.0f} s") from None
        if not report.exists():
            raise BenchmarkError(f"{' '.join(words)}: did not start: {err.read_text(errors='replace').strip()}")
        seconds, cpu, peak, *counts = (float(word) for word in report.read_text(encoding="ascii").split())
        status, threads, files = map(int, counts)
        stdout, stderr = (path.read_text(encoding="utf-8", errors="replace") for path in (out, err))
        return Run(words, seconds, cpu, peak / 1024, status, stdout, stderr, threads, files)


@dataclass(frozen=True, slots=True)
class Figures:
    """What the runs of one row on so many hosts came to."""

    row: str
    hosts: int
    seconds: tuple[float, ...]
    cpu: tuple[float, ...]
    peak: float
    threads: int = 0
    files: int = 0

    @classmethod
    def of(cls, row: str, hosts: int, runs: Sequence[Run]) -> Figures:
        """The figures of these runs."""
        return cls(
            row,
            hosts,
            tuple(run.seconds for run in runs),
            tuple(run.cpu for run in runs),
            max(run.peak for run in runs),
            max(run.threads for run in runs),
            max(run.files for run in runs),
        )

    @property
    def median(self) -> float:
        """The median of the wall clock's seconds."""
        return statistics.median(self.seconds)

    def data(self) -> dict[str, object]:
        """For JSON."""
        return {
            "row": self.row, "hosts": self.hosts, "median_seconds": round(self.median, 4),
            "seconds": [round(value, 4) for value in self.seconds],
            "median_cpu_seconds": round(statistics.median(self.cpu), 4), "peak_mib": round(self.peak, 1),
            "most_threads": self.threads, "most_files": self.files,
        }  # fmt: skip
