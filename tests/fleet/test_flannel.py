"""flannel with the real program on real hosts: vxlan, a second run, host-gw, and routes in its place. In order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from k8s_installer.verify.lifecycle import ACROSS, NODE_PORT, PROXY, REACH
from tests.fleet import reaching
from tests.fleet.conftest import Cluster, made_cluster, running_lab

pytestmark = pytest.mark.fleet

LAB = "tflannel"
HOSTS = ("m1", "n1", "n2")
NODES = ("n1", "n2")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_lab(LAB, "--masters", "1", "--nodes", "2") as lab:
        bare = made_cluster(lab, tmp_path_factory.mktemp("flannel"))
        text = reaching.with_dns(bare.text.replace("network: routes ", "network: flannel "), "coredns")
        bare.inventory.write_text(text)
        (bare.folder / "addons").mkdir()
        (bare.folder / "addons" / "site.yaml").write_text(reaching.site(bare))
        with reaching.outside(bare, LAB):
            yield replace(bare, text=text, bootstrap=bare.run("apply", "--yes"))


def host_gw(cluster: Cluster) -> str:
    return cluster.text.replace("  network: flannel ", "  flannel: {backend: host-gw}\n  network: flannel ")


def routes(cluster: Cluster) -> str:
    return cluster.text.replace("network: flannel ", "network: routes ")


def applied(cluster: Cluster, text: str) -> str:
    """Carry an edit out and prove the cluster after it; what was said."""
    done = cluster.run("apply", "--yes", "--no-preflight", text=text)
    assert done.returncode == 0, done.stderr
    proven(done.stderr)
    assert cluster.run("plan", text=text).returncode == 0
    return done.stderr


def proven(said: str) -> None:
    """Services, ports of nodes and pods on other nodes were reached, names resolved, and pods seen by the apiserver."""
    reaching.names_are_resolved(said)
    for check in (REACH, NODE_PORT, ACROSS, PROXY):
        assert f"✓ {check}" in said, said


def subnets(cluster: Cluster) -> dict[str, str]:
    """The part of the pod network that flannel gave each host: 10.244.7."""
    ask = "sed -n 's/^FLANNEL_SUBNET=//p' /run/flannel/subnet.env"
    return {host: cluster.on(host, ask).rpartition(".")[0] for host in HOSTS}


def ways(cluster: Cluster, host: str) -> list[str]:
    """Its routes into the pod network."""
    return [line.strip() for line in cluster.on(host, "ip -4 route show root 10.244.0.0/16").splitlines()]


@pytest.mark.runs(version="1.20.2", source="packages", network="flannel", security="tls")
def test_the_cluster_is_bootstrapped_and_proven(cluster: Cluster) -> None:
    done = cluster.bootstrap
    assert done is not None
    assert done.returncode == 0, done.stderr
    proven(done.stderr)
    reaching.everything_is_reached(cluster, by_name=True)


def test_packets_between_hosts_are_wrapped(cluster: Cluster) -> None:
    given = subnets(cluster)
    assert len(set(given.values())) == len(HOSTS)
    for host in HOSTS:
        assert "vxlan" in cluster.on(host, "ip -d link show flannel.1")
        others = {f"{given[other]}.0/24 via {given[other]}.0 dev flannel.1 onlink" for other in HOSTS if other != host}
        assert others <= set(ways(cluster, host))
    for node in NODES:
        assert f"inet {given[node]}.1/24" in cluster.on(node, "ip -4 addr show docker0")
        assert f"--bip={given[node]}.1/24 --ip-masq=false --mtu=1450" in cluster.on(
            node, "ps -o args= -C dockerd-current"
        )


def test_etcd_says_what_the_network_is_to_old_flanneld_and_new(cluster: Cluster) -> None:
    """0.7.1 of CentOS 7 asks by API v2; what runs here asks by v3."""
    key, pki = "/atomic.io/network/config", "/etc/etcd/pki"
    place = f"--endpoints https://127.0.0.1:2389 --{{}} {pki}/flannel-ca.crt --{{}} {pki}/flannel.crt --{{}} {pki}/flannel.key"
    old = cluster.on("m1", f"ETCDCTL_API=2 etcdctl {place.format('ca-file', 'cert-file', 'key-file')} get {key}")
    new = cluster.on(
        "m1", f"ETCDCTL_API=3 etcdctl {place.format('cacert', 'cert', 'key')} get --print-value-only {key}"
    )
    wanted = {"Network": "10.244.0.0/16", "SubnetLen": 24, "Backend": {"Type": "vxlan"}}
    assert json.loads(old) == json.loads(new) == wanted


def test_the_key_of_a_node_opens_flannels_etcd_and_not_the_clusters(cluster: Cluster) -> None:
    ask = "curl -s -o /dev/null -w '%{{http_code}}' -m 5 -k --cert {pki}/flannel.crt --key {pki}/flannel.key https://{place}/v2/keys/ || true"
    asked = [
        cluster.on("n1", ask.format(pki="/etc/flannel/pki", place=f"{cluster.addresses['m1']}:{port}"))
        for port in (2389, 2379)
    ]
    assert asked == ["200", "000"]
    assert cluster.on("n1", "grep -rl 'PRIVATE KEY' /etc/flannel /etc/kubernetes/pki | sort").split() == [
        "/etc/flannel/pki/flannel.key",
        "/etc/kubernetes/pki/kubelet.key",
        "/etc/kubernetes/pki/proxy.key",
    ]


def test_a_second_run_changes_nothing(cluster: Cluster) -> None:
    before = cluster.processes()
    done = cluster.run("apply", "--yes", "--no-verify")
    assert (done.returncode, done.stdout) == (0, "No changes: every host matches the inventory.\n"), done.stderr
    assert cluster.processes() == before
    status = cluster.run("status")
    assert status.returncode == 0, status.stdout


def test_flanneld_alone_can_restart_and_keeps_its_subnet(cluster: Cluster) -> None:
    """The package's unit would take every container of the host along."""
    given, before = subnets(cluster), cluster.processes()
    cluster.on("n1", "systemctl restart flanneld")
    assert subnets(cluster) == given
    assert cluster.processes() == before


def test_another_backend_takes_docker_along(cluster: Cluster) -> None:
    done = cluster.run("plan", "-o", "json", text=host_gw(cluster))
    assert done.returncode == 3, done.stderr
    changes = json.loads(done.stdout)["changes"]
    assert [(item["host"], item["name"]) for item in changes if item["action"] == "restart"] == [
        *(("m1", "flannel-network"), ("m1", "flanneld")),
        *((node, unit) for node in NODES for unit in ("flanneld", "docker")),
    ]
    applied(cluster, host_gw(cluster))
    given = subnets(cluster)
    for host in HOSTS:
        assert "flannel.1" not in cluster.on(host, "ip link")
        others = {f"{given[other]}.0/24 via {cluster.addresses[other]} dev eth0" for other in HOSTS if other != host}
        assert others <= set(ways(cluster, host))


def test_routes_take_flannels_place_and_leave_nothing_of_it(cluster: Cluster) -> None:
    applied(cluster, routes(cluster))
    for host in HOSTS:
        assert cluster.on(host, "systemctl is-active flanneld || true").strip() in ("inactive", "failed")
        assert "not installed" in cluster.on(host, "rpm -q flannel || true")
        assert (
            cluster.on(
                host, "systemctl list-unit-files 'flannel*' --no-legend; iptables-save | grep -i flannel || true"
            )
            == ""
        )
        assert cluster.on(host, "find /etc/flannel/pki /etc/etcd/pki -name '*flannel*' 2>/dev/null || true") == ""
        assert all("proto 75" in way for way in ways(cluster, host) if " via " in way)


def test_rollback_brings_flannel_back(cluster: Cluster) -> None:
    done = cluster.run("rollback", "--yes", text=routes(cluster))
    assert done.returncode == 0, done.stderr
    plan = cluster.run("plan", "-o", "json", text=host_gw(cluster))
    # the record is as it was, too; which subnets `routes` gave out is known here, and put there again
    changed = [change["name"] for change in json.loads(plan.stdout)["changes"]]
    assert changed == ["/var/lib/k8s-installer/allocations"], plan.stdout
    assert cluster.run("apply", "--yes", "--no-preflight", "--no-verify", text=routes(cluster)).returncode == 0


def test_flannel_takes_the_place_of_routes(cluster: Cluster) -> None:
    applied(cluster, cluster.text)
    for host in HOSTS:
        assert not [way for way in ways(cluster, host) if "proto 75" in way]
