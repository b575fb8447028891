"""`reset`: what was placed leaves the hosts that answer, and what stays is said. Hosts are fakes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from k8s_installer.cli.terminal import Terminal
from k8s_installer.engine import fleet, lock
from k8s_installer.engine.fleet import Connections, ObservedFleet
from k8s_installer.engine.lock import LockOutOfReach
from k8s_installer.errors import HostsError, InputError, InstallerError, TransportError
from k8s_installer.flows.apply import Options
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.reporter import Say
from k8s_installer.flows.reset import reset
from k8s_installer.host.placed import SWEEP
from k8s_installer.inventory import Host
from k8s_installer.model.desired import Desired, DesiredResource, by_host
from k8s_installer.model.resources import (
    File,
    Kind,
    Leaves,
    NoLeftovers,
    Placed,
    Ref,
    Seen,
    SeenFile,
    SeenPackage,
    SeenUnit,
)
from k8s_installer.transport import Result
from tests.fakes import IDLE, FakeHost
from tests.unit.test_flows import Recorder

TEXT = """\
cluster: {name: lab, version: "1.20.2", network: none}
hosts:
  m1: {address: 10.0.0.1, roles: [etcd, master]}
  m2: {address: 10.0.0.2, roles: [master]}
  n1: {address: 10.0.0.21, roles: [node]}
  n2: {address: 10.0.0.22, roles: [node]}
"""
DATA = Leaves("etcd", ("/var/lib/etcd",), ("/var/lib/etcd",))
RUNNING = SeenUnit("loaded", "active", "running", enabled=True, pid=7, started_at=500.0, needs_reload=False)
MOTD = "/etc/motd"
KEYS = ".k8s-installer/lab/pki"
ETCD_STAYS = "etcd's data stays on m1 (/var/lib/etcd), with the users that it belongs to."


def installed(name: str, *more: Placed) -> FakeHost:
    """A host with a file of ours on it, and what else is recorded."""
    host = FakeHost(name)
    host.files[MOTD], host.contents[MOTD] = SeenFile(File(b"hi").sha256, 0o644, "root", "root", 1.0), b"hi"
    for entry in (Placed(Kind.FILE, MOTD, "host", sha256=File(b"hi").sha256), *more):
        host.record[entry.kind, entry.name] = entry
    return host


@dataclass
class Line:
    """A way to a host; it hears when the host's own folder is removed."""

    host: str
    swept: list[str]

    def run(self, script: str, **_: object) -> Result:
        assert script == SWEEP
        self.swept.append(self.host)
        return Result(0, "", "")


@dataclass
class Cluster:
    """Two masters and two nodes, all installed; those in `away` do not answer."""

    inputs: Inputs
    hosts: dict[str, FakeHost]
    away: set[str] = field(default_factory=set)
    swept: list[str] = field(default_factory=list)
    recorder: Recorder = field(default_factory=Recorder)
    asked: dict[Ref, DesiredResource] = field(default_factory=dict)

    @contextmanager
    def connecting(self, hosts: Iterable[Host], *_: object) -> Iterator[Connections]:
        with ThreadPoolExecutor(1) as pool:
            yield Connections(pool, {host.name: Line(host.name, self.swept) for host in hosts})  # type: ignore[misc]

    @contextmanager
    def hold(self, *_: object, force: bool, skip: bool, say: Say) -> Iterator[threading.Event]:
        masters = self.away & {"m1", "m2"}
        if masters and not skip:
            raise LockOutOfReach([TransportError(name, "no answer") for name in sorted(masters)], 2)
        yield threading.Event()
        self.locked = tuple(self.swept)

    def observe(self, connections: Connections, asked: Desired, *_: object) -> ObservedFleet:
        names = connections.lines.keys()
        self.asked |= asked
        seen: dict[Ref, Seen] = {}
        for name, items in by_host(asked).items():
            if name in names - self.away:
                seen |= self.hosts[name].observe(items)
        silent = {name: TransportError(name, "no route to host") for name in names & self.away}
        return ObservedFleet({}, dict(self.hosts), seen, dict(silent), {})

    def reset(self, host: str = "", *, data: bool = False, skip: bool = False) -> Outcome:
        options = Options(self.inputs, yes=True, verify=False, preflight=False, skip_unreachable=skip)
        return reset(options, self.recorder, host=host, name="lab", data=data)

    @property
    def closing(self) -> tuple[str, ...]:
        assert self.recorder.end is not None
        return self.recorder.end.closing

    @property
    def cleared(self) -> set[str]:
        return {name for name, host in self.hosts.items() if MOTD not in host.files}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    (tmp_path / "cluster.yaml").write_text(TEXT, encoding="utf-8")
    (tmp_path / KEYS).mkdir(parents=True)
    hosts = {name: installed(name) for name in ("m1", "m2", "n1", "n2")}
    hosts["m1"] = installed("m1", Placed(Kind.LEFTOVERS, "etcd", "etcd", leaves=DATA))
    hosts["m1"].data_stays["etcd"] = ("/var/lib/etcd",)
    found = Cluster(Inputs(tmp_path / "cluster.yaml"), hosts)
    monkeypatch.setattr(fleet, "connecting", found.connecting)
    monkeypatch.setattr(fleet, "observe", found.observe)
    monkeypatch.setattr(lock, "hold", found.hold)
    return found


def test_it_says_what_stays_and_what_installs_the_cluster_again(cluster: Cluster) -> None:
    assert cluster.reset() is Outcome.DONE
    assert cluster.cleared == set(cluster.swept) == {"m1", "m2", "n1", "n2"}
    folder = cluster.inputs.inventory.parent
    assert cluster.closing == (
        f"{ETCD_STAYS} To remove it and the cluster's keys on this machine: k8s-installer reset -i {folder / 'cluster.yaml'} --data",
        f"The cluster's keys stay in {folder / KEYS}.",
        f"Next: k8s-installer apply -i {folder / 'cluster.yaml'} installs the cluster again.",
    )
    assert (folder / KEYS).exists()


def test_with_its_data_nothing_stays(cluster: Cluster) -> None:
    cluster.hosts["m1"].leftovers["etcd"] = ("/var/lib/etcd",)
    assert cluster.reset(data=True) is Outcome.DONE
    assert [line.split()[0] for line in cluster.closing] == ["Next:"]
    keys = cluster.inputs.inventory.parent / KEYS
    assert not keys.exists()
    assert any(f"deleted the cluster's keys in {keys};" in line for line in cluster.recorder.heard)


VOLUMES = "/var/lib/docker/volumes"


@pytest.mark.parametrize("data", [True, False])
def test_data_that_was_there_before_stays_and_nothing_offers_to_remove_it(cluster: Cluster, *, data: bool) -> None:
    leaves = Leaves("docker", ("/var/run/docker",), (VOLUMES,))
    cluster.hosts["n1"] = installed("n1", Placed(Kind.LEFTOVERS, "docker", "docker", leaves=leaves))
    cluster.hosts["n1"].leftovers["docker"], cluster.hosts["n1"].data_stays["docker"] = ("docker0",), (VOLUMES,)
    cluster.hosts["m1"].leftovers["etcd"] = ("/var/lib/etcd",)
    assert cluster.reset(data=data) is Outcome.DONE
    lines = [line for line in cluster.closing if "docker" in line]
    assert lines == [f"docker's data stays on n1 ({VOLUMES}): it was there before."]


def test_the_command_that_removes_data_is_about_the_hosts_that_were_reset(cluster: Cluster) -> None:
    leaves = Leaves("docker", ("/var/lib/docker", VOLUMES), (VOLUMES,))
    for name in ("n1", "n2"):
        cluster.hosts[name] = installed(name, Placed(Kind.LEFTOVERS, "docker", "docker", leaves=leaves))
        cluster.hosts[name].leftovers["docker"] = ("/var/lib/docker",)
        cluster.hosts[name].data_stays["docker"] = (VOLUMES,)
    assert cluster.reset("n1,n2") is Outcome.DONE
    command = f"k8s-installer reset -i {cluster.inputs.inventory} --host n1,n2 --data"
    assert cluster.closing[0].endswith(f"To remove it: {command}")
    for name in ("n1", "n2"):
        cluster.hosts[name].leftovers["docker"] = (VOLUMES,)
    assert cluster.reset("n1,n2", data=True) is Outcome.DONE  # as it says
    assert [line.split()[0] for line in cluster.closing] == ["Next:"]


@pytest.mark.parametrize("network", ["none", "flannel"])
def test_what_an_earlier_version_recorded_stays_or_goes_as_this_one_knows_it(cluster: Cluster, network: str) -> None:
    """The inventory has docker still, and flannel perhaps no longer: its profile knows both."""
    path = cluster.inputs.inventory
    path.write_text(TEXT.replace("network: none", f"network: {network}"), encoding="utf-8")
    docker = Leaves("docker", ("/var/lib/docker",), rules=("DOCKER", "docker0"))
    flannel = Leaves("flannel", rules=("FLANNEL-",))
    masquerade = "/etc/systemd/system/docker.service.d/30-masquerade.conf"
    entries = (Placed(Kind.LEFTOVERS, left.name, left.name, leaves=left) for left in (docker, flannel))
    host = installed("n1", *entries, Placed(Kind.LEFTOVERS, masquerade, "network", leaves=Leaves(masquerade)))
    host.leftovers |= {"docker": ("docker0",), "flannel": ("flannel.1",)}
    host.data_stays["docker"] = (VOLUMES,)
    cluster.hosts["n1"] = host
    assert cluster.reset() is Outcome.DONE
    assert any(line.startswith(f"docker's data stays on n1 ({VOLUMES})") for line in cluster.closing)
    (left,) = (entry.leaves for entry in host.record.values())
    assert left is not None
    assert left.data[0] == VOLUMES
    cleaned = {
        ref.name: item.resource.leaves for ref, item in cluster.asked.items() if isinstance(item.resource, NoLeftovers)
    }
    assert "FLANNEL-FWD" in cleaned["flannel"].chains
    assert any("MASQUERADE" in rule for rule in cleaned["flannel"].rules)


def test_a_host_that_does_not_answer_stops_it_and_is_named(cluster: Cluster) -> None:
    cluster.away = {"n2"}
    with pytest.raises(
        InstallerError, match="n2: no route to host\nnothing was changed: what was placed on n2 would stay"
    ) as caught:
        cluster.reset()
    assert "--skip-unreachable resets the other hosts, and leaves n2 as it is" in caught.value.hint
    assert cluster.cleared == set()


def test_a_host_that_is_skipped_stays_as_it_is_and_fails_nothing(cluster: Cluster) -> None:
    cluster.away = {"n2"}
    assert cluster.reset(skip=True) is Outcome.DONE
    assert cluster.cleared == set(cluster.swept) == {"m1", "m2", "n1"}
    words = "n2 cannot be reached, so what was placed there stays: no route to host"
    assert f"warn {words}" in cluster.recorder.heard
    assert "n2 could not be reached: once that is fixed, run the same reset again." in cluster.closing


def test_nodes_are_reset_although_no_master_is_left(cluster: Cluster) -> None:
    cluster.away = {"m1", "m2"}
    with pytest.raises(LockOutOfReach) as caught:
        cluster.reset()
    assert caught.value.hint.splitlines()[-1].startswith("--skip-unreachable resets the hosts that answer")
    assert cluster.reset(skip=True, data=True) is Outcome.DONE
    assert cluster.cleared == {"n1", "n2"}
    kept = [line for line in cluster.recorder.heard if "the cluster's keys stay" in line]
    assert len(kept) == 1  # a member of etcd that does not answer may have data
    assert "on m1" in kept[0]
    assert (cluster.inputs.inventory.parent / KEYS).exists()


def test_the_lock_protects_what_goes_last_where_it_is_not_in_it(cluster: Cluster) -> None:
    assert cluster.reset() is Outcome.DONE
    assert set(cluster.locked) == {"n1", "n2"}


def test_what_fails_on_a_host_that_answers_fails_the_reset(cluster: Cluster) -> None:
    cluster.away = {"n2"}
    cluster.hosts["n1"].refuses[MOTD] = "Read-only file system"
    assert cluster.reset(skip=True) is Outcome.FAILED
    assert cluster.swept == []


def test_nobody_who_answers_is_an_error(cluster: Cluster) -> None:
    cluster.away = {"n1", "n2"}
    with pytest.raises(HostsError, match="n1: no route to host"):
        cluster.reset("n1,n2", skip=True)


@pytest.mark.parametrize("by_other_hands", [True, False])
def test_a_master_that_is_a_member_too_stops_and_keeps_its_data(cluster: Cluster, *, by_other_hands: bool) -> None:
    """Nobody of a group stays who would take turns, although data, its user and the record do."""
    host = cluster.hosts["m1"]
    path = "/etc/kubernetes/apiserver"
    host.files[path], host.contents[path] = host.files[MOTD], host.contents[MOTD]
    for entry in (
        Placed(Kind.UNIT, "etcd", "etcd", "etcd"),
        Placed(Kind.PACKAGE, "kubernetes-client", "kubectl"),
        Placed(Kind.PACKAGE, "etcd", "etcd", "etcd"),
        Placed(Kind.SETTING, "user etcd", "etcd", "etcd", before="absent", came_with=("etcd",)),
        Placed(Kind.UNIT, "kube-apiserver", "kube-apiserver", "masters"),
        Placed(Kind.FILE, path, "kube-apiserver", "masters", sha256=File(b"hi").sha256),
    ):
        host.record[entry.kind, entry.name] = entry
    host.units = {"etcd": RUNNING, "kube-apiserver": IDLE if by_other_hands else RUNNING}
    host.packages = {name: SeenPackage("1.0", "1", 1.0) for name in ("kubernetes-client", "etcd")}
    host.settings["user etcd"] = "system"
    host.data_owners["etcd"] = ("etcd",)
    assert cluster.reset() is Outcome.DONE
    assert (host.units["etcd"].is_active, "etcd" in host.packages, path in host.files) == (False, False, False)
    assert host.settings["user etcd"] == "system"
    assert {name for _, name in host.record} == {"etcd", "user etcd"}


def kubelet(cluster: Cluster) -> None:
    host = cluster.hosts["n1"]
    entry = Placed(Kind.LEFTOVERS, "kubelet", "kubelet", "nodes", leaves=Leaves("kubelet", ("/var/lib/kubelet",)))
    host.record[entry.kind, entry.name] = entry
    host.leftovers["kubelet"] = ("/var/lib/kubelet",)


@pytest.mark.parametrize("away", [set[str](), {"m1"}])
def test_a_master_that_stays_deletes_the_node_of_a_host_that_is_reset(cluster: Cluster, away: set[str]) -> None:
    kubelet(cluster)
    cluster.away, by = away, "m2" if away else "m1"
    cluster.hosts[by].settings["node n1"] = "present"
    assert cluster.reset("n1", skip=True) is Outcome.DONE
    assert cluster.hosts[by].settings["node n1"] == "absent"
    assert cluster.cleared == {"n1"}
    (words,) = cluster.closing
    assert words.startswith("Next: remove n1 from the inventory, or k8s-installer apply -i ")


def test_a_node_stays_where_no_master_answers(cluster: Cluster) -> None:
    kubelet(cluster)
    cluster.away = {"m1", "m2"}
    assert cluster.reset("n1", skip=True) is Outcome.DONE
    assert cluster.closing[0] == "No master answers, so Node objects stay: kubectl delete node n1"


def test_only_hosts_that_were_nodes_have_node_objects_that_stay(cluster: Cluster) -> None:
    was_master = "x{0}: {{address: 10.0.0.3{0}, roles: [master], state: absent}}"
    text = "\n  ".join([TEXT.rstrip(), was_master.format(1), was_master.format(2)])
    cluster.inputs.inventory.write_text(text, encoding="utf-8")
    cluster.hosts |= {"x1": installed("x1"), "x2": installed("x2", Placed(Kind.UNIT, "kubelet", "kubelet"))}
    cluster.away = {"m1", "m2"}
    assert cluster.reset("n1,x1,x2", skip=True) is Outcome.DONE
    assert cluster.closing[0] == "No master answers, so Node objects stay: kubectl delete node n1 x2"
    assert cluster.reset("x1", skip=True) is Outcome.DONE
    assert not any("kubectl" in line for line in cluster.closing)


@pytest.mark.parametrize("part", ["", "n1"])
def test_an_absent_host_that_another_cluster_has_now_is_left_alone(cluster: Cluster, part: str) -> None:
    text = TEXT.replace("10.0.0.22, roles: [node]", "10.0.0.22, roles: [node], state: absent")
    cluster.inputs.inventory.write_text(text, encoding="utf-8")
    host = cluster.hosts["n2"]
    host.record = {key: replace(entry, cluster="prod") for key, entry in host.record.items()}
    assert cluster.reset(part) is Outcome.DONE
    assert "n2" not in cluster.cleared
    assert "n2" not in cluster.swept
    warned = [line for line in cluster.recorder.heard if line.startswith("warn")]
    assert warned == ([] if part else ["warn n2 belongs to prod now and is left alone: delete its entry here"])
    assert not any("n2" in line for line in cluster.closing)
    with pytest.raises(InstallerError, match="cluster prod is installed on n2"):
        cluster.reset("n2")


THREE = """\
cluster: {name: lab, version: "1.20.2", network: none}
hosts:
  m1: {address: 10.0.0.1, roles: [etcd, master]}
  m2: {address: 10.0.0.2, roles: [etcd, master]}
  m3: {address: 10.0.0.3, roles: [etcd, master]}
  n1: {address: 10.0.0.21, roles: [node]}
"""


@pytest.fixture
def three(cluster: Cluster) -> Cluster:
    """Three masters, each with a member of etcd that runs and has data."""
    cluster.inputs.inventory.write_text(THREE, encoding="utf-8")
    del cluster.hosts["n2"]
    for name in ("m1", "m2", "m3"):
        units = [Placed(Kind.UNIT, unit, unit) for unit in ("etcd", "kube-apiserver")]
        host = installed(name, Placed(Kind.LEFTOVERS, "etcd", "etcd", leaves=DATA), *units)
        host.units, host.data_stays["etcd"] = dict.fromkeys(("etcd", "kube-apiserver"), RUNNING), ("/var/lib/etcd",)
        cluster.hosts[name] = host
    return cluster


def test_what_was_reset_before_is_no_part_of_etcds_quorum(three: Cluster) -> None:
    assert three.reset("m3") is Outcome.DONE
    assert three.closing[0] == (
        "etcd's data stays on m3 (/var/lib/etcd), with the users that it belongs to. Remove m3 from the members of etcd "
        "first (docs/etcd.md), then the folder there by hand."
    )
    with pytest.raises(InputError) as caught:
        three.reset("m2")
    assert caught.value.message == (
        "--host: m2 of 3 etcd members: the others would lose data or quorum; etcd does not run on m3 (inactive)"
    )
    assert caught.value.hint.startswith("bring etcd back on m3 first, or reset all hosts; how a member is removed")
    assert three.cleared == {"m3"}
    assert three.reset("m3") is Outcome.DONE  # nothing more is taken
    assert three.reset("m1,m2,m3,n1") is Outcome.DONE


@pytest.mark.parametrize("skip", [False, True])
def test_a_member_that_does_not_answer_is_no_part_of_the_quorum(three: Cluster, *, skip: bool) -> None:
    three.away = {"m3"}
    with pytest.raises(InputError, match=r"lose data or quorum; etcd does not run on m3 \(did not answer\)"):
        three.reset("m2", skip=skip)
    three.away = {"m2", "m3"}
    with pytest.raises(InputError, match="etcd does not run on m2"):
        three.reset("m1", skip=True)
    assert three.reset("m2,n1", skip=True) is Outcome.DONE  # who does not answer stays as it is
    assert three.cleared == {"n1"}


def test_data_of_a_member_goes_only_with_the_cluster(three: Cluster) -> None:
    with pytest.raises(InputError, match="--data: m3 of 3 etcd members: etcd counts on their data"):
        three.reset("m3", data=True)
    for host in three.hosts.values():
        host.leftovers["etcd"] = ("/var/lib/etcd",)
    assert three.reset("n1", data=True) is three.reset(data=True) is Outcome.DONE


@pytest.mark.parametrize("dead", [True, False])
def test_a_master_that_does_not_run_is_none_that_stays(three: Cluster, *, dead: bool) -> None:
    # its only member of etcd is no master
    text = THREE.replace("[etcd, master]", "[master]", 2).replace("[etcd, master]", "[etcd]")
    three.inputs.inventory.write_text(text, encoding="utf-8")
    three.hosts["m2"].units["kube-apiserver"] = IDLE
    three.away = {"m2"} if dead else set()
    state = "did not answer" if dead else "inactive"
    words = rf"no master would be left for the other hosts; kube-apiserver does not run on m2 \({state}\)"
    with pytest.raises(InputError, match=words) as caught:
        three.reset("m1", skip=True)
    assert caught.value.hint.splitlines()[0] == "bring kube-apiserver back on m2 first, or reset all hosts"
    three.hosts["m2"].units["kube-apiserver"], three.away = RUNNING, set()
    assert three.reset("m1") is Outcome.DONE


def test_a_member_that_stays_keeps_its_quorum_and_the_cluster_a_master(cluster: Cluster) -> None:
    for names, words in (("m1", "the others would lose data or quorum"), ("m9", "there is no m9")):
        with pytest.raises(InputError, match=words):
            cluster.reset(names)


def test_what_is_reset_already_has_nothing_to_remove(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    for host in cluster.hosts.values():
        host.record.clear()
        host.files.clear()
    options = Options(cluster.inputs, yes=True, verify=False, preflight=False)
    assert reset(options, Terminal(cluster.inputs.inventory, command="reset"), name="lab") is Outcome.DONE
    words = capsys.readouterr()
    assert "Nothing to remove" in words.out
    assert "should show no changes" not in words.err
    assert "installs the cluster again" in words.err


def test_a_reset_that_fails_is_to_be_tried_again_as_one(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.hosts["n1"].refuses[MOTD] = "Read-only file system"
    options = Options(cluster.inputs, yes=True, verify=False, preflight=False)
    assert reset(options, Terminal(cluster.inputs.inventory, command="reset"), name="lab") is Outcome.FAILED
    assert "then k8s-installer reset -i" in " ".join(capsys.readouterr().err.split())
