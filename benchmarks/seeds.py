"""Hosts that are as an inventory wants them without a run that made them so: thousands would take an hour to bring up.

What a run would have written is written here, as layers for the hosts' disks: one for what is the same on all, and a
folder for each host's own. That it is what the inventory wants, `plan` says by finding nothing to do.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from k8s_installer.flows.resolve import real_keys, resolve
from k8s_installer.host.addons import APPLIED
from k8s_installer.host.paths import ADDONS
from k8s_installer.host.placed import PATH as RECORD
from k8s_installer.host.placed import line
from k8s_installer.model.desired import by_host
from k8s_installer.model.resources import Data, File, Kind, Ref, Setting, Unit
from k8s_installer.planning.make import readers
from k8s_installer.planning.records import lines

_UNITS = "var/lib/systemctl"


@dataclass(frozen=True, slots=True)
class Seeds:
    """`common` is a layer of all hosts, `own` has a folder for each by its number."""

    common: Path
    own: Path


def seeds(folder: Path, inventory: Path, layer: Path) -> Seeds:
    """Write the layers of a cluster whose hosts are named in order; `layer` has its users in etc/passwd."""
    desired = resolve(inventory, None, real_keys).desired
    ids = _numbers(layer, "passwd"), _numbers(layer, "group")
    found = Seeds(folder / "common", folder / "own")
    hosts = {name: str(number) for number, name in enumerate(dict.fromkeys(ref.host for ref in desired), start=1)}
    files = ((ref.name, id(item.resource)) for ref, item in desired.items() if isinstance(item.resource, File))
    everywhere = Counter(files)  # the same object on every host
    units = Counter(ref.name for ref, item in desired.items() if isinstance(item.resource, Unit))
    for name in hosts.values():
        (found.own / name).mkdir(parents=True)
    for ref, item in desired.items():
        root = found.own / hosts[ref.host]
        match item.resource:
            case File() as file:
                shared = everywhere[ref.name, id(file)] == len(hosts)
                _write(found.common if shared else root, ref.name, file, ids)
            case Setting() if ref.name.startswith("addon "):
                name = ref.name.removeprefix("addon ")
                manifest = desired[Ref(ref.host, Kind.FILE, f"{ADDONS}/{name}")].resource
                if isinstance(manifest, File):
                    _write(root, f"{APPLIED}/{name}", manifest, ids)
            case Data():
                _touch(root / ref.name.lstrip("/") / "0000000000000000-0000000000000000.wal")
    _touch(found.common / _UNITS / ".reloaded")
    started = int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6) + 1_000_000
    for ref, item in desired.items():
        if isinstance(item.resource, Unit):
            root = found.common if units[ref.name] == len(hosts) else found.own / hosts[ref.host]
            _touch(root / _UNITS / ref.name, f"active running enabled {started} 1\n")
    for host, items in by_host(desired).items():
        read_by = readers((item.ref, item.resource) for item in items)
        placed = "".join(f"{line(entry)}\n" for item in items for entry in lines(item, None, read_by))
        _touch(found.own / hosts[host] / RECORD.lstrip("/"), placed)
    return found


def _write(root: Path, path: str, file: File, ids: tuple[Mapping[str, int], Mapping[str, int]]) -> None:
    target = root / path.lstrip("/")
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(file.content)
    target.chmod(file.mode)
    users, groups = ids
    os.chown(target, users[file.owner], groups[file.group])


def _touch(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


def _numbers(layer: Path, kind: str) -> dict[str, int]:
    """The numbers of users (passwd) or groups."""
    lines = (layer / "etc" / kind).read_text(encoding="ascii").splitlines()
    return {name: int(number) for name, _, number, *_ in (line.split(":") for line in lines)}
