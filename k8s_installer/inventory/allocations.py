"""What a cluster allocates to its hosts, and each host keeps: pod subnets, the role of the first master. Pure.

An inventory need not say which node has which part of the pod network. A node keeps the one it was allocated, however
the inventory is edited: the docker of a node that got another one would restart, and its pods' addresses would change.
So what was allocated is an input, beside the inventory: read from the local record, or from the hosts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network

from k8s_installer.errors import Finding, listed
from k8s_installer.inventory.cluster import Cluster, Host, Role

NODE_PREFIX = 24  # each node's docker hands out a /24: 254 pods, above the kubelet's default limit of 110
_MASTER, _SUBNET = "first-master", "pod-subnet"


@dataclass(frozen=True, slots=True)
class Allocations:
    """What was allocated, to hosts of the inventory and to those that have left it.

    `first_master` is the master that nodes use and addons are applied on; empty where none is known.
    """

    first_master: str = ""
    subnets: Mapping[str, IPv4Network] = field(default_factory=dict)

    def text(self) -> str:
        """As lines: the form of the record, here and on the masters."""
        lines = [f"{_MASTER} {self.first_master}"] if self.first_master else []
        lines += [f"{_SUBNET} {subnet} {name}" for name, subnet in in_order(self.subnets)]
        return "".join(f"{line}\n" for line in lines)


NONE = Allocations()


def read(text: str) -> Allocations:
    """Read what `Allocations.text` wrote; comments and lines of other kinds are skipped.

    Raises:
        ValueError: a line has no subnet where one should be.
    """
    first, subnets = "", {}
    for line in text.splitlines():
        match line.split():
            case [kind, name] if kind == _MASTER:
                first = name
            case [kind, subnet, name] if kind == _SUBNET:
                subnets[name] = IPv4Network(subnet)
    return Allocations(first, subnets)


def in_order(subnets: Mapping[str, IPv4Network]) -> list[tuple[str, IPv4Network]]:
    """Names and subnets by address, so that the order of the inventory does not show."""
    return sorted(subnets.items(), key=lambda item: (int(item[1].network_address), item[1].prefixlen, item[0]))


@dataclass(frozen=True, slots=True)
class Settled:
    """A cluster in which everything is allocated.

    `allocations` are what to record, `moved` says in words why a node's pods move to another subnet. Where there are
    `findings`, the rest is of no use.
    """

    cluster: Cluster
    allocations: Allocations
    moved: Mapping[str, str]
    findings: tuple[Finding, ...]


def settle(cluster: Cluster, kept: Allocations) -> Settled:
    """Allocate what the inventory leaves open, to hosts that have nothing yet.

    A node's subnet is the one that the inventory names, else the one it has, else a free one. A subnet of a host that
    left the inventory is not free: the host may still run. It can be given to another by name.

    Args:
        cluster: as the inventory says.
        kept: what was allocated before.
    """
    first = _first_master(cluster, kept)
    if cluster.network != "routes":
        return Settled(replace(cluster, leader=first), Allocations(first, kept.subnets), {}, ())
    nodes = cluster.having(Role.NODE)
    claimed = {host.name: host.pod_subnet for host in nodes if host.pod_subnet is not None}
    own = {
        host.name: kept.subnets[host.name]
        for host in nodes
        if host.name not in claimed and _fits(kept.subnets.get(host.name), cluster.pod_cidr)
    }
    given = {**claimed, **own}
    former = _former(cluster, kept, {host.name for host in nodes}, given)
    findings = list(_taken(cluster, given, claimed))
    rest = [host for host in nodes if host.name not in given]
    new = free(cluster.pod_cidr, frozenset([*given.values(), *former.values()]))
    given |= {host.name: subnet for host, subnet in zip(rest, new, strict=False)}
    left = [host for host in rest if host.name not in given]
    if left:
        findings.append(_no_room(cluster, left, given, former))
    hosts = tuple(replace(host, pod_subnet=given.get(host.name)) for host in cluster.hosts)
    return Settled(
        replace(cluster, hosts=hosts, leader=first),
        Allocations(first, {**former, **given}),
        {name: _why(name, kept.subnets[name], given[name], claimed) for name in _moved(kept.subnets, given)},
        tuple(findings),
    )


def free(pod_cidr: IPv4Network, taken: Iterable[IPv4Network]) -> Iterator[IPv4Network]:
    """The /24s of the pod network that nobody has, in order; a smaller network is its own only one."""
    length = max(NODE_PREFIX, pod_cidr.prefixlen)
    blocks = _blocks(taken, length)
    # One that is taken may be wider than a candidate. There are a few lengths, however many subnets are taken: no need
    # to compare with each.
    lengths = {subnet.prefixlen for subnet in blocks}
    for subnet in pod_cidr.subnets(new_prefix=length):
        if not any(subnet.supernet(new_prefix=wider) in blocks for wider in lengths):
            yield subnet


def overlapping(subnets: Mapping[str, IPv4Network]) -> Iterator[tuple[str, str]]:
    """Each host whose subnet lies inside another's, with that one's; the later of the two in the mapping first.

    Of two networks that overlap one lies inside the other, so in the order of their addresses the innermost that
    are still open are all that a network needs to be compared with.
    """
    position = {name: number for number, name in enumerate(subnets)}
    around: list[str] = []
    for name, subnet in in_order(subnets):
        while around and not subnet.subnet_of(subnets[around[-1]]):
            around.pop()
        if around:
            first, second = sorted((name, around[-1]), key=position.__getitem__)
            yield second, first
        around.append(name)


def _first_master(cluster: Cluster, kept: Allocations) -> str:
    masters = [host.name for host in cluster.having(Role.MASTER)]
    return kept.first_master if kept.first_master in masters else masters[0]


def _fits(subnet: IPv4Network | None, pod_cidr: IPv4Network) -> bool:
    return subnet is not None and subnet.subnet_of(pod_cidr)


def _former(
    cluster: Cluster, kept: Allocations, names: Collection[str], given: Mapping[str, IPv4Network]
) -> dict[str, IPv4Network]:
    """What hosts have that left the inventory, but for what was given to another by name."""
    former = {
        name: subnet
        for name, subnet in kept.subnets.items()
        if name not in names and subnet.subnet_of(cluster.pod_cidr)
    }
    for pair in overlapping({**former, **given}):
        if any(name in given for name in pair):
            for name in pair:
                former.pop(name, None)
    return former


def _blocks(taken: Iterable[IPv4Network], length: int) -> set[IPv4Network]:
    """The parts of this length that are taken, or those wider ones that somebody has as a whole."""
    return {subnet.supernet(new_prefix=length) if subnet.prefixlen > length else subnet for subnet in taken}


def _taken(cluster: Cluster, given: Mapping[str, IPv4Network], claimed: Mapping[str, IPv4Network]) -> Iterator[Finding]:
    """Claims of what another node has; claims that overlap each other were found when the inventory was read."""
    for pair in overlapping(given):
        name = next((name for name in pair if name in claimed), None)
        if name is None:
            yield cluster.origin.finding(
                ("hosts", pair[0]),
                f"hosts {pair[1]} and {pair[0]} both have the pod subnet {given[pair[0]]}",
                "give one of them a pod_subnet of its own",
            )
        else:
            other = pair[0] if name == pair[1] else pair[1]
            yield cluster.origin.finding(
                ("hosts", name, "pod_subnet"),
                f"host {name}: pod_subnet {given[name]} overlaps {given[other]}, which belongs to {other}",
                f"choose another one, or give {other} a pod_subnet of its own, which changes its pods' addresses",
            )


def _no_room(
    cluster: Cluster, left: list[Host], given: Mapping[str, IPv4Network], former: Mapping[str, IPv4Network]
) -> Finding:
    """One finding for all that got nothing, with the width that would do."""
    pods = cluster.pod_cidr
    length = max(NODE_PREFIX, pods.prefixlen)
    inside = _blocks((subnet for subnet in [*given.values(), *former.values()] if subnet.subnet_of(pods)), NODE_PREFIX)
    taken = sum(2 ** max(0, NODE_PREFIX - subnet.prefixlen) for subnet in inside)
    wide = NODE_PREFIX - (taken + len(left) - 1).bit_length()
    names = listed([host.name for host in left], 3)
    reserved = ", ".join(f"{subnet} was {name}'s" for name, subnet in in_order(former)[:3])
    path = ("cluster", "pod_cidr") if ("cluster", "pod_cidr") in cluster.origin.lines else ("hosts", left[0].name)
    return cluster.origin.finding(
        path,
        f"pod_cidr {pods} has no /{length} left for {len(left)} of {len(cluster.having(Role.NODE))} nodes: {names}",
        f"widen it to a /{wide}, or give nodes smaller subnets with pod_subnet"
        + (
            f"; if a host is gone for good, give its subnet to another host with pod_subnet: {reserved}"
            if reserved
            else ""
        ),
    )


def _moved(kept: Mapping[str, IPv4Network], given: Mapping[str, IPv4Network]) -> list[str]:
    return [name for name, subnet in given.items() if kept.get(name, subnet) != subnet]


def _why(name: str, old: IPv4Network, new: IPv4Network, claimed: Mapping[str, IPv4Network]) -> str:
    says = f"hosts.{name}.pod_subnet" if name in claimed else "cluster.pod_cidr"
    return f"its pods move from {old} to {new}, as {says} says"
