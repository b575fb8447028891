"""What hosts answered the last time, in a file beside the cluster's keys: never needed, and never believed blindly.

A host compares the stamps of what is remembered with what it has (see `observe`), so an old, broken or missing file
costs time and nothing else.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from k8s_installer.host.observe import HostCache
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # text that cannot be sent; a path beyond U+FFFF is looked at again
_LARGEST = 256 << 20  # bytes; thousands of hosts take less


def load(path: Path) -> dict[str, HostCache]:
    """The memory of each host by name; empty where it cannot be read."""
    try:
        text = userfile.content(path, _LARGEST).decode()
        if _SURROGATE.search(text):
            return {}
        return {host: _memory(kept) for host, kept in json.loads(text).items()}
    except (UnreadableError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _memory(kept: Mapping[str, Any]) -> HostCache:
    """The memory of a host from JSON; raises TypeError where a value is no text."""
    sums = {name: (_text(stamp), _text(digest)) for name, (stamp, digest) in kept["sums"].items()}
    record = tuple(map(_text, kept.get("record", ())))
    packages = tuple(map(_text, kept["packages"]))
    return HostCache(sums, _text(kept["database"]), packages, _text(kept.get("record_stamp", "")), record)


def _data(memory: HostCache) -> dict[str, Any]:
    return {field.name: getattr(memory, field.name) for field in fields(memory)}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def save(path: Path, hosts: Mapping[str, HostCache]) -> None:
    """Keep it for the next time; where that cannot be, the next time is a first time."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # not `json.dump`, which encodes in Python
            file.write(json.dumps({host: _data(memory) for host, memory in hosts.items()}))
        new.replace(path)
