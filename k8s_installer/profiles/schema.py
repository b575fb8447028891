"""The shape of a profile: frozen pydantic models, strict about unknown keys, with no behaviour but lookups.

Every string that holds `{{` is a Jinja template; docs/adding-a-version.md lists the names it may use.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from k8s_installer.inventory import Cluster, Role
from k8s_installer.model.resources import Check
from k8s_installer.profiles.flags import Flag
from k8s_installer.profiles.when import Facts, Programs, Security, When, holds

Scalar = str | int | float | bool
FlagValue = Scalar | tuple[Scalar, ...]
Shape = str | list["Shape"] | Mapping[str, "Shape"]  # a scalar's type, a list of its items, a mapping by key
EVERY = "*"  # in a shape: any key of a map
REST = "*"  # in a list of flags: every flag that no other variable names


def _octal(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError('a mode must be quoted, as in "0640": YAML would read a different number')  # noqa: TRY004 - pydantic's way
    return int(value, 8)


def _with_names(value: object) -> object:
    """Gates by name, as a list of gates that know their names."""
    if not isinstance(value, Mapping):
        return value
    return [{**gate, "name": name} if isinstance(gate, Mapping) else gate for name, gate in value.items()]


def _of_cluster(when: When) -> When:
    if when.setting is not None or when.roles != frozenset(Role):
        raise ValueError("may depend only on the cluster: network, security and programs")
    return when


OfCluster = Annotated[When, AfterValidator(_of_cluster)]  # a condition that is the same on all hosts


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Style(StrEnum):
    """How the flags of a component become the lines of its files."""

    KUBERNETES = "kubernetes"  # --flag=value, a list joined by commas
    REPEATED = "repeated"  # --flag=value, again for each item of a list
    ETCD = "etcd"  # ETCD_FLAG="value", a list joined by commas


def _of_pki(data: object) -> object:
    """A file of the PKI is only where there is one."""
    if isinstance(data, dict) and data.get("pki") and isinstance(when := data.get("when", {}), dict):
        return {**data, "when": {"security": "tls", **when}}
    return data


# An extended regular expression that stands in the JSON of a host's record as it is: a dot is as good as a quote.
Expression = Annotated[str, Field(pattern=r'^[^"\\]+$')]


class LeavesSpec(_Model):
    """What programs leave on a host when they end, and nobody else takes away; see `resources.Leaves`.

    `below` says where there is data below the folders that flags of the component name.
    """

    folders: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    below: Mapping[str, tuple[str, ...]] = {}
    links: tuple[str, ...] = ()
    chains: tuple[Expression, ...] = ()
    rules: tuple[Expression, ...] = ()
    routes: tuple[str, ...] = ()
    units: tuple[str, ...] = ()


# Both are words of a shell's command.
Folder = Annotated[str, Field(pattern=r"^(/[-\w.+@%:=]+)+$")]
Module = Annotated[str, Field(pattern=r"^[-\w]+$")]


class RoomSpec(_Model):
    """Free space, in MiB, that a folder's file system should have: below `least` an install fails."""

    enough: int
    least: int
    why: str


class RemainsSpec(_Model):
    """Why data of an earlier install matters to a package that is not installed yet; it `stops` an install or not."""

    package: str
    why: str
    stops: bool = False


class PreflightSpec(_Model):
    """What a component demands of hosts before it is installed: `room` and `remains` by folder.

    `modules` of the kernel have what needs them, `conflicts` the packages of other origins that a package of ours
    cannot be beside. `overlay` is the folder whose file system must have types in its folders (XFS: ftype=1) where the
    flag `storage-driver` names an overlay driver.
    """

    modules: Mapping[Module, str] = {}
    conflicts: Mapping[str, tuple[str, ...]] = {}
    room: Mapping[Folder, RoomSpec] = {}
    remains: Mapping[Folder, RemainsSpec] = {}
    overlay: Folder | Literal[""] = ""


class PodSubnetSpec(_Model):
    """Where a node has its part of the pod network: in this file, as the value of this flag."""

    file: str
    flag: str


class FileSpec(_Model):
    """One file: from a template or from the local PKI (and so only with `security: tls`), for whom, and where.

    `shared` files have the same bytes on every host: they are rendered once, and their templates do not know
    a host. `used_by` decides what a change causes: the process reads it at its start (a restart), it defines
    the unit (a daemon-reload and a restart), or only people and gates use it (nothing). `leaves` is what is there
    because of it, and stays when it goes.
    """

    why: str
    template: str = ""
    pki: str = ""
    params: Mapping[str, str] = Field(default={}, alias="with")
    mode: Annotated[int, BeforeValidator(_octal)] = 0o644
    owner: str = "root"
    secret: bool = False
    used_by: Literal["process", "systemd", "gate"] = "process"
    shared: bool = False
    when: When = When()
    leaves: LeavesSpec | None = None

    _only_with_tls = model_validator(mode="before")(_of_pki)


class Endpoint(_Model):
    """What curl asks, and with which files of the host."""

    url: str
    ca: str = ""
    cert: str = ""
    key: str = ""


class GateSpec(_Model):
    """How real health is asked. `asked_from` is the host that asks: the component's own, or the first master.

    `after: everywhere` waits until the component's units run on every host (a quorum needs its members).
    The name of a gate asked on its own host is plain text, other gates may use `{{`. `follows` are components of the
    same host whose restart systemd makes a restart of this one. `expects` is what the answer must list, separated by
    commas.
    """

    name: str
    why: str
    check: Check
    deadline: float = 60.0
    asked_from: Literal["own-host", "first-master"] = "own-host"
    after: Literal["here", "everywhere"] = "here"
    when: OfCluster = When()
    follows: tuple[str, ...] = ()
    expects: str = ""
    tls: Endpoint
    insecure: Endpoint | None = None


class After(_Model):
    """Components whose gates (or units, where they have none) must have passed: on this host, or on every host.

    `installed` are those whose packages and files must be on every host, nothing more: a member that starts
    before the others can be started would wait for a quorum, and give up. With `early_addons` a component's unit
    starts after the addons that nodes and pods may need.
    """

    here: tuple[str, ...] = ()
    everywhere: tuple[str, ...] = ()
    installed: tuple[str, ...] = ()
    early_addons: bool = False

    def among(self, there: Collection[str]) -> After:
        """What is left of it in a cluster that has these components alone."""
        named = {"here": self.here, "everywhere": self.everywhere, "installed": self.installed}
        kept = {kind: tuple(name for name in names if name in there) for kind, names in named.items()}
        return self.model_copy(update=kept)


class FlagSets(_Model):
    """Default flags: always, by security mode, and by network; a value that renders to nothing leaves the flag out."""

    always: Mapping[str, FlagValue] = {}
    tls: Mapping[str, FlagValue] = {}
    insecure: Mapping[str, FlagValue] = {}
    routes: Mapping[str, FlagValue] = {}

    def of(self, cluster: Cluster) -> dict[str, FlagValue]:
        """Those of a cluster, as templates; a later group replaces what an earlier one has."""
        return {
            **self.always,
            **(self.tls if cluster.security == "tls" else self.insecure),
            **(self.routes if cluster.network == "routes" else {}),
        }

    @property
    def every(self) -> list[tuple[str, FlagValue]]:
        """Those of all groups, each with its value there."""
        return [pair for group in (self.always, self.tls, self.insecure, self.routes) for pair in group.items()]


class CertificateSpec(_Model):
    """A certificate of the local PKI: issued by the CA `ca` to `user` (CN) in `group` (O).

    A `client` shows it to servers. A server has `names` (SANs); empty ones are left out. With `each_host` every host
    of the component has its own, HOST/NAME.crt, whose names are also the host's own; without, all share NAME.crt.
    Templates in `user` and `names` know `cluster`, and `host` if each has its own. `rsa` is for programs that read no
    other keys, as curl on CentOS 7.
    """

    ca: Literal["ca", "etcd-ca", "etcd-peer-ca", "front-proxy-ca", "flannel-ca"] = "ca"
    user: str
    group: str = ""
    client: bool = False
    names: tuple[str, ...] = ()
    each_host: bool = False
    rsa: bool = False


class TalkSpec(_Model):
    """A connection that a component opens, to show it: nothing is opened or allowed because of it.

    It leads to the component `to`, by default the one that its key in `talks_to` names, or to something `outside` the
    cluster. `at` is where: on all hosts that have it, on the client's own, or where the host reaches the API. `by` is
    what connects, if it is not the component's program, and `via` a HOST:PORT in between. `port` is as in `ports`, or
    a socket's path; by default the one of the server's `ports` that is for the client's roles. `protocol` is HTTPS by
    default, or HTTP where nothing has certificates. `certificate` is what the client shows, and `served_with` what the
    server does, where it has several. Templates in `outside`, `via`, `port` and `protocol` know what is the same for
    all hosts, and `registries`.
    """

    why: str
    to: str = ""
    outside: str = ""
    at: Literal["everywhere", "here", "api"] = "everywhere"
    by: str = ""
    via: str = ""
    port: str = ""
    protocol: str = ""
    certificate: str = ""
    served_with: str = ""
    when: When = When()


class DrainSpec(_Model):
    """The flags of this version's `kubectl drain`, without dashes: what each of them allows."""

    daemonsets: str
    local_data: str
    unmanaged: str


class Component(_Model):
    """One program and all that belongs to it; its name in `Profile.components` is that of the inventory.

    `variables` says in which variable of the packaged unit (or, for etcd, in which section of its file) each
    flag lives; `*` takes those that no other names. `accepted_by` is for variables that several programs
    read: each must know the flag. `fixed` are the flags (or keys of the configuration file) that gates, kubeconfigs
    and other programs depend on: an inventory cannot change them. `reads` are files of other components that the
    process reads too. `config_schema` names the file in `schemas/` that says what keys `config` may have. `ports` are
    those that other hosts reach it on, as PORT/tcp or FIRST-LAST/udp, each with the roles whose programs connect.

    `programs` are the names of its server programs in upstream's tarball. Where they come from there, they are put
    into /usr/bin, `needs` and `users` (system users of the same name as their group) take the place of `packages`,
    which bring all of that otherwise. A component without `programs` has its `packages` in both cases.
    An inventory can only change a component that is `tunable`. Others may come `after` a component that the cluster
    does not have. `before` are components of the same host that come after this one, though their own files do not
    say so. `certificates` are issued by the local PKI; `files` of any component name them by `pki`.
    `runtime` is for what runs the containers: which of `host/runtimes.py` it is.
    `data` says where it keeps its write-ahead log: flags in the order in which they count, each with the path below it.
    `folders` are further flags that name folders of its own. `pod_subnet` is of what gives pods their addresses, and
    `preflight` what is looked at on hosts before an install.
    `added_later` says that clusters may have its clients from before there was this component. `shown_by` are the
    components that were never started where it was not, besides those that come right after its gates. `leaves` is what
    its programs make on a host, and leave there. `skew` is by how many minor versions it may be older than the API
    server.
    `stops_pods` says when it ends the pods of its host: with each restart, or if another version of its programs takes
    over. `drain` is of the component by which a host is a node.
    """

    why: str
    roles: frozenset[Role]
    when: OfCluster = When()
    tunable: bool = True
    unit: str = ""
    packages: Mapping[str, str] = {}
    programs: tuple[str, ...] = ()
    needs: Mapping[str, str] = {}
    users: tuple[str, ...] = ()
    after: After = After()
    before: tuple[str, ...] = ()
    style: Style = Style.KUBERNETES
    variables: Mapping[str, tuple[str, ...]] = {}
    accepted_by: Mapping[str, tuple[str, ...]] = {}
    flags: FlagSets = FlagSets()
    fixed: tuple[str, ...] = ()
    config: Mapping[str, object] = {}
    config_schema: str = ""
    files: Mapping[str, FileSpec] = {}
    certificates: Mapping[str, CertificateSpec] = {}
    reads: tuple[str, ...] = ()
    data: Mapping[str, str] = {}
    folders: tuple[str, ...] = ()
    pod_subnet: PodSubnetSpec | None = None
    preflight: PreflightSpec = PreflightSpec()
    added_later: bool = False
    runtime: Literal["docker"] | None = None
    shown_by: tuple[str, ...] = ()
    ports: Mapping[str, frozenset[Role]] = {}
    talks_to: Mapping[str, TalkSpec] = {}
    gates: Annotated[tuple[GateSpec, ...], BeforeValidator(_with_names)] = ()
    leaves: LeavesSpec | None = None
    skew: int | None = None
    stops_pods: Literal["restart", "upgrade"] | None = None
    drain: DrainSpec | None = None


class ConfigSchema(_Model):
    """What may stand in a configuration file: the shape of its keys, and by dotted path what more their values are.

    `flags` are the keys that have the meaning of a flag, by the flag.
    """

    keys: Mapping[str, Any]
    values: Mapping[str, Flag] = {}
    flags: Mapping[str, str] = {}


Variant = Mapping[str, Scalar]  # what a template is rendered with, by name


class DnsSpec(_Model):
    """One program that can be the cluster's DNS: the template of its manifest, and its images.

    Its pods have the label `k8s-app: kube-dns`, and `k8s-installer/revision` with the template's `revision`: the gate
    looks for pods of this revision. An inventory can name other images under the same names. Where what a program
    understands depends on its version, `versioned` is the image that says the version and `variants` are the template's
    `params`, by the version from which each holds.
    """

    template: str
    images: Mapping[str, str]
    versioned: str = ""
    variants: Mapping[str, Variant] = {}
    deadline: float = 180.0  # images come from their registry first
    tls: Endpoint
    insecure: Endpoint | None = None


def endpoint(spec: GateSpec | DnsSpec, cluster: Cluster) -> Endpoint:
    """What is asked in a cluster; without one of its own for `insecure` it is the same in both modes."""
    return spec.insecure if cluster.security == "insecure" and spec.insecure is not None else spec.tls


class AddonSpec(_Model):
    """A manifest that a version's own programs need in the cluster, applied before the nodes start.

    `before` are the certificates (names of the PKI) that rely on it: in a cluster that runs it is applied before
    a master's is replaced.
    """

    why: str
    template: str
    before: tuple[str, ...] = ()


class RemovedApi(_Model):
    """An API that an earlier version had: `kinds` of objects by resource, and the API that has the same objects now.

    Where nothing has them (`moved_to` is empty), they are lost.
    """

    api: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/v[a-z0-9]+$")]
    kinds: Mapping[Annotated[str, Field(pattern=r"^[a-z]+$")], str]
    moved_to: str = ""


class Profile(_Model):
    """What one Kubernetes version runs with. `known_flags` are those of each program, by name.

    `other_flags` names the lists in `flags/` of programs that do not belong to Kubernetes. `config_schemas` are
    those of the configuration files, by component.
    `restricted_labels` says that kubelets refuse labels of kubernetes.io for their own nodes. `taints` says where nodes
    have theirs: in an annotation, where there is no effect NoExecute yet, or in their specification.
    `dns` are the programs that can be the cluster's DNS, by the word of the inventory. `addons` are applied early, in
    this order and before those of the inventory, by the name that each file has on the first master.
    `programs` says where the server programs can come from; the first is the default. `tarball` is where upstream
    has its tarball.
    `upgrades_from` are the minor versions from which a cluster comes to this one, besides its own. `removed_apis` are
    those that this version does not serve, and an earlier one did.
    """

    version: str
    upgrades_from: tuple[Annotated[str, Field(pattern=r"^\d{1,6}\.\d{1,6}$")], ...] = ()
    removed_apis: tuple[RemovedApi, ...] = ()
    security: tuple[Security, ...]
    programs: tuple[Programs, ...] = ("packages",)
    tarball: str = ""
    pause_image: str
    cgroup_driver: str
    restricted_labels: bool = False
    taints: Literal["spec", "annotation"] = "spec"
    dns: Mapping[str, DnsSpec] = {}
    addons: Mapping[str, AddonSpec] = {}
    components: Mapping[str, Component]
    other_flags: tuple[str, ...] = ()
    known_flags: Mapping[str, Mapping[str, Flag]]
    config_schemas: Mapping[str, ConfigSchema] = {}

    @property
    def runtime(self) -> str:
        """The unit that runs the containers."""
        return next((one.unit for one in self.components.values() if one.runtime), "")

    @property
    def pod_subnet(self) -> PodSubnetSpec:
        """Where nodes have their parts of the pod network."""
        found = (one.pod_subnet for one in self.components.values() if one.pod_subnet is not None)
        return next(found, PodSubnetSpec(file="", flag=""))

    @cached_property
    def related(self) -> Mapping[str, Mapping[str, Flag]]:
        """By component, the flags that are related to others, and the keys of its file that no flag stands for."""
        found: dict[str, dict[str, Flag]] = {}
        for name in self.components:
            schema = self.config_schemas.get(name, ConfigSchema(keys={}))
            own = {key: flag for key, flag in schema.values.items() if key not in schema.flags.values()}
            flags = {**self.known_flags.get(name, {}), **own}
            found[name] = {key: flag for key, flag in flags.items() if flag.related}
        return found

    def linked(self) -> Profile:
        """The profile with every component after those that are to come `before` it."""
        components = dict(self.components)
        for name, component in self.components.items():
            for other in component.before:
                after = components[other].after
                later = after.model_copy(update={"here": (*after.here, name)})
                components[other] = components[other].model_copy(update={"after": later})
        return self.model_copy(update={"components": components})

    def on(self, roles: frozenset[Role]) -> dict[str, Component]:
        """The components that a host with these roles has, in the profile's order."""
        return {name: component for name, component in self.components.items() if component.roles & roles}

    def accepted(self, name: str) -> Mapping[str, Flag]:
        """The flags that may stand in a component's variables: those that every program which reads them knows.

        Empty where no list of the program's flags is there: nothing can be said of them then.
        """
        component = self.components[name]
        if not component.accepted_by:
            return self.known_flags.get(name, {})
        return {
            flag: self.known_flags[programs[0]][flag]
            for variable, programs in component.accepted_by.items()
            for flag in component.variables[variable]
            if all(flag in self.known_flags[program] for program in programs)
        }

    def source(self, cluster: Cluster) -> str:
        """Where the server programs of a cluster come from."""
        return cluster.programs or self.programs[0]

    def facts(self, cluster: Cluster) -> Facts:
        """What the conditions of a cluster are judged by."""
        return Facts(cluster.network, cluster.security, self.source(cluster))

    def fitting(self, cluster: Cluster) -> Profile:
        """The profile with the components and gates that a cluster has, and what brings their programs to it."""
        facts = self.facts(cluster)
        there = {name: component for name, component in self.components.items() if holds(component.when, facts)}
        fitting = {name: _fitting(component, facts, there) for name, component in there.items()}
        return self.model_copy(update={"components": fitting})

    def without_keys(self, absent: Collection[str]) -> Profile:
        """The profile without the files of these keys of CAs, which are not here to be sent."""
        if not absent:
            return self
        kept = {
            name: component.model_copy(
                update={"files": {path: spec for path, spec in component.files.items() if spec.pki not in absent}}
            )
            for name, component in self.components.items()
        }
        return self.model_copy(update={"components": kept})


def _fitting(component: Component, facts: Facts, there: Collection[str]) -> Component:
    fitting: dict[str, object] = {
        "after": component.after.among(there),
        "gates": tuple(gate for gate in component.gates if holds(gate.when, facts)),
    }
    if facts.programs == "tarball" and component.programs:
        fitting["packages"] = component.needs
    else:
        fitting |= {"programs": (), "users": ()}
    return component.model_copy(update=fitting)
