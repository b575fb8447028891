"""Where words go: data to stdout, everything else to stderr; and how a run ends."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterable, Iterator
from enum import IntEnum, StrEnum

import typer
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.text import Text

from k8s_installer.errors import InputError, InstallerError
from k8s_installer.flows.outcome import Outcome
from k8s_installer.report import errors
from k8s_installer.report.layout import fitted
from k8s_installer.untrusted.visible import json_text, visible


class Exit(IntEnum):
    """The exit codes."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PENDING = 3
    INTERRUPTED = 130


_EXITS = {Outcome.DONE: Exit.DONE, Outcome.PENDING: Exit.PENDING, Outcome.FAILED: Exit.FAILED}


class Output(StrEnum):
    """The forms of what goes to stdout."""

    TEXT = "text"
    JSON = "json"


class _Screen(Console):
    """A console that obeys only us: every piece of text that it shows comes by here, and colours are ours to add."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `Console.render`; control characters of the text are spelled out."""
        return _spelled_out(super().render(renderable, options))


def _spelled_out(segments: Iterable[Segment]) -> Iterator[Segment]:
    for segment in segments:
        yield segment if segment.control else Segment(visible(segment.text), segment.style)


def stdout() -> Console:
    """For data: what a pipe wants to read."""
    return _Screen(highlight=False, soft_wrap=True)


def stderr() -> Console:
    """For people: progress, questions, errors."""
    return _Screen(stderr=True, highlight=False)


def print_lines(console: Console, lines: Iterable[Text]) -> None:
    """Lines broken at words where the terminal is too narrow for them; whole ones elsewhere."""
    for line in lines:
        for fit in fitted(line, console):
            console.print(fit, soft_wrap=True)


def print_group(console: Console, shown: RenderableType) -> None:
    """What has been made ready for people: its lines as `print_lines` does, and anything else as it is."""
    if isinstance(shown, Text):
        print_lines(console, shown.split())
    elif isinstance(shown, Group):
        for part in shown.renderables:
            print_group(console, part)
    else:
        console.print(shown)


def ask_passphrase(path: str) -> bytes:
    """Ask for the passphrase of a key on the terminal, without showing it; it is kept nowhere.

    Raises:
        InputError: there is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise InputError(
            f"{path} has a passphrase, but there is no terminal to ask for it",
            hint="run this in a terminal: a certificate must be signed with that key. A passphrase is never read from "
            "an option, a variable or a pipe",
        )
    return getpass.getpass(f"Passphrase of {path}: ", sys.stderr).encode()


def print_json(data: object) -> None:
    """Data as JSON on stdout."""
    sys.stdout.write(json_text(data, indent=2) + "\n")


def print_error(error: InstallerError) -> None:
    """What is wrong, and what to do about it."""
    print_lines(stderr(), errors.lines(error))


def stop(code: Exit | Outcome) -> typer.Exit:
    """The exception that ends the program with this exit code; the one place where a flow's outcome becomes one."""
    return typer.Exit(int(_EXITS[code] if isinstance(code, Outcome) else code))
