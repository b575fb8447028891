"""Nodes are drained before what stops their pods, and given back after; those that leave are drained in any case."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.pure import answers
from k8s_installer import inventory, profiles
from k8s_installer.desired import Desired, desire, draining
from k8s_installer.engine.scheduler import apply
from k8s_installer.engine.worker import Inbox, work
from k8s_installer.errors import InventoryError
from k8s_installer.flows.inputs import Inputs, read
from k8s_installer.inventory import Cluster, Drain
from k8s_installer.model.desired import Place, Turn
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import (
    Gate,
    Kind,
    Leaves,
    Missing,
    Placed,
    Ref,
    Seen,
    SeenLeftovers,
    SeenRecord,
    SeenSetting,
    Setting,
)
from k8s_installer.model.run import Event, Run, State
from k8s_installer.planning import records
from k8s_installer.planning.adopting import with_adopted
from k8s_installer.planning.leaving import with_drains, with_leaving
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.undo import failed_turns, undo
from k8s_installer.render import Renderer
from k8s_installer.report import ending
from tests.fakes import IDLE, FakeHost
from tests.unit.clusters import MODES, cluster, placeholder
from tests.unit.test_flows import Recorder
from tests.unit.test_placed import NODE, node, planned, words

DRAINS = Drain(restarts=True)


def desired(lab: Cluster) -> Desired:
    return desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())


def steps(plan: Plan) -> list[str]:
    return [f"{change.ref.host} {change.action} {change.ref.name}" for change in plan.changes]


def tuned(lab: Cluster, component: str, flag: str, value: str) -> Cluster:
    """The same with a flag of a component on every host."""

    def of(host: inventory.Host) -> inventory.Host:
        old = host.tuning.get(component, inventory.Tuning({}, {}))
        return replace(host, tuning={**host.tuning, component: replace(old, args={**old.args, flag: value})})

    return replace(lab, hosts=tuple(map(of, lab.hosts)))


def edit(component: str, flag: str, value: str, version: str = "1.20.2", drain: Drain = DRAINS) -> Plan:
    lab = replace(cluster(version), drain=drain)
    return make_plan(desired(tuned(lab, component, flag, value)), answers(desired(lab)))


def opened(plan: Plan) -> list[str]:
    return [change.ref.name for change in plan.changes if change.place is not Place.WITHIN]


@pytest.mark.parametrize("version", ["1.5.2", "1.9.4", "1.20.2"])
def test_a_node_is_drained_before_docker_restarts_and_given_back_after(version: str) -> None:
    plan = edit("docker", "log-level", "warn", version)
    names = ["drained n1", "node n1 is drained", "schedulable n1", "drained n2", "node n2 is drained", "schedulable n2"]
    assert opened(plan) == names
    found = steps(plan)
    order = [
        "m1 set drained n1", "m1 wait node n1 is drained", "n1 update /etc/sysconfig/docker", "n1 restart docker",
        "m1 wait node n1 is ready", "m1 set schedulable n1", "m1 set drained n2",
    ]  # fmt: skip
    assert [step for step in found if step in order] == order


def test_nothing_is_drained_unless_the_inventory_asks_for_it() -> None:
    assert opened(edit("docker", "log-level", "warn", drain=Drain())) == []
    assert opened(edit("docker", "log-level", "warn", drain=Drain(restarts=True, timeout=0))) == []


@pytest.mark.parametrize(("component", "flag", "value"), [("kube-proxy", "v", "2"), ("kubelet", "v", "2")])
def test_a_restart_that_leaves_pods_alone_drains_nothing(component: str, flag: str, value: str) -> None:
    plan = edit(component, flag, value)
    assert any(change.action is Action.RESTART for change in plan.changes)
    assert opened(plan) == []


def test_another_version_of_the_kubelet_drains() -> None:
    everything = desired(replace(cluster(), drain=DRAINS))
    seen = answers(everything)
    package = Ref("n1", Kind.PACKAGE, "kubernetes-node")
    seen[package] = replace(seen[package], version="1.20.1")  # type: ignore[type-var]
    assert opened(make_plan(everything, seen)) == ["drained n1", "node n1 is drained", "schedulable n1"]
    tarball = desired(replace(cluster(programs="tarball"), drain=DRAINS))
    seen = answers(tarball)
    program = Ref("n1", Kind.FILE, "/usr/bin/kubelet")
    seen[program] = replace(seen[program], sha256="0" * 64)  # type: ignore[type-var]
    assert opened(make_plan(tarball, seen)) == ["drained n1", "node n1 is drained", "schedulable n1"]
    seen[program] = replace(answers(tarball)[program], mode=0o700)  # type: ignore[type-var]
    assert opened(make_plan(tarball, seen)) == []


def test_a_node_that_is_new_is_not_drained() -> None:
    """Under `network: routes` something of the others restarts; a machine may come under the name of a lost node."""
    lab = replace(cluster(), drain=DRAINS)
    everything = desired(lab)
    seen = answers(desired(replace(lab, hosts=tuple(host for host in lab.hosts if host.name != "n2"))))
    seen |= {ref: Missing.ABSENT for ref in everything if ref.host == "n2"}
    seen |= {ref: found for ref, found in answers(everything).items() if ref.kind is Kind.SETTING}
    plan = make_plan(everything, seen)
    assert any(change.action is Action.RESTART for change in plan.changes)
    assert any(change.ref.host == "n2" for change in plan.changes)
    assert opened(plan) == []


@pytest.mark.parametrize("drain", [Drain(), DRAINS])
def test_a_node_that_a_dead_run_has_drained_is_given_back(drain: Drain) -> None:
    everything = desired(replace(cluster(), drain=drain))
    seen = answers(everything) | {Ref("m1", Kind.SETTING, "schedulable n1"): SeenSetting("drained")}
    plan = make_plan(everything, seen)
    assert steps(plan) == ["m1 set schedulable n1"]
    assert plan.changes[0].reason == "a run drained it and did not finish"


@pytest.mark.parametrize(("version", "security"), MODES)
def test_how_a_node_is_drained_is_data(version: str, security: str) -> None:
    local = "delete-emptydir-data" if version == "1.20.2" else "delete-local-data"
    lab = replace(cluster(version, security), drain=Drain(restarts=True, timeout=60, ignore_daemonsets=True))
    setting, gate = draining.opening(lab, profiles.profile_of(lab).fitting(lab), "n1", "m1", Turn("nodes", "n1"))
    assert setting.resource == Setting("timeout=60s,ignore-daemonsets")
    base = "http://127.0.0.1:8080" if security == "insecure" else "https://127.0.0.1:6443"
    assert isinstance(gate.resource, Gate)
    assert gate.resource.url == f"{base}/api/v1/pods?fieldSelector=spec.nodeName%3Dn1"
    assert (gate.resource.deadline, gate.resource.expects, gate.resource.unit_host) == (90, ("n1",), "n1")
    lab = replace(lab, drain=Drain(delete_local_data=True, force=True))
    setting, _ = draining.opening(lab, profiles.profile_of(lab).fitting(lab), "n1", "m1", Turn("nodes", "n1"))
    assert setting.resource == Setting(f"timeout=300s,ignore-daemonsets,{local},force")


def test_a_version_that_does_not_say_how_drains_nothing() -> None:
    lab = replace(cluster(), drain=DRAINS)
    profile = profiles.profile_of(lab)
    kubelet = profile.components["kubelet"].model_copy(update={"drain": None})
    without = profile.model_copy(update={"components": {**profile.components, "kubelet": kubelet}})
    assert draining.opening(lab, without, "n1", "m1", Turn("nodes", "n1")) == ()


def test_the_inventory_says_how() -> None:
    text = 'cluster: {{name: lab, version: "1.20.2"{}}}\nhosts: {{m1: {{address: 10.0.0.1, roles: [etcd, master, node]}}}}\n'

    def read(more: str) -> Drain:
        return inventory.parse(text.format(more), Path("i.yaml")).drain

    assert read("") == Drain(restarts=False, timeout=300)
    more = ", drain: true, drain_timeout: 60, drain_daemonsets: ignore, drain_local_data: delete"
    assert read(more) == Drain(restarts=True, timeout=60, ignore_daemonsets=True, delete_local_data=True)
    for wrong in (", drain_timeout: -1", ", drain_daemonsets: delete", ", drain_timeout: 100000"):
        with pytest.raises(InventoryError):
            read(wrong)


def test_the_command_line_comes_before_the_inventory(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(
        'cluster: {name: lab, version: "1.20.2", drain_timeout: 60}\n'
        "hosts: {m1: {address: 10.0.0.1, roles: [etcd, master, node]}}\n"
    )
    for given, drain in (
        (Inputs(path), Drain(timeout=60)),
        (Inputs(path, drain_timeout=5, force=True), Drain(timeout=5, force=True)),
    ):
        lab, _ = read(given, Recorder())
        assert lab.drain == drain


# A node that leaves, while n2 stays.


def leaving() -> dict[str, FakeHost]:
    host, master = node(), FakeHost("m1", settings={"node n1": "present"})
    host.units["docker"] = IDLE
    fleet = {"n1": host, "m1": master}
    run = apply(planned(NODE, {"n1": host}), fleet, lambda event: None, threading.Event())
    assert not run.failures
    host.leftovers["kubelet"] = ("/var/lib/kubelet",)
    return fleet


def removal(fleet: Mapping[str, FakeHost], drain: Drain = Drain()) -> Plan:  # noqa: B008 - a frozen value
    lab = replace(cluster(), drain=drain)
    profile = profiles.profile_of(lab).fitting(lab)
    seen: dict[Ref, Seen] = {}
    for host in fleet.values():
        seen |= host.observe([records.question(host.name)])
    desired = with_leaving({}, {}, seen, fleet.keys(), None, master="m1")
    desired = with_drains(desired, lambda name, turn: draining.opening(lab, profile, name, "m1", turn))
    for host in fleet.values():
        seen |= host.observe([item for item in desired.values() if item.ref.host == host.name])
    desired = with_adopted(desired, seen)
    return records.recording(make_plan(desired, seen), desired, seen)


def done(plan: Plan, fleet: Mapping[str, FakeHost]) -> Run:
    return apply(plan, fleet, lambda event: None, threading.Event())


def test_a_node_that_leaves_is_drained_before_anything_of_it_stops() -> None:
    fleet = leaving()
    plan = removal(fleet)
    assert words(plan)[:3] == ["set drained n1", "wait node n1 is drained", "stop kubelet"]
    assert plan.changes[0].reason == "The pods of n1 move to other nodes first."
    assert 1 in plan.after[2]
    assert not done(plan, fleet).failures
    assert fleet["m1"].settings["node n1"] == "absent"
    assert (Kind.SETTING, "drained n1") not in fleet["m1"].record
    assert not removal(fleet)


@pytest.mark.parametrize("restarts", [False, True])
def test_nobody_loses_the_route_to_a_node_before_it_is_drained(restarts: bool) -> None:  # noqa: FBT001 - a case
    """Under `network: routes` a node that leaves is an edit of the routes of all others, and their turns come first."""
    lab = replace(cluster(), drain=Drain(restarts=restarts))
    profile = profiles.profile_of(lab).fitting(lab)
    rest = desired(replace(lab, hosts=tuple(host for host in lab.hosts if host.name != "n2")))
    lines = (
        Placed(Kind.UNIT, "kubelet", "kubelet", "nodes"),
        Placed(Kind.LEFTOVERS, "kubelet", "kubelet", "nodes", leaves=Leaves("kubelet", ("/var/lib/kubelet",))),
    )
    seen = answers(desired(lab)) | {records.question("n2").ref: SeenRecord(lines)}
    wanted = with_leaving(rest, rest, seen, ["n2"], None, master="m1")
    wanted = with_drains(wanted, lambda name, turn: draining.opening(lab, profile, name, "m1", turn))
    seen |= {
        Ref("n2", Kind.LEFTOVERS, "kubelet"): SeenLeftovers(("/var/lib/kubelet",)),
        Ref("m1", Kind.SETTING, "node n2"): SeenSetting("present"),
        Ref("m1", Kind.SETTING, "drained n2"): SeenSetting("released"),
    }
    plan = make_plan(wanted, seen)
    found = steps(plan)
    drained = found.index("m1 wait node n2 is drained")
    earlier = {drained, *plan.after[drained]}
    for step in ("m1 restart kubernetes-network", "n1 restart kubernetes-network", "n2 stop kubelet", "m1 set node n2"):
        waits, left = set[int](), [found.index(step)]
        while left:
            new = set(plan.after[left.pop()]) - waits
            waits |= new
            left += new
        assert earlier <= waits, step
    assert opened(plan) == ["drained n2", "node n2 is drained"]


def test_a_drain_that_fails_stops_nothing_and_the_node_is_given_back() -> None:
    fleet = leaving()
    fleet["m1"].keeping["n1"] = "cannot evict web-1"
    plan = removal(fleet)
    run = done(plan, fleet)
    assert len(run.failures) == 1
    assert "cannot evict web-1" in run.failures[0].detail
    assert fleet["n1"].units["kubelet"].is_active
    assert fleet["m1"].cordoned == {"n1"}
    (turn,) = failed_turns(plan, run)
    back = undo(plan, run, turn)
    assert words(back) == ["set drained n1"]
    assert not done(back, fleet).failures
    assert fleet["m1"].cordoned == set()
    fleet["m1"].keeping.clear()
    assert not done(removal(fleet), fleet).failures


def test_with_force_the_run_continues_and_reports_what_was_still_there() -> None:
    fleet = leaving()
    fleet["m1"].keeping["n1"] = "cannot evict web-1"
    plan = removal(fleet, Drain(force=True))
    run = done(plan, fleet)
    assert not run.failures
    assert not fleet["n1"].units["kubelet"].is_active
    for report in (
        ending.applied(plan, run, {"preflight": 0.0, "verify": 0.0}, 1.0, Path("c.yaml")),
        ending.failed(plan, run, [], Path("c.yaml"), Path("run.trace")),
    ):
        console = Console(file=StringIO(), width=200)
        console.print(report)
        assert isinstance(console.file, StringIO)
        said = console.file.getvalue().splitlines()
        start = said.index("m1: --force: did not wait until node n1 is drained")
        assert said[start + 1].startswith("  given up after 0 s: node n1 is not drained")
        assert said[start + 2] == "  cannot evict web-1"
        assert not [line for line in said if "to allow more time" in line]


def test_with_force_ctrl_c_still_ends_the_run() -> None:
    fleet = leaving()
    fleet["m1"].keeping["n1"] = "cannot evict web-1"
    plan = removal(fleet, Drain(force=True))
    stop = threading.Event()
    stop.set()
    fleet["m1"].settings["drained n1"] = "ours"
    inbox: Inbox = queue.SimpleQueue()
    work((1,), plan, fleet, inbox, stop)
    states = [event.state for event in (inbox.get(), inbox.get()) if isinstance(event, Event)]
    assert states == [State.RUNNING, State.FAILED]


def test_a_node_whose_kubelet_is_down_is_not_drained() -> None:
    fleet = leaving()
    fleet["n1"].units["kubelet"] = replace(fleet["n1"].units["kubelet"], active="failed")
    assert not [name for name in words(removal(fleet)) if "drained" in name]


def test_a_drain_that_a_dead_run_began_is_given_back_when_the_next_one_fails() -> None:
    fleet = leaving()
    fleet["m1"].cut_at = "drained n1"
    plan = removal(fleet)
    assert done(plan, fleet).failures
    fleet["m1"].cut_at = ""
    fleet["m1"].settings["drained n1"] = "ours"  # the host finished the script
    fleet["m1"].cordoned.add("n1")
    fleet["m1"].keeping["n1"] = "cannot evict web-1"
    plan = removal(fleet)
    assert plan.changes[0].before == SeenSetting("drained")
    run = done(plan, fleet)
    (turn,) = failed_turns(plan, run)
    assert not done(undo(plan, run, turn), fleet).failures
    assert fleet["m1"].cordoned == set()


def test_a_node_that_somebody_else_has_cordoned_is_left_so() -> None:
    fleet = leaving()
    fleet["m1"].cordoned.add("n1")
    fleet["m1"].keeping["n1"] = "cannot evict web-1"
    plan = removal(fleet)
    run = done(plan, fleet)
    (turn,) = failed_turns(plan, run)
    assert not done(undo(plan, run, turn), fleet).failures
    assert fleet["m1"].cordoned == {"n1"}


def test_a_node_whose_kubelet_has_stopped_already_is_not_drained_again() -> None:
    fleet = leaving()
    fleet["m1"].refuses["node n1"] = "no answer within 60 s"
    assert done(removal(fleet), fleet).failures
    fleet["m1"].refuses.clear()
    assert words(removal(fleet)) == ["set node n1", "clean up kubelet", "uninstall kubelet"]


def test_an_opening_that_found_nothing_has_nothing_to_set_back() -> None:
    turn = Turn("nodes", "n1")
    change = Change(
        Ref("n1", Kind.SETTING, "swap"), Action.SET, "host", Missing.ABSENT, Setting("off"), "a test", turn,
        place=Place.OPENS,
    )  # fmt: skip
    host = FakeHost("n1", refuses={"swap": "no"})
    run = done(Plan((replace(change, before=SeenSetting("on")),), ((),)), {"n1": host})
    assert not undo(Plan((change,), ((),)), run, turn)
    (back,) = undo(Plan((replace(change, before=SeenSetting("on")),), ((),)), run, turn).changes
    assert (back.after, back.place) == (Setting("on"), Place.CLOSES)
