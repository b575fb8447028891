"""What an inventory asks of components, checked against what the version's programs accept. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import cast

from k8s_installer.desired.agreements import broken
from k8s_installer.desired.certificates import leaves
from k8s_installer.desired.context import Context, of_cluster, of_host
from k8s_installer.desired.flags import rendered
from k8s_installer.desired.keys import wrong_keys
from k8s_installer.desired.nodes import registering, unknown_effects
from k8s_installer.desired.values import FORMS, FREE, Wrong, as_text, wrong
from k8s_installer.errors import Finding, InputError, did_you_mean
from k8s_installer.inventory import ApiKind, ArgValue, Cluster, Host
from k8s_installer.profiles import Component, Profile, Style, has_own, images
from k8s_installer.profiles.pieces import FlagValue
from k8s_installer.render import Renderer


def check(cluster: Cluster, profile: Profile) -> list[Finding]:
    """Every finding at once, in the order of the file; an empty list means that `desire` will work.

    Deprecated flags are fine: they work. Flags of a program whose list we do not have (flannel's) are not checked.
    """
    found = [_own_profile, _security, _network, _programs, _packages, _dns, _addons, unknown_effects]
    cluster = registering(cluster, profile)
    parts = chain.from_iterable(part(cluster, profile) for part in found)
    # Components of a mode that the version does not have agree on nothing.
    disagreements = broken(cluster, profile) if cluster.security in profile.security else ()
    return sorted([*parts, *_tuning(cluster, profile), *disagreements])


def _own_profile(cluster: Cluster, profile: Profile) -> Iterator[Finding]:
    """What profiles beside the inventory say of flags and keys; those of the package are tested."""
    if not has_own(cluster):
        return
    for program, flags in profile.known_flags.items():
        for flag, spec in flags.items():
            if spec.type not in FORMS and spec.type not in FREE:
                message = f"flags of {program} {profile.version}: {flag}: the type {spec.type} is unknown"
                hint = did_you_mean(spec.type, [*FORMS, *FREE]) or "string accepts any value"
                yield Finding(str(cluster.folder / "profiles"), 0, message, hint)
    try:
        leaves(cluster, profile)
    except InputError as error:
        yield Finding(str(cluster.folder / "components"), 0, error.message)
    for name, component in profile.components.items():
        known = profile.accepted(name)
        found = [
            *(
                (flag, one)
                for flag, value in component.flags.every
                if flag in known
                for one in wrong(known[flag], _literal(value))
            ),
            *(
                (key, one)
                for key, value in component.config.items()
                if name in profile.config_schemas and not _is_template(value)
                for one in wrong_keys(profile.config_schemas[name], key, value)
            ),
        ]
        own = cluster.folder / "components" / f"{name}.yaml"
        place = own if own.is_file() else cluster.folder / "profiles"
        for key, one in found:
            message = f"components.{name} of {profile.version}: {key}: {one.message}"
            yield Finding(str(place), 0, message, one.suggestion)


def _literal(value: FlagValue) -> FlagValue | None:
    """A profile's value, if it is the same on all hosts."""
    return None if _is_template(value) else value


def _is_template(value: object) -> bool:
    return "{{" in str(value) or "{%" in str(value)


def _security(cluster: Cluster, profile: Profile) -> Iterator[Finding]:
    if cluster.security not in profile.security:
        known = ", ".join(profile.security)
        message = f"security: {cluster.security} does not exist in Kubernetes {profile.version}: use {known}"
        # The mode may be the default and so have no line of its own; the version is what rules it out then.
        yield cluster.origin.finding(("cluster", "security"), message)


def _network(cluster: Cluster, profile: Profile) -> Iterator[Finding]:
    if cluster.network == "flannel" and "flannel" not in profile.components:
        message = f"network: the profile of Kubernetes {profile.version} has no flannel"
        yield cluster.origin.finding(("cluster", "network"), message)


def _programs(cluster: Cluster, profile: Profile) -> Iterator[Finding]:
    source = profile.source(cluster)
    if source not in profile.programs:
        known = " or ".join(profile.programs)
        message = f"programs: there is no {source} of Kubernetes {profile.version}: use {known}"
        yield cluster.origin.finding(("cluster", "programs"), message)
    elif source == "tarball" and cluster.tarball is None:
        message = "programs come from a tarball, but none is set"
        suggestion = "tarball: {path: FILE, sha256: SUM}, or {sha256: SUM} alone to download upstream's"
        yield cluster.origin.finding(("cluster", "programs"), message, suggestion)
    elif source == "packages" and cluster.tarball is not None:
        message = "a tarball is set, but programs come from packages"
        yield cluster.origin.finding(("cluster", "tarball"), message, "set programs: tarball, or leave it out")


def _packages(cluster: Cluster, profile: Profile) -> Iterator[Finding]:
    """Packages that nothing installs, and those of Kubernetes' own in another version than the cluster's."""
    there = {name: text for one in profile.fitting(cluster).components.values() for name, text in one.packages.items()}
    renderer, names = Renderer(sandboxed=has_own(cluster)), of_cluster(cluster, profile)
    for name, said in cluster.packages.items():
        if name not in there:
            message = f"packages: no component of this cluster installs {name}"
            yield cluster.origin.finding(("packages", name), message, did_you_mean(name, there))
            continue
        version = renderer.text(there[name], names, cluster.name, where=f"{profile.version}: package {name}")
        if version and said.rpartition(":")[2].partition("-")[0] != version:
            message = f"packages: {name} {said} is not of version {version}, which the cluster has"
            yield cluster.origin.finding(("packages", name), message, f"{version}-RELEASE, or leave it out")


def _dns(cluster: Cluster, profile: Profile) -> Iterator[Finding]:
    if cluster.dns not in ("none", *profile.dns):
        known = " or ".join([*profile.dns, "none"])
        message = f"dns: there is no {cluster.dns} for Kubernetes {profile.version}: use {known}"
        yield cluster.origin.finding(("cluster", "dns"), message)
    spec = profile.dns.get(cluster.dns)
    if spec is not None and spec.variants and images.variant(cluster, spec) is None:
        name = spec.versioned
        image = images.of_dns(cluster, spec)[name]
        known = min(spec.variants, key=images.numbers)
        message = f"images.dns.{name}: {image} has no version in its tag, or one older than {known}"
        suggestion = f'{name}: {{image: "{image}", version: "1.8.7"}} sets it, if that is its version'
        yield cluster.origin.finding(("images", "dns", name), message, suggestion)


def _addons(cluster: Cluster, profile: Profile) -> Iterator[Finding]:
    for addon in cluster.addons:
        if addon.name in profile.addons:
            message = f"{addon.name} is a manifest of Kubernetes {profile.version} itself"
            yield Finding(str(cluster.folder / "addons"), 0, message, "rename the file")
        for one in addon.kinds:
            yield from _removed(profile, addon.file, one)


def _removed(profile: Profile, file: str, one: ApiKind) -> Iterator[Finding]:
    """An object by the name of an API that the version does not have."""
    for removed in profile.removed_apis:
        if one.api == removed.api and one.kind in removed.kinds.values():
            message = f"there is no {one.kind} of {one.api} in Kubernetes {profile.version}"
            yield Finding(file, one.line, message, f"use {removed.moved_to}" if removed.moved_to else "")


def _tuning(cluster: Cluster, profile: Profile) -> Iterator[Finding]:
    """Walk what the file says, by path, for its lines; a merged `Tuning` does not know where it comes from."""
    hosts = {host.name: host for host in cluster.hosts}
    here = profile.fitting(cluster)
    own = _Own(cluster, here)
    tunable = [name for name, component in profile.components.items() if component.tunable]
    absent = profile.components.keys() - here.components.keys()
    for path in cluster.origin.lines:
        match path:
            case ("components", name, *more) | ("hosts", _, "components", name, *more) if name not in tunable:
                found = [] if more else [_unknown(path, tunable)]
            case ("components", name) | ("hosts", _, "components", name) if name in absent:
                found = [Wrong((), f"there is no {name} with network: {cluster.network}")]
            case ("components", name, kind, key) | ("hosts", _, "components", name, kind, key):
                value, whose = cluster.origin.at(path), hosts.get(path[1] if path[0] == "hosts" else "")
                if not _fixed(profile.components[name], key):
                    found = [*_wrong(profile, name, kind, key, value)]
                elif own.differs(name, whose, key, value):
                    message = f"{name}: {key} cannot be changed yet: gates, kubeconfigs and other programs depend on it"
                    found = [Wrong((), message)]
                else:
                    continue
            case ("hosts", host, "components", name):
                found = [*_misplaced(here, hosts[host], name)]
            case _:
                continue
        for one in found:
            yield cluster.origin.finding((*path, *one.at), one.message, one.suggestion)


def _unknown(path: tuple[str, ...], known: list[str]) -> Wrong:
    *others, last = [f"'{name}'" for name in known]
    message = f"{'.'.join(path)}: '{path[-1]}' should be {', '.join(others)} or {last}"
    return Wrong((), message, did_you_mean(path[-1], known))


def _misplaced(profile: Profile, host: Host, name: str) -> Iterator[Wrong]:
    here = profile.on(host.roles)
    if name not in here:
        roles = ", ".join(sorted(host.roles))
        yield Wrong((), f"host {host.name} runs no {name}: its roles are {roles}", f"it runs {', '.join(here)}")


def _wrong(profile: Profile, name: str, kind: str, key: str, value: object) -> Iterator[Wrong]:
    """What is wrong with one key of a component's `args` or `config`, and what was probably meant."""
    component, version = profile.components[name], profile.version
    schema, known = profile.config_schemas.get(name), profile.accepted(name)
    if kind == "config" and not component.config:
        yield Wrong((), f"{name} has no configuration file in Kubernetes {version}: use args")
    elif kind == "config" and schema is not None:
        yield from _named(f"{name}: {key}", wrong_keys(schema, key, value))
    elif kind == "args" and key in known:
        yield from _named(f"{name}: {key}", wrong(known[key], _argument(value)))
    elif kind == "args" and known:
        where = f" in Kubernetes {version}" if component.style is Style.KUBERNETES else ""
        yield Wrong((), f"{name} has no flag {key}{where}", did_you_mean(_plain(key), known))


def _plain(key: str) -> str:
    """A flag as programs write it; etcd's variables are in capitals, with underscores."""
    return key.lower().replace("_", "-")


def _fixed(component: Component, key: str) -> bool:
    return _plain(key) in {fixed.lower() for fixed in component.fixed}


def _words(value: object) -> str:
    """A value as text, however it is written."""
    items = value if isinstance(value, tuple | list) else [value]
    return ",".join(as_text(item) if isinstance(item, bool) else str(item) for item in items)


class _Own:
    """The values that components have without the inventory: the profile's, or the program's own."""

    def __init__(self, cluster: Cluster, profile: Profile) -> None:
        self._cluster, self._profile = cluster, profile

    @functools.cached_property
    def _shared(self) -> tuple[Renderer, Context]:
        return Renderer(sandboxed=has_own(self._cluster)), of_cluster(self._cluster, self._profile)

    def differs(self, name: str, host: Host | None, key: str, value: object) -> bool:
        """Whether a value is not what the host has anyway; what all hosts with the component have, without a host."""
        hosts = [host] if host else [one for one in self._cluster.hosts if name in self._profile.on(one.roles)]
        return value is None or any(_words(value) != self._of(name, one, key) for one in hosts)

    def _of(self, name: str, host: Host, key: str) -> str:
        component, known = self._profile.components[name], self._profile.known_flags.get(name, {}).get(key)
        own = component.flags.of(self._cluster).get(key)
        if own is None:
            return _words(component.config.get(key, known.default if known else ""))
        renderer, shared = self._shared
        names = {**shared, **of_host(host, self._cluster, self._cluster.first_master, self._profile, ())}

        def render(text: str, where: str) -> str:
            return renderer.text(text, names, host.name, where=f"{name} {self._profile.version}: {where}")

        return _words(rendered(own, key, render))


def _argument(value: object) -> ArgValue:
    return cast(
        "ArgValue", tuple(value) if isinstance(value, list) else value
    )  # its shape was checked when it was read


def _named(name: str, found: Iterable[Wrong]) -> Iterator[Wrong]:
    for one in found:
        yield Wrong(one.at, f"{name}: {one.message}", one.suggestion)
