"""Which part of a cluster --limit and --only leave, whom a run about it asks, and what it may not leave out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.pure import answers
from k8s_installer.cli.terminal import Terminal
from k8s_installer.desired.host import RECORD
from k8s_installer.engine import fleet
from k8s_installer.engine.fleet import Connections, ObservedFleet
from k8s_installer.errors import HostsError, InstallerError, TransportError
from k8s_installer.flows import resolve
from k8s_installer.flows.guards import require_members
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.narrow import first_asked, part, reached
from k8s_installer.flows.resolve import Resolved
from k8s_installer.flows.session import Session
from k8s_installer.inventory import Allocations
from k8s_installer.model.resources import Data, File, Gate, Kind, Missing, Ref, Seen, SeenFile
from k8s_installer.planning.make import make_plan
from k8s_installer.transport import Pool
from tests.fakes import FakeHost

DOCKER = "/etc/sysconfig/docker-network"
TEXT = """\
cluster: {name: lab, version: "1.20.2", network: none}
hosts:
  m1: {address: 10.0.0.1, roles: [etcd, master]}
  m2: {address: 10.0.0.2, roles: [etcd, master]}
  m3: {address: 10.0.0.3, roles: [etcd, master]}
  n1: {address: 10.0.0.21, roles: [node]}
  n2: {address: 10.0.0.22, roles: [node]}
"""
KNOWN = Allocations("m1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "cluster.yaml").write_text(TEXT, encoding="utf-8")
    return tmp_path / "cluster.yaml"


def whole(path: Path, kept: Allocations = KNOWN) -> Resolved:
    return resolve.desire(*resolve.checked(path), None, None, kept)


class Hosts:
    """Stands in for the look at a fleet: every host is as wanted, and masters have this record; `away` are silent."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, record: str = "first-master m1\n", away: Iterable[str] = ()
    ) -> None:
        self.record, self.away, self.asked = record.encode(), set(away), list[set[str]]()
        monkeypatch.setattr(fleet, "observe", self.observe)

    def connections(self, wanted: Resolved) -> Connections:
        def dialled(host: object) -> None:
            raise AssertionError(f"{host} was dialled")

        pool = Pool(1, dialled)  # type: ignore[arg-type]
        return Connections(ThreadPoolExecutor(1), {host.name: pool.line(host) for host in wanted.inventory.everyone})

    def observe(self, connections: Connections, asked: Mapping, *_: object) -> ObservedFleet:  # type: ignore[type-arg]
        self.asked.append(set(connections.lines))
        there = set(connections.lines) - self.away
        seen: dict[Ref, Seen] = {ref: state for ref, state in answers(asked).items() if ref.host in there}
        for ref in seen:
            if ref.name == RECORD and asked[ref].resource.content != self.record:
                seen[ref] = SeenFile(File(self.record).sha256, 0o644, "root", "root", 0.0, self.record)
        remotes = {name: FakeHost(name) for name in there}
        silent = {name: TransportError(name, "no answer") for name in set(connections.lines) & self.away}
        return ObservedFleet({}, remotes, seen, silent, {})


def look(
    path: Path, hosts: Hosts, limit: str = "", only: str = "", kept: Allocations = KNOWN
) -> tuple[Resolved, ObservedFleet]:
    wanted = whole(path, kept)
    return session(path, hosts, wanted).observe(wanted, lambda whole: part(whole, limit, only))


def session(path: Path, hosts: Hosts, wanted: Resolved) -> Session:
    return Session(Inputs(path), wanted.inventory, wanted.profile, hosts.connections(wanted), Terminal(path), {})


def files(wanted: Resolved, host: str) -> set[str]:
    return {ref.name for ref in wanted.desired if (ref.host, ref.kind) == (host, Kind.FILE)}


def test_a_node_alone_takes_a_look_at_the_node_and_at_what_masters_have_recorded(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = Hosts(monkeypatch)
    wanted, _ = look(path, hosts, "n1")
    assert hosts.asked == [{"m1", "m2", "m3", "n1"}]
    assert [host.name for host in wanted.cluster.hosts] == ["m1", "n1"]
    assert {ref.host for ref in wanted.desired if ref.kind is Kind.GATE} == {"m1", "n1"}
    assert [files(wanted, master) for master in ("m1", "m2", "m3")] == [{RECORD}] * 3
    assert {ref.kind for ref in wanted.desired if ref.host in ("m1", "m2", "m3")} == {
        Kind.GATE,
        Kind.FILE,
        Kind.SETTING,
    }
    assert {ref.name for ref in wanted.desired if ref.host == "m1" and ref.kind is Kind.SETTING} == {"schedulable n1"}
    cluster, _ = resolve.checked(path)
    assert first_asked(cluster, "n1") == ["n1", "m1", "m2", "m3"]
    assert first_asked(cluster, "") == ["m1", "m2", "m3", "n1", "n2"]


def test_where_the_masters_name_another_first_master_it_is_asked_about_the_node(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of this machine is older: somebody else has applied meanwhile."""
    hosts = Hosts(monkeypatch, "first-master m2\n")
    wanted, seen = look(path, hosts, "n1")
    gates = [ref for ref, item in wanted.desired.items() if isinstance(item.resource, Gate)]
    assert {ref.host for ref in gates} == {"m2", "n1"}
    assert {ref.host for ref in wanted.desired} <= set(seen.remotes)
    assert hosts.asked == [{"m1", "m2", "m3", "n1"}] * 2
    assert [host.name for host in wanted.cluster.hosts] == ["m2", "n1"]
    assert fleet.unhealthy(wanted.desired, seen.remotes) is not None


def test_without_a_record_all_masters_are_asked_and_those_that_are_away_stop_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = Hosts(monkeypatch, "first-master m3\n", away=["m2"])
    wanted, seen = look(path, hosts, "n1", kept=Allocations())
    assert hosts.asked == [{"m1", "m2", "m3", "n1"}] * 2
    hosts = Hosts(monkeypatch, away=["m2"])
    wanted, seen = look(path, hosts, "n1", kept=Allocations())
    assert set(seen.unreachable) == {"m2"}
    there, answered = reached(wanted, seen)
    assert wanted.desired.keys() - there.desired.keys() == {Ref("m2", Kind.FILE, RECORD)}
    assert answered.unreachable == {}
    hosts = Hosts(monkeypatch, away=["m1"])
    with pytest.raises(HostsError, match="m1: no answer"):
        reached(*look(path, hosts, "n1"))


def test_nodes_are_asked_only_where_a_part_would_begin_an_empty_etcd(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All masters are new, and the nodes' kubelets run: one that does not answer stops nothing, the other's counts."""
    hosts = Hosts(monkeypatch, away=["n1"])
    wanted, seen = look(path, hosts, "m2")
    require_members(session(path, hosts, wanted), wanted, seen)
    assert hosts.asked == [{"m1", "m2", "m3"}]
    new = replace(seen, seen=dict.fromkeys(seen.seen, Missing.ABSENT))
    with pytest.raises(InstallerError, match="neither has any other member, but n2: unit kubelet was started before"):
        require_members(session(path, hosts, wanted), wanted, new)
    assert hosts.asked[1:] == [{"n1", "n2"}]


@pytest.mark.parametrize(("limit", "only"), [("m2", ""), ("", "etcd"), ("m2", "etcd")])
def test_who_starts_a_member_of_etcd_looks_at_all_of_them(
    path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, only: str
) -> None:
    hosts = Hosts(monkeypatch)
    wanted, seen = look(path, hosts, limit, only)
    assert {"m1", "m2", "m3"} <= hosts.asked[0]
    logs = [ref for ref, item in wanted.whole.items() if isinstance(item.resource, Data)]
    assert [seen.seen.get(ref, Missing.UNKNOWN) is Missing.UNKNOWN for ref in logs] == [False] * 3
    if limit:
        assert {ref.host for ref in wanted.desired if ref.kind is not Kind.GATE and ref.name != RECORD} == {"m2"}
    hosts = Hosts(monkeypatch, away=["m3"])
    wanted, seen = look(path, hosts, "m2")
    assert reached(wanted, seen)[1].unreachable == {}  # what it means for m2 is judged by what m2 has


def test_all_of_the_cluster_is_no_part_and_looks_at_nothing_twice(path: Path) -> None:
    everything = whole(path)
    assert part(everything, "", "") == replace(everything, beside={})


def test_two_machines_that_add_a_node_each_by_a_part_give_them_different_subnets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one asks neither the first one's node nor its machine: the masters' record is all that they share."""
    record = "first-master m1\npod-subnet 10.244.0.0/24 n1\npod-subnet 10.244.1.0/24 n2\n"
    for added, names, number in (("n4", ["n4"], 2), ("n3", ["n3", "n4"], 3)):
        (tmp_path / added).mkdir()
        path = tmp_path / added / "cluster.yaml"
        nodes = "".join(f"  {name}: {{address: 10.0.0.2{name[1]}, roles: [node]}}\n" for name in names)
        path.write_text(TEXT.replace("none", "routes") + nodes, encoding="utf-8")
        hosts = Hosts(monkeypatch, record, away=["m3"])
        wanted, seen = reached(*look(path, hosts, added, kept=Allocations()))
        assert str(wanted.given.allocations.subnets[added]) == f"10.244.{number}.0/24"
        docker = Ref(added, Kind.FILE, DOCKER)
        plan = make_plan(wanted.desired, {**seen.seen, docker: Missing.ABSENT})
        at = {change.ref: index for index, change in enumerate(plan.changes)}
        records = [change for change in plan.changes if change.ref.name == RECORD]
        assert [change.ref.host for change in records] == ["m1", "m2"]
        assert at[records[0].ref] in plan.after[at[docker]]
        assert isinstance(records[0].after, File)
        record = records[0].after.content.decode()


def test_a_way_back_records_nothing(path: Path) -> None:
    back = replace(whole(path), undoes=("1",))
    assert not any(ref.name == RECORD for ref in part(back, "n1", "").desired)


@pytest.fixture
def leaving(tmp_path: Path) -> Path:
    """The cluster of which n2 is absent."""
    file = tmp_path / "cluster.yaml"
    file.write_text(
        TEXT.replace("10.0.0.22, roles: [node]", "10.0.0.22, roles: [node], state: absent"), encoding="utf-8"
    )
    return file


def test_a_host_that_is_absent_has_nothing_wanted_and_is_asked_for_what_was_placed_there(
    leaving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = Hosts(monkeypatch)
    wanted, seen = reached(*look(leaving, hosts))
    assert "n2" in hosts.asked[0]
    assert Ref("n2", Kind.RECORD, "placed") in seen.seen
    assert not [ref for ref in wanted.whole if ref.host == "n2"]


def test_a_part_may_be_a_host_that_is_absent(leaving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts(monkeypatch)
    wanted, _ = look(leaving, hosts, "n2")
    assert [host.name for host in wanted.cluster.leaving] == ["n2"]
    assert "n1" not in hosts.asked[0]
    wanted, _ = look(leaving, hosts, "n1")
    assert wanted.cluster.leaving == ()


def test_a_host_that_is_absent_and_does_not_answer_stops_nothing(
    leaving: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted, seen = reached(*look(leaving, Hosts(monkeypatch, away=["n2"])))
    assert seen.unreachable == {}
    assert {ref.host for ref in wanted.desired} >= {"m1", "n1"}
    assert [ref for ref, item in wanted.desired.items() if item.leaving] == [Ref("m1", Kind.SETTING, "node n2")]
    words = capsys.readouterr()
    assert "n2 is absent in the inventory and cannot be reached" in " ".join((words.out + words.err).split())
