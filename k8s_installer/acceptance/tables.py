"""From what is wanted to what is checked. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from k8s_installer.acceptance.model import (
    AddonRow,
    CertificateRow,
    FileRow,
    HealthRow,
    HostTables,
    ModuleRow,
    MountRow,
    NodeRow,
    PackageRow,
    PortRow,
    ProgramRow,
    RouteRow,
    Row,
    ServiceRow,
    SettingRow,
    SysctlRow,
    UnitRow,
    UserRow,
)
from k8s_installer.desired.ports import kubelet_port
from k8s_installer.host.families import firewalld, hosts_file, journal, selinux, swap, user, yum_proxy
from k8s_installer.host.paths import ADDONS, ROUTES, SYSCTLS
from k8s_installer.inventory import Cluster, Host, Role
from k8s_installer.model.desired import Desired, DesiredResource, by_host, health_gates
from k8s_installer.model.resources import Check, File, Gate, Package, Setting, Unit, UploadedFile
from k8s_installer.pki.validity import facts
from k8s_installer.profiles import Profile

_FAMILIES = frozenset(
    {selinux.NAME, swap.NAME, firewalld.PORT, firewalld.SOURCE, yum_proxy.NAME, hosts_file.NAME, journal.NAME}
)
# What answers on a port of the component's own: the others ask the apiserver about it.
_OWN_PORT = (Check.OK, Check.ANSWERS, Check.ETCD_HEALTH)
_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "devices", "memory", "pids")  # the kubelet does not start without them
_SYSCTL = re.compile(rb"^([\w./-]+) *= *(.*?) *$", re.MULTILINE)


def tables(cluster: Cluster, profile: Profile, desired: Desired, days: int) -> list[HostTables]:
    """What is checked on every host, in the inventory's order.

    Args:
        cluster: the inventory, with everything allocated.
        profile: that of its version.
        desired: all that it wants.
        days: how many days a certificate must have left.
    """
    wanted = by_host(desired)
    return [
        HostTables(host.name, host.ssh.user != "root", _tables(cluster, profile, host, wanted[host.name], days))
        for host in cluster.hosts
    ]


def _tables(
    cluster: Cluster, profile: Profile, host: Host, wanted: Sequence[DesiredResource], days: int
) -> dict[str, tuple[Row, ...]]:
    fitting = profile.fitting(cluster)
    gates = [(ref.name, gate) for ref, gate in health_gates(wanted)]
    rows: dict[str, Iterable[Row]] = {
        "packages": _packages(wanted),
        "files": _files(wanted),
        "users": _users(wanted),
        "units": _units(wanted),
        "ports": _ports(fitting, host, gates),
        "programs": _programs(cluster, profile, wanted),
        "sysctls": _sysctls(wanted),
        "modules": _modules(fitting, host),
        "mounts": map(MountRow, _CONTROLLERS if Role.NODE in host.roles else ()),
        "settings": _settings(wanted),
        "certificates": _certificates(wanted, days),
        "health": _health(gates),
        "nodes": _nodes(cluster, gates),
        "routes": _routes(host, wanted),
        "services": _services(cluster, host),
        "addons": _addons(wanted),
    }
    made = {name: tuple(found) for name, found in rows.items()}
    return {name: found for name, found in made.items() if found}


def _packages(wanted: Iterable[DesiredResource]) -> Iterator[PackageRow]:
    for item in wanted:
        if isinstance(item.resource, Package):
            yield PackageRow(item.ref.name, item.resource.version)


def _files(wanted: Iterable[DesiredResource]) -> Iterator[FileRow]:
    for item in wanted:
        file = item.resource
        if isinstance(file, File | UploadedFile):
            unknown = isinstance(file, File) and file.pending
            sha256 = "" if unknown else file.sha256
            yield FileRow(item.ref.name, sha256, f"{file.mode:04o}", f"{file.owner}:{file.group}")


def _users(wanted: Iterable[DesiredResource]) -> Iterator[UserRow]:
    """Those that this program makes, and those of packages that own files."""
    made = [item.ref.name.removeprefix(f"{user.NAME} ") for item in wanted if _family(item) == user.NAME]
    owners = [item.resource.owner for item in wanted if isinstance(item.resource, File | UploadedFile)]
    yield from (UserRow(name) for name in dict.fromkeys([*made, *owners]) if name != "root")


def _units(wanted: Iterable[DesiredResource]) -> Iterator[UnitRow]:
    for item in wanted:
        if isinstance(item.resource, Unit):
            yield UnitRow(item.resource.name, item.resource.active, item.resource.enabled)


def _ports(fitting: Profile, host: Host, gates: Iterable[tuple[str, Gate]]) -> list[PortRow]:
    """The ports on which others reach components, and those on which components say how they are."""
    units: dict[int, str] = {}
    for name, component in fitting.on(host.roles).items():
        for text in component.ports:
            number, _, protocol = text.partition("/")
            if protocol == "tcp" and number.isdecimal():
                units[int(number)] = component.unit
        if name == "kubelet":
            units[kubelet_port(host)] = component.unit
    for _, gate in gates:
        port = urlsplit(gate.url).port
        if gate.check in _OWN_PORT and not gate.unit_host and port:
            units.setdefault(port, gate.unit)
    return [PortRow(port, unit) for port, unit in sorted(units.items())]


def _programs(cluster: Cluster, profile: Profile, wanted: Iterable[DesiredResource]) -> Iterator[ProgramRow]:
    """The services that run Kubernetes' own programs."""
    for item in wanted:
        if isinstance(item.resource, Unit) and item.resource.active:
            component = profile.components.get(item.component)
            if component and item.component in component.programs:
                yield ProgramRow(item.resource.name, f"v{cluster.version}")


def _sysctls(wanted: Iterable[DesiredResource]) -> Iterator[SysctlRow]:
    for item in wanted:
        if isinstance(item.resource, File) and item.ref.name.startswith(f"{SYSCTLS}/"):
            for key, value in _SYSCTL.findall(item.resource.content):
                yield SysctlRow(key.decode(), value.decode())


def _modules(fitting: Profile, host: Host) -> list[ModuleRow]:
    named = (name for component in fitting.on(host.roles).values() for name in component.preflight.modules)
    return [ModuleRow(name) for name in dict.fromkeys(named)]


def _family(item: DesiredResource) -> str:
    return item.ref.name.partition(" ")[0] if isinstance(item.resource, Setting) else ""


def _settings(wanted: Iterable[DesiredResource]) -> Iterator[SettingRow]:
    for item in wanted:
        if _family(item) not in _FAMILIES or not isinstance(item.resource, Setting):
            continue
        name, value = item.ref.name, item.resource.value
        if name != hosts_file.NAME:
            yield SettingRow(name, value)
        else:
            for entry in value.split(","):
                address, _, names = entry.partition("=")
                yield from (SettingRow(f"{name} {one}", address) for one in names.split("="))


def _certificates(wanted: Iterable[DesiredResource], days: int) -> Iterator[CertificateRow]:
    """The certificates that are known here: what they say is compared besides their sum, for it is easier to read."""
    for item in wanted:
        file = item.resource
        if isinstance(file, File) and not file.secret and not file.pending and _is_certificate(file):
            known = facts(file.content)
            yield CertificateRow(item.ref.name, known.subject, known.issuer, tuple(sorted(known.names)), days)


def _is_certificate(file: File) -> bool:
    return any(name.endswith(".crt") for name in file.made_of) and b"BEGIN CERTIFICATE" in file.content


def _health(gates: Iterable[tuple[str, Gate]]) -> Iterator[HealthRow]:
    for name, gate in gates:
        if gate.check is not Check.NODE_READY:
            yield HealthRow(name, gate.url, gate.check, gate.expects, gate.ca, gate.cert, gate.key)


def _nodes(cluster: Cluster, gates: Iterable[tuple[str, Gate]]) -> Iterator[NodeRow]:
    """Every node, on the master that is asked whether it is ready."""
    hosts = {host.name: host.node for host in cluster.hosts}
    for _, gate in gates:
        if gate.check is Check.NODE_READY:
            name = gate.url.rpartition("/")[2]
            node = hosts[name]
            yield NodeRow(
                name, gate.url, node.labels, node.annotations, tuple(map(str, node.taints)),
                gate.ca, gate.cert, gate.key,
            )  # fmt: skip


def _routes(host: Host, wanted: Iterable[DesiredResource]) -> Iterator[RouteRow]:
    listed = next((item.resource for item in wanted if item.ref.name == ROUTES), None)
    if isinstance(listed, File):
        for line in listed.content.decode().splitlines():
            if line and not line.startswith("#"):
                subnet, address, name = line.split()
                yield RouteRow(subnet, name, "" if address == host.address else address)


def _services(cluster: Cluster, host: Host) -> Iterator[ServiceRow]:
    if Role.NODE in host.roles:
        yield ServiceRow("kubernetes", f"https://{cluster.service_address}:443/version")


def _addons(wanted: Iterable[DesiredResource]) -> Iterator[AddonRow]:
    for item in wanted:
        if isinstance(item.resource, File) and item.ref.name.startswith(f"{ADDONS}/"):
            yield AddonRow(item.ref.name.rpartition("/")[2], item.ref.name)
