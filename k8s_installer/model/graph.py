"""Order from declared edges: one deterministic topological sort, and nothing else."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


class GraphError(ValueError):
    """The edges name something unknown or run in a circle; a fault of the program, not of its user."""


def ordered(nodes: Iterable[Node], after: Mapping[Node, Collection[Node]]) -> list[Node]:
    """Sort `nodes` so that each comes after everything that `after` names for it, and otherwise in the given order.

    Raises:
        GraphError: an edge names a node that is not there, or edges form a cycle (which is named).

    Example:
        >>> ordered(["b", "a", "c"], {"b": ["c"]})
        ['a', 'c', 'b']
    """
    names = list(nodes)
    position = {node: index for index, node in enumerate(names)}
    # By number: a fleet has hundreds of thousands of edges, and a list is read sooner than a dictionary.
    awaited = [0] * len(names)
    followers: list[list[int]] = [[] for _ in names]
    for index, node in enumerate(names):
        for before in after.get(node, ()):
            if before not in position:
                raise GraphError(f"{node} comes after {before}, which does not exist")
            followers[position[before]].append(index)
            awaited[index] += 1
    ready = [index for index, count in enumerate(awaited) if not count]  # sorted, and so a heap
    result: list[Node] = []
    while ready:
        first = heapq.heappop(ready)
        result.append(names[first])
        for index in followers[first]:
            awaited[index] -= 1
            if not awaited[index]:
                heapq.heappush(ready, index)
    if len(result) < len(names):
        cycle = _cycle(frozenset(names).difference(result), after)
        raise GraphError("a cycle: " + " after ".join(map(str, cycle)))
    return result


def _cycle(stuck: Collection[Node], after: Mapping[Node, Collection[Node]]) -> list[Node]:
    """A cycle among nodes that each come after another of them, from a node back to itself."""
    path = [next(iter(stuck))]
    while path.count(path[-1]) == 1:
        path.append(next(before for before in after[path[-1]] if before in stuck))
    return path[path.index(path[-1]) :]


def nearest(
    chosen: Collection[Node], order: Iterable[Node], after: Mapping[Node, Collection[Node]]
) -> dict[Node, frozenset[Node]]:
    """For each chosen node, the chosen nodes it comes after, seen through those that were not chosen.

    `order` must be sorted as by `ordered`. Leaving a node out so keeps what its edges said.

    Example:
        >>> nearest({"a", "c"}, ["a", "b", "c"], {"b": ["a"], "c": ["b"]})
        {'a': frozenset(), 'c': frozenset({'a'})}
    """
    wanted = frozenset(chosen)
    visible: dict[Node, frozenset[Node]] = {}
    result: dict[Node, frozenset[Node]] = {}
    for node in order:
        seen = frozenset[Node]().union(*(visible[before] for before in after.get(node, ())))
        visible[node] = frozenset((node,)) if node in wanted else seen
        if node in wanted:
            result[node] = seen
    return result
