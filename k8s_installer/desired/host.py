"""What is wanted of a host itself, before anything runs on it: its settings, its clock, its repositories. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from k8s_installer.desired.context import header
from k8s_installer.desired.files import Source
from k8s_installer.desired.proxies import lies_in
from k8s_installer.host.families.firewalld import UNIT as FIREWALLD
from k8s_installer.host.paths import CENTOS_REPOS
from k8s_installer.host.statedir import STATE
from k8s_installer.inventory import Host, Role
from k8s_installer.model.desired import DesiredResource, Turn
from k8s_installer.model.resources import File, Kind, Package, Ref, Setting, Unit

COMPONENT = "host"
RECORD = f"{STATE}/allocations"
TEMPLATE = "yum/CentOS-Base.repo.j2"


@dataclass(frozen=True, slots=True)
class HostBaseline:
    """What is wanted of a host itself.

    `repos` are what yum needs before a package can be installed, `ready` what before anything may start.
    """

    wanted: tuple[DesiredResource, ...]
    repos: tuple[Ref, ...]

    @property
    def ready(self) -> tuple[Ref, ...]:
        """Everything but what packages wait for anyway."""
        return tuple(item.ref for item in self.wanted if item.ref not in self.repos)


def host_baseline(source: Source, host: Host, ports: Iterable[str], turn: Turn) -> HostBaseline:
    """The settings, the clock and the repositories of a host.

    Args:
        source: what files are made from.
        host: the host.
        ports: on which other hosts reach what it runs.
        turn: whose turn all this belongs to.
    """
    repos = [_repos(source, host, turn)] if source.cluster.repos else []
    if host.settings.proxy is not None:
        name, value = Ref(host.name, Kind.SETTING, "yum-proxy"), Setting(host.settings.proxy.http)
        repos.append(DesiredResource(name, value, COMPONENT, (), "yum reaches its repositories through it.", turn))
    refs = tuple(item.ref for item in repos)
    settings = [
        DesiredResource(Ref(host.name, Kind.SETTING, name), Setting(value), COMPONENT, (), because, turn)
        for name, value, because in _settings(source, host, ports)
    ]
    if host.settings.firewall == "disable":
        because, off = (
            "The inventory asks for no firewall on this host.",
            Unit(FIREWALLD, active=False, enabled=False),
        )
        settings.append(DesiredResource(Ref(host.name, Kind.UNIT, FIREWALLD), off, COMPONENT, (), because, turn))
    more = (*_record(source, host, turn), *_ipvs(host, refs, turn), *_clock(host, refs, turn))
    return HostBaseline((*repos, *settings, *more), refs)


def _ipvs(host: Host, repos: tuple[Ref, ...], turn: Turn) -> Iterator[DesiredResource]:
    """Beside the kernel's modules, kube-proxy's mode ipvs calls this program; without it it falls back to iptables."""
    if host.ipvs:
        because = "kube-proxy's ipvs mode keeps its address lists with it."
        yield DesiredResource(Ref(host.name, Kind.PACKAGE, "ipset"), Package("ipset"), COMPONENT, repos, because, turn)


def _record(source: Source, host: Host, turn: Turn) -> Iterator[DesiredResource]:
    """On the host before anything starts with what is allocated."""
    if Role.MASTER in host.roles:
        because = "Nodes keep their allocated subnets: every machine that manages the cluster reads them here."
        yield DesiredResource(Ref(host.name, Kind.FILE, RECORD), source.record, COMPONENT, (), because, turn)


def _repos(source: Source, host: Host, turn: Turn) -> DesiredResource:
    """The repositories; a mirror that is inside is asked directly, though yum.conf names a proxy."""
    direct = host.settings.proxy is not None and lies_in(source.cluster.repos, host.settings.proxy)
    key = f"{CENTOS_REPOS} direct" if direct else CENTOS_REPOS
    if key not in source.shared:
        whom = f"every host of {source.cluster.name}"
        names = {**source.context, "header": header(TEMPLATE, whom, source.profile.version), "direct": direct}
        source.shared[key] = File(source.renderer.file(TEMPLATE, names, host.name))
    because = "Sets where CentOS 7's packages come from, because its mirrors are gone."
    return DesiredResource(Ref(host.name, Kind.FILE, CENTOS_REPOS), source.shared[key], COMPONENT, (), because, turn)


def _settings(source: Source, host: Host, ports: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Names, values and reasons."""
    wanted = host.settings
    if wanted.selinux != "ignore":
        yield "selinux", wanted.selinux, "An enforcing SELinux keeps containers from using their pods' volumes."
    if wanted.swap != "ignore":
        yield "swap", wanted.swap, "Swapped memory does not count: pods become slow instead of being moved."
    if wanted.hosts_file == "manage":
        yield (
            "hosts-file",
            source.names,
            "Programs and people on a host can reach the others by name, without a name server.",
        )
    if wanted.journald == "persistent":
        yield "journal", wanted.journald, "Keeps logs across reboots."
    if wanted.firewall == "manage":
        for port in dict.fromkeys(ports):
            yield f"firewalld-port {port}", "open", "Other hosts reach a component on this port, where firewalld runs."
        if Role.NODE in host.roles:
            name = f"firewalld-source {source.cluster.pod_cidr}"
            yield name, "trusted", "Lets packets from and to pods pass, where firewalld runs."


def _clock(host: Host, repos: tuple[Ref, ...], turn: Turn) -> Sequence[DesiredResource]:
    if host.settings.time != "chrony":
        return ()
    package, unit = Ref(host.name, Kind.PACKAGE, "chrony"), Ref(host.name, Kind.UNIT, "chronyd")
    because = "Keeps the clock right: certificates that are not valid yet are rejected."
    return (
        DesiredResource(package, Package("chrony"), COMPONENT, repos, because, turn),
        DesiredResource(unit, Unit("chronyd", runs=("chrony",)), COMPONENT, (package,), because, turn),
    )
