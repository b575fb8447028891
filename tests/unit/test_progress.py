"""A run while it happens: what a terminal shows, and what a log gets."""

from __future__ import annotations

import datetime as dt
import io
import re
import threading
from collections.abc import Sequence

import pytest
from rich.console import Console

from k8s_installer.engine.remote import OnReport, Outcome
from k8s_installer.engine.scheduler import apply
from k8s_installer.host.perform import Report
from k8s_installer.model.desired import NO_TURN, Turn
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import Check, File, Gate, Kind, Missing, Package, Ref, Resource, Unit
from k8s_installer.model.run import Event, State
from k8s_installer.report.board import Board
from k8s_installer.report.progress import Lines, shown
from tests.fakes import FakeHost
from tests.unit.example import desired, hosts
from tests.unit.test_plan import planned

READY = Gate("https://m1", Check.NODE_READY, "kubelet", unit_host="n1", deadline=60)
DRAINED = Gate("https://m1", Check.DRAINED, "kubelet", unit_host="n1", deadline=330)


def now() -> dt.datetime:
    return dt.datetime(2026, 11, 27, 3, 15, 7, tzinfo=dt.UTC)


def change(host: str, name: str, after: Resource, action: Action, turn: Turn = NO_TURN) -> Change:
    kinds = {File: Kind.FILE, Gate: Kind.GATE, Package: Kind.PACKAGE, Unit: Kind.UNIT}
    return Change(Ref(host, kinds[type(after)], name), action, "kubelet", Missing.ABSENT, after, "a test", turn)


def restarts(*hosts: str, group: str = "masters") -> list[Change]:
    return [change(host, "kubelet", Unit("kubelet"), Action.RESTART, Turn(group, host)) for host in hosts]


def files(host: str, count: int) -> list[Change]:
    return [change(host, f"/etc/{number}", File(b""), Action.CREATE) for number in range(count)]


def plan_of(*changes: Change) -> Plan:
    return Plan(changes, ((),) * len(changes))


class Screen:
    """A board, and a clock that stands still."""

    def __init__(self, *changes: Change) -> None:
        self.at = 100.0
        self.board = Board(plan_of(*changes), lambda: self.at)

    def take(self, index: int, state: State, detail: str = "") -> None:
        self.board.take(Event(index, state, self.at, detail))

    def lines(self, width: int = 80, height: int = 25) -> list[str]:
        console = Console(file=io.StringIO(), width=width, height=height)
        console.print(self.board)
        assert isinstance(console.file, io.StringIO)
        return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_row_says_how_far_a_host_is_and_what_it_does_for_how_long() -> None:
    screen = Screen(*files("m1", 3), change("n1", "docker", Package("docker"), Action.INSTALL))
    assert screen.lines() == [
        "· m1  ━━━━━━━━━━  0/3",
        "· n1  ━━━━━━━━━━  0/1",
        "0 of 4 steps  0:00",
    ]
    screen.take(0, State.RUNNING)
    screen.take(0, State.DONE)
    screen.take(3, State.RUNNING)
    screen.at += 75
    assert screen.lines() == [
        "▸ m1  ━━━━━━━━━━  1/3",
        "▸ n1  ━━━━━━━━━━  0/1  install package docker: 75 s",
        "1 of 4 steps  1:15",
    ]


def test_a_gate_says_what_it_waits_for_and_how_long_it_may() -> None:
    screen = Screen(change("m1", "node n1 is ready", READY, Action.WAIT))
    screen.take(0, State.RUNNING)
    screen.at += 12
    screen.take(0, State.PROGRESS, "the kubelet has not reported")
    row = "▸ n1  ━━━━━━━━━━  0/1  wait until node n1 is ready: the kubelet has not reported, 12 of 60 s"
    assert screen.lines(width=100)[0] == row
    assert screen.lines(width=60)[0] == f"{row[:59]}…"  # a narrow screen keeps one line a host


def test_the_bytes_of_an_upload_are_shown_until_it_is_there() -> None:
    screen = Screen(change("n1", "docker", Package("docker"), Action.INSTALL))
    screen.take(0, State.PROGRESS, "45 of 110 MB")
    assert screen.lines()[0].endswith("install package docker: 45 of 110 MB")
    screen.take(0, State.RUNNING)
    assert screen.lines()[0].endswith("install package docker")


def test_packages_of_one_transaction_are_counted() -> None:
    screen = Screen(*(change("n1", name, Package(name), Action.INSTALL) for name in ("docker", "etcd")))
    for index in (0, 1):
        screen.take(index, State.RUNNING)
    screen.take(0, State.PROGRESS, "131 MB downloaded")
    screen.at += 9
    assert screen.lines()[0].endswith("0/2  install 2 packages: 131 MB downloaded, 9 s")


def test_what_runs_beside_it_is_counted() -> None:
    gates = [change("m1", f"gate {number}", Gate("", Check.OK, "x"), Action.WAIT) for number in range(3)]
    screen = Screen(*gates)
    for index in range(3):
        screen.take(index, State.RUNNING)
    assert screen.lines()[0].endswith("wait until gate 0 (+2)")


def test_what_failed_and_what_was_skipped_is_marked() -> None:
    screen = Screen(*restarts("m1", "m2", "m3"), *files("m1", 1))
    screen.take(0, State.FAILED)
    screen.take(3, State.SKIPPED)
    screen.take(1, State.SKIPPED)
    screen.take(2, State.DONE)
    assert [line[:4] for line in screen.lines()[:3]] == ["✗ m1", "- m2", "✓ m3"]
    assert screen.lines()[0].endswith("0/2  failed")


def test_turns_are_counted_with_whose_it_is() -> None:
    screen = Screen(*restarts("m1", "m2", "m3"), *restarts("n1", group="nodes"), *files("n1", 1))
    screen.take(0, State.DONE)
    assert screen.lines()[-1] == "1 of 5 steps  0:00  masters: 1 of 3 turns"
    screen.take(1, State.RUNNING)
    assert screen.lines()[-1] == "1 of 5 steps  0:00  masters: 1 of 3 turns (m2)"


def test_more_hosts_than_lines_are_summed_up_and_those_in_work_are_shown() -> None:
    hosts = [f"n{number}" for number in range(1, 41)]
    screen = Screen(*(one for host in hosts for one in files(host, 1)))
    for number in range(10):
        screen.take(number, State.DONE)
    screen.take(20, State.RUNNING)
    screen.take(39, State.FAILED)
    lines = screen.lines(height=9)
    assert [line.split()[1] for line in lines[:5]] == ["n11", "n12", "n13", "n21", "n40"]
    assert lines[5:] == ["  35 more: 10 done, 25 waiting", "10 of 40 steps  0:00"]


def test_a_terminal_gets_a_board_and_a_log_gets_lines() -> None:
    fleet = hosts()
    fleet["m1"].refuses["kube-apiserver"] = "unknown flag"
    plan = planned(desired(), fleet)
    for terminal in (True, False):
        console = Console(file=io.StringIO(), width=100, height=30, force_terminal=terminal)
        with shown(plan, console, now=now) as on_event:
            apply(plan, fleet, on_event, threading.Event())
        assert isinstance(console.file, io.StringIO)
        text = console.file.getvalue()
        assert ("\x1b" in text) is terminal
        assert ("✗" in text) is terminal
        assert ("03:15:07 m1: start kube-apiserver: FAILED\n" in text) is not terminal
        assert not terminal or "start kubelet" not in text


class Slow(FakeHost):
    """A host whose yum says how far it is."""

    def perform(self, changes: Sequence[tuple[int, Change]], on_report: OnReport) -> Outcome:
        index, _ = changes[0]
        on_report(Report("begin", index))
        on_report(Report("part", index, words="3 MB downloaded"))
        on_report(Report("done", index))
        return Outcome(frozenset([index]))


def test_what_yum_says_of_how_far_it_is_reaches_the_screen() -> None:
    plan = plan_of(change("n1", "docker", Package("docker"), Action.INSTALL))
    heard: list[tuple[State, str]] = []
    apply(plan, {"n1": Slow("n1")}, lambda event: heard.append((event.state, event.detail)), threading.Event())
    assert heard == [(State.RUNNING, ""), (State.PROGRESS, "3 MB downloaded"), (State.DONE, "")]


def logged(plan: Plan, *events: tuple[int, State, float, str], each: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=40)
    lines = Lines(plan, console, each=each, now=now)
    for index, state, at, detail in events:
        lines.take(Event(index, state, at, detail))
    lines.flush()
    assert isinstance(console.file, io.StringIO)
    return [line.removeprefix("03:15:07 ") for line in console.file.getvalue().splitlines()]


def test_the_time_is_that_of_the_day() -> None:
    console = Console(file=io.StringIO())
    with shown(plan_of(*restarts("n1")), console) as on_event:
        on_event(Event(0, State.DONE, 1.0))
    assert isinstance(console.file, io.StringIO)
    assert re.fullmatch(r"\d\d:\d\d:\d\d n1: restart kubelet: 0.0 s\n", console.file.getvalue())


def done(index: int, seconds: float = 0.0) -> list[tuple[int, State, float, str]]:
    return [(index, State.RUNNING, 1.0, ""), (index, State.DONE, 1.0 + seconds, "")]


def test_a_log_has_a_line_for_what_took_time_and_counts_files() -> None:
    plan = plan_of(*files("n1", 3), *restarts("n1"), *files("n2", 2))
    events = [event for index in range(6) for event in done(index, 2.5 if index == 3 else 0.0)]
    assert logged(plan, *events) == ["n1: 3 files", "n1: restart kubelet: 2.5 s", "n2: create /etc/0, create /etc/1"]
    assert logged(plan, *events, each=True)[0] == "n1: create /etc/0: 0.0 s"
    assert logged(plan, *done(0, 4.0)) == ["n1: create /etc/0: 4.0 s"]  # it was large
    assert logged(plan, (3, State.SKIPPED, 1.0, "")) == []
    assert logged(plan, (0, State.RUNNING, 1.0, ""), (0, State.FAILED, 1.0, "x")) == ["n1: create /etc/0: FAILED"]


@pytest.mark.parametrize(("gate", "first"), [(READY, 10), (DRAINED, 2)])
def test_a_log_says_every_ten_seconds_what_is_waited_for(gate: Gate, first: int) -> None:
    plan = plan_of(change("m1", "node n1 is new", gate, Action.WAIT))
    waits = [(0, State.PROGRESS, 100.0 + second, "not yet") for second in range(2, 31, 2)]
    told = [first, first + 10, first + 20][: 3 if first + 20 <= 30 else 2]
    assert logged(plan, (0, State.RUNNING, 100.0, ""), *waits) == [
        f"m1: wait until node n1 is new: not yet, {second} of {gate.deadline:.0f} s" for second in told
    ]
