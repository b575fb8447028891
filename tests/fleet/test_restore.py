"""Restores after a key was replaced, and after disasters that left no host, or one member; with TEST_ALL=1 alone.

What `make test` has of backups is in `test_masters.py`: all members destroyed, and a restore that is killed.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fleet import objects, reaching
from tests.fleet.conftest import EVERY, Cluster, installer, made_cluster, running_lab
from tests.fleet.crash import PHRASE
from tests.fleet.test_chaos import FIRST_EVENT, killed_at
from tests.fleet.test_masters import answered
from tests.fleet.test_membership import LIST, roles

pytestmark = [pytest.mark.fleet, pytest.mark.skipif(not EVERY, reason="takes four minutes: make test-all")]

LAB = "trestore"
SMALL = {"m1": "etcd, master", "n1": "node"}
LARGE = {"m1": "etcd, master", "m2": "etcd, master", "m3": "etcd, master", "n1": "node"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One master and one node; the lab's other hosts are bare."""
    with running_lab(LAB, "--masters", "4", "--nodes", "2") as lab:
        bare = made_cluster(lab, tmp_path_factory.mktemp("restore"))
        done = bare.run("apply", "--yes", "--no-verify", text=roles(bare, **SMALL))
        assert done.returncode == 0, done.stderr
        yield bare


@pytest.fixture(scope="module")
def new(lab: Cluster) -> Cluster:
    """The same cluster on hosts of the lab that are bare, with other addresses."""
    at = lab.addresses
    addresses = {"m1": at["m2"], "m2": at["m3"], "m3": at["m4"], "n1": at["n2"]}
    return replace(lab, folder=lab.folder / "new", addresses=addresses)


def restored(cluster: Cluster, text: str, *source: str) -> float:
    """Restore; how many seconds it took. Every object is back, nothing is left to change, and the cluster works."""
    (name,) = re.findall(r'^  name: "(.+)"$', text, re.MULTILINE)
    cluster.inventory.write_text(text)
    began = time.monotonic()
    done = cluster.run("restore", *source, "--yes", "--name", name, "--no-verify")
    took = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr
    assert objects.kept(cluster) == objects.EXPECTED
    planned = cluster.run("plan")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    verified = cluster.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    return took


def members(cluster: Cluster) -> set[str]:
    return {member["name"] for member in json.loads(cluster.on("m1", LIST))["members"]}


def power_off(cluster: Cluster, *hosts: str) -> None:
    for host in hosts:
        cluster.on(host, "systemctl poweroff --no-block")
    time.sleep(5)


def test_a_disk_that_is_full_here_ends_a_backup_in_words_and_nothing_is_left(lab: Cluster, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
    try:
        full = lab.run("backup", "-o", str(small / "lab.backup"), text=roles(lab, **SMALL))
        left = list(small.iterdir())
    finally:
        subprocess.run(["umount", small], check=True)
    assert (full.returncode, left) == (1, []), full.stderr
    assert "No space left on device" in full.stderr
    assert full.stderr.count("error: ") == 1


def restart_pods(cluster: Cluster) -> None:
    """All of them, as somebody does who does not know which use the API."""
    cluster.on(
        "m1",
        "kubectl delete pods --all --all-namespaces --now >/dev/null; "
        "kubectl rollout status --timeout=90s deployment user; "
        "kubectl -n kube-system rollout status --timeout=90s deployment coredns",
    )


def own_dns(cluster: Cluster) -> str:
    """Run another DNS of the cluster, as somebody's own pod that watches the API; its address."""
    made = json.loads(cluster.on("m1", "kubectl -n kube-system get deployment coredns -o json"))
    labels = {"app": "own-dns"}
    made["metadata"] = {"name": "own-dns", "namespace": "kube-system"}
    made["spec"]["selector"]["matchLabels"] = made["spec"]["template"]["metadata"]["labels"] = labels
    cluster.on("m1", f"cat <<'END' | kubectl apply -f -\n{json.dumps(made)}\nEND")
    return address_of_own_dns(cluster)


def address_of_own_dns(cluster: Cluster) -> str:
    cluster.on("m1", "kubectl -n kube-system rollout status --timeout=90s deployment own-dns")
    return cluster.on("m1", "kubectl -n kube-system get pods -l app=own-dns -o jsonpath='{.items[*].status.podIP}'")


def resolves(cluster: Cluster, name: str, server: str) -> bool:
    """Whether a DNS in the cluster has a Service."""
    ask = f"nslookup {name}.default.svc.cluster.local {server}"
    said = cluster.on("m1", f"kubectl exec deployment/user -- {ask} 2>&1 || true")
    assert "Server:" in said, said
    return "10.254." in said.partition("Name:")[2]


def test_a_pod_that_watched_the_api_before_a_restore_notices_new_objects_when_it_is_restarted(
    lab: Cluster, tmp_path: Path
) -> None:
    """What it has seen is newer than all that is there. The cluster's own DNS is replaced by the restore."""
    file = tmp_path / "lab.backup"
    with reaching.outside(lab, LAB):
        text = reaching.with_dns(roles(lab, **SMALL), "coredns")
        done = lab.run("apply", "--yes", "--no-verify", text=text)
        assert done.returncode == 0, done.stderr
        lab.on("m1", f"kubectl create deployment user --image={reaching.image(lab)}")
        lab.on("m1", "kubectl rollout status --timeout=90s deployment user")
        lab.on("m1", "kubectl create service clusterip old --tcp=80")
        server = own_dns(lab)
        objects.create(lab)
        assert lab.run("backup", "-o", str(file), text=text).returncode == 0
        lab.on("m1", "kubectl delete namespace kept --timeout=90s")
        # an object of the kind that it watches, of which it knows the revision
        lab.on("m1", "kubectl create service clusterip late --tcp=80; sleep 2")
        assert [resolves(lab, name, server) for name in ("old", "late")] == [True, True]
        sys.stderr.write(f"\nobjects deleted by mistake, restored: {restored(lab, text, str(file)):.0f} s\n")
        lab.on("m1", "kubectl create service clusterip new --tcp=80; sleep 5")
        assert [resolves(lab, name, server) for name in ("old", "new")] == [True, False]
        lab.on("m1", "kubectl -n kube-system delete pod -l app=own-dns")
        server = address_of_own_dns(lab)
        assert [resolves(lab, name, server) for name in ("old", "new")] == [True, True]
        lab.on("m1", "kubectl delete service new old; kubectl -n kube-system delete deployment own-dns")


def replaced(cluster: Cluster, text: str) -> None:
    """Replace the key of tokens, and the pods that use them where a step asks for that."""
    for step in ("add", "use", "drop"):
        if step == "drop":
            restart_pods(cluster)
        done = cluster.run(f"certs rotate sa {step}", "--yes", "--no-verify", text=text)
        assert done.returncode == 0, done.stdout + done.stderr


def wait_until_answered(cluster: Cluster, code: str) -> None:
    """Until all pods are those of the restored objects, the API server answers this to all of their tokens."""
    for _ in range(60):
        if set(answers := answered(cluster, "m1")) == {code}:
            return
        time.sleep(1)
    raise AssertionError(answers)


def test_a_key_that_was_replaced_after_a_backup_is_replaced_again_as_the_warning_says(
    lab: Cluster, tmp_path: Path
) -> None:
    """A backup that a timer made has no keys, so the tokens in it are rejected."""
    timed = tmp_path / "timed.backup"
    text = reaching.with_dns(roles(lab, **SMALL), "coredns") + "host_settings: {etcd_backups: {schedule: '02:30'}}\n"
    with reaching.outside(lab, LAB):
        done = lab.run("apply", "--yes", "--no-verify", text=text)
        assert done.returncode == 0, done.stderr
        lab.on("m1", "systemctl start etcd-backup")
        timed.write_bytes(base64.b64decode(lab.on("m1", "base64 /var/lib/etcd-backups/*.backup")))
        replaced(lab, text)
        done = lab.run("restore", str(timed), "--yes", "--name", LAB, "--no-verify", text=text)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "the API server rejects tokens of service accounts in it" in " ".join(done.stderr.split())
        assert objects.kept(lab) == objects.EXPECTED
        wait_until_answered(lab, "401")
        replaced(lab, text)
        wait_until_answered(lab, "200")
        verified = lab.run("verify", text=text)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        lab.on("m1", "kubectl delete deployment user; kubectl delete namespace kept --timeout=90s")
        done = lab.run("apply", "--yes", "--no-verify", text=roles(lab, **SMALL))
        assert done.returncode == 0, done.stderr


def test_all_hosts_and_the_inventory_are_gone_and_one_member_becomes_three_on_new_hosts(
    lab: Cluster, new: Cluster, tmp_path: Path
) -> None:
    file, phrase = tmp_path / "lab.backup", tmp_path / "phrase"
    phrase.write_bytes(PHRASE)
    given = ["--passphrase-file", str(phrase)]
    objects.create(lab)
    done = lab.run("backup", "-o", str(file), *given, text=roles(lab, **SMALL))
    assert done.returncode == 0, done.stderr
    power_off(lab, "m1", "n1")
    shutil.rmtree(lab.folder / ".k8s-installer")

    unpacked = installer("restore", str(file), "--check", "--unpack", str(new.folder), *given)
    assert unpacked.returncode == 0, unpacked.stderr
    text = (new.folder / "inventory.yaml").read_text()
    took = restored(new, roles(replace(new, text=text), **LARGE), str(file), *given)
    assert members(new) == {"m1", "m2", "m3"}
    sys.stderr.write(f"\nrestored on four new hosts, one member to three: {took:.0f} s\n")


def test_the_quorum_is_lost_for_good_and_the_data_of_the_member_that_is_left_is_enough(new: Cluster) -> None:
    """No backup is used. Killed when the member's data is being replaced, the restore resumes with what it gave out."""
    power_off(new, "m2", "m3")
    refused = new.run("backup", "-o", str(new.folder / "late.backup"))
    assert refused.returncode == 1
    assert "no member of etcd can give a snapshot" in refused.stderr
    text = roles(replace(new, text=new.inventory.read_text()), **SMALL)
    new.inventory.write_text(text)
    assert killed_at(new, FIRST_EVENT + 9, new.inventory, "@m1").returncode == -signal.SIGKILL
    again = new.run("apply", "--yes")
    assert again.returncode == 1
    assert "a restore from --from-member m1 did not finish; nothing was changed" in " ".join(again.stderr.split())
    took = restored(new, text, "--from-member", "m1")
    assert members(new) == {"m1"}
    sys.stderr.write(f"\nrestored from the one member that was left: {took:.0f} s\n")
