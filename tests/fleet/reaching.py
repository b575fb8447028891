"""Pods, a Service and its port as they reach each other on the lab: the same questions for every pod network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from k8s_installer.lab import network
from tests.fleet import nameserver
from tests.fleet.conftest import Cluster

OUTSIDE, ADDRESS = "mirror.example", "192.0.2.7"

# A pod on every node that says its name, behind a port of every node.
SITE = """\
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: site}}
spec:
  selector: {{matchLabels: {{app: site}}}}
  template:
    metadata: {{labels: {{app: site}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: web, image: "{image}", ports: [{{containerPort: 80}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: site}}
spec: {{type: NodePort, selector: {{app: site}}, ports: [{{port: 80, nodePort: 30080}}]}}
"""
# Inside a pod: the other pod, the Service again and again by its address, and its address by its name.
_ASK = """\
wget -q -O - http://{other}/
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do wget -q -O - http://{service}/; done
nslookup site.default.svc.cluster.local"""


@contextmanager
def outside(cluster: Cluster, lab: str) -> Iterator[None]:
    """The hosts of a lab have a name server, on their bridge, that knows the one name."""
    gateway = f"{cluster.addresses['m1'].rpartition('.')[0]}.1"
    program = [sys.executable, nameserver.__file__, gateway, OUTSIDE, ADDRESS]
    with subprocess.Popen([*network.entering(lab), *program]) as server:
        try:
            for host in cluster.addresses:
                cluster.on(host, f"echo nameserver {gateway} >/etc/resolv.conf")
            yield
        finally:
            server.terminate()


def with_dns(text: str, dns: str) -> str:
    """An inventory with this DNS in the cluster."""
    return text.replace("  pod_cidr:", f"  dns: {dns}\n  outside_name: {OUTSIDE}\n  pod_cidr:", 1)


def names_are_resolved(said: str) -> None:
    """Assert that a pod resolved names of the cluster and the one outside, by what `verify` said."""
    assert "✓ a pod has the cluster's DNS  nameserver 10.254.0.10, search k8s-installer-verify-" in said
    assert "✓ a pod resolves the name of a Service  web.k8s-installer-verify-" in said
    parts = [line.split("  ") for line in said.splitlines()]  # a check, what it saw, and its time
    answers = {part[0]: part[1] for part in parts if len(part) > 1}
    other = "kubernetes.default.svc.cluster.local is 10.254.0.1"
    assert answers["✓ a pod resolves the name of a Service in another namespace"] == other
    assert answers["✓ a pod resolves a name outside the cluster"] == f"{OUTSIDE} is {ADDRESS}"


def site(cluster: Cluster) -> str:
    """The manifest, with the lab's web server."""
    return SITE.format(image=image(cluster))


def image(cluster: Cluster) -> str:
    """The lab's web server."""
    return next(line.split()[-1] for line in cluster.text.splitlines() if line.startswith("  verify:"))


def everything_is_reached(cluster: Cluster, *, by_name: bool) -> None:
    """Assert that a pod of each of two nodes reaches the other's, the Service and its name, and a host each NodePort."""
    cluster.on("m1", "kubectl rollout status daemonset/site --timeout=60s")
    listed = json.loads(cluster.on("m1", "kubectl get pods -l app=site -o json"))["items"]
    pods = {pod["spec"]["nodeName"]: (pod["metadata"]["name"], pod["status"]["podIP"]) for pod in listed}
    service = cluster.on("m1", "kubectl get service site -o jsonpath='{.spec.clusterIP}'")
    names = {name for name, _ in pods.values()}
    assert len(names) == 2
    for here, there in (tuple(pods), tuple(reversed(pods))):
        script = _ASK.format(other=pods[there][1], service=service)
        inside = script if by_name else script.rpartition("\n")[0]
        first, *rest = cluster.on("m1", f"kubectl exec {pods[here][0]} -- sh -ec '{inside}'").splitlines()
        assert first == pods[there][0]
        assert set(rest[:12]) == names  # the pod itself among them
        if by_name:
            assert f"Address: {service}" in rest
        port = f"http://{cluster.addresses[here]}:30080/"
        assert cluster.on("m1", f"curl -sS -m 5 --noproxy '*' {port}").strip() in names
