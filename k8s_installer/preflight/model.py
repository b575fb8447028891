"""What preflight asks of a host, what the host answers, and what is found: values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Interface

from k8s_installer.inventory import Host
from k8s_installer.preflight.demands import Demands


class Severity(StrEnum):
    """Whether an install would fail (or leave a cluster that does not work), or only be worse than it could."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in the way of an install: which check, on which host, what shows it, and what fixes it."""

    id: str
    severity: Severity
    host: str
    evidence: str
    fix: str


@dataclass(frozen=True, slots=True)
class Link:
    """A port of another host that a host will talk to."""

    host: str
    address: str
    port: int
    unit: str


@dataclass(frozen=True, slots=True)
class WantedImage:
    """An image that a node will pull: its reference, the inventory's key that changes it, its registry and its name.

    `insecure` says that docker asks this registry without TLS, too, and `others` are all that it asks so.
    """

    reference: str
    key: str
    registry: str
    name: str
    insecure: bool
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageReply:
    """What a registry answered to a node: the HTTP status (0: none) and how curl ended, with its words.

    `plain` says that it speaks HTTP where docker would take TLS only.
    """

    status: int
    curl: int
    words: str
    plain: bool


@dataclass(frozen=True, slots=True)
class Needs:
    """What the inventory wants of one host, as far as the host can be in its way.

    `packages` are versions by name (empty: any), `units` the packages that each runs, `ports` who will listen on
    each, `own_files` the paths that are ours to write, `runtime_flags` what runs the containers is started with,
    `storage_driver` its storage driver (empty: its own choice), `etcd_folders` where etcd has its data and its log.
    `swap_stops` says that the kubelet would refuse to start, `demands` are those of all components, and `asks_yum` says
    that packages come from repositories that the host has to reach. `repos_sum` is the SHA-256 of the file of
    repositories that the inventory sets, and `yum_proxy` the proxy (empty: it sets none): yum is asked only where it
    goes by them already. `images` are those to pull from a registry. `own_units` and `own_folders` are what this
    program placed there before: a unit that runs, and data that was left, are no other install's.
    """

    host: Host
    packages: Mapping[str, str]
    units: Mapping[str, tuple[str, ...]]
    ports: Mapping[int, str]
    links: tuple[Link, ...]
    own_files: frozenset[str]
    runtime_flags: frozenset[str]
    storage_driver: str
    etcd_folders: tuple[str, str]
    swap_stops: bool
    demands: Demands
    asks_yum: bool = True
    repos_sum: str = ""
    yum_proxy: str = ""
    images: tuple[WantedImage, ...] = ()
    own_units: frozenset[str] = frozenset()
    own_folders: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Disk:
    """What is free where a path is, or will be: MiB and inodes (None: the file system does not count them)."""

    mount: str
    mib: int
    inodes: int | None


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens on a TCP port; `unit` is empty where systemd does not know the process."""

    port: int
    program: str
    pid: int
    unit: str


@dataclass(frozen=True, slots=True)
class Yum:
    """What yum offers of the packages that are missing (versions by name), and how and with which words it ended."""

    status: int
    offers: Mapping[str, frozenset[str]]
    words: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What one host answered; what could not be asked there is empty, 0 or None.

    `offset` is how many seconds its clock is ahead of ours. `sync_ms` is what one small synchronous write took,
    infinity where the test did not end in time. `no_ftype` is where the file system of docker's data is mounted if it
    is an XFS whose folders do not say of what type their files are. `reached` has the words of what went wrong for each
    address and port, empty where nothing did. `daemon_json` are the keys of docker's file.
    `name_server` is "silent" or "none" where names cannot be asked for. `etcd_log` is what is in the folder of etcd's
    log where that is apart: paths by "old" (there is a log), "mount" (it is a mount point), "holds" (other files),
    and "beside" (what is in the folder above, where that is not etcd's yet). `images` has what registries said, by
    reference; an image that is there already, or that only a password opens, is not in it.
    """

    os: Mapping[str, str]
    systemd: int
    kernel: str
    machine: str
    memory_mib: int
    cpus: int
    missing_modules: frozenset[str]
    missing_tools: frozenset[str]
    disks: Mapping[str, Disk]
    sync_ms: float | None
    no_ftype: str
    listeners: tuple[Listener, ...]
    reached: Mapping[tuple[str, int], str]
    offset: float
    hostname: str
    resolves: bool
    machine_id: str
    boot_id: str
    product_uuid: str
    networks: tuple[tuple[str, IPv4Interface], ...]
    installed: Mapping[str, str]
    leftovers: Mapping[str, tuple[str, ...]]
    unit_files: tuple[str, ...]
    daemon_json: frozenset[str]
    active: frozenset[str]
    enforcing: bool
    swap: tuple[str, ...]
    name_server: str
    yum: Yum | None
    etcd_log: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    images: Mapping[str, ImageReply] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preflight:
    """All that was found, worst first, and which hosts were asked."""

    hosts: tuple[str, ...]
    findings: tuple[Finding, ...]

    def having(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of a severity."""
        return tuple(found for found in self.findings if found.severity is severity)
