"""Lines that fit a screen: broken at words, with what follows further in, so that each still reads as one."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

PROSE = 100  # columns beyond which a line of prose is hard to follow
_DEEPER = 4  # columns that what follows stands further in
_LEAST = 20  # columns that are left for words on the narrowest screen


def fitted(text: Text, console: Console, most: int = PROSE) -> Iterator[Text]:
    """A line as it fits a terminal, as one or more; as it is where it is not on a terminal, for grep wants whole lines.

    A line with a command stays whole, too: the terminal breaks it, and it can be copied.

    Args:
        text: the line.
        console: where it will be printed.
        most: columns that it may fill, however wide the terminal is.
    """
    width = min(console.width, most)
    if not console.is_terminal or text.cell_len <= width or "k8s-installer " in text.plain:
        yield text
        return
    indent = min(_blanks(text) + _DEEPER, max(0, width - _LEAST))
    first, *_ = text.wrap(console, width)
    yield first
    rest = text[len(first.plain) :]
    for line in rest[_blanks(rest) :].wrap(console, width - indent):
        yield Text.assemble(" " * indent, line)


def _blanks(text: Text) -> int:
    return len(text.plain) - len(text.plain.lstrip())
