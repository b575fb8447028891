"""The groups whose members take turns, in their order. A new group is an entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Hosts that take turns while something of theirs restarts.

    `at_once` is how many members may have their turn at the same time; None is what `--batch` says.
    """

    name: str
    at_once: int | None = 1


# Each comes after all those above it. What is in none of these (addons are) says itself what it comes before and after.
GROUPS: Mapping[str, Group] = {
    group.name: group
    for group in (
        Group("etcd"),
        Group("flannel-etcd"),
        Group("flannel-network"),
        Group("masters"),
        Group("nodes", at_once=None),
    )
}
