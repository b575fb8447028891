"""What is checked on one host: a table for each subject, with a row for each thing. Pure.

The first field of a row is its name: it is in the name of each of its tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from k8s_installer.model.resources import Check


@dataclass(frozen=True, slots=True)
class PackageRow:
    """An installed package. Of the version `[EPOCH:]VERSION[-RELEASE]` only what is given counts; empty is any."""

    package: str
    version: str


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file. `sha256` is empty where the bytes are not known here, because `apply` has yet to make a key."""

    file: str
    sha256: str
    mode: str
    owner: str


@dataclass(frozen=True, slots=True)
class UnitRow:
    """A service of systemd, as `systemctl show` has it."""

    unit: str
    active: bool
    enabled: bool


@dataclass(frozen=True, slots=True)
class PortRow:
    """A TCP port, and the service whose process listens there."""

    port: int
    unit: str


@dataclass(frozen=True, slots=True)
class UserRow:
    """A system user: files and processes are its own, and nobody logs in as it."""

    user: str


@dataclass(frozen=True, slots=True)
class SysctlRow:
    """A setting of the kernel, now."""

    sysctl: str
    value: str


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """A module that the kernel has loaded or built in."""

    module: str


@dataclass(frozen=True, slots=True)
class MountRow:
    """A control group hierarchy that the kubelet and docker need to be mounted."""

    controller: str


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A property of the host itself, as `host_settings` of an inventory names it."""

    setting: str
    value: str


@dataclass(frozen=True, slots=True)
class ProgramRow:
    """The version of the program that a service runs."""

    unit: str
    version: str


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """A certificate: names as openssl prints them (`DNS:m1`, `IP:10.0.0.1`), and how many days it must have left."""

    certificate: str
    subject: str
    issuer: str
    names: tuple[str, ...]
    days: int


@dataclass(frozen=True, slots=True)
class HealthRow:
    """What answers a request if a component works; `ca`, `cert` and `key` are paths on the host."""

    health: str
    url: str
    check: Check
    expects: tuple[str, ...]
    ca: str
    cert: str
    key: str


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A Node of the API, asked for on a master. It may have other labels, taints and annotations, too."""

    node: str
    url: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    taints: tuple[str, ...]
    ca: str
    cert: str
    key: str


@dataclass(frozen=True, slots=True)
class RouteRow:
    """Where the pods of a node are: behind its address (`via`), or here, on docker's bridge (`via` is empty)."""

    pods: str
    node: str
    via: str


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """The address of a Service that must answer from a node."""

    service: str
    url: str


@dataclass(frozen=True, slots=True)
class AddonRow:
    """A manifest on the first master, whose objects must all be in the cluster."""

    addon: str
    manifest: str


Row = (
    PackageRow | FileRow | UnitRow | PortRow | UserRow | SysctlRow | ModuleRow | MountRow | SettingRow | ProgramRow
    | CertificateRow | HealthRow | NodeRow | RouteRow | ServiceRow | AddonRow
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HostTables:
    """The tables of a host, by their names; `sudo` is whether commands there need it."""

    host: str
    sudo: bool
    tables: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
