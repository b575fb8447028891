"""What a first inventory chooses: defaults, from what hosts answered, and what may be chosen instead. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from k8s_installer import profiles
from k8s_installer.draft.ask import DOCKER, ETCD, KUBERNETES, Facts
from k8s_installer.errors import InputError, did_you_mean
from k8s_installer.inventory.values import image_registry
from k8s_installer.profiles.images import UPSTREAM

PACKAGED = "1.5.2"  # what CentOS 7's extras have
_NETWORKS = ("routes", "flannel", "none")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_MEMBERS = (5, 3, 1)  # of etcd: an even number survives no more losses than the odd one below
_MANY, _MASTERS = 6, 3  # from so many hosts on, so many masters: one of them may fail
_DEFAULT_NAME = "kubernetes"  # kubeadm's, too
_NO_NAMES = ("cluster", "inventory")  # of files, which say nothing
_KUBERNETES = (KUBERNETES, "kubernetes-node", "kubernetes")


@dataclass(frozen=True, slots=True)
class Source:
    """An archive of Kubernetes' programs on this machine: its path as the inventory has it, and its SHA-256."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user decides about the cluster; `source` is None where its programs are packages.

    `registry` has its images, empty for upstream's; it speaks TLS unless it is `insecure`.
    """

    name: str
    version: str
    network: str
    masters: int
    members: int
    source: Source | None
    registry: str = ""
    insecure: bool = False


def suggested_name(output: Path | None) -> str:
    """A name for the cluster: that of the inventory's file, where it can be one."""
    stem = output.stem if output else ""
    return stem if _LABEL.fullmatch(stem) and stem not in _NO_NAMES else _DEFAULT_NAME


def suggested_version(facts: Collection[Facts], known: Sequence[str], *, tarball: bool) -> str:
    """The version that hosts have; else the newest that all of them can install; else what CentOS 7 has.

    Args:
        facts: what hosts answered; nothing where they were not asked.
        known: the versions with a profile, oldest first.
        tarball: whether programs come from this machine, which has no use for what yum offers.
    """
    there = {one.installed[name] for one in facts for name in _KUBERNETES if name in one.installed}
    if len(there) == 1 and _is_served(min(there), known):
        return min(there)
    if tarball:
        return known[-1]
    offers = [one.offered.get(KUBERNETES, frozenset()) for one in facts]
    common = [version for version in frozenset.intersection(*offers) if _is_served(version, known)] if offers else []
    return max(common, key=_numbers, default=PACKAGED)


def suggested_network(facts: Collection[Facts], addresses: Collection[str]) -> str:
    """Routes where all hosts are known to be in one network, or nothing is known; otherwise flannel."""
    inside = [{one.network for _, one in fact.networks if str(one.ip) in addresses} for fact in facts]
    return "routes" if not inside or set.intersection(*inside) else "flannel"


def suggested_masters(count: int) -> int:
    """How many masters so many hosts have."""
    return _MASTERS if count >= _MANY else 1


def suggested_members(masters: int) -> int:
    """How many of the masters are etcd members: an odd number."""
    return next(count for count in _MEMBERS if count <= masters)


def offers_all(facts: Facts, version: str, *, tarball: bool) -> bool:
    """Whether a host has, or its yum can install, everything that comes as a package."""
    kubernetes = {facts.installed.get(KUBERNETES), *facts.offered.get(KUBERNETES, ())}
    return {ETCD, DOCKER} <= facts.installed.keys() | facts.offered.keys() and (tarball or version in kubernetes)


def archive_has_all(facts: Facts, version: str, *, tarball: bool) -> bool:
    """Whether CentOS' archive has everything for this host."""
    return facts.centos and (tarball or version == PACKAGED)


@dataclass(frozen=True, slots=True)
class Checks:
    """What may be chosen for `count` hosts, where `folders` have the profiles that are not packaged.

    Each method takes what was typed and gives the choice. All raise InputError.
    """

    count: int
    tarball: bool = False
    folders: tuple[Path, ...] = ()

    def name(self, typed: str) -> str:
        """A name for the cluster."""
        if not _LABEL.fullmatch(typed):
            raise InputError(f"name {typed!r}: use at most 63 lowercase letters, digits and '-'")
        return typed

    def version(self, typed: str) -> str:
        """A version of Kubernetes that has a profile, and whose programs can be had as they are to be."""
        typed = typed.removeprefix("v")
        programs = profiles.load(typed, self.folders).programs
        if self.tarball and "tarball" not in programs:
            raise InputError(f"Kubernetes {typed} is installed from packages", hint="leave --tarball out")
        if not self.tarball and "packages" not in programs:
            raise InputError(
                f"Kubernetes {typed} is installed from upstream's tarball",
                hint="download kubernetes-server-linux-amd64.tar.gz of that version, and add --tarball FILE",
            )
        return typed

    def network(self, typed: str) -> str:
        """A pod network."""
        if typed not in _NETWORKS:
            hint = did_you_mean(typed, _NETWORKS)
            raise InputError(f"network {typed!r}: use {', '.join(_NETWORKS[:-1])} or {_NETWORKS[-1]}", hint=hint)
        return typed

    def registry(self, typed: str) -> str:
        """A registry of images; empty for upstream's."""
        try:
            return "" if typed == UPSTREAM else image_registry(typed)
        except ValueError as error:
            raise InputError(f"registry {typed!r}: {error}") from None

    def insecure(self, typed: str) -> bool:
        """Whether a registry has no TLS: the answer to whether it has."""
        answer = typed.lower()
        if answer not in ("y", "yes", "n", "no"):
            raise InputError(f"{typed!r}: use yes or no")
        return answer.startswith("n")

    def masters(self, typed: str) -> int:
        """How many of the hosts are masters."""
        if typed not in map(str, range(1, self.count + 1)):
            raise InputError(f"masters {typed!r}: use a number from 1 to {self.count}, the number of hosts")
        return int(typed)

    def members(self, typed: str) -> int:
        """How many of the hosts are members of etcd."""
        fitting = [str(count) for count in reversed(_MEMBERS) if count <= self.count]
        if typed not in fitting:
            raise InputError(
                f"etcd {typed!r}: use {' or '.join(fitting)}",
                hint="at most one a host; an even number of members survives no more losses than the odd one below it",
            )
        return int(typed)


def _is_served(version: str, known: Sequence[str]) -> bool:
    return bool(profiles.serving(version, known))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
