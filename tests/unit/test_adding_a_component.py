"""The steps of docs/adding-a-component.md, done as they stand there, and what hosts would get of them."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from k8s_installer import pki
from k8s_installer.flows import resolve
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import File, Gate, Kind, Package, Ref, Unit
from tests.unit.guide import follow

NAME, FLAGS = "api-gateway", "/etc/sysconfig/api-gateway"
UNIT, KEY = "/etc/systemd/system/api-gateway.service", "/etc/api-gateway/health.key"


def test_a_component_is_added_by_the_steps_of_the_guide(tmp_path: Path) -> None:
    said = follow("adding-a-component.md", tmp_path)
    flags = "--listen-addr=127.0.0.1:6444 --endpoints=10.77.0.11:6443,10.77.0.12:6443,10.77.0.13:6443 --retry-delay"
    assert said.splitlines() == [
        "cluster.yaml: valid: Kubernetes 1.20.2 on 5 hosts (profile 1.20.2)",
        f'rendered/n1{FLAGS}:GATEWAY_ARGS="{flags}=10s"',
        f'rendered/n2{FLAGS}:GATEWAY_ARGS="{flags}=5s"',
        "rendered/n1/etc/kubernetes/kubelet.kubeconfig:    server: https://127.0.0.1:6444",
        "rendered/n2/etc/kubernetes/kubelet.kubeconfig:    server: https://127.0.0.1:6444",
        "rendered/m1/etc/kubernetes/scheduler.kubeconfig:    server: https://10.77.0.11:6443",
        "rendered/m2/etc/kubernetes/scheduler.kubeconfig:    server: https://10.77.0.12:6443",
        "rendered/m3/etc/kubernetes/scheduler.kubeconfig:    server: https://10.77.0.13:6443",
    ]
    wanted = resolve.resolve(tmp_path / "cluster.yaml", None, resolve.real_keys)
    assert_complete(wanted.desired)
    assert_certified(wanted.keys, wanted.desired)


def assert_complete(wanted: Desired) -> None:
    """Every part of it is there on nodes, in its order, and none of it on masters."""
    mine = {ref: item for ref, item in wanted.items() if item.component == NAME}
    assert {ref.host for ref in mine} == {"n1", "n2"}
    unit, gate = Ref("n1", Kind.UNIT, NAME), Ref("n1", Kind.GATE, "the API answers through the gateway")
    assert mine[Ref("n1", Kind.PACKAGE, "etcd")].resource == Package("etcd")
    assert mine[unit].resource == Unit(NAME, (UNIT,), (FLAGS,), ("etcd",))
    assert {Ref(master, Kind.GATE, "kube-apiserver is ready") for master in ("m1", "m2", "m3")} < {*mine[unit].after}
    assert isinstance(asked := mine[gate].resource, Gate)
    assert (asked.url, asked.key) == ("https://127.0.0.1:6444/healthz", KEY)
    assert {Ref("n1", Kind.FILE, KEY), unit} < {*mine[gate].after}
    assert gate in wanted[Ref("n1", Kind.UNIT, "kubelet")].after
    assert mine[unit].turn == wanted[Ref("n1", Kind.UNIT, "kubelet")].turn


def assert_certified(keys: pki.Pki, wanted: Desired) -> None:
    """Its certificate is one that the masters know, and only root reads its key."""
    file = wanted[Ref("n1", Kind.FILE, KEY)].resource
    assert isinstance(file, File)
    assert (file.mode, file.owner, file.secret) == (0o600, "root", True)
    assert file.content == keys["api-gateway.key"]
    certificate = x509.load_pem_x509_certificate(keys["api-gateway.crt"])
    assert certificate.subject.rfc4514_string() == "CN=api-gateway"
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(keys["ca.crt"]))
