"""Why services start in this order: the edges of what is wanted, between units, with what each waits for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from k8s_installer.desired.addons import COMPONENT
from k8s_installer.explain.known import Known
from k8s_installer.model.desired import Desired, Place
from k8s_installer.model.graph import ordered
from k8s_installer.model.resources import Gate, Kind, Ref, Setting, Unit


@dataclass(frozen=True, slots=True)
class Wait:
    """What a unit waits for: a component, by a gate or a unit of it, on these hosts; `why` is the gate's reason."""

    component: str
    name: str
    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Step:
    """Units of one component that start at the same point, and what they wait for."""

    component: str
    unit: str
    why: str
    hosts: tuple[str, ...]
    waits: tuple[Wait, ...]
    gates: tuple[str, ...]


def order(known: Known, host: str = "") -> list[Step]:
    """The components with a unit in an order in which they can start; of one host, if it is named."""
    units = [ref for ref in ordered(known.desired, _edges(known.desired)) if _is_service(known.desired, ref)]
    found: dict[str, list[Ref]] = {}
    for ref in units:
        if not host or ref.host == host:
            found.setdefault(known.desired[ref].component, []).append(ref)
    return [_step(known, component, refs) for component, refs in found.items()]


def _edges(desired: Desired) -> dict[Ref, tuple[Ref, ...]]:
    return {ref: tuple(other for other in item.after if other in desired) for ref, item in desired.items()}


def _is_service(desired: Desired, ref: Ref) -> bool:
    return isinstance(desired[ref].resource, Unit) and desired[ref].place is Place.WITHIN


def _step(known: Known, component: str, refs: list[Ref]) -> Step:
    waits: dict[tuple[str, str, str], list[tuple[str, str]]] = {}  # with who waits and for whom
    for unit in refs:
        for ref in awaited(known.desired, unit):
            item = known.desired[ref]
            waits.setdefault((item.component, ref.name, _why(known.desired, ref)), []).append((unit.host, ref.host))
    spec = known.component(component)
    members = {ref.host for ref in refs}
    gates = [ref.name for ref in _gates(known.desired, component) if known.desired[ref].turn.member in members]
    return Step(
        component,
        refs[0].name,
        spec.why if spec else known.desired[refs[0]].because,
        tuple(dict.fromkeys(ref.host for ref in refs)),
        tuple(Wait(other, name, _where(known, pairs), why) for (other, name, why), pairs in waits.items()),
        tuple(dict.fromkeys(gates)),
    )


def _where(known: Known, pairs: Collection[tuple[str, str]]) -> str:
    """Where what is waited for is: each unit's own host, or the hosts, once each in the inventory's order."""
    if all(unit == other for unit, other in pairs):
        return "the same host"
    awaited_on = {other for _, other in pairs}
    return ", ".join(host.name for host in known.cluster.hosts if host.name in awaited_on)


def _why(desired: Desired, ref: Ref) -> str:
    return desired[ref].because if ref.kind is not Kind.UNIT else "it must run first"


def _gates(desired: Desired, component: str) -> Iterator[Ref]:
    yield from (ref for ref, item in desired.items() if item.component == component and isinstance(item.resource, Gate))


def awaited(desired: Desired, unit: Ref) -> list[Ref]:
    """The nearest units, gates and steps in the cluster that a unit comes after, past its packages and files."""
    found: dict[Ref, None] = {}
    left, seen = list(desired[unit].after), set[Ref]()
    while left:
        ref = left.pop(0)
        if ref in seen or ref not in desired:
            continue
        seen.add(ref)
        if _is_step(desired, ref):
            found[ref] = None
        else:
            left += desired[ref].after
    return list(found)


def _is_step(desired: Desired, ref: Ref) -> bool:
    """Whether a resource is one that people see happen: a service, a gate, or an addon that is applied."""
    item = desired[ref]
    applied = item.component == COMPONENT and isinstance(item.resource, Setting) and ref.name != COMPONENT
    return applied or isinstance(item.resource, Unit | Gate)
