"""A run while it happens: a live table of hosts and phases on a terminal, host-prefixed lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import Kind
from k8s_installer.model.run import Event, OnEvent, State
from k8s_installer.report.grouped import about
from k8s_installer.report.text import change_words

_MARKS = {
    State.WAITING: ("·", "dim"),
    State.RUNNING: ("…", "cyan"),
    State.DONE: ("✓", "green"),
    State.FAILED: ("✗", "red"),
    State.SKIPPED: ("-", "dim"),
}


@contextmanager
def shown(plan: Plan, console: Console) -> Iterator[OnEvent]:
    """Show a run of `plan` as it happens; call what this gives with every event."""
    hosts = list(dict.fromkeys(change.ref.host for change in plan.changes))
    # a table that does not fit the screen cannot be redrawn in place
    if console.is_terminal and len(hosts) + 6 <= console.height:
        board = Board(plan, hosts)
        with Live(board.table(), console=console, refresh_per_second=8) as live:

            def redraw(event: Event) -> None:
                board.take(event)
                live.update(board.table())

            yield redraw
    else:
        lines = Lines(plan, console)
        yield lines.take


class Lines:
    """A line for every change that is done or has failed; what was skipped is counted at the end."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan, self._console = plan, console
        self._begun: dict[int, float] = {}

    def take(self, event: Event) -> None:
        """Print what an event says, if it ends a change or names what is waited for; the time of an upload counts."""
        change = self._plan.changes[event.index]
        if event.state is State.PROGRESS and change.ref.kind is Kind.GATE:
            self._console.print(f"{change.ref.host}: {change.ref.name}: {event.detail}", markup=False, soft_wrap=True)
        if event.state in (State.PROGRESS, State.RUNNING):
            self._begun.setdefault(event.index, event.at)
        if event.state not in (State.DONE, State.FAILED):
            return
        seconds = event.at - self._begun.get(event.index, event.at)
        tail = "FAILED" if event.state is State.FAILED else f"{seconds:.1f} s"
        self._console.print(f"{about(change)}: {change_words(change)}: {tail}", markup=False, soft_wrap=True)


class Board:
    """Hosts by phases; each cell says how far its changes are."""

    def __init__(self, plan: Plan, hosts: list[str]) -> None:
        self._plan, self._hosts = plan, hosts
        self._phases = list(dict.fromkeys(change.component for change in plan.changes))
        self._states = [State.WAITING] * len(plan.changes)
        self._cells: dict[tuple[str, str], list[int]] = {}
        for index, change in enumerate(plan.changes):
            self._cells.setdefault((change.ref.host, change.component), []).append(index)
        self._now = ""

    def take(self, event: Event) -> None:
        """Keep what an event says."""
        change = self._plan.changes[event.index]
        if event.state is State.PROGRESS:
            self._now = f"{change.ref.host}: {change.ref.name} {event.detail}"
            return
        self._states[event.index] = event.state
        if event.state is State.RUNNING:
            self._now = f"{about(change)}: {change_words(change)}"

    def table(self) -> Table:
        """The board as it stands, with what began last under it."""
        table = Table(box=None, caption=self._now, caption_justify="left", pad_edge=False)
        table.add_column("host", style="bold")
        for phase in self._phases:
            table.add_column(phase.removeprefix("kube-"), justify="center")
        for host in self._hosts:
            table.add_row(host, *(self._cell(host, phase) for phase in self._phases))
        return table

    def _cell(self, host: str, phase: str) -> Text:
        states = [self._states[index] for index in self._cells.get((host, phase), ())]
        if not states:
            return Text("")
        for state in (State.FAILED, State.SKIPPED):
            if state in states:
                return Text(*_MARKS[state])
        done = states.count(State.DONE)
        if done == len(states):
            return Text(*_MARKS[State.DONE])
        running = State.RUNNING in states or done
        return Text(f"{done}/{len(states)}", "cyan") if running else Text(*_MARKS[State.WAITING])
