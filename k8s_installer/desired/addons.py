"""What is wanted in the cluster itself: what its nodes and pods need, its DNS, and the user's manifests. Pure.

Each addon is two things on the first master: the manifest as a file, and a setting that says that just this was
applied. They stand in a row, each after the one before it. What was applied and is no longer wanted goes first. The
early ones come as soon as the first master works, before the nodes start: the profile's own, and those of the
inventory that nodes and pods may need. All others come after every gate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from k8s_installer.desired.context import header
from k8s_installer.desired.files import Source
from k8s_installer.host.paths import ADDONS
from k8s_installer.inventory import Addon, Host, Role
from k8s_installer.inventory.addons import DNS
from k8s_installer.model.desired import Ahead, DesiredResource, Turn
from k8s_installer.model.resources import Check, File, Gate, Kind, Ref, Setting
from k8s_installer.profiles import DnsSpec, images
from k8s_installer.profiles.schema import endpoint

COMPONENT = "addons"
GATE = "cluster DNS is ready"
_API = "kube-apiserver"
_EVIDENCE = "kube-controller-manager"  # makes the pods, and says why it cannot
_REVISION = 12  # digits of a sum that make a label
_DNS_WHY = "The cluster's DNS."
_OWN_WHY = "A manifest of the inventory's folder `addons`."

_Row = Sequence[tuple[Addon, str]]  # manifests in their order, each with the reason for it


def before_nodes(source: Source, master: Host) -> tuple[Ref, ...]:
    """What a node that needs the early addons comes after: the last of them, if there are any."""
    early = _early(source)
    return (_setting(master, early[-1][0]),) if early else ()


def addons(source: Source, master: Host, ready: Iterable[Ref], healthy: Iterable[Ref]) -> Iterator[DesiredResource]:
    """The addons of a cluster.

    Args:
        source: what files are made from.
        master: the first master, where they are applied.
        ready: what says that the programs of the first master work.
        healthy: the gates that say that the cluster is healthy.
    """
    cluster, turn = source.cluster, Turn(COMPONENT, master.name)
    spec = source.profile.dns.get(cluster.dns)
    dns = [_dns(source, spec)] if spec else []
    early, late = _early(source), [(addon, _OWN_WHY) for addon in cluster.addons if not addon.early]
    everything = [*early, *((Addon(DNS, content), _DNS_WHY) for content, _ in dns), *late]
    names = Ref(master.name, Kind.SETTING, "addons")
    because = "Removes from the cluster what was applied and is no longer wanted."
    value = Setting(",".join(addon.name for addon, _ in everything) or "none")
    yield DesiredResource(names, value, COMPONENT, tuple(ready), because, turn)
    after: tuple[Ref, ...] = (names,)
    for addon, because in early:
        ahead = _ahead(source, master, addon)
        yield from _applied(addon, because, master, after, ahead)
        # what goes ahead may not wait for the first of the row: what follows it does
        after = (*((names,) if ahead else ()), _setting(master, addon))
    after = (*after, *healthy)
    if spec:
        addon = Addon(DNS, dns[0][0])
        yield from _applied(addon, _DNS_WHY, master, after)
        gate = Ref(master.name, Kind.GATE, GATE)
        because = "Later addons may need names, and every pod does."
        yield DesiredResource(
            gate, _gate(source, spec, dns[0][1]), COMPONENT, (_setting(master, addon),), because, turn
        )
        after = (gate,)
    for addon, because in late:
        yield from _applied(addon, because, master, after)
        after = (_setting(master, addon),)


def _early(source: Source) -> _Row:
    packaged = [
        (Addon(name, _rendered(source, spec.template, {})), spec.why) for name, spec in source.profile.addons.items()
    ]
    return [*packaged, *((addon, _OWN_WHY) for addon in source.cluster.addons if addon.early)]


def _ahead(source: Source, master: Host, addon: Addon) -> Ahead | None:
    """The files of masters that rely on an addon of the profile, which it is ahead of where the API runs already."""
    spec = source.profile.addons.get(addon.name)
    if spec is None or not spec.before:
        return None
    files = tuple(
        Ref(host.name, Kind.FILE, path)
        for host in source.cluster.having(Role.MASTER)
        for component in source.profile.components.values()
        for path, file in component.files.items()
        if file.pki in spec.before
    )
    return Ahead(Ref(master.name, Kind.UNIT, _API), Ref(master.name, Kind.FILE, f"{ADDONS}/{addon.name}"), files)


def _applied(
    addon: Addon, because: str, master: Host, after: tuple[Ref, ...], ahead: Ahead | None = None
) -> Iterator[DesiredResource]:
    """The file of an addon, and the setting that it is applied."""
    turn = Turn(COMPONENT, master.name)
    file = File(addon.content, 0o600 if addon.secret else 0o644, secret=addon.secret)
    path = Ref(master.name, Kind.FILE, f"{ADDONS}/{addon.name}")
    yield DesiredResource(path, file, COMPONENT, after, because, turn)
    because = "Keeps the cluster's objects as in the manifest; they carry its checksum."
    yield DesiredResource(_setting(master, addon), Setting(file.sha256), COMPONENT, (path,), because, turn, ahead=ahead)


def _setting(master: Host, addon: Addon) -> Ref:
    return Ref(master.name, Kind.SETTING, f"addon {addon.name}")


def _rendered(source: Source, template: str, more: Mapping[str, object]) -> bytes:
    whom = source.cluster.name
    names = {**source.context, "header": header(template, whom, source.profile.version), **more}
    return source.renderer.file(template, names, whom)


def _dns(source: Source, spec: DnsSpec) -> tuple[bytes, str]:
    """The manifest, and its revision: a sum over all of it, so that its pods are others when anything in it is."""
    params = images.variant(source.cluster, spec) or {}
    names = {"images": images.of_dns(source.cluster, spec), "params": params, "revision": ""}
    revision = hashlib.sha256(_rendered(source, spec.template, names)).hexdigest()[:_REVISION]
    return _rendered(source, spec.template, {**names, "revision": revision}), revision


def _gate(source: Source, spec: DnsSpec, revision: str) -> Gate:
    asked = endpoint(spec, source.cluster)
    names = {**source.context, "revision": revision}
    url = source.renderer.text(asked.url, names, source.cluster.name, where="the gate of cluster.dns")
    return Gate(url, Check.POD_READY, _EVIDENCE, ca=asked.ca, cert=asked.cert, key=asked.key, deadline=spec.deadline)
