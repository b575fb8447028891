"""What `apply` and `rollback` do: observe, plan, ask, lock, carry out, undo what failed, verify, say what is next."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from k8s_installer import pki
from k8s_installer.cli.checking import checked
from k8s_installer.cli.console import Exit, Output, ask_passphrase, print_json, stderr, stdout
from k8s_installer.cli.looking import Again, Asked, observed
from k8s_installer.cli.narrowing import first_asked, say_left_out
from k8s_installer.cli.narrowing import part as part_of
from k8s_installer.cli.planning import planned, print_plan
from k8s_installer.cli.preflighting import before_install
from k8s_installer.cli.stopping import Stop, stop_on_ctrl_c
from k8s_installer.cli.verifying import prove
from k8s_installer.engine import fleet, lock
from k8s_installer.engine import scheduler as engine
from k8s_installer.engine.fleet import Connections, connecting
from k8s_installer.engine.owner import this_process
from k8s_installer.engine.remote import Remote
from k8s_installer.errors import HostsError, InputError, InstallerError
from k8s_installer.flows.resolve import (
    Resolved,
    desire,
    keep,
    note_use,
    pki_folder,
    present_keys,
    state_folder,
    with_keys,
)
from k8s_installer.host import families
from k8s_installer.inventory import Allocations, Cluster, Host, Role
from k8s_installer.model.desired import Turn
from k8s_installer.model.plan import REPLACED, Action, Plan
from k8s_installer.model.resources import File, Kind, Missing
from k8s_installer.model.run import Event, Run, State
from k8s_installer.planning import planfile, rollback, trust
from k8s_installer.planning.make import make_plan, waits
from k8s_installer.planning.select import on_members
from k8s_installer.planning.turns import QUARTER, Batch
from k8s_installer.profiles import Profile
from k8s_installer.report import data, ending, progress, text
from k8s_installer.runs import history, journal
from k8s_installer.runs.trace import Trace, open_trace, traced
from k8s_installer.transport import Transport
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

_LARGEST_PLAN = 1 << 28  # bytes of a saved plan


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked of a run besides the inventory. `began` is when the program started, monotonic seconds."""

    asked: Asked
    began: float
    output: Output = Output.TEXT
    saved_plan: Path | None = None
    batch: Batch = QUARTER
    yes: bool = False
    verify: bool = True
    roll_back: bool = True
    preflight: bool = True
    break_lock: bool = False
    replace_keys: bool = False
    limit: str = ""
    only: str = ""
    after_line: journal.OnLine = journal.nothing

    @property
    def proves(self) -> bool:
        """Whether the whole cluster is proven at the end; a part of it proves nothing."""
        return self.verify and not self.limit and not self.only


def apply(options: Options, change: Callable[[Resolved], Resolved] = lambda intent: intent) -> Exit:
    """Make the fleet what the inventory says, or what `change` makes of that."""
    cluster, profile = checked(options.asked.inventory, options.asked.bundle)
    with connecting(cluster.hosts, first_asked(cluster, options.limit)) as connections:

        def resolve(kept: Allocations | None) -> Resolved:
            return desire(cluster, profile, options.asked.templates, present_keys, kept)

        def again(kept: Allocations) -> Resolved:
            return part_of(change(resolve(kept)), options.limit, options.only)

        whole = resolve(None)
        say_left_out(whole, options.limit, options.only)
        with open_trace(state_folder(cluster) / "journal") as trace:
            try:
                # locked before anything is looked at: nobody else's run can come between the plan and its changes
                with _locked(cluster, options, trace) as lost:
                    part = part_of(change(whole), options.limit, options.only)
                    return _apply(part, again, connections, options, trace, lost)
            except InstallerError as error:
                error.hint = "\n".join(filter(None, (error.hint, f"the whole trace: {trace.path}")))
                raise


def _apply(
    part: Resolved,
    resolve: Again,
    connections: Connections,
    options: Options,
    trace: Trace,
    lost: threading.Event,
) -> Exit:
    def through(way: Transport) -> Transport:
        return traced(way, trace)

    intent, seen = observed(part, resolve, connections, through, trace.run)
    reached, seen = _reached(intent, seen)
    made = planned(reached, seen, connections, options.batch, replace_keys=options.replace_keys, through=through)
    if options.saved_plan is not None:
        _require_same(options.saved_plan, reached, made)
    if not made:
        keep(reached.cluster, reached.given.allocations)
        _note_use(reached, made, seen)
        return (_undone if reached.undoes else _unchanged)(reached, seen, options, trace, lost)
    asking = 0.0
    if options.preflight:
        fits, asking = before_install(reached, made, seen, options.asked.inventory, options.output)
        if not fits:
            return Exit.FAILED
    return _change(reached, made, seen, options, trace, lost, asking)


def roll_back(options: Options) -> Exit:
    """Undo the last run, or finish undoing it: planned, asked for and carried out like everything else."""
    return apply(options, _before_last_run)


def _before_last_run(intent: Resolved) -> Resolved:
    """What was there before the last run that was not undone.

    Raises:
        InstallerError: there is no such run, or it set things up for the first time and so has nothing before it.
    """
    runs = tuple(journal.past(state_folder(intent.cluster) / "journal"))
    undone = history.to_undo(runs)
    if not undone:
        raise InstallerError(
            "there is no run of this cluster to undo" if runs else "no run of this cluster is known here",
            hint="its journal is beside the inventory",
        )
    for run in undone:
        _require_something_before(run)
    for change in (change for run in undone for change in run.touched()):
        if change.action in (Action.INSTALL, *REPLACED) or (
            change.action is Action.SET and (change.before is Missing.ABSENT or families.one_way(change.ref.name))
        ):
            stderr().print(f"stays: {change.action} of {change.ref} cannot be undone", style="yellow", markup=False)
    if runs[0].undoes == tuple(run.run for run in undone):
        stderr().print(f"resuming the rollback {runs[0].run}, which did not finish", markup=False)
    past = history.before(undone)
    files = sum(item.ref.kind is Kind.FILE for item in past)
    counts = f"{files} files, {len(past) - files} settings"
    stderr().print(f"going back to before run {undone[-1].run}: {counts}", markup=False)
    names = tuple(run.run for run in undone)
    return replace(intent, desired=rollback.before(intent.desired, past), undoes=names)


def _require_something_before(run: journal.Past) -> None:
    first = next(history.first_starts(run), None)
    if first is not None:
        raise InstallerError(
            f"run {run.run} started {first.name} on {first.host}: nothing ran before it",
            hint="a first start cannot be undone by going back",
        )


def _change(
    intent: Resolved,
    made: Plan,
    seen: fleet.ObservedFleet,
    options: Options,
    trace: Trace,
    lost: threading.Event,
    asking: float,
) -> Exit:
    """Show, ask, carry out, prove, and say what came of it; `asking` is how long preflight took."""
    if options.output is Output.TEXT:
        print_plan(intent, made, full=False)
    _say_left_out(seen)
    asked = time.monotonic()
    if not options.yes and options.saved_plan is None and not _agreed():
        return Exit.FAILED
    keep(intent.cluster, intent.given.allocations)  # before any host has it: a run that dies gives nothing out twice
    intent, made = _with_keys(intent, made, seen, options)
    _note_use(intent, made, seen)
    began = options.began + time.monotonic() - asked  # a person's time is not the run's
    with _journal(intent, options, made, trace) as book:
        run, undone = _carried_out(made, seen.remotes, book, lost, roll_back=options.roll_back)
        broken = bool(run.failures or run.skipped)
        proof = prove(intent, seen) if options.proves and not broken else None
        well = not broken and (proof is None or proof.passed) and not seen.unreachable
        book.write("sent", bytes=dict(run.sent))
        book.close(history.DONE if well else "failed")
    if options.output is Output.JSON:
        print_json({**data.run_data(made, run), "verify": proof.data() if proof else None})
    if broken:
        stderr().print(ending.failed(made, run, undone, options.asked.inventory, trace.path), soft_wrap=True)
    else:
        around = {"preflight": asking, "verify": proof.seconds if proof else 0.0}
        total = time.monotonic() - began
        stderr().print(ending.applied(made, run, around, total, options.asked.inventory), soft_wrap=True)
    _say_left_out(seen)
    return Exit.DONE if well else Exit.FAILED


def _note_use(intent: Resolved, made: Plan, seen: fleet.ObservedFleet) -> None:
    """Know the roots that hosts have or are given now; a way back may give them others."""
    if not intent.undoes:
        sent = {name for change in made.changes if isinstance(change.after, File) for name in change.after.made_of}
        had = trust.shared({**intent.roots, **intent.desired}, seen.seen, intent.keys)
        note_use(intent.inventory, intent.profile, had | sent)


def _with_keys(intent: Resolved, made: Plan, seen: fleet.ObservedFleet, options: Options) -> tuple[Resolved, Plan]:
    """Make the keys that the plan would send, now that it is agreed to, and the same plan with them."""
    if not any(isinstance(change.after, File) and change.after.pending for change in made.changes):
        return intent, made

    def keys(cluster: Cluster, profile: Profile) -> pki.Pki:
        return pki.ensure(pki_folder(cluster), pki.leaves(cluster, profile.groups), ask_passphrase)

    whole = with_keys(
        intent, desire(intent.inventory, intent.profile, options.asked.templates, keys, intent.given.allocations)
    )
    return whole, make_plan(whole.desired, seen.seen, options.batch)


def _carried_out(
    made: Plan, remotes: Mapping[str, Remote], book: journal.Journal, lost: threading.Event, *, roll_back: bool
) -> tuple[Run, list[tuple[Plan, Run]]]:
    """Run the plan, and for every turn that failed the way back; each with what became of it."""
    book.plan(made.changes)
    undone: list[tuple[Plan, Run]] = []
    with stop_on_ctrl_c(lost) as stop:

        def note(event: Event) -> None:
            if event.state is not State.SENDING:
                book.event(event, made.changes[event.index])
            show(event)

        with progress.shown(made, stderr()) as show:
            run = engine.apply(made, remotes, note, stop)
        for turn in rollback.failed_turns(made, run) if roll_back else ():
            back = rollback.undo(made, run, turn)
            if back:
                undone.append((back, _way_back(back, turn, remotes, book, stop)))
    return run, undone


def _way_back(back: Plan, turn: Turn, remotes: Mapping[str, Remote], book: journal.Journal, stop: Stop) -> Run:
    """Undo a failed turn; only the loss of the lock, or a second Ctrl-C, ends it before it is done."""
    what = f"rolling back {turn.group} {turn.member}"
    stderr().print(what, style="yellow", markup=False)
    with stop.finishing(what), progress.shown(back, stderr()) as show:

        def note(event: Event) -> None:
            if event.state is not State.SENDING:
                with suppress(InstallerError):  # of all things, this must not stop for want of a line
                    book.undo(event, back.changes[event.index])
            show(event)

        way = engine.apply(back, remotes, note, stop.lost)
    with suppress(InstallerError):
        book.write("rollback", turn=f"{turn.group} {turn.member}", failures=len(way.failures))
    return way


def _reached(intent: Resolved, seen: fleet.ObservedFleet) -> tuple[Resolved, fleet.ObservedFleet]:
    """Without the nodes that cannot be reached; a master or an etcd member that cannot be reached stops everything.

    Who was only looked at besides the part that the run is about, and did not answer, is no part of it either way; a
    master among them gets its record of what is allocated from a later run.
    """
    silent, names = set(seen.unreachable), {host.name for host in intent.cluster.hosts}
    seen = replace(seen, unreachable={name: error for name, error in seen.unreachable.items() if name in names})
    needed = [host for host in intent.cluster.hosts if host.name in seen.unreachable and _is_needed(host)]
    if needed:
        raise HostsError([seen.unreachable[host.name] for host in needed])
    if not names - silent:
        seen.require_all()
    there = {host.name for host in intent.inventory.hosts} - silent
    return (replace(intent, desired=on_members(intent.desired, there)) if silent else intent), seen


def _is_needed(host: Host) -> bool:
    return bool(host.roles & {Role.ETCD, Role.MASTER})


def _say_left_out(seen: fleet.ObservedFleet) -> None:
    for name, error in sorted(seen.unreachable.items()):
        words = "\n  ".join(filter(None, (error.message.removeprefix(f"{name}: "), error.hint)))
        stderr().print(f"left out: {name}: {words}", style="yellow", markup=False, soft_wrap=True)


def _require_same(path: Path, intent: Resolved, made: Plan) -> None:
    try:
        old = planfile.load(userfile.text(path, _LARGEST_PLAN), str(path))
    except UnreadableError as error:
        raise InputError(f"cannot read {path}: {error}") from None
    moved = planfile.differences(old, planfile.saved(intent.cluster.name, intent.desired, made))
    if moved:
        raise InstallerError(
            "\n  ".join([f"{path}: the plan is stale, nothing was changed:", *moved]),
            hint=f"look at what changed, then save it again: k8s-installer plan -o {path}",
        )


def _agreed() -> bool:
    if stderr().input("Apply this plan? [y/N] ", markup=False).strip().lower().startswith("y"):
        return True
    stderr().print("nothing was changed")
    return False


def _undone(intent: Resolved, seen: fleet.ObservedFleet, options: Options, trace: Trace, lost: threading.Event) -> Exit:
    """Nothing to undo, as after a turn that was undone when it failed: the journal records this rollback as done."""
    with _journal(intent, options, Plan((), ()), trace) as book:
        result = _unchanged(intent, seen, options, trace, lost)
        book.close("failed" if seen.unreachable else history.DONE)
    return result


def _unchanged(
    intent: Resolved, seen: fleet.ObservedFleet, options: Options, trace: Trace, lost: threading.Event
) -> Exit:
    """Nothing to change; but an earlier run may have died before its last gate, so health is awaited all the same."""
    if options.output is Output.TEXT:
        words = f"Nothing to undo: the hosts are as they were before run {intent.undoes[-1]}." if intent.undoes else ""
        stdout().print(words or text.totals(Plan((), ())), markup=False)
    sick = waits(intent.desired, [ref for ref, _ in fleet.unhealthy(intent.desired, seen.remotes)])
    run = Run((), interrupted=False)
    if sick:
        with stop_on_ctrl_c(lost) as stop, progress.shown(sick, stderr()) as show:
            run = engine.apply(sick, seen.remotes, show, stop)
    if options.output is Output.JSON:
        print_json(data.run_data(sick, run))
    broken = bool(run.failures or run.skipped)
    if broken:
        stderr().print(ending.failed(sick, run, [], options.asked.inventory, trace.path), soft_wrap=True)
    _say_left_out(seen)
    return Exit.FAILED if broken or seen.unreachable else Exit.DONE


@contextmanager
def _locked(cluster: Cluster, options: Options, trace: Trace) -> Iterator[threading.Event]:
    """Hold the cluster's lock on its masters, by connections of its own; the event says that it was lost."""

    def say(words: str) -> None:
        stderr().print(words, style="red", markup=False)

    with connecting(cluster.having(Role.MASTER)) as made:
        ways = {name: traced(line, trace) for name, line in made.lines.items()}
        with lock.hold(ways, this_process(), force=options.break_lock, say=say) as lost:
            yield lost


@contextmanager
def _journal(intent: Resolved, options: Options, made: Plan, trace: Trace) -> Iterator[journal.Journal]:
    owner = this_process()
    header = {
        "cluster": intent.cluster.name,
        "version": intent.cluster.version,
        "inventory": str(options.asked.inventory),
        "owner": owner.name,
        "pid": owner.pid,
        "summary": data.summary(made),
        **({"undoes": list(intent.undoes)} if intent.undoes else {}),
    }
    folder = state_folder(intent.cluster) / "journal"
    with journal.start(folder, header, options.after_line, run=trace.run) as book:
        yield book
