from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s_installer.model.graph import GraphError, nearest, ordered


def test_ties_keep_the_order_in_which_they_were_named() -> None:
    assert ordered(["c", "a", "b"], {}) == ["c", "a", "b"]


def test_an_edge_moves_a_node_behind_what_it_needs() -> None:
    assert ordered(["kubelet", "docker"], {"kubelet": ["docker"]}) == ["docker", "kubelet"]


def test_a_cycle_is_named() -> None:
    with pytest.raises(GraphError, match=r"a cycle: (a after b after a|b after a after b)"):
        ordered(["a", "b"], {"a": ["b"], "b": ["a"]})


def test_an_edge_to_nowhere_is_named() -> None:
    with pytest.raises(GraphError, match="kubelet comes after docker, which does not exist"):
        ordered(["kubelet"], {"kubelet": ["docker"]})


def test_a_node_that_is_left_out_still_orders_those_around_it() -> None:
    assert nearest({"a", "c"}, ["a", "b", "c"], {"b": ["a"], "c": ["b"]}) == {"a": frozenset(), "c": frozenset("a")}


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[int], dict[int, list[int]], set[int]]:
    count = draw(st.integers(1, 12))
    after = {n: draw(st.lists(st.integers(0, n - 1), max_size=3)) if n else [] for n in range(count)}
    nodes = draw(st.permutations(range(count)))
    return nodes, after, draw(st.sets(st.sampled_from(nodes)))


@given(graphs())
def test_every_node_stands_behind_what_it_comes_after(graph: tuple[list[int], dict[int, list[int]], set[int]]) -> None:
    nodes, after, _ = graph
    order = ordered(nodes, after)
    assert sorted(order) == sorted(nodes)
    assert all(order.index(before) < order.index(node) for node in nodes for before in after[node])


@given(graphs())
def test_nearest_reaches_exactly_what_is_reachable(graph: tuple[list[int], dict[int, list[int]], set[int]]) -> None:
    nodes, after, chosen = graph
    found = nearest(chosen, ordered(nodes, after), after)

    def reach(node: int, edges: dict[int, list[int]]) -> set[int]:
        return {x for before in edges[node] for x in {before, *reach(before, edges)}}

    contracted = {node: sorted(before) for node, before in found.items()}
    assert all(reach(node, contracted) == reach(node, after) & chosen for node in chosen)
