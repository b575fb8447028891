"""What empties a node before its pods are stopped, and gives it back after: what opens a turn and closes it. Pure.

The inventory asks for it (`cluster.drain`). A node that leaves is drained in any case. Which restarts end pods is data
of the components (`stops_pods`), and so are kubectl's flags.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from k8s_installer.desired.layout import Layout
from k8s_installer.host.drains import DRAINED, RELEASED, SCHEDULABLE
from k8s_installer.inventory import Cluster, Drain
from k8s_installer.model.desired import DesiredResource, Place, Turn
from k8s_installer.model.resources import Check, Gate, Kind, Ref, Setting
from k8s_installer.profiles import Profile
from k8s_installer.profiles.pieces import DrainSpec
from k8s_installer.profiles.schema import endpoint

API = "kube-apiserver"  # the component that all this is asked of


def opening(cluster: Cluster, profile: Profile, node: str, master: str, turn: Turn) -> tuple[DesiredResource, ...]:
    """What cordons a node, begins to drain it, and waits until it is drained.

    Args:
        cluster: the inventory, which says how.
        profile: what fits the cluster of its version's.
        node: the node's name.
        master: the host that does it.
        turn: whose turn this opens.

    Returns:
        A setting and a gate of the master; nothing if nodes are not drained at all (`drain_timeout: 0`).
    """
    component = next((one for one in profile.components.values() if one.drain is not None), None)
    if component is None or component.drain is None or not cluster.drain.timeout:
        return ()
    ready = next(gate for gate in component.gates if gate.check is Check.NODE_READY)
    asked = endpoint(ready, cluster)
    url = f"{asked.url.partition('/api/v1/')[0]}/api/v1/pods?fieldSelector=spec.nodeName%3D{node}"
    # kubectl ends by itself first, and says why
    gate = Gate(
        url, Check.DRAINED, component.unit, asked.ca, asked.cert, asked.key, node, cluster.drain.timeout + 30, (node,),
        required=not cluster.drain.force,
    )  # fmt: skip
    drained = Ref(master, Kind.SETTING, f"{DRAINED} {node}")
    because = f"The pods of {node} move to other nodes first."
    begins = DesiredResource(
        drained, Setting(_flags(cluster.drain, component.drain)), API, (), because, turn, Place.OPENS
    )
    ref = Ref(master, Kind.GATE, f"node {node} is drained")
    return begins, DesiredResource(ref, gate, API, (drained,), because, turn, Place.OPENS)


def _flags(drain: Drain, spec: DrainSpec) -> str:
    """Those of kubectl drain, without dashes, divided by commas."""
    named = {spec.daemonsets: drain.ignore_daemonsets, spec.local_data: drain.delete_local_data, spec.unmanaged: False}
    given = (flag for flag, allowed in named.items() if allowed or drain.force)
    return ",".join([f"timeout={drain.timeout}s", *given])


def around(cluster: Cluster, profile: Profile, layout: Layout, node: DesiredResource) -> Iterator[DesiredResource]:
    """What opens and closes a node's turn.

    A node that a run has drained is given back whether or not the inventory still asks for drains.

    Args:
        cluster: the inventory.
        profile: what fits the cluster of its version's.
        layout: what the node has.
        node: the gate that says that the node is ready; the host that is asked drains it, too.
    """
    name, turn, master = node.turn.member, node.turn, node.ref.host
    if cluster.drain.restarts:
        only_for = tuple(_ends_pods(layout, name))
        for item in opening(cluster, profile, name, master, turn):
            yield replace(item, only_for=only_for)
    because = f"Pods may be placed on {name} again, unless somebody else has cordoned it."
    yield DesiredResource(
        Ref(master, Kind.SETTING, f"{SCHEDULABLE} {name}"), Setting(RELEASED), API, (), because,
        turn, Place.CLOSES, only_for=(Ref(master, Kind.SETTING, f"{DRAINED} {name}"),),
    )  # fmt: skip


def _ends_pods(layout: Layout, host: str) -> Iterator[Ref]:
    """Whose change ends the pods of a host: units that restart, and programs that are replaced."""
    for name, component in layout.components.items():
        if component.stops_pods == "restart":
            yield Ref(host, Kind.UNIT, component.unit)
        elif component.stops_pods == "upgrade":
            packages = () if component.programs else component.packages  # those of a tarball are only called
            yield from (Ref(host, Kind.PACKAGE, package) for package in packages)
            yield from (Ref(host, Kind.FILE, path) for path in layout.programs[name])
