"""What leaves the inventory leaves the hosts, and nothing else does: they are as they were before. In order."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.fleet import pair, standins
from tests.fleet.conftest import Cluster, made_cluster, running_lab
from tests.fleet.snapshots import snapshot

pytestmark = pytest.mark.fleet

NODE = "roles: [node]}"
# Rules of somebody's own, which mention what belongs to programs.
OWN_RULES = r"""
iptables -w -N DOCKER-MINE
iptables -w -A DOCKER-MINE -i docker0 -m comment --comment 'not "-j DOCKER"' -j RETURN
iptables -w -A INPUT -i docker0 -p tcp --dport 9 -j DOCKER-MINE
iptables -w -t nat -A POSTROUTING -s 192.0.2.0/24 ! -o docker0 -p tcp -m comment --comment KUBE-SERVICES -j MASQUERADE
"""
ACCOUNTS = {"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"}
# An administrator adds a user while yum runs: the record has its first package then.
MEANWHILE = r"""
cat >/tmp/meanwhile <<'END'
until grep -q package /var/lib/k8s-installer/placed; do sleep 0.1; done
until useradd -r -M oncall; do sleep 0.1; done
cat /proc/[0-9]*/cmdline | tr '\0' ' ' | grep -c '[y]um -y -q install' >/tmp/during
END
setsid sh /tmp/meanwhile >/dev/null 2>&1 </dev/null &
"""


def edited(cluster: Cluster, old: str, new: str) -> str:
    assert old in cluster.text
    return cluster.text.replace(old, new)


def elsewhere(cluster: Cluster, text: str) -> str:
    """The inventory in which nobody answers under the address of n2."""
    address = cluster.addresses["n2"]
    return text.replace(address, f"{address.rpartition('.')[0]}.250")


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
        for host in bare.addresses:
            bare.on(host, OWN_RULES)
        before.update({host: snapshot(bare, host) for host in bare.addresses})
        bare.on("n1", MEANWHILE)
        text = f"{bare.text}\nhost_settings: {{limit_nofile: 65536, hosts_file: manage}}\n"
        text = text.replace("roles: [etcd, master]}", "roles: [etcd, master, node]}")
        bare.inventory.write_text(text)
        yield replace(bare, bootstrap=bare.run("apply", "--yes"))


def test_settings_and_a_role_that_are_dropped_leave_their_hosts(cluster: Cluster) -> None:
    assert cluster.bootstrap is not None
    assert cluster.bootstrap.returncode == 0, cluster.bootstrap.stdout + cluster.bootstrap.stderr
    limits = "find /etc/systemd/system -name 30-limits.conf; grep -c k8s-installer /etc/hosts || true"
    assert len(cluster.on("n1", limits).splitlines()) > 1
    status = cluster.run("status", text=cluster.text)
    assert status.returncode == 3, status.stdout
    assert "m1: unit kubelet: kubelet no longer has it" in status.stdout
    said = applied(cluster, cluster.text, "--no-verify")
    assert "remove /etc/systemd/system/docker.service.d/30-limits.conf" in said
    assert cluster.on("m1", "rpm -q docker kubernetes-node || true").count("not installed") == 2
    assert (
        cluster.on("m1", "ls -d /var/lib/kubelet /etc/kubernetes/kubelet* /sys/class/net/docker0 2>/dev/null || true")
        == ""
    )
    assert cluster.on("m1", "kubectl get nodes -o name").split() == ["node/n1", "node/n2"]
    assert {host: cluster.on(host, limits) for host in cluster.addresses} == dict.fromkeys(cluster.addresses, "0\n")


def absent(cluster: Cluster) -> str:
    entry = f"n2: {{address: {cluster.addresses['n2']}, {NODE}"
    return edited(cluster, entry, f"{entry[:-1]}, state: absent}}")


def cordoned(cluster: Cluster) -> bool:
    return "SchedulingDisabled" in cluster.on("m1", "kubectl get nodes")


def processes_without_n2(cluster: Cluster) -> set[str]:
    """A change of the routes runs the unit of the network once more, which has no process."""
    return {f"{unit}: {it}" for unit, it in cluster.processes().items() if unit[:2] != "n2" and "MainPID=0" not in it}


KEPT = "the PodDisruptionBudget default/pair allows no eviction now (it has 2 healthy pods and needs 2)"


def test_a_drain_that_a_budget_does_not_allow_stops_nothing_and_is_undone(cluster: Cluster) -> None:
    assert pair.placed(cluster, least=2) == {"n1", "n2"}
    running = cluster.processes()
    done = cluster.run("apply", "--yes", "--no-verify", "--drain-timeout", "8", text=absent(cluster))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "cordon and drain node n2 within 8s" in done.stdout
    assert "waiting for default/pair-" in done.stderr
    assert f"is still there: {KEPT}" in done.stderr
    assert "n2 was rolled back" in done.stderr
    assert cluster.processes() == running
    assert not cordoned(cluster)
    assert cluster.on("m1", "pgrep -c -f 'kubect[l].* drain ' || true") == "0\n"


def test_a_drain_that_is_cut_off_is_given_back_at_once_or_by_the_next_run(cluster: Cluster) -> None:
    path = cluster.folder / "edited.yaml"
    path.write_text(absent(cluster))
    for number, left in ((signal.SIGINT, False), (signal.SIGKILL, True)):
        argv = [sys.executable, "-m", "k8s_installer", "apply", "--yes", "--no-verify", "-i", str(path)]
        with subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as run:
            assert run.stderr is not None
            assert any("waiting for default/pair-" in line for line in run.stderr)
            run.send_signal(number)
            run.communicate(timeout=60)
        assert run.returncode == (-number if left else 1)
        assert cordoned(cluster) == left
    planned = cluster.run("plan", text=cluster.text)
    assert "uncordon node n2  (a run drained it and did not finish)" in planned.stdout


def test_a_node_that_leaves_is_drained_and_two_replicas_are_never_both_down(cluster: Cluster) -> None:
    """The run before was killed while it drained this node: the same command resumes."""
    pair.placed(cluster, least=1)
    with pair.asked(cluster):
        said = applied(cluster, absent(cluster), "--no-verify")
    assert said.index("cordon and drain node n2") < said.index("stop kubelet")
    assert cluster.on("m1", "kubectl get nodes -o name") == "node/n1\n"
    assert pair.placed(cluster, least=1) == {"n1"}
    others = processes_without_n2(cluster)
    n1, n2 = (
        next(line for line in cluster.text.splitlines() if line.startswith(f"  {name}:")) for name in ("n1", "n2")
    )
    first = edited(cluster, f"{n1}\n{n2}\n", f"{n2}\n{n1}\n")
    applied(cluster, first, "--no-verify")  # the same host under its old name, and ahead of the other node
    assert cluster.on("m1", "kubectl get nodes -o name").split() == ["node/n1", "node/n2"]
    assert not cordoned(cluster)
    assert processes_without_n2(cluster) == others


def test_docker_restarts_on_one_drained_node_after_the_other(cluster: Cluster) -> None:
    drains = edited(cluster, "cluster:\n", "cluster:\n  drain: true\n")
    text = drains.replace("  docker:\n    args:\n", "  docker:\n    args:\n      log-level: warn\n")
    pair.placed(cluster, least=1)
    with pair.asked(cluster):
        said = applied(cluster, text, "--no-verify", "--full")
    steps = [f"{words}{node}" for node in ("n1", "n2") for words in ("cordon and drain node ", "uncordon node ")]
    assert sorted(steps, key=said.index) == steps
    assert not cordoned(cluster)
    node = min(pair.placed(cluster, least=2))
    forced = cluster.run(
        "apply", "--yes", "--no-verify", "--limit", node, "--drain-timeout", "5", "--force", text=drains
    )
    assert forced.returncode == 0, forced.stdout + forced.stderr
    assert f"m1: --force: did not wait until node {node} is drained" in forced.stderr
    assert KEPT in forced.stderr
    assert not cordoned(cluster)
    cluster.on("m1", "kubectl delete deployment,service,pdb pair")
    applied(cluster, cluster.text, "--no-verify")


def test_a_host_that_is_absent_is_as_it_was_and_no_node_any_more(cluster: Cluster, before: dict[str, set[str]]) -> None:
    silent = cluster.run("apply", "--yes", "--no-verify", text=elsewhere(cluster, absent(cluster)))
    assert silent.returncode == 0, silent.stdout + silent.stderr
    assert "n2 is absent in the inventory and cannot be reached" in silent.stderr
    assert "n2" not in cluster.on("m1", "kubectl get nodes -o name")
    applied(cluster, absent(cluster))  # with verify: pods run without it
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


# A scope that has failed, which systemd remembers with all slices that it was in.
FAILED_SCOPE = r"""
slice=$(systemctl list-units --no-legend --no-pager 'kubepods-*pod*.slice' | awk '{ print $1; exit }')
setsid systemd-run --scope --unit docker-0123 --slice "$slice" -p TimeoutStopSec=1 -p SendSIGKILL=no \
  sh -c 'trap "" TERM; exec sleep 600' >/dev/null 2>&1 </dev/null &
until systemctl is-active docker-0123.scope >/dev/null; do sleep 0.1; done
sleep 0.5
systemctl stop docker-0123.scope
kill -9 $(cat /sys/fs/cgroup/systemd/kubepods.slice/*/"$slice"/docker-0123.scope/cgroup.procs)
systemctl is-failed docker-0123.scope
"""
OF_PODS = "find /sys/fs/cgroup -name '*kubepods*'; ls /run/systemd/transient | grep kubepods; systemctl list-units --all --no-legend 'kubepods*'"


def test_a_reset_leaves_hosts_as_they_were_and_data_where_it_is(cluster: Cluster, before: dict[str, set[str]]) -> None:
    assert "n1" in pair.placed(cluster, least=1)
    assert cluster.on("n1", FAILED_SCOPE) == "failed\n"
    away = elsewhere(cluster, cluster.text)  # n2 has nothing any more
    done = cluster.run("reset", "--yes", "--name", "tleaving", text=away)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "--skip-unreachable resets the other hosts" in done.stderr
    assert "docker" in cluster.on("n1", "rpm -q docker")
    done = cluster.run("reset", "--yes", "--name", "tleaving", "--skip-unreachable", text=away)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "etcd's data stays on m1" in done.stderr
    assert int(cluster.on("n1", "cat /tmp/during")) > 0
    cluster.on("n1", "userdel oncall")  # it stayed
    assert snapshot(cluster, "n1") ^ before["n1"] == set()
    assert cluster.on("n1", OF_PODS) == ""
    more = snapshot(cluster, "m1") ^ before["m1"]
    users = {line for line in more if line.startswith("user ")}
    assert sorted(line.split(":")[0] for line in users) == ["user etcd", "user etcd"]
    paths = {line.split()[0] for line in more - users}
    assert "/var/lib/etcd/default.etcd/member/wal" in paths
    assert {path for path in paths if not path.startswith(("/var/lib/etcd", "/var/lib/k8s-installer"))} <= ACCOUNTS
    assert cluster.on("m1", "stat -c %U /var/lib/etcd/default.etcd") == "etcd\n"
    assert (cluster.folder / ".k8s-installer/tleaving/pki/ca.key").exists()


def test_a_reset_with_data_leaves_nothing(cluster: Cluster, before: dict[str, set[str]]) -> None:
    done = cluster.run("reset", "--yes", "--name", "tleaving", "--data")
    assert done.returncode == 0, done.stdout + done.stderr
    assert snapshot(cluster, "m1") ^ before["m1"] == set()
    assert not (cluster.folder / ".k8s-installer/tleaving/pki").exists()


def test_hosts_that_were_reset_are_installed_again(cluster: Cluster) -> None:
    """With verify: pods run where pods ran before."""
    applied(cluster, absent(cluster))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of the one version that has both modes, with stand-ins for its programs."""
    folder = tmp_path_factory.mktemp("old")
    made = standins.programs(folder / "programs")
    with running_lab(
        "told", "--masters", "1", "--nodes", "1", "--version", standins.VERSION, programs=str(made)
    ) as lab:
        bare = made_cluster(lab, folder)
        yield replace(bare, bootstrap=bare.run("apply", "--yes", "--no-verify"))


ETCDCTL = "ETCDCTL_API=3 etcdctl --endpoints {}://127.0.0.1:2379 {}"
OWN_CERTIFICATE = (
    "--cacert /etc/etcd/pki/ca.crt --cert /etc/etcd/pki/healthcheck.crt --key /etc/etcd/pki/healthcheck.key"
)


def test_security_is_an_edit_both_ways_and_leaves_nothing_of_the_other(old: Cluster) -> None:
    """etcd, an only member, keeps its data; every program reaches the others in the new way, or its gate fails."""
    assert old.bootstrap is not None
    assert old.bootstrap.returncode == 0, old.bootstrap.stdout + old.bootstrap.stderr
    secured = {host: snapshot(old, host, "/var/lib/etcd/", "/var/lib/k8s-installer/") for host in old.addresses}
    old.on("m1", f"{ETCDCTL.format('https', OWN_CERTIFICATE)} put kept yes")
    said = applied(old, edited(old, "security: tls", "security: insecure"), "--no-verify")
    assert "remove /etc/kubernetes/controller-manager.kubeconfig" in said
    for host in old.addresses:
        secrets = r"find /etc/kubernetes /etc/etcd \( -path '*pki*' -o -name '*kubeconfig' -o -name 'abac*' \) -print"
        assert old.on(host, f"{secrets}; grep -rl https: /etc/kubernetes /etc/etcd || true") == ""
    assert old.on("m1", f"{ETCDCTL.format('http', '')} get --print-value-only kept") == "yes\n"
    assert '"Ready"' in old.on("n1", f"curl -s http://{old.addresses['m1']}:8080/api/v1/nodes/n1")
    applied(old, old.text, "--no-verify")
    assert {
        host: snapshot(old, host, "/var/lib/etcd/", "/var/lib/k8s-installer/") ^ secured[host] for host in old.addresses
    } == {host: set() for host in old.addresses}
    assert old.on("m1", f"{ETCDCTL.format('https', OWN_CERTIFICATE)} get --print-value-only kept") == "yes\n"
    refused = f"curl -s -m 5 -o /dev/null http://{old.addresses['m1']}:8080/healthz || echo refused"
    assert old.on("n1", refused) == "refused\n"
