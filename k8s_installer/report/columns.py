"""Rows of cells as lines: in columns where these fit, else as a short paragraph for each row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.text import Text

from k8s_installer.report.names import spans

Row = tuple[Text, ...]

_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def lines(header: Sequence[str], rows: Sequence[Row], width: int | None = None) -> Iterator[Text]:
    """The rows below their header.

    Args:
        header: the names of the columns.
        rows: the cells.
        width: the columns of the terminal; None where lines may have any length.
    """
    titles: Row = tuple(Text(word, "bold") for word in header)
    widths = [max(cell.cell_len for cell in column) for column in zip(titles, *rows, strict=True)]
    if width is None or sum(widths) + 2 * (len(widths) - 1) <= width:
        yield from (_joined(row, widths) for row in (titles, *rows))
    else:
        first = list(dict.fromkeys(row[0].plain for row in rows))
        yield from _paragraphs(header, sorted(rows, key=lambda row: first.index(row[0].plain)))


def shared(rows: Sequence[Row]) -> list[Row]:
    """Rows that differ in the first cell and in times alone as one, with all first cells and the latest time."""
    alike: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        alike.setdefault(tuple(_TIME.sub("", cell.plain) for cell in row[1:]), []).append(row)
    return [_one(found) for found in alike.values()]


def _one(rows: Sequence[Row]) -> Row:
    latest = max(rows, key=lambda row: [_TIME.findall(cell.plain) for cell in row])
    return (Text(spans(row[0].plain for row in rows)), *latest[1:])


def _joined(row: Row, widths: Sequence[int]) -> Text:
    line = Text("  ").join(
        [Text.assemble(cell, " " * (width - cell.cell_len)) for cell, width in zip(row, widths, strict=True)]
    )
    line.rstrip()
    return line


def _paragraphs(header: Sequence[str], rows: Sequence[Row]) -> Iterator[Text]:
    """Each row on its own: the first cell above the rows that share it, the second ahead, then each with its name."""
    above = ""
    for first, second, *others in rows:
        if first.plain != above:
            above = first.plain
            yield Text(above, "bold")
        said = [
            Text.assemble((f"{name.partition(',')[0]} ", "dim"), cell)
            for name, cell in zip(header[2:], others, strict=True)
            if cell.plain != "-"
        ]
        yield Text.assemble("  ", second, ": " if said else "", Text(", ").join(said))
