"""Preflight on real hosts, and `init`: a cluster of ours is no obstacle, a filter between its hosts is told by who meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from k8s_installer import inventory
from tests.fleet.conftest import Cluster, installer
from tests.fleet.test_cluster import tally

pytestmark = pytest.mark.fleet


def test_an_installed_cluster_has_no_errors_and_each_host_is_asked_once(cluster: Cluster) -> None:
    for host in cluster.addresses:
        cluster.on(host, "echo LogLevel VERBOSE >/etc/ssh/sshd_config.d/verbose.conf; systemctl reload ssh")
    before = tally(cluster)
    done = cluster.run("preflight", "-o", "json")
    after = tally(cluster)
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert found["hosts"] == ["m1", "n1", "n2"]
    assert {item["severity"] for item in found["findings"]} <= {"warning"}
    # this question adds one of each
    assert {host: (after[host][0] - before[host][0] - 1, after[host][1] - before[host][1] - 1) for host in before} == (
        dict.fromkeys(before, (1, 1))
    )


def test_a_filtered_port_is_told_and_who_is_kept_from_it(cluster: Cluster) -> None:
    m1, n2 = (cluster.addresses[name] for name in ("m1", "n2"))
    rules = {
        "m1": f"INPUT -p tcp --dport 6443 -s {n2} -j DROP",
        # as firewalld does; where nobody asks all the time, for the kernel sends few of these in a second
        "n1": f"INPUT -p tcp --dport 10250 -s {m1} -j REJECT --reject-with icmp-host-prohibited",
    }
    for host, rule in rules.items():
        cluster.on(host, f"iptables -w -I {rule}")
    try:
        done = cluster.run("preflight", "-o", "json")
    finally:
        for host, rule in rules.items():
            cluster.on(host, f"iptables -w -D {rule}")
    links = [item for item in json.loads(done.stdout)["findings"] if item["id"] == "link"]
    assert done.returncode == 1
    assert [(item["severity"], item["host"], item["evidence"]) for item in links] == [
        ("error", "m1", "6443 (kube-apiserver) from n2: no answer in 2 s"),
        ("warning", "n1", "10250 (kubelet) from m1: No route to host"),
    ]


def test_an_inventory_made_from_the_hosts_is_one_that_preflight_and_plan_take(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "made.yaml"
    login = ("--key", cluster.key, "--known-hosts", cluster.known_hosts)
    strangers = installer("init", "--from-hosts", *cluster.addresses.values(), "-o", str(path))
    assert (strangers.returncode, strangers.stderr.count("is unknown:"), path.exists()) == (1, 3, False)
    done = installer("init", "--from-hosts", *cluster.addresses.values(), *login, "-o", str(path))
    assert done.returncode == 0, done.stderr
    made = inventory.load(path)
    assert [(host.name, host.address) for host in made.hosts] == list(cluster.addresses.items())
    assert (made.version, made.network, made.repos) == ("1.20.2", "routes", "")
    assert "has kubernetes-master 1.20.2" in path.read_text()
    assert "m1, n1, n2: k8s-installer has made the cluster" in done.stderr
    assert installer("validate", "-i", str(path)).returncode == 0
    refused = installer("plan", "-i", str(path))  # it has another name
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: cluster tcluster"), refused.stderr
