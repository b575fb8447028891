"""The groups whose members take turns, in their order. A new group is an entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Hosts that take turns while something of theirs restarts.

    `at_once` is how many members may have their turn at the same time; None is what `--batch` says. `after` names the
    groups, further up in the table, that come before this one; it comes after theirs, too.
    """

    name: str
    at_once: int | None = 1
    after: tuple[str, ...] = ()


GROUPS: Mapping[str, Group] = {
    group.name: group
    for group in (
        Group("etcd"),
        Group("flannel-etcd"),
        Group("flannel-network", after=("etcd", "flannel-etcd")),
        Group("masters", after=("flannel-network",)),
        Group("nodes", at_once=None, after=("masters",)),
        Group("addons"),  # each says itself what it comes before and after
    )
}


def earlier(groups: Mapping[str, Group], name: str) -> frozenset[str]:
    """All groups that come before this one."""
    direct = groups[name].after
    return frozenset(direct).union(*(earlier(groups, other) for other in direct))
