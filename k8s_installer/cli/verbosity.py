"""How much is said: -q, -v and --debug, which every command has, also in front of its name."""

from __future__ import annotations

from contextvars import ContextVar
from enum import IntEnum
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class Verbosity(IntEnum):
    """How much goes to stderr; results on stdout are the same."""

    QUIET = 0  # errors and warnings
    NORMAL = 1
    VERBOSE = 2  # each change, and each script with its time
    DEBUG = 3  # what is in the trace


_CHOSEN: ContextVar[Verbosity] = ContextVar("verbosity", default=Verbosity.NORMAL)


def verbosity() -> Verbosity:
    """What the command line asked for."""
    return _CHOSEN.get()


def _choose(param: typer.CallbackParam, given: bool) -> None:
    if given:
        level = {"quiet": Verbosity.QUIET, "verbose": Verbosity.VERBOSE, "debug": Verbosity.DEBUG}
        _CHOSEN.set(level[str(param.name)])


def _options(
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", callback=_choose, is_eager=True, help="Show only results, warnings and errors."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", callback=_choose, is_eager=True, help="Show each change and each script.")
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            callback=_choose,
            is_eager=True,
            help="Show all that hosts are sent and answer, without secrets, on stderr.",
        ),
    ] = False,
) -> None:
    """Bear the options that `WithVerbosity` hands out."""


class WithVerbosity(TyperGroup):
    """The group of all commands; it and each of them get the options."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - as typer passes them on
        super().__init__(**settings)
        bearer = typer.Typer(add_completion=False)
        bearer.command()(_options)
        options = typer.main.get_command(bearer).params
        for option in options:
            option.expose_value = False  # the functions of commands do not take them
        waiting: list[Any] = [self]
        while waiting:
            command = waiting.pop()
            waiting += getattr(command, "commands", {}).values()
            if command is self or not hasattr(command, "commands"):
                command.params = [*command.params, *options]
