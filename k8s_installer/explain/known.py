"""The cluster that is explained: its inventory, its profile, what is wanted of it, and which line says what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from k8s_installer.desired.build import Topology
from k8s_installer.desired.certificates import leaves
from k8s_installer.desired.connections import Connection, connections
from k8s_installer.desired.context import Context, of_host
from k8s_installer.desired.files import PLACEHOLDERS, Source
from k8s_installer.desired.layout import Layout
from k8s_installer.desired.nodes import registering
from k8s_installer.explain.texts import Texts
from k8s_installer.inventory import Allocations, Cluster, Host, settle, source
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import File, Kind, Ref
from k8s_installer.pki import Leaf, Pki
from k8s_installer.profiles import Component, Profile
from k8s_installer.profiles.components import Parts
from k8s_installer.profiles.files import COMPONENTS
from k8s_installer.render import Renderer
from k8s_installer.untrusted import userfile

_COMMENT = re.compile(r"(?:^|\s)#\s+(.*)$")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file that says a value: its path as people type it, its number, and the comment beside it."""

    file: str
    line: int
    comment: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Key(NamedTuple):
    """A key of a configuration file by the mappings that lead to it (it may have dots itself), and its value."""

    path: tuple[str, ...]
    value: object


@dataclass(frozen=True, slots=True)
class Known:
    """All that a cluster's explanations are made of. `profile` has the components that the cluster has.

    `desired` has placeholders for keys, certificates and programs, so nothing secret can be shown. `read` remembers
    the lines of the profile's files, `flags` and `keys` those of each component on each host. `issued` are its
    certificates, `connections` says which component connects to which.
    """

    cluster: Cluster
    profile: Profile
    desired: Desired
    texts: Texts
    parts: Parts
    source: Source
    topology: Topology
    issued: Mapping[str, Leaf]
    connections: Sequence[Connection]
    read: dict[Path, tuple[Mapping[tuple[str, ...], int], Sequence[str]]] = field(default_factory=dict)
    flags: dict[tuple[str, str], Mapping[str, object]] = field(default_factory=dict)
    keys: dict[tuple[str, str], Mapping[str, Key]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        cluster: Cluster,
        profile: Profile,
        desired: Desired,
        keys: Pki,
        kept: Allocations,
        parts: Parts,
        texts: Texts,
    ) -> Known:
        """What is known of a cluster.

        Args:
            cluster: the inventory, with a pod subnet for each node that `kept` has.
            profile: that of its version.
            desired: all that is wanted of its hosts.
            keys: placeholders.
            kept: what is allocated.
            parts: which file says what of the profile.
            texts: the explanations.
        """
        settled = settle(registering(cluster, profile), kept)
        fitting = profile.fitting(settled.cluster)
        made = Source.of(settled, fitting, keys, Renderer(sandboxed=True), PLACEHOLDERS)
        issued, talks = leaves(settled.cluster, profile), connections(settled.cluster, profile)
        return cls(settled.cluster, fitting, desired, texts, parts, made, Topology.of(made), issued, talks)

    def layout(self, host: Host) -> Layout:
        """Which components and files a host has."""
        return self.topology.layouts[host.name]

    def component(self, name: str) -> Component | None:
        """A component of the cluster."""
        return self.profile.components.get(name)

    def hosts(self, component: str) -> tuple[Host, ...]:
        """The hosts that have a component."""
        return tuple(host for host in self.cluster.hosts if component in self.layout(host).components)

    def context(self, host: Host) -> Context:
        """The names that templates of the profile may use for a host."""
        first, inside = self.topology.first_master, self.topology.inside
        return {**self.source.context, **of_host(host, self.cluster, first, self.source.profile, inside)}

    def text(self, template: str, host: Host, where: str) -> str:
        """A template of the profile, rendered for a host."""
        return self.source.text(template, self.context(host), host.name, where=where)

    def files(self, path: str) -> Iterator[tuple[str, str, File]]:
        """What hosts have at a path: the host, the component, the file."""
        for host in self.cluster.hosts:
            item = self.desired.get(Ref(host.name, Kind.FILE, path))
            if item is not None and isinstance(item.resource, File):
                yield host.name, item.component, item.resource

    def said(self, *path: str) -> Place | None:
        """The line of the inventory that has this very path; None where it has none."""
        line = self.cluster.origin.lines.get(path)
        return None if line is None else Place(self.cluster.origin.file, line)

    def in_profile(self, *key: str) -> Place:
        """The line that says a key of the profile, in the component's own file or the profile's, with its comment."""
        path, inner = self.parts.file(key)
        if path not in self.read:
            text = userfile.text(path)
            self.read[path] = source.read(text, str(path))[1], text.splitlines()
        numbers, lines = self.read[path]
        number = next((numbers[inner[:end]] for end in range(len(inner), 0, -1) if inner[:end] in numbers), 0)
        shown = path.relative_to(COMPONENTS.parent) if path.is_relative_to(COMPONENTS.parent) else path
        return Place(str(shown), number, comment(lines, number))


def comment(lines: Sequence[str], number: int) -> str:
    """What a file says beside its line `number` (from 1), or in the comments right above it; empty without a line."""
    if not number:
        return ""
    line = lines[number - 1]
    beside = _COMMENT.search(line)
    if beside and line[: beside.start()].count('"') % 2 == 0:
        return beside[1]
    above: list[str] = []
    for earlier in reversed(lines[: number - 1]):
        if not earlier.lstrip().startswith("# "):
            break
        above.append(earlier.strip().removeprefix("# "))
    return " ".join(reversed(above))
