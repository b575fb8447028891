"""Which components, files, programs and packages a host has by its roles and settings: once for each shape. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from k8s_installer.host.families.firewalld import UNIT as FIREWALLD
from k8s_installer.host.paths import BINARIES
from k8s_installer.inventory import Cluster, Host, Role
from k8s_installer.model.resources import Kind, Ref
from k8s_installer.profiles import Component, FileSpec, Profile
from k8s_installer.profiles.when import holds

Shape = tuple[frozenset[Role], frozenset[str]]  # what a layout goes by: roles, and settings that bring files
Requisite = tuple[Kind, str]  # what brings a file's owner, or a first version of it: a package, a user


@dataclass(frozen=True, slots=True)
class Layout:
    """What a host of a certain shape has.

    `files` are those of each component whose conditions hold, `programs` its programs by path. `defined_by` are its
    unit file and drop-ins, `reads` the paths that its process reads, its own and others', and `requisites` what must be
    there before a path is written; `owned` are those of each component. `cleared_by` are units whose changes clear the
    rules that a component writes.
    """

    components: Mapping[str, Component]
    files: Mapping[str, Mapping[str, FileSpec]]
    programs: Mapping[str, Mapping[str, str]]
    defined_by: Mapping[str, tuple[str, ...]]
    reads: Mapping[str, tuple[str, ...]]
    requisites: Mapping[str, tuple[Requisite, ...]]
    owned: Mapping[str, tuple[Requisite, ...]]
    cleared_by: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, cluster: Cluster, profile: Profile, shape: Shape) -> Layout:
        """The layout of a host of this shape in this cluster."""
        roles, settings = shape
        facts = replace(profile.facts(cluster), roles=roles, settings=settings)
        components = profile.on(roles)
        files = {
            name: {path: spec for path, spec in component.files.items() if holds(spec.when, facts)}
            for name, component in components.items()
        }
        programs = {
            name: {f"{BINARIES}/{program}": program for program in component.programs}
            for name, component in components.items()
        }
        there = frozenset[str]().union(*files.values(), *programs.values())
        defined_by = {
            name: tuple(path for path, spec in specs.items() if spec.used_by == "systemd")
            for name, specs in files.items()
        }
        reads = {
            name: tuple(programs[name])
            + tuple(path for path, spec in files[name].items() if spec.used_by == "process")
            + tuple(path for path in component.reads if path in there)
            for name, component in components.items()
        }
        owned = {name: _requisites(component) for name, component in components.items()}
        requisites: dict[str, dict[Requisite, None]] = {path: {} for path in there}
        for name in components:
            for path in (*files[name], *reads[name]):
                requisites[path].update(dict.fromkeys(owned[name]))
        before = {path: tuple(names) for path, names in requisites.items()}
        cleared_by = {name: _cleared_by(component, files[name]) for name, component in components.items()}
        return cls(components, files, programs, defined_by, reads, before, owned, cleared_by)

    def named(self, host: str) -> Named:
        """The names of all that a host of this layout has."""
        refs = {requisite: Ref(host, *requisite) for owned in self.owned.values() for requisite in owned}
        after = {several: tuple(refs[one] for one in several) for several in set(self.requisites.values())}
        return Named(
            refs,
            files={path: Ref(host, Kind.FILE, path) for path in self.requisites},
            after={path: after[several] for path, several in self.requisites.items()},
        )

    def inputs(self, name: str, named: Named) -> list[Ref]:
        """What a component's unit runs, is defined by and reads, and the users that it runs as."""
        return [
            *(named.requisites[one] for one in self.owned[name]),
            *(named.files[path] for path in self.defined_by[name]),
            *(named.files[path] for path in self.reads[name]),
        ]


@dataclass(frozen=True, slots=True)
class Named:
    """The names of one host's packages, users and files, each made once: the edges are many, and hold the same ones.

    `after` are the packages and users that each path comes after.
    """

    requisites: Mapping[Requisite, Ref]
    files: Mapping[str, Ref]
    after: Mapping[str, tuple[Ref, ...]]


def shape(host: Host) -> Shape:
    """The shape of a host."""
    return host.roles, host.conditions


def user(name: str) -> str:
    """The name of the setting that makes a system user."""
    return f"user {name}"


def _requisites(component: Component) -> tuple[Requisite, ...]:
    packages = [(Kind.PACKAGE, package) for package in component.packages]
    return (*packages, *((Kind.SETTING, user(name)) for name in component.users))


def _cleared_by(component: Component, files: Mapping[str, FileSpec]) -> tuple[str, ...]:
    """Of whom rules stand in firewalld's way; kube-proxy and the kubelet write their own chains again in a minute."""
    specs = (component.leaves, *(spec.leaves for spec in files.values()))
    return (FIREWALLD,) if any(spec.rules for spec in specs if spec) else ()
