"""Hosts and choices put together: who is called what, who has which role, and the text of the inventory. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from k8s_installer.draft.ask import DOCKER, PACKAGES, Facts
from k8s_installer.draft.choose import Choices, archive_has_all, offers_all
from k8s_installer.draft.targets import Target
from k8s_installer.errors import InputError, listed
from k8s_installer.inventory import Role
from k8s_installer.inventory.topology import NODE_NAME, TAKEN_NAMES
from k8s_installer.preflight.tables import OF_PODS
from k8s_installer.profiles import Profile
from k8s_installer.render import Renderer
from k8s_installer.untrusted.visible import visible

T = TypeVar("T")
_TEMPLATE = "draft/inventory.yaml.j2"
_NO_LABEL = re.compile(r"[^a-z0-9]+")
_ROOT, _SSH_PORT = "root", 22
# Of pods and of Services: the first two that no host is in.
_NETWORKS = ("10.244.0.0/16", "10.254.0.0/16", "172.24.0.0/16", "172.25.0.0/16", "192.168.0.0/17", "192.168.128.0/17")
_LONGEST_NOTE = 60  # characters of what a host says of itself
_REDHAT_DOCKER = "1."  # 1.13, of CentOS 7's extras, has flags that docker's own packages do not have


@dataclass(frozen=True, slots=True)
class Machine:
    """One host as it was typed, and what it answered; None where it was not asked."""

    target: Target
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class DraftHost:
    """A host of the inventory; `user` and `port` are None where they are as `ssh:` says, `note` is what it is like."""

    name: str
    address: str
    roles: tuple[Role, ...]
    user: str | None
    port: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Draft:
    """An inventory before it is text, and what its reader should know (`warnings`).

    `files` are `key` and `known_hosts` of `ssh:`. `vault` says that packages come from CentOS' archive, `containers`
    that hosts are containers, `own_docker` that their docker is not Red Hat's.
    """

    choices: Choices
    hosts: tuple[DraftHost, ...]
    user: str
    port: int
    files: Mapping[str, str]
    pods: IPv4Network
    services: IPv4Network
    vault: bool
    containers: bool
    own_docker: bool
    warnings: tuple[str, ...]

    def having(self, role: Role) -> int:
        """How many hosts have a role."""
        return sum(role in host.roles for host in self.hosts)


def made(machines: Sequence[Machine], choices: Choices, files: Mapping[str, str]) -> Draft:
    """Make an inventory of what was typed, what hosts answered and what was chosen.

    Args:
        machines: the hosts; the first ones become masters and etcd members.
        choices: what was decided.
        files: `key` and `known_hosts`, where they were given.

    Raises:
        InputError: two of them are one host.
    """
    _require_different(machines)
    moved = [_moved(machine) for machine in machines]
    machines = [machine for machine, _ in moved]
    roles = [_roles(number, len(machines), choices) for number in range(len(machines))]
    names, doubts = _names(machines, roles)
    user, port = _usual(_user(one) for one in machines), _usual(_port(one) for one in machines)
    hosts = tuple(
        DraftHost(
            name, one.target.address, role,
            _user(one) if _user(one) != user else None, _port(one) if _port(one) != port else None, _note(one.facts),
        )
        for name, one, role in zip(names, machines, roles, strict=True)
    )  # fmt: skip
    asked = {name: one.facts for name, one in zip(names, machines, strict=True) if one.facts is not None}
    tarball = choices.source is not None
    poor = {name: facts for name, facts in asked.items() if not offers_all(facts, choices.version, tarball=tarball)}
    pods, services = _free(machines)
    return Draft(
        choices, hosts, user, port, files, pods, services,
        vault=not asked or any(facts.centos for facts in poor.values()),
        containers=any(facts.container for facts in asked.values()),
        own_docker=any(_own_docker(facts) for facts in asked.values()),
        warnings=(
            *(warning for _, warning in moved if warning), *doubts, *_taken(asked), *_lacking(poor, choices)
        ),
    )  # fmt: skip


def text(draft: Draft, profile: Profile, versions: Sequence[str], file: str) -> str:
    """The inventory, with a comment for each setting.

    Args:
        draft: what it says.
        profile: that of its version.
        versions: those that have a profile, to choose from.
        file: its own name, for the commands that it shows.
    """
    dns = next((name for name in ("coredns", "kube-dns") if name in profile.dns), "")
    registry = draft.choices.registry
    context = {
        "pause": _short(profile.pause_image), "registry": registry, "insecure_registry": registry.partition("/")[0],
        "images": {name: _short(image) for name, image in profile.dns[dns].images.items()} if dns else {},
        "draft": draft, "choices": draft.choices, "versions": versions, "file": _one_line(file), "dns": dns,
        "insecure": "insecure" in profile.security, "masters": draft.having(Role.MASTER),
        "key": draft.files.get("key"), "known_hosts": draft.files.get("known_hosts"), "ssh_port": _SSH_PORT,
    }  # fmt: skip
    return Renderer().file(_TEMPLATE, context, draft.choices.name).decode()


def _short(image: str) -> str:
    """The name of an image in whatever registry."""
    return image.partition("/")[2]


def _require_different(machines: Sequence[Machine]) -> None:
    """Raise InputError where a host has two of the addresses that were typed."""
    typed = {one.target.address for one in machines}
    shared = [" and ".join(sorted(typed.intersection(_own(one.facts)))) for one in machines if one.facts]
    wrong = [f"{addresses} are the same host" for addresses in dict.fromkeys(shared) if " and " in addresses]
    if wrong:
        raise InputError("\n".join(wrong), hint="name each host once")


def _own(facts: Facts) -> list[str]:
    return [
        str(interface.ip) for name, interface in facts.networks if not interface.is_loopback and name not in OF_PODS
    ]


def _moved(machine: Machine) -> tuple[Machine, str]:
    """The host at its own address and port, where it was reached at others (as behind NAT), and a warning of that."""
    target, facts = machine.target, machine.facts
    if facts is None or target.address in _own(facts) or IPv4Address(target.address).is_loopback or not _own(facts):
        return machine, ""
    there = [str(interface.ip) for name, interface in facts.networks if name == facts.device]
    address = (there or _own(facts))[0]
    warning = (
        f"{target.address} is not an address of that host itself: the inventory has {address}, at which the other hosts"
        f" reach it. Run k8s-installer where {address} answers, or set ssh.gateway"
    )
    return replace(machine, target=replace(target, address=address, port=None)), warning


def _roles(number: int, count: int, choices: Choices) -> tuple[Role, ...]:
    """The roles of the host with this number, from 0; where all are masters, they are nodes, too."""
    masters = choices.masters
    wanted = {
        Role.ETCD: number < choices.members,
        Role.MASTER: number < masters,
        Role.NODE: number >= masters or masters == count,
    }
    return tuple(role for role, has in wanted.items() if has)


def _names(machines: Sequence[Machine], roles: Sequence[Sequence[Role]]) -> tuple[list[str], list[str]]:
    """A name for each host, and warnings of names that several have.

    It is the one that the host has itself, else its DNS name, else m1, m2 ... for masters and n1, n2 ... for nodes.
    """
    wanted = [_label(one.facts.hostname if one.facts else "") or _label(one.target.host) for one in machines]
    counts = Counter(wanted)
    names: list[str] = []
    for number, name in enumerate(wanted):
        first = "m" if Role.MASTER in roles[number] else "n"
        if not name or counts[name] > 1:
            place = sum((Role.MASTER in other) == (Role.MASTER in roles[number]) for other in roles[: number + 1])
            free = (f"{first}{index}" for index in range(place, place + len(machines) + 1))
            name = next(one for one in free if one not in wanted and one not in names)  # noqa: PLW2901 - the one it gets
        names.append(name)
    warnings = [
        f"{count} hosts call themselves {name}, and have other names here: name each with hostnamectl set-hostname"
        for name, count in counts.items()
        if name and count > 1
    ]
    return names, warnings


def _label(host: str) -> str:
    """The first part of a host's name as a name in the inventory; empty where it is none, or means something else."""
    name = _NO_LABEL.sub("-", host.lower().partition(".")[0]).strip("-")
    return "" if name in TAKEN_NAMES or name.isdecimal() or len(name) > NODE_NAME else name


def _user(machine: Machine) -> str:
    return machine.target.user or _ROOT


def _port(machine: Machine) -> int:
    return machine.target.port or _SSH_PORT


def _usual(values: Iterable[T]) -> T:
    return Counter(values).most_common(1)[0][0]


def _free(machines: Sequence[Machine]) -> tuple[IPv4Network, IPv4Network]:
    """Networks for pods and for Services that no host is in; the usual ones where all are taken."""
    taken = [IPv4Network(one.target.address) for one in machines]
    taken += [
        interface.network
        for one in machines if one.facts
        for name, interface in one.facts.networks if name not in OF_PODS
    ]  # fmt: skip
    networks = [IPv4Network(network) for network in _NETWORKS]
    free = [network for network in networks if not any(network.overlaps(other) for other in taken)]
    pods, services, *_ = [*free, *(network for network in networks if network not in free)]
    return pods, services


def _own_docker(facts: Facts) -> bool:
    """Whether the docker of a host, or the one that it will get, is not the one of CentOS 7's extras."""
    versions = {facts.installed[DOCKER]} if DOCKER in facts.installed else facts.offered.get(DOCKER, frozenset())
    return bool(versions) and not any(version.startswith(_REDHAT_DOCKER) for version in versions)


def _taken(asked: Mapping[str, Facts]) -> Iterator[str]:
    """Warnings of hosts that belong to a cluster of this program."""
    clusters: dict[str, list[str]] = {}
    for name, facts in asked.items():
        for cluster in facts.clusters:
            clusters.setdefault(cluster, []).append(name)
    for cluster, names in clusters.items():
        yield f"{listed(names)}: k8s-installer has made the cluster {_one_line(cluster)} there, from another inventory"


def _lacking(poor: Mapping[str, Facts], choices: Choices) -> Iterator[str]:
    """A warning of hosts that will not find what comes as a package."""
    tarball = choices.source is not None
    names = [name for name, facts in poor.items() if not archive_has_all(facts, choices.version, tarball=tarball)]
    if names:
        wanted = "etcd and docker" if tarball else f"etcd, docker and kubernetes-master {choices.version}"
        other = "" if tarball else ", or use --tarball FILE"
        yield f"{listed(names)}: yum does not find {wanted} there: add a repository that has them{other}"


def _note(facts: Facts | None) -> str:
    """What a host is like, in a few words."""
    if facts is None:
        return ""
    system = _one_line(facts.system) or "unknown system"
    there = [f"{name} {facts.installed[name]}" for name in PACKAGES if name in facts.installed]
    return "; ".join([system, *([f"has {_one_line(', '.join(there))}"] if there else [])])


def _one_line(words: str) -> str:
    """What others wrote, as a part of a comment."""
    line = visible(" ".join(words.split()))
    return line if len(line) <= _LONGEST_NOTE else f"{line[:_LONGEST_NOTE]}..."
