"""Control groups of a lab: one folder per lab in every mounted hierarchy, one below it per host.

They give each host a hierarchy of its own, and they say which processes are the lab's: nothing else is ever
signalled.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from k8s_installer.errors import LabError
from k8s_installer.lab.processes import Process, identify, kill

_CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")


def hierarchies(mounts: str | None = None) -> list[Path]:
    """Return the mount points of all hierarchies, version 1 and 2, from the text of /proc/self/mounts."""
    text = Path("/proc/self/mounts").read_text(encoding="utf-8") if mounts is None else mounts
    fields = (line.split() for line in text.splitlines())
    return sorted({Path(field[1]) for field in fields if field[2] in {"cgroup", "cgroup2"}})


def controllers(mounts: str | None = None) -> set[str]:
    """Return the names of the version 1 controllers that are mounted."""
    text = Path("/proc/self/mounts").read_text(encoding="utf-8") if mounts is None else mounts
    fields = (line.split() for line in text.splitlines())
    return {option for field in fields if field[2] == "cgroup" for option in field[3].split(",")} - {"rw", "relatime"}


def make(lab: str, host: str) -> list[Path]:
    """Make the host's group in every hierarchy and return their `cgroup.procs`, to be joined before it boots.

    Raises:
        LabError: the kernel refused one.
    """
    joins: list[Path] = []
    for top in hierarchies():
        group = top / group_of(lab)
        for folder in (group, group / host):
            try:
                folder.mkdir(exist_ok=True)
                _inherit_cpuset(folder)
            except OSError as error:
                raise LabError(f"cannot create the control group {folder}: {error.strerror}") from error
        joins.append(group / host / "cgroup.procs")
    return joins


def group_of(lab: str) -> str:
    """Return the name of a lab's group."""
    return f"lab-{lab}"


def processes(lab: str) -> list[Process]:
    """Return every process in a lab's groups, nested ones (pods) included."""
    numbers: set[int] = set()
    for top in hierarchies():
        for procs in (top / group_of(lab)).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):  # the group or its process has just gone
                numbers.update(int(line) for line in procs.read_text(encoding="ascii").split() if line != "0")
    return [process for number in sorted(numbers) if (process := identify(number))]


def stop(lab: str, seconds: float = 20.0) -> None:
    """Kill everything in a lab's groups.

    Raises:
        LabError: something is still there after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while left := processes(lab):
        if time.monotonic() > deadline:
            names = ", ".join(str(process.pid) for process in left)
            raise LabError(f"processes of lab {lab} do not exit: {names}")
        kill(left)
        time.sleep(0.05)


def remove(lab: str, seconds: float = 10.0) -> None:
    """Remove a lab's groups, the deepest first; they must hold no process any more.

    Raises:
        LabError: the kernel still holds one after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while left := [folder for top in hierarchies() for folder in _folders(top / group_of(lab))]:
        for folder in left:
            with contextlib.suppress(OSError):  # a dying process holds it a little longer
                folder.rmdir()
        if any(folder.exists() for folder in left):
            if time.monotonic() > deadline:
                raise LabError(f"cannot remove the control group {left[-1]}")
            time.sleep(0.05)


def exists(lab: str) -> bool:
    """Tell whether a lab of this name has a group in any hierarchy."""
    return any((top / group_of(lab)).is_dir() for top in hierarchies())


def _folders(top: Path) -> list[Path]:
    if not top.is_dir():
        return []
    below = [path for path in top.rglob("*") if path.is_dir()]
    return [*sorted(below, key=lambda path: len(path.parts), reverse=True), top]


def _inherit_cpuset(folder: Path) -> None:
    """A new cpuset has no processors and nothing can join it; give it its parent's."""
    for name in _CPUSET_FILES:
        own = folder / name
        if own.exists() and not own.read_text(encoding="ascii").strip():
            own.write_text((folder.parent / name).read_text(encoding="ascii"), encoding="ascii")
