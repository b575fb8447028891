"""What flows say while they work. How it looks, and on which stream, is the Reporter's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from k8s_installer.errors import InstallerError
from k8s_installer.model.plan import Plan
from k8s_installer.model.run import OnEvent, Run

if TYPE_CHECKING:  # types alone: `--help` loads none of them, and most commands neither of the last two
    from k8s_installer.flows.resolve import Resolved
    from k8s_installer.preflight import Preflight
    from k8s_installer.verify import CheckResult, Proof

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What came of the changes of a run, or of the wait for health where nothing was to change (`changed` is false).

    `undone` are the plans that undid failed turns, each with what became of it. `asking` are the seconds of preflight,
    `seconds` those of the whole command without a person's time. The trace is the file that has everything.
    """

    plan: Plan
    run: Run
    trace: Path
    undone: tuple[tuple[Plan, Run], ...] = ()
    proof: Proof | None = None
    asking: float = 0.0
    seconds: float = 0.0
    changed: bool = False

    @property
    def broken(self) -> bool:
        """Whether something failed or was not begun."""
        return bool(self.run.failures or self.run.skipped)


class Reporter(Protocol):
    """Whom a flow tells what happens. Words are plain text, mostly one line."""

    def say(self, words: str) -> None:
        """Something that is good to know."""

    def warn(self, words: str) -> None:
        """Something that a person should look at."""

    def alarm(self, words: str) -> None:
        """Something that went wrong beside the work, as the loss of a lock. May be called from any thread."""

    def result(self, line: str) -> None:
        """A line of what the command gives: data, which a pipe reads."""

    def error(self, error: InstallerError) -> None:
        """An error that does not end the command."""

    def working(self, words: str) -> AbstractContextManager[Say]:
        """Show inside the `with` that something takes its time; what this gives replaces the words."""

    def ask(self, question: str) -> str:
        """A person's answer to a question."""

    def passphrase(self, path: str) -> bytes:
        """The passphrase of a key. Raises InputError if there is nobody to ask."""

    def preflight(self, found: Preflight) -> None:
        """What preflight found on the hosts that packages would be installed on."""

    def plan(self, wanted: Resolved, plan: Plan) -> None:
        """What is about to be changed; a plan without changes says that nothing is."""

    def progress(self, plan: Plan) -> AbstractContextManager[OnEvent]:
        """Show inside the `with` how far a plan is; what this gives takes each event, from any thread."""

    def check(self, result: CheckResult) -> None:
        """One check of the cluster, when its result is known."""

    def ended(self, end: RunEnd) -> None:
        """A run is over."""
