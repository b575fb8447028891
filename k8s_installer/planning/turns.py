"""Turns: who may restart at the same time as whom. Pure.

Members of a group that restart something wait for each other; members that only come up (a first start, or one
that was down) are not held back, and the restarts wait for them, so that no quorum is lost to a restart while
another member is down.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from k8s_installer.errors import InputError
from k8s_installer.model.desired import Turn
from k8s_installer.model.resources import Ref

# A share of thousands is more than anybody watches, and more than stay connected from a change to its gate.
MOST_AT_ONCE = 250
ONE_AT_A_TIME = frozenset({"etcd", "flannel-etcd", "flannel-network", "masters"})


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
        if not number.isdigit() or int(number) < 1 or (text.endswith("%") and int(number) > 100):  # noqa: PLR2004 - per cent
            raise InputError(f"--batch {text}: give a number of nodes, or a share such as 25%")
        return cls(percent=int(number)) if text.endswith("%") else cls(count=int(number))

    def of(self, group: str, members: int) -> int:
        """How many members of a group of this size may be at it at once."""
        if group in ONE_AT_A_TIME:
            return 1
        return self.count or max(1, min(MOST_AT_ONCE, members * self.percent // 100))


QUARTER = Batch()


def serialize(
    before: Mapping[Ref, frozenset[Ref]],
    turns: Mapping[Ref, Turn],
    restarting: Collection[Ref],
    sizes: Mapping[str, int],
    batch: Batch,
) -> dict[Ref, frozenset[Ref]]:
    """Add to the order of changes what the turns ask for.

    Args:
        before: what each change comes after.
        turns: whose turn each change belongs to.
        restarting: the changes that restart something that runs.
        sizes: how many members each group has, with those that do not change.
        batch: how many nodes at once.

    Returns:
        What each change comes after: with `n` at once, a member's changes begin when those of the n-th member
        before it are all done. Where nothing of a group restarts it stays as it was.
    """
    result = dict(before)
    members: dict[str, dict[str, list[Ref]]] = {}
    for ref, turn in turns.items():
        members.setdefault(turn.group, {}).setdefault(turn.member, []).append(ref)
    rolling = {turns[ref] for ref in restarting}
    for group, changes in members.items():
        restarting_members = [member for member in changes if Turn(group, member) in rolling]
        if not group or not restarting_members:
            continue
        _part(result, changes, turns)
        window = batch.of(group, sizes[group])
        standing = frozenset(restarting_members)
        starting = [ref for member, refs in changes.items() if member not in standing for ref in _last(refs, result)]
        if starting:
            # One of them ends after all others, and the restarts wait for that one: a wide window would else hold
            # as many edges as it has members times those that rise.
            *others, ends = starting
            result[ends] = result[ends] | frozenset(others)
            starting = [ends]
        for position, member in enumerate(restarting_members):
            awaited = _last(changes[restarting_members[position - window]], result) if position >= window else starting
            for ref in _first(changes[member], result):
                result[ref] = result[ref] | frozenset(awaited)
    return result


def _part(before: dict[Ref, frozenset[Ref]], members: Mapping[str, list[Ref]], turns: Mapping[Ref, Turn]) -> None:
    """Members that take turns do not wait for each other in any other way, as etcd's gates do at a first start."""
    for refs in members.values():
        for ref in refs:
            others = {other for other in before[ref] if turns[other].group == turns[ref].group}
            before[ref] -= {other for other in others if turns[other] != turns[ref]}


def _first(refs: Collection[Ref], before: Mapping[Ref, frozenset[Ref]]) -> list[Ref]:
    return [ref for ref in refs if not before[ref] & frozenset(refs)]


def _last(refs: Collection[Ref], before: Mapping[Ref, frozenset[Ref]]) -> list[Ref]:
    awaited = frozenset[Ref]().union(*(before[ref] for ref in refs))
    return [ref for ref in refs if ref not in awaited]
