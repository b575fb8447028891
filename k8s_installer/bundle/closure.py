"""Which packages it takes to install some: those, what they require, what that requires, and so on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from k8s_installer.bundle.repodata import Capability, Rpm, holds
from k8s_installer.model.resources import Package
from k8s_installer.planning.evr import NEWER, Evr, compare


@dataclass(frozen=True, slots=True)
class Closure:
    """Packages in the order in which they were found necessary, and what nothing offers, in words."""

    rpms: tuple[Rpm, ...]
    lacking: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offers:
    """What there is to choose from: packages by name, and who provides each capability or path."""

    by_name: Mapping[str, Sequence[Rpm]]
    by_capability: Mapping[str, Sequence[tuple[Rpm, Capability]]]

    @classmethod
    def of(cls, rpms: Iterable[Rpm], more_paths: Mapping[str, Iterable[str]] | None = None) -> Offers:
        """Index packages; `more_paths` are files that primary does not name, by the sum of their package."""
        names: dict[str, list[Rpm]] = {}
        capabilities: dict[str, list[tuple[Rpm, Capability]]] = {}
        more = more_paths or {}
        for rpm in rpms:
            names.setdefault(rpm.name, []).append(rpm)
            for provided in rpm.provides:
                capabilities.setdefault(provided.name, []).append((rpm, provided))
            for path in (*sorted(rpm.paths), *more.get(rpm.sum[1], ())):
                capabilities.setdefault(path, []).append((rpm, Capability(path)))
        return cls(names, capabilities)


def closure(wanted: Iterable[Package], offers: Offers, assumed: Sequence[str] = ()) -> Closure:
    """Everything that must be had to install `wanted`, in the newest version that fits.

    Of several packages that satisfy a requirement one that is taken already will do, then the one of its own name, then
    the one with the shortest name, as yum does. What hosts have already is not known, so all of it counts, but for
    `assumed` capabilities (patterns).
    """
    chosen: dict[str, Rpm] = {}
    lacking: dict[str, None] = {}
    queue: list[Rpm] = []

    def take(rpm: Rpm) -> None:
        if rpm.name not in chosen:
            chosen[rpm.name] = rpm
            queue.append(rpm)

    for package in sorted(set(wanted), key=lambda item: (item.name, item.version)):
        fitting = [rpm for rpm in offers.by_name.get(package.name, ()) if _fits(rpm, package.version)]
        if fitting:
            take(max(fitting, key=_newest))
        elif not _is_assumed(package.name, assumed):
            lacking[_no_package(package, offers)] = None
    while queue:
        rpm = queue.pop(0)
        for required in rpm.requires:
            if required.name.startswith("rpmlib(") or _is_assumed(required.name, assumed):
                continue
            found = _provider(required, offers, chosen)
            if found is None:
                lacking[f"nothing provides {required}, which {rpm} requires"] = None
            else:
                take(found)
    return Closure(tuple(chosen.values()), tuple(lacking))


def _fits(rpm: Rpm, version: str) -> bool:
    wanted = Evr.parse(version)
    own = rpm.evr if wanted.epoch else rpm.evr._replace(epoch="")
    return not version or compare(own, wanted) == 0


def _provider(required: Capability, offers: Offers, chosen: Mapping[str, Rpm]) -> Rpm | None:
    fitting = [rpm for rpm, provided in offers.by_capability.get(required.name, ()) if holds(provided, required)]
    if not fitting:
        return None
    there = [rpm for rpm in fitting if chosen.get(rpm.name) is rpm]
    if there:
        return there[0]
    name = min({rpm.name for rpm in fitting}, key=lambda name: (name != required.name, len(name), name))
    return max((rpm for rpm in fitting if rpm.name == name), key=_newest)


def _newest(rpm: Rpm) -> tuple[Any, str]:
    return NEWER(rpm.evr), rpm.arch


def _is_assumed(name: str, assumed: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in assumed)


def _no_package(package: Package, offers: Offers) -> str:
    others = sorted({rpm.evr.version for rpm in offers.by_name.get(package.name, ())})
    there = f" (available: {', '.join(others)})" if others else ""
    return f"no package {package.name} {package.version}".rstrip() + there
