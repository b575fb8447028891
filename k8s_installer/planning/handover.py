"""A master that leaves: another one leads before its apiserver stops. Pure.

Of a component with a leader (the controller-manager, the scheduler) only one process works. When it stops, its lease
ends after some seconds, and another master's takes over.
"""

from __future__ import annotations

from dataclasses import replace

from k8s_installer.model.desired import Desired, DesiredResource
from k8s_installer.model.resources import Check, Gate, Kind, Ref, Unit


def with_handover(whole: Desired, part: Desired) -> Desired:
    """What is wanted, where masters that leave wait for another leader between their leaders' stop and all else.

    Args:
        whole: all that the inventory wants.
        part: what a plan is about, with what leaves hosts.
    """
    held: dict[str, tuple[DesiredResource, Gate]] = {}
    for item in whole.values():
        if isinstance(item.resource, Gate) and item.resource.check is Check.LEASE_HELD:
            held.setdefault(item.resource.unit, (item, item.resource))
    stops = [item for item in part.values() if item.leaving and isinstance(item.resource, Unit)]
    gates: dict[str, list[Ref]] = {}
    result = dict(part)
    for stop in stops:
        if stop.ref.name in held:
            item, gate = held[stop.ref.name]
            ref = Ref(item.ref.host, Kind.GATE, f"another master than {stop.ref.host} leads: {gate.unit}")
            after = (stop.ref, *([item.ref] if item.ref in part else []))
            because = f"A {gate.unit} that stays does the work before {stop.ref.host} leaves."
            result[ref] = DesiredResource(
                ref, replace(gate, check=Check.LEASE_RENEWED), item.component, after, because, stop.turn
            )
            gates.setdefault(stop.ref.host, []).append(ref)
    for stop in stops:
        leading = {ref for ref in stop.after if ref.name in held}
        if leading and stop.ref.name not in held:
            result[stop.ref] = replace(stop, after=(*stop.after, *gates[stop.ref.host]))
    return result
