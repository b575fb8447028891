"""What is wanted of a host itself, before anything runs on it: its settings, its clock, its repositories. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from k8s_installer.desired.context import header
from k8s_installer.desired.files import Source
from k8s_installer.desired.proxies import lies_in
from k8s_installer.host.paths import CENTOS_REPOS
from k8s_installer.host.statedir import STATE
from k8s_installer.inventory import Host, Role
from k8s_installer.model.desired import DesiredResource, Turn
from k8s_installer.model.resources import Absent, File, Kind, Package, Ref, Setting, Unit
from k8s_installer.profiles import Component
from k8s_installer.profiles.when import holds

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
        """Everything but what packages wait for anyway, and keys that go."""
        return tuple(
            item.ref for item in self.wanted if item.ref not in self.repos and not isinstance(item.resource, Absent)
        )


def host_baseline(
    source: Source, host: Host, ports: Iterable[str], others: Sequence[Component], turn: Turn
) -> HostBaseline:
    """The settings, the clock and the repositories of a host.

    Args:
        source: what files are made from.
        host: the host.
        ports: on which other hosts reach what it runs.
        others: components of other networks than the cluster's: they must not run, and their keys go.
        turn: whose turn all this belongs to.
    """
    repos = [_repos(source, host, turn)] if source.cluster.repos else []
    if host.settings.proxy is not None:
        name, value = Ref(host.name, Kind.SETTING, "yum-proxy"), Setting(host.settings.proxy.http)
        repos.append(DesiredResource(name, value, COMPONENT, (), "yum reaches its repositories through it.", turn))
    refs = tuple(item.ref for item in repos)
    keys = tuple(_keys(source, host, others, turn))
    settings = [
        DesiredResource(Ref(host.name, Kind.SETTING, name), Setting(value), COMPONENT, after, because, turn)
        for name, value, because, after in (
            *_stopped(source, host, others),
            *((*setting, ()) for setting in _settings(source, host, ports)),
        )
    ]
    more = (*_record(source, host, turn), *_ipvs(host, refs, turn), *_clock(host, refs, turn))
    return HostBaseline((*repos, *keys, *settings, *more), refs)


def _keys(source: Source, host: Host, others: Sequence[Component], turn: Turn) -> Iterator[DesiredResource]:
    """Removal of the keys of other networks' components: each opens what it always did for as long as it exists."""
    because = (
        f"It belongs to a network other than {source.cluster.network}, and opens ports that this host no longer needs."
    )
    for path in (path for other in others for path in _of_pki(source, other)):
        yield DesiredResource(Ref(host.name, Kind.FILE, path), Absent(), COMPONENT, (), because, turn)


def _stopped(
    source: Source, host: Host, others: Iterable[Component]
) -> Iterator[tuple[str, str, str, tuple[Ref, ...]]]:
    """The units of other networks, as `_settings` and what each comes after: a way back needs keys before it starts."""
    for other in others:
        keys = tuple(Ref(host.name, Kind.FILE, path) for path in _of_pki(source, other))
        yield f"unit {other.unit}", "off", f"It belongs to a network other than {source.cluster.network}.", keys


def _of_pki(source: Source, component: Component) -> list[str]:
    facts = source.profile.facts(source.cluster)
    return [path for path, spec in component.files.items() if spec.pki and holds(spec.when, facts)]


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
    if wanted.firewall == "disable":
        yield "unit firewalld", "off", "The inventory asks for no firewall on this host."
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
