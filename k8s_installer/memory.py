"""What hosts answered the last time, in a file beside the cluster's keys: never needed, and never believed blindly.

A host compares the stamps of what is remembered with what it has (see `observe`), so an old, broken or missing file
costs time and nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from k8s_installer import userfile
from k8s_installer.observe import Memory
from k8s_installer.userfile import UnreadableError

_LARGEST = 256 << 20  # bytes; thousands of hosts take less


def load(path: Path) -> dict[str, Memory]:
    """The memory of each host by name; empty where it cannot be read."""
    try:
        hosts = json.loads(userfile.content(path, _LARGEST))
        return {
            host: Memory(
                {name: (stamp, digest) for name, (stamp, digest) in kept["sums"].items()},
                kept["database"],
                tuple(kept["packages"]),
            )
            for host, kept in hosts.items()
        }
    except (UnreadableError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def save(path: Path, hosts: Mapping[str, Memory]) -> None:
    """Keep it for the next time; where that cannot be, the next time is a first time."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({host: asdict(memory) for host, memory in hosts.items()}, file)
        new.replace(path)
