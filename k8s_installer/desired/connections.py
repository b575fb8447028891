"""Who talks to whom in a cluster: every connection with its ports and certificates. Pure.

What no other key of a component says is in its `talks_to` (`profiles/schema.py`); ports, certificates, files and health
checks are read where they are declared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from urllib.parse import urlsplit

from k8s_installer.desired.context import Context, of_cluster, of_host
from k8s_installer.desired.proxies import registries
from k8s_installer.inventory import Cluster, Host, Role
from k8s_installer.profiles import GateSpec, Profile, has_own, images
from k8s_installer.profiles.pieces import TalkSpec
from k8s_installer.profiles.schema import endpoint
from k8s_installer.profiles.when import holds
from k8s_installer.render import Renderer

EACH = "HOST"  # stands for the host's name in what a certificate of each host says
CHECKS = "health checks"
CLIENTS = "clients"
UNVERIFIED = "http, or unverified TLS"  # how docker asks an insecure registry
_DOCKER_HUB = "docker.io"
_API = "kube-apiserver"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What one side shows the other: its name in the PKI, its subject (CN and O), who issued it, and its file.

    `user` has `EACH` in it where every host has its own. `file` is empty where no component of that side says it.
    """

    name: str
    user: str
    group: str
    ca: str
    file: str


@dataclass(frozen=True, slots=True)
class Party:
    """One side of a connection: a component on hosts, or something outside the cluster (`outside`).

    `by` is what opens the connection, if it is not the component's own program.
    """

    component: str
    hosts: tuple[str, ...]
    by: str = ""
    outside: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.outside or self.by or self.component


@dataclass(frozen=True, slots=True)
class Connection:
    """What connects to what. Each client connects to each server, or to that of its own host alone (`here`).

    `port` is NUMBER/tcp, FIRST-LAST/udp or the path of a socket, and empty where there is none (routed packets).
    `protocol` is http, https, vxlan, ip, unix or `UNVERIFIED`. `certificate` is the client's, `ca_file` the file with
    which it verifies the server's; either is empty if there is none. `via` is a HOST:PORT between both. `check` marks
    those of health checks.
    """

    client: Party
    server: Party
    port: str
    protocol: str
    why: str
    here: bool = False
    via: str = ""
    certificate: Certificate | None = None
    server_certificate: Certificate | None = None
    ca_file: str = ""
    check: bool = False


def connections(cluster: Cluster, profile: Profile) -> tuple[Connection, ...]:
    """Every connection of a cluster, in the order of its components.

    Args:
        cluster: the inventory.
        profile: that of its version, whole.

    Raises:
        TemplateError: a template of a component cannot be rendered.
    """
    wiring = _Wiring.of(cluster, profile.fitting(cluster))
    found: list[Connection] = []
    for name, component in wiring.profile.components.items():
        for key, spec in component.talks_to.items():
            found += wiring.said(name, key, spec)
        found += wiring.open_to_all(name)
    for name, component in wiring.profile.components.items():
        for gate in component.gates:
            found += wiring.checked(name, gate)
    return tuple(found)


Group = tuple[tuple[Host, ...], str]  # servers that have the same port, and this port


@dataclass(frozen=True, slots=True)
class _Wiring:
    cluster: Cluster
    profile: Profile
    renderer: Renderer
    shared: Context
    contexts: Mapping[str, Context]

    @classmethod
    def of(cls, cluster: Cluster, profile: Profile) -> _Wiring:
        first = cluster.first_master
        insecure = {one for host in cluster.hosts for one in registries(host, profile, "registry")}
        named = _registries(cluster, profile)
        sorts = {
            "registries": tuple(one for one in named if not _lies_in(one, insecure)),
            "insecure_registries": tuple(one for one in named if _lies_in(one, insecure)),
        }
        shared = {**of_cluster(cluster, profile), **sorts}
        contexts = {host.name: {**shared, **of_host(host, cluster, first, profile, ())} for host in cluster.hosts}
        return cls(cluster, profile, Renderer(sandboxed=has_own(cluster)), shared, contexts)

    def said(self, name: str, key: str, spec: TalkSpec) -> Iterator[Connection]:
        """What a component's `talks_to` says."""
        clients = tuple(host for host in self._having(name) if self._applies(spec, host))
        server = spec.to or key
        port = self._text(spec.port, name, key)
        if clients and spec.outside:
            if outside := self._text(spec.outside, name, key):
                yield self._connection(name, key, spec, clients, Party("", (), outside=outside), port)
        elif clients and server in self.profile.components:
            via = self._text(spec.via, name, key)
            for some, servers, between, here in self._ways(spec, clients, server):
                for hosts, on in self._groups(name, server, servers, port):
                    names = frozenset(host.name for host in hosts)
                    asking = tuple(host for host in some if host.name in names) if here else some
                    if asking and (here or server != name or len(hosts) > 1):  # nobody is its own peer
                        party = Party(server, _names(asking if here else hosts))
                        found = self._connection(name, key, spec, asking, party, on)
                        yield replace(found, here=here, via=between or via)

    def _ways(
        self, spec: TalkSpec, clients: tuple[Host, ...], server: str
    ) -> Iterator[tuple[tuple[Host, ...], tuple[Host, ...], str, bool]]:
        """Clients with their servers, what is in between, and whether each uses its own host's."""
        servers = self._having(server)
        if spec.at != "api":
            yield clients, servers, "", spec.at == "here"
            return
        own = tuple(host for host in clients if Role.MASTER in host.roles)
        others = tuple(host for host in clients if Role.MASTER not in host.roles)
        between = self.cluster.load_balancer
        if own:
            yield own, own, "", True
        if others:
            yield others, servers if between else (self.cluster.first_master,), between, False

    def open_to_all(self, name: str) -> Iterator[Connection]:
        """Ports that are for whoever connects, such as those of Services."""
        for text, roles in self.profile.components[name].ports.items():
            by_port: dict[str, list[Host]] = defaultdict(list)
            for host in self._having(name) if not roles else ():
                by_port[self._port(name, text, host)].append(host)
            for port, hosts in by_port.items():
                if port:
                    client = Party("", (), outside=CLIENTS)
                    yield Connection(client, Party(name, _names(hosts)), port, "", "Open to whoever reaches the host.")

    def checked(self, name: str, gate: GateSpec) -> Iterator[Connection]:
        """What root asks by curl for a gate: the component itself, or another program of the host that asks."""
        own = self._having(name)
        asking = own if gate.asked_from == "own-host" else (self.cluster.first_master,)
        asked = endpoint(gate, self.cluster)
        where = f"{name} {self.profile.version}: gate"
        url = urlsplit(self.renderer.text(asked.url, self.contexts[own[0].name], own[0].name, where=where))
        port = f"{url.port}/tcp"
        there = self.profile.on(asking[0].roles)
        server = next((other for other in there if port in self._ports(other, asking[0])), name)
        yield Connection(
            Party(name, _names(asking), by=CHECKS),
            Party(server, _names(asking)),
            port,
            url.scheme,
            gate.why,
            here=True,
            certificate=self._certificate(self._shown_by(asked.cert), name, asked.cert),
            server_certificate=self._served(server, server) if asked.ca else None,
            ca_file=asked.ca,
            check=True,
        )

    def _connection(
        self, name: str, key: str, spec: TalkSpec, clients: Iterable[Host], server: Party, port: str
    ) -> Connection:
        usual = "https" if self.cluster.security == "tls" else "http"
        protocol = self._text(spec.protocol, name, key) or usual
        served = self._served(server.component, spec.served_with) if protocol == "https" else None
        return Connection(
            Party(name, _names(clients), by=spec.by),
            server,
            port,
            protocol,
            spec.why,
            certificate=self._certificate(spec.certificate, name),
            server_certificate=served,
            ca_file=self._file(f"{served.ca}.crt", name) if served and (spec.certificate or not spec.by) else "",
        )

    def _groups(self, name: str, server: str, hosts: tuple[Host, ...], port: str) -> list[Group]:
        """The servers by the port on which hosts of the component `name` reach them."""
        if port:
            return [(hosts, port)]
        roles, declared = self.profile.components[name].roles, self.profile.components[server].ports
        text = next((text for text, who in declared.items() if who & roles), next(iter(declared), ""))
        by_port: dict[str, list[Host]] = defaultdict(list)
        for host in hosts:
            by_port[self._port(server, text, host) if text else ""].append(host)
        return [(tuple(some), port) for port, some in by_port.items()]

    def _ports(self, name: str, host: Host) -> list[str]:
        return [self._port(name, text, host) for text in self.profile.components[name].ports]

    def _port(self, name: str, text: str, host: Host) -> str:
        where = f"{name} {self.profile.version}: ports"
        return self.renderer.text(text, self.contexts[host.name], host.name, where=where)

    def _served(self, name: str, chosen: str) -> Certificate | None:
        """What a component shows those who connect: its only certificate for servers, or of several the one chosen."""
        specs = self.profile.components[name].certificates if name in self.profile.components else {}
        own = [certificate for certificate, spec in specs.items() if spec.each_host or spec.names]
        found = own[0] if len(own) == 1 else chosen if chosen in own else ""
        return self._certificate(found, name)

    def _certificate(self, certificate: str, name: str, file: str = "") -> Certificate | None:
        """A certificate of the PKI, with its file on hosts of the component `name`; None where there is none."""
        if not certificate or self.cluster.security != "tls":
            return None
        for owner, component in self.profile.components.items():
            if certificate in component.certificates:
                spec = component.certificates[certificate]
                host = replace(self.cluster.hosts[0], name=EACH, address=EACH)
                where = f"{owner} {self.profile.version}: {certificate}"
                user = self.renderer.text(spec.user, {**self.shared, "host": host}, EACH, where=where)
                own = "{{ host.name }}/" if spec.each_host else ""
                file = file or self._file(f"{own}{certificate}.crt", name)
                return Certificate(certificate, user, spec.group, spec.ca, file)
        return None

    def _file(self, pki: str, name: str) -> str:
        """Where a file of the PKI is on hosts of a component: its own, or one that its hosts have from another."""
        components = self.profile.components
        beside = [one for one in components.values() if one.roles & components[name].roles]
        for component in (components[name], *beside):
            for path, spec in component.files.items():
                if spec.pki == pki:
                    return path
        return ""

    def _shown_by(self, path: str) -> str:
        """The certificate that is in a file, by its name in the PKI; empty if none is."""
        for component in self.profile.components.values():
            if path and path in component.files:
                return component.files[path].pki.rpartition("/")[2].removesuffix(".crt")
        return ""

    def _applies(self, spec: TalkSpec, host: Host) -> bool:
        facts = replace(self.profile.facts(self.cluster), roles=host.roles, settings=host.conditions)
        return holds(spec.when, facts)

    def _having(self, name: str) -> tuple[Host, ...]:
        roles = self.profile.components[name].roles
        return tuple(host for host in self.cluster.hosts if host.roles & roles)

    def _text(self, template: str, name: str, key: str) -> str:
        where = f"{name} {self.profile.version}: {key}"
        return self.renderer.text(template, self.shared, self.cluster.name, where=where)


def _names(hosts: Iterable[Host]) -> tuple[str, ...]:
    return tuple(host.name for host in hosts)


def _registries(cluster: Cluster, profile: Profile) -> tuple[str, ...]:
    """The registries that a cluster's images come from, as docker reads the names of images."""
    named = [images.pause(cluster, profile), cluster.images.verify]
    if cluster.dns in profile.dns:
        named += images.of_dns(cluster, profile.dns[cluster.dns]).values()
    named += [image for addon in cluster.addons for image in addon.images]
    return tuple(dict.fromkeys(_registry(image) for image in named if image))


def _lies_in(registry: str, insecure: Iterable[str]) -> bool:
    """Whether a registry is one of those that docker asks without verified TLS, by its name or in a network."""
    if registry in insecure:
        return True
    try:
        address = IPv4Address(registry.partition(":")[0])
    except ValueError:
        return False
    return any(address in IPv4Network(one, strict=False) for one in insecure if "/" in one)


def _registry(image: str) -> str:
    first, slash, _ = image.partition("/")
    return first if slash and (set(first) & set(".:") or first == "localhost") else _DOCKER_HUB
