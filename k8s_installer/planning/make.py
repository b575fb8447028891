"""The plan, as a value: what will change, in which order, and why. Pure: nothing here touches a host."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from k8s_installer.errors import InstallerError
from k8s_installer.host import families
from k8s_installer.host.statedir import MOST_KEPT, NOT_KEPT, RUNS_KEPT
from k8s_installer.model.desired import Desired, DesiredResource, Place, Turn
from k8s_installer.model.graph import nearest, ordered
from k8s_installer.model.groups import GROUPS, Group
from k8s_installer.model.plan import INTERRUPTING, NO_RESTART, UNDATED, Action, Change, Plan
from k8s_installer.model.resources import (
    Absent,
    Backup,
    Data,
    File,
    Gate,
    Kind,
    Missing,
    NoLeftovers,
    NoPackage,
    Original,
    Package,
    Record,
    Ref,
    Seen,
    SeenFile,
    SeenLeftovers,
    SeenPackage,
    SeenSetting,
    SeenUnit,
    Setting,
    Unit,
    UploadedFile,
)
from k8s_installer.planning import equivalence, evr
from k8s_installer.planning.evr import Evr
from k8s_installer.planning.order import clearing
from k8s_installer.planning.order import edges as edges_of
from k8s_installer.planning.turns import QUARTER, Batch, owners, serialize, widths

_IN_THE_WAY = "only what can be restored is changed: move each of these out of the way, then plan again"
_CLEARS = frozenset({Action.START, Action.STOP, Action.RESTART})  # what makes a unit take away what others have made
_TOO_FAR_BACK = (
    f"a host keeps what its last {RUNS_KEPT} runs replaced, up to {MOST_KEPT >> 30} GB, and this is older: "
    "set what you want in the inventory or in templates/, then run k8s-installer apply"
)


def make_plan(
    desired: Desired, seen: Mapping[Ref, Seen], batch: Batch = QUARTER, groups: Mapping[str, Group] = GROUPS
) -> Plan:
    """Compare what is wanted with what was seen.

    Args:
        desired: every resource by name, with its edges.
        seen: what the hosts answered, for every package, file, unit and setting that is wanted.
        batch: how many nodes may restart something at the same time.
        groups: who takes turns with whom.

    Raises:
        InstallerError: something wanted is unknown, and a plan over guesses is no plan; or something that would change
            could not be put back.
    """
    _require_reversible(desired, seen)
    edges = edges_of(desired, seen)
    order = ordered(desired, edges)
    steps: dict[Ref, list[Change]] = {}
    for ref in order:
        changes = [] if desired[ref].place is Place.OPENS else list(_changes(desired[ref], seen, steps))
        if changes:
            steps[ref] = changes
    if not steps:
        return Plan((), ())
    restarting = _interrupting(steps, desired)
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
            found[ref] = [_change(wanted, seen.get(ref, Missing.ABSENT), action, words[wanted.place])]
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


def readers(units: Iterable[tuple[Ref, Unit]], files: Collection[Ref]) -> Mapping[Ref, tuple[str, ...]]:
    """The units that read each of these files."""
    found: dict[Ref, tuple[str, ...]] = {}
    for ref, unit in units:
        for path in (*unit.defined_by, *unit.reads):
            file = Ref(ref.host, Kind.FILE, path)
            if file in files:
                found[file] = (*found.get(file, ()), ref.name)
    return found


def _with_readers(steps: Mapping[Ref, list[Change]], desired: Desired) -> dict[Ref, list[Change]]:
    """The steps, with the units that are due to restart after one of which no time tells afterwards."""
    undated = {ref for ref, changes in steps.items() if changes[0].action in UNDATED}
    cleared = _cleared(steps, desired)
    if not undated and not cleared:
        return dict(steps)
    units = ((ref, wanted.resource) for ref, wanted in desired.items() if isinstance(wanted.resource, Unit))
    by_file = {**readers(units, undated), **cleared}
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
    changes = tuple(_change(desired[ref], Missing.ABSENT, Action.WAIT, "it has not passed yet") for ref in gates)
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


def _changes(wanted: DesiredResource, seen: Mapping[Ref, Seen], steps: Mapping[Ref, list[Change]]) -> Iterator[Change]:
    ref, resource = wanted.ref, wanted.resource
    if isinstance(resource, Gate):
        if any(before in steps for before in wanted.after):
            yield _change(wanted, Missing.ABSENT, Action.WAIT, "a step before it changes")
        return
    found = seen.get(ref, Missing.UNKNOWN)
    if found is Missing.UNKNOWN:
        raise InstallerError(f"{ref} is unknown: cannot plan before the host has answered for it")
    if isinstance(resource, Data):
        return  # never changed: `members` says what it means
    if isinstance(resource, Package):
        yield from _package(wanted, resource, found)
    elif isinstance(resource, File | UploadedFile | Backup):
        yield from _file(wanted, resource, found)
    elif isinstance(resource, Absent | NoPackage | Original | NoLeftovers | Record):
        yield from _leaving(wanted, resource, found)
    elif isinstance(resource, Setting):
        yield from _setting(wanted, resource, found)
    else:
        yield from _unit(wanted, resource, found, seen, steps)


def _change(wanted: DesiredResource, before: Seen, action: Action, reason: str) -> Change:
    reason = f"{wanted.note}: {reason}" if wanted.note else reason
    return Change(
        wanted.ref, action, wanted.component, before, wanted.resource, reason, wanted.turn, place=wanted.place
    )


def _package(wanted: DesiredResource, package: Package, found: Seen) -> Iterator[Change]:
    if not isinstance(found, SeenPackage):
        yield _change(wanted, found, Action.INSTALL, "not installed")
    elif package.version:
        order = evr.compare(_installed(found, package), Evr.parse(package.version))
        reason = f"version {found.version} is installed, should be {package.version}"
        if order:
            yield _change(wanted, found, Action.DOWNGRADE if order > 0 else Action.UPGRADE, reason)


def _installed(found: SeenPackage, package: Package) -> Evr:
    """What is compared of an installed version: its epoch only where one is asked for."""
    return Evr(found.epoch if ":" in package.version else "", found.version, found.release)


def _file(wanted: DesiredResource, file: File | UploadedFile | Backup, found: Seen) -> Iterator[Change]:
    kept = isinstance(file, Backup)
    if not isinstance(found, SeenFile):
        yield _change(wanted, found, Action.RESTORE if kept else Action.CREATE, _why(file) or "missing")
    elif found.sha256 != file.sha256:
        new = file.content if isinstance(file, File) else found.kept
        if found.content is not None and new is not None and equivalence.same(wanted.ref.name, found.content, new):
            yield _change(wanted, found, Action.REWRITE, "no restart: the settings are the same")
        elif kept:
            yield _change(wanted, found, Action.RESTORE, "changed by that run")
        else:
            yield _change(wanted, found, Action.UPDATE, _why(file) or "the content differs")
    elif (found.mode, found.owner, found.group) != (file.mode, file.owner, file.group):
        has = f"{found.mode:04o} {found.owner}:{found.group}"
        reason = f"{has} instead of {file.mode:04o} {file.owner}:{file.group}"
        yield _change(wanted, found, Action.ATTRIBUTES, reason)


def _leaving(
    wanted: DesiredResource, resource: Absent | NoPackage | Original | NoLeftovers | Record, found: Seen
) -> Iterator[Change]:
    """What was placed on the host and is no longer wanted, or is to be recorded as placed."""
    if isinstance(resource, Absent):
        if found is not Missing.ABSENT:
            yield _change(wanted, found, Action.REMOVE, "it should not exist")
    elif isinstance(resource, Record):
        adopts = _change(wanted, found, Action.ADOPT, wanted.because)
        yield replace(adopts, records=resource.entries, forgets=resource.gone)
    elif isinstance(resource, NoPackage) and isinstance(found, SeenPackage):
        yield _change(wanted, found, Action.UNINSTALL, wanted.because)
    elif isinstance(resource, NoLeftovers) and isinstance(found, SeenLeftovers) and found.names:
        yield _change(wanted, found, Action.CLEAN, wanted.because)
    elif isinstance(resource, Original) and isinstance(found, SeenFile) and found.original != found.sha256:
        yield _change(wanted, found, Action.RESTORE if found.original else Action.REMOVE, wanted.because)


def _why(file: File | UploadedFile | Backup) -> str:
    """Why a file has keys that are not created yet."""
    return f"new key: {file.pending}" if isinstance(file, File) and file.pending else ""


def _setting(wanted: DesiredResource, setting: Setting, found: Seen) -> Iterator[Change]:
    value = found.value if isinstance(found, SeenSetting) else None
    reason = families.differs(wanted.ref.name, value, setting.value)
    if reason:
        yield _change(wanted, found, Action.SET, reason)


def _unit(
    wanted: DesiredResource, unit: Unit, found: Seen, seen: Mapping[Ref, Seen], steps: Mapping[Ref, list[Change]]
) -> Iterator[Change]:
    state = found if isinstance(found, SeenUnit) else None
    if (state is not None and state.needs_reload) or _rewritten(wanted, unit.defined_by, steps):
        yield _change(wanted, found, Action.RELOAD, "the unit's definition changes")
    if not (unit.active and unit.enabled):
        yield from _stopped(wanted, unit, found, _outdated(wanted, seen, steps) if unit.active else "")
        return
    if state is None or not state.is_active:
        yield _change(wanted, found, Action.START, "no such unit yet" if state is None else _idle(state))
        return
    reason = _outdated(wanted, seen, steps)
    if reason:
        yield _change(wanted, found, Action.RESTART, reason)
    elif not state.enabled:
        yield _change(wanted, found, Action.ENABLE, "it would not start after a reboot")


def _stopped(wanted: DesiredResource, unit: Unit, found: Seen, outdated: str) -> Iterator[Change]:
    """A unit that should not run, or not start at a boot; one that the host does not have does neither."""
    restarts = isinstance(found, SeenUnit) and found.is_active and bool(outdated)
    if restarts:
        yield _change(wanted, found, Action.RESTART, outdated)
    if isinstance(found, SeenUnit) and not unit.active and found.active not in ("inactive", "failed"):
        yield _change(wanted, found, Action.STOP, wanted.because)
    elif isinstance(found, SeenUnit) and not unit.enabled and (found.enabled or restarts):
        yield _change(wanted, found, Action.DISABLE, wanted.because)


def _idle(state: SeenUnit) -> str:
    return f"it is {state.active} ({state.sub})"


def inputs(wanted: DesiredResource) -> Iterator[Ref]:
    """The packages and files whose change makes a unit restart; nothing of what is no unit."""
    unit, host = wanted.resource, wanted.ref.host
    runs, files = (unit.runs, (*unit.defined_by, *unit.reads)) if isinstance(unit, Unit) else ((), ())
    yield from (Ref(host, Kind.PACKAGE, package) for package in runs)
    yield from (Ref(host, Kind.FILE, path) for path in files)


def _rewritten(wanted: DesiredResource, paths: Iterable[str], steps: Mapping[Ref, list[Change]]) -> bool:
    refs = (Ref(wanted.ref.host, Kind.FILE, path) for path in paths)
    return any(change.action not in NO_RESTART for ref in refs for change in steps.get(ref, ()))


def _outdated(wanted: DesiredResource, seen: Mapping[Ref, Seen], steps: Mapping[Ref, list[Change]]) -> str:
    """Why the running process is not what its inputs say: one of them changes in this plan, or it is stale already."""
    changing = [
        ref.name for ref in inputs(wanted) if any(change.action not in NO_RESTART for change in steps.get(ref, ()))
    ]
    if changing:
        return f"{_some(changing)} changes"
    cleared = [ref.name for ref in clearing(wanted, steps) if any(change.action in _CLEARS for change in steps[ref])]
    return f"{cleared[0]} clears its rules of iptables" if cleared else stale(wanted, seen)


def stale(wanted: DesiredResource, seen: Mapping[Ref, Seen]) -> str:
    """Why the process of a unit is older than what it reads or runs, in words; empty where it is not, or does not run.

    An earlier run was cut off between a change and its restart, or somebody edited and forgot. This is the one answer
    that plans and `status` go by.
    """
    unit, state = wanted.resource, seen.get(wanted.ref)
    if not isinstance(unit, Unit) or not isinstance(state, SeenUnit) or not state.is_active:
        return ""
    newer = [ref.name for ref in inputs(wanted) if _changed_at(seen.get(ref)) > state.started_at]
    if newer:
        return f"{_some(newer)} changed after it started"
    return "an interrupted run did not restart it" if state.due_at > state.started_at else ""


def _changed_at(found: Seen | None) -> float:
    if isinstance(found, SeenFile):
        return found.modified_at
    return found.installed_at if isinstance(found, SeenPackage) else 0.0


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"
