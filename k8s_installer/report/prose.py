"""Paragraphs and labelled lines of 80 columns; nothing that somebody may want to copy is broken."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich.text import Text

from k8s_installer.errors import listed

WIDTH = 80
MOST = 24  # things of one kind that are shown; JSON has them all
NAMED = 6  # names that a line has


def wrapped(words: str, width: int, further: str = "") -> list[str]:
    """A text as lines, the second and later ones after `further`; at least one. Words longer than a line stay whole."""
    lines = textwrap.wrap(words, width, subsequent_indent=further, break_long_words=False, break_on_hyphens=False)
    return lines or [""]


def paragraph(words: str, indent: int = 2, style: str = "") -> Iterator[Text]:
    """A paragraph, indented; words longer than a line stay whole."""
    for line in wrapped(words, WIDTH - indent):
        yield Text(" " * indent + line, style)


def labelled(label: str, words: str, indent: int = 2, width: int = 14) -> Iterator[Text]:
    """A label and what it is, whose further lines stand below its first."""
    before = " " * indent
    lines = wrapped(words, WIDTH - indent - width)
    if len(label) >= width:  # what it is begins on the next line then
        yield Text(before + label, "dim")
    else:
        yield Text.assemble(before, (f"{label:<{width}}", "dim"), lines.pop(0))
    yield from (Text(before + " " * width + line) for line in lines)


def title(name: str, words: str) -> Iterator[Text]:
    """The first line of an explanation: what it is about, and what that is; as many lines as it takes."""
    first, *more = wrapped(f"{name}: {words}", WIDTH, "  ")
    head = first[: len(name)]  # a name without blanks stays whole
    yield Text.assemble((head, "bold"), first[len(head) :])
    yield from map(Text, more)


def heading(words: str) -> Iterator[Text]:
    """A heading, after an empty line."""
    yield Text()
    yield Text(words, "bold")


def rest(count: int, most: int = MOST, indent: int = 2) -> Iterator[Text]:
    """How many things of one kind there are beyond those that are shown, if there are."""
    if count > most:
        yield Text(f"{' ' * indent}... and {count - most} more (-o json has all)", "dim")


def named(hosts: Sequence[str]) -> str:
    """Hosts for a line."""
    return listed(hosts, NAMED)
