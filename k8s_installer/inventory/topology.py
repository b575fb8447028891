"""Rules between the parts of an inventory that a schema cannot say: roles, addresses, networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from k8s_installer.errors import Finding
from k8s_installer.inventory.allocations import NODE_PREFIX, overlapping
from k8s_installer.inventory.cluster import Origin, Role
from k8s_installer.inventory.schema import HostModel, InventoryModel

SMALLEST = 28  # of a network: the first addresses of each have uses of their own
LARGEST_SERVICES = 12  # the apiserver refuses a wider service_cidr
TAKEN_NAMES = {"kubernetes": "the API server in pods and certificates", "localhost": "every host that looks it up"}
_THIS_NETWORK, _BROADCAST = IPv4Network("0.0.0.0/8"), IPv4Address("255.255.255.255")
NODE_NAME = 52  # a node's certificate is for system:node:NAME, and X.509 has room for 64 characters
FLANNEL_PREFIX = 22  # flannel wants room for four subnets


def findings(model: InventoryModel, origin: Origin) -> Iterator[Finding]:
    """Everything about roles, addresses and networks that cannot work."""
    yield from _roles(model, origin)
    yield from _addresses(model, origin)
    yield from _networks(model, origin)
    if model.cluster.network == "routes":
        yield from _subnets(model, origin)
    yield from _flannel(model, origin)


def _nodes(model: InventoryModel) -> list[tuple[str, HostModel]]:
    return [(name, host) for name, host in model.hosts.items() if Role.NODE in host.roles]


def _roles(model: InventoryModel, origin: Origin) -> Iterator[Finding]:
    count = {role: sum(role in host.roles for host in model.hosts.values()) for role in Role}
    if not count[Role.MASTER]:
        yield origin.finding(("hosts",), "no master: give at least one host `roles: [etcd, master]`")
    if not count[Role.ETCD]:
        yield origin.finding(("hosts",), "no etcd member: give the role `etcd` to one, three or five hosts")
    elif count[Role.ETCD] not in (1, 3, 5):
        yield origin.finding(
            ("hosts",),
            f"{count[Role.ETCD]} etcd members: use 1, 3 or 5 hosts with the role `etcd`",
        )
    if not count[Role.NODE]:
        yield origin.finding(("hosts",), "no node: give at least one host the role `node`")
    for name, host in model.hosts.items():
        if name in TAKEN_NAMES:
            message = f"host {name}: this name means {TAKEN_NAMES[name]}"
            yield origin.finding(("hosts", name), message, "rename the host")
        if len(set(host.roles)) != len(host.roles):
            yield origin.finding(("hosts", name, "roles"), f"host {name}: a role appears twice")
        if Role.NODE in host.roles and len(name) > NODE_NAME:
            yield origin.finding(("hosts", name), f"host {name}: a node's name may have at most {NODE_NAME} characters")


def _addresses(model: InventoryModel, origin: Origin) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    one_machine = len(model.hosts) > 1 and all(host.address.is_loopback for host in model.hosts.values())
    for name, host in model.hosts.items():
        address = str(host.address)
        kind = _unusable(host.address)
        # Several hosts on one machine, each with a loopback address of its own, do reach each other: benchmarks do so.
        if kind and not (one_machine and host.address.is_loopback):
            path = ("hosts", name, "address")
            yield origin.finding(path, f"host {name}: other hosts cannot reach {address}: it is {kind}")
        if address in seen:
            yield origin.finding(
                ("hosts", name, "address"), f"duplicate address {address}: {seen[address]} has it as well"
            )
        seen.setdefault(address, name)
        for key, cidr in (("pod_cidr", model.cluster.pod_cidr), ("service_cidr", model.cluster.service_cidr)):
            if host.address in cidr:
                yield origin.finding(
                    ("hosts", name, "address"),
                    f"host {name}: {address} is inside {key} {cidr}, which the cluster uses",
                )


def returning(there: Mapping[str, HostModel], leaving: Mapping[str, HostModel], origin: Origin) -> Iterator[Finding]:
    """Hosts that are absent and there, by another name: what is removed from one would be the other's."""
    names = {host.address: name for name, host in there.items()}
    for name, host in leaving.items():
        if host.address in names:
            message = f"host {name} is absent, and its address {host.address} is that of {names[host.address]}"
            yield origin.finding(("hosts", name, "address"), message, "delete the entry that is absent")


def _unusable(address: IPv4Address) -> str:
    """What kind of an address it is that no host of a cluster can have; empty where one can."""
    kinds = (
        (address.is_unspecified or address in _THIS_NETWORK, "unspecified"),
        (address.is_loopback, "a loopback address"),
        (address.is_link_local, "a link-local address"),
        (address.is_multicast, "a multicast address"),
        (address == _BROADCAST, "the broadcast address"),
        (address.is_reserved, "a reserved address"),
    )
    return next((kind for found, kind in kinds if found), "")


def _networks(model: InventoryModel, origin: Origin) -> Iterator[Finding]:
    pods, services = model.cluster.pod_cidr, model.cluster.service_cidr
    for key, cidr in (("pod_cidr", pods), ("service_cidr", services)):
        kind = _unusable(cidr.network_address)
        if kind:
            yield origin.finding(("cluster", key), f"{key} {cidr} cannot be used: it starts with {kind}")
        yield from _too_small(("cluster", key), f"{key} {cidr}", cidr, origin)
    if services.prefixlen < LARGEST_SERVICES:
        path = ("cluster", "service_cidr")
        yield origin.finding(path, f"service_cidr {services} is too large: give it at most a /{LARGEST_SERVICES}")
    if pods.overlaps(services):
        line = ("cluster", "service_cidr") if ("cluster", "service_cidr") in origin.lines else ("cluster", "pod_cidr")
        yield origin.finding(line, f"pod_cidr {pods} and service_cidr {services} overlap")


def _too_small(path: tuple[str, ...], name: str, network: IPv4Network, origin: Origin) -> Iterator[Finding]:
    if network.prefixlen > SMALLEST:
        yield origin.finding(path, f"{name} is too small: give it at least a /{SMALLEST}")


def _subnets(model: InventoryModel, origin: Origin) -> Iterator[Finding]:
    pods = model.cluster.pod_cidr
    for name, host in model.hosts.items():
        subnet = host.pod_subnet
        path = ("hosts", name, "pod_subnet")
        if Role.NODE not in host.roles:
            if subnet is not None:
                yield origin.finding(path, f"host {name} has a pod_subnet but is not a node")
        elif subnet is not None:
            yield from _too_small(path, f"host {name}: pod_subnet {subnet}", subnet, origin)
            if not subnet.subnet_of(pods):
                yield origin.finding(path, f"host {name}: pod_subnet {subnet} is not inside pod_cidr {pods}")
    claimed = {name: host.pod_subnet for name, host in _nodes(model) if host.pod_subnet is not None}
    for name, owner in overlapping(claimed):
        path = ("hosts", name, "pod_subnet")
        yield origin.finding(path, f"host {name}: pod_subnet {claimed[name]} overlaps that of {owner}")


def _flannel(model: InventoryModel, origin: Origin) -> Iterator[Finding]:
    """What flannel's own way of handing out subnets asks of the networks, or that there is no flannel."""
    if model.cluster.network != "flannel":
        if model.cluster.flannel is not None:
            message = f"cluster.flannel: the network is {model.cluster.network}"
            yield origin.finding(("cluster", "flannel"), message, "set network: flannel, or leave it out")
        return
    pods = model.cluster.pod_cidr
    takers = sum(bool({Role.MASTER, Role.NODE} & {*host.roles}) for host in model.hosts.values())
    room = 2 ** (NODE_PREFIX - pods.prefixlen) - 1 if pods.prefixlen <= FLANNEL_PREFIX else 0
    if room < takers:
        yield origin.finding(
            ("cluster", "pod_cidr"),
            f"pod_cidr {pods} is too small: flannel gives each of {takers} masters and nodes a /{NODE_PREFIX}, and"
            " does not use the first",
            f"give it a /{min(FLANNEL_PREFIX, NODE_PREFIX - takers.bit_length())}",
        )
    for name, host in model.hosts.items():
        if host.pod_subnet is not None:
            message = f"host {name}: flannel chooses the subnets"
            yield origin.finding(("hosts", name, "pod_subnet"), message, "leave pod_subnet out")
