"""The commands of the program as values, read from the functions that the Typer app registers and their annotations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from k8s_installer.cli.app import app

PROGRAM = "k8s-installer"
_EXAMPLE = re.compile(rf"`({PROGRAM} [^`]+)`")
_WORDS = {Path: "PATH", int: "N", float: "N", str: "TEXT"}


@dataclass(frozen=True, slots=True)
class Option:
    """An option or an argument: how it is written, what it means, and its default (empty: none, or it is off)."""

    written: str
    help: str
    default: str
    required: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command by its words, or a group of commands. `notes` are what its help says below the options."""

    words: tuple[str, ...]
    help: str
    notes: tuple[str, ...] = ()
    arguments: tuple[Option, ...] = ()
    options: tuple[Option, ...] = ()
    group: bool = False

    @property
    def name(self) -> str:
        """As it is typed, without the program's own name."""
        return " ".join(self.words)

    @property
    def usage(self) -> str:
        """How it is typed."""
        written = [
            one.written if one.required or one.written.startswith("[") else f"[{one.written}]" for one in self.arguments
        ]
        return " ".join([PROGRAM, *self.words, "[OPTIONS]", *written])

    @property
    def summary(self) -> str:
        """Its first paragraph."""
        return self.help.split("\n\n")[0]

    @property
    def examples(self) -> tuple[str, ...]:
        """The commands that its help shows."""
        return tuple(
            one
            for note in (self.help, *self.notes)
            for one in ([note.strip()] if note.strip().startswith(f"{PROGRAM} ") else _EXAMPLE.findall(note))
        )


def commands() -> tuple[Command, ...]:
    """All commands and groups, each group right before its commands; names in alphabetical order."""
    found = [command for command in _of(app, ()) if command.words]
    return tuple(sorted(found, key=lambda command: command.words))


def shared() -> tuple[tuple[Option, ...], tuple[Option, ...]]:
    """The options of the program alone, and those that every command has besides its own."""
    root: Any = typer.main.get_command(app)
    everywhere = {name for one in root.commands["validate"].params for name in one.opts}
    own = [one for one in root.params if {*one.opts} - everywhere]
    given = [one for one in root.params if {*one.opts} <= everywhere]
    return tuple(map(_written, own)), (*map(_written, given), Option("-h, --help", "Show help.", "", required=False))


def _written(parameter: Any) -> Option:  # noqa: ANN401 - click's
    return Option(", ".join(sorted(parameter.opts, key=len)), parameter.help or "", "", required=False)


def _of(group: typer.Typer, words: tuple[str, ...]) -> Iterator[Command]:
    for registered in group.registered_commands:
        function = registered.callback
        if function is not None and not registered.hidden:
            yield _command(function, (*words, registered.name or function.__name__), registered.epilog or "")
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            below = (*words, inner.name) if inner.name else words
            if inner.name:
                yield Command(below, str(inner.typer_instance.info.help), group=True)
            yield from _of(inner.typer_instance, below)


def _command(function: Callable[..., Any], words: tuple[str, ...], epilog: str) -> Command:
    hints = get_type_hints(function, include_extras=True)
    arguments: list[Option] = []
    options: list[Option] = []
    for name, parameter in inspect.signature(function).parameters.items():
        kind, info = get_args(hints[name])[:2] if hints[name] is not typer.Context else (None, None)
        if isinstance(info, ArgumentInfo) and not info.hidden:
            arguments.append(_argument(name, info, parameter))
        elif isinstance(info, OptionInfo) and not info.hidden:
            options.append(_option(name, kind, info, parameter))
    notes = tuple(note for note in epilog.split("\n\n") if note)
    return Command(words, inspect.getdoc(function) or "", notes, tuple(arguments), tuple(options))


def _argument(name: str, info: ArgumentInfo, parameter: inspect.Parameter) -> Option:
    written = info.metavar or name.upper().rstrip("_")
    return Option(written, info.help or "", "", parameter.default is parameter.empty)


def _option(name: str, kind: Any, info: OptionInfo, parameter: inspect.Parameter) -> Option:  # noqa: ANN401 - any type
    # in Annotated, Typer's first argument is the first name and not a default
    given = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str)]
    names = sorted(given, key=len) or [f"--{name.replace('_', '-')}"]
    flag = kind is bool
    if flag and not given:
        names.append(f"--no-{names[0].removeprefix('--')}")
    written = ", ".join(names) + ("" if flag else f" {info.metavar or _word(kind)}")
    help_ = f"{info.help} Or ${info.envvar}." if info.envvar else info.help or ""
    required = parameter.default is parameter.empty
    value = "" if required or parameter.default in (None, False) else parameter.default
    default = names[0] if value is True else str(value.value if isinstance(value, Enum) else value)
    return Option(written, help_, default, required)


def _word(kind: Any) -> str:  # noqa: ANN401 - any type
    """How a value of a type is named."""
    if get_origin(kind) in (Union, UnionType, list):
        return _word(next(one for one in get_args(kind) if one is not type(None)))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(one.value) for one in kind)
    return _WORDS[kind]
