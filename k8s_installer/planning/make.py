"""The plan, as a value: what will change, in which order, and why. Pure: nothing here touches a host."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from k8s_installer.errors import InstallerError
from k8s_installer.host.statedir import MOST_KEPT, NOT_KEPT, RUNS_KEPT
from k8s_installer.model.desired import Desired, DesiredResource, Place, Turn, health_gates
from k8s_installer.model.graph import nearest, ordered
from k8s_installer.model.groups import GROUPS, SERVING, Group
from k8s_installer.model.plan import INTERRUPTING, NO_RESTART, UNDATED, Action, Change, Plan
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
    runs,
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
    ends = (ref for ref, changes in steps.items() if any(change.action in INTERRUPTING for change in changes))
    interrupting = frozenset(ends).difference(idle)
    if interrupting:
        steps = _enclosed(steps, interrupting, desired, order, seen)
    restarting = _with_company(interrupting, desired)
    before = nearest(steps, order, edges)
    turns = {ref: desired[ref].turn for ref in steps}
    if restarting:
        turns = owners(before, turns, groups)
    places = {ref: desired[ref].place for ref in steps if desired[ref].place is not Place.WITHIN}
    before = serialize(before, turns, places, restarting, widths(desired, batch, groups), groups)
    steps = _with_readers(steps, desired)
    return _numbered({ref: steps[ref] for ref in ordered(steps, before)}, before, turns)


def _with_company(interrupting: Collection[Ref], desired: Desired) -> set[Ref]:
    """Those of a group in which somebody stays: where all members leave there is nobody to take turns with."""
    staying = {wanted.turn.group for wanted in desired.values() if not wanted.leaving} if interrupting else set()
    return {ref for ref in interrupting if desired[ref].turn.group in staying}


def _enclosed(
    steps: Mapping[Ref, list[Change]],
    interrupting: frozenset[Ref],
    desired: Desired,
    order: Sequence[Ref],
    seen: Mapping[Ref, Seen],
) -> dict[Ref, list[Change]]:
    """The steps with what opens and closes the turns of those that interrupt something, whatever was seen of it."""
    words = {Place.OPENS: "before its services restart", Place.CLOSES: "after its services have restarted"}
    turns = {desired[ref].turn for ref in interrupting}
    found = dict(steps)
    ends = [ref for ref in order if desired[ref].place in words]
    # what closes a turn may be only for what opens it
    for ref in sorted(ends, key=lambda ref: desired[ref].place is Place.CLOSES):
        wanted = desired[ref]
        called_for = _has_cause(wanted, found, interrupting) if wanted.only_for else wanted.turn in turns
        if ref not in found and called_for:
            action = Action.WAIT if isinstance(wanted.resource, Gate) else Action.SET
            reason = wanted.because if wanted.leaving else words[wanted.place]
            found[ref] = [as_change(wanted, seen.get(ref, Missing.ABSENT), action, reason)]
    return {ref: found[ref] for ref in order if ref in found}


def _has_cause(wanted: DesiredResource, steps: Mapping[Ref, list[Change]], interrupting: frozenset[Ref]) -> bool:
    """Whether one of the changes that this opens or closes a turn only for is made, and not for the first time."""
    changes = (change for ref in wanted.only_for if ref.kind is not Kind.UNIT for change in steps.get(ref, ()))
    replaces = any(change.before is not Missing.ABSENT and change.action not in NO_RESTART for change in changes)
    return replaces or not interrupting.isdisjoint(wanted.only_for)


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


def unproven(desired: Desired, seen: Mapping[Ref, Seen], made: Plan, idle: Collection[Ref] = ()) -> list[Ref]:
    """The gates that an earlier run may have died before, where a plan is about to end the same service of others.

    They are of etcd and masters, of which one at a time is away: those whose process started less than the gate's
    deadline ago, as long as the run that started it would still wait. One that comes after something that the plan
    changes is not among them: the change may be what it lacks. That is a change of its own host, or of a service
    elsewhere that does not serve as it is. `idle` as in `make_plan`.
    """
    ends = {change.ref.name for change in made.changes if change.action in INTERRUPTING}
    planned = {change.ref for change in made.changes if change.ref.kind is not Kind.GATE}
    brought = {ref for ref in planned if ref.kind is Kind.UNIT and (ref in idle or not runs(seen.get(ref)))}
    young = (
        ref
        for ref, gate in health_gates(desired.values())
        if gate.unit in ends and desired[ref].turn.group in SERVING and _is_young(ref, gate, seen)
    )
    return [ref for ref in young if not _may_lack(ref, desired, planned, brought)]


def _may_lack(ref: Ref, desired: Desired, planned: Collection[Ref], brought: Collection[Ref]) -> bool:
    ancestors = _with_ancestors(ref, desired)
    own = (other for other in ancestors if other.host == ref.host)
    return not ancestors.isdisjoint(brought) or any(other in planned for other in own)


def _with_ancestors(ref: Ref, desired: Desired) -> set[Ref]:
    found, left = {ref}, [ref]
    while left:
        new = set(desired[left.pop()].after).difference(found)
        found |= new
        left += new
    return found


def _is_young(ref: Ref, gate: Gate, seen: Mapping[Ref, Seen]) -> bool:
    unit = seen.get(Ref(gate.unit_host or ref.host, Kind.UNIT, gate.unit))
    return runs(unit) and unit.age < gate.deadline


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
