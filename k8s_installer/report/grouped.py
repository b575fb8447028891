"""Changes that read the same, as one entry with its hosts.

Changes are one entry only if every word and every line of their differences is the same. A host's own name, its own
address and the sums of secrets may differ: they stand as `<name>`, `<address>` and `<sum>` in the entry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from k8s_installer.host import families
from k8s_installer.host.drains import DRAINED, SCHEDULABLE
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import Gate, Kind

OWN = ("<name>", "<address>", "<sum>")
_NAME, _ADDRESS, _SUM = OWN
_IS_SUM = re.compile(r"(?<=sha256 )[0-9a-f]{16}\b")


@dataclass(frozen=True, slots=True)
class Words:
    """How a change reads: what it does, what is said of that, its difference line by line, and what it is for."""

    action: Action
    does: str
    note: str = ""
    diff: tuple[str, ...] = ()
    because: str = ""
    reversible: bool = True

    def text(self) -> str:
        """All of it, to look for something in."""
        return "\n".join((self.does, self.note, *self.diff, self.because))


@dataclass(frozen=True, slots=True)
class Entry:
    """Changes that read the same, each about another host."""

    words: Words
    changes: tuple[Change, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that they are about, in the order of the plan."""
        return tuple(map(subject, self.changes))


def about(change: Change) -> str:
    """The host that a change is about: of a setting of a node, which a master carries out, the node."""
    node = families.node(change.ref.name) if change.ref.kind is Kind.SETTING else ""
    return node or change.ref.host


def subject(change: Change) -> str:
    """The host under which a plan has a change: the same, and of what a master asks about a node, the node."""
    family, _, node = change.ref.name.partition(" ")
    if change.ref.kind is Kind.SETTING and family in (DRAINED, SCHEDULABLE):
        return node
    if isinstance(change.after, Gate) and change.after.unit_host in change.ref.name.split():
        return change.after.unit_host
    return about(change)


def grouped(changes: Sequence[Change], words: Callable[[Change], Words], addresses: Mapping[str, str]) -> list[Entry]:
    """The changes as few entries, in an order in which each host's own changes keep theirs where that can be.

    Args:
        changes: what is grouped.
        words: how each reads.
        addresses: those of the hosts, by name.
    """
    same: dict[Words, list[Change]] = {}
    for change in changes:
        same.setdefault(words(change), []).append(change)
    alike: dict[tuple[bool, Words], list[tuple[Words, list[Change]]]] = {}
    for exact, members in same.items():
        host = subject(members[0])
        general = exact if len(members) > 1 else _general(exact, host, addresses.get(host, ""))
        alike.setdefault((general is not exact, general), []).append((exact, members))
    entries = []
    for (_, general), parts in alike.items():
        chosen = general if len(parts) > 1 else parts[0][0]
        entries.append(Entry(chosen, tuple(change for _, members in parts for change in members)))
    return [entries[number] for number in _merged(_rows(changes, entries))]


def _rows(changes: Iterable[Change], entries: Iterable[Entry]) -> Iterable[list[int]]:
    """The numbers of each host's entries, in the order of its changes."""
    numbers = {(change.ref, change.action): number for number, entry in enumerate(entries) for change in entry.changes}
    rows: dict[str, list[int]] = {}
    for change in changes:
        rows.setdefault(subject(change), []).append(numbers[change.ref, change.action])
    return rows.values()


def _merged(rows: Iterable[list[int]]) -> Iterator[int]:
    """All numbers once: what a row adds to those above it comes just before the next one that these have."""
    before: dict[int | None, int | None] = {None: None}  # None is the end; a chain, so that long plans stay quick
    for row in rows:
        next_one: int | None = None
        for number in reversed(row):
            if number not in before:
                before[number], before[next_one] = before[next_one], number
            next_one = number
    chain: list[int] = []
    last = before[None]
    while last is not None:
        chain.append(last)
        last = before[last]
    return reversed(chain)


def _general(words: Words, name: str, address: str) -> Words:
    """The words with placeholders for what is the host's own; the very same words if nothing of it is in them."""
    text = words.text()
    if any(mark in text for mark in OWN):
        return words  # somebody wrote what would be taken for a placeholder
    marks = [(token(name), _NAME), *([(token(address), _ADDRESS)] if address else [])]
    if words.diff and not words.diff[0].startswith("--- "):  # sums alone, without any content
        marks.append((_IS_SUM, _SUM))
    marks = [(pattern, mark) for pattern, mark in marks if pattern.search(text)]
    if not marks:
        return words

    def edited(line: str) -> str:
        for pattern, mark in marks:
            line = pattern.sub(mark, line)
        return line

    return replace(
        words, does=edited(words.does), note=edited(words.note), diff=tuple(map(edited, words.diff)),
        because=edited(words.because),
    )  # fmt: skip


@lru_cache(maxsize=1024)
def token(word: str) -> re.Pattern[str]:
    """Finds a name or an address that is no part of a longer one."""
    return re.compile(rf"(?<![\w-])(?<!\w\.){re.escape(word)}(?![\w-]|\.\w)")
