"""Order from declared edges: one deterministic topological sort, and nothing else."""

from __future__ import annotations

import graphlib
import heapq
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


class GraphError(ValueError):
    """The edges name something unknown or run in a circle; a fault of the program, not of its user."""


def ordered(nodes: Iterable[Node], after: Mapping[Node, Collection[Node]]) -> list[Node]:
    """Sort `nodes` so that each stands behind all that `after` names for it, and else as given.

    Raises:
        GraphError: an edge names a node that is not there, or edges form a cycle (which is named).

    Example:
        >>> ordered(["b", "a", "c"], {"b": ["c"]})
        ['a', 'c', 'b']
    """
    position = {node: index for index, node in enumerate(nodes)}
    sorter: graphlib.TopologicalSorter[Node] = graphlib.TopologicalSorter()
    for node in position:
        unknown = [before for before in after.get(node, ()) if before not in position]
        if unknown:
            raise GraphError(f"{node} comes after {unknown[0]}, which does not exist")
        sorter.add(node, *after.get(node, ()))
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise GraphError("a cycle: " + " after ".join(str(node) for node in reversed(error.args[1]))) from None
    names = list(position)
    ready: list[int] = []
    result: list[Node] = []
    while sorter.is_active():
        for node in sorter.get_ready():
            heapq.heappush(ready, position[node])
        first = names[heapq.heappop(ready)]
        result.append(first)
        sorter.done(first)
    return result


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
