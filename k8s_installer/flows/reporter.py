"""What flows report to. How it looks, and on which stream it goes, is up to the Reporter."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from k8s_installer.errors import InstallerError
from k8s_installer.model.plan import Plan
from k8s_installer.model.run import OnEvent, Run

if TYPE_CHECKING:  # only types: `--help` needs none of these modules
    from k8s_installer.flows.resolve import Resolved
    from k8s_installer.preflight import Preflight
    from k8s_installer.verify import CheckResult, Proof

Say = Callable[[str], None]
OnRecord = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a plan was carried out, or the wait for health if there was nothing to change (`changed` is false).

    `undone` has the plan that undid each failed turn, with its run. `total_seconds` is for the whole command, without
    the time that a person took to answer. `trace` is the file with everything that hosts were sent and answered.
    `closing` is what is true after success and what to do next, where that is not an empty plan.
    """

    plan: Plan
    run: Run
    trace: Path
    undone: tuple[tuple[Plan, Run], ...] = ()
    proof: Proof | None = None
    preflight_seconds: float = 0.0
    total_seconds: float = 0.0
    changed: bool = False
    closing: tuple[str, ...] = ()

    @property
    def broken(self) -> bool:
        """Whether something failed or was not begun."""
        return bool(self.run.failures or self.run.skipped)


class Reporter(Protocol):
    """Receives what a flow has to report. Text is plain, and mostly one line."""

    @property
    def on_record(self) -> OnRecord | None:
        """Takes each script and each answer of a host: a line about it, and all of it; None if nobody wants that.

        May be called from any thread. There is no secret in it.
        """

    def say(self, words: str) -> None:
        """Report a fact or a next step."""

    def warn(self, words: str) -> None:
        """Report something that needs attention."""

    def alarm(self, words: str) -> None:
        """Report trouble outside the current step, such as a lost lease. May be called from any thread."""

    def result(self, line: str) -> None:
        """Give one line of the command's own output: data, for a pipe to read."""

    def error(self, error: InstallerError) -> None:
        """Report an error that does not end the command."""

    def working(self, words: str) -> AbstractContextManager[Say]:
        """Show that something takes time, inside the `with`; call the yielded function to replace the words."""

    def ask(self, question: str) -> str:
        """Return a person's answer to a question."""

    def passphrase(self, path: str) -> bytes:
        """Return the passphrase of a key. Raises InputError if there is nobody to ask."""

    def preflight(self, found: Preflight) -> None:
        """Show what preflight found on the hosts that get packages."""

    def plan(self, wanted: Resolved, plan: Plan) -> None:
        """Show a plan, also one without changes."""

    def progress(self, plan: Plan) -> AbstractContextManager[OnEvent]:
        """Show how far a plan is, inside the `with`; the yielded function takes each event, from any thread."""

    def check(self, result: CheckResult) -> None:
        """Show one check of the cluster, as soon as its result is known."""

    def ended(self, end: RunResult) -> None:
        """Show how a run ended."""
