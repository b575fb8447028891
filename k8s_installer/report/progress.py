"""A run while it happens: a live view of hosts on a terminal, calm lines elsewhere."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import Check, Gate, Kind
from k8s_installer.model.run import Event, OnEvent, State
from k8s_installer.report.board import Board, with_time
from k8s_installer.report.grouped import about
from k8s_installer.report.text import change_words

_REDRAWN = 4  # times a second
_PATIENCE = 10.0  # seconds between two lines about the same wait
_NAMED = 2  # files that are named; of more there is a count
_QUICK = (Kind.FILE, Kind.RECORD)  # what is done in a moment, and told together

Now = Callable[[], dt.datetime]


def _utc() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@contextmanager
def shown(plan: Plan, console: Console, *, each: bool = False, now: Now = _utc) -> Iterator[OnEvent]:
    """Show a run of `plan` as it happens; call what this gives with every event.

    Args:
        plan: what is carried out.
        console: where to.
        each: whether every change is a line, also on a terminal.
        now: the time of day, in UTC.
    """
    if console.is_terminal and not each:
        board = Board(plan)
        with Live(board, console=console, refresh_per_second=_REDRAWN, vertical_overflow="crop"):
            yield board.take
    else:
        lines = Lines(plan, console, each=each, now=now)
        yield lines.take
        lines.flush()


class Lines:
    """A line for what took time, and for what is waited for; files together, what was skipped not at all."""

    def __init__(self, plan: Plan, console: Console, *, each: bool = False, now: Now = _utc) -> None:
        self._plan, self._console, self._each, self._now = plan, console, each, now
        self._begun: dict[int, float] = {}
        self._told: dict[int, float] = {}
        self._quick: dict[str, list[str]] = {}  # by host: what was done in a moment since its last line

    def take(self, event: Event) -> None:
        """Print what an event says, if it is news; the time of an upload counts for its change."""
        change = self._plan.changes[event.index]
        host = about(change)
        if event.state in (State.PROGRESS, State.RUNNING):
            self._begun.setdefault(event.index, event.at)
            if event.detail:
                self._wait(event)
            return
        if event.state not in (State.DONE, State.FAILED):
            return
        seconds = event.at - self._begun.get(event.index, event.at)
        if event.state is State.DONE and change.ref.kind in _QUICK and not self._each and seconds < 1:
            self._quick.setdefault(host, []).append(change_words(change))
            return
        self._flush(host)
        tail = "FAILED" if event.state is State.FAILED else f"{seconds:.1f} s"
        self._print(host, f"{change_words(change)}: {tail}", "red" if event.state is State.FAILED else "")

    def flush(self) -> None:
        """Print what was not worth a line of its own."""
        for host in list(self._quick):
            self._flush(host)

    def _wait(self, event: Event) -> None:
        change, begun = self._plan.changes[event.index], self._begun[event.index]
        drains = isinstance(change.after, Gate) and change.after.check is Check.DRAINED  # somebody may have to act
        if event.at - self._told.get(event.index, -_PATIENCE if drains else begun) < _PATIENCE:
            return
        self._told[event.index] = event.at
        seconds = event.at - begun
        self._print(about(change), f"{change_words(change)}: {with_time(change, event.detail, seconds)}")

    def _flush(self, host: str) -> None:
        words = self._quick.pop(host, [])
        if words:
            self._print(host, ", ".join(words) if len(words) <= _NAMED else f"{len(words)} files")

    def _print(self, host: str, words: str, style: str = "") -> None:
        line = Text.assemble((f"{self._now():%H:%M:%S} ", "dim"), (f"{host}: {words}", style))
        self._console.print(line, soft_wrap=True)
