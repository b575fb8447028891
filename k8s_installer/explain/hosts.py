"""A host: its roles, and all that is wanted of it, in the order in which its units start."""

from __future__ import annotations

from dataclasses import dataclass

from k8s_installer.explain.components import Certificate, certificates, ports
from k8s_installer.explain.known import Known
from k8s_installer.explain.order import Wait, order
from k8s_installer.model.resources import File, Kind, Setting


@dataclass(frozen=True, slots=True)
class Part:
    """A component of a host, with its unit (empty if it has none), files and ports."""

    name: str
    why: str
    unit: str
    files: tuple[str, ...]
    ports: tuple[str, ...]
    waits: tuple[Wait, ...]


@dataclass(frozen=True, slots=True)
class ExplainedHost:
    """A host; `line` is where the inventory has it."""

    name: str
    address: str
    roles: tuple[str, ...]
    line: str
    pod_subnet: str
    api: str
    parts: tuple[Part, ...]
    settings: tuple[tuple[str, str], ...]
    certificates: tuple[Certificate, ...]


def explained(known: Known, name: str) -> ExplainedHost:
    """A host of the cluster."""
    host = next(one for one in known.cluster.hosts if one.name == name)
    layout = known.layout(host)
    waits = {step.component: step.waits for step in order(known, name)}
    ranked = sorted(layout.components, key=lambda one: list(waits).index(one) if one in waits else -1)
    parts = tuple(
        Part(
            one,
            layout.components[one].why,
            layout.components[one].unit,
            tuple(
                ref.name
                for ref, item in known.desired.items()
                if ref.host == name and item.component == one and isinstance(item.resource, File)
            ),
            tuple(f"{port.name} ({port.words})" for port in ports(known, one) if name in port.hosts),
            waits.get(one, ()),
        )
        for one in ranked
    )
    settings = tuple(
        (ref.name, item.resource.value)
        for ref, item in known.desired.items()
        if ref.host == name and ref.kind is Kind.SETTING and isinstance(item.resource, Setting)
        if item.component == "host"
    )
    return ExplainedHost(
        name,
        host.address,
        tuple(sorted(host.roles)),
        str(known.said("hosts", name) or ""),
        str(host.pod_subnet or ""),
        known.cluster.api_endpoint(host, known.topology.first_master),
        parts,
        settings,
        tuple(one for part in layout.components for one in certificates(known, part) if name in one.hosts),
    )
