"""Where words go: data to stdout, everything else to stderr; and how a run ends."""

from __future__ import annotations

import json
import sys
from enum import IntEnum, StrEnum

import typer
from rich.console import Console
from rich.text import Text

from k8s_installer.errors import InstallerError


class Exit(IntEnum):
    """The exit codes."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PENDING = 3
    INTERRUPTED = 130


class Output(StrEnum):
    """The forms of what goes to stdout."""

    TEXT = "text"
    JSON = "json"


def stdout() -> Console:
    """For data: what a pipe wants to read."""
    return Console(highlight=False, soft_wrap=True)


def stderr() -> Console:
    """For people: progress, questions, errors."""
    return Console(stderr=True, highlight=False)


def print_json(data: object) -> None:
    """Data as JSON on stdout."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def print_error(error: InstallerError) -> None:
    """One message, and what to do about it."""
    console = stderr()
    lines = [*error.message.splitlines(), *(f"  {line}" for line in error.hint.splitlines())]
    for line in lines:
        words = Text(line, "yellow") if line.startswith("  ") else Text.assemble(("error: ", "bold red"), line)
        console.print(words, soft_wrap=True)


def print_note(line: str) -> None:
    """One line that people should know, where there is anything to say."""
    if line:
        stderr().print(line, style="yellow", markup=False, soft_wrap=True)


def stop(code: Exit) -> typer.Exit:
    """The exception that ends the program with this exit code."""
    return typer.Exit(int(code))
