"""The cluster's DNS and the user's own manifests, with the real CoreDNS and kubectl, under a PodSecurityPolicy. In order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
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
# In the folder itself: rules are early by nature. By what it says of /etc/cni a kubelet may have a network plugin.
POLICY = """\
# for pods of a network, too, which write to /etc/cni/net.d
apiVersion: policy/v1beta1
kind: PodSecurityPolicy
metadata: {name: open}
spec:
  privileged: true
  volumes: ["*"]
  hostNetwork: true
  allowedCapabilities: ["*"]
  fsGroup: {rule: RunAsAny}
  runAsUser: {rule: RunAsAny}
  seLinux: {rule: RunAsAny}
  supplementalGroups: {rule: RunAsAny}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: psp-open}
rules: [{apiGroups: [policy], resources: [podsecuritypolicies], resourceNames: [open], verbs: [use]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: psp-open}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: psp-open}
subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: "system:serviceaccounts"}]
"""
# A docker that is busy takes up to a minute until it has ended pods, and begins others then.
TUNING = """\
  kube-apiserver: {args: {enable-admission-plugins: [NodeRestriction, PodSecurityPolicy]}}
  kubelet: {deadline: 180}
"""
# What stands for a network of one's own on n2: it installs its plugin and its configuration by a pod on every such node.
CNI = """\
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: cni, namespace: kube-system}}
spec:
  selector: {{matchLabels: {{app: cni}}}}
  template:
    metadata: {{labels: {{app: cni}}}}
    spec:
      hostNetwork: true
      nodeSelector: {{kubernetes.io/hostname: n2}}
      tolerations: [{{operator: Exists}}]
      terminationGracePeriodSeconds: 1
      containers:
      - name: cni
        image: "{image}"
        command:
        - sh
        - -ec
        - |
          echo '#!/bin/sh' >/opt/bin/lab
          echo "echo '{{\\"cniVersion\\": \\"0.3.1\\", \\"supportedVersions\\": [\\"0.3.1\\"]}}'" >>/opt/bin/lab
          chmod +x /opt/bin/lab
          echo '{{"cniVersion": "0.3.1", "name": "lab", "plugins": [{{"type": "lab"}}]}}' >/etc/net.d/10-lab.conflist
          exec sleep 100000
        volumeMounts: [{{name: bin, mountPath: /opt/bin}}, {{name: conf, mountPath: /etc/net.d}}]
      volumes:
      - {{name: bin, hostPath: {{path: /opt/cni/bin, type: DirectoryOrCreate}}}}
      - {{name: conf, hostPath: {{path: /etc/cni/net.d, type: DirectoryOrCreate}}}}
"""
NO_CHANGES = "No changes: every host matches the inventory.\n"


def wanted(cluster: Cluster, dns: str) -> str:
    return reaching.with_dns(cluster.text, dns)


def with_kubelet(cluster: Cluster, args: str) -> str:
    """The inventory, with flags of n2's kubelet."""
    text = wanted(cluster, "coredns")
    edited = re.sub(r"(  n2: .*)}\n", rf"\1, components: {{kubelet: {{args: {{{args}}}}}}}}}\n", text)
    assert edited != text
    return edited


def gave_up(cluster: Cluster, text: str | None, gate: str) -> tuple[list[str], float]:
    """What a run says of a gate that it gives up on, and how long it waited for it, in seconds."""
    done = cluster.run("apply", "--yes", "--no-verify", "--no-preflight", text=text)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    error = next(number for number, line in enumerate(lines) if line.endswith(f"gave up waiting until {gate}"))
    why, following, evidence = lines[error + 1 : error + 4]
    assert why.startswith("  why: ")
    assert following.startswith("  next: ")
    assert evidence.startswith("  evidence from ")
    own = [line.removeprefix("    ") for line in takewhile(lambda line: line.startswith("    "), lines[error + 4 :])]
    assert own[0].startswith("given up after "), own
    return own, float(own[0].split()[3])


def put(cluster: Cluster, name: str, text: str) -> Path:
    path = cluster.folder / "addons" / name
    path.parent.mkdir(parents=True, exist_ok=True)
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
        bare = replace(bare, text=bare.text.replace("\ncomponents:\n", f"\ncomponents:\n{TUNING}"))
        with reaching.outside(bare, LAB):
            put(bare, "00-policy.yaml", POLICY)
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


def test_a_policy_admits_the_first_pod_of_all(cluster: Cluster) -> None:
    """Where PodSecurityPolicy is in force no pod is made without one: the DNS's would wait for ever."""
    asked = "kubectl get pods -A -o jsonpath='{.items[*].metadata.annotations.kubernetes\\.io/psp}'"
    admitted = cluster.on("m1", asked).split()
    assert set(admitted) == {"open"}
    assert len(admitted) >= 4  # the DNS's, and the site's


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
    assert "Plan: 1 file to update, 1 addon to apply.\n" in done.stdout
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
    put(cluster, "20-colour.yml", COLOUR)
    assert changes(cluster) == []


def test_a_network_that_nodes_need_to_be_ready_comes_before_them(cluster: Cluster) -> None:
    path = put(cluster, "early/10-cni.yaml", CNI.format(image=reaching.image(cluster)))
    try:
        text = with_kubelet(cluster, "network-plugin: cni")
        order = changes(cluster, text)
        assert order.index(("m1", "set", "addon 10-cni.yaml")) < order.index(("n2", "restart", "kubelet"))
        done = cluster.run("apply", "--yes", "--no-verify", text=text)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "10-lab.conflist" in cluster.on("n2", "ls /etc/cni/net.d")
        assert "network-plugin=cni" in cluster.on(
            "n2", "tr '\\0' ' ' </proc/$(systemctl show -p MainPID kubelet | cut -d= -f2)/cmdline"
        )
    finally:
        path.unlink()
        done = cluster.run("apply", "--yes", "--no-verify")
        cluster.on("n2", "rm -rf /etc/cni /opt/cni")
    assert done.returncode == 0, done.stderr
    assert "cni" not in names(cluster, "daemonset")


def test_a_kubelet_that_does_not_take_its_flags_is_given_up_on_in_its_own_words(cluster: Cluster) -> None:
    text = with_kubelet(cluster, "client-ca-file: /nonexistent.crt")
    said, _ = gave_up(cluster, text, "kubelet is healthy")
    assert len(said) <= 25
    assert any("unable to load client CA file /nonexistent.crt" in line for line in said[1:]), said
    assert changes(cluster) == []  # it was rolled back


def test_a_node_whose_kubelet_comes_and_goes_is_given_up_on(cluster: Cluster) -> None:
    """The master is asked for the node, and the process that ends is on the node."""
    own = "/etc/systemd/system/kubelet.service.d/99-test.conf"
    ends = "[Service]\\nRuntimeMaxSec=8\\nRestartSec=1\\n"
    cluster.on("n2", f"printf '{ends}' >{own} && systemctl daemon-reload")
    try:
        # without a network it never is: what ends the waiting is that the process does
        said, seconds = gave_up(cluster, with_kubelet(cluster, "network-plugin: cni"), "node n2 is ready")
    finally:
        cluster.on("n2", f"rm {own} && systemctl daemon-reload && systemctl restart kubelet")
    assert seconds < 120
    assert said[1].startswith("kubelet on n2 has exited ")
    assert len(said) <= 25
    assert changes(cluster) == []


def test_a_dns_that_does_not_take_its_file_is_given_up_on_in_its_own_words(cluster: Cluster) -> None:
    own = cluster.folder / "templates/addons/corefile.j2"
    own.parent.mkdir(parents=True)
    own.write_text("    .:53 {\n        bogus\n    }\n")
    try:
        said, seconds = gave_up(cluster, None, "cluster DNS is ready")
    finally:
        own.unlink()
        done = cluster.run("apply", "--yes", "--no-verify")
    assert done.returncode == 0, done.stderr
    assert seconds < 120
    assert "it exited with code 1" in said[0], said
    assert any("Unknown directive 'bogus'" in line for line in said[1:]), said
    assert len(said) <= 25


def test_what_somebody_deleted_is_seen_and_made_again(cluster: Cluster) -> None:
    cluster.on("m1", "kubectl delete configmap colour")
    status = cluster.run("status")
    assert status.returncode == 3
    assert "some of its objects are missing" in status.stdout
    assert changes(cluster) == [("m1", "set", "addon 20-colour.yml")]
    cluster.on("m1", "kubectl delete secret word && kubectl create secret generic word --from-literal=word=other")
    done = cluster.run("apply", "--yes", "--no-verify")
    assert done.returncode == 0, done.stderr
    assert "some of its objects differ from what was applied" in done.stdout
    assert "xyzzy" not in done.stdout + done.stderr
    assert "colour" in names(cluster, "configmap")
    assert cluster.on("m1", "kubectl get secret word -o jsonpath='{.data.word}' | base64 -d") == "xyzzy"


def test_what_the_api_refuses_fails_in_its_words_and_the_next_run_goes_on(cluster: Cluster) -> None:
    path = put(cluster, "40-late.yaml", COLOUR)
    done = cluster.run("apply", "--yes", "--no-verify")
    assert done.returncode == 2
    assert f"{path}:1: ConfigMap colour appears twice (first in 20-colour.yml:1)" in done.stderr
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
    assert "remove addons  (20-colour.yml, 40-late.yaml: no longer wanted)" in done.stdout
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
