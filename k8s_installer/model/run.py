"""What became of a plan's changes, as values: each event, and the run that they make up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """What has become of one change."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    PROGRESS = "progress"  # no state to be in: how far the upload of its file is, or what a gate waits for


ENDED = frozenset({State.DONE, State.FAILED, State.SKIPPED})


@dataclass(frozen=True, slots=True)
class Event:
    """A change reached a state, at `at` seconds of the monotonic clock; `detail` is evidence or cause.

    `sent` is for the run's own count: how many bytes of an upload that has ended went over the wire.
    """

    index: int
    state: State
    at: float
    detail: str = ""
    sent: int = 0


OnEvent = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Run:
    """What happened: every event in order. `interrupted` says that the user asked to stop.

    `sent` is how many bytes of large files went over the wire, by host; hosts to which none went are not in it.
    """

    events: tuple[Event, ...]
    interrupted: bool
    sent: Mapping[str, int] = field(default_factory=dict)

    @property
    def failures(self) -> tuple[Event, ...]:
        """The real causes: what failed, not what was skipped because of it."""
        return tuple(event for event in self.events if event.state is State.FAILED)

    @property
    def skipped(self) -> tuple[Event, ...]:
        """What was never begun."""
        return tuple(event for event in self.events if event.state is State.SKIPPED)
