"""The life of a cluster's masters and etcd members, edit after edit, while a client asks and writes all the time.

With TEST_ALL=1 alone (`make test-all`): it takes ten minutes. Of this `make test` has what `test_masters.py` does.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.client import Client
from tests.fleet.conftest import EVERY, Cluster, made_cluster, running_lab

pytestmark = [pytest.mark.fleet, pytest.mark.skipif(not EVERY, reason="takes ten minutes: make test-all")]

DATA = "/var/lib/etcd/default.etcd"
LIST = (
    "curl -s --cacert /etc/etcd/pki/ca.crt --cert /etc/etcd/pki/healthcheck.crt --key /etc/etcd/pki/healthcheck.key "
    "-d '{}' https://127.0.0.1:2379/v3beta/cluster/member/list"
)
ADDON = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: kept, namespace: kube-system}}\ndata: {{edit: {}}}\n"
REPLACED = ", components: {etcd: {args: {initial-cluster-state: existing}}}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One etcd member, two masters and a node; three more hosts are bare, and not in the inventory."""
    with running_lab("tmembers", "--masters", "3", "--nodes", "3") as lab:
        bare = made_cluster(lab, tmp_path_factory.mktemp("members"))
        addon(bare, "first")
        done = bare.run("apply", "--yes", text=roles(bare, m1="etcd, master", m2="master", n1="node"))
        assert done.returncode == 0, done.stderr
        yield bare


def addon(cluster: Cluster, edit: str) -> None:
    folder = cluster.folder / "addons"
    folder.mkdir(exist_ok=True)
    (folder / "kept.yaml").write_text(ADDON.format(edit))


def roles(cluster: Cluster, **hosts: str) -> str:
    """The inventory with these hosts alone; of each its roles, and what else its entry has."""
    before, _, after = cluster.text.partition("\nhosts:\n")
    rest = re.sub(r"(?m)^  [mn]\d: .*\n", "", after)
    entries = (
        f"  {name}: {{address: {cluster.addresses[name]}, roles: [{its.partition(';')[0]}]{its.partition(';')[2]}}}\n"
        for name, its in hosts.items()
    )
    return f"{before}\nhosts:\n{''.join(entries)}{rest}"


def edit(cluster: Cluster, client: Client, what: str, *masters: str, **hosts: str) -> None:
    """Apply an inventory, and see what the client noticed meanwhile; then there is nothing left to change."""
    text, began = roles(cluster, **hosts), time.monotonic()
    noticing = Client(client.pki, {name: cluster.addresses[name] for name in masters})
    noticing.prefix = re.sub("[^a-z0-9]", "-", what)
    with noticing.working():
        done = cluster.run("apply", "--yes", "--no-verify", text=text)
        took = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr
    sys.stderr.write(f"\n{what}: {took:.0f} s; {noticing.words()}")
    client.written += noticing.written
    assert noticing.both_down() == []
    planned = cluster.run("plan", text=text)
    assert (planned.returncode, planned.stdout) == (0, "No changes: every host matches the inventory.\n"), (
        planned.stdout
    )
    wanted = {name for name, its in hosts.items() if "etcd" in its and "absent" not in its}
    for host in wanted:
        assert {member["name"] for member in json.loads(cluster.on(host, LIST))["members"]} == wanted
    for master in masters:
        assert set(client.written) <= noticing.there(master)


def gone(cluster: Cluster, host: str) -> None:
    """The host is off the network, at once and for good."""
    cluster.on(host, "nohup sh -c 'sleep 1; ip link set host0 down || ip link set eth0 down' >/dev/null 2>&1 &")
    time.sleep(3)


def test_members_and_masters_come_and_go_and_every_object_is_read_back(cluster: Cluster) -> None:
    (state,) = cluster.folder.glob(".k8s-installer/*")
    client = Client(Path(state) / "pki", {})
    master, both, node = "master", "etcd, master", "node"

    edit(cluster, client, "1 to 3 members", "m1", "m2", m1=both, m2=both, n1=node, n2="etcd")
    edit(cluster, client, "3 to 5 members", "m1", "m2", m1=both, m2=both, n1=node, n2="etcd", m3="etcd", n3="etcd")

    gone(cluster, "n3")
    edit(
        cluster, client, "a member's host is gone", "m1", "m2", m1=both, m2=both, n1="etcd, node", n2="etcd", m3="etcd"
    )

    cluster.on("n2", f"systemctl stop etcd && rm -rf {DATA}")
    lost = cluster.run("plan", text=roles(cluster, m1=both, m2=both, n1="etcd, node", n2="etcd", m3="etcd"))
    assert lost.returncode == 1
    assert "n2 has no data" in " ".join(lost.stderr.split())
    edit(
        cluster, client, "a member's disk is gone", "m1", "m2",
        m1=both, m2=both, n1="etcd, node", n2=f"etcd;{REPLACED}", m3="etcd",
    )  # fmt: skip
    edit(
        cluster, client, "5 to 3 members", "m1", "m2",
        m1=master, m2=both, n1="etcd, node", n2="etcd", m3="etcd;, state: absent",
    )  # fmt: skip

    edit(cluster, client, "a master more", "m1", "m2", m1=master, m2=both, m3=master, n1="etcd, node", n2="etcd")
    edit(
        cluster, client, "the first master leaves", "m2", "m3",
        m1=f"{master};, state: absent", m2=both, m3=master, n1="etcd, node", n2="etcd",
    )  # fmt: skip
    assert "first-master m2" in next(state.glob("allocations")).read_text()
    addon(cluster, "second")
    left = {"m2": both, "m3": master, "n1": "etcd, node", "n2": "etcd"}
    done = cluster.run("apply", "--yes", text=roles(cluster, **left))  # with pods
    assert done.returncode == 0, done.stderr
    assert cluster.on("m3", "kubectl get configmap -n kube-system kept -o jsonpath={.data.edit}") == "second"

    gone(cluster, "m2")
    cluster.on("m1", f"rm -rf {DATA}")
    edit(cluster, client, "a master's host is gone", "m3", m1=both, m3=master, n1="etcd, node", n2="etcd")
    done = cluster.run("verify", text=roles(cluster, m1=both, m3=master, n1="etcd, node", n2="etcd"))
    assert done.returncode == 0, done.stderr
    sys.stderr.write(f"\n{len(client.written)} objects written and read back\n")
