"""What components are made of: their files, flags, gates, certificates and what they demand and leave, as models.

Every string that holds `{{` is a Jinja template; docs/adding-a-version.md lists the names it may use. The descriptions
are those of `k8s-installer schema component`, whose examples come from the packaged components.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.json_schema import SkipJsonSchema

from k8s_installer.inventory import Cluster, Role
from k8s_installer.model.resources import Check
from k8s_installer.profiles.when import When

Scalar = str | int | float | bool
FlagValue = Scalar | tuple[Scalar, ...]


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
Mode = Annotated[int, BeforeValidator(_octal), WithJsonSchema({"type": "string", "pattern": "^[0-7]{1,4}$"})]


class Model(BaseModel):
    """A mapping of a profile or a component with keys of its own; any other key is an error."""

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


class LeavesSpec(Model):
    """What programs leave on a host when they end, and nobody else takes away; see `resources.Leaves`."""

    folders: tuple[str, ...] = Field(
        default=(), description="Folders and files, with all that is in them; those from before stay."
    )
    data: tuple[str, ...] = Field(
        default=(), description="Those whose content cannot be made again: one that has any stays."
    )
    below: Mapping[str, tuple[str, ...]] = Field(
        default={}, description="Data below the folders that flags of the component name, by flag."
    )
    links: tuple[str, ...] = Field(default=(), description="Network interfaces.")
    chains: tuple[Expression, ...] = Field(default=(), description="Names of iptables' chains, as regular expressions.")
    rules: tuple[Expression, ...] = Field(
        default=(), description="Other lines of `iptables-save`, as regular expressions."
    )
    routes: tuple[str, ...] = Field(default=(), description="The protocols of routes, as `ip route` shows them.")
    units: tuple[str, ...] = Field(default=(), description="Units that the programs start by themselves.")


# Both are words of a shell's command.
Folder = Annotated[str, Field(pattern=r"^(/[-\w.+@%:=]+)+$")]
Module = Annotated[str, Field(pattern=r"^[-\w]+$")]


class RoomSpec(Model):
    """Free space that a folder's file system should have."""

    enough: int = Field(description="MiB below which `preflight` warns.")
    least: int = Field(description="MiB below which an install fails.")
    why: str = Field(description="What needs the space.")


class RemainsSpec(Model):
    """Why data of an earlier install matters to a package that is not installed yet."""

    package: str = Field(description="The package.")
    why: str = Field(description="What the data may do.")
    stops: bool = Field(default=False, description="Whether it stops an install, or is a warning.")


class PreflightSpec(Model):
    """What a component demands of hosts before it is installed."""

    modules: Mapping[Module, str] = Field(default={}, description="Modules of the kernel, each with what needs it.")
    conflicts: Mapping[str, tuple[str, ...]] = Field(
        default={}, description="Packages of other origins that a package of ours cannot be beside."
    )
    room: Mapping[Folder, RoomSpec] = Field(default={}, description="Free space, by folder.")
    remains: Mapping[Folder, RemainsSpec] = Field(default={}, description="Data of an earlier install, by folder.")
    overlay: Folder | Literal[""] = Field(
        default="",
        description="The folder whose file system must have types in its folders (XFS: ftype=1) where the flag "
        "`storage-driver` names an overlay driver.",
    )


class PodSubnetSpec(Model):
    """Where a node has its part of the pod network."""

    file: str = Field(description="The file that says it.")
    flag: str = Field(description="The flag whose value it is.")


class FileSpec(Model):
    """One file: from a template or from the local PKI (and so only with `security: tls`), for whom, and where."""

    why: str = Field(description="What the file is for, in one sentence; `plan --diff` shows it.")
    template: str = Field(default="", description="The template, by its path in `templates/`.")
    pki: str = Field(default="", description="The file of the local PKI, such as `ca.crt`, instead of a template.")
    params: Mapping[str, str] = Field(
        default={}, alias="with", description="What the template is rendered with, as `params`."
    )
    mode: Mode = Field(
        default=0o644, description="Its mode in octal, in quotes.", json_schema_extra={"default": "0644"}
    )
    owner: str = Field(default="root", description="Its owner, and the group of the same name.")
    secret: bool = Field(default=False, description="Whether its content is never shown; its template knows `pki`.")
    used_by: Literal["process", "systemd", "gate"] = Field(
        default="process",
        description="What a change causes: the process reads it at its start (a restart), it defines the unit (a "
        "daemon-reload and a restart), or only people and gates use it (nothing).",
    )
    shared: bool = Field(
        default=False,
        description="Whether it has the same bytes on every host: it is rendered once, and its template knows no host.",
    )
    when: When = Field(default=When(), description="Where it is, and where not.")
    leaves: LeavesSpec | None = Field(
        default=None,
        description="What is there because of it, and stays when it goes.",
        examples=[{"routes": ["75"]}],
    )

    _only_with_tls = model_validator(mode="before")(_of_pki)


class Endpoint(Model):
    """What curl asks, and with which files of the host."""

    url: str = Field(description="The address.")
    ca: str = Field(default="", description="The file with the CA that signed the server's certificate.")
    cert: str = Field(default="", description="The client's certificate.")
    key: str = Field(default="", description="The key of the client's certificate.")


class GateSpec(Model):
    """How real health is asked. A gate's name, when its own host is asked, is plain text; other gates may use `{{`."""

    name: SkipJsonSchema[str]  # the key of the mapping
    why: str = Field(description="Why this question, and not another.")
    check: Check = Field(description="How the answer is judged.")
    deadline: float = Field(default=60.0, description="Seconds that it may take.")
    asked_from: Literal["own-host", "first-master"] = Field(default="own-host", description="The host that asks.")
    after: Literal["here", "everywhere"] = Field(
        default="here",
        description="`everywhere` waits until the component's units run on every host: a quorum needs its members.",
    )
    when: OfCluster = Field(
        default=When(), description="In which clusters it is asked.", examples=[{"security": "tls"}]
    )
    follows: tuple[str, ...] = Field(
        default=(), description="Components of the same host whose restart systemd makes a restart of this one."
    )
    expects: str = Field(default="", description="What the answer must list, separated by commas.")
    tls: Endpoint = Field(description="What is asked with `security: tls`.")
    insecure: Endpoint | None = Field(
        default=None,
        description="What is asked with `security: insecure`.",
        examples=[{"url": "http://127.0.0.1:8080/healthz"}],
    )


Gates = Annotated[tuple[GateSpec, ...], BeforeValidator(_with_names, json_schema_input_type=Mapping[str, GateSpec])]


class After(Model):
    """Which components come first: their gates must have passed (or their units run, where they have no gates)."""

    here: tuple[str, ...] = Field(default=(), description="Components of this host.")
    everywhere: tuple[str, ...] = Field(default=(), description="Components of every host.")
    installed: tuple[str, ...] = Field(
        default=(),
        description="Components whose packages and files must be on every host, nothing more: a member that starts "
        "before the others can be started would wait for a quorum, and give up.",
    )
    early_addons: bool = Field(
        default=False, description="Whether the unit starts after the addons that nodes and pods may need."
    )

    def among(self, there: Collection[str]) -> After:
        """What is left of it in a cluster that has these components alone."""
        named = {"here": self.here, "everywhere": self.everywhere, "installed": self.installed}
        kept = {kind: tuple(name for name in names if name in there) for kind, names in named.items()}
        return self.model_copy(update=kept)


class FlagSets(Model):
    """Default flags; a later group replaces what an earlier one has. A value that renders to nothing leaves it out."""

    always: Mapping[str, FlagValue] = Field(default={}, description="In every cluster.")
    tls: Mapping[str, FlagValue] = Field(default={}, description="With `security: tls`.")
    insecure: Mapping[str, FlagValue] = Field(
        default={}, description="With `security: insecure`.", examples=[{"insecure-port": 8080}]
    )
    routes: Mapping[str, FlagValue] = Field(default={}, description="With `network: routes`.")

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


class CertificateSpec(Model):
    """A certificate of the local PKI. Templates in it know `cluster`, and `host` if each host has its own."""

    ca: Literal["ca", "etcd-ca", "etcd-peer-ca", "front-proxy-ca", "flannel-ca"] = Field(
        default="ca", description="The CA that issues it."
    )
    user: str = Field(description="Whose it is (CN).")
    group: str = Field(default="", description="The group of that user (O).")
    client: bool = Field(default=False, description="Whether it is shown to servers.")
    names: tuple[str, ...] = Field(default=(), description="The server's names (SANs); empty ones are left out.")
    each_host: bool = Field(
        default=False,
        description="Whether every host of the component has its own, HOST/NAME.crt, with the host's own names; "
        "otherwise all share NAME.crt.",
    )
    rsa: bool = Field(
        default=False, description="Whether its key is RSA, for programs that read no other, as curl on CentOS 7."
    )


class TalkSpec(Model):
    """A connection that a component opens. Templates know what is the same for all hosts, and `registries`."""

    why: str = Field(description="What it is for, in a few words.")
    to: str = Field(
        default="",
        description="The component that it leads to, if that is not the one that the key names.",
        examples=["kube-apiserver"],
    )
    outside: str = Field(default="", description="What it leads to outside the cluster.")
    at: Literal["everywhere", "here", "api"] = Field(
        default="everywhere",
        description="Where that is: on all hosts that have it, on the client's own, or where the host reaches the API.",
    )
    by: str = Field(default="", description="What connects, if it is not the component's program.")
    via: str = Field(default="", description="A HOST:PORT in between.")
    port: str = Field(
        default="",
        description="The port, as in `ports`, or a socket's path; by default the one of the server's `ports` that is "
        "for the client's roles.",
    )
    protocol: str = Field(
        default="", description="The protocol; by default HTTPS, or HTTP where nothing has certificates."
    )
    certificate: str = Field(default="", description="The certificate that the client shows.")
    served_with: str = Field(default="", description="The certificate that the server shows, where it has several.")
    when: When = Field(default=When(), description="In which clusters, and on which hosts.")


class DrainSpec(Model):
    """The flags of this version's `kubectl drain`, without dashes."""

    daemonsets: str = Field(description="The flag that allows pods of DaemonSets.")
    local_data: str = Field(description="The flag that allows pods with local data.")
    unmanaged: str = Field(description="The flag that allows pods that nothing recreates.")
