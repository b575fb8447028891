"""The edges of the order; some depend on what hosts have, for what must come first in a running cluster. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from k8s_installer.desired.model import Ahead, Desired
from k8s_installer.resources import File, Ref, Seen, SeenFile, SeenUnit


def edges(desired: Desired, seen: Mapping[Ref, Seen]) -> dict[Ref, tuple[Ref, ...]]:
    """What everything comes after: as it says itself, but for what goes ahead in a cluster that runs (`Ahead`)."""
    result = {ref: wanted.after for ref, wanted in desired.items()}
    for ref, wanted in desired.items():
        if wanted.ahead is not None and _goes_ahead(wanted.ahead, desired, seen):
            result[wanted.ahead.manifest] = ()
            for file in wanted.ahead.files:
                if file in desired:
                    result[file] = (*result[file], ref)
    return result


def _goes_ahead(ahead: Ahead, desired: Desired, seen: Mapping[Ref, Seen]) -> bool:
    unit = seen.get(ahead.unit)
    return (
        isinstance(unit, SeenUnit)
        and unit.active == "active"
        and any(_changes(ref, desired, seen) for ref in ahead.files)
    )


def _changes(ref: Ref, desired: Desired, seen: Mapping[Ref, Seen]) -> bool:
    """Whether a host has a file that will be replaced."""
    found, wanted = seen.get(ref), desired.get(ref)
    if wanted is None or not isinstance(wanted.resource, File) or not isinstance(found, SeenFile):
        return False
    return found.sha256 != wanted.resource.sha256
