"""Groups of members: their order, their width, and what opens and closes a turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from benchmarks.pure import answers
from k8s_installer import profiles
from k8s_installer.desired import Desired, desire
from k8s_installer.engine.remote import OnReport, Outcome
from k8s_installer.engine.scheduler import apply
from k8s_installer.host.gates import GateAnswer, UnitState
from k8s_installer.model.desired import DesiredResource, Place, Turn, health_gates
from k8s_installer.model.graph import nearest, ordered
from k8s_installer.model.groups import GROUPS, Group
from k8s_installer.model.plan import INTERRUPTING, Action, Change, Plan
from k8s_installer.model.resources import (
    Check,
    File,
    Gate,
    Kind,
    Missing,
    Package,
    Ref,
    Resource,
    Seen,
    SeenFile,
    SeenPackage,
    SeenSetting,
    SeenUnit,
    Setting,
    Unit,
)
from k8s_installer.model.run import Event, Run, State
from k8s_installer.planning.make import make_plan, unproven
from k8s_installer.planning.rollback import PastSetting
from k8s_installer.planning.rollback import before as before_run
from k8s_installer.planning.select import of_components
from k8s_installer.planning.turns import Batch
from k8s_installer.planning.undo import failed_turns, undo
from k8s_installer.render import Renderer
from tests.fakes import IDLE, FakeHost
from tests.unit.clusters import cluster, placeholder
from tests.unit.test_plan import planned, words
from tests.unit.test_plan import seen as observed

MASTERS = """
  m1: {address: 10.77.0.11, roles: [etcd, master]}
  m2: {address: 10.77.0.12, roles: [etcd, master]}
  m3: {address: 10.77.0.13, roles: [etcd, master]}
"""
NODES = """  n1: {address: 10.77.0.21, roles: [node]}
  n2: {address: 10.77.0.22, roles: [node]}
"""
ETCD = "/etc/etcd/etcd.conf"
SHARED = "/etc/kubernetes/config"  # every Kubernetes program of a host reads it
PATH = "/etc/kubernetes/kubelet"


@dataclass
class Obeying(FakeHost):
    """A host that does whatever it is sent, but for what it refuses, and is always healthy."""

    scripts: int = 0

    def perform(self, changes: Sequence[tuple[int, Change]], on_report: OnReport) -> Outcome:
        self.scripts += 1
        return super().perform(changes, on_report)

    def _do(self, change: Change) -> str:
        return ""

    def probe(self, gate: Gate, patience: int = 0, since: int = 0) -> GateAnswer:
        return GateAnswer(True, "ok", UnitState("active", 1, started=1.0))


def wanted(topology: str) -> Desired:
    lab = cluster(topology=topology)
    return desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())


def edited(desired: Desired, path: str = SHARED, hosts: Collection[str] = ()) -> dict[Ref, Seen]:
    """A cluster that runs, of which one file is another: on these hosts, or on all."""
    return {
        ref: replace(found, sha256="0" * 64)
        if isinstance(found, SeenFile) and ref.name == path and (not hosts or ref.host in hosts)
        else found
        for ref, found in answers(desired).items()
    }


def bare(desired: Desired, hosts: Iterable[str]) -> dict[Ref, Seen]:
    """What hosts have that have nothing."""
    return dict.fromkeys((ref for ref in answers(desired) if ref.host in hosts), Missing.ABSENT)


def done(plan: Plan, hosts: Mapping[str, FakeHost]) -> Run:
    return apply(plan, hosts, lambda event: None, threading.Event())


def ancestors(plan: Plan) -> list[int]:
    """For each change all that are done before it begins, as bits."""
    found: list[int] = []
    for awaited in plan.after:
        bits = 0
        for index in awaited:
            bits |= found[index] | 1 << index
        found.append(bits)
    return found


def precedes(plan: Plan, first: Callable[[Change], bool], then: Callable[[Change], bool]) -> bool:
    """Whether all of some changes are done before any of some others begins."""
    bits = sum(1 << index for index, change in enumerate(plan.changes) if first(change))
    later = [index for index, change in enumerate(plan.changes) if then(change)]
    assert bits
    assert later
    found = ancestors(plan)
    return all(found[index] & bits == bits for index in later)


def in_group(*names: str) -> Callable[[Change], bool]:
    return lambda change: change.turn.group in names


def test_a_master_that_fails_leaves_the_nodes_as_they_are_to_the_last_file() -> None:
    desired = wanted(MASTERS + NODES)
    plan = make_plan(desired, edited(desired))
    assert {change.ref.host for change in plan.changes if change.ref.name == SHARED} == {"m1", "m2", "m3", "n1", "n2"}
    hosts = {host: Obeying(host) for host in ("m1", "m2", "m3", "n1", "n2")}
    hosts["m1"].refuses["kube-apiserver"] = "it does not start"
    run = done(plan, hosts)
    assert {host for host, obeying in hosts.items() if obeying.scripts} == {"m1"}
    assert {(event.detail, plan.changes[event.index].ref.host) for event in run.skipped} >= {
        ("it depends on m1: unit kube-apiserver, which failed", host) for host in ("m2", "m3", "n1", "n2")
    }


def test_a_node_that_is_new_waits_until_the_masters_that_restart_are_done() -> None:
    desired = wanted(MASTERS + NODES)
    masters = edited(desired, SHARED, ["m1", "m2", "m3"])
    plan = make_plan(desired, masters | bare(desired, ["n2"]))
    assert precedes(plan, in_group("masters"), in_group("nodes"))


def test_members_that_started_a_moment_ago_are_awaited_before_another_restarts() -> None:
    """An earlier run may have died between a restart and its gates; what is long up, or no member, is not asked."""
    desired = wanted(MASTERS + NODES)
    seen = edited(desired, SHARED, ["m2", "n2"])
    scheduler, etcd = Ref("m3", Kind.UNIT, "kube-scheduler"), Ref("m3", Kind.UNIT, "etcd")
    young = (Ref("m1", Kind.UNIT, "kube-apiserver"), scheduler, etcd, Ref("n1", Kind.UNIT, "kubelet"))
    for ref in (*young, Ref("m2", Kind.UNIT, "kube-apiserver")):
        found = seen[ref]
        assert isinstance(found, SeenUnit)
        seen[ref] = replace(found, age=3.0)
    made = make_plan(desired, seen)
    gates = {ref: item.resource for ref, item in desired.items() if isinstance(item.resource, Gate)}
    awaited = {(gates[ref].unit_host or ref.host, gates[ref].unit) for ref in unproven(desired, seen, made)}
    assert awaited == {("m1", "kube-apiserver"), ("m3", "kube-scheduler")}  # no etcd ends
    assert unproven(desired, edited(desired, SHARED, ["m2", "n2"]), made) == []
    assert unproven(desired, seen, Plan((), ())) == []
    down = {ref: replace(item, active="failed") if isinstance(item, SeenUnit) else item for ref, item in seen.items()}
    assert unproven(desired, down, made) == []
    assert unproven(desired, {}, made) == []


def test_a_member_that_may_lack_what_the_plan_brings_is_not_awaited() -> None:
    desired = wanted(MASTERS + NODES)
    seen = edited(desired, SHARED, ["m2"])
    found, stopped = (seen[Ref(host, Kind.UNIT, name)] for host, name in (("m1", "kube-apiserver"), ("m3", "etcd")))
    assert isinstance(found, SeenUnit)
    assert isinstance(stopped, SeenUnit)
    seen[Ref("m1", Kind.UNIT, "kube-apiserver")] = replace(found, age=3.0)
    assert unproven(desired, seen, make_plan(desired, seen))
    seen[Ref("m3", Kind.UNIT, "etcd")] = replace(stopped, active="failed")
    assert unproven(desired, seen, make_plan(desired, seen)) == []


def test_a_young_master_is_awaited_before_members_of_etcd_that_serve_it_restart() -> None:
    """Unless these serve nobody as they are: the young one may not become ready without their restart."""
    desired = wanted(MASTERS + NODES)
    seen = edited(desired, SHARED, ["m2"]) | {
        ref: found for ref, found in edited(desired, ETCD).items() if ref.name == ETCD and ref.host != "m1"
    }
    young = seen[Ref("m1", Kind.UNIT, "kube-apiserver")]
    assert isinstance(young, SeenUnit)
    seen[Ref("m1", Kind.UNIT, "kube-apiserver")] = replace(young, age=3.0)
    made, members = make_plan(desired, seen), {Ref(host, Kind.UNIT, "etcd") for host in ("m2", "m3")}
    assert members <= {change.ref for change in made.changes}
    assert {ref.host for ref in unproven(desired, seen, made)} == {"m1"}
    assert unproven(desired, seen, make_plan(desired, seen, idle=members), members) == []


def test_nodes_that_restart_wait_for_a_master_that_was_down() -> None:
    desired = wanted(MASTERS + NODES)
    seen = edited(desired, SHARED, ["n1", "n2"])
    unit = Ref("m2", Kind.UNIT, "kube-scheduler")
    found = seen[unit]
    assert isinstance(found, SeenUnit)
    seen[unit] = replace(found, active="failed")
    plan = make_plan(desired, seen)
    assert precedes(plan, lambda change: change.ref == unit, in_group("nodes"))


@pytest.mark.parametrize("hosts", [["m1", "m2", "m3", "n1", "n2"], ["m3", "n2"]])
def test_a_first_start_takes_no_turns(hosts: list[str]) -> None:
    desired = wanted(MASTERS + NODES)
    plan = make_plan(desired, answers(desired) | bare(desired, hosts))
    assert not any(change.action in INTERRUPTING for change in plan.changes)
    installed = [index for index, change in enumerate(plan.changes) if change.action is Action.INSTALL]
    assert {plan.changes[index].ref.host for index in installed} == set(hosts)
    found = ancestors(plan)
    for index in installed:
        assert all(
            plan.changes[other].ref.host == plan.changes[index].ref.host
            for other in range(len(plan.changes))
            if found[index] >> other & 1
        )


def test_what_restarts_nothing_waits_for_no_group() -> None:
    desired = wanted(MASTERS + NODES)
    seen = {
        ref: replace(found, mode=0o600) if isinstance(found, SeenFile) and ref.name == SHARED else found
        for ref, found in answers(desired).items()
    } | {ref: SeenSetting("on") for ref in desired if ref.name == "swap"}
    plan = make_plan(desired, seen)
    assert {change.action for change in plan.changes} == {Action.ATTRIBUTES, Action.SET}
    assert not any(plan.after)


@pytest.mark.parametrize(
    ("topology", "scripts"),
    [
        (MASTERS + NODES, {"m1": 3, "m2": 3, "m3": 3, "n1": 2, "n2": 2}),
        (MASTERS.replace("master]", "master, node]"), {"m1": 5, "m2": 5, "m3": 5}),
    ],
)
def test_a_file_of_all_hosts_costs_no_script_for_the_order_of_the_groups(
    topology: str, scripts: dict[str, int]
) -> None:
    """A script ends where a gate is waited for: after the apiserver, the controller manager and the kubelet."""
    desired = wanted(topology)
    hosts = {host: Obeying(host) for host in scripts}
    run = done(make_plan(desired, edited(desired)), hosts)
    assert not run.failures
    assert {host: obeying.scripts for host, obeying in hosts.items()} == scripts


@pytest.mark.parametrize("topology", ["all-in-one", MASTERS.replace("master]", "master, node]")])
def test_masters_that_are_nodes_take_a_new_version_in_the_masters_turns_first(topology: str) -> None:
    """The masters' programs read what comes after the kubelet's package, and the kubelet waits for all masters."""
    desired = wanted(topology)
    seen = {
        ref: replace(found, version="1.20.1") if isinstance(found, SeenPackage) and "kubernetes" in ref.name else found
        for ref, found in edited(desired).items()
    }
    plan = make_plan(desired, seen)
    upgraded = {(change.ref.name, change.turn.group) for change in plan.changes if change.action is Action.UPGRADE}
    assert upgraded == {(name, "masters") for name in ("kubernetes-client", "kubernetes-master", "kubernetes-node")}
    assert precedes(plan, in_group("masters"), in_group("nodes"))


def stopped(group: str, *, all_of_them: bool) -> Plan:
    """A service that leaves two hosts, and on a third stays unless all leave."""
    desired: dict[Ref, DesiredResource] = {}
    for number, host in enumerate(("n1", "n2", "n3")):
        leaving = all_of_them or number < 2
        unit = Unit("haproxy", active=not leaving, enabled=not leaving)
        ref, turn = Ref(host, Kind.UNIT, "haproxy"), Turn(group, host)
        desired[ref] = DesiredResource(ref, unit, "haproxy", (), "a test", turn, leaving=leaving)
    plan = make_plan(desired, dict.fromkeys(desired, RUNNING), Batch.parse("1"))
    assert {change.action for change in plan.changes} == {Action.STOP}
    return plan


def test_services_that_leave_some_members_stop_in_turns_and_those_that_leave_all_at_once() -> None:
    assert stopped("nodes", all_of_them=False).after == ((), (0,))
    assert stopped("nodes", all_of_them=True).after == ((), (), ())


def test_a_group_that_a_hosts_record_names_and_nobody_knows_takes_no_turns() -> None:
    assert stopped("lost", all_of_them=False).after == ((), ())


def test_what_has_no_group_of_its_own_goes_with_the_first_of_the_hosts_roles() -> None:
    desired = wanted(MASTERS.replace("master]", "master, node]"))
    groups = {ref.name: item.turn.group for ref, item in desired.items() if ref.kind is Kind.UNIT}
    assert groups == {
        "etcd": "etcd",
        **dict.fromkeys(
            ("kubernetes-network", "kube-apiserver", "kube-controller-manager", "kube-scheduler"), "masters"
        ),
        **dict.fromkeys(("docker", "kubelet", "kube-proxy"), "nodes"),
    }


def test_the_groups_are_in_the_order_in_which_they_come() -> None:
    assert list(GROUPS) == ["leaving", "etcd", "flannel-etcd", "flannel-network", "masters", "nodes", "former"]


# What opens and closes a turn: a node is drained by the master before it changes, and takes pods again after.


def opening(node: str) -> Ref:
    return Ref("m1", Kind.SETTING, f"firewalld-source drained-{node}")


def closing(node: str) -> Ref:
    return Ref("m1", Kind.SETTING, f"firewalld-source schedulable-{node}")


def drained(nodes: Sequence[str], content: bytes = b"A=1\n") -> Desired:
    """Nodes with a package, a file, a unit and a gate each, between an opening and a closing; a gate is part of both."""
    found: list[DesiredResource] = []
    for node in nodes:
        turn = Turn("nodes", node)

        def want(
            ref: Ref, resource: Resource, *after: Ref, turn: Turn = turn, place: Place = Place.WITHIN
        ) -> DesiredResource:
            return DesiredResource(ref, resource, "kubelet", after, "a test", turn, place)

        package, file, unit = (
            Ref(node, kind, name) for kind, name in ((Kind.PACKAGE, "p"), (Kind.FILE, PATH), (Kind.UNIT, "kubelet"))
        )
        empty, ready = (Ref("m1", Kind.GATE, f"{name} {node}") for name in ("no pods on", "pods on"))
        found += [
            want(closing(node), Setting("on"), place=Place.CLOSES),
            want(ready, Gate("u", Check.OK, "api"), closing(node), place=Place.CLOSES),
            want(package, Package("p")),
            want(file, File(content), package),
            want(unit, Unit("kubelet", (), (PATH,), ("p",)), file),
            want(Ref(node, Kind.GATE, "kubelet"), Gate("u", Check.OK, "kubelet", deadline=0.1), unit),
            want(opening(node), Setting("on"), place=Place.OPENS),
            want(empty, Gate("u", Check.OK, "api"), opening(node), place=Place.OPENS),
        ]
    return {item.ref: item for item in found}


def running(nodes: Sequence[str]) -> dict[str, FakeHost]:
    """The nodes of `drained`, and the master that drains them."""
    hosts = {node: FakeHost(node, brings={"p": ["kubelet"]}) for node in nodes}
    hosts["m1"] = FakeHost("m1", units={"api": replace(IDLE, active="active")})
    hosts["m1"].settings = {
        ref(node).name: value for node in nodes for ref, value in ((opening, "off"), (closing, "on"))
    }
    run = done(planned(drained(nodes), hosts), hosts)
    assert not run.failures
    assert hosts["m1"].log == []  # at a first start nothing is opened
    return hosts


def begun(plan: Plan, run: Run) -> list[str]:
    return [words(plan)[event.index] for event in run.events if event.state is State.RUNNING]


def test_a_turn_lies_between_its_opening_and_its_closing_and_the_next_one_follows() -> None:
    hosts = running(["n1", "n2"])
    plan = planned(drained(["n1", "n2"], b"A=2\n"), hosts)
    run = done(plan, hosts)
    assert begun(plan, run) == [
        step
        for node in ("n1", "n2")
        for step in (
            f"m1 set {opening(node).name}", f"m1 wait no pods on {node}", f"{node} update {PATH}",
            f"{node} restart kubelet", f"{node} wait kubelet", f"m1 set {closing(node).name}", f"m1 wait pods on {node}",
        )
    ]  # fmt: skip
    reasons = {change.reason for change in plan.changes if change.place is not Place.WITHIN}
    assert {"before its services restart", "after its services have restarted"} <= reasons
    hosts["m1"].settings |= {opening(node).name: "off" for node in ("n1", "n2")}  # as closing does
    assert not planned(drained(["n1", "n2"], b"A=2\n"), hosts)


@pytest.mark.parametrize("content", [b"# a comment\nA=1\n", b"A=1\n"])
def test_a_turn_in_which_nothing_restarts_is_not_opened(content: bytes) -> None:
    hosts = running(["n1"])
    plan = planned(drained(["n1"], content), hosts)
    assert all(change.place is Place.WITHIN for change in plan.changes)


def test_as_many_turns_are_open_as_the_group_is_wide() -> None:
    nodes = ["n1", "n2", "n3", "n4"]
    hosts = running(nodes)
    desired = drained(nodes, b"A=2\n")
    plan = make_plan(desired, observed(desired, hosts), Batch.parse("2"))
    opened: set[str] = set()
    most = 0
    for event_ in done(plan, hosts).events:
        change = plan.changes[event_.index]
        if change.place is Place.OPENS and event_.state is State.RUNNING:
            opened.add(change.turn.member)
            most = max(most, len(opened))
        if change.ref.name == f"pods on {change.turn.member}" and event_.state is State.DONE:
            opened.remove(change.turn.member)
    assert (most, opened) == (2, set())


def failed(hosts: Mapping[str, FakeHost]) -> tuple[Plan, Run]:
    plan = planned(drained(["n1", "n2"], b"A=2\n"), hosts)
    run = done(plan, hosts)
    assert run.failures
    assert not [step for step in begun(plan, run) if "n2" in step]
    return plan, run


@pytest.mark.parametrize("refused", ["the gate", "the file"])
def test_a_turn_that_fails_is_undone_and_then_closed(refused: str) -> None:
    hosts = running(["n1", "n2"])
    if refused == "the gate":
        hosts["n1"].unhealthy.add("kubelet")
    else:
        hosts["n1"].refuses[PATH] = "No space left on device"
    plan, run = failed(hosts)
    assert closing("n1").name not in " ".join(begun(plan, run))
    assert failed_turns(plan, run) == (Turn("nodes", "n1"),)
    hosts["n1"].unhealthy.clear()
    back = undo(plan, run, Turn("nodes", "n1"))
    way = done(back, hosts)
    assert not way.failures
    undone = [f"n1 restore {PATH}", "n1 restart kubelet", "n1 wait kubelet"] if refused == "the gate" else []
    assert begun(back, way) == [*undone, f"m1 set {closing('n1').name}", "m1 wait pods on n1"]
    assert hosts["n1"].contents[PATH] == b"A=1\n"


def test_a_turn_that_cannot_be_undone_stays_open_and_the_next_plan_closes_it() -> None:
    hosts = running(["n1", "n2"])
    hosts["n1"].unhealthy.add("kubelet")
    plan, run = failed(hosts)
    hosts["m1"].settings[closing("n1").name] = "off"  # as opening does
    back = undo(plan, run, Turn("nodes", "n1"))
    way = done(back, hosts)
    assert [words(back)[event.index] for event in way.skipped] == [f"m1 set {closing('n1').name}", "m1 wait pods on n1"]
    hosts["n1"].unhealthy.clear()
    left = planned(drained(["n1", "n2"]), hosts)
    assert words(left) == [f"m1 set {closing('n1').name}", "m1 wait pods on n1"]
    hosts["n1"].units["kubelet"] = replace(hosts["n1"].units["kubelet"], active="failed")
    left = planned(drained(["n1", "n2"]), hosts)
    assert words(left) == ["n1 start kubelet", "n1 wait kubelet", f"m1 set {closing('n1').name}", "m1 wait pods on n1"]
    assert left.after == ((), (0,), (1,), (2,))


def test_an_opening_that_fails_is_closed_and_nothing_else_is_touched() -> None:
    hosts = running(["n1", "n2"])
    hosts["m1"].refuses[opening("n1").name] = "a budget does not allow it"
    plan, run = failed(hosts)
    assert begun(plan, run) == [f"m1 set {opening('n1').name}"]
    (turn,) = failed_turns(plan, run)
    assert words(undo(plan, run, turn)) == [f"m1 set {closing('n1').name}", "m1 wait pods on n1"]


def test_a_service_that_fails_with_the_files_that_it_had_is_not_given_pods() -> None:
    hosts = running(["n1", "n2"])
    hosts["n1"].units["kubelet"] = replace(hosts["n1"].units["kubelet"], due_at=hosts["n1"].clock + 1)
    hosts["n1"].unhealthy.add("kubelet")
    desired = drained(["n1", "n2"])
    plan = planned(desired, hosts)
    run = done(plan, hosts)
    (turn,) = failed_turns(plan, run)
    assert not undo(plan, run, turn)


def test_a_closing_that_fails_undoes_nothing_and_the_next_member_does_not_begin() -> None:
    hosts = running(["n1", "n2"])
    hosts["m1"].refuses[closing("n1").name] = "no answer"
    plan, run = failed(hosts)
    assert failed_turns(plan, run) == ()
    assert hosts["n1"].contents[PATH] == b"A=2\n"


@pytest.mark.parametrize(
    ("stopped_at", "undone"),
    [
        (f"n1 update {PATH}", [f"n1 restore {PATH}", "n1 restart kubelet", "n1 wait kubelet"]),
        (f"m1 set {opening('n1').name}", []),
        ("n1 wait kubelet", []),  # all is done
    ],
)
def test_a_turn_that_is_open_when_the_run_is_stopped_is_closed(stopped_at: str, undone: list[str]) -> None:
    hosts = running(["n1", "n2"])
    plan, stop = planned(drained(["n1", "n2"], b"A=2\n"), hosts), threading.Event()

    def press(event_: Event) -> None:
        if words(plan)[event_.index] == stopped_at:
            stop.set()

    run = apply(plan, hosts, press, stop)
    assert (run.failures, run.interrupted) == ((), True)
    (turn,) = failed_turns(plan, run)
    back = undo(plan, run, turn)
    assert begun(back, done(back, hosts)) == [*undone, f"m1 set {closing('n1').name}", "m1 wait pods on n1"]
    assert hosts["n1"].contents[PATH] == (b"A=2\n" if stopped_at == "n1 wait kubelet" else b"A=1\n")


def test_what_opens_a_turn_is_no_part_of_a_healthy_cluster() -> None:
    assert [ref.name for ref, _ in health_gates(drained(["n1"]).values())] == ["pods on n1", "kubelet"]


def test_a_part_and_a_way_back_keep_what_opens_and_closes_turns() -> None:
    desired = drained(["n1"])
    kept = {opening("n1"), closing("n1")}
    assert kept <= of_components(desired, {"docker"}).keys()
    was = [PastSetting(opening("n1"), "off"), PastSetting(closing("n1"), "off")]  # as the run that is undone saw them
    assert {ref: before_run(desired, was)[ref] for ref in kept} == {ref: desired[ref] for ref in kept}


# Any groups, any members, any changes.

TABLES = st.sampled_from([
    {group.name: group for group in table}
    for table in (
        (Group("a"), Group("b", None), Group("c", 2)),
        (Group("a", 2), Group("b"), Group("c", None)),
        (Group("a", None), Group("b"), Group("c")),
    )
])  # fmt: skip
HOSTS = [f"h{number}" for number in range(5)]
RUNNING = SeenUnit("loaded", "active", "running", enabled=True, pid=1, started_at=10.0, needs_reload=False)


def earlier(groups: Mapping[str, Group], name: str) -> list[str]:
    return list(groups)[: list(groups).index(name)]


class Rollout:
    """What is wanted, what was seen, and the groups: an example that fails is shown as what it does."""

    def __init__(self, desired: Desired, seen: Mapping[Ref, Seen], groups: Mapping[str, Group]) -> None:
        self.desired, self.seen, self.groups = desired, seen, groups

    def __repr__(self) -> str:
        edges = [
            f"{ref.host} {ref.name} <- {[f'{i.host} {i.name}' for i in self.desired[ref].after]}"
            for ref in self.desired
        ]
        return "\n".join([*words(make_plan(self.desired, self.seen, groups=self.groups)), *edges])


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    """Members of groups with edges as components have them, and hosts that differ from what is wanted in any way."""
    groups = draw(TABLES)
    members = {name: draw(st.lists(st.sampled_from(HOSTS), unique=True, max_size=4)) for name in groups}
    found: dict[Ref, DesiredResource] = {}
    seen: dict[Ref, Seen] = {}
    for name, hosts in members.items():
        units = [Ref(host, Kind.UNIT, name) for host in hosts]
        together = draw(st.booleans())  # as etcd's: each gate waits for every member's unit
        awaited = [
            ref for other in earlier(groups, name) for ref in found if ref.kind is Kind.GATE and other in ref.name
        ]
        for host, unit in zip(hosts, units, strict=True):
            turn = Turn(name, host)

            def want(
                kind: Kind, title: str, resource: Resource, *after: Ref, at: str = host, turn: Turn = turn,
                place: Place = Place.WITHIN,
            ) -> Ref:  # fmt: skip
                ref = Ref(at, kind, title)
                found[ref] = DesiredResource(ref, resource, "k", after, "a property", turn, place)
                return ref

            package = want(Kind.PACKAGE, name, Package(name, "2"))
            files = [want(Kind.FILE, f"/etc/kubernetes/{name}{i}", File(b"A=1\n"), package) for i in range(2)]
            paths = tuple(file.name for file in files)
            # a file of an earlier group's may come after this package, as on a master that is a node, too
            for ref in [ref for ref in found if ref.host == host and ref.kind is Kind.FILE and ref not in files]:
                if found[ref].turn.group in earlier(groups, name) and draw(st.booleans()):
                    found[ref] = replace(found[ref], after=(*found[ref].after, package))
            # and a unit of an earlier group's after this one, on any host: the order of the groups is stronger
            for ref in [
                ref for ref in found if ref.kind is Kind.UNIT and found[ref].turn.group in earlier(groups, name)
            ]:
                if draw(st.integers(0, 9)) == 0:
                    found[ref] = replace(found[ref], after=(*found[ref].after, package))
            want(Kind.UNIT, name, Unit(name, (), paths, (name,)), package, *files, *draw(some(awaited)))
            want(Kind.GATE, f"{name} {host}", Gate("u", Check.OK, name), *(units if together else [unit]))
            if draw(st.booleans()):
                helper = draw(st.sampled_from(HOSTS))
                opens = want(
                    Kind.SETTING, f"firewalld-source o-{name}-{host}", Setting("on"), at=helper, place=Place.OPENS
                )
                if draw(st.booleans()):
                    want(Kind.GATE, f"o {name} {host}", Gate("u", Check.OK, name), opens, place=Place.OPENS)
                want(Kind.SETTING, f"firewalld-source c-{name}-{host}", Setting("on"), at=helper, place=Place.CLOSES)
            seen |= {ref: draw(answered(item.resource)) for ref, item in found.items() if ref not in seen}
    return Rollout(found, seen, groups)


def test_groups_whose_members_wait_for_each_others_packages_have_an_order() -> None:
    """A package of nodes that a member of another group needs lies in that one's turn, where others wait for it."""
    desired: dict[Ref, DesiredResource] = {}
    for host, group, waits_for in (("h1", "etcd", "h3"), ("h2", "flannel-etcd", "h1"), ("h3", "flannel-etcd", "")):
        package, unit = Ref(host, Kind.PACKAGE, "p"), Ref(host, Kind.UNIT, group)
        after = (package, Ref(waits_for, Kind.PACKAGE, "p")) if waits_for else (package,)
        desired[package] = DesiredResource(package, Package("p", "2"), "k", (), "a test", Turn("nodes", host))
        desired[unit] = DesiredResource(unit, Unit(group, runs=("p",)), "k", after, "a test", Turn(group, host))
    older = SeenPackage("1", "1", 1.0)
    plan = make_plan(desired, {ref: older if ref.kind is Kind.PACKAGE else RUNNING for ref in desired})
    assert [(change.turn, change.action) for change in plan.changes] == [
        (Turn(group, host), action)
        for host, group in (("h1", "etcd"), ("h2", "flannel-etcd"), ("h3", "flannel-etcd"))
        for action in (Action.UPGRADE, Action.RESTART)
    ]


def some(refs: list[Ref]) -> st.SearchStrategy[list[Ref]]:
    return st.lists(st.sampled_from(refs), unique=True) if refs else st.just([])


def answered(resource: Resource) -> st.SearchStrategy[Seen]:
    match resource:
        case Package():
            return st.sampled_from([SeenPackage("2", "1", 1.0), SeenPackage("1", "1", 1.0), Missing.ABSENT])
        case File() as file:
            right = SeenFile(file.sha256, 0o644, "root", "root", 1.0)
            other, comment = (
                replace(right, sha256="0" * 64, content=text) for text in (b"A=2\n", b"# a comment\nA=1\n")
            )
            return st.sampled_from([right, right, other, comment, replace(right, mode=0o600), Missing.ABSENT])
        case Unit():
            stale, down = replace(RUNNING, due_at=11.0), replace(RUNNING, active="failed")
            return st.sampled_from([RUNNING, RUNNING, stale, down, Missing.ABSENT])
        case _:
            return st.sampled_from([SeenSetting("on"), SeenSetting("off")])


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rollouts(), st.sampled_from(["1", "2", "100%"]))
def test_whatever_changes_lies_in_its_turn(case: Rollout, batch: str) -> None:
    desired, seen, groups = case.desired, case.seen, case.groups
    plan = make_plan(desired, seen, Batch.parse(batch), groups)  # no cycle
    found = ancestors(plan)
    turns: dict[Turn, list[int]] = {}
    for index, change in enumerate(plan.changes):
        assert change.turn.member == desired[change.ref].turn.member
        turns.setdefault(change.turn, []).append(index)
    rolling = {change.turn for change in plan.changes if change.action in INTERRUPTING}
    event(f"{len(rolling)} turns with a restart")

    def all_before(first: Iterable[int], then: Iterable[int]) -> bool:
        bits = sum(1 << index for index in first)
        return all(found[index] & bits == bits for index in then)

    for turn, indices in turns.items():
        opens, within, closes = ([index for index in indices if plan.changes[index].place is place] for place in Place)
        assert bool(opens) == (
            turn in rolling and any(i.turn == turn and i.place is Place.OPENS for i in desired.values())
        )
        assert closes or not opens
        assert all_before(opens, [*within, *closes])
        assert all_before([*opens, *within], closes)
    for name, group in groups.items():
        members = {item.turn.member for item in desired.values() if item.turn.group == name}
        width = group.at_once or Batch.parse(batch).of(len(members))
        row = [indices for turn, indices in turns.items() if turn in rolling and turn.group == name]
        for several in combinations(row, width + 1):  # more than that are never under way at once
            assert any(all_before(one, other) for one, other in permutations(several, 2))
        down = [index for turn, own in turns.items() if turn.group == name and turn not in rolling for index in own]
        assert all(all_before(down, own) for own in row)
        for other in earlier(groups, name):
            ours, theirs = (
                [index for turn, own in turns.items() if turn.group == some for index in own] for some in (name, other)
            )
            if {name, other} & {turn.group for turn in rolling}:
                assert all_before(theirs, ours)
    if not rolling:
        edges = {ref: item.after for ref, item in desired.items()}
        places = {change.ref: index for index, change in enumerate(plan.changes)}
        own = nearest(places, ordered(desired, edges), edges)
        for ref, index in places.items():
            free = [other for other in plan.after[index] if plan.changes[other].turn != plan.changes[index].turn]
            assert {plan.changes[other].ref for other in free} <= own[ref]
