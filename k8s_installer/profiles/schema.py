"""The shape of a profile: frozen pydantic models, strict about unknown keys, with no behaviour but lookups.

Every string that holds `{{` is a Jinja template; docs/adding-a-version.md lists the names it may use.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from k8s_installer.inventory import Cluster, Role
from k8s_installer.profiles.flags import Flag
from k8s_installer.profiles.pieces import (
    After,
    CertificateSpec,
    DrainSpec,
    Endpoint,
    FileSpec,
    FlagSets,
    Gates,
    GateSpec,
    LeavesSpec,
    Model,
    OfCluster,
    PodSubnetSpec,
    PreflightSpec,
    Scalar,
    Style,
    TalkSpec,
)
from k8s_installer.profiles.when import Facts, Programs, Security, When, holds

Shape = str | list["Shape"] | Mapping[str, "Shape"]  # a scalar's type, a list of its items, a mapping by key
EVERY = "*"  # in a shape: any key of a map
REST = "*"  # in a list of flags: every flag that no other variable names


class Component(Model):
    """One program and all that belongs to it; its name in `Profile.components` is that of the inventory."""

    why: str = Field(description="What the component is for, in one sentence.")
    roles: frozenset[Role] = Field(description="The roles of the hosts that have it.")
    when: OfCluster = Field(default=When(), description="In which clusters it is.")
    tunable: bool = Field(default=True, description="Whether an inventory can change it.")
    unit: str = Field(default="", description="The systemd unit that runs it.")
    packages: Mapping[str, str] = Field(
        default={}, description="The RPMs that bring it, each with its version; empty means what repositories have."
    )
    programs: tuple[str, ...] = Field(
        default=(),
        description="The names of its server programs in upstream's tarball. Where they come from there, they are put "
        "into /usr/bin, and `needs` and `users` take the place of `packages`. Without any, `packages` are used anyway.",
    )
    needs: Mapping[str, str] = Field(default={}, description="RPMs that programs of a tarball call.")
    users: tuple[str, ...] = Field(
        default=(), description="System users that programs of a tarball run as, with groups of the same names."
    )
    after: After = Field(
        default=After(), description="What comes first. It may name components that a cluster has not."
    )
    before: tuple[str, ...] = Field(
        default=(),
        description="Components of the same host that come after this one, though their own files do not say so.",
        examples=[["kubelet", "kube-proxy"]],
    )
    style: Style = Field(
        default=Style.KUBERNETES,
        description="How flags become lines: `--flag=value` with lists joined by commas, `--flag=value` for each item, "
        "or etcd's variables.",
    )
    variables: Mapping[str, tuple[str, ...]] = Field(
        default={},
        description="In which variable of the packaged unit (or, for etcd, in which section of its file) each flag "
        "lives; `*` takes those that no other names.",
    )
    accepted_by: Mapping[str, tuple[str, ...]] = Field(
        default={}, description="Programs that read a variable, where there are several: each must know its flags."
    )
    flags: FlagSets = Field(default=FlagSets(), description="Default flags, without dashes.")
    fixed: tuple[str, ...] = Field(
        default=(),
        description="Flags (or keys of the configuration file) that gates, kubeconfigs and other programs depend on: "
        "an inventory cannot change them.",
    )
    config: Mapping[str, object] = Field(default={}, description="Its configuration file, as `config` of a template.")
    config_schema: str = Field(
        default="",
        description="The file in `schemas/` that says what keys `config` may have.",
        examples=["kubelet-1.20.2"],
    )
    files: Mapping[str, FileSpec] = Field(default={}, description="Its files, by path.")
    certificates: Mapping[str, CertificateSpec] = Field(
        default={}, description="Certificates that the local PKI issues; files of any component name them by `pki`."
    )
    reads: tuple[str, ...] = Field(default=(), description="Files of other components that the process reads too.")
    data: Mapping[str, str] = Field(
        default={},
        description="Where it keeps its write-ahead log: flags in the order in which they count, each with the path "
        "below it.",
    )
    folders: tuple[str, ...] = Field(default=(), description="Further flags that name folders of its own.")
    pod_subnet: PodSubnetSpec | None = Field(default=None, description="Where its node's part of the pod network is.")
    preflight: PreflightSpec = Field(
        default=PreflightSpec(), description="What is looked at on hosts before an install."
    )
    added_later: bool = Field(
        default=False, description="Whether clusters may have its clients from before there was this component."
    )
    runtime: Literal["docker"] | None = Field(default=None, description="Which container runtime it is.")
    shown_by: tuple[str, ...] = Field(
        default=(),
        description="Components that were never started where it was not, besides those that come right after its "
        "gates.",
    )
    ports: Mapping[str, frozenset[Role]] = Field(
        default={},
        description="The ports that other hosts reach it on, as PORT/tcp or FIRST-LAST/udp, each with the roles whose "
        "programs connect.",
    )
    talks_to: Mapping[str, TalkSpec] = Field(
        default={},
        description="The connections that it opens, to show them: nothing is opened or allowed because of it. A key "
        "names the component at the other end, unless `to` or `outside` does.",
    )
    gates: Gates = Field(default=(), description="How its health is asked, by the name of each question.")
    leaves: LeavesSpec | None = Field(default=None, description="What its programs make on a host, and leave there.")
    skew: int | None = Field(
        default=None, description="By how many minor versions it may be older than the API server.", examples=[2]
    )
    stops_pods: Literal["restart", "upgrade"] | None = Field(
        default=None,
        description="When it ends the pods of its host: with each restart, or if another version of it takes over.",
    )
    drain: DrainSpec | None = Field(
        default=None, description="How its node is drained; of the component by which a host is a node."
    )


class ConfigSchema(Model):
    """What may stand in a configuration file: the shape of its keys, and by dotted path what more their values are.

    `flags` are the keys that have the meaning of a flag, by the flag.
    """

    keys: Mapping[str, Any]
    values: Mapping[str, Flag] = {}
    flags: Mapping[str, str] = {}


Variant = Mapping[str, Scalar]  # what a template is rendered with, by name


class DnsSpec(Model):
    """One program that can be the cluster's DNS: the template of its manifest, and its images.

    Its pods have the label `k8s-app: kube-dns`, and `k8s-installer/revision` with the template's `revision`: the gate
    looks for pods of this revision.
    """

    template: str = Field(description="The template of its manifest, by its path in `templates/`.")
    images: Mapping[str, str] = Field(
        description="Its images by name; an inventory can name others under the same names."
    )
    versioned: str = Field(
        default="",
        description="The image whose tag says the version, where what the program understands depends on it.",
    )
    variants: Mapping[str, Variant] = Field(
        default={}, description="The template's `params`, by the version from which each holds."
    )
    deadline: float = Field(  # images come from their registry first
        default=180.0, description="Seconds until one of its pods must be ready.", examples=[300]
    )
    tls: Endpoint = Field(description="How its pods are listed with `security: tls`.")
    insecure: Endpoint | None = Field(default=None, description="How its pods are listed with `security: insecure`.")


def endpoint(spec: GateSpec | DnsSpec, cluster: Cluster) -> Endpoint:
    """What is asked in a cluster; without one of its own for `insecure` it is the same in both modes."""
    return spec.insecure if cluster.security == "insecure" and spec.insecure is not None else spec.tls


class AddonSpec(Model):
    """A manifest that a version's own programs need in the cluster, applied before the nodes start."""

    why: str = Field(description="What it is for, in one sentence.")
    template: str = Field(description="The template of the manifest, by its path in `templates/`.")
    before: tuple[str, ...] = Field(
        default=(),
        description="Certificates (files of the PKI) that rely on it: in a running cluster it is applied before a "
        "master's is replaced.",
    )


class RemovedApi(Model):
    """An API that an earlier version had, and this one does not serve."""

    api: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/v[a-z0-9]+$")] = Field(description="The API.")
    kinds: Mapping[Annotated[str, Field(pattern=r"^[a-z]+$")], str] = Field(
        description="The kinds of its objects, by resource."
    )
    moved_to: str = Field(default="", description="The API that has the same objects now. Empty: they are lost.")


class Profile(Model):
    """What one Kubernetes version runs with."""

    version: str = Field(description="The version, in quotes; the file has its name.")
    upgrades_from: tuple[Annotated[str, Field(pattern=r"^\d{1,6}\.\d{1,6}$")], ...] = Field(
        default=(), description="The minor versions from which a cluster comes to this one, besides its own."
    )
    removed_apis: tuple[RemovedApi, ...] = Field(
        default=(), description="APIs that this version does not serve, and an earlier one did."
    )
    security: tuple[Security, ...] = Field(description="What `cluster.security` can be.")
    programs: tuple[Programs, ...] = Field(
        default=("packages",), description="Where the server programs can come from; the first is the default."
    )
    tarball: str = Field(default="", description="Where upstream has its tarball.")
    pause_image: str = Field(description="The image that holds the network of every pod.")
    cgroup_driver: str = Field(description="The cgroup driver of docker and the kubelet.")
    restricted_labels: bool = Field(
        default=False, description="Whether kubelets refuse labels of kubernetes.io for their own nodes."
    )
    taints: Literal["spec", "annotation"] = Field(
        default="spec",
        description="Where nodes have their taints: in an annotation, where there is no effect NoExecute yet, or in "
        "their specification.",
    )
    dns: Mapping[str, DnsSpec] = Field(
        default={}, description="The programs that can be the cluster's DNS, by the word of the inventory."
    )
    addons: Mapping[str, AddonSpec] = Field(
        default={},
        description="Manifests that are applied early, in this order and before those of the inventory, by the name "
        "that each file has on the first master.",
    )
    components: Mapping[str, Component] = Field(
        description="The components of the version in the order in which they start, each with what differs from its "
        "own file; null removes a key."
    )
    other_flags: tuple[str, ...] = Field(
        default=(), description="The lists in `flags/` of programs that do not belong to Kubernetes."
    )
    known_flags: SkipJsonSchema[Mapping[str, Mapping[str, Flag]]]  # of each program, by name; from flags/
    config_schemas: SkipJsonSchema[Mapping[str, ConfigSchema]] = Field(default={})  # by component; from schemas/

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
