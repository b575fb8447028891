"""Names of many hosts in few words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)
_RUN = 3  # names in a row that are said as the first and the last


def spans(names: Iterable[str]) -> str:
    """Names with those that count on said as a range, which stands for all of its names and no others.

    Example:
        >>> spans(["m1", "n1", "n2", "n3", "n7", "n8"])
        'm1, n1 to n3, n7, n8'
    """
    return ", ".join(_pieces(names))


def _pieces(names: Iterable[str]) -> Iterator[str]:
    for row in _rows(names):
        if len(row) < _RUN:
            yield from row
        else:
            yield f"{row[0]} to {row[-1]}"


def _rows(names: Iterable[str]) -> Iterator[list[str]]:
    """The names in rows in which each is the one after the one before; in the order in which their stems came."""
    for family in _families(names):
        row: list[str] = []
        for name in family:
            if row and name != _next(row[-1]):
                yield row
                row = []
            row.append(name)
        yield row


def _families(names: Iterable[str]) -> Iterable[list[str]]:
    """Those that differ in a number alone, by this number."""
    found: dict[tuple[str, str] | str, list[str]] = {}
    for name in dict.fromkeys(names):
        parts = _NUMBERED.fullmatch(name)
        found.setdefault((parts[1], parts[3]) if parts else name, []).append(name)
    for family in found.values():
        family.sort(key=_number)
    return found.values()


def _number(name: str) -> tuple[int, int]:
    parts = _NUMBERED.fullmatch(name)
    return (int(parts[2]), len(parts[2])) if parts else (0, 0)


def _next(name: str) -> str:
    parts = _NUMBERED.fullmatch(name)
    return f"{parts[1]}{int(parts[2]) + 1:0{len(parts[2])}}{parts[3]}" if parts else ""
