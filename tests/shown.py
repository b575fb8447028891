"""The commands that README and docs/ show, as a reader would type them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer

from k8s_installer.cli.app import app

REPO = Path(__file__).parents[1]
PROGRAM = "k8s-installer"
PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").rglob("*.md"))]
_LANGUAGES = ("", "console", "sh")
_FENCE = re.compile(r"^ *```(\w*)")
_SPAN = re.compile(r"`((?:[\w./]*/)?k8s-installer [a-z][^`]*|make [a-z][^`]*)`")
_ASSIGNMENT = re.compile(r"\w+=")
_OPERATORS = frozenset("|&;()")


@dataclass(frozen=True, slots=True)
class Shown:
    """A command on a page; `whole` if it can be typed as it stands, and not only named in a sentence.

    `reads` is the file that it gets as its input, empty for none.
    """

    page: Path
    line: int
    words: tuple[str, ...]
    whole: bool
    reads: str = ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPO)}:{self.line}: {shlex.join(self.words)}"

    @property
    def program(self) -> str:
        """`k8s-installer` or `make`."""
        return Path(self.words[0]).name


@cache
def _root() -> Any:  # noqa: ANN401 - click's
    return typer.main.get_command(app)


def command_of(words: Sequence[str]) -> tuple[str, Any]:
    """The command that words of the program's command line name, by its name, and what parses it."""
    here = _root()
    names = []
    for word in words:
        if word not in getattr(here, "commands", {}):
            break
        here = here.commands[word]
        names.append(word)
    return " ".join(names), here


def typed() -> dict[tuple[str, ...], Shown]:
    """The program's command lines that pages show to be typed, each with the first place that shows it."""
    found = [one for page in PAGES for one in shown(page) if one.program == PROGRAM and one.whole]
    return {one.words[1:]: one for one in reversed(found)}


def shown(page: Path) -> Iterator[Shown]:
    """The commands of a page: those of its blocks, and those that sentences and tables name."""
    language: str | None = None
    block: list[tuple[int, str]] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and language is None:
            language, block = fence[1], []
        elif fence:
            yield from _of_block(page, block) if language in _LANGUAGES else ()
            language = None
        elif language is not None:
            block.append((number, line.strip()))
        else:
            for span in _SPAN.findall(line):
                yield from _commands(page, number, span, whole=False)


def _of_block(page: Path, lines: Sequence[tuple[int, str]]) -> Iterator[Shown]:
    """What is typed in a block: the lines after a prompt, or all lines where there is none."""
    prompt = "$ " if any(line.startswith("$ ") for _, line in lines) else ""
    rest = [*lines]
    while rest:
        number, line = rest.pop(0)
        typed = line.startswith(prompt)
        line = line.removeprefix(prompt)
        while typed and line.endswith("\\") and rest:
            line = f"{line[:-1]} {rest.pop(0)[1]}"
        yield from _commands(page, number, line, whole=True) if typed else ()


def _commands(page: Path, number: int, line: str, *, whole: bool) -> Iterator[Shown]:
    """The simple commands of a line of shell that are ours."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split = True
    try:
        words = [*lexer, ";"]
    except ValueError:  # output, with an apostrophe in it
        return
    simple: list[str] = []
    redirected, reads = "", ""
    for word in words:
        if redirected:
            reads = word if redirected == "<" else reads
            redirected = ""
        elif set(word) <= set("<>"):
            redirected = word
            simple = simple[:-1] if simple[-1:] == ["2"] else simple
        elif set(word) <= _OPERATORS:
            while simple and (_ASSIGNMENT.match(simple[0]) or simple[0] == "sudo"):
                simple.pop(0)
            if simple and Path(simple[0]).name in (PROGRAM, "make"):
                yield Shown(page, number, tuple(simple), whole, reads)
            simple, reads = [], ""
        else:
            simple.append(word)
