"""What settings of several components must agree on, as named rules. Pure.

Each program would take its own value, and start; only together they do not work. A rule is a row of `AGREEMENTS`: its
id, what must hold, what to do, and a function that finds where the inventory breaks it. Add a row to add a rule;
`docs/agreements.md` has the same rows, which a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from k8s_installer.desired.ports import NODE_PORTS, RANGE_FLAG, read_range, tuned_alike
from k8s_installer.errors import Finding
from k8s_installer.inventory import Cluster, Host, Role
from k8s_installer.inventory.allocations import NODE_PREFIX
from k8s_installer.profiles import Profile

_TEMPLATE = "{{"  # a default that the profile works out: it agrees by itself
_DEFAULT_PODS = 110  # the kubelet's own, of every version
_NOT_PODS = 3  # addresses of a subnet: its network, its broadcast, docker's bridge
# Of CentOS 7's docker and of ours: where a node's containers get their addresses.
_BRIDGE_FLAGS = ("bip", "bridge", "fixed-cidr")
# Where etcd, the apiserver and the programs of a node listen. A NodePort there would take what is meant for them.
_OWN_PORTS = (2379, 2380, 4194, 6443, 8080, *range(10248, 10260))
# Labels that a kubelet may give its own node, from pkg/kubelet/apis/well_known_labels.go of 1.16 and later.
_OWN_LABELS = frozenset({
    "kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch", "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
})  # fmt: skip
_OWN_LABEL_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_RESERVED_DOMAINS = ("kubernetes.io", "k8s.io")
# etcd's folders are made its own, for it alone: 0700, on every start.
_NOT_ITS_OWN = frozenset({
    "bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc", "root", "run", "sbin", "srv",
    "sys", "tmp", "usr", "var", "etc/etcd", "etc/kubernetes", "var/cache", "var/lib", "var/log", "var/run", "var/spool",
    "var/tmp", "usr/bin", "usr/lib", "usr/local", "usr/share",
})  # fmt: skip
_FOLDER = re.compile(r"(/[-\w.+@%:=]+)+/?")


@dataclass(frozen=True, slots=True)
class HostConfig:
    """How the components of one host are configured: by the inventory, over the profile."""

    cluster: Cluster
    profile: Profile
    host: Host

    def runs(self, *components: str) -> bool:
        """Whether the host has these components."""
        there = self.profile.on(self.host.roles)
        return all(name in there for name in components)

    def configured(self, component: str, flag: str, key: str = "") -> object:
        """What the inventory sets a flag, or a key of the configuration file (inner keys after a dot), to."""
        tuning = self.host.tuning.get(component)
        if tuning is None:
            return None
        return tuning.args.get(flag) if flag in tuning.args else _inner(tuning.config, key)

    def sets(self, component: str, flag: str) -> bool:
        """Whether the inventory sets a flag, be it to null."""
        tuning = self.host.tuning.get(component)
        return tuning is not None and flag in tuning.args

    def effective(self, component: str, flag: str, key: str = "") -> object:
        """The same, or the profile's value; None if neither sets it, or the inventory drops it with null."""
        tuning = self.host.tuning.get(component)
        if tuning is not None and flag in tuning.args:
            return tuning.args[flag]
        own = self.configured(component, flag, key)
        if own is not None or component not in self.profile.components:
            return own
        sets = self.profile.components[component].flags
        by_security = sets.tls if self.cluster.security == "tls" else sets.insecure
        return {**sets.always, **by_security}.get(flag) or _inner(self.profile.components[component].config, key)

    def path_of(self, component: str, flag: str, key: str = "") -> tuple[str, ...]:
        """Where in the inventory it is set: for the host, or else for all hosts."""
        for place in (("hosts", self.host.name, "components"), ("components",)):
            for inner in (("args", flag), ("config", *key.split("."))):
                if (*place, component, *inner) in self.cluster.origin.lines:
                    return (*place, component, *inner)
        return ("hosts", self.host.name)


@dataclass(frozen=True, slots=True)
class Breach:
    """Where an agreement is broken, by what, and what to do where that is not the rule's own advice."""

    path: tuple[str, ...]
    message: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A rule: what must hold, and how to fix a breach."""

    holds: str
    fix: str
    breaches: Callable[[HostConfig], Iterator[Breach]]


def broken(cluster: Cluster, profile: Profile) -> Iterator[Finding]:
    """Every agreement that the inventory breaks, once for each place in the file."""
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


def _inner(config: Mapping[str, object], key: str) -> object:
    value: object = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _items(value: object) -> list[str]:
    """A flag's list, written as a list or joined by commas."""
    values = value if isinstance(value, tuple | list) else [] if value is None else [value]
    return [item.strip() for one in values for item in str(one).split(",") if item.strip()]


def _cgroup_driver(config: HostConfig) -> Iterator[Breach]:
    if not config.runs("docker", "kubelet"):
        return
    expected = config.host.settings.cgroup_driver or config.profile.cgroup_driver
    given = [
        item.partition("=")[2] for item in _items(config.effective("docker", "exec-opt")) if "cgroupdriver=" in item
    ]
    docker = expected if given and _TEMPLATE in given[0] else given[0] if given else ""
    kubelet = str(config.effective("kubelet", "cgroup-driver", "cgroupDriver") or "cgroupfs")
    kubelet = expected if _TEMPLATE in kubelet else kubelet
    path = config.path_of("docker", "exec-opt")
    if not docker:
        yield Breach(path, "exec-opt has no native.cgroupdriver: docker chooses one itself")
    elif docker != kubelet:
        own = config.configured("docker", "exec-opt") is not None
        path = path if own else config.path_of("kubelet", "cgroup-driver", "cgroupDriver")
        yield Breach(path, f"docker's cgroup driver is {docker}, the kubelet's {kubelet}")


def _service_accounts(config: HostConfig) -> Iterator[Breach]:
    if not config.runs("kube-apiserver", "kube-controller-manager"):
        return
    known = config.profile.known_flags["kube-apiserver"]
    flag = "admission-control"
    if "enable-admission-plugins" in known:  # from 1.10 on it is a default
        on = "ServiceAccount" not in _items(config.effective("kube-apiserver", "disable-admission-plugins"))
    else:
        on = "ServiceAccount" in _items(config.effective("kube-apiserver", flag))
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
        yield Breach(path, f"the admission plugin ServiceAccount is on, and {' and '.join(missing)}: no pod is made")


def _node_labels(config: HostConfig) -> Iterator[Breach]:
    if not config.profile.restricted_labels or not config.runs("kubelet"):
        return
    for label in _items(config.effective("kubelet", "node-labels")):
        key = label.partition("=")[0]
        if not may_label_itself(key):
            name = config.host.name
            fix = f"leave it out, and on a master: kubectl label node {name} {label}; or take a name of your own"
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
    if all(_keeps_pods_off(node) for node in nodes):
        yield Breach(("cluster", "dns"), f"every node has a taint that the pods of {cluster.dns} do not tolerate")


def _keeps_pods_off(node: HostConfig) -> bool:
    taints = _items(node.effective("kubelet", "register-with-taints"))
    cordoned = node.effective("kubelet", "register-schedulable") is False
    return cordoned or any(taint.endswith((":NoSchedule", ":NoExecute")) for taint in taints)


def _within(domain: str, domains: tuple[str, ...]) -> bool:
    return any(domain == one or domain.endswith(f".{one}") for one in domains)


def _pods(config: HostConfig) -> Iterator[Breach]:
    cluster, host = config.cluster, config.host
    if not config.runs("kubelet") or cluster.network == "none":
        return
    length = max(NODE_PREFIX, cluster.pod_cidr.prefixlen) if cluster.network == "routes" else NODE_PREFIX
    length = host.pod_subnet.prefixlen if host.pod_subnet is not None else length
    room = 2 ** (32 - length) - _NOT_PODS
    pods = str(config.effective("kubelet", "max-pods", "maxPods") or _DEFAULT_PODS)
    if not pods.isdecimal() or int(pods) <= room:
        return
    wide = 32 - (int(pods) + _NOT_PODS - 1).bit_length()
    fix = f"max-pods: {room}" + (f", or a pod_subnet as wide as a /{wide}" if cluster.network == "routes" else "")
    yield Breach(
        config.path_of("kubelet", "max-pods", "maxPods"), f"{pods} pods, and a /{length} has {room} addresses", fix
    )


def _bridge(config: HostConfig) -> Iterator[Breach]:
    if not config.runs("docker") or config.cluster.network == "none":
        return
    own = (
        "leave it out; pod_subnet of a host names its subnet"
        if config.cluster.network == "routes"
        else "leave it out; flannel gives docker its subnet"
    )
    for flag in _BRIDGE_FLAGS:
        if config.sets("docker", flag):
            yield Breach(
                config.path_of("docker", flag), f"docker's {flag} is set by network: {config.cluster.network}", own
            )


def _cluster_keys(config: HostConfig) -> Iterator[Breach]:
    cluster = config.cluster
    services, pods, domain = str(cluster.service_cidr), str(cluster.pod_cidr), cluster.dns_domain
    owned = (
        ("kube-apiserver", "service-cluster-ip-range", "", "service_cidr", services),
        ("kube-controller-manager", "service-cluster-ip-range", "", "service_cidr", services),
        ("kube-controller-manager", "cluster-cidr", "", "pod_cidr", pods),
        ("kube-proxy", "cluster-cidr", "clusterCIDR", "pod_cidr", pods),
        ("kubelet", "cluster-domain", "clusterDomain", "dns_domain", domain),
    )
    for component, flag, key, name, expected in owned:
        value = config.configured(component, flag, key)
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        if value is not None and text != expected:
            message = f"{component}: {flag} is {text}, and cluster.{name} is {expected}"
            fix = f"change cluster.{name}: certificates, routes and flags are derived from it"
            yield Breach(config.path_of(component, flag, key), message, fix)


def _node_ports(config: HostConfig) -> Iterator[Breach]:
    value = config.configured("kube-apiserver", RANGE_FLAG)
    if not config.runs("kube-apiserver") or value is None:
        return
    path = config.path_of("kube-apiserver", RANGE_FLAG)
    first, last = read_range(str(value)) or NODE_PORTS  # whether it is a range, the flag's own check says
    inside = [str(port) for port in _OWN_PORTS if first <= port <= last]
    if inside:
        yield Breach(path, f"{RANGE_FLAG}: programs of the cluster listen on {', '.join(inside)}")
    if not tuned_alike(config.cluster):
        yield Breach(path, f"{RANGE_FLAG} differs between masters", "set it under components, for all masters")


def _etcd_folders(config: HostConfig) -> Iterator[Breach]:
    if Role.ETCD not in config.host.roles:
        return
    for flag in ("data-dir", "wal-dir"):
        value, path = config.configured("etcd", flag), config.path_of("etcd", flag)
        if value is None:
            if flag == "data-dir" and config.sets("etcd", flag):
                yield Breach(
                    path, "etcd's data-dir cannot be left out: etcd would start empty, in a folder of its own choice"
                )
        elif not _FOLDER.fullmatch(str(value)) or {".", ".."} & {*str(value).split("/")}:
            yield Breach(path, f"etcd's {flag} must be an absolute path, not {value}")
        elif str(value).strip("/") in _NOT_ITS_OWN:
            yield Breach(path, f"etcd's {flag} {value} is a folder of the system's, and would be made etcd's own")


AGREEMENTS: Mapping[str, Agreement] = {
    "cgroup-driver": Agreement(
        "docker and the kubelet use the same cgroup driver",
        "host_settings: {cgroup_driver: ...} sets both",
        _cgroup_driver,
    ),
    "service-account-keys": Agreement(
        "the admission plugin ServiceAccount is on only where tokens can be signed and checked",
        "security: tls brings the keys; or leave the plugin out",
        _service_accounts,
    ),
    "node-labels": Agreement(
        "labels of kubernetes.io and k8s.io that a kubelet may not give itself are not in node-labels (from 1.16)",
        "set it with kubectl label node",
        _node_labels,
    ),
    "dns-node": Agreement(
        "one node at least registers without a taint that the pods of the cluster's DNS do not tolerate",
        "leave one node without register-with-taints",
        _dns_node,
    ),
    "pods-per-node": Agreement(
        "a node's pod subnet has an address for each of its max-pods",
        "lower max-pods",
        _pods,
    ),
    "docker-bridge": Agreement(
        "docker's bridge has the subnet that the cluster's network gives the node",
        "leave the flag out",
        _bridge,
    ),
    "cluster-keys": Agreement(
        "flags for the networks and the DNS domain agree with the keys of `cluster`",
        "leave the flag out",
        _cluster_keys,
    ),
    "node-ports": Agreement(
        "NodePorts are the same on all masters, and none of them is a port of the cluster's own programs",
        "leave these ports out of the range",
        _node_ports,
    ),
    "etcd-folders": Agreement(
        "etcd's data-dir and wal-dir are absolute paths of letters, digits and -_.+@%:=",
        "write it as /srv/etcd",
        _etcd_folders,
    ),
}
