"""What a bootstrapped fleet looks like to an independent judge: nothing here comes from the program itself."""

from __future__ import annotations

from typing import Protocol

import pytest
import testinfra
import testinfra.host

pytestmark = pytest.mark.fleet


class Cluster(Protocol):
    """What the fixture gives: where the hosts are."""

    addresses: dict[str, str]
    key: str
    known_hosts: str


def look_at(cluster: Cluster, name: str) -> testinfra.host.Host:
    return testinfra.get_host(
        f"ssh://root@{cluster.addresses[name]}",
        ssh_identity_file=cluster.key,
        ssh_extra_args=f"-o UserKnownHostsFile={cluster.known_hosts}",
    )


MASTER_UNITS = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
NODE_UNITS = ["docker", "kubelet", "kube-proxy"]


@pytest.mark.parametrize(
    ("host", "unit"),
    [("m1", unit) for unit in MASTER_UNITS] + [(node, unit) for node in ("n1", "n2") for unit in NODE_UNITS],
)
def test_services_run_and_come_back_after_a_reboot(cluster: Cluster, host: str, unit: str) -> None:
    service = look_at(cluster, host).service(unit)
    assert service.is_running
    assert service.is_enabled


def test_programs_run_as_the_users_of_the_packages(cluster: Cluster) -> None:
    master = look_at(cluster, "m1")
    for program, user in {"etcd": "etcd", "kube-apiserver": "kube", "kube-scheduler": "kube"}.items():
        assert master.process.get(comm=program[:15]).user == user


def test_ports_are_open_where_they_should_be_and_only_there(cluster: Cluster) -> None:
    master, node = look_at(cluster, "m1"), look_at(cluster, "n1")
    assert master.socket("tcp://0.0.0.0:6443").is_listening or master.socket("tcp://:::6443").is_listening
    assert master.socket(f"tcp://{cluster.addresses['m1']}:2379").is_listening
    assert not master.socket("tcp://0.0.0.0:8080").is_listening
    for closed in (8080, 10251, 10252):
        assert not master.socket(f"tcp://127.0.0.1:{closed}").is_listening
    assert not node.socket("tcp://0.0.0.0:10255").is_listening


@pytest.mark.parametrize(
    ("host", "path", "user", "mode"),
    [
        ("m1", "/etc/kubernetes/pki/apiserver.key", "kube", 0o600),
        ("m1", "/etc/kubernetes/pki/admin.key", "root", 0o600),
        ("m1", "/etc/etcd/pki/etcd.key", "etcd", 0o600),
        ("n1", "/etc/kubernetes/pki/kubelet.key", "root", 0o600),
        ("n1", "/etc/kubernetes/kubelet", "root", 0o644),
    ],
)
def test_files_belong_to_who_reads_them(cluster: Cluster, host: str, path: str, user: str, mode: int) -> None:
    file = look_at(cluster, host).file(path)
    assert (file.user, file.mode) == (user, mode)


def test_nothing_temporary_is_left_on_any_host(cluster: Cluster) -> None:
    for name in cluster.addresses:
        assert look_at(cluster, name).check_output("find /etc -name '.k8s-installer.*'") == ""


def test_every_host_has_routes_to_every_other_nodes_pods(cluster: Cluster) -> None:
    for name in cluster.addresses:
        routes = look_at(cluster, name).check_output("ip -4 route show")
        others = [node for node in ("n1", "n2") if node != name]
        assert all(f"via {cluster.addresses[other]} dev eth0 proto 75" in routes for other in others)


def test_no_stranger_reads_etcd_or_the_api(cluster: Cluster) -> None:
    master = look_at(cluster, "m1")
    assert master.run("curl -sk https://127.0.0.1:2379/v2/keys").rc != 0
    answer = master.check_output("curl -sk -o /dev/null -w '%{http_code}' https://127.0.0.1:6443/api/v1/secrets")
    assert answer == "401"
