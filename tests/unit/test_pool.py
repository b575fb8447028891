from __future__ import annotations

import io
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest

from k8s_installer.errors import TransportError
from k8s_installer.inventory.cluster import Host
from k8s_installer.transport import Line, OnLine, OnSent, Pool, Result, Transport
from tests.unit.clusters import cluster

LAB = cluster(topology="etcd-apart")


@dataclass
class Phone:
    """Who dials whom, and which of the connections are open."""

    open: list[str] = field(default_factory=list)
    dialled: list[str] = field(default_factory=list)
    prepared: list[str] = field(default_factory=list)
    most: int = 0
    unreachable: frozenset[str] = frozenset()
    holds: threading.Event | None = None  # a script runs until it is set
    begun: threading.Event = field(default_factory=threading.Event)

    def dial(self, host: Host) -> Transport:
        self.dialled.append(host.name)
        if host.name in self.unreachable:
            raise TransportError(host.name, "no answer")
        self.open.append(host.name)
        self.most = max(self.most, len(self.open))
        return Call(host.name, self)


@dataclass
class Call:
    host: str
    phone: Phone

    def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
        del timeout, on_line
        assert self.host in self.phone.open, "a closed connection was used"
        if self.phone.holds is not None and script == "long":
            self.phone.begun.set()
            self.phone.holds.wait(10)
        return Result(0, f"{self.host} {script}", "")

    def upload(self, script: str, source: Path, *, idle: float = 60.0, on_sent: OnSent | None = None) -> Result:
        del source, idle, on_sent
        return self.run(script)

    def download(self, script: str, target: BinaryIO, *, idle: float = 60.0, on_saved: OnSent | None = None) -> Result:
        del target, idle, on_saved
        return self.run(script)

    def prepare(self) -> None:
        self.phone.prepared.append(self.host)

    def close(self) -> None:
        self.phone.open.remove(self.host)


def hosts(count: int) -> list[Host]:
    return list(LAB.hosts[:count])


def test_no_more_connections_are_open_than_may_be_and_all_hosts_answer() -> None:
    phone = Phone()
    pool = Pool(2, phone.dial)
    lines = [pool.line(host) for host in hosts(5)]
    assert phone.dialled == []
    assert [line.run("a").stdout for line in lines] == [f"{line.host} a" for line in lines]
    assert len(phone.open) == 2
    assert phone.most == 3  # the new one is there before the oldest goes
    assert lines[0].upload("b", Path("x")).stdout == f"{lines[0].host} b"
    assert lines[0].download("c", io.BytesIO()).stdout == f"{lines[0].host} c"
    assert phone.dialled == [line.host for line in (*lines, lines[0])]


def test_who_was_idle_longest_goes() -> None:
    phone = Phone()
    pool = Pool(2, phone.dial)
    one, two, three, *_ = [pool.line(host) for host in hosts(5)]
    for line in (one, two, one, three):
        line.run("a")
    assert sorted(phone.open) == sorted([one.host, three.host])
    one.run("b")
    assert phone.dialled.count(one.host) == 1


def test_a_connection_that_a_script_runs_on_is_kept() -> None:
    phone = Phone(holds=threading.Event())
    pool = Pool(1, phone.dial)
    one, two, three, *_ = [pool.line(host) for host in hosts(5)]
    runner = threading.Thread(target=lambda: one.run("long"))
    runner.start()
    assert phone.begun.wait(10)
    two.run("a")
    three.run("a")
    assert one.host in phone.open
    assert phone.holds is not None
    phone.holds.set()
    runner.join()
    two.run("b")
    assert phone.open == [two.host]


def test_a_host_that_was_not_reached_is_not_dialled_again() -> None:
    first = hosts(1)[0]
    phone = Phone(unreachable=frozenset({first.name}))
    line = Pool(2, phone.dial).line(first)
    line.open()
    for _ in range(2):
        with pytest.raises(TransportError, match="no answer"):
            line.run("a")
    assert phone.dialled == [first.name]


def test_each_connection_has_a_shell_for_the_script_that_it_was_dialled_for() -> None:
    phone = Phone()
    line = Pool(1, phone.dial).line(hosts(1)[0])
    line.prepare()  # it is not dialled for that
    assert phone.dialled == phone.prepared == []
    line.run("a")
    line.run("b")
    assert phone.prepared == [line.host]
    line.prepare()
    assert phone.prepared == [line.host] * 2


def test_a_closed_line_stays_closed() -> None:
    phone = Phone()
    pool = Pool(1, phone.dial)
    never, used, gone, *_ = [pool.line(host) for host in hosts(5)]
    gone.open()
    used.open()
    for line in (never, used, gone):
        line.close()
    assert phone.open == []
    for line in (never, gone):
        with pytest.raises(TransportError, match="closed"):
            line.run("a")
    assert phone.dialled == [gone.host, used.host]


def test_a_line_that_is_closed_while_it_is_dialled_does_not_stay_open() -> None:
    phone = Phone()
    lines: list[Line] = []

    def dial(host: Host) -> Transport:
        lines[0].close()
        return phone.dial(host)

    lines.append(Pool(1, dial).line(hosts(1)[0]))
    lines[0].open()
    assert phone.open == []
