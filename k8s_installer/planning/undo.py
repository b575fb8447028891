"""What undoes a failed turn, from what a run has done of its plan. Pure; carried out like any other plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from k8s_installer.host import families
from k8s_installer.model.desired import Place, Turn
from k8s_installer.model.plan import NO_RESTART, REPLACED, Action, Change, Plan
from k8s_installer.model.resources import (
    Absent,
    Backup,
    File,
    Gate,
    Kind,
    Missing,
    Original,
    Placed,
    Ref,
    Seen,
    SeenFile,
    SeenSetting,
    Setting,
    Unit,
    UploadedFile,
)
from k8s_installer.model.run import Run, State
from k8s_installer.planning.make import readers


def reversible(change: Change) -> bool:
    """Whether a rollback can bring back what was there.

    A package stays in its new version, and a user that was made stays: files are its own by then. An addon that
    was taken out is applied again when its manifest is back. What was cleaned up is gone.
    """
    if change.action is Action.SET:
        return change.before is not Missing.ABSENT and not families.one_way(change.ref.name)
    return change.action not in (*REPLACED, Action.CLEAN)


def failed_turns(plan: Plan, run: Run) -> tuple[Turn, ...]:
    """The turns in which a service or a gate failed, or anything once they were open, in the order in which they did.

    A setting that closes a turn is none: all of the turn is done then, and the next plan closes it. Where the run was
    stopped, turns that are open count as failed.
    """
    opened = _opened(plan, run)
    failed = (plan.changes[event.index] for event in run.failures)
    turns = [
        change.turn
        for change in failed
        if isinstance(change.after, Unit | Gate) or (change.turn in opened and change.place is not Place.CLOSES)
    ]
    if run.interrupted:
        skipped = (plan.changes[event.index] for event in run.skipped)
        turns += [change.turn for change in skipped if change.place is Place.CLOSES and change.turn in opened]
    return tuple(dict.fromkeys(turns))


def _opened(plan: Plan, run: Run) -> frozenset[Turn]:
    """The turns of which the opening has begun: it may have been done, whatever became of it."""
    begun = (plan.changes[event.index] for event in run.events if event.state is State.RUNNING)
    return frozenset(change.turn for change in begun if change.place is Place.OPENS)


def undo(plan: Plan, run: Run, turn: Turn) -> Plan:
    """The plan that brings a failed turn back to what ran before it.

    Files get their old bytes and settings their old values, what was made is removed, and what was restarted is
    restarted and waited for. What fails on the way back keeps nothing else from it but what needs it: a service whose
    own files are back restarts, whatever came of the one before it. A turn that was opened is closed once all of this
    is done, or its opening set back if nothing closes it; if something is not done, it stays open. The plan is empty
    where nothing ran before: a first start that fails
    has nothing to go back to, and its files are the evidence. Packages stay, and so do users.
    """
    last = {event.index: event.state for event in run.events}
    mine = {index: change for index, change in enumerate(plan.changes) if change.turn == turn}
    within = {index: change for index, change in mine.items() if change.place is Place.WITHIN}
    whole = all(last.get(index) is State.DONE for index in within) and State.FAILED not in map(last.get, mine)
    back = [] if whole else _back(plan, run, within)
    touched = any(
        isinstance(change.after, Unit) and last.get(index, State.SKIPPED) is not State.SKIPPED
        for index, change in within.items()
    )
    if turn in _opened(plan, run) and (whole or back or not touched):
        closing = [change for change in mine.values() if change.place is Place.CLOSES]
        back += [_again(change, change.action, "its turn is over") for change in closing or _reopened(mine.values())]
    return _in_order(back)


def _reopened(turn: Iterable[Change]) -> Iterator[Change]:
    """What sets back the settings that open a turn which nothing closes."""
    for change in turn:
        if change.place is Place.OPENS and isinstance(change.after, Setting):
            found = change.before.value if isinstance(change.before, SeenSetting) else None
            value = families.original(change.ref.name, found)
            if value is not None:
                now, reason = SeenSetting(change.after.value), "its turn is over"
                yield replace(change, before=now, after=Setting(value), reason=reason, place=Place.CLOSES)


def _back(plan: Plan, run: Run, within: Mapping[int, Change]) -> list[Change]:
    """What undoes these changes of a plan, by their positions; empty where there is nothing to go back to."""
    last = {event.index: event.state for event in run.events}
    begun = {event.index for event in run.events if event.state is State.RUNNING}
    read = _readers(plan)
    # what was begun in a script that was cut off may be done
    written = [
        _inverse(change, change.after, read.get(change.ref, ()))
        for index, change in within.items()
        if isinstance(change.after, File | UploadedFile | Absent | Original | Setting)
        and reversible(change)
        and (last.get(index) is State.DONE or (index in begun and last[index] is not State.FAILED))
    ]
    if not written or not any(change.action is Action.RESTART for change in within.values()):
        return []
    # what was never begun still runs with what is brought back
    restarted = [change for index, change in within.items() if change.action is Action.RESTART and index in begun]
    stopped = [change for index, change in within.items() if change.action is Action.STOP and index in begun]
    reloaded = [change for change in within.values() if change.action is Action.RELOAD]
    gates = [change for change in within.values() if isinstance(change.after, Gate)]
    reloads = [_again(change, Action.RELOAD, "its files were restored") for change in reloaded]
    return [
        *written,
        *reloads,
        *(_started(change, _cleaned(plan, last, change.ref.host)) for change in stopped),
        *_restarts(restarted, gates),
    ]


def _cleaned(plan: Plan, last: Mapping[int, State], host: str) -> list[Placed]:
    """What a run took out of a host's record about what programs leave there."""
    done = (change for index, change in enumerate(plan.changes) if last.get(index) is State.DONE)
    return [
        entry for change in done if change.ref.host == host for entry in change.forgets if entry.kind is Kind.LEFTOVERS
    ]


def _in_order(changes: Sequence[Change]) -> Plan:
    """A step begins when all before it have ended; a restart needs its files and daemon-reload, a gate its restart.

    What closes the turn needs all of it.
    """
    after: list[tuple[int, ...]] = []
    for index, change in enumerate(changes):
        needs: tuple[int, ...] = ()
        if change.place is Place.CLOSES:
            needs = tuple(range(index))
        elif isinstance(change.after, Unit):
            paths = {*change.after.defined_by, *change.after.reads}
            needs = tuple(
                i for i, earlier in enumerate(changes[:index]) if earlier.ref.name in paths or earlier.ref == change.ref
            )
        elif isinstance(change.after, Gate):
            needs = (index - 1,)
        after.append(needs)
    after_end = tuple((index - 1,) if index else () for index in range(len(changes)))
    return Plan(tuple(changes), tuple(after), after_end)


def _readers(plan: Plan) -> Mapping[Ref, tuple[str, ...]]:
    units = {change.ref: change.after for change in plan.changes if isinstance(change.after, Unit)}
    return readers(units.items(), {change.ref for change in plan.changes if change.ref.kind is Kind.FILE})


def _restarts(restarted: Iterable[Change], gates: Collection[Change]) -> Iterator[Change]:
    for change in restarted:
        yield _again(change, Action.RESTART, "its files were restored")
        for gate in gates:
            if isinstance(gate.after, Gate) and gate.after.unit == change.ref.name:
                yield _again(gate, Action.WAIT, "a step before it changes")


def _started(change: Change, cleaned: Iterable[Placed]) -> Change:
    """What starts a unit again that was stopped because it was to leave; what it leaves is its own again."""
    assert isinstance(change.after, Unit)  # noqa: S101 - nothing else is stopped
    unit = replace(change.after, active=True, enabled=True)
    left = tuple(entry for entry in cleaned if entry.component == change.component)
    return replace(
        change, action=Action.START, after=unit, reason="it ran before", before=Missing.ABSENT,
        records=(*change.forgets, *left), forgets=(),
    )  # fmt: skip


def _again(change: Change, action: Action, reason: str) -> Change:
    return replace(change, action=action, reason=reason)


def _inverse(
    change: Change, wanted: File | UploadedFile | Absent | Original | Setting, read_by: tuple[str, ...]
) -> Change:
    if not isinstance(wanted, Setting):
        # of other bytes that say the same no process needs to hear
        return replace(_file_back(change, wanted), readers=() if change.action in NO_RESTART else read_by)
    old = change.before.value if isinstance(change.before, SeenSetting) else wanted.value
    now = SeenSetting(wanted.value)
    return Change(
        change.ref, Action.SET, change.component, now, Setting(old), "the previous value", change.turn,
        records=change.forgets,
    )  # fmt: skip


def _file_back(change: Change, file: File | UploadedFile | Absent | Original) -> Change:
    before = change.before
    if isinstance(file, Absent | Original):
        return _returned(change)
    now = SeenFile(file.sha256, file.mode, file.owner, file.group, 0.0)
    if not isinstance(before, SeenFile):
        reason, forgets = "it was created by this run", tuple(e for e in change.records if e.kind is Kind.FILE)
        return Change(change.ref, Action.REMOVE, change.component, now, Absent(), reason, change.turn, forgets=forgets)
    old = Backup(before.sha256, before.mode, before.owner, before.group, file.secret)
    action = Action.ATTRIBUTES if change.action is Action.ATTRIBUTES else Action.RESTORE
    lines = tuple(replace(entry, sha256=old.sha256) for entry in change.records if entry.kind is Kind.FILE)
    return Change(change.ref, action, change.component, now, old, "the previous content", change.turn, records=lines)


def _returned(change: Change) -> Change:
    """What brings a file back that was removed, or left; where no line says whether it was secret, it is."""
    assert isinstance(change.before, SeenFile)  # noqa: S101 - what was not there is not removed
    old = change.before
    kept = Backup(old.sha256, old.mode, old.owner, old.group, secret=all(entry.secret for entry in change.forgets))
    found: Seen = Missing.ABSENT
    if old.original:  # this is there by now, if the file had left
        found = SeenFile(old.original, old.mode, old.owner, old.group, 0.0)
    return Change(
        change.ref, Action.RESTORE, change.component, found, kept, "the previous content", change.turn,
        records=change.forgets,
    )  # fmt: skip
