"""The Reporter of the command line: results on stdout, everything else in colour on stderr.

Each part of `report/` is imported when it is needed: most commands need few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from k8s_installer.cli.console import (
    Output,
    ask_passphrase,
    print_error,
    print_group,
    print_json,
    print_lines,
    stderr,
    stdout,
)
from k8s_installer.cli.slowly import slowly
from k8s_installer.cli.verbosity import Verbosity, verbosity
from k8s_installer.errors import InstallerError

if TYPE_CHECKING:
    from k8s_installer.flows.reporter import OnRecord, RunResult, Say
    from k8s_installer.flows.resolve import Resolved
    from k8s_installer.model.plan import Plan
    from k8s_installer.model.run import OnEvent
    from k8s_installer.preflight import Preflight
    from k8s_installer.report.text import View
    from k8s_installer.verify import CheckResult, Proof

_DATE = len("2026-11-27 ")  # which -v leaves out of a record's time


class Terminal:
    """Shows what a flow reports, to people and to pipes.

    Args:
        inventory: named in the next command to type.
        output: what stdout gets.
        view: how much of a plan is shown.
        command: the command to type again after a failure.
    """

    def __init__(
        self, inventory: Path, output: Output = Output.TEXT, *, view: View | None = None, command: str = "apply"
    ) -> None:
        self._inventory, self._output, self._view, self._command = inventory, output, view, command
        self._verbosity = verbosity()

    @property
    def on_record(self) -> OnRecord | None:
        """With -v the first line of each record on stderr, with --debug all of it."""
        if self._verbosity < Verbosity.VERBOSE:
            return None
        whole = self._verbosity is Verbosity.DEBUG
        return lambda line, text: _line(text.rstrip("\n") if whole else line[_DATE:], "dim")

    @property
    def width(self) -> int | None:
        """The columns of stdout if it is a terminal."""
        console = stdout()
        return console.width if console.is_terminal else None

    def say(self, words: str) -> None:
        """A line on stderr."""
        if self._verbosity > Verbosity.QUIET:
            _line(words, "")

    def warn(self, words: str) -> None:
        """A yellow line on stderr."""
        _line(words, "yellow")

    def alarm(self, words: str) -> None:
        """A red line on stderr."""
        _line(words, "red")

    def error(self, error: InstallerError) -> None:
        """An error as main shows it, without an end."""
        print_error(error)

    def result(self, line: str) -> None:
        """A line on stdout."""
        stdout().print(line, markup=False)

    def show(self, lines: Callable[[], RenderableType], data: Callable[[], object]) -> None:
        """What a command found, on stdout: lines, or data as JSON."""
        if self._output is Output.JSON:
            print_json(data())
        else:
            print_group(stdout(), lines())

    @contextmanager
    def working(self, words: str) -> Iterator[Say]:
        """A spinner on a terminal; elsewhere a line now and then if it takes long."""
        console = stderr()
        if self._verbosity is Verbosity.QUIET:
            yield lambda _: None
        elif console.is_terminal:
            with console.status(Text(words)) as spinner:
                yield lambda now: spinner.update(Text(now))
        else:
            with slowly(words, lambda now: _line(now, "")) as update:
                yield update

    def ask(self, question: str) -> str:
        """Ask on stderr, for stdout may be a file."""
        return stderr().input(question, markup=False)

    def passphrase(self, path: str) -> bytes:
        """Ask without showing the answer. Raises InputError if there is no terminal."""
        return ask_passphrase(path)

    def preflight(self, found: Preflight) -> None:
        """What was found, if anything, and whether the install stops for it."""
        from k8s_installer.preflight import Severity
        from k8s_installer.report import preflight as report

        stops = bool(found.having(Severity.ERROR))
        if stops and self._output is Output.JSON:
            print_json({"preflight": report.data(found)})
        elif found.findings:
            print_group(stderr(), report.lines(found, self._inventory, again=False))
        if stops:
            words = f"nothing was changed; fix the errors, then: k8s-installer apply -i {self._inventory}"
            self.say(f"{words}    (--no-preflight skips this check)")

    def plan(self, wanted: Resolved, plan: Plan) -> None:
        """A plan on stdout, if that is for people."""
        if self._output is Output.JSON:
            return
        from k8s_installer.report import text

        if plan:
            view = self._view or text.USUAL
            print_lines(stdout(), text.plan_lines(wanted.cluster, plan, wanted.desired, view, wanted.keys_to_delete))
        elif wanted.resets:
            self.result("Nothing to remove: these hosts have nothing that was placed there.")
        elif wanted.undoes:
            self.result(f"Nothing to undo: the hosts are in the state before run {wanted.undoes[-1]}.")
        else:
            self.result(text.totals(plan))

    def progress(self, plan: Plan) -> AbstractContextManager[OnEvent]:
        """A row for each host on a terminal, or lines."""
        from k8s_installer.report import progress

        if self._verbosity is Verbosity.QUIET:
            return nullcontext(lambda _: None)
        return progress.shown(plan, stderr(), each=self._verbosity > Verbosity.NORMAL)

    def check(self, result: CheckResult) -> None:
        """A line for a check, and its evidence."""
        from k8s_installer.report import verify

        quiet = self._verbosity is Verbosity.QUIET and not result.evidence
        if not quiet and not verify.needs_an_image(result):
            print_group(stderr(), verify.lines(result))

    def proven(self, proof: Proof) -> None:
        """A warning, where the checks leave open whether pods start."""
        from k8s_installer.report import verify

        if words := verify.unproven(proof):
            self.warn(words)

    def ended(self, end: RunResult) -> None:
        """Data on stdout; the last words on stderr."""
        from k8s_installer.report import data, ending, verify

        if self._output is Output.JSON:
            proof = {"verify": verify.data(end.proof) if end.proof else None} if end.changed else {}
            print_json({**data.run_data(end.plan, end.run), **proof})
        if end.proof:
            self.proven(end.proof)
        if self._verbosity is Verbosity.QUIET and not end.broken:
            return
        if end.broken:
            lines = ending.failed(end.plan, end.run, end.undone, self._inventory, end.trace, self._command)
        elif end.changed:
            around = {"preflight": end.preflight_seconds, "verify": end.proof.seconds if end.proof else 0.0}
            lines = ending.applied(end.plan, end.run, around, end.total_seconds, self._inventory, end.closing)
        elif end.closing:
            lines = ending.closed(end.closing)
        else:
            return
        print_group(stderr(), lines)


def _line(words: str, style: str) -> None:
    print_lines(stderr(), (Text(line, style) for line in words.splitlines()))
