"""The edges of the order; some depend on what hosts have, for what must come first in a running cluster. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from k8s_installer.errors import InstallerError
from k8s_installer.model.desired import Ahead, Desired, DesiredResource
from k8s_installer.model.resources import File, Kind, Ref, Seen, SeenFile, SeenSetting, Setting, Unit, runs


def edges(desired: Desired, seen: Mapping[Ref, Seen]) -> dict[Ref, tuple[Ref, ...]]:
    """What everything comes after: as it says itself, but for what goes ahead in a cluster that runs (`Ahead`)."""
    result = {ref: wanted.after for ref, wanted in desired.items()}
    for ref, wanted in desired.items():
        if clears := clearing(wanted, desired):
            result[ref] = (*wanted.after, *clears)
        if wanted.ahead is not None and _goes_ahead(wanted.ahead, desired, seen):
            result[wanted.ahead.manifest] = ()
            for file in wanted.ahead.files:
                if file in desired:
                    result[file] = (*result[file], ref)
    return result


def clearing(wanted: DesiredResource, among: Container[Ref]) -> tuple[Ref, ...]:
    """The units among these that take away what a unit has made."""
    if not isinstance(wanted.resource, Unit) or not wanted.resource.cleared_by:
        return ()
    refs = (Ref(wanted.ref.host, Kind.UNIT, name) for name in wanted.resource.cleared_by)
    return tuple(ref for ref in refs if ref in among)


def _goes_ahead(ahead: Ahead, desired: Desired, seen: Mapping[Ref, Seen]) -> bool:
    unit = seen.get(ahead.unit)
    return runs(unit) and any(_changes(ref, desired, seen) for ref in ahead.files)


def _changes(ref: Ref, desired: Desired, seen: Mapping[Ref, Seen]) -> bool:
    """Whether a host has a file that will be replaced."""
    found, wanted = seen.get(ref), desired.get(ref)
    if wanted is None or not isinstance(wanted.resource, File) or not isinstance(found, SeenFile):
        return False
    return found.sha256 != wanted.resource.sha256


def evidence(whole: Desired, part: Desired) -> Desired:
    """What must be looked at besides a part of the whole: the addons that files of the part need, where it has none."""
    return {addon: whole[addon] for addon, _ in _left_out(whole, part)}


def require_ahead(whole: Desired, seen: Mapping[Ref, Seen], part: Desired) -> None:
    """Stop where a part would replace files whose programs need an addon that is in the other part.

    Raises:
        InstallerError: such an addon is not in the cluster yet; it says which files need it.
    """
    for addon, ahead in _left_out(whole, part):
        files = [ref for ref in ahead.files if _changes(ref, part, seen)]
        applied, found = whole[addon].resource, seen.get(addon)
        if files and not (isinstance(applied, Setting) and found == SeenSetting(applied.value)):
            name = addon.name.partition(" ")[2]
            lines = [f"  {ref.host}: {ref.name}" for ref in files]
            raise InstallerError(
                "\n".join(
                    [f"these files need the addon {name}, which is not applied yet; nothing was changed:", *lines]
                ),
                hint=f"{whole[ahead.manifest].because}\n"
                f"let --limit include {addon.host} and --only include {whole[addon].component}, or leave both out: "
                "then the addon is applied first",
            )


def _left_out(whole: Desired, part: Desired) -> Iterator[tuple[Ref, Ahead]]:
    """The addons that the part has not, and that files of it need."""
    if part is not whole:
        for ref, wanted in whole.items():
            if wanted.ahead is not None and ref not in part and any(file in part for file in wanted.ahead.files):
                yield ref, wanted.ahead
