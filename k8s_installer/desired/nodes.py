"""What is wanted of Node objects: labels, annotations and taints, each a setting of the first master. Pure.

They are set once the node is ready: a kubelet may set only some of them itself, and only when it registers. Between
that and the setting, pods may come that a taint is to keep off. So a kubelet that can registers its node with the
taints; it reads them at its start, and only a node that registers goes by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from k8s_installer.errors import Finding
from k8s_installer.host import nodes
from k8s_installer.inventory import Cluster, Host, Role, Tuning
from k8s_installer.model.desired import Desired, DesiredResource, Turn
from k8s_installer.model.resources import Check, Gate, Kind, Ref, Setting
from k8s_installer.profiles import Profile

COMPONENT = "nodes"
_GROUP = "nodes"  # of `model.groups`
_KUBELET, _FLAG = "kubelet", "register-with-taints"
_UNTUNED = Tuning({}, {})
_ADDED = "NoExecute"  # the effect that came when taints were no annotation any more
_WHY = "The inventory asks for it; the API server is asked whether it is still so."


def nodes_of(cluster: Cluster, profile: Profile, desired: Desired, working: Iterable[Ref]) -> Iterator[DesiredResource]:
    """The settings of every node of a cluster.

    Args:
        cluster: the inventory, settled.
        profile: that of its version.
        desired: what is wanted of the hosts, the gates of nodes among it.
        working: what says that the programs of the first master work.
    """
    master = cluster.first_master.name
    first = tuple(working)
    ready: dict[str, Ref] = {}
    for ref, item in desired.items():
        if isinstance(item.resource, Gate) and item.resource.check is Check.NODE_READY:
            ready[item.turn.member] = ref
    for host in cluster.having(Role.NODE):
        turn, after = Turn(_GROUP, host.name), (*first, *([ready[host.name]] if host.name in ready else []))
        for name, value in _settings(host, profile):
            yield DesiredResource(
                Ref(master, Kind.SETTING, name), Setting(nodes.value(value)), COMPONENT, after, _WHY, turn
            )


def _settings(host: Host, profile: Profile) -> Iterator[tuple[str, str]]:
    """Names and texts."""
    family = nodes.TAINT if profile.taints == "spec" else nodes.ANNOTATED_TAINT
    for taint in host.node.taints:  # first: pods may be on their way
        yield f"{family} {host.name} {taint.key}:{taint.effect}", taint.value
    for key, text in host.node.labels.items():
        yield f"{nodes.LABEL} {host.name} {key}", text
    for key, text in host.node.annotations.items():
        yield f"{nodes.ANNOTATION} {host.name} {key}", text


def registering(cluster: Cluster, profile: Profile) -> Cluster:
    """The same, where kubelets that can register their nodes with the taints of the inventory, beside their own."""
    if _FLAG not in profile.known_flags.get(_KUBELET, {}) or not any(host.node.taints for host in cluster.hosts):
        return cluster
    return replace(cluster, hosts=tuple(_registering(host) if host.node.taints else host for host in cluster.hosts))


def _registering(host: Host) -> Host:
    tuning = host.tuning.get(_KUBELET, _UNTUNED)
    said = tuning.args.get(_FLAG) or ()
    own = [item for text in (said if isinstance(said, tuple) else (said,)) for item in str(text).split(",")]
    taints = tuple(dict.fromkeys([*own, *map(_as_flag, host.node.taints)]))
    args = {**tuning.args, _FLAG: taints}
    return replace(host, tuning={**host.tuning, _KUBELET: replace(tuning, args=args)})


def _as_flag(taint: object) -> str:
    """As every kubelet reads it: until 1.15 one without a value needs its sign."""
    words, _, effect = str(taint).rpartition(":")
    return f"{words if '=' in words else f'{words}='}:{effect}"


def unknown_effects(cluster: Cluster, profile: Profile) -> Iterator[Finding]:
    """Taints that the version does not have yet."""
    places: Mapping[tuple[str, ...], object] = {
        path: cluster.origin.at(path)
        for path in (("nodes", "taints"), *(("hosts", host.name, "taints") for host in cluster.hosts))
    }
    for path, said in places.items():
        for taint in said if isinstance(said, list) and profile.taints == "annotation" else ():
            if str(taint).endswith(f":{_ADDED}"):
                message = f"the taint {taint} has an effect that Kubernetes {profile.version} does not have"
                yield cluster.origin.finding(path, message, "use NoSchedule or PreferNoSchedule")
