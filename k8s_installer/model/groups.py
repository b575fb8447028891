"""The groups whose members take turns, in their order. A new group is an entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Hosts that take turns while something of theirs restarts.

    `at_once` is how many members may have their turn at the same time; None is what `--batch` says. Where others use
    what its members run (`serves`), a host that is no longer one leaves when nobody does any more: in the last group.
    """

    name: str
    at_once: int | None = 1
    serves: bool = False


LEAVING = "leaving"  # nodes that leave, while they are drained
FORMER = "former"

# Each comes after all those above it. What is in none of these (addons are) says itself what it comes before and after.
GROUPS: Mapping[str, Group] = {
    group.name: group
    for group in (
        Group(LEAVING, at_once=None),
        Group("etcd", serves=True),
        Group("flannel-etcd", serves=True),
        Group("flannel-network"),
        Group("masters", serves=True),
        Group("nodes", at_once=None),
        Group(FORMER),
    )
}
SERVING = frozenset(name for name, group in GROUPS.items() if group.serves)
