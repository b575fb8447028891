"""Which components, files and packages a host has by its roles: worked out once per set of roles. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from k8s_installer.inventory import Cluster, Role
from k8s_installer.profiles import Component, FileSpec, Profile
from k8s_installer.resources import Kind, Ref


@dataclass(frozen=True, slots=True)
class Layout:
    """What a host with certain roles has.

    `files` are those of each component whose conditions hold. `defined_by` are its unit file and drop-ins, `reads`
    the paths that its process reads, its own and others', and `packages` those that must be installed before a path
    is written: they bring its owner and a first version of it.
    """

    components: Mapping[str, Component]
    files: Mapping[str, Mapping[str, FileSpec]]
    defined_by: Mapping[str, tuple[str, ...]]
    reads: Mapping[str, tuple[str, ...]]
    packages: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, cluster: Cluster, profile: Profile, roles: frozenset[Role]) -> Layout:
        """The layout of a host with these roles in this cluster."""
        components = profile.on(roles)
        files = {name: _files(cluster, component, roles) for name, component in components.items()}
        there = frozenset(path for specs in files.values() for path in specs)
        defined_by = {
            name: tuple(path for path, spec in specs.items() if spec.used_by == "systemd")
            for name, specs in files.items()
        }
        reads = {
            name: tuple(path for path, spec in files[name].items() if spec.used_by == "process")
            + tuple(path for path in component.reads if path in there)
            for name, component in components.items()
        }
        packages: dict[str, dict[str, None]] = {path: {} for path in there}
        for name, component in components.items():
            for path in (*files[name], *reads[name]):
                packages[path].update(dict.fromkeys(component.packages))
        return cls(components, files, defined_by, reads, {path: tuple(names) for path, names in packages.items()})

    def named(self, host: str) -> Named:
        """The names of all that a host of this layout has."""
        packages = {
            package: Ref(host, Kind.PACKAGE, package)
            for component in self.components.values()
            for package in component.packages
        }
        brought_by = {names: tuple(packages[name] for name in names) for names in set(self.packages.values())}
        return Named(
            packages,
            files={path: Ref(host, Kind.FILE, path) for path in self.packages},
            brought_by={path: brought_by[names] for path, names in self.packages.items()},
        )

    def inputs(self, name: str, named: Named) -> list[Ref]:
        """What a component's unit runs, is defined by and reads."""
        return [
            *(named.packages[package] for package in self.components[name].packages),
            *(named.files[path] for path in self.defined_by[name]),
            *(named.files[path] for path in self.reads[name]),
        ]


@dataclass(frozen=True, slots=True)
class Named:
    """The names of one host's packages and files, each made once: the edges are many, and hold the same ones.

    `brought_by` are the packages that each path comes after.
    """

    packages: Mapping[str, Ref]
    files: Mapping[str, Ref]
    brought_by: Mapping[str, tuple[Ref, ...]]


def _files(cluster: Cluster, component: Component, roles: frozenset[Role]) -> dict[str, FileSpec]:
    return {
        path: spec
        for path, spec in component.files.items()
        if spec.roles & roles and spec.security in (None, cluster.security) and spec.network in (None, cluster.network)
    }
