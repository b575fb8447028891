"""A plan carried out: each event in the journal before it is shown, and for every turn that failed the way back."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress

from k8s_installer.engine import scheduler as engine
from k8s_installer.engine.remote import Remote
from k8s_installer.errors import InstallerError
from k8s_installer.flows.interrupt import Stop, stop_on_ctrl_c
from k8s_installer.flows.reporter import Reporter
from k8s_installer.model.desired import Turn
from k8s_installer.model.plan import Plan
from k8s_installer.model.run import Event, Run, State
from k8s_installer.planning.undo import failed_turns, undo
from k8s_installer.runs.journal import Journal


def carried_out(
    made: Plan,
    remotes: Mapping[str, Remote],
    book: Journal,
    lost: threading.Event,
    reporter: Reporter,
    *,
    roll_back: bool,
) -> tuple[Run, list[tuple[Plan, Run]]]:
    """Run the plan, and for every turn that failed the way back; each with what became of it."""
    book.plan(made.changes)
    undone: list[tuple[Plan, Run]] = []
    with stop_on_ctrl_c(lost, reporter.say) as stop:

        def note(event: Event) -> None:
            if event.state is not State.PROGRESS:
                book.event(event, made.changes[event.index])
            show(event)

        with reporter.progress(made) as show:
            run = engine.apply(made, remotes, note, stop)
        for turn in failed_turns(made, run) if roll_back else ():
            back = undo(made, run, turn)
            if back:
                undone.append((back, _way_back(back, turn, remotes, book, stop, reporter)))
    return run, undone


def _way_back(
    back: Plan, turn: Turn, remotes: Mapping[str, Remote], book: Journal, stop: Stop, reporter: Reporter
) -> Run:
    """Undo a failed turn; only the loss of the lock, or a second Ctrl-C, ends it before it is done."""
    what = f"rolling back {turn.group} {turn.member}"
    reporter.warn(what)
    with stop.finishing(what), reporter.progress(back) as show:

        def note(event: Event) -> None:
            if event.state is not State.PROGRESS:
                with suppress(InstallerError):  # of all things, this must not stop for want of a line
                    book.undo(event, back.changes[event.index])
            show(event)

        way = engine.apply(back, remotes, note, stop.lost)
    with suppress(InstallerError):
        book.write("rollback", turn=f"{turn.group} {turn.member}", failures=len(way.failures))
    return way
