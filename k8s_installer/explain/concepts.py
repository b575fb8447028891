"""A word of Kubernetes or of this installer: what it means, and what this cluster has of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from k8s_installer.desired.ports import node_ports
from k8s_installer.explain.known import Known
from k8s_installer.explain.texts import Text
from k8s_installer.inventory import Role
from k8s_installer.model.groups import GROUPS
from k8s_installer.model.resources import Gate, Unit


@dataclass(frozen=True, slots=True)
class Concept:
    """A word: its text, and facts of the cluster as pairs of a label and what it is."""

    name: str
    text: Text
    here: tuple[tuple[str, str], ...] = ()


def explained(text: Text, name: str, known: Known | None) -> Concept:
    """A concept, with what the cluster has of it, if there is one."""
    facts = _HERE.get(name) if known is not None else None
    return Concept(name, text, tuple(facts(known)) if facts is not None and known is not None else ())


Facts = Iterator[tuple[str, str]]


def _cluster(known: Known) -> Facts:
    cluster = known.cluster
    yield "name", cluster.name
    yield "version", cluster.version
    for role in Role:
        yield f"{role} hosts", ", ".join(host.name for host in cluster.having(role)) or "none"
    yield "security", cluster.security
    yield "network", cluster.network


def _nodes(known: Known) -> Facts:
    for host in known.cluster.having(Role.NODE):
        subnet = f", pods in {host.pod_subnet}" if host.pod_subnet else ""
        yield host.name, f"{host.address}{subnet}"


def _masters(known: Known) -> Facts:
    first = known.topology.first_master
    for host in known.cluster.having(Role.MASTER):
        words = ", the first master: addons are applied here" if host.name == first.name else ""
        yield host.name, f"{host.address}{words}"
    for host in known.cluster.having(Role.NODE)[:1]:
        yield "nodes reach the API at", known.cluster.api_endpoint(host, first)


def _pods(known: Known) -> Facts:
    yield "pod network", f"{known.cluster.pod_cidr} (network: {known.cluster.network})"
    for host in known.cluster.having(Role.NODE):
        if host.pod_subnet:
            yield f"pods of {host.name}", str(host.pod_subnet)
    yield "pause image", str(known.source.context["pause_image"])


def _services(known: Known) -> Facts:
    yield "addresses of Services", str(known.cluster.service_cidr)
    yield "the API itself", f"{known.cluster.service_address} (Service kubernetes)"
    yield "ports of NodePort Services", "{}-{}".format(*node_ports(known.cluster))


def _dns(known: Known) -> Facts:
    cluster = known.cluster
    yield "program", cluster.dns
    if cluster.dns != "none":
        yield "address", cluster.dns_address
        yield "domain", cluster.dns_domain


def _labels(known: Known) -> Facts:
    for host in known.cluster.having(Role.NODE):
        labels = ", ".join(f"{key}={value}" for key, value in host.node.labels.items())
        yield f"labels of {host.name}", labels or "none from the inventory"


def _certificates(known: Known) -> Facts:
    issued = known.issued
    if not issued:
        yield "certificates", "none: the cluster is insecure"
    for issuer in dict.fromkeys(leaf.issuer for leaf in issued.values()):
        names = [name for name, leaf in issued.items() if leaf.issuer == issuer]
        yield f"issued by {issuer}", ", ".join(names)


def _kubeconfigs(known: Known) -> Facts:
    paths = {
        path: None
        for host in known.cluster.hosts
        for specs in known.layout(host).files.values()
        for path, spec in specs.items()
        if spec.template == "kubernetes/kubeconfig.j2"
    }
    for path in paths:
        yield path, "on " + ", ".join(host for host, _, _ in known.files(path))


def _units(known: Known) -> Facts:
    hosts: dict[str, list[str]] = {}
    for ref, item in known.desired.items():
        if isinstance(item.resource, Unit):
            hosts.setdefault(ref.name, []).append(ref.host)
    yield from ((name, f"on {', '.join(names)}") for name, names in hosts.items())


def _gates(known: Known) -> Facts:
    for ref, item in known.desired.items():
        if isinstance(item.resource, Gate):
            yield f"{ref.name} (asked on {ref.host})", item.because


def _turns(known: Known) -> Facts:
    members: dict[str, dict[str, None]] = {name: {} for name in GROUPS}
    for item in known.desired.values():
        if item.turn.group in members:
            members[item.turn.group][item.turn.member] = None
    for name, hosts in members.items():
        if hosts:
            at_once = GROUPS[name].at_once
            yield name, f"{', '.join(hosts)}: {f'{at_once} at once' if at_once else 'a quarter at once (--batch)'}"


_HERE: Mapping[str, Callable[[Known], Facts]] = {
    "cluster": _cluster,
    "node": _nodes,
    "master": _masters,
    "pod": _pods,
    "service": _services,
    "dns": _dns,
    "label": _labels,
    "certificate": _certificates,
    "kubeconfig": _kubeconfigs,
    "unit": _units,
    "gate": _gates,
    "turn": _turns,
}
