"""What leaves the inventory leaves the hosts, and nothing else does: they are as they were before. In order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.fleet.conftest import Cluster, made_cluster, running_lab

pytestmark = pytest.mark.fleet

NODE = "roles: [node]}"
# What may differ on a host that was installed and reset, and why.
MAY_DIFFER = (
    "/var/log/",  # what was done is logged: dnf's and rpm's logs, the journal
    "/var/cache/",  # of yum
    "/var/lib/rpm", "/var/lib/dnf", "/var/lib/yum", "/var/lib/systemd/",  # their own books
    "/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-",  # what shadow-utils keep of the version before
    "/etc/ld.so.cache",  # ldconfig's, of every rpm
    "/root/.bash_history", "/run/", "/tmp/",
    "/var/lib/docker",  # the lab brings the folder itself, and docker closes it to others
)  # fmt: skip
SNAPSHOT = r"""
find / -xdev \( -path /proc -o -path /sys -o -path /dev \) -prune -o -printf '%p %y %m %u:%g %l\n' | sort
find /etc /usr /root /opt -xdev -type f -print0 | sort -z | xargs -0 sha256sum | awk '{ print $2, $1 }'
rpm -qa | sed 's/^/package /' | sort
systemctl list-unit-files --no-legend --no-pager | awk '$2 != "transient" { print "unit", $1, $2 }' | sort
sed 's/^/user /' /etc/passwd /etc/group | sort
awk '{ print "mount", $2, $3 }' /proc/mounts | sort
iptables-save 2>/dev/null | grep '^-' | sed 's/^/rule /' # a table that is loaded has no rule for that
ip -o link | awk '{ print "link", $2 }' | sort
ip route | sed 's/^/route /' | sort
"""


def snapshot(cluster: Cluster, host: str) -> set[str]:
    """All that is to be the same after a reset as before the first apply, a line each."""
    lines = cluster.on(host, f"{{ {SNAPSHOT} }} 2>/dev/null").splitlines()
    return {line for line in lines if not line.startswith(MAY_DIFFER)}


def edited(cluster: Cluster, old: str, new: str) -> str:
    assert old in cluster.text
    return cluster.text.replace(old, new)


def applied(cluster: Cluster, text: str, *options: str) -> str:
    """One apply, after which nothing is left to change; what it said."""
    done = cluster.run("apply", "--yes", *options, text=text)
    assert done.returncode == 0, done.stdout + done.stderr
    again = cluster.run("plan", text=text)
    assert (again.returncode, again.stdout) == (0, "No changes: every host matches the inventory.\n"), again.stdout
    return done.stdout


@pytest.fixture(scope="module")
def before() -> dict[str, set[str]]:
    """What hosts were like before the first apply, by name."""
    return {}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, before: dict[str, set[str]]) -> Iterator[Cluster]:
    with running_lab("tleaving") as lab:
        bare = made_cluster(lab, tmp_path_factory.mktemp("leaving"))
        before.update({host: snapshot(bare, host) for host in bare.addresses})
        text = f"{bare.text}\nhost_settings: {{limit_nofile: 65536, hosts_file: manage}}\n"
        text = text.replace("roles: [etcd, master]}", "roles: [etcd, master, node]}")
        bare.inventory.write_text(text)
        yield replace(bare, bootstrap=bare.run("apply", "--yes"))


def test_settings_and_a_role_that_are_dropped_leave_their_hosts(cluster: Cluster) -> None:
    assert cluster.bootstrap is not None
    assert cluster.bootstrap.returncode == 0, cluster.bootstrap.stdout + cluster.bootstrap.stderr
    limits = "find /etc/systemd/system -name 30-limits.conf; grep -c k8s-installer /etc/hosts || true"
    assert len(cluster.on("n1", limits).splitlines()) > 1
    said = applied(cluster, cluster.text, "--no-verify")
    assert "remove /etc/systemd/system/docker.service.d/30-limits.conf" in said
    assert cluster.on("m1", "rpm -q docker kubernetes-node || true").count("not installed") == 2
    assert (
        cluster.on("m1", "ls -d /var/lib/kubelet /etc/kubernetes/kubelet* /sys/class/net/docker0 2>/dev/null || true")
        == ""
    )
    assert cluster.on("m1", "kubectl get nodes -o name").split() == ["node/n1", "node/n2"]
    assert {host: cluster.on(host, limits) for host in cluster.addresses} == dict.fromkeys(cluster.addresses, "0\n")


def test_a_host_that_is_absent_is_as_it_was_and_no_node_any_more(cluster: Cluster, before: dict[str, set[str]]) -> None:
    absent = edited(
        cluster,
        f"n2: {{address: {cluster.addresses['n2']}, {NODE}",
        f"n2: {{address: {cluster.addresses['n2']}, {NODE[:-1]}, state: absent}}",
    )
    applied(cluster, absent)  # with verify: pods run without it
    assert "n2" not in cluster.on("m1", "kubectl get nodes -o name")
    assert snapshot(cluster, "n2") ^ before["n2"] == set()


def test_reset_asks_for_the_name_of_the_cluster(cluster: Cluster) -> None:
    for options, words in (
        ((), "there is no terminal"),
        (("--yes",), "--yes needs --name"),
        (("--yes", "--name", "other"), "the inventory is that of the cluster tleaving"),
    ):
        done = cluster.run("reset", *options)
        assert done.returncode == 2, done.stderr
        assert words in done.stderr


def test_a_reset_leaves_hosts_as_they_were_and_data_where_it_is(cluster: Cluster, before: dict[str, set[str]]) -> None:
    done = cluster.run("reset", "--yes", "--name", "tleaving")
    assert done.returncode == 0, done.stdout + done.stderr
    assert snapshot(cluster, "n1") ^ before["n1"] == set()
    more = {line.split()[0] for line in snapshot(cluster, "m1") ^ before["m1"]}
    assert "/var/lib/etcd/default.etcd/member/wal" in more
    assert {path for path in more if not path.startswith(("/var/lib/etcd", "/var/lib/k8s-installer"))} == set()
    assert (cluster.folder / ".k8s-installer/tleaving/pki/ca.key").exists()


def test_a_reset_with_data_leaves_nothing(cluster: Cluster, before: dict[str, set[str]]) -> None:
    done = cluster.run("reset", "--yes", "--name", "tleaving", "--data")
    assert done.returncode == 0, done.stdout + done.stderr
    assert snapshot(cluster, "m1") ^ before["m1"] == set()
    assert not (cluster.folder / ".k8s-installer/tleaving/pki").exists()
