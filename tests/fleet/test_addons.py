"""The cluster's DNS and the user's own manifests, with the real CoreDNS and kubectl. In order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fleet import reaching
from tests.fleet.conftest import Cluster, made_cluster, running_lab

pytestmark = pytest.mark.fleet

LAB = "taddons"
COLOUR = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: colour}
data: {is: red}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: shape}
"""
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "word"}, "stringData": {"word": "xyzzy"}}
NO_CHANGES = "No changes: every host is what the inventory says.\n"


def wanted(cluster: Cluster, dns: str) -> str:
    return reaching.with_dns(cluster.text, dns)


def put(cluster: Cluster, name: str, text: str) -> Path:
    path = cluster.folder / "addons" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def changes(cluster: Cluster, text: str | None = None) -> list[tuple[str, str, str]]:
    done = cluster.run("plan", "-o", "json", text=text)
    assert done.returncode in (0, 3), done.stderr
    return [(change["host"], change["action"], change["name"]) for change in json.loads(done.stdout)["changes"]]


def names(cluster: Cluster, what: str) -> list[str]:
    found = cluster.on("m1", f"kubectl get -A {what} -o name --ignore-not-found")
    return [line.rpartition("/")[2] for line in found.splitlines()]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_lab(LAB, "--masters", "1", "--nodes", "2") as lab:
        bare = made_cluster(lab, tmp_path_factory.mktemp("addons"))
        with reaching.outside(bare, LAB):
            put(bare, "10-site.yaml", reaching.site(bare))
            put(bare, "20-colour.yml", COLOUR)
            put(bare, "30-word.json", json.dumps(SECRET))
            bare.inventory.write_text(wanted(bare, "coredns"))
            yield replace(bare, bootstrap=bare.run("apply", "--yes"))


def test_names_inside_and_outside_the_cluster_resolve_from_a_pod_when_it_is_there(cluster: Cluster) -> None:
    done = cluster.bootstrap
    assert done is not None
    assert done.returncode == 0, done.stdout + done.stderr
    reaching.names_are_resolved(done.stderr)
    assert "xyzzy" not in done.stdout + done.stderr


def test_a_second_run_changes_nothing(cluster: Cluster) -> None:
    before = cluster.processes()
    done = cluster.run("apply", "--yes", "--no-verify")
    assert (done.returncode, done.stdout) == (0, NO_CHANGES), done.stderr
    assert cluster.processes() == before


def test_pods_reach_each_other_across_nodes_and_the_service_has_an_address_a_port_and_a_name(cluster: Cluster) -> None:
    reaching.everything_is_reached(cluster, by_name=True)


def test_an_edit_is_shown_and_applied_alone_what_is_named_no_more_goes_and_all_comes_back(cluster: Cluster) -> None:
    put(cluster, "20-colour.yml", COLOUR.partition("---\n")[0].replace("red", "green"))
    before = cluster.processes()
    done = cluster.run("apply", "--yes", "--no-verify")
    assert done.returncode == 0, done.stderr
    assert "-data: {is: red}" in done.stdout
    assert "+data: {is: green}" in done.stdout
    assert "Plan: 1 file to update, 1 setting to change.\n" in done.stdout
    assert cluster.on("m1", "kubectl get configmap colour -o jsonpath='{.data.is}'") == "green"
    assert "shape" not in names(cluster, "configmap")
    done = cluster.run("rollback", "--yes")
    assert done.returncode == 0, done.stderr
    assert cluster.on("m1", "kubectl get configmap colour -o jsonpath='{.data.is}'") == "red"
    assert "shape" in names(cluster, "configmap")
    assert cluster.processes() == before
    assert changes(cluster) == [
        ("m1", "update", "/etc/kubernetes/addons/20-colour.yml"),
        ("m1", "set", "addon 20-colour.yml"),
    ]


def test_what_somebody_deleted_is_seen_and_made_again(cluster: Cluster) -> None:
    put(cluster, "20-colour.yml", COLOUR)
    cluster.on("m1", "kubectl delete configmap colour")
    status = cluster.run("status")
    assert status.returncode == 3
    assert "objects of it are missing" in status.stdout
    assert changes(cluster) == [("m1", "set", "addon 20-colour.yml")]
    cluster.on("m1", "kubectl delete secret word && kubectl create secret generic word --from-literal=word=other")
    done = cluster.run("apply", "--yes", "--no-verify")
    assert done.returncode == 0, done.stderr
    assert "objects of it are not as they were applied" in done.stdout
    assert "xyzzy" not in done.stdout + done.stderr
    assert "colour" in names(cluster, "configmap")
    assert cluster.on("m1", "kubectl get secret word -o jsonpath='{.data.word}' | base64 -d") == "xyzzy"


def test_what_the_api_refuses_fails_in_its_words_and_the_next_run_goes_on(cluster: Cluster) -> None:
    path = put(cluster, "40-late.yaml", COLOUR)
    done = cluster.run("apply", "--yes", "--no-verify")
    assert done.returncode == 2
    assert f"{path}:1: ConfigMap colour stands twice (first in 20-colour.yml:1)" in done.stderr
    path.write_text(COLOUR.replace("colour", "late").replace("{name: shape}", "{name: Not_A_Name}"))
    before = cluster.processes()
    done = cluster.run("apply", "--yes", "--no-verify")
    assert done.returncode == 1
    assert 'The ConfigMap "Not_A_Name" is invalid: metadata.name' in done.stderr
    assert cluster.processes() == before
    path.write_text(COLOUR.partition("---\n")[0].replace("colour", "early"))
    assert cluster.run("apply", "--yes", "--no-verify").returncode == 0
    assert "early" in names(cluster, "configmap")
    assert "late" not in names(cluster, "configmap")  # the run that failed had made it


def test_a_file_that_leaves_the_folder_leaves_the_cluster(cluster: Cluster) -> None:
    (cluster.folder / "addons/20-colour.yml").unlink()
    (cluster.folder / "addons/40-late.yaml").unlink()
    done = cluster.run("apply", "--yes", "--no-verify")
    assert done.returncode == 0, done.stderr
    assert "take out addons  (20-colour.yml, 40-late.yaml: no longer wanted)" in done.stdout
    assert "Plan: 1 setting to change.\n" in done.stdout
    assert not {"colour", "early"} & set(names(cluster, "configmap"))
    assert "site" in names(cluster, "daemonset")
    assert "20-colour.yml" not in cluster.on("m1", "ls /etc/kubernetes/addons")
    assert changes(cluster) == []


def test_without_a_dns_its_pods_and_the_kubelets_settings_go(cluster: Cluster) -> None:
    assert "clusterDNS" in cluster.on("n1", "cat /etc/kubernetes/kubelet.yaml")
    text = wanted(cluster, "none")
    done = cluster.run("apply", "--yes", text=text)
    assert done.returncode == 0, done.stderr
    assert "coredns" not in names(cluster, "deployment,serviceaccount,configmap,clusterrole")
    assert "kube-dns" not in names(cluster, "service")
    for node in ("n1", "n2"):
        assert "clusterDNS" not in cluster.on(node, "cat /etc/kubernetes/kubelet.yaml")
    assert changes(cluster, text) == []
