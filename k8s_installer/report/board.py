"""The live view of a run: a row for each host with how far it is and what it does now; the whole run below."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from k8s_installer.model.desired import Turn
from k8s_installer.model.plan import INTERRUPTING, Change, Plan
from k8s_installer.model.resources import Gate, Kind
from k8s_installer.model.run import ENDED, Event, State
from k8s_installer.report.grouped import subject
from k8s_installer.report.names import spans
from k8s_installer.report.text import change_words

_BAR = 10  # characters of a host's bar
_BELOW = 4  # lines of the screen that are no hosts: the rest of them, the whole run, its turns, the cursor
_LONGEST = 120  # characters of what a gate answers
_URL = re.compile(r"^https?://\S+: ")  # the step says what is asked
_SHOWS_TIME = 2.0  # seconds after which a step shows how long it takes

_MARKS = {
    State.WAITING: ("·", "dim"),
    State.RUNNING: ("▸", "cyan"),
    State.DONE: ("✓", "green"),
    State.FAILED: ("✗", "red"),
    State.SKIPPED: ("-", "yellow"),
}
# Which hosts are shown where there are too many for the screen.
_FIRST = (State.FAILED, State.RUNNING, State.SKIPPED, State.WAITING, State.DONE)


def with_time(change: Change, detail: str, seconds: float) -> str:
    """What is said of a step while it lasts: what it waits for, and for how long; of a gate also how long it may."""
    limit = f" of {change.after.deadline:.0f}" if isinstance(change.after, Gate) else ""
    taken = f"{seconds:.0f}{limit} s" if seconds >= _SHOWS_TIME else ""
    return ", ".join(filter(None, (_URL.sub("", detail)[:_LONGEST], taken)))


@dataclass(slots=True)
class _Part:
    """Changes that are counted together: those of a host, or of a turn."""

    total: int = 0
    ended: int = 0
    done: int = 0
    begun: bool = False
    worst: State = State.DONE
    running: dict[int, None] = field(default_factory=dict)

    @property
    def state(self) -> State:
        if self.worst is State.FAILED:
            return State.FAILED
        if self.ended == self.total:
            return self.worst
        return State.RUNNING if self.begun else State.WAITING

    def take(self, event: Event) -> None:
        self.begun = True
        if event.state not in ENDED:
            self.running[event.index] = None
            return
        self.ended += 1
        self.done += event.state is State.DONE
        self.running.pop(event.index, None)
        if event.state is not State.DONE and self.worst is not State.FAILED:
            self.worst = event.state


class Board:
    """How far a run is, drawn whenever the screen asks; events come from another thread.

    Args:
        plan: what is carried out.
        clock: the monotonic clock that events have, in seconds.
    """

    def __init__(self, plan: Plan, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan, self._clock, self._began = plan, clock, clock()
        self._lock = threading.Lock()
        self._all = _Part(len(plan.changes))
        self._hosts: dict[str, _Part] = {}
        self._turns: dict[Turn, _Part] = {}
        self._since: dict[int, float] = {}
        self._details: dict[int, str] = {}
        for change in plan.changes:
            for part in (self._host(change), self._turns.setdefault(change.turn, _Part())):
                part.total += 1
        interrupted = [change.turn for change in plan.changes if change.action in INTERRUPTING and change.turn.group]
        self._rolling = list(dict.fromkeys(interrupted))

    def take(self, event: Event) -> None:
        """Keep what an event says."""
        change = self._plan.changes[event.index]
        with self._lock:
            self._since.setdefault(event.index, event.at)
            if event.state not in ENDED:  # what has begun is not being sent any more
                self._details[event.index] = event.detail
            for part in (self._all, self._host(change), self._turns[change.turn]):
                part.take(event)

    def __rich_console__(self, console: Console, _options: ConsoleOptions) -> RenderResult:
        """The board as it stands."""
        with self._lock:
            yield self._rows(max(1, console.height - _BELOW))
            hidden = self._hidden(max(1, console.height - _BELOW))
            if hidden:
                yield Text(hidden, "dim", no_wrap=True, overflow="ellipsis")
            yield Text(self._sum(), "bold", no_wrap=True, overflow="ellipsis")

    def _host(self, change: Change) -> _Part:
        return self._hosts.setdefault(subject(change), _Part())

    def _shown(self, room: int) -> list[str]:
        """The hosts that have a row, in the order of the plan."""
        if len(self._hosts) <= room:
            return list(self._hosts)
        first = sorted(self._hosts, key=lambda host: _FIRST.index(self._hosts[host].state))[:room]
        return [host for host in self._hosts if host in first]

    def _rows(self, room: int) -> Table:
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        for _ in range(3):
            table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)  # the others keep their width
        for host in self._shown(room):
            part = self._hosts[host]
            mark, style = _MARKS[part.state]
            table.add_row(
                Text.assemble((f"{mark} ", style), (host, "bold")), _bar(part, style),
                Text(f"{part.done:>{len(str(part.total))}}/{part.total}", "dim"), self._now(part),
            )  # fmt: skip
        return table

    def _now(self, part: _Part) -> Text:
        """What a host does: the step that it does longest."""
        if part.worst is State.FAILED:
            return Text("failed", "red")
        if not part.running:
            return Text("")
        index, *others = part.running
        change, seconds = self._plan.changes[index], self._clock() - self._since[index]
        rest = with_time(change, self._details.get(index, ""), seconds)
        does = change_words(change)
        if others and all(self._plan.changes[other].ref.kind is Kind.PACKAGE for other in part.running):
            does, others = f"{change.action} {len(part.running)} packages", []  # one transaction of yum's
        return Text(": ".join(filter(None, (does, rest))) + (f" (+{len(others)})" if others else ""))

    def _hidden(self, room: int) -> str:
        shown = self._shown(room)
        states = [part.state for host, part in self._hosts.items() if host not in shown]
        words = {State.DONE: "done", State.WAITING: "waiting", State.RUNNING: "in work", State.SKIPPED: "skipped",
                 State.FAILED: "failed"}  # fmt: skip
        counts = [f"{states.count(state)} {word}" for state, word in words.items() if state in states]
        return f"  {len(states)} more: {', '.join(counts)}" if states else ""

    def _sum(self) -> str:
        minutes, seconds = divmod(int(self._clock() - self._began), 60)
        return "  ".join([f"{self._all.done} of {self._all.total} steps", f"{minutes}:{seconds:02}", *self._rolls()])

    def _rolls(self) -> Iterator[str]:
        """Which members have had their turn, and which have it."""
        groups: dict[str, list[Turn]] = {}
        for turn in self._rolling:
            groups.setdefault(turn.group, []).append(turn)
        for group, turns in groups.items():
            if len(turns) > 1:
                over = sum(self._turns[turn].ended == self._turns[turn].total for turn in turns)
                now = [turn.member for turn in turns if self._turns[turn].state is State.RUNNING]
                whose = f" ({spans(now)})" if now else ""
                yield f"{group}: {over} of {len(turns)} turns{whose}"


def _bar(part: _Part, style: str) -> Text:
    full = part.done * _BAR // part.total
    return Text.assemble(("━" * full, style), ("━" * (_BAR - full), "bright_black"))
