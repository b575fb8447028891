"""`status` shows what is placed on hosts and no longer wanted, and asks once more only then. Hosts are fakes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from benchmarks.pure import answers
from k8s_installer.engine import fleet
from k8s_installer.engine.fleet import Connections, ObservedFleet
from k8s_installer.errors import Lost, TransportError
from k8s_installer.flows import status as flow
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.status import look
from k8s_installer.host.gates import GateAnswer, UnitState
from k8s_installer.model.desired import Desired, DesiredResource, health_gates
from k8s_installer.model.resources import (
    File,
    Kind,
    Leaves,
    Missing,
    Placed,
    Ref,
    Seen,
    SeenFile,
    SeenLeftovers,
    SeenRecord,
    SeenSetting,
    SeenUnit,
)
from k8s_installer.report import status as report
from k8s_installer.status import HostStatus
from k8s_installer.transport import Transport
from tests.unit.test_flows import Recorder

TEXT = """\
cluster: {name: lab, version: "1.5.2", network: none, security: insecure}
hosts:
  m1: {address: 10.0.0.1, roles: [etcd, master]}
  n1: {address: 10.0.0.21, roles: [node]}
  n2: {address: 10.0.0.22, roles: [node], state: absent}
"""
MOTD = Ref("n1", Kind.FILE, "/etc/motd")
PROXY = Ref("m1", Kind.UNIT, "kube-proxy")
KUBELET = Leaves("kubelet", ("/var/lib/kubelet",))
RUNNING = SeenUnit("loaded", "active", "running", enabled=True, pid=7, started_at=500.0, needs_reload=False)


@dataclass
class Hosts:
    """Hosts that are as wanted, with records of more; `away` do not answer, `again` are those that were asked twice."""

    inputs: Inputs
    records: dict[str, tuple[Placed, ...]] = field(default_factory=dict)
    more: dict[Ref, Seen] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    unrecorded: set[str] = field(default_factory=set)
    lost: dict[Kind, Seen] = field(default_factory=dict)
    again: list[Ref] = field(default_factory=list)
    recorder: Recorder = field(default_factory=Recorder)

    @contextmanager
    def connecting(self, *_: object) -> Iterator[Connections]:
        with ThreadPoolExecutor(1) as pool:
            yield Connections(pool, {name: Way(name) for name in ("m1", "n1", "n2")})  # type: ignore[misc]

    def first(self, way: Transport, wanted: Sequence[DesiredResource]) -> HostStatus:
        """What the one script of `status` finds."""
        if way.host in self.away:
            raise TransportError(way.host, "no answer")
        seen = answers({item.ref: item for item in wanted})
        record = Ref(way.host, Kind.RECORD, "placed")
        found = seen[record]
        assert isinstance(found, SeenRecord)
        entries = SeenRecord((*found.entries, *self.records.get(way.host, ())))
        of_etcd = (item.ref for item in wanted if item.component == "etcd" and item.ref.kind in self.lost)
        seen |= {ref: self.lost[ref.kind] for ref in of_etcd}
        seen = {**seen, record: Missing.ABSENT if way.host in self.unrecorded else entries}
        healthy = GateAnswer(True, "ok", UnitState("active", 1))
        return HostStatus(seen, {ref: healthy for ref, _ in health_gates(wanted)}, {}, (), 0.0)

    def observe(self, _connections: Connections, asked: Desired, *_: object) -> ObservedFleet:
        self.again += asked
        return ObservedFleet({}, {}, {ref: self.more[ref] for ref in asked}, {}, {})

    def status(self) -> tuple[list[str], bool]:
        """What differs, and whether anything does."""
        found = look(self.inputs, self.recorder)
        self.table = report.table(found, Path("c.yaml"))
        self.data = report.data(found)
        return [f"{diff.ref}: {diff.words}" for item in found.components for diff in item.differences], found.differs


@dataclass
class Way:
    host: str


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    (tmp_path / "cluster.yaml").write_text(TEXT, encoding="utf-8")
    found = Hosts(Inputs(tmp_path / "cluster.yaml"))
    monkeypatch.setattr(fleet, "connecting", found.connecting)
    monkeypatch.setattr(fleet, "observe", found.observe)
    monkeypatch.setattr(flow, "_status", found.first)
    return found


def test_where_nothing_leaves_hosts_are_asked_once(hosts: Hosts) -> None:
    assert hosts.status() == ([], False)
    assert hosts.again == []


def test_a_file_that_is_no_longer_wanted_differs_and_nobody_is_blamed(hosts: Hosts) -> None:
    hosts.records["n1"] = (Placed(Kind.FILE, MOTD.name, "host", sha256=File(b"hi").sha256),)
    hosts.more[MOTD] = SeenFile(File(b"hi").sha256, 0o644, "root", "root", 1.0, b"hi")
    assert hosts.status() == (["n1: file /etc/motd: host no longer has it"], True)
    assert hosts.again == [MOTD]
    assert "modified at" not in str(hosts.table.renderables)


def test_a_role_that_a_host_has_no_longer_is_a_row_that_says_so(hosts: Hosts) -> None:
    hosts.records["m1"] = (Placed(Kind.UNIT, "kube-proxy", "kube-proxy", "nodes"),)
    hosts.more[PROXY] = RUNNING
    assert hosts.status() == (["m1: unit kube-proxy: kube-proxy no longer has it"], True)
    rows = [str(line) for line in hosts.table.renderables]
    assert any(line.startswith("m1") and "running 1970-01-01 00:08:20, no longer wanted" in line for line in rows)
    listed = hosts.data["hosts"]
    assert isinstance(listed, list)
    assert [part["name"] for host in listed for part in host["components"] if part["leaves"]] == ["kube-proxy"]


def test_an_absent_host_is_shown_as_long_as_something_is_there(hosts: Hosts) -> None:
    node, left = Ref("m1", Kind.SETTING, "node n2"), Ref("n2", Kind.LEFTOVERS, "kubelet")
    hosts.records["n2"] = (Placed(Kind.LEFTOVERS, "kubelet", "kubelet", "nodes", leaves=KUBELET),)
    drained = Ref("m1", Kind.SETTING, "drained n2")
    hosts.more = {
        node: SeenSetting("present"),
        left: SeenLeftovers(("/var/lib/kubelet",)),
        drained: SeenSetting("released"),
    }
    assert hosts.status() == (
        ["n2: leftovers kubelet: no longer wanted on n2", "m1: setting node n2: its host is no node any more"],
        True,
    )


@pytest.mark.parametrize("present", [True, False])
def test_an_absent_host_that_does_not_answer_differs_by_its_node_alone(hosts: Hosts, *, present: bool) -> None:
    hosts.away = {"n2"}
    node = Ref("m1", Kind.SETTING, "node n2")
    hosts.more[node] = SeenSetting("present" if present else "absent")
    if not present:
        hosts.more[node] = Missing.ABSENT
    words = ["m1: setting node n2: its host is no node any more"] if present else []
    assert hosts.status() == (words, present)
    assert [line for line in hosts.recorder.heard if line.startswith("warn n2 is absent in the inventory")]


def test_an_absent_host_that_another_cluster_has_now_differs_by_its_node_alone(hosts: Hosts) -> None:
    hosts.records["n2"] = (Placed(Kind.FILE, MOTD.name, "host", sha256=File(b"hi").sha256, cluster="other"),)
    hosts.more = {Ref("m1", Kind.SETTING, "node n2"): SeenSetting("present")}
    assert hosts.status() == (["m1: setting node n2: its host is no node any more"], True)
    assert [line for line in hosts.recorder.heard if line.startswith("warn n2 belongs to other now and is left alone")]


def test_a_host_that_was_installed_before_there_was_a_record_is_to_be_adopted_as_in_a_plan(hosts: Hosts) -> None:
    hosts.unrecorded = {"n1"}
    (words,), differs = hosts.status()
    assert words.startswith("n1: record placed: ")
    assert words.endswith(" placed before they were recorded")
    assert differs


def test_of_another_clusters_host_nothing_is_said_to_leave(hosts: Hosts) -> None:
    hosts.records["n1"] = (Placed(Kind.FILE, MOTD.name, "host", sha256=File(b"hi").sha256, cluster="other"),)
    assert hosts.status()[0] == []
    assert [line for line in hosts.recorder.heard if line.startswith("error") and "other" in line]


def test_a_host_that_stays_and_does_not_answer_is_shown_as_that(hosts: Hosts) -> None:
    hosts.away = {"n1"}
    assert hosts.status()[1] is True
    assert "n1: no answer" in [str(line) for line in hosts.table.renderables]


def test_what_is_lost_is_data_of_the_status_and_what_else_stops_a_plan_is_shown_at_once(hosts: Hosts) -> None:
    hosts.lost = {Kind.DATA: Missing.ABSENT, Kind.UNIT: replace(RUNNING, active="inactive")}
    found = look(hosts.inputs, hosts.recorder)
    assert [(loss.what, loss.hosts) for loss in found.losses] == [(Lost.DATA, ("m1",))]
    assert not [line for line in hosts.recorder.heard if line.startswith("error")]
    hosts.lost = {}
    hosts.records["n1"] = (Placed(Kind.FILE, MOTD.name, "host", cluster="other"),)
    found = look(hosts.inputs, hosts.recorder)
    assert not found.losses
    assert [line for line in hosts.recorder.heard if line.startswith("error")]
