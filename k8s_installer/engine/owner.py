"""Who runs this program, in words for others, and whether a process of ours still lives."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lock: `alice@laptop/3f2a91`, and the process there.

    Behind the slash is what tells processes apart whose numbers are the same: the machine's boot, and the
    container if there is one.
    """

    name: str
    pid: int


def this_process() -> Owner:
    """The user, machine and process that run this program."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        user = f"uid-{os.getuid()}"
    return Owner(f"{user}@{platform.node() or 'unknown'}{_here()}", os.getpid())


def is_dead(other: Owner, me: Owner) -> bool:
    """Whether `other` was a process beside `me` that is no more, as kill -9 leaves a lock behind.

    False also where nothing can be known: another user, another machine, another boot.
    """
    if other.name != me.name or "/" not in me.name:
        return False
    with suppress(PermissionError):
        try:
            os.kill(other.pid, 0)
        except ProcessLookupError:
            return True
    return False


def _here() -> str:
    """A short name for this boot of this machine and this space of process numbers; empty where it has none."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        space = str(Path("/proc/self/ns/pid").readlink())
        return "/" + hashlib.sha256(f"{boot}{space}".encode()).hexdigest()[:6]
    return ""
