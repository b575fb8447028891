"""What was given out stays with whoever has it, however the inventory is edited, and whoever works on it."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from unittest.mock import Mock

import pytest

from benchmarks.pure import answers
from k8s_installer import inventory, profiles
from k8s_installer.desired import Desired, desire
from k8s_installer.desired.host import RECORD
from k8s_installer.errors import InputError, InstallerError, InventoryError
from k8s_installer.flows import resolve
from k8s_installer.flows.resolve import Resolved
from k8s_installer.host.paths import ROUTES
from k8s_installer.inventory import Allocations, Cluster, settle
from k8s_installer.inventory.allocations import NONE, free, read
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import File, Kind, Missing, Ref, Seen, SeenFile
from k8s_installer.planning.make import make_plan
from k8s_installer.render import Renderer
from tests.unit.clusters import placeholder

DOCKER = "/etc/sysconfig/docker-network"
MASTERS = {"m1": "10.0.0.11, roles: [etcd, master]"}
BEFORE = {**MASTERS, **{f"n{number}": f"10.0.0.2{number}, roles: [node]" for number in (1, 2, 3)}}


def cluster(hosts: Mapping[str, str], head: str = "") -> Cluster:
    lines = "".join(f"  {name}: {{address: {host}}}\n" for name, host in hosts.items())
    text = f'cluster: {{name: c, version: "1.20.2"{head}}}\nhosts:\n{lines}'
    return inventory.parse(text, Path("/srv/cluster.yaml"))


def wanted(made: Cluster, kept: Allocations = NONE) -> Desired:
    return desire(made, profiles.profile_of(made), placeholder(made), Renderer(), kept=kept)


def kept_by(made: Cluster, kept: Allocations = NONE) -> Allocations:
    return settle(made, kept).allocations


def subnets(made: Cluster, kept: Allocations = NONE) -> dict[str, str]:
    settled = settle(made, kept)
    assert not settled.findings
    return {host.name: str(host.pod_subnet) for host in settled.cluster.hosts if host.pod_subnet is not None}


def complaints(made: Cluster, kept: Allocations = NONE) -> list[str]:
    return [str(finding) for finding in settle(made, kept).findings]


def seen_as(has: Desired, asked: Desired) -> dict[Ref, Seen]:
    """What hosts that have the one answer when they are asked for the other."""
    found: dict[Ref, Seen] = dict.fromkeys(asked, Missing.ABSENT) | answers(has)
    for ref, item in asked.items():
        old = has[ref].resource if ref in has else None
        if isinstance(item.resource, File) and isinstance(old, File) and not old.secret and old != item.resource:
            seen = found[ref]
            assert isinstance(seen, SeenFile)
            found[ref] = replace(seen, content=old.content)
    return found


def changed(plan: Plan) -> set[tuple[str, str, str]]:
    return {(change.ref.host, str(change.action), change.ref.name) for change in plan.changes}


def test_nodes_get_free_subnets_in_order_beside_those_that_are_named() -> None:
    named = BEFORE | {"n2": "10.0.0.22, roles: [node], pod_subnet: 10.244.0.0/24"}
    assert subnets(cluster(named)) == {"n1": "10.244.1.0/24", "n2": "10.244.0.0/24", "n3": "10.244.2.0/24"}
    wide = BEFORE | {"n2": "10.0.0.22, roles: [node], pod_subnet: 10.244.0.0/23"}
    assert subnets(cluster(wide))["n1"] == "10.244.2.0/24"
    assert kept_by(cluster(BEFORE, ", network: none")) == Allocations("m1")


@pytest.mark.parametrize(
    "after",
    [
        {name: host for name, host in BEFORE.items() if name != "n1"},
        {**MASTERS, "n0": "10.0.0.20, roles: [node]", **BEFORE},
        dict(reversed(BEFORE.items())),
    ],
    ids=["the first leaves", "one is added first", "another order"],
)
def test_a_node_keeps_its_subnet_wherever_others_are_added_or_removed(after: dict[str, str]) -> None:
    before = subnets(cluster(BEFORE))
    now = subnets(cluster(after), kept_by(cluster(BEFORE)))
    assert {name: now[name] for name in before if name in now} == {name: before[name] for name in before if name in now}
    assert len(set(now.values())) == len(now)


def test_removing_a_node_restarts_nothing_of_the_others_but_their_routes() -> None:
    old, left = wanted(cluster(BEFORE)), cluster({name: host for name, host in BEFORE.items() if name != "n1"})
    now = wanted(left, kept_by(cluster(BEFORE)))
    plan = make_plan(now, seen_as(old, now))
    assert {name for _, action, name in changed(plan) if action == Action.RESTART} == {"kubernetes-network"}
    assert {name for _, _, name in changed(plan)} == {"kubernetes-network", ROUTES}


def test_an_inventory_in_another_order_is_no_change_at_all() -> None:
    hosts = {
        **{f"m{number}": f"10.0.0.1{number}, roles: [etcd, master]" for number in (1, 2, 3)},
        **{f"n{number}": f"10.0.0.2{number}, roles: [node]" for number in (1, 2, 3)},
    }
    head = ", dns: coredns"
    for network in ("routes", "flannel", "none"):
        made = cluster(hosts, f"{head}, network: {network}")
        turned = cluster(dict(reversed(hosts.items())), f"{head}, network: {network}")
        old, now = wanted(made), wanted(turned, kept_by(made))
        assert not make_plan(now, seen_as(old, now))
        assert now.keys() == old.keys()
    settings = '}\nhost_settings: {hosts_file: manage, proxy: {http: "http://10.9.9.9:3128"}'
    made, turned = cluster(hosts, settings), cluster(dict(reversed(hosts.items())), settings)
    old, now = wanted(made), wanted(turned, kept_by(made))
    assert not make_plan(now, seen_as(old, now))


def test_the_first_master_stays_what_it_is_until_it_leaves() -> None:
    two = {"m2": "10.0.0.12, roles: [master]", "m1": "10.0.0.11, roles: [etcd, master]", "n1": BEFORE["n1"]}
    assert settle(cluster(two), Allocations("m1")).cluster.first_master.name == "m1"
    assert settle(cluster(two), Allocations("m9")).cluster.first_master.name == "m2"
    assert cluster(two).first_master.name == "m2"


def test_a_subnet_of_a_host_that_left_is_given_to_another_by_name_alone() -> None:
    kept = kept_by(cluster(BEFORE))
    after = {name: host for name, host in BEFORE.items() if name != "n1"} | {"n4": "10.0.0.24, roles: [node]"}
    settled = settle(cluster(after), kept)
    assert {name: str(subnet) for name, subnet in settled.allocations.subnets.items()} == {
        "n1": "10.244.0.0/24",
        "n2": "10.244.1.0/24",
        "n3": "10.244.2.0/24",
        "n4": "10.244.3.0/24",
    }
    assert subnets(cluster(BEFORE), settled.allocations)["n1"] == "10.244.0.0/24"  # it comes back
    after["n4"] += ", pod_subnet: 10.244.0.0/24"
    assert "n1" not in kept_by(cluster(after), kept).subnets
    wide = Allocations("m1", {"a": IPv4Network("10.244.8.0/23"), "b": IPv4Network("10.244.9.0/24")})
    assert {"a", "b"} <= kept_by(cluster(BEFORE), wide).subnets.keys()


def test_a_plan_says_which_pods_it_moves_and_why() -> None:
    old = wanted(cluster(BEFORE))
    moved = cluster(BEFORE | {"n1": "10.0.0.21, roles: [node], pod_subnet: 10.244.9.0/24"})
    now = wanted(moved, kept_by(cluster(BEFORE)))
    reasons = {(item.ref.host, item.ref.name): item.reason for item in make_plan(now, seen_as(old, now)).changes}
    words = "its pods move from 10.244.0.0/24 to 10.244.9.0/24, as hosts.n1.pod_subnet says: "
    assert reasons["n1", "docker"] == f"{words}{DOCKER} changes"
    assert ("n2", "docker") not in reasons
    other = settle(cluster(BEFORE, ", pod_cidr: 10.30.0.0/16"), kept_by(cluster(BEFORE)))
    assert other.moved["n2"] == "its pods move from 10.244.1.0/24 to 10.30.1.0/24, as cluster.pod_cidr says"


def test_two_that_claim_the_same_are_refused_in_words() -> None:
    kept = kept_by(cluster(BEFORE))
    taken = BEFORE | {"n3": "10.0.0.23, roles: [node], pod_subnet: 10.244.0.0/23"}
    assert complaints(cluster(taken), kept)[:1] == [
        "/srv/cluster.yaml:6: host n3: pod_subnet 10.244.0.0/23 overlaps 10.244.0.0/24, which belongs to n1 (choose another one, or give n1 a pod_subnet of its own, which changes its pods' addresses)"
    ]
    with pytest.raises(InventoryError, match="which belongs to n1"):
        wanted(cluster(taken), kept)
    both = Allocations("m1", dict.fromkeys(("n1", "n2"), IPv4Network("10.244.5.0/24")))
    assert complaints(cluster(BEFORE), both) == [
        "/srv/cluster.yaml:5: hosts n1 and n2 both have the pod subnet 10.244.5.0/24 (give one of them a pod_subnet of its own)"
    ]


@pytest.mark.parametrize("pods", ["10.30.0.0/24", "10.30.0.0/23", "10.30.0.0/25"])
def test_one_finding_says_how_wide_the_pod_network_must_be(pods: str) -> None:
    hosts = BEFORE | {f"n{number}": f"10.0.0.1{number}, roles: [node]" for number in (4, 5)}
    (words,) = complaints(cluster(hosts, f", pod_cidr: {pods}"))
    assert words.startswith(f"/srv/cluster.yaml:1: pod_cidr {pods} has no /{max(24, int(pods[-2:]))} left for ")
    assert "of 5 nodes: n" in words
    assert "(widen it to a /21, or give nodes smaller subnets with pod_subnet)" in words
    assert subnets(cluster(hosts, ", pod_cidr: 10.30.0.0/21"))["n5"] == "10.30.4.0/24"
    assert complaints(cluster(hosts, ", pod_cidr: 10.30.0.0/22"))


def test_where_only_those_that_left_have_subnets_it_says_whose_they_are() -> None:
    kept = Allocations("m1", {"gone": IPv4Network("10.244.0.0/24"), "n1": IPv4Network("10.244.1.0/24")})
    left = MASTERS | {"n1": BEFORE["n1"], "n2": BEFORE["n2"]}
    (words,) = complaints(cluster(left, ", pod_cidr: 10.244.0.0/23"), kept)
    assert "no /24 left for 1 of 2 nodes: n2 (widen it to a /22," in words
    assert words.endswith(
        "if a host is gone for good, give its subnet to another host with pod_subnet: 10.244.0.0/24 was gone's)"
    )
    no_line = cluster(
        left | {"n3": BEFORE["n3"]} | {f"x{number}": f"10.9.0.{number}, roles: [node]" for number in range(1, 255)}
    )
    (words,) = complaints(no_line)
    assert words.startswith(
        "/srv/cluster.yaml:260: pod_cidr 10.244.0.0/16 has no /24 left for 1 of 257 nodes: x254 (widen it to a /15"
    )


def test_the_record_is_read_as_it_was_written() -> None:
    made = Allocations("m1", {"n2": IPv4Network("10.244.1.0/24"), "n1": IPv4Network("10.244.0.0/25")})
    assert made.text() == "first-master m1\npod-subnet 10.244.0.0/25 n1\npod-subnet 10.244.1.0/24 n2\n"
    assert read(f"# a comment\nlater things\n{made.text()}") == made
    assert (NONE.text(), read("")) == ("", NONE)
    with pytest.raises(ValueError, match=r"10\.244"):
        read("pod-subnet 10.244.0/99 n1\n")


def test_free_subnets_of_a_small_network_are_itself() -> None:
    assert list(free(IPv4Network("10.1.0.0/26"), [])) == [IPv4Network("10.1.0.0/26")]


class Folder:
    """A clone of an inventory's folder, in which commands look at the same hosts."""

    def __init__(self, path: Path, hosts: Mapping[str, str], head: str = "") -> None:
        self.path = path
        self.cluster = replace(cluster(hosts, head), folder=path)

    def intent(self, kept: Allocations | None = None) -> Resolved:
        return resolve.desire(self.cluster, profiles.profile_of(self.cluster), None, None, kept)

    def planned(self, has: Desired) -> tuple[Resolved, bool]:
        """What is wanted once hosts that have this were asked, and whether that took a second look."""
        first = self.intent()
        kept = resolve.corrected(first, seen_as(has, {**first.desired, **first.evidence}))
        return (first, False) if kept is None else (self.intent(kept), True)


def given(one: Resolved) -> dict[str, str]:
    return {name: str(subnet) for name, subnet in one.given.allocations.subnets.items()}


def test_a_second_clone_takes_over_what_the_masters_have_recorded(tmp_path: Path) -> None:
    has = wanted(
        cluster({**BEFORE, "n9": "10.0.0.29, roles: [node]"}), Allocations("m1", {"n9": IPv4Network("10.244.0.0/24")})
    )
    made, again = Folder(tmp_path, BEFORE).planned(has)
    assert again
    assert given(made) == {"n1": "10.244.1.0/24", "n2": "10.244.2.0/24", "n3": "10.244.3.0/24", "n9": "10.244.0.0/24"}
    now = made.desired
    assert {name for _, _, name in changed(make_plan(now, seen_as(has, now)))} == {"kubernetes-network", ROUTES}


def test_where_all_is_as_recorded_hosts_are_asked_once(tmp_path: Path) -> None:
    here = Folder(tmp_path, BEFORE)
    assert here.planned(wanted(cluster(BEFORE))) == (here.intent(), False)
    new = Folder(tmp_path, BEFORE | {"n4": "10.0.0.24, roles: [node]"})
    assert not new.planned(wanted(cluster(BEFORE)))[1]
    left = Folder(tmp_path, {name: host for name, host in BEFORE.items() if name != "n1"})
    resolve.keep(left.cluster, kept_by(cluster(BEFORE)))
    assert not left.planned(wanted(cluster(BEFORE)))[1]
    assert not here.planned({})[1]  # bare hosts


@pytest.mark.parametrize("gone", [{RECORD}, {RECORD, ROUTES}], ids=["its list of routes", "its nodes' docker"])
def test_a_cluster_from_before_the_record_is_known_by_other_files(tmp_path: Path, gone: set[str]) -> None:
    has = {ref: item for ref, item in wanted(cluster(BEFORE)).items() if ref.name not in gone}
    left = {name: host for name, host in BEFORE.items() if name != "n1"}
    made, again = Folder(tmp_path, left).planned(has)
    assert again
    assert (given(made)["n2"], given(made)["n3"]) == ("10.244.1.0/24", "10.244.2.0/24")


def with_file(has: Desired, host: str, path: str, text: str) -> Desired:
    ref = Ref(host, Kind.FILE, path)
    return {**has, ref: replace(has[ref], resource=File(text.encode()))}


def test_what_is_no_subnet_is_not_read_as_one(tmp_path: Path) -> None:
    has = wanted(cluster(BEFORE))
    has = with_file(has, "m1", RECORD, "pod-subnet nonsense n1\n")
    has = with_file(has, "m1", ROUTES, "# a comment for n1\n10.x 10.0.0.21 n1\nshort\n10.244.7.0/24 10.0.0.22 n2\n")
    has = with_file(has, "n1", DOCKER, "DOCKER_NETWORK_OPTIONS='--bip=10.244.0/99'\n")
    has = with_file(has, "n3", DOCKER, "DOCKER_NETWORK_OPTIONS='--bip=172.17.0.1/16'\n")
    made, again = Folder(tmp_path, BEFORE).planned(has)
    assert again
    assert given(made) == {"n1": "10.244.0.0/24", "n2": "10.244.7.0/24", "n3": "10.244.2.0/24"}


def test_a_subnet_that_somebody_else_has_is_not_taken_over_from_an_old_machine(tmp_path: Path) -> None:
    has = with_file(wanted(cluster(BEFORE)), "m1", RECORD, kept_by(cluster(MASTERS | {"n1": BEFORE["n1"]})).text())
    has = with_file(has, "n3", DOCKER, "DOCKER_NETWORK_OPTIONS='--bip=10.244.0.1/24'\n")
    made, _ = Folder(tmp_path, BEFORE).planned(has)
    assert given(made)["n1"] == "10.244.0.0/24"
    assert given(made)["n3"] != "10.244.0.0/24"


RENAMED = {"w1" if name == "n1" else name: host for name, host in BEFORE.items()}


@pytest.mark.parametrize(
    "here", [NONE, kept_by(cluster(BEFORE))], ids=["a new clone", "a clone that knows the old name"]
)
def test_a_host_with_another_name_keeps_the_subnet_that_its_docker_has(tmp_path: Path, here: Allocations) -> None:
    has = {
        (ref._replace(host="w1") if ref.host == "n1" else ref): item for ref, item in wanted(cluster(BEFORE)).items()
    }
    made = Folder(tmp_path, RENAMED)
    resolve.keep(made.cluster, here)
    found, _ = made.planned(has)
    assert given(found) == {"w1": "10.244.0.0/24", "n2": "10.244.1.0/24", "n3": "10.244.2.0/24"}
    changes = make_plan(found.desired, seen_as(has, found.desired)).changes
    assert [change.action for change in changes if change.ref == Ref("w1", Kind.FILE, DOCKER)] == ["rewrite"]
    # a part of the cluster was applied, which did not ask it and so recorded another one
    records = Allocations("m1", {**kept_by(cluster(BEFORE)).subnets, "w1": IPv4Network("10.244.3.0/24")})
    assert given(made.planned(with_file(has, "m1", RECORD, records.text()))[0]) == given(found)


def test_of_two_hosts_with_the_docker_of_one_that_left_none_is_taken_for_it(tmp_path: Path) -> None:
    """They are copies of it: both get another subnet, and its own is not free."""
    has = wanted(cluster(BEFORE))
    hosts = {name: host for name, host in RENAMED.items() if name != "n2"} | {"w2": "10.0.0.29, roles: [node]"}
    for name in ("w1", "w2"):
        has = {**has, Ref(name, Kind.FILE, DOCKER): has[Ref("n1", Kind.FILE, DOCKER)]}
    found, _ = Folder(tmp_path, hosts).planned(has)
    assert given(found)["n1"] == "10.244.0.0/24"
    assert "10.244.0.0/24" not in (given(found)["w1"], given(found)["w2"])


def test_masters_that_disagree_are_decided_by_the_node_or_by_the_inventory(tmp_path: Path) -> None:
    hosts = {**MASTERS, "m2": "10.0.0.12, roles: [master]", "n1": BEFORE["n1"]}
    has = wanted(cluster(hosts))
    has = with_file(has, "m2", RECORD, "first-master m2\npod-subnet 10.244.5.0/24 n1\n")
    made, _ = Folder(tmp_path, hosts).planned(has)
    assert (given(made)["n1"], made.cluster.first_master.name) == ("10.244.0.0/24", "m1")
    has = with_file(has, "n1", DOCKER, "DOCKER_NETWORK_OPTIONS=\n")
    with pytest.raises(InstallerError, match=r"10\.244\.0\.0/24 on m1, 10\.244\.5\.0/24 on m2") as error:
        Folder(tmp_path, hosts).planned(has)
    assert error.value.hint == "set the right one in hosts.n1.pod_subnet of the inventory"
    hosts["n1"] += ", pod_subnet: 10.244.5.0/24"
    made, _ = Folder(tmp_path, hosts).planned(has)
    assert given(made) == {"n1": "10.244.5.0/24"}


def test_a_first_master_is_taken_over_from_the_masters(tmp_path: Path) -> None:
    hosts = {"m2": "10.0.0.12, roles: [master]", **BEFORE}
    has = wanted(cluster(hosts), Allocations("m1"))
    made, again = Folder(tmp_path, hosts, ", network: none").planned(has)
    assert (made.cluster.first_master.name, again) == ("m1", True)


def test_a_record_that_cannot_be_read_stops_the_plan(tmp_path: Path) -> None:
    here = Folder(tmp_path, BEFORE).intent()
    seen = seen_as(wanted(cluster(BEFORE)), here.desired)
    ref = Ref("m1", Kind.FILE, RECORD)
    unread = SeenFile("", 0o644, "root", "root", 0.0)
    with pytest.raises(InstallerError, match="m1: /var/lib/k8s-installer/allocations cannot be read"):
        resolve.corrected(here, {**seen, ref: unread})
    routes = Ref("m1", Kind.FILE, ROUTES)
    assert resolve.corrected(here, {**seen, routes: unread}) is None


def test_the_local_record_is_kept_beside_the_keys_and_a_broken_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Folder(tmp_path, BEFORE)
    assert resolve.recorded(here.cluster) == NONE
    made = kept_by(here.cluster)
    resolve.keep(here.cluster, made)
    assert resolve.recorded(here.cluster) == made
    (path,) = (tmp_path / ".k8s-installer" / "c").iterdir()
    path.write_text("pod-subnet x n1\n")
    with pytest.raises(InputError, match=r"cannot read .*allocations"):
        resolve.recorded(here.cluster)
    with monkeypatch.context() as patched:  # root may read everything
        patched.setattr(os, "open", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
        with pytest.raises(InputError, match=r"allocations: Permission denied") as caught:
            resolve.recorded(here.cluster)
    assert caught.value.hint == "run k8s-installer as the user that this file belongs to"
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"cannot write .*allocations"):
        resolve.keep(here.cluster, made)
