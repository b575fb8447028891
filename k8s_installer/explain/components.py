"""A component: what it is for, where it runs in a cluster, and all that it has there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from k8s_installer.desired.connections import Connection
from k8s_installer.explain.known import Known
from k8s_installer.explain.settings import Setting, in_use
from k8s_installer.explain.texts import ComponentText, Texts
from k8s_installer.model.resources import Check, File, Gate, Kind, Package, Ref
from k8s_installer.profiles import Profile

_OWN = frozenset({Check.OK, Check.ANSWERS, Check.ETCD_HEALTH})  # what is asked of the program itself


@dataclass(frozen=True, slots=True)
class OnHosts:
    """A package, file, port or gate by its name: what it is for or is, and the hosts that have it."""

    name: str
    words: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of a component: in which file, who issued it, to whom, for which names, and what for."""

    path: str
    issuer: str
    user: str
    group: str
    names: tuple[str, ...]
    use: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Component:
    """A component; of a cluster that does not have it, or without one, there are only texts.

    `asks` are the connections that it opens, `asked_by` those that others open to it.
    """

    name: str
    summary: str
    text: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    if_down: str = ""
    roles: tuple[str, ...] = ()
    unit: str = ""
    user: str = ""
    in_cluster: str | None = None  # its name; None without an inventory
    hosts: tuple[str, ...] = ()
    packages: tuple[OnHosts, ...] = ()
    files: tuple[OnHosts, ...] = ()
    ports: tuple[OnHosts, ...] = ()
    asks: tuple[Connection, ...] = ()
    asked_by: tuple[Connection, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    settings: tuple[Setting, ...] = ()
    gates: tuple[OnHosts, ...] = ()
    after: tuple[str, ...] = ()


def general(texts: Texts, profile: Profile, name: str) -> Component:
    """A component without a cluster: its texts, and what the profile says for all clusters."""
    text = texts.components.get(name)
    spec = profile.components.get(name)
    why = spec.why if spec else ""
    return Component(
        name,
        text.summary if text else why,
        text.text if text else (why,),
        text.aliases if text else (),
        text.if_down if text else "",
        tuple(sorted(spec.roles)) if spec else (),
        spec.unit if spec else "",
        _user(text, spec.users if spec else ()),
        packages=tuple(OnHosts(package, "", ()) for package in spec.packages) if spec else (),
        files=tuple(OnHosts(path, file.why, ()) for path, file in spec.files.items()) if spec else (),
    )


def of_cluster(known: Known, name: str) -> Component:
    """A component of a cluster, or what is known of one that it does not have."""
    bare = replace(general(known.texts, known.profile, name), in_cluster=known.cluster.name)
    hosts, spec = known.hosts(name), known.component(name)
    if not hosts or spec is None:
        return replace(bare, files=(), packages=())
    return replace(
        bare,
        hosts=tuple(host.name for host in hosts),
        packages=_merged(_packages(known, name)),
        files=_merged(_files(known, name)),
        ports=ports(known, name),
        asks=tuple(one for one in known.connections if one.client.component == name and not one.check),
        asked_by=tuple(one for one in known.connections if one.server.component == name and not one.check),
        certificates=tuple(certificates(known, name)),
        settings=tuple(in_use(known, name)),
        gates=_merged(_gates(known, name)),
        after=(*spec.after.here, *spec.after.everywhere),
    )


def _user(text: ComponentText | None, users: tuple[str, ...]) -> str:
    return text.user if text else next(iter(users), "")


def _merged(found: Iterator[tuple[str, str, str]]) -> tuple[OnHosts, ...]:
    """Names with the hosts of each, from triples of name, words and host."""
    hosts: dict[tuple[str, str], list[str]] = {}
    for name, words, host in found:
        hosts.setdefault((name, words), []).append(host)
    return tuple(OnHosts(name, words, tuple(dict.fromkeys(names))) for (name, words), names in hosts.items())


def _packages(known: Known, name: str) -> Iterator[tuple[str, str, str]]:
    for host in known.hosts(name):
        for package in known.layout(host).components[name].packages:
            item = known.desired[Ref(host.name, Kind.PACKAGE, package)]
            version = item.resource.version if isinstance(item.resource, Package) else ""
            yield package, version or "the newest of the host's repositories", host.name
        for path in known.layout(host).programs[name]:
            yield path, "a program of upstream's tarball", host.name


def _files(known: Known, name: str) -> Iterator[tuple[str, str, str]]:
    for host in known.hosts(name):
        for path in known.layout(host).files[name]:
            yield path, known.desired[Ref(host.name, Kind.FILE, path)].because, host.name


def ports(known: Known, name: str) -> tuple[OnHosts, ...]:
    """The ports on which a component listens, and for whom."""
    return _merged(_ports(known, name))


def _ports(known: Known, name: str) -> Iterator[tuple[str, str, str]]:
    """The ports for other hosts, and those on which the host itself asks for health."""
    unit = known.profile.components[name].unit
    for host in known.hosts(name):
        seen: set[str] = set()
        for template, roles in known.layout(host).components[name].ports.items():
            port = known.text(template, host, f"{name}: ports")
            if port:
                seen.add(port)
                yield port, f"for {' and '.join(sorted(roles))} hosts" if roles else "for everybody", host.name
        for ref, gate in _gates_of(known, name):
            port = f"{urlsplit(gate.url).port}/tcp"
            if gate.check in _OWN and ref.host == host.name and gate.unit == unit and port not in seen:
                seen.add(port)
                yield port, "health, for this host only", host.name


def _gates_of(known: Known, name: str) -> Iterator[tuple[Ref, Gate]]:
    for ref, item in known.desired.items():
        if item.component == name and isinstance(item.resource, Gate):
            yield ref, item.resource


def _gates(known: Known, name: str) -> Iterator[tuple[str, str, str]]:
    for ref, _ in _gates_of(known, name):
        yield ref.name, known.desired[ref].because, ref.host


def certificates(known: Known, name: str) -> Iterator[Certificate]:
    """The certificates of a component's files, each with the hosts that have it."""
    found: dict[tuple[str, str], list[str]] = {}
    for host in known.hosts(name):
        for path in known.layout(host).files[name]:
            file = known.desired[Ref(host.name, Kind.FILE, path)].resource
            made = file.made_of if isinstance(file, File) else ()
            for leaf in made:
                if leaf.endswith(".crt") and leaf.removesuffix(".crt") in known.issued:
                    found.setdefault((path, leaf.removesuffix(".crt")), []).append(host.name)
    for (path, leaf), hosts in found.items():
        one = known.issued[leaf]
        uses = [word for word, so in (("client", one.client), ("server", bool(one.names))) if so]
        yield Certificate(path, one.issuer, one.user, one.group, one.names, " and ".join(uses), tuple(hosts))
