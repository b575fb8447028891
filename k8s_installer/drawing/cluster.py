"""A cluster as a picture: its hosts, what runs on them, and who connects to whom. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

from k8s_installer.desired.connections import UNVERIFIED, Connection, Party
from k8s_installer.drawing.model import Arrow, Box, Drawing, Lane
from k8s_installer.inventory import Cluster, Host, Role
from k8s_installer.profiles import Profile
from k8s_installer.report.connections import words
from k8s_installer.report.names import spans

_ABOVE = (Role.NODE, Role.MASTER, Role.ETCD)  # lanes, by the first of these that their hosts are
_OUTSIDE = "outside"
_ADDRESSED = 3  # hosts in a lane whose addresses are shown
_DESCRIPTION = (
    "Each frame is a group of hosts that have the same, each box a program. An arrow leads from the program that "
    "connects to the one that listens; its label has the port and the certificate that the client shows."
)
_NOTES = (
    "An arrow leads from who connects to who listens, with the port and the client's certificate.",
    "Blue: TLS. Red: unencrypted, or insecure registry. Dotted: a local socket. Dashed: not a service of the cluster.",
)

Place = tuple[str, str]  # the lane and the name of a box


def drawing(cluster: Cluster, profile: Profile, connections: Sequence[Connection]) -> Drawing:
    """The picture of a cluster; health checks are left out.

    Args:
        cluster: the inventory.
        profile: that of its version.
        connections: what connects to what (`desired.connections`).
    """
    shown = [one for one in connections if not one.check]
    lanes = _lanes(cluster)
    of_host = {host: lane for lane, hosts in lanes.items() for host in hosts}
    peers, arrows = dict[Place, list[str]](), dict[tuple[Place, Place, str], Arrow]()
    boxes: dict[Place, Party] = {}
    for one in shown:
        for source in _places(one.client, of_host):
            boxes.setdefault(source, one.client)
            for target in _places(one.server, of_host):
                boxes.setdefault(target, one.server)
                if one.client.name == one.server.name:
                    peers.setdefault(target, []).append(f"peers: {one.port or one.protocol}")
                elif not one.here or source[0] == target[0]:
                    arrow = _arrow(one, source, target, lanes)
                    arrows[source, target, arrow.label] = arrow
    for place, party in _silent(cluster, profile, lanes):
        boxes.setdefault(place, party)
    count = len(cluster.hosts)
    ranks = _ranks(shown, list(profile.components), [name for _, name in boxes])
    return Drawing(
        f"{cluster.name}: Kubernetes {cluster.version} on {count} host{'s' * (count != 1)}",
        _DESCRIPTION,
        (Lane(_OUTSIDE), *(Lane(lane, _title(cluster, lane, hosts)) for lane, hosts in lanes.items())),
        tuple(
            Box(_id(place), place[0], ranks[place[1]], (party.name, *dict.fromkeys(peers.get(place, ()))), _kind(party))
            for place, party in boxes.items()
        ),
        tuple(arrows.values()),
        notes=_NOTES,
    )


def _lanes(cluster: Cluster) -> dict[str, tuple[str, ...]]:
    """The hosts that have the same roles, by a name for them."""
    found: dict[str, list[str]] = {}
    for host in sorted(cluster.hosts, key=_height):
        found.setdefault("+".join(sorted(host.roles)), []).append(host.name)
    return {lane: tuple(hosts) for lane, hosts in found.items()}


def _height(host: Host) -> int:
    return next(number for number, role in enumerate(_ABOVE) if role in host.roles)


def _title(cluster: Cluster, lane: str, hosts: Sequence[str]) -> tuple[str, ...]:
    count = f"{len(hosts)} hosts: " if len(hosts) > 1 else ""
    few = hosts if len(hosts) <= _ADDRESSED else ()
    addresses = [host.address for host in cluster.hosts if host.name in few]
    return (spans(hosts), f"{count}{lane.replace('+', ', ')}", *addresses)


def _places(party: Party, of_host: Mapping[str, str]) -> Iterable[Place]:
    """The boxes that stand for one side of a connection."""
    lanes = dict.fromkeys(of_host[host] for host in party.hosts) if party.hosts else (_OUTSIDE,)
    return [(lane, party.name) for lane in lanes]


def _id(place: Place) -> str:
    return "/".join(place)


def _kind(party: Party) -> str:
    return "outside" if party.outside or party.by else "component"


def _arrow(one: Connection, source: Place, target: Place, lanes: Mapping[str, tuple[str, ...]]) -> Arrow:
    there = frozenset(lanes.get(target[0], ()))
    some = [host for host in one.server.hosts if host in there]
    of = f" of {spans(some)}" if len(some) < len(there) else ""
    port = one.port.rpartition("/")[2] if one.protocol == "unix" else one.port
    parts = [f"{port or one.protocol}{of}", f"cert {one.certificate.name}" if one.certificate else ""]
    parts += [f"via {one.via}" if one.via else "", _trust(one)]
    kinds = {"https": "tls", "http": "plain", "unix": "local", UNVERIFIED: "plain"}
    label = ", ".join(filter(None, parts))
    return Arrow(_id(source), _id(target), label, kinds.get(one.protocol, ""), words(one))


def _trust(one: Connection) -> str:
    """What is to be known of a connection that does not verify whom it reaches."""
    if one.protocol == "http":
        return "no encryption"
    return "not verified" if one.protocol == "https" and one.server.component and not one.server_certificate else ""


def _silent(cluster: Cluster, profile: Profile, lanes: Mapping[str, Sequence[str]]) -> Iterator[tuple[Place, Party]]:
    """The boxes of all services, also of those that talk to nobody."""
    for name, component in profile.fitting(cluster).components.items():
        having = {host.name for host in cluster.hosts if component.roles & host.roles}
        for lane, hosts in lanes.items():
            if component.unit and not having.isdisjoint(hosts):
                yield (lane, name), Party(name, tuple(hosts))


def _ranks(shown: Sequence[Connection], order: Sequence[str], names: Iterable[str]) -> dict[str, int]:
    """How far to the right each box stands: servers to the right of their clients, those that all need furthest.

    What starts later connects to what starts earlier; the other way round an arrow goes back.
    """
    leads: dict[str, set[str]] = {name: set() for name in names}
    for one in shown:
        known = one.client.by or one.client.outside or one.server.outside
        if known or order.index(one.server.component) < order.index(one.client.component):
            leads[one.client.name].add(one.server.name)

    @cache
    def above(name: str) -> int:
        return max((above(other) + 1 for other in leads[name]), default=0)

    highest = max(map(above, leads))
    return {name: highest - above(name) for name in leads}
