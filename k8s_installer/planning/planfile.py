"""A plan as a file: what it said, and whether it still says so. Pure; no content of a file is in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from k8s_installer.errors import InputError
from k8s_installer.model.desired import Desired
from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import (
    Absent,
    Backup,
    File,
    NoLeftovers,
    NoPackage,
    Original,
    Package,
    Record,
    SeenFile,
    SeenLeftovers,
    SeenPackage,
    SeenRecord,
    SeenSetting,
    SeenUnit,
    Setting,
    UploadedFile,
)
from k8s_installer.untrusted.visible import json_text

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Saved:
    """A plan that was saved: the digest of what was wanted, and one line for each change with its before and after."""

    cluster: str
    digest: str
    lines: tuple[str, ...]


def digest(desired: Desired) -> str:
    """One sum over everything wanted: inventory, profile, templates and keys have all gone into it."""
    lines = (
        f"{ref} {wanted.resource!r} {getattr(wanted.resource, 'sha256', '')} {[str(before) for before in wanted.after]}"
        for ref, wanted in sorted(desired.items())
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def saved(cluster: str, desired: Desired, plan: Plan) -> Saved:
    """What there is to save of a plan."""
    return Saved(cluster, digest(desired), lines(plan))


def lines(plan: Plan) -> tuple[str, ...]:
    """The changes of a plan in its order: what on which host, from which state to which; contents as sums."""
    return tuple(
        f"{change.ref.host} {change.action} {change.ref.kind} {change.ref.name}: "
        f"{_state(change.before)} -> {_state(change.after)}"
        for change in plan.changes
    )


def dump(plan: Saved, shown: Mapping[str, object]) -> str:
    """The text of a plan file; `shown` is the plan for people and other programs, which `load` does not need."""
    head = {"format": FORMAT, "cluster": plan.cluster, "digest": plan.digest, "lines": plan.lines}
    return json_text({**shown, **head}, indent=2) + "\n"


def load(text: str, file: str) -> Saved:
    """Read a plan file.

    Raises:
        InputError: it is none, or of another format.
    """
    try:
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise InputError(f"{file}: a plan of format {data['format']}; this version reads {FORMAT}")
        return Saved(str(data["cluster"]), str(data["digest"]), tuple(map(str, data["lines"])))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{file}: not a saved plan", hint="`plan -o FILE.json` saves one") from None


def differences(old: Saved, new: Saved) -> list[str]:
    """Why a saved plan no longer holds, in words; empty where it still does."""
    if old.cluster != new.cluster:
        return [f"it was made for cluster {old.cluster}, but the inventory is for {new.cluster}"]
    before, now = frozenset(old.lines), frozenset(new.lines)
    moved = [f"no longer:  {line}" for line in old.lines if line not in now]
    moved += [f"now also:   {line}" for line in new.lines if line not in before]
    if not moved and old.lines != new.lines:
        return ["its changes have a different order"]
    if not moved and old.digest != new.digest:
        return ["the inventory, a template or a key has changed since it was made"]
    return moved


def _state(value: object) -> str:
    match value:
        case SeenFile() | File() | UploadedFile() | Backup():
            words = f"{value.sha256[:16]} {value.mode:04o} {value.owner}:{value.group}"
        case SeenPackage() | Package():
            words = value.version or "any version"
        case SeenUnit():
            words = f"{value.active} {'enabled' if value.enabled else 'disabled'}"
        case SeenSetting() | Setting():
            words = value.value
        case SeenLeftovers():
            words = " ".join(value.names)
        case Record() | SeenRecord():
            words = f"{len(value.entries)} entries"
        case Absent() | Original() | NoPackage() | NoLeftovers():
            words = "absent"
        case _:
            words = str(getattr(value, "value", "wanted"))
    return words
