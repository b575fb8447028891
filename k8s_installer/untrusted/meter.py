"""How much a template of somebody else has done, and how large what it holds is when written out. Pure.

A value may be a few lists that hold each other many times over: forty of them stand for a text without end, and Python
would write it, compare it or hash it. So the size is counted first, each list once, and what is too large is refused.
"""

from __future__ import annotations

from collections.abc import ItemsView, KeysView, ValuesView

from jinja2.exceptions import SecurityError

LONGEST = 1 << 20  # characters of one text or items of a value, and what a file is made from
MOST_STEPS = 10_000_000  # characters and turns of loops of one rendering
_DEEPEST = 50  # lists inside of each other
# Python copies or compares about so many while a loop takes one turn
_ITEMS, _CHARACTERS = 10, 100
CONTAINERS = (list, tuple, dict, set, frozenset, KeysView, ValuesView, ItemsView)


class Meter:
    """The steps that are left to a rendering."""

    def __init__(self) -> None:
        self._left = MOST_STEPS

    def begin(self) -> None:
        """A rendering begins: it has all steps."""
        self._left = MOST_STEPS

    def spend(self, steps: int) -> None:
        """Count steps.

        Raises:
            SecurityError: there were too many.
        """
        self._left -= steps
        if self._left < 0:
            raise SecurityError(f"more than {MOST_STEPS:,} steps: an endless loop or include")

    def copied(self, value: object) -> None:
        """Count a text or list that was made of others."""
        if isinstance(value, str | bytes):
            self.spend(1 + len(value) // _CHARACTERS)
        elif isinstance(value, CONTAINERS):
            self.spend(1 + len(value) // _ITEMS)

    def text(self, value: object) -> str:
        """A value as text.

        Raises:
            SecurityError: it would be too long.
        """
        if isinstance(value, CONTAINERS):
            self.size(value, shown=True)
        return str(value)

    def size(self, value: object, *, shown: bool = False) -> int:
        """Characters and items of a value with all that is inside; objects count as one, or as they are `shown`.

        Raises:
            SecurityError: they are too many, or too deep inside.
        """
        total = self._size(value, {}, 0, shown=shown)
        if total > LONGEST and isinstance(value, CONTAINERS):
            raise SecurityError(f"more than {LONGEST:,} characters or items")
        return total

    def _size(self, value: object, known: dict[int, int], depth: int, *, shown: bool) -> int:
        if isinstance(value, str | bytes):
            return len(value)
        if id(value) in known:
            return known[id(value)]
        if isinstance(value, CONTAINERS):
            if depth > _DEEPEST:
                raise SecurityError(f"lists more than {_DEEPEST} levels deep")
            self.spend(1 + len(value) // _ITEMS)
            items, kinds = _parts(value)
            if all(issubclass(kind, str) for kind in kinds):
                total = 1 + len(items) + sum(map(len, items))  # type: ignore[arg-type]
            elif not shown and not any(issubclass(kind, (str, *CONTAINERS)) for kind in kinds):
                total = 1 + len(items)
            else:
                total = 1 + sum(1 + self._size(item, known, depth + 1, shown=shown) for item in items)
        else:
            total = len(repr(value)) if shown and depth else 1
        known[id(value)] = total
        return total


def _parts(value: object) -> tuple[list[object], set[type]]:
    """What is inside, without what is made while it is looked at: a size is known by an identity."""
    if isinstance(value, dict | ItemsView):
        pairs = value.items() if isinstance(value, dict) else value
        items = [part for pair in pairs for part in pair]
    else:
        items = list(value)  # type: ignore[call-overload]
    return items, set(map(type, items))
