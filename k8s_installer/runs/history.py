"""Which runs a rollback undoes, and what there was before them. Pure.

A rollback goes back, never forward: `apply` does that, for the inventory still asks for what was undone. So one that
did not finish is resumed, and one that is typed after one that did goes a run further back. A run that died is part of
the run that came after it, which did the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from k8s_installer.model.plan import Action
from k8s_installer.model.resources import Backup, Kind, Ref, SeenFile, SeenPackage, SeenSetting, SeenUnit
from k8s_installer.planning.rollback import PastFile, PastItem, PastLeftovers, PastPackage, PastSetting, PastUnit
from k8s_installer.runs.journal import Past, PastChange

DONE = "done"  # how a run ends that did all that it was to do


def to_undo(runs: Sequence[Past]) -> tuple[Past, ...]:
    """The runs that a rollback typed now undoes, the newest first; none if there is nothing to undo.

    Args:
        runs: all that are known, the newest first.
    """
    found: list[Past] = []
    undone: set[str] = set()
    resumed: set[str] = set()
    for run in runs:
        if run.undoes and run.result == DONE:
            undone.update(run.undoes)
        elif run.undoes and run is runs[0]:
            return tuple(past for past in runs if past.run in run.undoes)
        elif run.undoes:  # it broke off, and the run after it went forward again
            resumed.update(run.undoes)
        elif run.run not in undone:
            if found and run.ended and run.run not in resumed:
                break
            found.append(run)
    return tuple(found)


def first_starts(run: Past) -> Iterator[Ref]:
    """The services that a run started for the first time; one that was down or had failed ran before, and is none."""
    for change in run.touched():
        found = change.before
        ran = isinstance(found, SeenUnit) and (found.enabled or found.started_at > 0)
        if change.action is Action.START and not ran:
            yield change.ref


def before(runs: Sequence[Past]) -> tuple[PastItem, ...]:
    """What was before these runs (the newest first), where they changed or removed it: what the oldest of them saw."""
    found: dict[object, PastItem] = {}
    for run in runs:
        for change in run.touched():
            item = _item(change)
            if item is not None:
                found[change.ref] = item
            for entry in change.forgets:
                if entry.kind is Kind.LEFTOVERS:
                    ref = Ref(change.ref.host, entry.kind, entry.name)
                    found[ref] = PastLeftovers(ref, entry)
    return tuple(found.values())


def _item(change: PastChange) -> PastItem | None:
    seen, ref, entry = change.before, change.ref, next(iter(change.forgets), None)
    if ref.kind is Kind.FILE:
        kept = _kept(change)
        return PastFile(ref, kept, change.component, change.after is None and kept is not None, entry)
    if isinstance(seen, SeenSetting):
        return PastSetting(ref, seen.value, entry)
    if change.action in (Action.STOP, Action.DISABLE) and isinstance(seen, SeenUnit):
        return PastUnit(ref, seen.is_active, seen.enabled, change.component, entry)
    if change.action is Action.UNINSTALL and isinstance(seen, SeenPackage):
        return PastPackage(ref, f"{seen.version}-{seen.release}", change.component, entry)
    return None


def _kept(change: PastChange) -> Backup | None:
    seen = change.before
    return Backup(seen.sha256, seen.mode, seen.owner, seen.group, change.secret) if isinstance(seen, SeenFile) else None
