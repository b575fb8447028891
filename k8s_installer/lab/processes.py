"""Processes of a lab, known by number and start time: a number alone may belong to someone else by now."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from k8s_installer.errors import LabError
from k8s_installer.lab.commands import run

# The background child is no leader of a group, so setsid need not fork: its number is that of the program
_JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 1; shift; done; shift; exec "$@"'
_DETACH = f'setsid /bin/sh -c \'{_JOIN}\' join "$@" < /dev/null >> "$0" 2>&1 & echo $!'
_STATE, _START_TIME = 0, 19  # of the fields after the program's name in /proc/PID/stat (proc(5))


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `start` is in clock ticks since boot."""

    pid: int
    start: int


def identify(pid: int, proc: Path = Path("/proc")) -> Process | None:
    """Return the process that has this number now, or None; a zombie counts as none."""
    try:
        stat = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[_STATE] in "ZX" else Process(pid, int(fields[_START_TIME]))


def alive(process: Process | None) -> bool:
    """Tell whether this very process still runs."""
    return process is not None and identify(process.pid) == process


def detach(argv: Sequence[str], *, log: Path, join: Sequence[Path], env: Mapping[str, str] | None = None) -> Process:
    """Start a program that outlives this one, as no child of it, and return its process.

    Args:
        argv: the program and its arguments.
        log: the file that its output is added to.
        join: the `cgroup.procs` of the control groups that it and its children belong to from the start.
        env: its whole environment, or None for this process's own.

    Raises:
        LabError: it did not start; the message has the end of its log.
    """
    groups = [str(path) for path in join]
    started = run(["/bin/sh", "-c", _DETACH, str(log), *groups, "--", *argv], env=env, cwd=Path("/"))
    process = identify(int(started))
    if process is None:
        said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
        raise LabError("\n".join([f"{argv[0]} exited at once", *said]))
    return process


def kill(processes: Iterable[Process], sig: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to those that still are the processes they were."""
    for process in processes:
        if alive(process):
            try:
                os.kill(process.pid, sig)
            except ProcessLookupError:
                continue


def wait_gone(processes: Iterable[Process], seconds: float) -> list[Process]:
    """Wait until all have ended, and return those that have not after `seconds`."""
    left = list(processes)
    deadline = time.monotonic() + seconds
    while left := [process for process in left if alive(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return left
