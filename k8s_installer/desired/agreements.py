"""What settings must agree on, of several components or of one, as named rules. Pure.

Each value is right by itself; only together they do not work. A rule is a row of `AGREEMENTS`: its id, what must hold,
what to do, and a function that finds where the inventory breaks it. Add a row to add a rule; `docs/agreements.md` has
the same rows, which a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from k8s_installer.desired import docker, etcd, listening, registering, relations
from k8s_installer.desired.hostconfig import Breach, HostConfig
from k8s_installer.desired.values import FALSE
from k8s_installer.errors import Finding
from k8s_installer.inventory import Cluster, Host, Role
from k8s_installer.inventory.allocations import NODE_PREFIX
from k8s_installer.profiles import Profile

_NOT_PODS = 3  # addresses of a subnet: its network, its broadcast, docker's bridge
DNS_TOLERATES = "CriticalAddonsOnly"  # the key of the taint that the pods of every DNS manifest tolerate
# Labels that a kubelet may give its own node, from pkg/kubelet/apis/well_known_labels.go of 1.16 and later.
_OWN_LABELS = frozenset({
    "kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch", "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
})  # fmt: skip
_OWN_LABEL_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_RESERVED_DOMAINS = ("kubernetes.io", "k8s.io")


@dataclass(frozen=True, slots=True)
class Agreement:
    """A rule: what must hold, and how to fix a breach."""

    holds: str
    fix: str
    breaches: Callable[[HostConfig], Iterator[Breach]]


def broken(cluster: Cluster, profile: Profile) -> Iterator[Finding]:
    """Every rule that the inventory breaks, once for each place in the file."""
    fitting = profile.fitting(cluster)
    found: dict[tuple[tuple[str, ...], str], Finding] = {}
    for host in _kinds(cluster).values():
        config = HostConfig(cluster, fitting, host)
        for name, agreement in AGREEMENTS.items():
            for breach in agreement.breaches(config):
                whose = f"host {breach.path[1]}: " if breach.path[0] == "hosts" else ""
                message = f"{whose}{breach.message} [{name}]"
                finding = cluster.origin.finding(breach.path, message, breach.fix or agreement.fix)
                found.setdefault((breach.path, name), finding)
    yield from found.values()


def _kinds(cluster: Cluster) -> dict[tuple[object, ...], Host]:
    """A host of each kind: the rules need not be asked again for those that are set alike."""
    kinds: dict[tuple[object, ...], Host] = {}
    for host in cluster.hosts:
        length = host.pod_subnet.prefixlen if host.pod_subnet is not None else None
        kinds.setdefault((host.roles, id(host.tuning), host.settings.cgroup_driver, length), host)
    return kinds


def _service_accounts(config: HostConfig) -> Iterator[Breach]:
    if not config.runs("kube-apiserver", "kube-controller-manager"):
        return
    known = config.profile.known_flags["kube-apiserver"]
    flag = "admission-control"
    if "enable-admission-plugins" in known:  # from 1.10 on it is a default
        on = "ServiceAccount" not in config.items("kube-apiserver", "disable-admission-plugins")
    else:
        on = "ServiceAccount" in config.items("kube-apiserver", flag)
    keys = (
        ("kube-apiserver", "service-account-key-file"),
        ("kube-controller-manager", "service-account-private-key-file"),
    )
    missing = [f"{component} has no {key}" for component, key in keys if not config.effective(component, key)]
    if on and missing:
        flags = [("kube-apiserver", flag), *keys]
        path = next(
            (path for one in flags if (path := config.path_of(*one))[-1] == one[1]), ("hosts", config.host.name)
        )
        yield Breach(
            path, f"the admission plugin ServiceAccount is on, and {' and '.join(missing)}: no pods are created"
        )


def _node_labels(config: HostConfig) -> Iterator[Breach]:
    if not config.profile.restricted_labels or not config.runs("kubelet"):
        return
    for label in config.items("kubelet", "node-labels"):
        key = label.partition("=")[0]
        if not may_label_itself(key):
            value = label.partition("=")[2]
            fix = (
                f'leave it out here; `labels: {{{key}: "{value}"}}` of host {config.host.name} sets it through the API'
            )
            yield Breach(
                config.path_of("kubelet", "node-labels"), f"a kubelet does not start with the label {key}", fix
            )


def may_label_itself(key: str) -> bool:
    """Whether a kubelet of 1.16 or later may give its node a label of this name."""
    domain = key.partition("/")[0] if "/" in key else ""
    reserved = _within(domain, _RESERVED_DOMAINS) and not _within(domain, _OWN_LABEL_DOMAINS)
    return key in _OWN_LABELS or not reserved


def _dns_node(config: HostConfig) -> Iterator[Breach]:
    cluster = config.cluster
    if cluster.dns == "none" or config.host is not cluster.hosts[0]:  # of all hosts together: asked once
        return
    nodes = (HostConfig(cluster, config.profile, host) for host in cluster.having(Role.NODE))
    if not any(_takes_dns(node) for node in nodes):
        message = f"every node has a taint that the {cluster.dns} pods do not tolerate, or is not schedulable"
        yield Breach(("cluster", "dns"), message)


def _takes_dns(node: HostConfig) -> bool:
    taints = [*node.items("kubelet", "register-with-taints"), *map(str, node.host.node.taints)]
    kept_off = [taint for taint in taints if taint.endswith((":NoSchedule", ":NoExecute"))]
    tolerated = all(re.split("[=:]", taint)[0] == DNS_TOLERATES for taint in kept_off)
    return tolerated and node.text("kubelet", "register-schedulable") not in FALSE


def _within(domain: str, domains: tuple[str, ...]) -> bool:
    return any(domain == one or domain.endswith(f".{one}") for one in domains)


def _pods(config: HostConfig) -> Iterator[Breach]:
    cluster, host = config.cluster, config.host
    if not config.runs("kubelet") or cluster.network == "none":
        return
    length = max(NODE_PREFIX, cluster.pod_cidr.prefixlen) if cluster.network == "routes" else NODE_PREFIX
    length = host.pod_subnet.prefixlen if host.pod_subnet is not None else length
    room = 2 ** (32 - length) - _NOT_PODS
    pods = int(config.number("kubelet", "max-pods") or 0)  # whether it is a number, the flag's own check says
    if pods <= room:
        return
    wide = 32 - (pods + _NOT_PODS - 1).bit_length()
    fix = f"max-pods: {room}" + (f", or a pod_subnet of at least a /{wide}" if cluster.network == "routes" else "")
    yield Breach(config.path_of("kubelet", "max-pods"), f"{pods} pods, but a /{length} has {room} addresses", fix)


def _cluster_keys(config: HostConfig) -> Iterator[Breach]:
    cluster = config.cluster
    services, pods, domain = str(cluster.service_cidr), str(cluster.pod_cidr), cluster.dns_domain
    owned = (
        ("kube-apiserver", "service-cluster-ip-range", "service_cidr", services),
        ("kube-controller-manager", "service-cluster-ip-range", "service_cidr", services),
        ("kube-controller-manager", "cluster-cidr", "pod_cidr", pods),
        ("kube-proxy", "cluster-cidr", "pod_cidr", pods),
        ("kubelet", "cluster-domain", "dns_domain", domain),
    )
    for component, flag, key, expected in owned:
        value = config.configured(component, flag)
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        if value is not None and text != expected:
            message = f"{component}: {config.name(component, flag)} is {text}, but cluster.{key} is {expected}"
            fix = f"change cluster.{key}: certificates, routes and flags are derived from it"
            yield Breach(config.path_of(component, flag), message, fix)


AGREEMENTS: Mapping[str, Agreement] = {
    "cgroup-driver": Agreement(
        "docker and the kubelet use the same cgroup driver",
        "host_settings: {cgroup_driver: ...} sets both",
        docker.cgroup_driver,
    ),
    "service-account-keys": Agreement(
        "the admission plugin ServiceAccount is on only if tokens can be signed and verified",
        "use security: tls, which has the keys; or leave the plugin out",
        _service_accounts,
    ),
    "node-labels": Agreement(
        "node-labels has no labels of kubernetes.io or k8s.io that a kubelet may not set itself (1.16 and later)",
        "use `labels` of the host, which are set through the API",
        _node_labels,
    ),
    "dns-node": Agreement(
        "at least one node registers without taints that the cluster's DNS pods do not tolerate",
        "leave one node without register-with-taints",
        _dns_node,
    ),
    "nodes-register": Agreement(
        "kubelets register their nodes, and the apiserver allows it",
        "leave the flag out",
        registering.nodes_register,
    ),
    "network-plugin": Agreement(
        "the kubelet has a network plugin only with network: none, or if an early addon installs its files",
        "use cluster: {network: none} and a CNI plugin in addons/early, or leave network-plugin out",
        registering.network_plugin,
    ),
    "pods-per-node": Agreement(
        "a node's pod subnet has an address for each of its max-pods",
        "lower max-pods",
        _pods,
    ),
    "docker-bridge": Agreement(
        "docker's bridge has the subnet that the cluster's network assigns to the node",
        "leave the flag out",
        docker.bridge,
    ),
    "cluster-keys": Agreement(
        "flags for the networks and the DNS domain agree with the keys of `cluster`",
        "leave the flag out",
        _cluster_keys,
    ),
    "node-ports": Agreement(
        "NodePorts are the same on all masters, and none of them is a port of the cluster's own programs",
        "leave these ports out of the range",
        listening.node_ports_free,
    ),
    "ports-taken": Agreement(
        "no two programs of a host, and no two listeners of one program, use the same port",
        "choose another port for one of them",
        listening.ports_taken,
    ),
    "etcd-folders": Agreement(
        "etcd's data-dir and wal-dir are folders that etcd may own: absolute paths of letters, digits and -_.+@%:=",
        "use a folder such as /srv/etcd",
        etcd.folders,
    ),
    "etcd-cluster": Agreement(
        "every member of etcd starts as a member of the inventory's one cluster",
        "leave it out; docs/etcd.md says what to do without a quorum",
        etcd.one_cluster,
    ),
    "flag-required": Agreement(
        "flags that a program requires are not removed",
        "remove its null",
        relations.required,
    ),
    "flag-needs": Agreement(
        "a value that a program accepts only together with another flag has that flag",
        "set both, or neither",
        relations.needed,
    ),
    "flag-excludes": Agreement(
        "flags that a program does not accept together are not set together",
        "keep one of them",
        relations.excluded,
    ),
    "flag-order": Agreement(
        "a number or duration that must be larger than another one of the same program is larger",
        "raise one, or lower the other",
        relations.ordered,
    ),
    "flag-repeats": Agreement(
        "a list has no item twice, and two lists have none in common, if the program rejects that",
        "remove it from one of them",
        relations.repeated,
    ),
}
