"""The plan, as a value: what will change, in which order, and why. Pure: nothing here touches a host."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from k8s_installer.errors import InstallerError
from k8s_installer.host.statedir import MOST_KEPT, NOT_KEPT, RUNS_KEPT
from k8s_installer.model.desired import Desired, Place, Turn
from k8s_installer.model.graph import nearest, ordered
from k8s_installer.model.groups import GROUPS, Group
from k8s_installer.model.plan import INTERRUPTING, UNDATED, Action, Change, Plan
from k8s_installer.model.resources import (
    Gate,
    Kind,
    Missing,
    Original,
    Ref,
    Resource,
    Seen,
    SeenFile,
    Unit,
)
from k8s_installer.planning.differences import as_change, changes_of
from k8s_installer.planning.order import clearing
from k8s_installer.planning.order import edges as edges_of
from k8s_installer.planning.turns import QUARTER, Batch, owners, serialize, widths

_IN_THE_WAY = "only what can be restored is changed: move each of these out of the way, then plan again"
_TOO_FAR_BACK = (
    f"a host keeps what its last {RUNS_KEPT} runs replaced, up to {MOST_KEPT >> 30} GB, and this is older: "
    "set what you want in the inventory or in templates/, then run k8s-installer apply"
)


def make_plan(
    desired: Desired,
    seen: Mapping[Ref, Seen],
    batch: Batch = QUARTER,
    groups: Mapping[str, Group] = GROUPS,
    idle: Collection[Ref] = (),
) -> Plan:
    """Compare what is wanted with what was seen.

    Args:
        desired: every resource by name, with its edges.
        seen: what the hosts answered, for every package, file, unit and setting that is wanted.
        batch: how many nodes may restart something at the same time.
        groups: who takes turns with whom.
        idle: units that serve nobody as they are: their restarts wait for no turn (`renewal.serving_nobody`).

    Raises:
        InstallerError: something wanted is unknown, and a plan over guesses is no plan; or something that would change
            could not be put back.
    """
    _require_reversible(desired, seen)
    edges = edges_of(desired, seen)
    order = ordered(desired, edges)
    steps: dict[Ref, list[Change]] = {}
    for ref in order:
        changes = [] if desired[ref].place is Place.OPENS else list(changes_of(desired[ref], seen, steps))
        if changes:
            steps[ref] = changes
    if not steps:
        return Plan((), ())
    restarting = _interrupting(steps, desired).difference(idle)
    if restarting:
        steps = _enclosed(steps, {desired[ref].turn for ref in restarting}, desired, order, seen)
    before = nearest(steps, order, edges)
    turns = {ref: desired[ref].turn for ref in steps}
    if restarting:
        turns = owners(before, turns, groups)
    places = {ref: desired[ref].place for ref in steps if desired[ref].place is not Place.WITHIN}
    before = serialize(before, turns, places, restarting, widths(desired, batch, groups), groups)
    steps = _with_readers(steps, desired)
    return _numbered({ref: steps[ref] for ref in ordered(steps, before)}, before, turns)


def _interrupting(steps: Mapping[Ref, list[Change]], desired: Desired) -> set[Ref]:
    """What ends a process; not in a group that all members leave, for nobody is left there to take turns with."""
    found = {ref for ref, changes in steps.items() if any(change.action in INTERRUPTING for change in changes)}
    staying = {wanted.turn.group for wanted in desired.values() if not wanted.leaving} if found else set()
    return {ref for ref in found if desired[ref].turn.group in staying}


def _enclosed(
    steps: Mapping[Ref, list[Change]],
    turns: Collection[Turn],
    desired: Desired,
    order: Iterable[Ref],
    seen: Mapping[Ref, Seen],
) -> dict[Ref, list[Change]]:
    """The steps with what opens and closes these turns, whatever was seen of it."""
    words = {Place.OPENS: "before its services restart", Place.CLOSES: "after its services have restarted"}
    found = dict(steps)
    for ref in order:
        wanted = desired[ref]
        if wanted.place in words and wanted.turn in turns and ref not in found:
            action = Action.WAIT if isinstance(wanted.resource, Gate) else Action.SET
            found[ref] = [as_change(wanted, seen.get(ref, Missing.ABSENT), action, words[wanted.place])]
    return {ref: found[ref] for ref in order if ref in found}


def obstacle(ref: Ref, found: Seen | None) -> str:
    """Why there is no plan that changes this file and could be undone; empty if there is."""
    return found.obstacle if ref.kind is Kind.FILE and isinstance(found, SeenFile) else ""


def _require_reversible(desired: Desired, seen: Mapping[Ref, Seen]) -> None:
    told = [f"{ref.host}: {ref.name} {words}" for ref in desired if (words := obstacle(ref, seen.get(ref)))]
    if told:
        too_far, in_the_way = (any(line.endswith(NOT_KEPT) is lost for line in told) for lost in (True, False))
        hints = [_TOO_FAR_BACK] * too_far + [_IN_THE_WAY] * in_the_way
        raise InstallerError("\n".join(sorted(told)), hint="\n".join(hints))


def readers(
    resources: Iterable[tuple[Ref, Resource]], files: Collection[Ref] | None = None
) -> Mapping[Ref, tuple[str, ...]]:
    """The units among these that read each file, or are defined by it: of all files where `files` is None."""
    found: dict[Ref, tuple[str, ...]] = {}
    for ref, unit in resources:
        for path in (*unit.defined_by, *unit.reads) if isinstance(unit, Unit) else ():
            file = Ref(ref.host, Kind.FILE, path)
            if files is None or file in files:
                found[file] = (*found.get(file, ()), ref.name)
    return found


def _with_readers(steps: Mapping[Ref, list[Change]], desired: Desired) -> dict[Ref, list[Change]]:
    """The steps, with the units that are due to restart after one of which no time tells afterwards."""
    undated = {ref for ref, changes in steps.items() if changes[0].action in UNDATED}
    cleared = _cleared(steps, desired)
    if not undated and not cleared:
        return dict(steps)
    resources = ((ref, wanted.resource) for ref, wanted in desired.items())
    by_file = {**readers(resources, undated), **cleared}
    undated |= cleared.keys()
    return {
        ref: [replace(change, readers=(*by_file.get(ref, ()), *_other_readers(change))) for change in changes]
        if ref in undated
        else changes
        for ref, changes in steps.items()
    }


def _other_readers(change: Change) -> tuple[str, ...]:
    return change.after.read_by if isinstance(change.after, Original) else ()


def _cleared(steps: Mapping[Ref, list[Change]], desired: Desired) -> dict[Ref, tuple[str, ...]]:
    """The units whose rules each of the steps takes away."""
    found: dict[Ref, tuple[str, ...]] = {}
    for ref, wanted in desired.items():
        for other in clearing(wanted, steps):
            found[other] = (*found.get(other, ()), ref.name)
    return found


def waits(desired: Desired, gates: Iterable[Ref]) -> Plan:
    """A plan that changes nothing and waits for these gates, each for itself."""
    changes = tuple(as_change(desired[ref], Missing.ABSENT, Action.WAIT, "it has not passed yet") for ref in gates)
    return Plan(changes, ((),) * len(changes))


def _numbered(
    steps: Mapping[Ref, list[Change]], before: Mapping[Ref, frozenset[Ref]], turns: Mapping[Ref, Turn]
) -> Plan:
    """Lay the steps in a row; the changes of one resource follow each other, the first waits for the others'."""
    changes: list[Change] = []
    after: list[tuple[int, ...]] = []
    last: dict[Ref, int] = {}
    for ref, own in steps.items():
        waits = tuple(sorted(last[other] for other in before[ref]))
        for change in own:
            after.append(waits)
            waits = (len(changes),)
            changes.append(change if change.turn == turns[ref] else replace(change, turn=turns[ref]))
        last[ref] = len(changes) - 1
    return Plan(tuple(changes), tuple(after))
