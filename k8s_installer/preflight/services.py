"""Ports on which hosts reach each other, as the components of the cluster say. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from k8s_installer.desired.context import of_cluster
from k8s_installer.desired.ports import kubelet_port
from k8s_installer.inventory import Cluster, Host, Role
from k8s_installer.preflight.model import Link
from k8s_installer.profiles import Profile, has_own
from k8s_installer.render import Renderer


@dataclass(frozen=True, slots=True)
class Service:
    """A TCP port of a component: the unit that listens, the roles that connect, and address and port by host."""

    unit: str
    asked_by: frozenset[Role]
    places: Mapping[str, tuple[str, int]]


def services(cluster: Cluster, profile: Profile) -> list[Service]:
    """The ports of all components that the cluster has.

    Raises:
        TemplateError: a port cannot be rendered.
    """
    renderer, shared = Renderer(sandboxed=has_own(cluster)), of_cluster(cluster, profile)
    found = []
    for name, component in profile.fitting(cluster).components.items():
        hosts = [host for host in cluster.hosts if component.roles & host.roles]
        for port, roles in component.ports.items():
            places = {}
            for host in hosts:
                names = {**shared, "kubelet_port": kubelet_port(host)}
                text = renderer.text(port, names, host.name, where=f"{name} {profile.version}: ports")
                number, _, protocol = text.partition("/")
                if protocol == "tcp" and number.isdecimal():
                    places[host.name] = host.address, int(number)
            found.append(Service(component.unit, roles, places))
    return found


def links(found: Sequence[Service], host: Host) -> Iterator[Link]:
    """The ports of other hosts that a host will talk to."""
    for service in found:
        # A node that has the program itself, as one that is a master, talks to its own.
        asking = host.roles - {Role.NODE} if host.name in service.places else host.roles
        if service.asked_by & asking:
            for other, (address, number) in service.places.items():
                if other != host.name:
                    yield Link(other, address, number, service.unit)
