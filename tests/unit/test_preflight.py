from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import re
import subprocess
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from rich.console import Console

from k8s_installer import desired, profiles, render
from k8s_installer.errors import HostError, TransportError
from k8s_installer.host import paths
from k8s_installer.inventory import Cluster
from k8s_installer.model.resources import Kind, Leaves, Placed
from k8s_installer.preflight import (
    CHECKS,
    Answers,
    Finding,
    Needs,
    Preflight,
    Severity,
    assess,
    needs,
    parse,
    script,
    seconds,
)
from k8s_installer.preflight.model import Disk, Link, Listener, Yum
from k8s_installer.report import preflight as report
from tests.unit.clusters import cluster, placeholder

DOCS = Path(__file__).parents[2] / "docs/preflight.md"
GIB = 1024
ROOMY = Disk("/", 40 * GIB, 5_000_000)
PATHS = ("/usr", "/var", "/var/lib/docker", "/var/lib/etcd", "/tmp")


def wanted(made: Cluster) -> dict[str, Needs]:
    profile = profiles.load(made.version)
    return needs(made, profile, desired.desire(made, profile, placeholder(made), render.Renderer([])))


THREE = cluster()
NEEDS = wanted(THREE)


def fit(need: Needs, *, bare: bool = True, **more: object) -> Answers:
    """What a host answers that nothing is wrong with; bare, or installed."""
    name = need.host.name
    answers = Answers(
        os={"ID": "centos", "VERSION_ID": "7", "PRETTY_NAME": "CentOS Linux 7 (Core)"},
        systemd=219,
        kernel="3.10.0-1160.el7.x86_64",
        machine="x86_64",
        memory_mib=8 * GIB,
        cpus=4,
        missing_modules=frozenset(),
        missing_tools=frozenset(),
        disks=dict.fromkeys(PATHS, ROOMY),
        sync_ms=2.0 if bare else None,
        no_ftype="",
        listeners=(),
        reached={(link.address, link.port): "" for link in need.links},
        offset=0.1,
        hostname=name,
        resolves=True,
        machine_id=f"machine-{name}",
        boot_id=f"boot-{name}",
        product_uuid=f"uuid-{name}",
        networks=(("lo", IPv4Interface("127.0.0.1/8")), ("eth0", IPv4Interface(f"{need.host.address}/24"))),
        installed={} if bare else {package: version or "1.0" for package, version in need.packages.items()},
        leftovers={},
        unit_files=(),
        daemon_json=frozenset(),
        active=frozenset(),
        enforcing=False,
        swap=(),
        name_server="",
        yum=Yum(
            0, {package: frozenset({f"{version or '1.0'}-1.el7"}) for package, version in need.packages.items()}, ""
        )
        if bare
        else None,
    )
    return dataclasses.replace(answers, **more)  # type: ignore[arg-type]


def judged(**more: object) -> Preflight:
    """Three hosts (`needed`, `bare`), of which one (`on`) has something about it: the rest of what is given."""
    on, bare, needed = more.pop("on", "n1"), bool(more.pop("bare", True)), more.pop("needed", NEEDS)
    assert isinstance(needed, dict)
    answers = {name: fit(need, bare=bare, **(more if name == on else {})) for name, need in needed.items()}
    return assess(THREE, needed, answers)


def told(found: Preflight) -> list[tuple[str, str, str]]:
    return [(item.id, str(item.severity), item.host) for item in found.findings]


def only(found: Preflight) -> Finding:
    (finding,) = found.findings
    return finding


@pytest.mark.parametrize("bare", [True, False])
def test_hosts_that_fit_have_no_findings(*, bare: bool) -> None:
    found = judged(bare=bare)
    assert found == Preflight(("m1", "n1", "n2"), ())


@pytest.mark.parametrize(
    ("on", "more", "expected", "words"),
    [
        ("n1", {"os": {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian 12"}}, ("os", "warning"), "Debian 12"),
        ("n1", {"os": {}}, ("os", "warning"), "no /etc/os-release"),
        ("n1", {"os": {"ID": "centos", "VERSION_ID": "8"}}, ("os", "warning"), "no /etc/os-release"),
        ("n1", {"systemd": 208}, ("systemd", "error"), "systemd 208, not 219 or later"),
        ("n1", {"systemd": 0}, ("systemd", "error"), "systemd does not answer, not 219 or later"),
        ("n1", {"kernel": "2.6.32-754.el6"}, ("kernel", "error"), "Linux 2.6.32-754.el6, not 3.10 or later"),
        ("n1", {"machine": "aarch64"}, ("architecture", "warning"), "aarch64, not x86_64"),
        ("n1", {"missing_modules": frozenset({"overlay"})}, ("module", "error"), "overlay: docker's storage driver overlay2"),
        ("n1", {"missing_tools": frozenset({"awk", "curl"})}, ("tool", "error"), "awk, curl"),
        ("n1", {"missing_tools": frozenset({"ss"})}, ("tool", "warning"), "ss"),
        ("n1", {"memory_mib": 600}, ("memory", "warning"), "600 MiB, needs 700: docker, the kubelet"),
        ("m1", {"memory_mib": 600}, ("memory", "error"), "600 MiB, needs 1700: etcd keeps all its keys in memory; kube-apiserver"),
        ("m1", {"cpus": 1}, ("cpu", "warning"), "1: the apiserver"),
        ("m1", {"cpus": 0}, ("cpu", "error"), "0: the apiserver"),
        ("m1", {"sync_ms": 25.4}, ("etcd-disk", "warning"), "25 ms for a synchronous write of 2300 bytes; etcd needs 10"),
        ("m1", {"sync_ms": 110.0}, ("etcd-disk", "error"), "110 ms for"),
        ("m1", {"sync_ms": math.inf}, ("etcd-disk", "error"), "more than 125 ms for"),
        ("n1", {"networks": (("eth0", IPv4Interface("10.0.2.15/24")),)}, ("address", "error"), "10.77.0.21 is not among 10.0.2.15"),
        ("n1", {"networks": (("lo", IPv4Interface("127.0.0.1/8")),)}, ("address", "error"), "10.77.0.21 is not among its own"),
        ("n1", {"resolves": False}, ("resolve", "warning"), "n1"),
        ("n1", {"name_server": "none"}, ("name-server", "warning"), "none in /etc/resolv.conf: "),
        ("n1", {"name_server": "silent"}, ("name-server", "warning"), "no answer in 5 s: "),
        ("n1", {"hostname": "localhost.localdomain"}, ("hostname", "warning"), "localhost.localdomain: "),
        ("n1", {"hostname": "Node_1"}, ("hostname", "warning"), "Node_1: "),
        ("n1", {"hostname": ""}, ("hostname", "warning"), "none: "),
        ("n1", {"swap": ("/dev/dm-1 partition 2097148 0 -2",)}, ("swap", "warning"), "/dev/dm-1 partition 2097148 0 -2: memory limits"),
        ("n1", {"enforcing": True}, ("selinux", "warning"), "enforcing: "),
        ("n1", {"active": frozenset({"firewalld"})}, ("firewalld", "warning"), "active: "),
        ("n1", {"active": frozenset({"docker"})}, ("engine", "error"), "docker is active, but not from this inventory's packages"),
        ("n1", {"active": frozenset({"containerd"})}, ("engine", "warning"), "containerd is active, but not"),
        ("n1", {"installed": {"docker-ce": "20.10.24"}}, ("package", "error"), "docker-ce 20.10.24 has the files of docker"),
        ("m1", {"leftovers": {"/var/lib/etcd": ("/var/lib/etcd/default.etcd",)}}, ("data", "error"), "/var/lib/etcd/default.etcd, but etcd is not installed: a member"),
        ("n1", {"leftovers": {"/var/lib/docker": ("/var/lib/docker/overlay2",)}}, ("data", "warning"), "/var/lib/docker/overlay2, but docker is not installed: old"),
        ("n1", {"daemon_json": frozenset({"storage-driver", "log-opts", "debug"})}, ("daemon-json", "error"), "log-opts, storage-driver: docker does not start"),
        ("n1", {"no_ftype": "/var"}, ("xfs-ftype", "error"), "/var, where docker's data is, is an XFS with ftype=0: overlay2 cannot"),
        ("n1", {"unit_files": ("/etc/systemd/system/kubelet.service",)}, ("unit-file", "error"), "/etc/systemd/system/kubelet.service"),
        ("n1", {"yum": Yum(124, {}, "")}, ("yum", "error"), "no answer in 60 s"),
        ("n1", {"yum": Yum(1, {}, "")}, ("yum", "error"), "no output"),
        ("n1", {"yum": Yum(1, {}, "Error: rpmdb open failed")}, ("yum", "error"), "Error: rpmdb open failed"),
    ],
)  # fmt: skip
def test_what_is_in_the_way_of_a_bare_host(
    on: str, more: dict[str, object], expected: tuple[str, str], words: str
) -> None:
    finding = only(judged(on=on, **more))
    assert (finding.id, str(finding.severity), finding.host) == (*expected, on)
    assert finding.evidence.startswith(words)
    assert "{" not in finding.fix


@pytest.mark.parametrize(
    "more",
    [
        # an etcd member has no use for these, a node for those
        {"on": "m1", "missing_modules": frozenset({"overlay"})},
        {"on": "m1", "swap": ("/swapfile file 1 0 -2",)},
        {"on": "m1", "active": frozenset({"docker", "crio"})},
        {"on": "m1", "installed": {"docker-ce": "20.10.24"}},
        {"on": "m1", "leftovers": {"/var/lib/docker": ("/var/lib/docker/tmp",)}},
        {"on": "m1", "daemon_json": frozenset({"storage-driver"})},
        {"on": "n1", "daemon_json": frozenset({"debug", "insecure-registries"})},
        {"on": "n1", "cpus": 1},
        {"on": "n1", "disks": {"/var/lib/etcd": Disk("/", 1, 1)}},
        {"on": "n1", "disks": {"/usr": Disk("/", 40 * GIB, None)}},
        # a unit file that is ours
        {"on": "n1", "unit_files": ("/etc/systemd/system/kubernetes-network.service",)},
        {"on": "n1", "yum": None},
        {"on": "n1", "networks": ()},
        {"on": "n1", "product_uuid": "", "machine_id": ""},
    ],
)
def test_what_is_in_nobodys_way(more: dict[str, object]) -> None:
    assert judged(**more).findings == ()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"memory_mib": 100, "cpus": 0}, ["memory warning", "cpu warning"]),
        ({"disks": {"/var": Disk("/var", 1, 10)}}, ["disk warning", "inodes warning"]),
        ({"leftovers": {"/var/lib/etcd": ("/var/lib/etcd/default.etcd",)}}, []),
        ({"unit_files": ("/etc/systemd/system/etcd.service",), "active": frozenset({"etcd"})}, []),
        ({"listeners": (Listener(2379, "etcd", 7, "etcd"), Listener(6443, "kube-apiserver", 9, "kube-apiserver"))}, []),
        ({"listeners": (Listener(6443, "haproxy", 7, "haproxy"),)}, ["port error"]),
        ({"networks": (("eth0", IPv4Interface("10.77.0.11/24")), ("docker0", IPv4Interface("10.244.1.1/24")))}, []),
    ],
)
def test_an_installed_host_is_not_stopped_by_what_an_install_needs(
    more: dict[str, object], expected: list[str]
) -> None:
    found = judged(on="m1", bare=False, **more)
    assert [f"{name} {severity}" for name, severity, _ in told(found)] == expected


def test_ports_are_told_with_who_has_them_and_how_to_stop_it() -> None:
    listeners = (
        Listener(10250, "kubelet", 812, "kubelet"),  # of another origin: our package is not there
        Listener(10256, "nc", 813, ""),
        Listener(10248, "", 0, ""),
        Listener(10256, "nc", 814, "sshd"),  # started by somebody who has logged in
        Listener(10256, "sshd", 815, "sshd"),
        Listener(22, "sshd", 815, "sshd"),
    )
    found = judged(listeners=listeners).findings
    assert [(item.evidence, item.fix) for item in found] == [
        ("10250 is in use by kubelet (pid 812, kubelet.service); kubelet needs it",
         "systemctl disable --now kubelet    (or make it listen elsewhere)"),
        ("10256 is in use by nc (pid 813); kube-proxy needs it", "ps -fp 813 shows what it is; then kill 813"),
        ("10248 is in use by another program; kubelet needs it",
         "make it listen elsewhere; ss -ltnp | grep :10248 shows what it is"),
        ("10256 is in use by nc (pid 814, sshd.service); kube-proxy needs it",
         "ps -fp 814 shows what it is; then kill 814"),
        ("10256 is in use by sshd (pid 815, sshd.service); kube-proxy needs it",
         "make it listen elsewhere; ss -ltnp | grep :10256 shows what it is"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("disks", "expected"),
    [
        # one file system is told once, by the worst that it has for anybody
        (dict.fromkeys(PATHS, Disk("/", 1200, 9_000)), [("disk", "warning", "1200 MiB free in /usr (on /), needs 1500"), ("inodes", "warning", "9000 inodes free in /usr (on /), needs 50000")]),
        (dict.fromkeys(PATHS, Disk("/", 900, 9_000_000)), [("disk", "error", "900 MiB free in /var/lib/docker (on /), needs 10000")]),
        ({"/var": Disk("/var", 100, 9), "/usr": ROOMY}, [("disk", "error", "100 MiB free in /var, needs 2000"), ("inodes", "error", "9 inodes free in /var, needs 50000")]),
        (dict.fromkeys(PATHS, Disk("/", 5, 9_000_000)), [("disk", "error", "5 MiB free in /usr (on /), needs 1500")]),
    ],
)  # fmt: skip
def test_each_file_system_is_told_once(disks: dict[str, Disk], expected: list[tuple[str, str, str]]) -> None:
    found = judged(disks=disks).findings
    assert [(item.id, str(item.severity), item.evidence.partition(":")[0]) for item in found] == expected


def test_what_was_placed_on_a_host_before_is_in_nobodys_way() -> None:
    """As where packages take the place of a tarball: the units run, their files and data are there."""
    unit_file = "/etc/systemd/system/kubelet.service"
    found: dict[str, object] = {
        "listeners": (Listener(10250, "kubelet", 812, "kubelet"),),
        "leftovers": {"/var/lib/kubelet": ("plugins",)},
        "unit_files": (unit_file,),
    }
    assert [finding.id for finding in judged(**found).findings] == ["port", "unit-file", "data"]
    leaves = Leaves("kubelet", folders=("/var/lib/kubelet",))
    record = (
        Placed(Kind.UNIT, "kubelet", "kubelet"),
        Placed(Kind.FILE, unit_file, "kubelet"),
        Placed(Kind.LEFTOVERS, "kubelet", "kubelet", leaves=leaves),
    )
    profile = profiles.load(THREE.version)
    everything = desired.desire(THREE, profile, placeholder(THREE), render.Renderer([]))
    own = needs(THREE, profile, everything, {"n1": record})
    assert judged(needed=own, **found).findings == ()


def test_networks_of_the_cluster_may_not_hold_a_hosts_own() -> None:
    networks = (("eth0", IPv4Interface("10.77.0.21/24")), ("eth1", IPv4Interface("10.244.9.1/16")))
    assert only(judged(networks=networks)).evidence == "eth1 is in 10.244.0.0/16; pod_cidr is 10.244.0.0/16"
    ours = (networks[0], ("docker0", IPv4Interface("10.244.1.1/24")), ("flannel.1", IPv4Interface("10.244.1.0/32")))
    assert not judged(networks=ours).findings


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(0.5, []), (5.1, [("clock", "warning", "n1")]), (-100.0, [("clock", "error", "n1")])],
)
def test_clocks_are_compared_with_the_median(offset: float, expected: list[tuple[str, str, str]]) -> None:
    found = judged(offset=offset)
    assert told(found) == expected
    if offset > 2:
        assert only(found).evidence == "5.0 s ahead of the median of 3 hosts"


@pytest.mark.parametrize(
    ("on", "more", "expected", "words"),
    [
        ("n1", {"machine_id": "machine-m1", "boot_id": "boot-m1"}, ("same-host", "error"), "it is m1: same machine-id, same boot"),
        ("n1", {"machine_id": "machine-m1"}, ("duplicate", "warning"), "machine-id machine-m1: m1, n1"),
        ("n1", {"product_uuid": "uuid-m1"}, ("duplicate", "warning"), "product-uuid uuid-m1: m1, n1"),
        ("n1", {"hostname": "m1"}, ("duplicate", "warning"), "hostname m1: m1, n1"),
    ],
)  # fmt: skip
def test_what_two_hosts_may_not_share(on: str, more: dict[str, object], expected: tuple[str, str], words: str) -> None:
    finding = only(judged(on=on, **more))
    assert (finding.id, str(finding.severity), finding.evidence) == (*expected, words)


def test_two_masters_of_one_name_are_an_error() -> None:
    made = cluster(topology="etcd-apart")
    needed = wanted(made)
    answers: dict[str, Answers | HostError | None] = {
        name: fit(need, hostname="box" if name[0] == "m" else name) for name, need in needed.items()
    }
    found = assess(made, needed, answers)
    assert told(found) == [("duplicate", "error", "m2")]
    assert only(found).evidence == "hostname box: m1, m2; masters' leases use it"


def test_hosts_that_do_not_answer_are_findings_and_the_others_are_judged() -> None:
    answers: dict[str, Answers | HostError | None] = {
        "m1": TransportError("m1", "no answer within 10 s", hint="see that the host is up"),
        "n1": None,
        "n2": fit(NEEDS["n2"], enforcing=True, reached={("10.77.0.11", 6443): "No route to host"}),
    }
    found = assess(THREE, NEEDS, answers)
    # a port of a host that is not there is not told, too
    assert told(found) == [("unreachable", "error", "m1"), ("incomplete", "error", "n1"), ("selinux", "warning", "n2")]
    assert (found.findings[0].evidence, found.findings[0].fix) == ("no answer within 10 s", "see that the host is up")
    bare = assess(THREE, NEEDS, {"m1": HostError("m1", "gone")})
    assert only(bare).fix == "check that `ssh` to m1 works"


def test_a_filtered_port_is_told_once_with_everybody_who_cannot_reach_it() -> None:
    answers: dict[str, Answers | HostError | None] = {name: fit(need) for name, need in NEEDS.items()}
    answers["n1"] = fit(NEEDS["n1"], reached={("10.77.0.11", 6443): "No route to host"})
    answers["n2"] = fit(NEEDS["n2"], reached={})
    found = assess(THREE, NEEDS, answers)
    assert told(found) == [("link", "error", "m1")]
    assert only(found).evidence == "6443 (kube-apiserver) from n1: No route to host; from n2: it was not tried"
    assert only(found).fix.startswith("firewall-cmd --permanent --add-port=6443/tcp && firewall-cmd --reload on m1")
    answers["n2"] = fit(NEEDS["n2"], reached={}, missing_tools=frozenset({"bash"}))
    assert (
        only(assess(THREE, NEEDS, answers, about={"n1"})).evidence == "6443 (kube-apiserver) from n1: No route to host"
    )
    assert assess(THREE, NEEDS, answers, about={"n2"}).findings[0].id == "tool"


def test_a_kubelet_that_masters_cannot_reach_is_a_warning() -> None:
    found = judged(on="m1", reached={("10.77.0.21", 10250): "no answer in 2 s", ("10.77.0.22", 10250): ""})
    assert told(found) == [("link", "warning", "n1")]


def test_many_hosts_are_counted() -> None:
    nodes = "".join(f"\n  n{number}: {{address: 10.77.0.{20 + number}, roles: [node]}}" for number in range(1, 10))
    made = cluster(topology=f"\n  m1: {{address: 10.77.0.11, roles: [etcd, master]}}{nodes}\n")
    needed = wanted(made)
    answers: dict[str, Answers | HostError | None] = {
        name: fit(need, reached=dict.fromkeys(fit(need).reached, "No route to host") if name != "m1" else fit(need).reached, enforcing=True)
        for name, need in needed.items()
    }  # fmt: skip
    found = assess(made, needed, answers)
    assert found.findings[0].evidence == "6443 (kube-apiserver) from n1, n2, n3, n4, n5 and 4 more: No route to host"
    assert "selinux  m1, n1, n2, n3, n4, n5, n6, n7 and 2 more: SELinux is enforcing" in shown(found)


def test_witnesses_are_not_judged() -> None:
    answers: dict[str, Answers | HostError | None] = {name: fit(need, enforcing=True) for name, need in NEEDS.items()}
    found = assess(THREE, NEEDS, answers, about={"n2"})
    assert (found.hosts, told(found)) == (("n2",), [("selinux", "warning", "n2")])


def tuned(kubelet: str) -> dict[str, Needs]:
    return wanted(cluster(more=f"\ncomponents:\n  kubelet: {kubelet}\n"))


@pytest.mark.parametrize(
    ("needed", "stops"),
    [
        (NEEDS, False),
        (tuned("{config: {failSwapOn: true}}"), True),
        (tuned("{args: {fail-swap-on: true}}"), True),
        (tuned("{args: {fail-swap-on: false}}"), False),
        (wanted(cluster("1.5.2")), False),  # it does not know the flag
    ],
)
def test_swap_stops_a_kubelet_that_is_told_so(needed: dict[str, Needs], *, stops: bool) -> None:
    assert (needed["m1"].swap_stops, needed["n1"].swap_stops) == (False, stops)
    found = judged(needed={**NEEDS, "n1": needed["n1"]}, swap=("/dev/dm-1 partition 2097148 0 -2",)).findings
    assert [item.severity is Severity.ERROR for item in found if item.id == "swap"] == [stops]


def test_a_profile_that_says_nothing_of_swap_means_the_kubelets_default() -> None:
    made = cluster()
    profile = profiles.load(made.version)
    kubelet = profile.components["kubelet"]
    config = {key: value for key, value in kubelet.config.items() if key != "failSwapOn"}
    silent = profile.model_copy(
        update={"components": {**profile.components, "kubelet": kubelet.model_copy(update={"config": config})}}
    )
    assert needs(made, silent, {})["n1"].swap_stops is True


@pytest.mark.parametrize(
    ("version", "security", "expected"),
    [
        ("1.5.2", "tls", {8080: "kube-apiserver", 6443: "kube-apiserver", 10251: "kube-scheduler", 10249: "kube-proxy"}),
        ("1.5.2", "insecure", {8080: "kube-apiserver", 10252: "kube-controller-manager", 10250: "kubelet"}),
        ("1.20.2", "tls", {2379: "etcd", 2380: "etcd", 6443: "kube-apiserver", 10250: "kubelet", 10257: "kube-controller-manager",
                           10259: "kube-scheduler", 10248: "kubelet", 10256: "kube-proxy"}),
    ],
)  # fmt: skip
def test_ports_are_those_of_the_version(version: str, security: str, expected: dict[int, str]) -> None:
    ports = wanted(cluster(version, security, "all-in-one"))["c1"].ports
    assert expected.items() <= ports.items()
    if version == "1.20.2":
        assert ports == expected


def test_an_inventorys_own_port_is_asked_for() -> None:
    assert tuned("{config: {port: 10350}}")["n1"].ports[10350] == "kubelet"


def test_links_are_those_that_the_roles_need() -> None:
    needed = wanted(cluster(topology="etcd-apart"))
    links = {name: [(link.host, link.port) for link in need.links] for name, need in needed.items()}
    members = ["e1", "e2", "e3"]
    assert links["e1"] == [("e2", 2380), ("e3", 2380)]
    assert links["m1"] == [*((member, 2379) for member in members), ("n1", 10250)]
    assert links["n1"] == [("m1", 6443), ("m2", 6443)]
    assert wanted(cluster(topology="all-in-one"))["c1"].links == ()
    two = "\n  a: {address: 10.77.0.1, roles: [etcd, master, node]}\n  b: {address: 10.77.0.2, roles: [master, node]}\n"
    assert [link.port for link in wanted(cluster(topology=two))["a"].links] == [10250]


YUM = {
    "mirrors": (
        ("Could not retrieve mirrorlist http://mirrorlist.centos.org/?release=7&arch=x86_64&repo=os&infra=stock error was\n"
        '14: curl#6 - "Could not resolve host: mirrorlist.centos.org; Unknown error"\n\n\n'
        " One of the configured repositories failed (Unknown),\n"
        " and yum doesn't have enough cached data to continue. At this point the only\n"
        ' safe thing yum can do is fail. There are a few ways to work "fix" this:\n'
        "Cannot find a valid baseurl for repo: base/7/x86_64\n"),
        "Could not retrieve mirrorlist http://mirrorlist.centos.org/?release=7&arch=x86_64&repo=os&infra=stock error was",
        "the mirrors of CentOS 7 are gone",
    ),
    "name": (
        ('http://repo.example.com/7/repodata/repomd.xml: [Errno 14] curl#6 - "Could not resolve host: repo.example.com; Unknown error"\n'
        "Trying other mirror.\n"),
        'http://repo.example.com/7/repodata/repomd.xml: [Errno 14] curl#6 - "Could not resolve host: repo.example.com; Unknown error"',
        "the host cannot resolve a repository's name",
    ),
    "address": (
        "http://10.0.0.9/7/repodata/repomd.xml: [Errno 14] HTTP Error 404 - Not Found\nTrying other mirror.\n",
        "http://10.0.0.9/7/repodata/repomd.xml: [Errno 14] HTTP Error 404 - Not Found",
        "a repository's address is wrong",
    ),
    "silence": (
        "http://10.0.0.9/7/repodata/repomd.xml: [Errno 12] Timeout on http://10.0.0.9/7/repodata/repomd.xml: (28, 'Connection timed out after 30001 milliseconds')\n",
        "http://10.0.0.9/7/repodata/repomd.xml: [Errno 12] Timeout",
        "a repository does not answer",
    ),
    "none": ('There are no enabled repos.\n Run "yum repolist all" to see the repos you have.\n',
             "There are no enabled repos.", "enable one"),
    "dnf": ("Error: Failed to download metadata for repo 'lab': Cannot download repomd.xml: All mirrors were tried\n",
            "Error: Failed to download metadata for repo 'lab'", "a repository does not answer"),
    "lock": ("Existing lock /var/run/yum.pid: another copy is running as pid 4711.\n",
             "Existing lock /var/run/yum.pid: another copy is running as pid 4711.", "another yum runs"),
}  # fmt: skip


@pytest.mark.parametrize("case", YUM)
def test_yums_words_are_understood(case: str) -> None:
    words, evidence, how = YUM[case]
    finding = only(judged(yum=Yum(1, {}, words)))
    assert (finding.id, finding.severity) == ("yum", Severity.ERROR)
    assert finding.evidence.startswith(evidence)
    assert finding.fix.startswith(how)


def test_packages_that_nobody_offers_are_named_with_what_there_is() -> None:
    offers = {
        "docker": frozenset({"1.13.1-210.git7d71120.el7.centos"}),
        "kubernetes-client": frozenset({"1.5.2-0.7.git269f928.el7"}),
    }
    found = judged(yum=Yum(0, offers, "")).findings
    assert [item.evidence for item in found] == [
        "kubernetes-client 1.20.2; available: 1.5.2-0.7.git269f928.el7",
        "kubernetes-node 1.20.2",
    ]
    node = frozenset({"1.20.2-1.el7"})
    offers |= {"kubernetes-client": node, "kubernetes-node": node}
    for wanted, known in (("1.20.2", True), ("1.20.2-1.el7", True), ("0:1.20.2-1.el7", True), ("1.20.2-2.el7", False)):
        packages = {**NEEDS["n1"].packages, "kubernetes-node": wanted}
        needed = {**NEEDS, "n1": dataclasses.replace(NEEDS["n1"], packages=packages)}
        said = [item.evidence for item in judged(yum=Yum(0, offers, ""), needed=needed).findings]
        assert said == [f"kubernetes-node {wanted}; available: 1.20.2-1.el7"] * (not known)
    nothing = judged(yum=Yum(1, {}, "Error: No matching Packages to list"))
    assert [item.evidence for item in nothing.findings] == [
        "docker",
        "kubernetes-client 1.20.2",
        "kubernetes-node 1.20.2",
    ]
    assert [item.id for item in judged(yum=Yum(127, {}, ""), missing_tools=frozenset({"yum"})).findings] == ["tool"]


# What a CentOS 7.9 host prints (systemd 219, iproute 4.11, coreutils 8.22, yum 3.4.3), with somebody's haproxy on it.
# A $ is the end of a line with a blank before it.
RECORDED = """\
clock 1772366400.500000000
os NAME="CentOS Linux"
os VERSION="7 (Core)"
os ID="centos"
os ID_LIKE="rhel fedora"
os VERSION_ID="7"
os PRETTY_NAME="CentOS Linux 7 (Core)"
os ANSI_COLOR="0;31"
os CPE_NAME="cpe:/o:centos:centos:7"
os HOME_URL="https://www.centos.org/"
os BUG_REPORT_URL="https://bugs.centos.org/"
os $
os CENTOS_MANTISBT_PROJECT="CentOS-7"
systemd 219
kernel 3.10.0-1160.119.1.el7.x86_64
machine x86_64
memory        3880216 kB
cpus 2
swap /dev/dm-1                               partition\t2097148\t0\t-2
hostname m1.example.com
resolves
name-server none
id machine-id 0f8cd32ac93b4a7f9d1cbd1f9c2e6a11
id boot_id 3c4fd6a1-6f0e-4a5e-bb3c-1c0b9b5d9f3e
id product_uuid 564D8C1E-2B1F-7C5A-9E1A-0A2B3C4D5E6F
address 1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
address 2: eth0    inet 10.77.0.11/24 brd 10.77.0.255 scope global noprefixroute eth0\\       valid_lft forever preferred_lft forever
address 3: tun0    inet 10.8.0.2 peer 10.8.0.1/32 scope global tun0\\       valid_lft forever preferred_lft forever
enforcing
no-module br_netfilter
no-tool ss
active firewalld
space /usr /dev/mapper/centos-root  17811456 1640212  16171244      10% /
inodes /usr /dev/mapper/centos-root 8910848 37325 8873523    1% /
space /var /dev/mapper/centos-var     10475520 32992  10442528       1% /var
inodes /var /dev/mapper/centos-var           0     0        0     - /var
space /var/lib/docker /dev/mapper/centos-var     10475520 32992  10442528       1% /var
data /var/lib/etcd /var/lib/etcd/default.etcd
data /var/lib/docker /var/lib/docker/image
data /var/lib/docker /var/lib/docker/overlay2
listen LISTEN     0      128    10.77.0.11:6443                     *:*                   users:(("haproxy",pid=1290,fd=5))
listen LISTEN     0      128      :::6443                    :::*                   users:(("haproxy",pid=1290,fd=6))
listen LISTEN     0      10        *:2379                     *:*                   users:(("nc",pid=2044,fd=3),("nc",pid=2045,fd=3))
listen LISTEN     0      128      :::2380                    :::*
pid 1290 haproxy.service
pid 2044 $
pid 2045 $
unit-file /etc/systemd/system/etcd.service
daemon-json insecure-registries
daemon-json debug
package kubernetes-client is not installed
rpm docker-ce 20.10.24
sync 92000 bytes (92 kB) copied, 0.0921731 s, 998 kB/s
yum-status 0
yum Available Packages
yum docker.x86_64             2:1.13.1-102.git7f2769b.el7.centos              extras
yum docker.x86_64             2:1.13.1-210.git7d71120.el7.centos              extras
yum kubernetes-client.x86_64  1.5.2-0.7.git269f928.el7                        extras
yum kubernetes-master-with-a-name-that-is-long.x86_64
yum                           1.5.2-0.7.git269f928.el7                        extras
reach 10.77.0.21 10250 1 Connection refused
reach 10.77.0.22 10250 1 No route to host
reach 10.77.0.23 10250 124 $
reach 10.77.0.24 10250 0 $
end-of-preflight
""".replace("$\n", "\n")


def test_a_port_is_held_by_the_unit_also_while_it_starts_another_program() -> None:
    shared = 'listen LISTEN 0 128 *:10256 *:* users:(("kube-proxy",pid=2606,fd=8),("kube-proxy",pid=1500,fd=8))\n'
    record = re.sub("(?m)^(listen|pid) .*\n", "", RECORDED).replace(
        "unit-file", f"{shared}pid 2606 \npid 1500 kube-proxy.service\nunit-file", 1
    )
    answers = parse(record, 1772366400.0)
    assert answers is not None
    assert answers.listeners == (Listener(10256, "kube-proxy", 1500, "kube-proxy"),)


def test_a_centos_7_hosts_answer_is_read() -> None:
    assert parse(RECORDED, 1772366400.0) == Answers(
        os={
            "NAME": "CentOS Linux", "VERSION": "7 (Core)", "ID": "centos", "ID_LIKE": "rhel fedora", "VERSION_ID": "7",
            "PRETTY_NAME": "CentOS Linux 7 (Core)", "ANSI_COLOR": "0;31", "CPE_NAME": "cpe:/o:centos:centos:7",
            "HOME_URL": "https://www.centos.org/", "BUG_REPORT_URL": "https://bugs.centos.org/", "": "",
            "CENTOS_MANTISBT_PROJECT": "CentOS-7",
        },
        systemd=219,
        kernel="3.10.0-1160.119.1.el7.x86_64",
        machine="x86_64",
        memory_mib=3789,
        cpus=2,
        missing_modules=frozenset({"br_netfilter"}),
        missing_tools=frozenset({"ss"}),
        disks={
            "/usr": Disk("/", 15792, 8873523),
            "/var": Disk("/var", 10197, None),
            "/var/lib/docker": Disk("/var", 10197, None),
        },
        sync_ms=0.0921731 * 1000 / 40,
        no_ftype="",
        listeners=(
            Listener(6443, "haproxy", 1290, "haproxy"),
            Listener(2379, "nc", 2044, ""),
            Listener(2380, "", 0, ""),
        ),
        reached={
            ("10.77.0.21", 10250): "", ("10.77.0.22", 10250): "No route to host",
            ("10.77.0.23", 10250): "no answer in 2 s", ("10.77.0.24", 10250): "",
        },
        offset=0.5,
        hostname="m1.example.com",
        resolves=True,
        machine_id="0f8cd32ac93b4a7f9d1cbd1f9c2e6a11",
        boot_id="3c4fd6a1-6f0e-4a5e-bb3c-1c0b9b5d9f3e",
        product_uuid="564d8c1e-2b1f-7c5a-9e1a-0a2b3c4d5e6f",
        networks=(
            ("lo", IPv4Interface("127.0.0.1/8")), ("eth0", IPv4Interface("10.77.0.11/24")),
            ("tun0", IPv4Interface("10.8.0.2/32")),
        ),
        installed={"docker-ce": "20.10.24"},
        leftovers={
            "/var/lib/etcd": ("/var/lib/etcd/default.etcd",),
            "/var/lib/docker": ("/var/lib/docker/image", "/var/lib/docker/overlay2"),
        },
        unit_files=("/etc/systemd/system/etcd.service",),
        daemon_json=frozenset({"insecure-registries", "debug"}),
        active=frozenset({"firewalld"}),
        enforcing=True,
        swap=("/dev/dm-1 partition 2097148 0 -2",),
        name_server="none",
        yum=Yum(
            0,
            {
                "docker": frozenset({"1.13.1-102.git7f2769b.el7.centos", "1.13.1-210.git7d71120.el7.centos"}),
                "kubernetes-client": frozenset({"1.5.2-0.7.git269f928.el7"}),
                "kubernetes-master-with-a-name-that-is-long": frozenset({"1.5.2-0.7.git269f928.el7"}),
            },
            "\n".join(line[4:].strip() for line in RECORDED.splitlines() if line.startswith("yum ")),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [("sync ", math.inf), ("sync dd: failed to open '/var/lib/.k': Read-only file system", None), ("", None)],
)
def test_a_disk_that_gives_no_time(line: str, expected: float | None) -> None:
    answers = parse(f"clock 1.0\n{line}\nlisten \nend-of-preflight\n", 1.0)
    assert answers is not None
    assert (answers.sync_ms, answers.listeners, answers.yum, answers.cpus) == (expected, (), None, 0)


def test_half_an_answer_is_none() -> None:
    assert parse(RECORDED.replace("end-of-preflight\n", ""), 0.0) is None


PROGRAMS = {
    "systemctl": 'case $* in --version) echo "systemd 219"; echo "+PAM" ;; "is-active --quiet crio") ;; *) exit 3 ;; esac',
    "modprobe": 'test "$*" != "-n -q br_netfilter"',
    "rpm": 'for name; do case $name in etcd) [ "$2" != --qf ] || echo "rpm etcd 3.3.11" ;; -*|rpm*) ;;'
    ' *) echo "package $name is not installed" ;; esac; done; exit 1',
    "yum": 'echo "Available Packages"; echo "$*" >&2; echo "kubernetes-client.x86_64 1.20.2-1 lab"',
    "ss": 'echo "State Recv-Q"; echo "LISTEN 0 128 *:6443 *:* users:((\\"sh\\",pid=$PPID,fd=5))"',
    "ip": 'echo "1: lo    inet 127.0.0.1/8 scope host lo"',
    "getent": "case $2 in *.invalid) exit 2 ;; esac",
    "curl": "exit 6",  # no name is known
    "stat": 'case "$*" in "-f -c %T "*) echo xfs ;; *) exit 9 ;; esac',
    # of CentOS 7's xfsprogs 4.5, a file system made by 7.2
    "xfs_info": 'echo "meta-data=/dev/sda3 isize=256 agcount=4"; echo "naming   =version 2     bsize=4096   ascii-ci=0 ftype=0"',
}  # fmt: skip


def answered(need: Needs, tmp_path: Path, root: Path | str = "") -> str:
    """The real script under the real shell, with stand-ins for what this machine has not."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", script(need)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C", "K8S_INSTALLER_ROOT": str(root)},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def test_one_script_asks_everything_and_leaves_nothing(tmp_path: Path) -> None:
    links = tuple(Link("x", "127.0.0.1", port, "x") for port in range(1, 4))
    before = set(Path("/var/lib").iterdir())
    answers = parse(answered(dataclasses.replace(NEEDS["m1"], links=links), tmp_path), 0.0)
    assert answers is not None
    assert set(Path("/var/lib").iterdir()) == before
    assert set(answers.reached) == {("127.0.0.1", port) for port in range(1, 4)}
    assert set(answers.reached.values()) == {""}  # refused, so the host itself answers
    assert answers.yum is not None
    assert answers.yum.words.splitlines()[1] == (
        "-q list available --showduplicates kubernetes-client kubernetes-master"
    )
    assert (answers.yum.status, answers.yum.offers) == (0, {"kubernetes-client": frozenset({"1.20.2-1"})})
    assert answers.installed == {"etcd": "3.3.11"}
    assert [(found.port, found.program) for found in answers.listeners] == [(6443, "sh")]
    assert (answers.systemd, answers.resolves) == (219, True)
    assert answers.active == {"crio"}
    assert answers.missing_modules <= {"br_netfilter"}
    assert set(answers.disks) == set(PATHS)
    assert answers.disks["/usr"].mib > 0
    assert answers.sync_ms is None or answers.sync_ms > 0
    assert answers.memory_mib > 100
    assert answers.cpus >= 1
    assert answers.networks == (("lo", IPv4Interface("127.0.0.1/8")),)
    assert answers.no_ftype == answers.disks["/var/lib/docker"].mount


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        ({"repos_sum": "sum of the file"}, True),
        ({"repos_sum": "0" * 64}, False),
        ({"yum_proxy": "http://10.0.0.9:3128"}, True),
        ({"yum_proxy": "http://10.0.0.9:3129"}, False),
        ({"repos_sum": "sum of the file", "yum_proxy": "http://10.0.0.9:3129"}, False),
    ],
)
def test_yum_is_not_asked_before_it_goes_by_what_the_inventory_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, str], asked: object
) -> None:
    """As on a new CentOS 7, whose mirrors are gone, with `repos: vault`: `apply` sets the repositories first."""
    repos = tmp_path / "CentOS-Base.repo"
    repos.write_text("[base]\n")
    monkeypatch.setattr(paths, "CENTOS_REPOS", str(repos))
    monkeypatch.setenv("K8S_INSTALLER_ROOT", str(tmp_path))
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/yum.conf").write_text("[main]\nproxy=http://10.0.0.9:3128\n")
    if more.get("repos_sum") == "sum of the file":
        more = {**more, "repos_sum": hashlib.sha256(b"[base]\n").hexdigest()}
    need = dataclasses.replace(NEEDS["m1"], links=(), **more)  # type: ignore[arg-type]
    answers = parse(answered(need, tmp_path, root=tmp_path), 0.0)
    assert answers is not None
    assert (answers.yum is not None) is asked


def test_what_yum_will_go_by_is_what_the_inventory_sets() -> None:
    plain = cluster(topology="all-in-one")
    assert [(need.repos_sum, need.yum_proxy) for need in wanted(plain).values()] == [("", "")]
    lab = cluster(topology="all-in-one", more="repos: vault\nhost_settings: {proxy: {http: 'http://10.0.0.9:3128'}}")
    (need,) = wanted(lab).values()
    assert (len(need.repos_sum), need.yum_proxy) == (64, "http://10.0.0.9:3128")


def test_a_host_without_packages_or_links_is_asked_for_none(tmp_path: Path) -> None:
    need = dataclasses.replace(NEEDS["n1"], packages={}, units={}, links=())
    answers = parse(answered(need, tmp_path), 0.0)
    assert answers is not None
    assert (answers.installed, answers.reached, answers.yum, answers.sync_ms) == ({}, {}, None, None)


def test_an_xfs_without_ftype_is_no_matter_for_other_drivers() -> None:
    other = {name: dataclasses.replace(need, storage_driver="devicemapper") for name, need in NEEDS.items()}
    assert told(judged(no_ftype="/", needed=other)) == []
    assert told(judged(no_ftype="/", on="m1")) == []
    assert told(judged(no_ftype="/", bare=False)) == [("xfs-ftype", "warning", "n1")]


def test_time_is_bounded_by_what_waits() -> None:
    many = tuple(Link("x", f"10.0.{number}.1", 1, "x") for number in range(64 * 30))
    assert (seconds(NEEDS["n1"]), seconds(dataclasses.replace(NEEDS["m1"], links=many))) == (110.0, 135.0)


def shown(found: Preflight, *, again: bool = True) -> str:
    console = Console(file=io.StringIO(), width=300, soft_wrap=True)
    console.print(report.lines(found, Path("c.yaml"), again=again))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_people_see_the_worst_first_each_with_its_fix_and_what_to_type_next() -> None:
    found = judged(swap=("/dev/dm-1 partition 2097148 0 -2",), missing_modules=frozenset({"br_netfilter"}))
    assert shown(found).splitlines() == [
        "error   module  n1: the kernel lacks a module",
        "        br_netfilter: kube-proxy needs to see traffic on docker's bridge",
        "        fix: yum -y update kernel; reboot; then modprobe br_netfilter shows what is wrong",
        "warning swap  n1: swap is on",
        "        /dev/dm-1 partition 2097148 0 -2: memory limits of pods are less exact",
        "        fix: swapoff -a; and comment out the swap line of /etc/fstab",
        "3 hosts: 1 error, 1 warning.",
        "Next: fix the errors, then k8s-installer preflight -i c.yaml",
    ]
    assert "Next" not in shown(found, again=False)
    assert shown(judged()).splitlines() == [
        "3 hosts: nothing would stop an install.",
        "Next: k8s-installer apply -i c.yaml",
    ]
    assert "3 hosts: 0 errors, 1 warning." in shown(judged(enforcing=True))


def test_programs_get_ids_and_everything_else() -> None:
    assert json.loads(json.dumps(report.data(judged(enforcing=True)))) == {
        "passed": True,
        "hosts": ["m1", "n1", "n2"],
        "findings": [
            {
                "id": "selinux", "severity": "warning", "host": "n1", "means": "SELinux is enforcing",
                "evidence": "enforcing: pods may not read what they mount from the host",
                "fix": "setenforce 0; and SELINUX=permissive in /etc/selinux/config",
            }
        ],
    }  # fmt: skip
    assert report.data(judged(systemd=1))["passed"] is False


def test_the_documentation_has_every_check_in_order_and_in_the_same_words() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| ([^|]+) \| [^|]+ \| [^|]+ \|$", DOCS.read_text(), re.MULTILINE)
    assert rows == [(name, check.means) for name, check in CHECKS.items()]
