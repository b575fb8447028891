"""A small desired state, by hand: one master and one node, enough to see every kind of change."""

from __future__ import annotations

from k8s_installer.model.desired import Desired, DesiredResource
from k8s_installer.model.resources import Check, File, Gate, Kind, Package, Ref, Resource, Unit
from tests.fakes import FakeHost

CONFIG = "/etc/kubernetes/config"
DROP_IN = "/etc/systemd/system/kubelet.service.d/10-installer.conf"
KEY = "/etc/kubernetes/pki/apiserver.key"
RESOURCES: list[tuple[str, Kind, str, Resource, list[tuple[str, Kind, str]]]] = [
    ("m1", Kind.PACKAGE, "kubernetes-master", Package("kubernetes-master", "1.20.2"), []),
    ("m1", Kind.FILE, CONFIG, File(b"KUBE_LOG_LEVEL=0\n"), [("m1", Kind.PACKAGE, "kubernetes-master")]),
    ("m1", Kind.FILE, KEY, File(b"key\n", 0o600, "kube", "kube", secret=True), [("m1", Kind.PACKAGE, "kubernetes-master")]),
    ("m1", Kind.UNIT, "kube-apiserver", Unit("kube-apiserver", (), (CONFIG, KEY), ("kubernetes-master",)),
     [("m1", Kind.FILE, CONFIG), ("m1", Kind.FILE, KEY)]),
    ("m1", Kind.GATE, "kube-apiserver is ready", Gate("https://127.0.0.1:6443/readyz", Check.OK, "kube-apiserver"),
     [("m1", Kind.UNIT, "kube-apiserver")]),
    ("n1", Kind.PACKAGE, "kubernetes-node", Package("kubernetes-node"), []),
    ("n1", Kind.FILE, DROP_IN, File(b"[Service]\n"), [("n1", Kind.PACKAGE, "kubernetes-node")]),
    ("n1", Kind.UNIT, "kubelet", Unit("kubelet", (DROP_IN,), (), ("kubernetes-node",)),
     [("n1", Kind.FILE, DROP_IN), ("m1", Kind.GATE, "kube-apiserver is ready")]),
    ("m1", Kind.GATE, "node n1 is ready",
     Gate("https://127.0.0.1:6443/api/v1/nodes/n1", Check.NODE_READY, "kubelet", unit_host="n1", deadline=0.1),
     [("n1", Kind.UNIT, "kubelet")]),
]  # fmt: skip


def desired(**changed: Resource) -> Desired:
    """The example; a keyword replaces the resource of that name (`config=File(...)`, `drop_in=`, `key=`)."""
    names = {"config": CONFIG, "drop_in": DROP_IN, "key": KEY, "master": "kubernetes-master"}
    new = {names[key]: resource for key, resource in changed.items()}
    return {
        Ref(host, kind, name): DesiredResource(
            Ref(host, kind, name),
            new.get(name, resource),
            name,
            tuple(Ref(*before) for before in after),
            "it is an example",
        )
        for host, kind, name, resource, after in RESOURCES
    }


def hosts() -> dict[str, FakeHost]:
    """Bare hosts that the example can be applied to."""
    return {
        "m1": FakeHost("m1", brings={"kubernetes-master": ["kube", "kube-apiserver"]}),
        "n1": FakeHost("n1", brings={"kubernetes-node": ["kubelet"]}),
    }
