"""What the rest of the program knows of an inventory: frozen values, merged and resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network
from pathlib import Path
from typing import NamedTuple

from k8s_installer.errors import Finding

ArgValue = str | int | float | bool | None | tuple[str | int | float | bool, ...]


class Role(StrEnum):
    """What a host is for; one host may have several roles."""

    ETCD = "etcd"
    MASTER = "master"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Ssh:
    """How one host is reached; paths are absolute. Anyone but root works through `sudo -n`."""

    user: str
    port: int
    key: str | None
    known_hosts: str | None
    host_keys: str
    gateway: str | None
    connect_timeout: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """What the inventory asks of one component: flags by name (None removes a default), configuration file keys.

    `deadline` is how many seconds each of its health gates may take; None leaves that to the profile.
    """

    args: Mapping[str, ArgValue]
    config: Mapping[str, object]
    deadline: float | None = None


_UNTUNED = Tuning({}, {})


@dataclass(frozen=True, slots=True)
class Images:
    """Container images: the pause image of every pod, and what `verify` runs (empty: workload checks are skipped).

    `dns` are those of the cluster's DNS that are not the profile's, by the name that the profile gives them, and
    `dns_versions` the versions of their programs, where the inventory says them. `registry` has the profile's images
    instead of upstream's; empty where they come from there.
    """

    pause: str
    verify: str
    dns: Mapping[str, str] = field(default_factory=dict)
    dns_versions: Mapping[str, str] = field(default_factory=dict)
    registry: str = ""


@dataclass(frozen=True, slots=True)
class Proxy:
    """By which a host's yum and docker reach what is outside; `bypass` is what docker reaches without."""

    http: str
    https: str
    bypass: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EtcdBackups:
    """When members of etcd back up (`daily`, `02:30`, ...), how many files each keeps, and in which folder."""

    schedule: str
    keep: int
    folder: str


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What is wanted of a host itself before anything is installed on it; `ignore`, or None, leaves it as it is.

    `limit_nofile` is how many files each of the large services may have open, `cgroup_driver` is docker's and the
    kubelet's; None leaves them to the packages and the profile.
    """

    selinux: str = "permissive"
    swap: str = "off"
    firewall: str = "manage"
    time: str = "ignore"
    proxy: Proxy | None = None
    hosts_file: str = "ignore"
    journald: str = "ignore"
    etcd_backups: EtcdBackups | None = None
    limit_nofile: int | None = None
    cgroup_driver: str | None = None

    @property
    def conditions(self) -> frozenset[str]:
        """What a profile can make files depend on."""
        said = {"limit_nofile": self.limit_nofile, "cgroup_driver": self.cgroup_driver}
        return frozenset(name for name, value in said.items() if value is not None)


@dataclass(frozen=True, slots=True)
class Tarball:
    """Upstream's archive of server programs: a local file (an absolute path) or an address, and what it must be.

    Without either it is where the profile of the version says that upstream has it.
    """

    path: str | None
    url: str | None
    sha256: str


@dataclass(frozen=True, slots=True)
class Flannel:
    """The overlay network: `vxlan` wraps packets between hosts, `host-gw` routes them on one layer-2 network."""

    backend: str


class Taint(NamedTuple):
    """What keeps pods off a node that do not tolerate it; the API knows it by key and effect."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.key}{f'={self.value}' if self.value else ''}:{self.effect}"


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What is wanted of a Node in the API; empty where the host is no node."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()


NOTHING = NodeSettings()


@dataclass(frozen=True, slots=True)
class Host:
    """One host, with the cluster's SSH options, settings and tuning merged in.

    `pod_subnet` is the part of the pod network that this node's docker hands out: of an inventory as read only where
    it names one, of a settled one for every node. None where the host is no node or the network is not `routes`.
    """

    name: str
    address: str
    roles: frozenset[Role]
    ssh: Ssh
    tuning: Mapping[str, Tuning]
    pod_subnet: IPv4Network | None
    settings: HostSettings = HostSettings()
    node: NodeSettings = NOTHING

    @property
    def conditions(self) -> frozenset[str]:
        """What a profile can make files depend on."""
        etcd = self.tuning.get("etcd", _UNTUNED).args
        folders = {"etcd_folders"} if etcd.get("data-dir") or etcd.get("wal-dir") else set()
        return self.settings.conditions | folders | ({"ipvs"} if self.ipvs else set())

    @property
    def ipvs(self) -> bool:
        """Whether the host's kube-proxy is to work with IPVS."""
        proxy = self.tuning.get("kube-proxy", _UNTUNED)
        return Role.NODE in self.roles and "ipvs" in (proxy.args.get("proxy-mode"), proxy.config.get("mode"))

    @property
    def joins_etcd(self) -> bool:
        """Whether the host is to join members that are there already, instead of beginning a cluster with them."""
        return self.tuning.get("etcd", _UNTUNED).args.get("initial-cluster-state") == "existing"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a cluster was read from, so that a finding made later can name file and line.

    `said` is what the file says, as plain data: what is merged later does not know where it comes from.
    """

    file: str
    lines: Mapping[tuple[str, ...], int] = field(repr=False)
    said: object = field(repr=False, default=None)

    def at(self, path: tuple[str, ...]) -> object:
        """What the file says at a path of mappings; None where it says nothing."""
        here = self.said
        for part in path:
            here = here.get(part) if isinstance(here, dict) else None
        return here

    def finding(self, path: tuple[str, ...], message: str, suggestion: str = "") -> Finding:
        """A finding at the line of `path`, or of the nearest of its parents that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return Finding(self.file, self.lines.get(path, 0), message, suggestion)


class ApiKind(NamedTuple):
    """The API and the kind of an object in a manifest, and its line there."""

    api: str
    kind: str
    line: int


@dataclass(frozen=True, slots=True)
class Addon:
    """A file of the user's `addons` folder: its name there, and its bytes.

    `secret` says that a Secret is among its objects, `images` are those that its pods name. `early` ones are applied
    before the nodes start, the others once every gate holds. `file` is its path, and `kinds` are those of its objects.
    """

    name: str
    content: bytes = field(repr=False)
    secret: bool = False
    images: tuple[str, ...] = ()
    early: bool = False
    file: str = field(default="", compare=False)
    kinds: tuple[ApiKind, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Drain:
    """How nodes are drained: those that leave, and before `restarts` that end pods, too, if the inventory says so.

    `timeout` is in seconds; 0 drains nothing. Unless they are set, kubectl refuses a node with pods of DaemonSets,
    which a drain leaves where they are, and one with pods that lose what they have in emptyDir volumes. `force` allows
    both, and to delete pods that nothing recreates; the node is changed whatever became of its drain.
    """

    restarts: bool = False
    timeout: int = 300
    ignore_daemonsets: bool = False
    delete_local_data: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """A whole inventory. `folder` is where the file lies: state, profiles and templates of the user's are beside it.

    `repos` is the address below which CentOS 7's repositories are; empty where the hosts' own are used as they are.
    `bundle` is the file from which packages and images come, for hosts that reach no repository: an absolute path,
    empty where each command names it, None if there is none.
    `programs` says where Kubernetes' own programs come from, packages or a tarball; None leaves it to the profile.
    `packages` are the versions of packages that the inventory names, as VERSION or VERSION-RELEASE.
    `flannel` is there where the network is flannel's.
    `leaving` are hosts that are no longer of the cluster (`state: absent`), and may still have what was placed there.
    `leader` names the first master once that is settled (`allocations.settle`).
    `load_balancer` is the HOST:PORT where nodes reach the masters' API; empty where they use the first master's.
    `outside_name` is a name outside the cluster that pods must be able to resolve; empty where nobody named one.
    """

    name: str
    version: str
    pod_cidr: IPv4Network
    service_cidr: IPv4Network
    dns_domain: str
    network: str
    security: str
    programs: str | None
    tarball: Tarball | None
    images: Images
    hosts: tuple[Host, ...]
    folder: Path
    origin: Origin = field(compare=False, repr=False)
    repos: str = ""
    bundle: str | None = None
    bundle_sha256: str = ""  # of its manifest; empty where any will do
    packages: Mapping[str, str] = field(default_factory=dict)
    flannel: Flannel | None = None
    dns: str = "none"
    outside_name: str = ""
    load_balancer: str = ""
    addons: tuple[Addon, ...] = ()
    leader: str = ""
    leaving: tuple[Host, ...] = ()
    drain: Drain = Drain()

    @property
    def everyone(self) -> tuple[Host, ...]:
        """The hosts, and those that are leaving."""
        return (*self.hosts, *self.leaving)

    @property
    def first_master(self) -> Host:
        """The master that nodes use and addons are applied on; it stays the same when masters are reordered."""
        masters = self.having(Role.MASTER)
        return next((host for host in masters if host.name == self.leader), masters[0])

    def api_endpoint(self, host: Host, first_master: Host) -> str:
        """HOST:PORT of the API for the programs of a host: a master uses its own."""
        is_master = Role.MASTER in host.roles
        if self.load_balancer and not is_master:
            return self.load_balancer
        port = 6443 if self.security == "tls" else 8080
        return f"{(host if is_master else first_master).address}:{port}"

    @property
    def service_address(self) -> str:
        """The address of the Service `kubernetes`, the first of the Services' network."""
        return str(self.service_cidr[1])

    @property
    def dns_address(self) -> str:
        """The address of the cluster's DNS, the tenth of the Services' network; empty without one."""
        return "" if self.dns == "none" else str(self.service_cidr[10])

    def having(self, role: Role) -> tuple[Host, ...]:
        """The hosts of a role, in the inventory's order."""
        return tuple(host for host in self.hosts if role in host.roles)
