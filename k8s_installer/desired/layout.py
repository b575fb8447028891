"""Which components, files and packages a host has by its roles: worked out once per set of roles. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from k8s_installer.inventory import Cluster, Role
from k8s_installer.profiles import Component, FileSpec, Profile


@dataclass(frozen=True, slots=True)
class Layout:
    """What a host with certain roles has.

    `files` are those of each component whose conditions hold. `reads` are the paths that each component's
    process reads, its own and others', and `packages` those that must be installed before a path is written:
    they bring its owner and a first version of it.
    """

    components: Mapping[str, Component]
    files: Mapping[str, Mapping[str, FileSpec]]
    reads: Mapping[str, tuple[str, ...]]
    packages: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, cluster: Cluster, profile: Profile, roles: frozenset[Role]) -> Layout:
        """The layout of a host with these roles in this cluster."""
        components = profile.on(roles)
        files = {name: _files(cluster, component, roles) for name, component in components.items()}
        there = frozenset(path for specs in files.values() for path in specs)
        reads = {
            name: tuple(path for path, spec in files[name].items() if spec.used_by == "process")
            + tuple(path for path in component.reads if path in there)
            for name, component in components.items()
        }
        packages: dict[str, dict[str, None]] = {path: {} for path in there}
        for name, component in components.items():
            for path in (*files[name], *reads[name]):
                packages[path].update(dict.fromkeys(component.packages))
        return cls(components, files, reads, {path: tuple(names) for path, names in packages.items()})

    def defined_by(self, name: str) -> tuple[str, ...]:
        """The unit files and drop-ins of a component."""
        return tuple(path for path, spec in self.files[name].items() if spec.used_by == "systemd")


def _files(cluster: Cluster, component: Component, roles: frozenset[Role]) -> dict[str, FileSpec]:
    return {
        path: spec
        for path, spec in component.files.items()
        if spec.roles & roles and spec.security in (None, cluster.security) and spec.network in (None, cluster.network)
    }
