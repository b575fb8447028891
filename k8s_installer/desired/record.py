"""What hosts report as allocated in their cluster: pod subnets, and the first master. Pure.

The record on the masters is the same for everybody who works on the cluster; the one beside the inventory saves a look
and lets `render` work without SSH. Clusters from before the record have the list of routes, and each node has its
subnet in a file (`pod_subnet` of a component).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv4Network

from k8s_installer.desired.host import RECORD
from k8s_installer.errors import InstallerError
from k8s_installer.host.paths import ROUTES
from k8s_installer.inventory import Allocations, Cluster, Role
from k8s_installer.inventory.allocations import read
from k8s_installer.model.desired import Desired, DesiredResource
from k8s_installer.model.resources import File, Kind, Missing, Ref, Seen, SeenFile
from k8s_installer.profiles import Profile


def evidence(cluster: Cluster, desired: Desired, profile: Profile) -> Desired:
    """The files that record allocations: read even where a plan is about other things."""
    names = [Ref(host.name, Kind.FILE, path) for host in cluster.having(Role.MASTER) for path in (RECORD, ROUTES)]
    own = profile.pod_subnet.file
    names += [Ref(host.name, Kind.FILE, own) for host in cluster.having(Role.NODE)]
    return {ref: desired[ref] for ref in names if ref in desired}


def with_records(part: Desired, whole: Desired, first_master: str, profile: Profile) -> Desired:
    """A part of what is wanted, with the masters' record whatever part it is: who works on another part looks there.

    A node gets its subnet when the first master has recorded it, which is asked about every node.
    """
    records = {ref: wanted for ref, wanted in whole.items() if ref.name == RECORD}
    first, own = Ref(first_master, Kind.FILE, RECORD), profile.pod_subnet.file
    return records | {
        ref: replace(wanted, after=(*wanted.after, first)) if ref.name == own else wanted
        for ref, wanted in part.items()
    }


def found(
    cluster: Cluster, evidence: Desired, seen: Mapping[Ref, Seen], known: Allocations, profile: Profile
) -> Allocations:
    """The allocations that the hosts report, over those `known` here; hosts that were not asked report nothing.

    Raises:
        InstallerError: hosts disagree about a node's subnet and the inventory does not decide it.
    """
    masters = [host.name for host in cluster.having(Role.MASTER)]
    texts = {ref: _Text.of(wanted, seen.get(ref, Missing.UNKNOWN)) for ref, wanted in evidence.items()}

    def text(host: str, path: str) -> _Text:
        return texts.get(Ref(host, Kind.FILE, path), _NOTHING)

    # a file that is as desired holds what is known already, and need not be read
    records = {name: known if (file := text(name, RECORD)).as_wanted else _read(file.content) for name in masters}
    lists = {name: records[name].subnets or dict(_routes(text(name, ROUTES).content)) for name in masters}
    own, bridges = profile.pod_subnet, dict[str, IPv4Network]()
    for ref, file in texts.items():
        subnet = known.subnets.get(ref.host) if file.as_wanted else _bridge(cluster, file.content, own.flag)
        if ref.name == own.file and subnet is not None:
            bridges[ref.host] = subnet
    subnets = _as_renamed(cluster, _agreed(cluster, lists, bridges), bridges)
    taken = {*subnets.values()}
    fresh = {name: subnet for name, subnet in bridges.items() if name not in subnets and subnet not in taken}
    local = {name: subnet for name, subnet in known.subnets.items() if name not in subnets and subnet not in taken}
    leaders = dict.fromkeys(one.first_master for one in records.values() if one.first_master in masters)
    first = known.first_master if known.first_master in leaders or not leaders else next(iter(leaders))
    return Allocations(first, {**local, **fresh, **subnets})


@dataclass(frozen=True, slots=True)
class _Text:
    """A file of a host: its content, and whether that is as desired; empty if it is absent or was not asked for."""

    content: str
    as_wanted: bool

    @classmethod
    def of(cls, wanted: DesiredResource, seen: Seen) -> _Text:
        """The text of a file as seen.

        Raises:
            InstallerError: the record is there and could not be read.
        """
        if not isinstance(seen, SeenFile) or not isinstance(wanted.resource, File):
            return _NOTHING
        if seen.content is not None:
            return cls(seen.content.decode(errors="replace"), as_wanted=False)
        if seen.sha256 == wanted.resource.sha256:
            return cls(wanted.resource.content.decode(), as_wanted=True)
        if wanted.ref.name != RECORD:
            return _NOTHING
        host = wanted.ref.host
        raise InstallerError(
            f"{host}: {RECORD} cannot be read: the pod subnet allocations are unknown",
            hint=f"check it: ls -l {RECORD}; a broken record may be removed, "
            "because the hosts' routes have the same information",
        )


_NOTHING = _Text("", as_wanted=False)


def _read(text: str) -> Allocations:
    try:
        return read(text)
    except ValueError:  # somebody edited it; the list of routes holds the same
        return Allocations()


def _routes(text: str) -> Iterator[tuple[str, IPv4Network]]:
    for line in text.splitlines():
        match line.split():
            case [subnet, _, name] if not subnet.startswith("#"):
                try:
                    yield name, IPv4Network(subnet)
                except ValueError:
                    continue


def _bridge(cluster: Cluster, text: str, flag: str) -> IPv4Network | None:
    """The subnet that a node gives its pods, where it is one of this cluster's."""
    given = re.search(rf"--{re.escape(flag)}[= ]([\d./]+)", text)
    try:
        subnet = IPv4Interface(given[1]).network if given else None
    except ValueError:
        return None
    return subnet if subnet is not None and subnet.subnet_of(cluster.pod_cidr) else None


def _agreed(
    cluster: Cluster, lists: Mapping[str, Mapping[str, IPv4Network]], bridges: Mapping[str, IPv4Network]
) -> dict[str, IPv4Network]:
    """What the masters' lists agree on; where they differ (an interrupted run), the node's own file decides."""
    reported: dict[str, dict[IPv4Network, str]] = {}
    for master, subnets in {id(subnets): (master, subnets) for master, subnets in lists.items()}.values():
        for name, subnet in subnets.items():
            reported.setdefault(name, {}).setdefault(subnet, master)
    claimed = {host.name: host.pod_subnet for host in cluster.hosts if host.pod_subnet is not None}
    agreed: dict[str, IPv4Network] = {}
    for name, masters in reported.items():
        own = [subnet for subnet in masters if len(masters) == 1 or subnet in (claimed.get(name), bridges.get(name))]
        if not own:
            listed = ", ".join(f"{subnet} on {master}" for subnet, master in masters.items())
            raise InstallerError(
                f"masters disagree about the pod subnet of {name}: {listed}",
                hint=f"set the right one in hosts.{name}.pod_subnet of the inventory",
            )
        agreed[name] = own[0]
    return agreed


def _as_renamed(
    cluster: Cluster, subnets: Mapping[str, IPv4Network], bridges: Mapping[str, IPv4Network]
) -> dict[str, IPv4Network]:
    """The recorded subnets, where a host that has another name by now keeps what it gives its pods.

    It is known by its subnet: whoever is recorded with that is no longer in the inventory, and no other host has it.
    """
    names, owners = {host.name for host in cluster.hosts}, Counter(bridges.values())
    gone = {subnet for name, subnet in subnets.items() if name not in names}
    renamed = {name: subnet for name, subnet in bridges.items() if subnet in gone and owners[subnet] == 1}
    passed_on = {*renamed.values()}
    return {name: subnet for name, subnet in subnets.items() if name in names or subnet not in passed_on} | renamed
