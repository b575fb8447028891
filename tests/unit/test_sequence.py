"""The order of a host's changes in its script, against the edges of the plan."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from k8s_installer.host.sequence import in_script_order
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import File, Kind, Missing, Package, Ref, Resource


def change(name: str, resource: Resource) -> Change:
    kind = Kind.PACKAGE if isinstance(resource, Package) else Kind.FILE
    return Change(Ref("m1", kind, name), Action.CREATE, "a test", Missing.ABSENT, resource, "a test")


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    count = draw(st.integers(1, 12))
    kinds = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    changes = [
        change(f"p{index}", Package(f"p{index}")) if is_package else change(f"/{index}", File(b""))
        for index, is_package in enumerate(kinds)
    ]
    edges = [
        tuple(sorted(draw(st.sets(st.integers(0, index - 1), max_size=3)))) if index else () for index in range(count)
    ]
    ends = [(index - 1,) if index and draw(st.booleans()) else () for index in range(count)]
    return Plan(tuple(changes), tuple(edges), tuple(ends) if draw(st.booleans()) else ())


@given(plans())
def test_every_change_stands_after_what_it_waits_for(plan: Plan) -> None:
    order = in_script_order(plan, range(len(plan.changes)))
    assert sorted(order) == list(range(len(plan.changes)))
    place = {index: number for number, index in enumerate(order)}
    edges = [
        (before, index) for edges in (plan.after, plan.after_end) for index, many in enumerate(edges) for before in many
    ]
    assert all(place[before] < place[index] for before, index in edges)


def test_packages_come_first_with_what_they_alone_wait_for_and_one_that_waits_for_more_stays() -> None:
    changes = [
        change("/config", File(b"")), change("/repo", File(b"")), change("etcd", Package("etcd")),
        change("/etcd", File(b"")), change("late", Package("late")), change("docker", Package("docker")),
    ]  # fmt: skip
    plan = Plan(tuple(changes), ((), (), (1,), (2,), (3,), (1,)))
    assert in_script_order(plan, range(6)) == (1, 2, 5, 0, 3, 4)


def test_what_is_over_is_not_waited_for() -> None:
    changes = [change("/repo", File(b"")), change("/config", File(b"")), change("etcd", Package("etcd"))]
    plan = Plan(tuple(changes), ((), (), (0,)))
    assert in_script_order(plan, [1, 2]) == (2, 1)
