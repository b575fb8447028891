"""The other tools, in a virtual environment of their own, and what this run was made with."""

from __future__ import annotations

import compileall
import json
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.measure import REPOSITORY, run

_FOLDER = REPOSITORY / ".venv-bench"
_VERSIONS = "import json; from importlib.metadata import version as v; print(json.dumps({n: v(n) for n in %r}))"
PEERS = ("pyinfra", "ansible-core")


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs of the group `bench` of pyproject.toml."""

    folder: Path

    def program(self, name: str) -> Path:
        """Where a program is."""
        return self.folder / "bin" / name


def tools() -> Tools:
    """The environment with the other tools, made where it is not there or older than pyproject.toml."""
    done, wanted = _FOLDER / ".done", REPOSITORY / "pyproject.toml"
    found = Tools(_FOLDER)
    if not done.exists() or done.stat().st_mtime < wanted.stat().st_mtime:
        run([sys.executable, "-m", "venv", _FOLDER]).require(0)
        (_FOLDER / ".gitignore").write_text("*\n", encoding="ascii")
        pip: list[str | Path] = [found.program("python"), "-m", "pip", "install", "--quiet"]
        # pip of Debian 12 knows no dependency groups, so it is renewed first
        run([*pip, "--upgrade", "pip"], cwd=REPOSITORY).require(0, why="is the package index reachable?")
        run([*pip, "--group", "bench"], cwd=REPOSITORY).require(0, why="is the package index reachable?")
        done.touch()
    return found


def compiled() -> None:
    """Compile our own modules, as pip has compiled those of the others: the first run of a checkout is not measured."""
    compileall.compile_dir(REPOSITORY / "k8s_installer", quiet=2)


def versions(found: Tools | None) -> dict[str, str]:
    """Of all that is measured."""
    own = {name: version(name) for name in ("k8s-installer", "paramiko", "fabric")}
    if found is None:
        return own
    peers = run([found.program("python"), "-c", _VERSIONS % (PEERS,)]).require(0).stdout
    return {**own, **json.loads(peers)}


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    model = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [int(line.split()[1]) // 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    return {
        "cpu": model[0] if model else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": memory[0] if memory else 0,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
