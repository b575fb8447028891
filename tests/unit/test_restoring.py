"""A restore as a plan: what stops, in which order data is replaced and services start, and how it resumes."""

from __future__ import annotations

import itertools
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.pure import answers
from k8s_installer.errors import InputError
from k8s_installer.host import restored as on_host
from k8s_installer.host.restored import MadeOf
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import Kind, Missing, Ref, Seen, SeenSetting, SeenUnit, Setting, UploadedFile
from k8s_installer.planning.etcd import restoring
from k8s_installer.planning.etcd.restoring import Restore, members, restored
from k8s_installer.planning.turns import QUARTER
from tests.unit.test_members import ONE, THREE, wanted

SNAPSHOT = UploadedFile(Path("/tmp/v3.db"), "a" * 64, 4096, 0o600, secret=True)
KEYS = UploadedFile(Path("/tmp/v2"), "b" * 64, 99, 0o600, secret=True)
RESTORE = Restore("lab-1234", SNAPSHOT)
DATA = "/var/lib/etcd/default.etcd"
RUNNING = SeenUnit("loaded", "active", "running", enabled=True, pid=7, started_at=500.0, needs_reload=False)


def made(
    hosts: str, restore: Restore = RESTORE, *, version: str = "1.20.2", more: dict[Ref, Seen] | None = None
) -> Plan:
    """The plan for hosts on which all runs as the inventory says."""
    whole = wanted(hosts, version)
    found = restored(whole, restore)
    seen = {**answers(whole), **dict.fromkeys(set(found.desired) - set(whole), Missing.ABSENT), **(more or {})}
    return restoring.joined(*restoring.plan(found.desired, found, seen, QUARTER))


def settings(hosts: str) -> dict[Ref, str]:
    found = restored(wanted(hosts), RESTORE).desired
    return {
        ref: item.resource.value
        for ref, item in found.items()
        if isinstance(item.resource, Setting) and "etcd-restored" in ref.name
    }


def steps(plan: Plan, *kinds: Kind) -> list[str]:
    return [
        f"{change.action} {change.ref.host} {change.ref.name}" for change in plan.changes if change.ref.kind in kinds
    ]


def before(plan: Plan, first: str, then: str) -> bool:
    """Whether a change comes before another by edges alone."""
    names = [f"{change.action} {change.ref.host} {change.ref.name}" for change in plan.changes]
    todo, found = [names.index(then)], set[int]()
    while todo:
        for index in plan.after[todo.pop()]:
            if index not in found:
                found.add(index)
                todo.append(index)
    return names.index(first) in found


def test_everything_stops_then_all_data_is_replaced_then_everything_starts() -> None:
    plan = made(THREE)
    stop = [f"stop {host} {unit}" for host in ("m1", "m2", "m3") for unit in ("kube-apiserver", "etcd")]
    assert all(one in steps(plan, Kind.UNIT) for one in stop)
    for host in ("m1", "m2", "m3"):
        assert before(plan, f"stop {host} kube-scheduler", f"stop {host} kube-apiserver")
        assert all(before(plan, f"stop {host} kube-apiserver", f"stop {other} etcd") for other in ("m1", "m2", "m3"))
        assert all(
            before(plan, f"set {other} etcd-restored {DATA}", f"start {host} etcd") for other in ("m1", "m2", "m3")
        )
        assert all(
            before(plan, f"stop {other} etcd", f"set {host} etcd-restored {DATA}") for other in ("m1", "m2", "m3")
        )
        assert not before(plan, "start m1 etcd", f"start {host} etcd")  # they wait for each other's quorum
        assert before(plan, f"start {host} etcd", f"start {host} kube-apiserver")
    assert "stop n1 kubelet" not in steps(plan, Kind.UNIT)
    assert [one for one in steps(plan, Kind.UNIT) if " n1 " in one] == ["restart n1 kubelet", "restart n1 kube-proxy"]
    for host in ("m1", "m2", "m3"):
        assert before(plan, f"wait {host} kube-scheduler has a leader", "restart n1 kubelet")
        assert before(plan, f"wait {host} kube-controller-manager is healthy", f"start {host} kube-scheduler")
        assert not before(plan, f"wait {host} kube-controller-manager has a leader", f"start {host} kube-scheduler")
    reasons = {change.reason for change in plan.changes if change.action is Action.RESTART}
    assert reasons == {"its cached objects are newer than the restored ones"}
    assert not any(change.ref.kind is Kind.PACKAGE for change in plan.changes)


def test_each_member_is_made_of_the_same_snapshot_for_the_members_of_the_inventory() -> None:
    found = {ref.host: MadeOf(*value.split("|")) for ref, value in settings(THREE).items()}
    urls = {host: f"https://10.0.0.{host[1]}:2380" for host in ("m1", "m2", "m3")}
    listed = ",".join(f"{host}={url}" for host, url in urls.items())
    assert found == {host: MadeOf("lab-1234", "a" * 64, host, url, listed, "") for host, url in urls.items()}
    assert MadeOf(*next(iter(settings(ONE).values())).split("|")).members == "m1=https://10.0.0.1:2380"


def test_a_log_that_is_apart_is_replaced_too() -> None:
    apart = "\n  m1: {address: 10.0.0.1, roles: [etcd, master], components: {etcd: {args: {data-dir: /data/etcd, wal-dir: /wal/etcd}}}}"
    ((ref, value),) = settings(apart).items()
    assert (ref.name, MadeOf(*value.split("|")).log) == ("etcd-restored /data/etcd", "/wal/etcd")
    member = members(wanted(apart))["m1"]
    assert (member.data, member.log) == ("/data/etcd", "/wal/etcd")
    assert members(wanted(ONE))["m1"].log == f"{DATA}/member/wal"


def test_one_that_was_cut_off_after_all_data_was_replaced_stops_nothing_and_starts_the_rest() -> None:
    had: dict[Ref, Seen] = {ref: SeenSetting(value) for ref, value in settings(THREE).items()}
    down = {Ref("m2", Kind.UNIT, "kube-apiserver"): replace(RUNNING, active="inactive", sub="dead")}
    plan = made(THREE, more={**had, **down})
    assert steps(plan, Kind.UNIT) == ["start m2 kube-apiserver", "restart n1 kubelet", "restart n1 kube-proxy"]
    assert steps(plan, Kind.SETTING) == []


def test_one_that_was_cut_off_between_two_members_replaces_the_data_of_all_again() -> None:
    """So no member starts in the script that replaces its data: it would wait there for the others, and they for it."""
    had: dict[Ref, Seen] = {ref: SeenSetting(value) for ref, value in settings(THREE).items() if ref.host == "m1"}
    stopped = {
        Ref(host, Kind.UNIT, unit): replace(RUNNING, active="inactive", sub="dead")
        for host in ("m1", "m2", "m3")
        for unit in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    }
    plan = made(THREE, more={**had, **stopped})
    assert not [one for one in steps(plan, Kind.UNIT) if one.startswith("stop")]
    assert steps(plan, Kind.SETTING) == [f"set {host} etcd-restored {DATA}" for host in ("m1", "m2", "m3")]
    for host, other in itertools.permutations(("m1", "m2", "m3"), 2):
        assert before(plan, f"set {other} etcd-restored {DATA}", f"start {host} etcd")


def test_data_of_another_restore_is_replaced() -> None:
    other: dict[Ref, Seen] = {ref: SeenSetting(value.replace("1234", "1111")) for ref, value in settings(ONE).items()}
    assert steps(made(ONE, more=other), Kind.SETTING) == [f"set m1 etcd-restored {DATA}"]


def test_keys_of_the_old_api_are_written_after_etcd_and_before_the_apiserver() -> None:
    plan = made(THREE, Restore("lab-1234", SNAPSHOT, KEYS), version="1.5.2")
    (keys,) = (one for one in steps(plan, Kind.SETTING) if "etcd-keys" in one)
    assert keys == (
        "set m1 etcd-keys https://127.0.0.1:2379 /etc/etcd/pki/ca.crt /etc/etcd/pki/healthcheck.crt /etc/etcd/pki/healthcheck.key"
    )
    assert all(before(plan, f"wait {host} etcd is healthy", keys) for host in ("m1", "m2", "m3"))
    assert all(before(plan, keys, f"start {host} kube-apiserver") for host in ("m1", "m2", "m3"))
    (value,) = (change.after for change in plan.changes if change.ref.name.startswith("etcd-keys"))
    assert value == Setting(f"lab-1234|{'b' * 64}")
    assert isinstance(value, Setting)
    assert value.uses is KEYS


def test_pods_of_the_clusters_dns_are_replaced_after_the_nodes_services_and_before_their_gate() -> None:
    whole = wanted(ONE, dns="coredns")
    plans = {}
    for replaces in (True, False):
        found = restored(whole, replace(RESTORE, replaces_pods=replaces))
        seen = {**answers(whole), **dict.fromkeys(set(found.desired) - set(whole), Missing.ABSENT)}
        plans[replaces] = restoring.joined(*restoring.plan(found.desired, found, seen, QUARTER))
    (pods,) = (step for step in steps(plans[True], Kind.SETTING) if "pods-replaced" in step)
    assert pods.startswith(
        "set m1 pods-replaced https://127.0.0.1:6443/api/v1/namespaces/kube-system/pods?labelSelector="
    )
    assert pods.endswith(" /etc/kubernetes/pki/ca.crt /etc/kubernetes/pki/admin.crt /etc/kubernetes/pki/admin.key")
    assert before(plans[True], "restart n1 kubelet", pods)
    assert before(plans[True], "restart n1 kube-proxy", pods)
    assert before(plans[True], pods, "wait m1 cluster DNS is ready")
    assert not [step for step in steps(plans[False], Kind.SETTING) if "pods-replaced" in step]


def sh(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a script with the programs of a folder before the machine's own."""
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(["/bin/sh", "-s"], input=text, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("answer", "status"), [("200", 0), ("403", 1)])
def test_pods_are_deleted_by_the_url_of_their_gate_with_its_files(tmp_path: Path, answer: str, status: int) -> None:
    curl, url = tmp_path / "curl", "https://127.0.0.1:6443/pods?labelSelector=k8s-app%3Dkube-dns,a%3D*"
    curl.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >{tmp_path}/words\nprintf {answer}\n")
    curl.chmod(0o755)
    text = f"{on_host._SET_PODS}\nset_pods_replaced '{url} ca.crt a.crt a.key' lab-1\n"
    run = sh(tmp_path, text)
    assert run.returncode == status, run
    assert run.stdout == ("" if status == 0 else f"{url}: 403\n")
    words = (tmp_path / "words").read_text().splitlines()
    assert words[-7:] == ["--cacert", "ca.crt", "--cert", "a.crt", "--key", "a.key", url]
    assert "DELETE" in words


def test_on_bare_hosts_nothing_stops_and_everything_is_installed() -> None:
    whole = wanted(THREE)
    found = restored(whole, RESTORE)
    stops, rest = restoring.plan(found.desired, found, dict.fromkeys(found.desired, Missing.ABSENT), QUARTER)
    plan = restoring.joined(stops, rest)
    assert (stops, plan) == (Plan((), ()), rest)
    assert before(plan, "install m1 etcd", f"set m1 etcd-restored {DATA}")
    assert before(plan, "create m1 /etc/etcd/etcd.conf", f"set m1 etcd-restored {DATA}")
    assert before(plan, f"set m3 etcd-restored {DATA}", "start m1 etcd")


@pytest.mark.parametrize(
    ("answer", "status", "writes"),
    [
        ('{"node":{"value":"lab-1"}}\\n200', 0, False),
        ('{"node":{"value":"lab-0"}}\\n200', 0, True),
        ('{"errorCode":100}\\n404', 0, True),
        ('{"message":"etcdserver: request timed out"}\\n500', 1, False),
        ("curl: (28) Operation timed out\\n000", 1, False),
    ],
)
def test_keys_of_the_old_api_are_written_only_where_they_are_known_not_to_be(
    tmp_path: Path, answer: str, status: int, *, writes: bool
) -> None:
    (tmp_path / "sum").write_text("/registry/a value=old\n")
    put, curl = tmp_path / "put", tmp_path / "curl"
    curl.write_text(f"#!/bin/sh\ncase $* in *PUT*) echo x >>{put}; printf 201 ;; *) printf '{answer}' ;; esac\n")
    curl.chmod(0o755)
    text = f"{on_host._SET_KEYS}\nincoming={tmp_path}\nset_etcd_keys http://127.0.0.1:2379 'lab-1|sum'\n"
    run = sh(tmp_path, text)
    assert run.returncode == status, run
    assert put.exists() == writes
    assert ("cannot tell whether" in run.stdout) == bool(status)


def test_without_a_member_there_is_nothing_to_restore_to() -> None:
    whole = {ref: item for ref, item in wanted(ONE).items() if ref.kind is not Kind.DATA}
    with pytest.raises(InputError, match="no host with the role etcd"):
        restored(whole, RESTORE)
