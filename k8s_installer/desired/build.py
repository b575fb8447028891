"""The whole of what is wanted: the resources of every host, and every edge of their order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from k8s_installer.desired import draining
from k8s_installer.desired.addons import addons, before_nodes
from k8s_installer.desired.backups import backups
from k8s_installer.desired.check import check
from k8s_installer.desired.context import Context, by_address, of_host
from k8s_installer.desired.files import PLACEHOLDERS, Source, files, flags
from k8s_installer.desired.host import host_baseline
from k8s_installer.desired.layout import Layout, Named, shape, user
from k8s_installer.desired.leftovers import folder_flags, leaves_of_host
from k8s_installer.desired.nodes import nodes_of, registering
from k8s_installer.desired.proxies import inside
from k8s_installer.errors import InventoryError
from k8s_installer.host.accounts import NAME as TOKENS
from k8s_installer.host.secrets import NAME as SECRETS
from k8s_installer.inventory import Allocations, Cluster, Host, Role, settle
from k8s_installer.inventory.allocations import NONE
from k8s_installer.model.desired import Desired, DesiredResource, Turn
from k8s_installer.model.groups import GROUPS
from k8s_installer.model.resources import Check, Data, Gate, Kind, Leaves, Package, Ref, Setting, Unit, UploadedFile
from k8s_installer.pki import Pki
from k8s_installer.profiles import Component, GateSpec, Profile
from k8s_installer.profiles.pieces import FlagValue
from k8s_installer.profiles.schema import endpoint
from k8s_installer.render import Renderer

_API = "kube-apiserver"
_BY_ROLE = {Role.ETCD: "etcd", Role.MASTER: "masters", Role.NODE: "nodes"}  # groups of `model.groups`, in their order


def desire(
    cluster: Cluster,
    profile: Profile,
    pki: Pki,
    renderer: Renderer,
    programs: Mapping[str, UploadedFile] = PLACEHOLDERS,
    kept: Allocations = NONE,
) -> Desired:
    """What the inventory asks for, by name.

    Packages and files wait for nothing on other hosts; units do, as the profile's `after` says.

    Args:
        cluster: the inventory.
        profile: that of its version.
        pki: the cluster's keys and certificates.
        renderer: makes files of templates.
        programs: the server programs, where they come from a tarball.
        kept: what was allocated before, and stays with whoever has it.

    Raises:
        InventoryError: the inventory asks for what this version does not have, or what cannot be allocated; every
            finding at once.
        TemplateError: a template cannot be rendered.
    """
    settled = settle(registering(cluster, profile), kept)
    findings = sorted([*check(cluster, profile), *settled.findings])
    if findings:
        raise InventoryError(findings)
    cluster = settled.cluster
    fitting = profile.fitting(cluster).without_keys(pki.absent)
    source = Source.of(settled, fitting, pki, renderer, programs)
    fleet = Topology.of(source)
    result: dict[Ref, DesiredResource] = {}
    for host in cluster.hosts:
        # Components of one host may name the same package: the first one's reason stands.
        for wanted in _host(source, fleet, host):
            result.setdefault(wanted.ref, wanted)
    for name, words in settled.moved.items():
        for component in fitting.components.values():
            if component.flags.routes:  # it hands the subnet out
                unit = Ref(name, Kind.UNIT, component.unit)
                result[unit] = replace(result[unit], note=words)
    healthy = [ref for ref in result if ref.kind is Kind.GATE]
    master = fleet.first_master
    ready = [
        ref
        for name, component in fitting.components.items()
        if component.roles == {Role.MASTER}
        for ref in _final(fleet.layouts[master.name], master, name)
    ]
    result |= {wanted.ref: wanted for wanted in backups(cluster, result)}
    result |= {wanted.ref: wanted for wanted in nodes_of(cluster, profile, result, ready)}
    result |= {wanted.ref: wanted for wanted in addons(source, master, ready, healthy)}
    result |= {wanted.ref: wanted for wanted in _drains(source, fleet, [result[ref] for ref in healthy])}
    result |= {wanted.ref: wanted for wanted in _rotated(pki, master, healthy)}
    return result


def _rotated(pki: Pki, master: Host, healthy: Iterable[Ref]) -> Iterator[DesiredResource]:
    """What the cluster itself must have before the old key of a rotation can go."""
    turn = Turn(_API, master.name)
    for name, value, because in (
        (SECRETS, pki.writes, "All Secrets in etcd are written with the newest key, so that the others can go."),
        (TOKENS, pki.tokens, "All service accounts have a token of the newest key, so that the others can go."),
    ):
        if value:
            ref = Ref(master.name, Kind.SETTING, name)
            yield DesiredResource(ref, Setting(value), _API, tuple(healthy), because, turn)


def _drains(source: Source, fleet: Topology, gates: Iterable[DesiredResource]) -> Iterator[DesiredResource]:
    """What opens and closes the turns of nodes, on the master that is asked whether they are ready."""
    for gate in gates:
        if isinstance(gate.resource, Gate) and gate.resource.check is Check.NODE_READY:
            yield from draining.around(source.cluster, source.profile, fleet.layouts[gate.turn.member], gate)


@dataclass(frozen=True, slots=True)
class Topology:
    """What is known of all hosts before any is looked at; it keeps the work linear in their number.

    `layouts` are by host; hosts of one shape share theirs. `units`, `installed` and `final` are, by component: its
    units on every host, what must be there before they can start (for components that others wait for in this way),
    and what says that it works on every host. What needs the early addons comes after `early_addons`. `inside` are the
    places that are reached without a proxy.
    """

    layouts: Mapping[str, Layout]
    first_master: Host
    units: Mapping[str, tuple[Ref, ...]]
    installed: Mapping[str, tuple[Ref, ...]]
    final: Mapping[str, tuple[Ref, ...]]
    early_addons: tuple[Ref, ...]
    inside: tuple[str, ...]

    @classmethod
    def of(cls, source: Source) -> Topology:
        """The fleet of a cluster under what fits it of a profile."""
        cluster, profile = source.cluster, source.profile
        components, first_master = profile.components, cluster.first_master
        hosts = {
            name: [host for host in cluster.hosts if component.roles & host.roles]
            for name, component in components.items()
        }
        shapes = {host.name: shape(host) for host in cluster.hosts}
        of_shape = {kind: Layout.of(cluster, profile, kind) for kind in set(shapes.values())}
        layouts = {name: of_shape[kind] for name, kind in shapes.items()}
        awaited = {other for component in components.values() for other in component.after.installed}
        return cls(
            layouts=layouts,
            first_master=first_master,
            units={name: tuple(_unit_ref(components[name], host) for host in hosts[name]) for name in components},
            installed={
                name: tuple(ref for host in hosts[name] for ref in _inputs(layouts[host.name], host, name))
                for name in awaited
            },
            final={
                name: tuple(ref for host in hosts[name] for ref in _final(layouts[host.name], host, name))
                for name in components
            },
            early_addons=before_nodes(source, first_master),
            inside=inside(by_address(cluster.hosts), (cluster.pod_cidr, cluster.service_cidr), cluster.images),
        )

    def asks(self, gate: GateSpec, host: Host) -> Host:
        """The host on which a gate of `host` is asked."""
        return host if gate.asked_from == "own-host" else self.first_master


def _host(source: Source, fleet: Topology, host: Host) -> Iterator[DesiredResource]:
    layout = fleet.layouts[host.name]
    named = layout.named(host.name)
    context = {**source.context, **of_host(host, source.cluster, fleet.first_master, source.profile, fleet.inside)}
    ports = _ports(source, layout, host, context)
    own = host_baseline(source, host, ports, _turn(host, host.roles))
    yield from own.wanted
    for name, component in layout.components.items():
        turn = _turn(host, component.roles, component.unit)
        said = flags(source, name, host, context)
        left = _left(source, name, component, said)
        yield from _requisites(source, named, name, component, own.repos, turn, left)
        for path, program in layout.programs[name].items():
            because = f"The program of {name}." if component.unit else f"{program} is for administrators on the host."
            yield DesiredResource(named.files[path], source.programs[program], name, named.after[path], because, turn)
        specs = layout.files[name]
        for path, file in files(source, name, specs, host, context, said).items():
            yield DesiredResource(named.files[path], file, name, named.after[path], specs[path].why, turn)
        if component.unit:
            yield _unit(fleet, host, name, named, own.ready, turn, left)
        yield from _data(component, host, name, said, turn)
        previous: tuple[Ref, ...] = ()
        for spec in component.gates:
            gate = _gate(source, fleet, host, name, spec, previous, context)
            yield gate
            previous = (gate.ref,)


def _left(source: Source, name: str, component: Component, said: Mapping[str, FlagValue]) -> Leaves | None:
    """What a component leaves on a host; hosts whose flags name the same folders share it."""
    key = (name, *map(said.get, folder_flags(component)))
    if key not in source.left:
        source.left[key] = leaves_of_host(name, component, source.shared_text(f"{name}: leaves"), said)
    return source.left[key]


def _ports(source: Source, layout: Layout, host: Host, context: Context) -> list[str]:
    """The ports on which other hosts reach what this one has."""
    ports = [
        source.text(port, context, host.name, where=f"{name} {source.profile.version}: ports")
        for name, component in layout.components.items()
        for port in component.ports
    ]
    return [port for port in ports if port]


def _requisites(
    source: Source,
    named: Named,
    name: str,
    component: Component,
    repos: tuple[Ref, ...],
    turn: Turn,
    left: Leaves | None,
) -> Iterator[DesiredResource]:
    """Packages and users: what comes before the files."""
    for package, text in component.packages.items():
        where = f"{name} {source.profile.version}: package {package}"
        of_profile = source.text(text, source.context, turn.member, where=where)
        version = source.cluster.packages.get(package, of_profile)
        because = f"Contains the program, unit and user of {name}." if component.unit else component.why
        if component.programs:
            because = f"Contains programs that {name} calls."
        yield DesiredResource(
            named.requisites[Kind.PACKAGE, package],
            Package(package, version, leaves=left),
            name,
            repos,
            because,
            turn,
        )
    for name_of_user in component.users:
        ref = named.requisites[Kind.SETTING, user(name_of_user)]
        yield DesiredResource(ref, Setting("system"), name, (), f"{name} runs as this user.", turn)


def _unit(
    fleet: Topology, host: Host, name: str, named: Named, ready: tuple[Ref, ...], turn: Turn, leaves: Leaves | None
) -> DesiredResource:
    layout = fleet.layouts[host.name]
    component = layout.components[name]
    runs = () if component.programs else tuple(component.packages)
    unit = Unit(
        component.unit,
        layout.defined_by[name],
        layout.reads[name],
        runs,
        cleared_by=layout.cleared_by[name],
        leaves=leaves,
    )
    after = [
        *layout.inputs(name, named),
        *(() if component.after.here else ready),  # the others of a host come after these
        *(ref for other in component.after.installed for ref in fleet.installed[other]),
        *(ref for other in component.after.here if other in layout.components for ref in _final(layout, host, other)),
        *(ref for other in component.after.everywhere for ref in fleet.final[other]),
        *(fleet.early_addons if component.after.early_addons else ()),
    ]
    return DesiredResource(_unit_ref(component, host), unit, name, tuple(dict.fromkeys(after)), component.why, turn)


def _data(
    component: Component, host: Host, name: str, said: Mapping[str, FlagValue], turn: Turn
) -> Iterator[DesiredResource]:
    """Where a component keeps its log, if that matters to its first start: in the folder of the first flag set."""
    folders = [f"{str(said[flag]).rstrip('/')}{below}" for flag, below in component.data.items() if said.get(flag)]
    if folders:
        config = next(path for path, spec in component.files.items() if spec.used_by == "process")
        because = f"Whether {name} has data here decides how it may be started; the data is only read."
        data = Data(component.unit, config, component.added_later, component.shown_by)
        yield DesiredResource(Ref(host.name, Kind.DATA, folders[0]), data, name, (), because, turn)


def _gate(
    source: Source, fleet: Topology, host: Host, name: str, spec: GateSpec, previous: tuple[Ref, ...], context: Context
) -> DesiredResource:
    component = source.profile.components[name]
    asks, turn = fleet.asks(spec, host), _turn(host, component.roles, component.unit)

    def text(template: str) -> str:
        return source.text(template, context, host.name, where=f"{name} {source.profile.version}: gate")

    asked = endpoint(spec, source.cluster)
    tuned = host.tuning.get(name)
    gate = Gate(
        url=text(asked.url),
        check=spec.check,
        unit=component.unit,
        unit_host="" if asks is host else host.name,
        ca=asked.ca,
        cert=asked.cert,
        key=asked.key,
        deadline=spec.deadline if tuned is None or tuned.deadline is None else tuned.deadline,
        expects=tuple(filter(None, text(spec.expects).split(","))),
    )
    units = (_unit_ref(component, host),) if spec.after == "here" else fleet.units[name]
    own = fleet.layouts[host.name].components
    units += tuple(_unit_ref(own[other], host) for other in spec.follows if other in own)
    there = fleet.layouts[asks.name].requisites
    credentials = (Ref(asks.name, Kind.FILE, path) for path in (asked.ca, asked.cert, asked.key) if path in there)
    after = (*units, *credentials, *previous)
    return DesiredResource(Ref(asks.name, Kind.GATE, text(spec.name)), gate, name, after, spec.why, turn)


def _turn(host: Host, roles: frozenset[Role], group: str = "") -> Turn:
    """In whose turn a host's part of something for these roles changes.

    What has a group of its own (an etcd, by its unit's name) takes turns in that. All else, the host's own settings
    included, goes with the first of the host's roles that it is for: what the others do waits for it.
    """
    return Turn(_group(roles & host.roles, group), host.name)


@cache
def _group(roles: frozenset[Role], own: str) -> str:
    return own if own in GROUPS else next(group for role, group in _BY_ROLE.items() if role in roles)


def _inputs(layout: Layout, host: Host, name: str) -> list[Ref]:
    return layout.inputs(name, layout.named(host.name))


def _unit_ref(component: Component, host: Host) -> Ref:
    return Ref(host.name, Kind.UNIT, component.unit)


def _final(layout: Layout, host: Host, name: str) -> list[Ref]:
    """What says that a component works on a host: its own gates, or its unit, or else that all of it is there."""
    component = layout.components[name]
    gates = [Ref(host.name, Kind.GATE, gate.name) for gate in component.gates if gate.asked_from == "own-host"]
    return gates or ([_unit_ref(component, host)] if component.unit else _inputs(layout, host, name))
