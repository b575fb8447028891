"""Lost keys on a real cluster: a second clone is refused and nothing changes; its hosts give the keys back."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fleet.conftest import Cluster
from tests.fleet.reaching import image

pytestmark = pytest.mark.fleet

SUMS = "find /etc/kubernetes /etc/etcd -type f -exec sha256sum {} + | sort"


def test_a_second_clone_is_refused_and_gets_its_keys_from_the_hosts(cluster: Cluster, tmp_path: Path) -> None:
    clone = replace(cluster, folder=tmp_path)
    clone.inventory.write_text(cluster.text)
    before = {host: cluster.on(host, SUMS) for host in cluster.addresses}
    processes = cluster.processes()
    for command in (("plan",), ("apply", "--yes")):
        done = clone.run(*command)
        assert done.returncode == 1, done.stderr
        assert "the hosts run with keys that are not on this machine; nothing was changed" in done.stderr
        assert "ca.crt, as /etc/kubernetes/pki/ca.crt" in done.stderr
        assert "on m1, n1, n2" in done.stderr
        assert "k8s-installer keys recover" in done.stderr
    shown = clone.run("status")
    assert shown.returncode == 3, shown.stderr
    assert "the hosts run with keys that are not on this machine" in shown.stderr
    pki = next(iter((tmp_path / ".k8s-installer").iterdir())) / "pki"  # beside seen.json and the journal
    assert not pki.exists()
    assert {host: cluster.on(host, SUMS) for host in cluster.addresses} == before
    assert cluster.processes() == processes

    done = clone.run("keys recover")
    assert done.returncode == 0, done.stderr
    assert "BEGIN" not in done.stdout + done.stderr
    assert "no host has etcd-ca.key, etcd-peer-ca.key, front-proxy-ca.key" in done.stderr
    own = next(path for path in (cluster.folder / ".k8s-installer").iterdir() if (path / "pki").is_dir()) / "pki"
    for path in pki.rglob("*.*"):
        if path.suffix in {".crt", ".key", ".pub"}:
            assert path.read_bytes() == (own / path.relative_to(pki)).read_bytes(), path
    planned = clone.run("plan")
    assert (planned.returncode, planned.stdout) == (0, "No changes: every host matches the inventory.\n"), (
        planned.stderr
    )

    shutil.rmtree(tmp_path / ".k8s-installer")
    file = "/etc/kubernetes/pki/kubelet.crt"
    cluster.on("n1", f"cp -a {file} /root/kept && echo odd >{file}")
    try:
        done = clone.run("keys recover")
    finally:
        cluster.on("n1", f"mv /root/kept {file}")
    assert done.returncode == 0, done.stderr
    assert "n1/kubelet.crt of n1 is left out: it contains no PEM certificate" in done.stderr
    assert (pki / "n2/kubelet.crt").exists()
    assert clone.run("keys recover").stdout.split() == ["n1/kubelet.crt", "from", "n1", "n1/kubelet.key", "from", "n1"]
    assert clone.run("plan").returncode == 0

    (pki / "encryption.key").unlink()
    lost = clone.run("plan")
    assert lost.returncode == 2
    assert "keys of the cluster are missing on this machine" in lost.stderr
    assert clone.run("keys recover").returncode == 0
    assert clone.run("plan").returncode == 0
    shutil.rmtree(tmp_path / ".k8s-installer")


def test_a_renamed_cluster_is_told_its_name(cluster: Cluster) -> None:
    (name,) = re.findall(r'^  name: "(.+)"$', cluster.text, re.MULTILINE)
    done = cluster.run("plan", text=cluster.text.replace(f'name: "{name}"', f'name: "{name}-2"'))
    assert done.returncode == 1, done.stderr
    assert f"cluster {name} is installed on m1, n1, n2, as the record there says; nothing was changed" in done.stderr
    assert f"if you edited the name: change it back to {name}" in done.stderr


def test_the_apiserver_may_ask_kubelets_and_nothing_else(cluster: Cluster) -> None:
    cluster.on("m1", f"kubectl run asked --image={image(cluster)} --restart=Never --image-pull-policy=IfNotPresent")
    try:
        cluster.on("m1", "kubectl wait --for=condition=Ready --timeout=60s pod/asked")
        assert cluster.on("m1", "kubectl exec asked -- echo inside") == "inside\n"
        cluster.on("m1", "kubectl logs asked")
        pki = "/etc/kubernetes/pki"
        ask = (
            f"kubectl --kubeconfig /dev/null --server https://127.0.0.1:6443 --certificate-authority {pki}/ca.crt "
            f"--client-certificate {pki}/apiserver-kubelet-client.crt --client-key {pki}/apiserver-kubelet-client.key "
        )
        assert cluster.on("m1", f"{ask} auth can-i get nodes/proxy || true").strip() == "yes"
        assert cluster.on("m1", f"{ask} auth can-i get secrets || true").strip() == "no"
    finally:
        cluster.on("m1", "kubectl delete pod asked --now")
