"""Text in a picture: how wide it is, and how it is broken and shortened to fit. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from k8s_installer.untrusted.visible import visible

CUT = "…"
_BREAKS = " -./,:"  # a line may end after one of these
_WIDE = "WF"  # East Asian characters of double width


def columns(text: str) -> int:
    """How many columns a text takes in a font whose characters are all as wide."""
    return sum(0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in _WIDE) for char in text)


def shortened(text: str, width: int) -> str:
    """The text, or its beginning and a mark, in so many columns; in one line, without characters that hide."""
    text = " ".join(visible(text).split())
    if columns(text) <= width:
        return text
    while columns(text) >= width:
        text = text[:-1]
    return text + CUT


def wrapped(text: str, width: int, most: int) -> list[str]:
    """The text in at most so many lines of so many columns; where it is longer, the last line ends with a mark."""
    rest = " ".join(visible(text).split())
    lines: list[str] = []
    while rest and len(lines) < most - 1:
        line = rest if columns(rest) <= width else _line(rest, width)
        lines.append(line.rstrip())
        rest = rest[len(line) :].lstrip()
    return [*lines, *([shortened(rest, width)] if rest else [])]


def _line(text: str, width: int) -> str:
    """What of a text fits one line: up to the last place to break it, or as much as there is room for."""
    fitting = next(part for part in _shorter(text) if columns(part) <= width)
    end = max(fitting.rfind(sign) for sign in _BREAKS) + 1
    return fitting[:end] if end > 0 else fitting


def _shorter(text: str) -> Iterator[str]:
    """Ever less of a text, down to one character."""
    return (text[:end] for end in range(len(text), 0, -1))
