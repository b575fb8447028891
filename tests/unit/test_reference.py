"""The reference pages: fresh, complete, and with an example of every command."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from k8s_installer.cli.app import app
from tools.reference import REPO, files
from tools.reference.commands import PROGRAM, Command, commands, shared

COMMANDS = {one.name: one for one in commands()}


@pytest.mark.parametrize("path", [*files()], ids=lambda path: path.name)
def test_pages_are_fresh(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == files()[path], f"{path.relative_to(REPO)} is out of date: make reference"


def parsers(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - click's
    yield " ".join(words), command
    for name, inner in getattr(command, "commands", {}).items():
        yield from parsers(inner, (*words, name))


PARSERS = dict(parsers(typer.main.get_command(app)))


def test_every_command_of_the_program_is_there() -> None:
    assert {"", *COMMANDS} == {*PARSERS}


@pytest.mark.parametrize("name", [*COMMANDS])
def test_options_are_those_that_the_program_parses(name: str) -> None:
    parsed = {opt for one in PARSERS[name].params for opt in (*one.opts, *one.secondary_opts) if opt.startswith("-")}
    written = {word for one in COMMANDS[name].options for word in one.written.replace(",", "").split()}
    everywhere = {word for one in shared()[1] for word in one.written.split(", ")} - {"-h", "--help"}
    assert {word for word in written if word.startswith("-")} | (
        everywhere if not COMMANDS[name].group else set()
    ) == parsed
    required = {opt for one in PARSERS[name].params if one.required for opt in one.opts if opt.startswith("--")}
    assert {
        word for one in COMMANDS[name].options if one.required for word in one.written.split() if word.startswith("--")
    } == required


@pytest.mark.parametrize("one", [one for one in COMMANDS.values() if not one.group], ids=lambda one: one.name)
def test_help_explains_every_command_and_option_and_has_an_example(one: Command) -> None:
    assert any(f"{example} ".startswith(f"{PROGRAM} {one.name} ") for example in one.examples), one.notes
    assert one.summary.endswith((".", ")"))
    for option in (*one.options, *one.arguments):
        assert option.help, option.written


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_groff_has_no_complaint_of_the_man_page() -> None:
    page = REPO / "docs/man/k8s-installer.1"
    made = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-Tutf8", str(page)], capture_output=True, text=True, check=True
    )
    assert made.stderr == ""
