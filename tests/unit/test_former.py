"""Hosts that are no longer masters or members of etcd: others use them until nobody does, and they leave last."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest

from k8s_installer.host.gates import judge, script
from k8s_installer.model.desired import Desired
from k8s_installer.model.groups import FORMER
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import Check, File, Gate, Kind, Ref, Seen, SeenFile
from k8s_installer.planning.etcd.changing import changing
from k8s_installer.planning.handover import with_handover
from k8s_installer.planning.make import make_plan
from tests.unit.test_gates import LEASE, OLD_LEASE, UNIT
from tests.unit.test_members import THREE, conf, seen, wanted
from tests.unit.test_membership import HOSTS, leaving, reported
from tests.unit.test_membership import said as etcd_says

NODE = "{address: 10.0.0.1, roles: [node]}"
M4 = "\n  m4: {address: 10.0.0.4, roles: [etcd]}"
M1 = "m1: {address: 10.0.0.1, roles: [etcd, master]}"


def other_files(desired: Desired, found: dict[Ref, Seen], *names: str) -> dict[Ref, Seen]:
    """The same with other content in these files, as their hosts were given it by another inventory."""
    differs = SeenFile("0" * 64, 0o644, "root", "root", 0.0, b"another=1\n")
    return {
        ref: differs if isinstance(desired[ref].resource, File) and ref.name in names else item
        for ref, item in found.items()
    }


def plan_of(before: Desired, after: Desired, members: Mapping[str, bytes | None]) -> Plan:
    """The plan from one inventory to the next, where all of the first one's hosts are as it says."""
    found = seen(after, members)
    found = other_files(after, found, "/etc/kubernetes/apiserver", "/etc/kubernetes/kubelet.kubeconfig")
    there, found = leaving(after, before, found)
    found = reported(after, found, {name: etcd_says(["m1", "m2", "m3"]) for name in ("m1", "m2", "m3")})
    there, more = changing(after, with_handover(after, there), found, (*HOSTS, "m4"))
    return make_plan(there, more)


def position(made: Plan, host: str, action: Action, name: str) -> int:
    (found,) = (
        number
        for number, change in enumerate(made.changes)
        if change.ref.host == host and change.action is action and change.ref.name == name
    )
    return found


def in_order(made: Plan, *positions: int) -> bool:
    """Whether each of these changes comes after the one before it, by the plan's own edges."""

    def behind(number: int) -> set[int]:
        result, todo = set[int](), [number]
        while todo:
            new = set(made.after[todo.pop()]) - result
            result |= new
            todo += new
        return result

    return all(first in behind(then) for first, then in pairwise(positions))


def test_the_first_master_leaves_when_everybody_uses_another_one_and_another_one_leads() -> None:
    before, after = wanted(THREE), wanted(THREE.replace(f"\n  {M1}", "") + M4)
    made = plan_of(before, after, {name: conf(before, name) for name in ("m2", "m3")})
    leads = "another master than m1 leads: kube-{}"
    assert in_order(
        made,
        position(made, "m2", Action.RESTART, "kube-apiserver"),
        position(made, "m3", Action.RESTART, "kube-apiserver"),
        position(made, "n1", Action.RESTART, "kubelet"),
        position(made, "m1", Action.STOP, "kube-scheduler"),
        position(made, "m1", Action.STOP, "kube-controller-manager"),
        position(made, "m2", Action.WAIT, leads.format("controller-manager")),
        position(made, "m1", Action.STOP, "kube-apiserver"),
        position(made, "m2", Action.SET, next(name for name in names(made) if name.startswith("etcd-removed 1"))),
        position(made, "m1", Action.STOP, "etcd"),
        position(made, "m1", Action.REMOVE, "/etc/kubernetes/apiserver"),
    )
    assert in_order(
        made,
        position(made, "m1", Action.STOP, "kube-scheduler"),
        position(made, "m2", Action.WAIT, leads.format("scheduler")),
        position(made, "m1", Action.STOP, "kube-apiserver"),
    )
    its = {change.turn for change in made.changes if change.ref.host == "m1" and change.ref.kind is not Kind.RECORD}
    assert {turn.group for turn in its} == {FORMER}


def names(made: Plan) -> list[str]:
    return [change.ref.name for change in made.changes]


def test_masters_that_leave_take_turns() -> None:
    before, after = wanted(THREE), wanted(THREE.partition("\n  m2")[0])
    made = plan_of(before, after, {"m1": conf(before, "m1")})
    gone = [position(made, host, Action.STOP, "etcd") for host in ("m2", "m3")]
    came = [position(made, host, Action.STOP, "kube-scheduler") for host in ("m2", "m3")]
    assert in_order(made, gone[0], came[1]) or in_order(made, gone[1], came[0])


def test_a_node_leaves_with_the_roles_that_others_use() -> None:
    """In one turn, which is the last: a node that is a master, too, takes its kubelet along."""
    roles = THREE.replace(M1, M1.replace("master]", "master, node]"))
    before, after = wanted(roles), wanted(THREE.replace(f"\n  {M1}", "") + M4)
    made = plan_of(before, after, {name: conf(before, name) for name in ("m2", "m3")})
    stops = [position(made, "m1", Action.STOP, name) for name in ("kubelet", "kube-apiserver", "etcd")]
    assert in_order(made, position(made, "n1", Action.RESTART, "kubelet"), *stops)


def test_what_stays_on_the_host_does_not_wait_for_the_role_that_leaves_it() -> None:
    roles = THREE.replace(M1, M1.replace("master]", "master, node]"))
    before, after = wanted(roles), wanted(roles.replace(M1.replace("master]", "master, node]"), f"m1: {NODE}") + M4)
    made = plan_of(before, after, {name: conf(before, name) for name in ("m2", "m3")})
    stop = position(made, "m1", Action.STOP, "kube-apiserver")
    assert in_order(made, position(made, "m1", Action.RESTART, "kubelet"), stop)
    assert in_order(made, position(made, "n1", Action.RESTART, "kubelet"), stop)


def test_a_node_that_leaves_does_so_among_the_nodes() -> None:
    more = THREE + "\n  n2: {address: 10.0.0.98, roles: [node]}"
    before, after = wanted(more), wanted(THREE)
    there, _ = leaving(after, before, seen(after, {}))
    assert with_handover(after, there) == there
    assert not [item for item in there.values() if item.turn.group == FORMER]


@pytest.mark.parametrize("lease", [LEASE, OLD_LEASE])
def test_a_lease_is_renewed_if_it_is_newer_three_seconds_later(lease: str) -> None:
    gate = Gate("https://127.0.0.1/lease", Check.LEASE_RENEWED, "kube-scheduler")
    later = lease.replace("03:00:10", "03:00:12")
    assert later != lease

    def holds(first: str, second: str) -> bool:
        return judge(gate, f"{first}\n{second}\nstatus 200\n{UNIT}").holds

    assert holds(lease, later)
    assert not holds(lease, lease)
    assert not holds("", later)
    assert not holds(lease, "{}")
    assert script(gate).count("/lease") == 2
