"""What the inventory wants of every host, as far as a host can be in its way. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from k8s_installer.host.families import yum_proxy
from k8s_installer.host.paths import CENTOS_REPOS, ETCD_DATA, SYSCONFIG
from k8s_installer.inventory import Cluster, Host
from k8s_installer.model.desired import Desired, DesiredResource, by_host
from k8s_installer.model.resources import File, Gate, Kind, Package, Placed, Setting, Unit
from k8s_installer.preflight.demands import Demands
from k8s_installer.preflight.images import wanted_images
from k8s_installer.preflight.model import Needs
from k8s_installer.preflight.services import Service, links, services
from k8s_installer.preflight.tables import PORT_FLAGS
from k8s_installer.profiles import Component, Profile

NO_RECORDS: Mapping[str, Collection[Placed]] = {}
_FAIL_SWAP_ON = "fail-swap-on"  # the kubelet's flag; in its configuration file failSwapOn


def needs(
    cluster: Cluster, profile: Profile, desired: Desired, records: Mapping[str, Collection[Placed]] = NO_RECORDS
) -> dict[str, Needs]:
    """What is wanted of each host of the cluster; `records` is what was placed on hosts before, by their names."""
    of_host, fitting, found = by_host(desired), profile.fitting(cluster), services(cluster, profile)
    demands = Demands.of(fitting)
    return {
        host.name: _with_own(
            _of_host(cluster, fitting, host, of_host[host.name], found, demands), records.get(host.name, ())
        )
        for host in cluster.hosts
    }


def _with_own(wanted: Needs, placed: Collection[Placed]) -> Needs:
    return replace(
        wanted,
        own_files=wanted.own_files.union(entry.name for entry in placed if entry.kind is Kind.FILE),
        own_units=frozenset(entry.name for entry in placed if entry.kind is Kind.UNIT),
        own_folders=frozenset(path for entry in placed if entry.leaves for path in entry.leaves.folders),
    )


def _of_host(
    cluster: Cluster,
    profile: Profile,
    host: Host,
    wanted: list[DesiredResource],
    found: Sequence[Service],
    demands: Demands,
) -> Needs:
    ports = {one.places[host.name][1]: one.unit for one in reversed(found) if host.name in one.places}
    for number, unit in _ports(cluster, profile, host, wanted):
        ports.setdefault(number, unit)
    repos_sum, proxy = _yum(wanted)
    flags = dict(_runtime_flags(demands.runtime, wanted))
    return Needs(
        host,
        packages={item.ref.name: item.resource.version for item in wanted if isinstance(item.resource, Package)},
        units={item.ref.name: item.resource.runs for item in wanted if isinstance(item.resource, Unit)},
        ports=ports,
        links=tuple(links(found, host)),
        own_files=frozenset(item.ref.name for item in wanted if item.ref.kind is Kind.FILE),
        runtime_flags=frozenset(flags),
        storage_driver=flags.get("storage-driver", ""),
        etcd_folders=_etcd_folders(host),
        swap_stops=_swap_stops(profile, host),
        demands=demands,
        asks_yum=not any(item.resource.repo for item in wanted if isinstance(item.resource, Package)),
        repos_sum=repos_sum,
        yum_proxy=proxy,
        images=wanted_images(cluster, profile, host),
    )


def _ports(cluster: Cluster, profile: Profile, host: Host, wanted: list[DesiredResource]) -> Iterator[tuple[int, str]]:
    """Further ports, and who listens there; where two lay claim to one, the first is right."""
    for name, component in profile.on(host.roles).items():
        for number in _port_flags(cluster, host, name, component):
            yield number, component.unit
    # A gate asks its own component, or the apiserver, whose own gates come first.
    for item in wanted:
        gate = item.resource
        port_asked = urlsplit(gate.url).port if isinstance(gate, Gate) and not gate.unit_host else None
        if isinstance(gate, Gate) and port_asked:
            yield port_asked, gate.unit


def _port_flags(cluster: Cluster, host: Host, name: str, component: Component) -> Iterator[int]:
    tuning = host.tuning.get(name)
    settings: dict[str, object] = {**component.flags.of(cluster), **component.config}
    settings |= {**tuning.args, **tuning.config} if tuning else {}
    for flag, value in settings.items():
        if flag in PORT_FLAGS and str(value).isdecimal() and int(str(value)):
            yield int(str(value))


def _runtime_flags(runtime: str, wanted: list[DesiredResource]) -> Iterator[tuple[str, str]]:
    for item in wanted:
        if isinstance(item.resource, File) and item.component == runtime and item.ref.name.startswith(SYSCONFIG):
            yield from re.findall(r"--([a-z0-9-]+)[= ]?([^\s\"']*)", item.resource.content.decode())


def _yum(wanted: list[DesiredResource]) -> tuple[str, str]:
    """The sum of the file of repositories that the inventory sets, and yum's proxy; empty where it sets none."""
    found = {item.ref.name: item.resource for item in wanted}
    repos, proxy = found.get(CENTOS_REPOS), found.get(yum_proxy.NAME)
    return repos.sha256 if isinstance(repos, File) else "", proxy.value if isinstance(proxy, Setting) else ""


def _etcd_folders(host: Host) -> tuple[str, str]:
    """Where etcd's data and its log will be."""
    tuning = host.tuning.get("etcd")
    data = str((tuning and tuning.args.get("data-dir")) or ETCD_DATA).rstrip("/")
    return data, str((tuning and tuning.args.get("wal-dir")) or data).rstrip("/")


def _swap_stops(profile: Profile, host: Host) -> bool:
    """Whether the kubelet would refuse to start with swap: by the inventory, the profile, or its own default."""
    kubelet = profile.on(host.roles).get("kubelet")
    if kubelet is None or _FAIL_SWAP_ON not in profile.known_flags["kubelet"]:
        return False
    tuning = host.tuning.get("kubelet")
    said: list[Mapping[str, object]] = [tuning.args, tuning.config] if tuning else []
    said += [kubelet.flags.always, kubelet.flags.tls, kubelet.config]
    for settings in said:
        for key in (_FAIL_SWAP_ON, "failSwapOn"):
            if key in settings:
                return settings[key] is not False
    return True
