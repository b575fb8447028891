"""What is wanted in the cluster itself, once it is healthy: its DNS, and the manifests of the user's folder. Pure.

Each addon is two things on the first master: the manifest as a file, and a setting that says that just this was
applied. They stand in a row, each after the one before it and all after every gate. What was applied and is wanted
no more goes first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from k8s_installer.desired.context import header
from k8s_installer.desired.files import Source
from k8s_installer.desired.model import Turn, Wanted
from k8s_installer.inventory import Addon, Host
from k8s_installer.inventory.addons import DNS
from k8s_installer.profiles import DnsSpec
from k8s_installer.resources import Check, File, Gate, Kind, Ref, Setting

COMPONENT = "addons"
FOLDER = "/etc/kubernetes/addons"
GATE = "cluster DNS is ready"
_EVIDENCE = "kube-controller-manager"  # makes the pods, and says why it cannot
_REVISION = 12  # digits of a sum that make a label


def addons(source: Source, master: Host, healthy: Iterable[Ref]) -> Iterator[Wanted]:
    """The addons of a cluster.

    Args:
        source: what files are made from.
        master: the first master, where they are applied.
        healthy: the gates that say that the cluster is healthy.
    """
    cluster, turn = source.cluster, Turn(COMPONENT, master.name)
    after = tuple(healthy)
    spec = source.profile.dns.get(cluster.dns)
    dns = [_dns(source, spec)] if spec else []
    manifests = [*(Addon(DNS, content) for content, _ in dns), *cluster.addons]
    names = Ref(master.name, Kind.SETTING, "addons")
    because = "What was applied and is wanted no more is taken out of the cluster."
    yield Wanted(names, Setting(",".join(addon.name for addon in manifests) or "none"), COMPONENT, after, because, turn)
    after = (names,)
    for addon in manifests:
        file = File(addon.content, 0o600 if addon.secret else 0o644, secret=addon.secret)
        path = Ref(master.name, Kind.FILE, f"{FOLDER}/{addon.name}")
        because = "The cluster's DNS." if addon.name == DNS else "A manifest of the inventory's folder `addons`."
        yield Wanted(path, file, COMPONENT, after, because, turn)
        setting = Ref(master.name, Kind.SETTING, f"addon {addon.name}")
        because = "Its objects are in the cluster as the manifest says; by its sum they are known."
        yield Wanted(setting, Setting(file.sha256), COMPONENT, (path,), because, turn)
        after = (setting,)
        if spec and addon.name == DNS:
            gate = Ref(master.name, Kind.GATE, GATE)
            because = "Addons that follow may need names, and so does every pod."
            yield Wanted(gate, _gate(source, spec, dns[0][1]), COMPONENT, after, because, turn)
            after = (gate,)


def _dns(source: Source, spec: DnsSpec) -> tuple[bytes, str]:
    """The manifest, and its revision: a sum over all of it, so that its pods are others when anything in it is."""
    names = {
        **source.context,
        "images": {**spec.images, **source.cluster.images.dns},
        "header": header(spec.template, source.cluster.name, source.profile.version),
        "revision": "",
    }
    text = source.renderer.file(spec.template, names, source.cluster.name)
    revision = hashlib.sha256(text).hexdigest()[:_REVISION]
    return source.renderer.file(spec.template, {**names, "revision": revision}, source.cluster.name), revision


def _gate(source: Source, spec: DnsSpec, revision: str) -> Gate:
    asked = spec.insecure if source.cluster.security == "insecure" and spec.insecure is not None else spec.tls
    names = {**source.context, "revision": revision}
    url = source.renderer.text(asked.url, names, source.cluster.name, where="the gate of cluster.dns")
    return Gate(url, Check.POD_READY, _EVIDENCE, ca=asked.ca, cert=asked.cert, key=asked.key, deadline=spec.deadline)
