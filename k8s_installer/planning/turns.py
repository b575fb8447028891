"""Turns: who may restart at the same time as whom, and what of whom comes before that. Pure.

Where something restarts, the members of its group take turns: all that a member has of the plan lies in its turn,
between what opens it and what closes it. Members that only come up (a first start, or one that was down) are not held
back, and the restarts wait for them, so that no quorum is lost to a restart while another member is down. Groups follow
each other as `model.groups` says: a master that fails in its turn leaves the nodes as they are, to the last file.
A plan in which nothing restarts takes no turns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from k8s_installer.errors import InputError
from k8s_installer.model.desired import Desired, Place, Turn
from k8s_installer.model.groups import GROUPS, Group
from k8s_installer.model.resources import Kind, Ref

# A share of thousands is more than anybody watches, and more than stay connected from a change to its gate.
MOST_AT_ONCE = 250

_Edges = dict[Ref, frozenset[Ref]]


@dataclass(frozen=True, slots=True)
class Batch:
    """How many nodes may restart something at once: a number, or a share of all nodes (rounded down, 1 to 250)."""

    count: int = 0
    percent: int = 25

    @classmethod
    def parse(cls, text: str) -> Batch:
        """Read `3` or `25%`.

        Raises:
            InputError: it is neither.
        """
        number = text.removesuffix("%")
        count = int(number) if re.fullmatch("[0-9]{1,9}", number) else 0
        if count < 1 or (text.endswith("%") and count > 100):  # noqa: PLR2004 - per cent
            raise InputError(f"--batch {text}: use a number of nodes, or a percentage such as 25%")
        return cls(percent=count) if text.endswith("%") else cls(count=count)

    def of(self, members: int) -> int:
        """How many members of a group of this size may restart something at once."""
        return self.count or max(1, min(MOST_AT_ONCE, members * self.percent // 100))


QUARTER = Batch()


def widths(desired: Desired, batch: Batch, groups: Mapping[str, Group]) -> dict[str, int]:
    """How many members of each group may have their turn at once; those that do not change count as members."""
    sizes = Counter(turn.group for turn in {item.turn for item in desired.values()})
    return {name: group.at_once or batch.of(sizes[name]) for name, group in groups.items()}


def owners(
    before: dict[Ref, frozenset[Ref]], turns: Mapping[Ref, Turn], groups: Mapping[str, Group] = GROUPS
) -> dict[Ref, Turn]:
    """In whose turn each change lies: its own, or, of the same host, an earlier one that cannot do without it.

    On a master that is a node, too, what the masters' programs read may come after a package of the kubelet's: that is
    installed in the master's turn. Between two hosts the order of the groups is stronger.

    Args:
        before: what each change comes after; sorted, each stands after those.
        turns: whose turn each change belongs to by itself.
        groups: the table of groups.
    """
    result = dict(turns)
    row = {name: position for position, name in enumerate(groups)}
    for ref in reversed(before):
        turn = result[ref]
        for other in before[ref]:
            its = result[other]
            if its.member == turn.member and row.get(turn.group, len(row)) < row.get(its.group, 0):
                result[other] = turn
    return result


def serialize(
    before: Mapping[Ref, frozenset[Ref]],
    turns: Mapping[Ref, Turn],
    places: Mapping[Ref, Place],
    restarting: Collection[Ref],
    widths: Mapping[str, int],
    groups: Mapping[str, Group] = GROUPS,
) -> _Edges:
    """Add to the order of changes what the turns ask for.

    Args:
        before: what each change comes after.
        turns: whose turn each change lies in (`owners`).
        places: of the changes that open or close a turn, which of the two.
        restarting: the changes that end a process that runs.
        widths: how many members of each group may have their turn at once (`widths`).
        groups: the table of groups.

    Returns:
        What each change comes after. With `n` at once, a member's changes begin when those of the n-th member before it
        are all done. Where one of two groups restarts something, the later one begins when the earlier one is done.
        Where anything restarts, the order of the groups is stronger than any edge against it: so there is no cycle,
        since every edge between two turns leads up the table, or up the row of the members of one group. Where nothing
        restarts, edges stay as they were, but for what closes a turn.
    """
    result = dict(before)
    members: dict[str, dict[str, list[Ref]]] = {name: {} for name in groups}
    for ref, turn in turns.items():
        if turn.group in groups:  # a host's record may name one that there is no longer
            members[turn.group].setdefault(turn.member, []).append(ref)
    rolling = {turns[ref] for ref in restarting}
    busy = {turn.group for turn in rolling}
    ends: dict[str, Ref] = {}
    row = list(groups)
    for position, name in enumerate(row):
        changes, earlier, later = members[name], row[:position], row[position + 1 :]
        if places:
            _enclose(result, changes.values(), places)
        if busy:
            _part(result, changes, turns, {*later, *({name} & busy)})
        if name in busy:
            _take_turns(result, changes, {turn.member for turn in rolling if turn.group == name}, widths[name])
        awaited = [other for other in earlier if members[other] and busy & {name, other}]
        for other in awaited:
            if other not in ends:
                ends[other] = _meet(result, _last(_all(members[other]), result))
        for ref in _first(_all(changes), result) if awaited else ():
            result[ref] |= {ends[other] for other in awaited}
    return result


def _enclose(before: _Edges, members: Iterable[list[Ref]], places: Mapping[Ref, Place]) -> None:
    """What opens a member's turn comes before all else of it, and what closes it after all else."""
    for refs in members:
        opens, within, closes = ([ref for ref in refs if places.get(ref, Place.WITHIN) is place] for place in Place)
        for first, then in ((opens, within), (within, closes)):
            ends = frozenset(_last(first, before))
            for ref in _first(then, before):
                before[ref] |= ends


def _take_turns(before: _Edges, members: Mapping[str, list[Ref]], rolling: Collection[str], width: int) -> None:
    """Those that restart something wait for those that do not, and for each other: a window that slides over them."""
    starting = [ref for member, refs in members.items() if member not in rolling for ref in _last(refs, before)]
    awaited = [_meet(before, starting)] if starting else []
    row = [refs for member, refs in members.items() if member in rolling]
    for position, refs in enumerate(row):
        ahead = _last(row[position - width], before) if position >= width else awaited
        for ref in _first(refs, before):
            before[ref] |= frozenset(ahead)


def _part(before: _Edges, members: Mapping[str, list[Ref]], turns: Mapping[Ref, Turn], groups: Collection[str]) -> None:
    """Drop the edges to other turns of these groups, as etcd's gates have at a first start."""
    for ref in _all(members):
        before[ref] -= {other for other in before[ref] if turns[other].group in groups and turns[other] != turns[ref]}


def _meet(before: _Edges, refs: list[Ref]) -> Ref:
    """Make one of these changes end after all others, for many to wait for: else there are as many edges as pairs.

    A gate, where there is one: a host's script is not divided for it.
    """
    end = next((ref for ref in reversed(refs) if ref.kind is Kind.GATE), refs[-1])
    before[end] |= frozenset(refs) - {end}
    return end


def _all(members: Mapping[str, list[Ref]]) -> list[Ref]:
    return [ref for refs in members.values() for ref in refs]


def _first(refs: Collection[Ref], before: Mapping[Ref, frozenset[Ref]]) -> list[Ref]:
    own = frozenset(refs)
    return [ref for ref in refs if own.isdisjoint(before[ref])]


def _last(refs: Collection[Ref], before: Mapping[Ref, frozenset[Ref]]) -> list[Ref]:
    awaited = frozenset[Ref]().union(*(before[ref] for ref in refs))
    return [ref for ref in refs if ref not in awaited]
