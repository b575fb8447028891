"""`apply`, which every command that changes hosts goes through: lock, observe, plan, ask, carry out, verify.

Such a command passes a `change` of what is wanted, and a question to ask: `rollback.py` is an example.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from k8s_installer import pki
from k8s_installer.desired.certificates import leaves
from k8s_installer.engine import fleet
from k8s_installer.engine import scheduler as engine
from k8s_installer.flows.carry_out import carried_out
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.interrupt import stop_on_ctrl_c
from k8s_installer.flows.locked import LockedSession, locked
from k8s_installer.flows.narrow import part, reached, say_left_out, skipped, warn_of_unreached
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.plan import Planned, SavedPlan, idle_in, made_of, planned, require_same
from k8s_installer.flows.preflight import before_install
from k8s_installer.flows.reporter import Reporter, RunResult
from k8s_installer.flows.resolve import Resolved, desire, keep, note_use, pki_folder, with_keys
from k8s_installer.flows.restoring import require_none
from k8s_installer.flows.session import Choice, Session, everything, opened
from k8s_installer.flows.verify import prove
from k8s_installer.host.placed import SWEEP
from k8s_installer.inventory import Cluster
from k8s_installer.model.resources import File, Ref, SeenRecord
from k8s_installer.model.run import Run
from k8s_installer.planning import records, trust
from k8s_installer.planning.make import unproven, waits
from k8s_installer.planning.turns import QUARTER, Batch
from k8s_installer.profiles import Profile
from k8s_installer.runs import history, journal

Consent = Callable[[Reporter, Resolved], bool]
Closing = Callable[[Planned], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Around:
    """What a restore does around its run: just before the first change, and when the plan has been carried out."""

    begins: Callable[[], None]
    ends: Callable[[Planned, Run], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked of a run; `skip_unreachable` is for a reset (see `narrow.reached`).

    Only a restore has something `around` it, and only it may run where a restore did not finish.
    """

    inputs: Inputs
    saved_plan: SavedPlan | None = None
    batch: Batch = QUARTER
    yes: bool = False
    verify: bool = True
    roll_back: bool = True
    preflight: bool = True
    break_lock: bool = False
    skip_unreachable: bool = False
    replace_keys: bool = False
    limit: str = ""
    only: str = ""
    after_line: journal.OnLine = journal.nothing
    around: Around | None = None

    @property
    def proves(self) -> bool:
        """Whether the whole cluster is proven at the end; a part of it proves nothing."""
        return self.verify and not self.limit and not self.only


def agreed(reporter: Reporter, _wanted: Resolved) -> bool:
    """Whether a person agrees to the plan that was shown."""
    return reporter.ask("Apply this plan? [y/N] ").strip().lower().startswith("y")


def nothing_more(_found: Planned) -> tuple[str, ...]:
    """Nothing beyond the usual last words."""
    return ()


def apply(
    options: Options,
    reporter: Reporter,
    change: Choice = everything,
    consent: Consent = agreed,
    closing: Closing = nothing_more,
) -> Outcome:
    """Make the fleet what the inventory says, or what `change` makes of that.

    Args:
        options: the user's request.
        reporter: receives notes, the plan, progress and the result.
        change: turns all that the inventory wants into what hosts are to have; called again if hosts know of other
            allocations than this machine.
        consent: asks a person once the plan is shown; skipped with `--yes` or a saved plan.
        closing: what is true after success, and what to do next, a line each; empty where the next plan is empty.
    """

    def choose(whole: Resolved) -> Resolved:
        return part(change(whole), options.limit, options.only)

    with opened(options.inputs, reporter, limit=options.limit, locks=True) as session:
        whole = session.resolve()
        say_left_out(reporter, whole, options.limit, options.only)
        with locked(session, force=options.break_lock, skip=options.skip_unreachable) as run:
            left, outcome = _applied(run, whole, choose, options, consent, closing)
            swept = left if outcome is Outcome.DONE and not run.lost.is_set() else []
            _sweep(run, [name for name in swept if name not in session.masters])
        _sweep(session, [name for name in swept if name in session.masters])  # the lock is in the folder that goes
        return outcome


def _sweep(session: Session, names: Collection[str]) -> None:
    """Remove our own folder on hosts that have nothing of the cluster any more."""
    if names:
        session.ask(names, lambda way: way.run(SWEEP))


def _applied(
    session: LockedSession, whole: Resolved, choose: Choice, options: Options, consent: Consent, closing: Closing
) -> tuple[list[str], Outcome]:
    """Look, plan, ask and carry out; the hosts that have nothing of the cluster then, and what came of it."""
    began, reporter = time.monotonic(), session.reporter
    if options.around is None:
        require_none(session.cluster)
    wanted, seen = reached(*session.observe(whole, choose), skip=options.skip_unreachable)
    if options.skip_unreachable:
        seen = skipped(reporter, seen)
    found = planned(session, wanted, seen, options.batch, replace_keys=options.replace_keys)
    left = [host.name for host in wanted.cluster.everyone if _is_left(host.name, found)]
    if options.saved_plan is not None:
        require_same(options.saved_plan, found)
    if not found.plan:
        keep(wanted.cluster, wanted.given.allocations)
        _note_use(found)
        return left, _undone(session, found, options) if wanted.undoes else _unchanged(session, found, closing)
    preflight_seconds = 0.0
    if options.preflight:
        fits, preflight_seconds = before_install(session, wanted, seen.seen, found.plan)
        if not fits:
            return left, Outcome.FAILED
    asked = time.monotonic()
    reporter.plan(wanted, found.plan)
    warn_of_unreached(reporter, seen)
    if not (options.yes or options.saved_plan is not None or consent(reporter, wanted)):
        reporter.say("nothing was changed")
        return left, Outcome.FAILED
    began += time.monotonic() - asked  # a person's time is not the run's
    return left, _change(session, found, options, began, preflight_seconds, closing)


def _is_left(host: str, found: Planned) -> bool:
    """Whether a host has a record, and nothing is wanted of it."""
    recorded = isinstance(found.seen.seen.get(records.question(host).ref), SeenRecord)
    part = bool(found.wanted.undoes) or found.wanted.only is not None
    return recorded and not part and all(ref.host != host for ref in found.wanted.whole)


def _change(
    session: LockedSession,
    found: Planned,
    options: Options,
    began: float,
    preflight_seconds: float,
    closing: Closing,
) -> Outcome:
    """Carry out the plan, verify the cluster, and report the result.

    Args:
        session: the locked session.
        found: the plan.
        options: the user's request.
        began: when the command began, plus the time that a person took to answer; monotonic seconds.
        preflight_seconds: how long preflight took.
        closing: see `apply`.
    """
    reporter, wanted = session.reporter, found.wanted
    if wanted.moves_members and not (wanted.undoes or wanted.restores):  # what brings a cluster back waits for nothing
        idle = idle_in(wanted, found.seen)
        early = _awaited(session, found, unproven(wanted.desired, found.seen.seen, found.plan, idle))
        if early.broken:
            reporter.ended(early)
            return Outcome.FAILED
    # before any host has it: a run that dies gives nothing out twice
    keep(found.wanted.cluster, found.wanted.given.allocations)
    found = _with_keys(session, found, options.batch)
    if options.around is not None:
        options.around.begins()
    _note_use(found)
    found.seen.prepare(change.ref.host for change in found.plan.changes)
    with session.journal(found.wanted, found.plan, options.after_line) as book:
        run, undone = carried_out(
            found.plan, found.seen.remotes, book, session.lost, reporter, roll_back=options.roll_back
        )
        if options.around is not None:
            options.around.ends(found, run)
        broken = bool(run.failures or run.skipped)
        proof = prove(found.wanted, found.seen, reporter.check) if options.proves and not broken else None
        well = not broken and (proof is None or proof.passed) and not found.seen.unreachable
        book.write("sent", bytes=dict(run.sent))
        book.close(history.DONE if well else "failed")
    seconds = time.monotonic() - began
    reporter.ended(
        RunResult(
            found.plan, run, session.trace.path, tuple(undone), proof, preflight_seconds, seconds,
            changed=True, closing=closing(found),
        )
    )  # fmt: skip
    warn_of_unreached(reporter, found.seen)
    return Outcome.DONE if well else Outcome.FAILED


def _note_use(found: Planned) -> None:
    """Know the roots that hosts have or are given now; a way back may give them others."""
    wanted, changes = found.wanted, found.plan.changes
    if not wanted.undoes:
        sent = {name for change in changes if isinstance(change.after, File) for name in change.after.made_of}
        had = trust.shared({**wanted.roots, **wanted.desired}, found.seen.seen, wanted.keys)
        note_use(wanted.inventory, wanted.profile, had | sent)


def _with_keys(session: LockedSession, found: Planned, batch: Batch) -> Planned:
    """Make the keys that the plan would send, or the step of a rotation, now that it is agreed to.

    Returns:
        The same plan, with these keys.
    """
    wanted, templates = found.wanted, session.inputs.templates
    pending = any(isinstance(change.after, File) and change.after.pending for change in found.plan.changes)
    if not pending and wanted.advance is None:
        return found

    def keys(cluster: Cluster, profile: Profile) -> pki.Pki:
        needed, ask = leaves(cluster, profile), session.reporter.passphrase
        return pki.ensure(pki_folder(cluster), needed, ask, wanted.renews or (), wanted.advance)

    whole = desire(wanted.inventory, wanted.profile, templates, keys, wanted.given.allocations)
    wanted = with_keys(wanted, whole)
    return Planned(wanted, found.seen, made_of(wanted, found.seen, batch))


def _undone(session: LockedSession, found: Planned, options: Options) -> Outcome:
    """Nothing to undo, as after a turn that was undone when it failed: the journal records this rollback as done."""
    with session.journal(found.wanted, found.plan, options.after_line) as book:
        outcome = _unchanged(session, found, nothing_more)
        book.close("failed" if found.seen.unreachable else history.DONE)
    return outcome


def _unchanged(session: LockedSession, found: Planned, closing: Closing) -> Outcome:
    """Nothing to change; but an earlier run may have died before its last gate, so health is awaited all the same."""
    reporter, seen = session.reporter, found.seen
    reporter.plan(found.wanted, found.plan)
    end = replace(_awaited(session, found, found.wanted.desired), closing=closing(found))
    reporter.ended(end)
    warn_of_unreached(reporter, seen)
    return Outcome.DONE if not (end.broken or seen.unreachable) else Outcome.FAILED


def _awaited(session: LockedSession, found: Planned, refs: Iterable[Ref]) -> RunResult:
    """Wait until the gates among these hold; nobody is asked twice that holds at once."""
    desired, remotes, reporter = found.wanted.desired, found.seen.remotes, session.reporter
    sick = waits(desired, [ref for ref, _ in fleet.unhealthy({ref: desired[ref] for ref in refs}, remotes)])
    run = Run((), interrupted=False)
    if sick:
        with stop_on_ctrl_c(session.lost, reporter.say) as stop, reporter.progress(sick) as show:
            run = engine.apply(sick, remotes, show, stop)
    return RunResult(sick, run, session.trace.path)
