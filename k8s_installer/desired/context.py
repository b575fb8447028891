"""The names that templates and profiles may use; docs/adding-a-version.md explains each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from k8s_installer.desired.ports import kubelet_port, node_ports
from k8s_installer.desired.proxies import bypass
from k8s_installer.host.placed import RENDERED
from k8s_installer.inventory import Cluster, Host, Role
from k8s_installer.profiles import Profile, images

Context = Mapping[str, object]


def of_cluster(cluster: Cluster, profile: Profile, *, signs: bool = True) -> dict[str, object]:
    """What is the same for all hosts: all that a shared file knows; `signs` is whether masters sign with the CA."""
    return {
        "cluster": cluster,
        "etcd_members": by_address(cluster.having(Role.ETCD)),
        "masters": by_address(cluster.having(Role.MASTER)),
        "nodes": _by_subnet(cluster.having(Role.NODE)),
        "pause_image": images.pause(cluster, profile),
        "node_ports": "{}-{}".format(*node_ports(cluster)),
        "signs": signs,
    }


def by_address(hosts: Iterable[Host]) -> tuple[Host, ...]:
    """Hosts in an order of their own: programs do not care, and an inventory that is reordered changes no file."""
    return tuple(sorted(hosts, key=lambda host: tuple(map(int, host.address.split(".")))))


def _by_subnet(hosts: Iterable[Host]) -> tuple[Host, ...]:
    return tuple(sorted(by_address(hosts), key=lambda host: int(host.pod_subnet[0]) if host.pod_subnet else 0))


def of_host(
    host: Host, cluster: Cluster, first_master: Host, profile: Profile, inside: Iterable[str]
) -> dict[str, object]:
    """What one host adds; `inside` are the places of its cluster that are reached without a proxy."""
    subnet = host.pod_subnet
    return {
        "host": host,
        "api_endpoint": cluster.api_endpoint(host, first_master),
        "pod_gateway": f"{subnet[1]}/{subnet.prefixlen}" if subnet is not None else "",
        "kubelet_port": kubelet_port(host),
        "no_proxy": bypass(host, profile, inside),
        "cgroup_driver": host.settings.cgroup_driver or profile.cgroup_driver,
    }


def header(template: str, whom: str, version: str) -> str:
    """Where a file comes from, for its first line; nothing in it changes from run to run."""
    source = f"templates/{template} for {whom} (Kubernetes {version})"
    return f"{RENDERED}{source}; change the inventory, not this file."
