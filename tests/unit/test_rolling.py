"""Turns: who restarts when. A group is described by its members and which of their services run already."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping

import pytest

from k8s_installer.engine.scheduler import apply
from k8s_installer.errors import InputError
from k8s_installer.model.desired import Desired, DesiredResource, Turn
from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import Check, File, Gate, Kind, Ref, Unit
from k8s_installer.model.run import Event, State
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.turns import Batch
from tests.fakes import IDLE, FakeHost
from tests.unit.test_plan import planned
from tests.unit.test_plan import seen as observed

CONFIG = "/etc/etcd/etcd.conf"


def group(name: str, members: list[str], content: bytes = b"A=1\n", *, together: bool = True) -> Desired:
    """Members with a file, a unit and a gate each; `together`: as etcd's, each gate waits for every member's unit."""
    wanted: list[DesiredResource] = []
    units = [Ref(member, Kind.UNIT, "etcd") for member in members]
    for member, unit in zip(members, units, strict=True):
        file, gate = Ref(member, Kind.FILE, CONFIG), Ref(member, Kind.GATE, "etcd is healthy")
        turn = Turn(name, member)
        wanted += [
            DesiredResource(file, File(content), "etcd", (), "a test", turn),
            DesiredResource(unit, Unit("etcd", (), (CONFIG,)), "etcd", (file,), "a test", turn),
            DesiredResource(
                gate, Gate("http://x", Check.OK, "etcd"), "etcd", tuple(units) if together else (unit,), "a test", turn
            ),
        ]
    return {item.ref: item for item in wanted}


def fleet(members: list[str]) -> dict[str, FakeHost]:
    return {member: FakeHost(member, brings={}) for member in members}


def running(name: str, members: list[str]) -> dict[str, FakeHost]:
    hosts = fleet(members)
    for host in hosts.values():
        host.units["etcd"] = IDLE
    run = apply(planned(group(name, members), hosts), hosts, lambda event: None, threading.Event())
    assert not run.failures
    return hosts


def order(plan: Plan, hosts: Mapping[str, FakeHost]) -> list[str]:
    """Begin and end of every restart, in the order in which they happened."""
    seen: list[str] = []

    def note(event: Event) -> None:
        change = plan.changes[event.index]
        if change.ref.kind is not Kind.FILE and event.state in (State.RUNNING, State.DONE):
            seen.append(f"{change.ref.host} {change.action} {event.state}")

    apply(plan, hosts, note, threading.Event())
    return seen


def most_at_once(seen: list[str]) -> int:
    busy: set[str] = set()
    most = 0
    for line in seen:
        host, action, state = line.split()
        if action == "restart" and state == "running":
            busy.add(host)
            most = max(most, len(busy))
        if action == "wait" and state == "done":
            busy.discard(host)
    return most


MEMBERS = ["m1", "m2", "m3"]


def test_a_first_start_is_all_at_once_because_members_wait_for_each_other() -> None:
    hosts = fleet(MEMBERS)
    for host in hosts.values():
        host.units["etcd"] = IDLE
    plan = planned(group("etcd", MEMBERS), hosts)
    starts = [index for index, change in enumerate(plan.changes) if change.action == "start"]
    assert all(
        plan.changes[before].ref.host == plan.changes[index].ref.host
        for index in starts
        for before in plan.after[index]
    )
    waits = [index for index, change in enumerate(plan.changes) if change.action == "wait"]
    assert all(set(starts) <= set(plan.after[index]) for index in waits)


@pytest.mark.parametrize("name", ["etcd", "masters"])
def test_restarts_are_one_at_a_time_and_each_waits_for_the_health_of_the_one_before(name: str) -> None:
    hosts = running(name, MEMBERS)
    plan = planned(group(name, MEMBERS, b"A=2\n"), hosts)
    seen = order(plan, hosts)
    assert seen == [f"{m} {a} {s}" for m in MEMBERS for a in ("restart", "wait") for s in ("running", "done")]


def test_no_file_of_a_member_changes_before_its_turn() -> None:
    hosts = running("masters", MEMBERS)
    hosts["m1"].refuses["etcd"] = "it does not come up"
    plan = planned(group("masters", MEMBERS, b"A=2\n"), hosts)
    apply(plan, hosts, lambda event: None, threading.Event())
    assert [hosts[member].contents[CONFIG] for member in MEMBERS] == [b"A=2\n", b"A=1\n", b"A=1\n"]


def test_a_member_that_was_down_comes_up_before_another_restarts() -> None:
    hosts = running("etcd", MEMBERS)
    hosts["m3"].units["etcd"] = dataclasses.replace(hosts["m3"].units["etcd"], active="failed", sub="failed")
    seen = order(planned(group("etcd", MEMBERS, b"A=2\n"), hosts), hosts)
    assert seen.index("m3 wait done") < seen.index("m1 restart running")
    assert most_at_once(seen) == 1


@pytest.mark.parametrize(("batch", "expected"), [("1", 1), ("3", 3), ("25%", 2), ("1%", 1), ("100%", 8)])
def test_nodes_restart_some_at_a_time(batch: str, expected: int) -> None:
    nodes = [f"n{number}" for number in range(8)]
    hosts = running("nodes", nodes)
    wanted = group("nodes", nodes, b"A=2\n", together=False)
    plan = make_plan(wanted, observed(wanted, hosts), Batch.parse(batch))
    restarts = [index for index, change in enumerate(plan.changes) if change.action == "restart"]
    free = [index for index in restarts if not _reaches_another_member(plan, index)]
    assert len(free) == expected
    assert most_at_once(order(plan, hosts)) <= expected


def _reaches_another_member(plan: Plan, index: int) -> bool:
    waits = plan.after[index]
    return any(plan.changes[i].turn != plan.changes[index].turn or _reaches_another_member(plan, i) for i in waits)


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "0%", "101%", "1.5", "²", "9" * 5000])
def test_a_batch_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--batch"):
        Batch.parse(text)


@pytest.mark.parametrize(
    ("text", "members", "at_once"),
    [("25%", 3, 1), ("25%", 200, 50), ("25%", 5000, 250), ("100%", 5000, 250), ("1000", 5000, 1000)],
)
def test_a_share_of_thousands_is_bounded_and_a_number_is_the_users_own(text: str, members: int, at_once: int) -> None:
    assert Batch.parse(text).of(members) == at_once


def test_what_restarts_nothing_takes_no_turns() -> None:
    hosts = running("masters", MEMBERS)
    plan = planned(group("masters", MEMBERS, b"# a comment\nA=1\n"), hosts)
    assert {str(change.action) for change in plan.changes} == {"rewrite"}
    assert plan.after == ((), (), ())
    apply(plan, hosts, lambda event: None, threading.Event())
    assert not planned(group("masters", MEMBERS, b"# a comment\nA=1\n"), hosts)
