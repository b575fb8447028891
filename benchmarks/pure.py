"""The pure part on one core: `python pure.py INVENTORY`, from the file to an empty plan.

The hosts' answers are made up here, equal to what is wanted, and their making counts: they are as large as real ones.
Keys are placeholders, as `render` has them: to make thousands of keys is no part of a plan.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from k8s_installer.flows.resolve import resolve
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import (
    Absent,
    Data,
    File,
    Gate,
    Kind,
    Missing,
    Package,
    Placed,
    Record,
    Ref,
    Seen,
    SeenFile,
    SeenPackage,
    SeenRecord,
    SeenSetting,
    SeenUnit,
    Setting,
    Unit,
    UploadedFile,
)
from k8s_installer.planning.make import make_plan

_WRITTEN, _STARTED = 1000.0, 2000.0


def main() -> None:
    """Print the seconds of each step; exit 1 where the plan is not empty."""
    began = time.monotonic()
    desired = resolve(Path(sys.argv[1]), None, None).desired
    wanted = time.monotonic()
    seen = answers(desired)
    answered = time.monotonic()
    plan = make_plan(desired, seen)
    ended = time.monotonic()
    steps = {"desired": wanted - began, "answers": answered - wanted, "plan": ended - answered}
    print(json.dumps(steps))
    sys.exit(1 if plan else 0)


def answers(desired: Desired) -> dict[Ref, Seen]:
    """What hosts would answer that are just as they should be."""
    seen: dict[Ref, Seen] = {}
    for ref, wanted in desired.items():
        match wanted.resource:
            case File() | UploadedFile() as file:
                seen[ref] = SeenFile(file.sha256, file.mode, file.owner, file.group, _WRITTEN)
            case Package() as package:
                seen[ref] = SeenPackage(package.version or "1", "1", _WRITTEN)
            case Unit():
                seen[ref] = SeenUnit("loaded", "active", "running", True, 1, _STARTED, False)  # noqa: FBT003
            case Data():
                seen[ref] = SeenFile("", 0o600, "etcd", "etcd", _WRITTEN)
            case Setting() as setting:
                seen[ref] = SeenSetting(setting.value)
            case Absent():
                seen[ref] = Missing.ABSENT
            case Record():
                seen[ref] = SeenRecord(recorded(desired, ref.host))
            case Gate():
                pass
            case other:
                raise TypeError(f"{ref}: no answer is made up yet for a {type(other).__name__}")
    return seen


def recorded(desired: Desired, host: str) -> tuple[Placed, ...]:
    """The record of a host on which all this was placed."""
    readers: dict[str, tuple[str, ...]] = {}
    for ref, wanted in desired.items():
        if ref.host == host and isinstance(wanted.resource, Unit):
            for path in (*wanted.resource.defined_by, *wanted.resource.reads):
                readers[path] = (*readers.get(path, ()), ref.name)
    return tuple(
        Placed(
            ref.kind,
            ref.name,
            wanted.component,
            wanted.turn.group,
            units=readers.get(ref.name, ()),
            sha256=getattr(wanted.resource, "sha256", ""),
        )
        for ref, wanted in desired.items()
        if ref.host == host and ref.kind in (Kind.FILE, Kind.PACKAGE, Kind.UNIT)
    )


if __name__ == "__main__":
    main()
