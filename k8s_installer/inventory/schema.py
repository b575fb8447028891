"""The shape of the file, as pydantic models: what keys there are, of what type, with which defaults."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from k8s_installer.inventory import addresses, nodes
from k8s_installer.inventory.cluster import Role, Taint

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# What survives systemd's EnvironmentFile and word splitting as one word of a command line. A % does: systemd expands it
# in unit files alone.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PORTS = 65535
_LONGEST = 4096  # more than any program reads; Python reads no number of more than 4,300 digits
_SPECIAL = re.compile(r"""["'\\$`]""")
_USER = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]{1,128}")
_FLAG = re.compile(r"[A-Za-z0-9][-_A-Za-z0-9]*")
_REPOS = re.compile(r"(https?|ftp|file)://[^\s\"'\\$`%]+")
_URL = re.compile(r"https?://[^\s/]+/\S+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_IMAGES_AT = re.compile(r"[A-Za-z0-9][-.A-Za-z0-9]*(:\d{1,5})?(/[a-z0-9][-._a-z0-9]*)*")
_PACKAGE = re.compile(r"[A-Za-z0-9][-._+A-Za-z0-9]*")
_EVR = re.compile(r"(\d{1,9}:)?[A-Za-z0-9][A-Za-z0-9._+~^]*(-[A-Za-z0-9][A-Za-z0-9._+~^]*)?")
_PROXY = re.compile(r"https?://[-.:\w\[\]]+:\d+/?")
# Where CentOS 7 is since its mirrors are gone. Plain HTTP, for a host that was never updated knows no authority that
# signed this server's certificate; what is installed from it is checked by the distribution's own key.
VAULT = "http://vault.centos.org"
RELEASE = "7.9.2009"  # the last one, and its folder there
_OWN_REPOS = ("mirror", "vault")
MOST_DRAIN_SECONDS = 86400
_DOMAIN_LENGTH = 200  # of 253, so that names of Services fit in front of it


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError("must be a DNS label: at most 63 lowercase letters, digits and '-'")
    return value


def _domain(value: str) -> str:
    if len(value) > _DOMAIN_LENGTH or not all(_LABEL.fullmatch(label) for label in value.split(".")):
        raise ValueError(
            f"must be DNS labels (lowercase letters, digits, '-') separated by dots, at most {_DOMAIN_LENGTH} "
            "characters"
        )
    return value


def _flag(value: str) -> str:
    if not _FLAG.fullmatch(value):
        raise ValueError("is not a flag name: use letters, digits, '-' and '_', without leading dashes")
    return value


def _sum(value: object) -> object:
    text = str(value).lower()
    if not _SHA256.fullmatch(text):
        raise ValueError("is not a SHA-256: use 64 hexadecimal digits, as sha256sum prints them")
    return text


def _url(value: str) -> str:
    if not _URL.fullmatch(value):
        raise ValueError("must be the URL of a file, starting with https:// or http://")
    return value


def _package(value: str) -> str:
    if not _PACKAGE.fullmatch(value):
        raise ValueError("is not the name of a package")
    return value


def _evr(value: str) -> str:
    if not _EVR.fullmatch(value):
        raise ValueError("must be VERSION-RELEASE or VERSION, as `yum list --showduplicates NAME` shows it")
    return value


def _quoted(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError("must be in quotes: without them YAML reads a number, and 1.20 as 1.2")  # noqa: TRY004
    return value


def _text(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError(f"must be text such as 10.0.0.11, not the number {value}")  # noqa: TRY004 - pydantic's way
    return value


def _word(value: object) -> object:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            shown = {key: str(inner).lower() if isinstance(inner, bool) else inner for key, inner in item.items()}
            pairs = ", ".join(f"{key}={inner}" for key, inner in shown.items())
            raise ValueError(f"must not be a mapping: use a list, [{pairs}]")  # noqa: TRY004 - pydantic's way
        if isinstance(item, list) or (item is None and isinstance(value, list)):
            raise ValueError("must be a string, a number, true, false, a list of those, or null to remove the flag")
        if isinstance(item, str):
            _fit(item)
    return value


def _fit(text: str) -> None:
    """Let pass what survives systemd's EnvironmentFile and word splitting as one word of a command line."""
    if len(text) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} characters")
    if _CONTROL.search(text):
        raise ValueError("has a line break or another control character, which a systemd command line cannot contain")
    if re.search(r"\s", text):
        raise ValueError("has a space, where systemd would split it in two; for several values use a list: [a, b]")
    special = _SPECIAL.search(text)
    if special:
        raise ValueError(f"has a {special[0]} in it, which systemd or a shell would interpret")


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise ValueError("is not a user name: no spaces or control characters")
    return value


def _proxy(value: str) -> str:
    if not _PROXY.fullmatch(value):
        raise ValueError("must be an address such as http://proxy.example.com:3128, without a password")
    return value


def _image_registry(value: str) -> str:
    place = value.rstrip("/")
    found = _IMAGES_AT.fullmatch(place)
    if value and (not found or int((found[1] or ":0")[1:]) > _PORTS):
        raise ValueError("must be a registry such as registry.example.com:5000 or registry.example.com/mirror")
    return place


class BundleModel(BaseModel):
    """`repos: bundle` and `repos: {bundle: FILE, sha256: SUM}`; the sum, its manifest's, may be left out.

    Without a file it is given to each command.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    file: str
    sha256: str = ""


def _repos(value: object) -> object:
    """The address of the repositories, nothing for `as-is`, or a bundle."""
    (kind, said), *more = value.items() if isinstance(value, dict) and value else [("", "")]
    if kind == "bundle" and isinstance(said, str) and said and [key for key, _ in more] == ["sha256"]:
        return BundleModel(file=said, sha256=str(_sum(more[0][1])))
    if value == "bundle" or (kind == "bundle" and isinstance(said, str) and said and not more):
        return BundleModel(file=said)
    if kind in _OWN_REPOS and isinstance(said, str) and not more:
        if not _REPOS.fullmatch(said):
            example = f"http://mirror.example.com/centos{f'/{RELEASE}' if kind == 'mirror' else '-vault'}"
            raise ValueError(f"{kind} must be an address such as {example}")
        return said.rstrip("/") if kind == "mirror" else f"{said.rstrip('/')}/{RELEASE}"
    if not isinstance(value, str) or value not in ("as-is", "vault"):
        raise ValueError(
            "must be as-is, vault, bundle, {vault: URL}, {mirror: URL}, {bundle: FILE} or {bundle: FILE, sha256: SUM}"
        )
    return f"{VAULT}/{RELEASE}" if value == "vault" else ""


Label = Annotated[str, AfterValidator(_label)]
Sum = Annotated[str, BeforeValidator(_sum)]
Url = Annotated[str, AfterValidator(_url)]
Domain = Annotated[str, AfterValidator(_domain)]
Flag = Annotated[str, AfterValidator(_flag)]
ProxyUrl = Annotated[str, AfterValidator(_proxy)]
Mirror = Annotated[str, AfterValidator(addresses.mirror)]
Registry = Annotated[str, AfterValidator(addresses.registry)]
User = Annotated[str, AfterValidator(_user)]
Gateway = Annotated[str, AfterValidator(addresses.gateway)]
Endpoint = Annotated[str, AfterValidator(addresses.endpoint)]
Address = Annotated[IPv4Address, BeforeValidator(_text)]
Network = Annotated[IPv4Network, BeforeValidator(_text)]
Word = Annotated[str, BeforeValidator(_word)]
PackageName = Annotated[str, AfterValidator(_package)]
PackageVersion = Annotated[str, BeforeValidator(_quoted), AfterValidator(_evr)]
ImageName = Annotated[Word, AfterValidator(addresses.image)]
LabelKey = Annotated[str, AfterValidator(nodes.label_key)]
LabelText = Annotated[str, AfterValidator(nodes.label)]
LabelValue = Annotated[LabelText | None, BeforeValidator(nodes.text)]
AnnotationKey = Annotated[str, AfterValidator(nodes.annotation_key)]
AnnotationText = Annotated[str, AfterValidator(nodes.annotation)]
AnnotationValue = Annotated[AnnotationText | None, BeforeValidator(nodes.text)]
TaintText = Annotated[Taint, BeforeValidator(nodes.taint)]
Scalar = str | int | float | bool
Arg = Annotated[Scalar | list[Scalar] | None, BeforeValidator(_word)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, defer_build=True)


class TarballModel(_Model):
    """`cluster.tarball:`; without `path` and `url` it is upstream's."""

    path: str | None = None
    url: Url | None = None
    sha256: Sum

    @model_validator(mode="after")
    def _one_place(self) -> TarballModel:
        if self.path is not None and self.url is not None:
            raise ValueError("has both path and url: keep one of them")
        return self


class FlannelModel(_Model):
    """`cluster.flannel:`; what is left out, or all of it, is as here."""

    backend: Literal["vxlan", "host-gw"] = "vxlan"


class ClusterModel(_Model):
    """`cluster:`"""  # noqa: D415 - the key itself

    name: Label
    version: Annotated[str, BeforeValidator(_quoted)]
    pod_cidr: Network = IPv4Network("10.244.0.0/16")
    service_cidr: Network = IPv4Network("10.254.0.0/16")
    dns_domain: Domain = "cluster.local"
    network: Literal["routes", "flannel", "none"] = "routes"
    flannel: FlannelModel | None = None
    security: Literal["tls", "insecure"] = "tls"
    dns: Literal["coredns", "kube-dns", "none"] = "none"
    outside_name: Domain | None = None
    api_endpoint: Endpoint | None = None
    programs: Literal["packages", "tarball"] | None = None
    tarball: TarballModel | None = None
    drain: bool = False
    drain_timeout: Annotated[int, Field(ge=0, le=MOST_DRAIN_SECONDS)] = 300
    drain_daemonsets: Literal["refuse", "ignore"] = "refuse"
    drain_local_data: Literal["refuse", "delete"] = "refuse"


class SshModel(_Model):
    """`ssh:`, of the cluster or of one host; what a host leaves out, the cluster's says."""

    user: User | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    key: str | None = None
    known_hosts: str | None = None
    host_keys: Literal["strict", "accept-new"] | None = None
    gateway: Gateway | None = None
    connect_timeout: Annotated[float, Field(gt=0, le=600)] | None = None


class ImageModel(_Model):
    """`{image: NAME, version: "1.8.7"}`: an image whose name does not say the version of its program."""

    image: ImageName
    version: Annotated[str, BeforeValidator(_quoted), Field(pattern=r"^v?\d+(\.\d+)+$")] | None = None


def _image(value: object) -> object:
    """An image by its name alone."""
    return {"image": value} if isinstance(value, str) else value


Image = Annotated[ImageModel, BeforeValidator(_image)]


class DnsImagesModel(_Model):
    """`images.dns:`, by the names that profiles give them."""

    coredns: Image | None = None
    kubedns: Image | None = None
    dnsmasq: Image | None = None
    sidecar: Image | None = None
    healthz: Image | None = None

    @property
    def said(self) -> dict[str, ImageModel]:
        """Those that are named."""
        return {name: image for name, image in self if image is not None}


class ImagesModel(_Model):
    """`images:`; `registry` has what the profile names, by the same names."""

    registry: Annotated[str, AfterValidator(_image_registry)] = ""
    pause: ImageName | None = None
    verify: ImageName = ""
    dns: DnsImagesModel = DnsImagesModel()


class ProxyModel(_Model):
    """`proxy:`; what is left out of `https` is as `http`."""

    http: ProxyUrl
    https: ProxyUrl | None = None
    no_proxy: list[Word] = []


class EtcdBackupsModel(_Model):
    """`etcd_backups:`; a schedule may be a time of day, by the host's clock."""

    schedule: Annotated[str, Field(pattern=r"^(hourly|daily|weekly|([01][0-9]|2[0-3]):[0-5][0-9])$")]
    keep: Annotated[int, Field(ge=1, le=1000)] = 7
    folder: Annotated[str, Field(pattern=r"^(/[-\w.+@%:=]+)+$", max_length=200)] = "/var/lib/etcd-backups"


class LogsModel(_Model):
    """`log:` of docker: how much of a container's output is kept."""

    max_size: Annotated[str, Field(pattern=r"^[1-9]\d*[kmg]$")] = "50m"
    max_file: Annotated[int, Field(ge=1, le=1000)] = 3


class DockerModel(_Model):
    """`docker:`; what is left out stays as the profile has it. Each is a flag of docker: `flags` says which."""

    registry_mirrors: list[Mirror] | None = None
    insecure_registries: list[Registry] | None = None
    storage_driver: Literal["overlay2", "overlay", "devicemapper", "vfs"] | None = None
    log: LogsModel | None = None

    @property
    def flags(self) -> dict[str, str | list[str]]:
        """What is said here, by the flags."""
        flags: dict[str, str | list[str] | None] = {
            "registry-mirror": list(self.registry_mirrors) if self.registry_mirrors is not None else None,
            "insecure-registry": list(self.insecure_registries) if self.insecure_registries is not None else None,
            "storage-driver": self.storage_driver,
            "log-opt": [f"max-size={self.log.max_size}", f"max-file={self.log.max_file}"] if self.log else None,
        }
        return {flag: value for flag, value in flags.items() if value is not None}


class HostSettingsModel(_Model):
    """`host_settings:`, of the cluster or of one host; what a host leaves out, the cluster's says."""

    selinux: Literal["permissive", "enforcing", "disabled", "ignore"] | None = None
    swap: Literal["off", "ignore"] | None = None
    firewall: Literal["manage", "disable", "ignore"] | None = None
    time: Literal["chrony", "ignore"] | None = None
    proxy: ProxyModel | None = None
    hosts_file: Literal["manage", "ignore"] | None = None
    journald: Literal["persistent", "ignore"] | None = None
    etcd_backups: EtcdBackupsModel | None = None
    limit_nofile: Annotated[int, Field(ge=1024, le=1048576)] | None = None
    cgroup_driver: Literal["systemd", "cgroupfs"] | None = None
    docker: DockerModel = DockerModel()

    @property
    def flags(self) -> dict[str, dict[str, str | list[str]]]:
        """What is said here of components, by their flags."""
        return {"docker": self.docker.flags} if self.docker.flags else {}


class ComponentModel(_Model):
    """One entry of `components:`; which names there are, the version's profile says."""

    deadline: Annotated[float, Field(gt=0, le=3600)] | None = None
    args: dict[Flag, Arg] = Field(default_factory=dict)
    config: dict[str, object] = Field(default_factory=dict)


class NodesModel(_Model):
    """`nodes:`, of all nodes; a host's own labels and annotations are over these, and its taints in their place."""

    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    annotations: dict[AnnotationKey, AnnotationValue] = Field(default_factory=dict)
    taints: list[TaintText] | None = None


class HostModel(NodesModel):
    """One entry of `hosts:`."""

    address: Address
    roles: Annotated[list[Role], Field(min_length=1)]
    ssh: SshModel = SshModel()
    host_settings: HostSettingsModel = HostSettingsModel()
    components: dict[str, ComponentModel] = Field(default_factory=dict)
    pod_subnet: Network | None = None
    state: Literal["present", "absent"] = "present"


class InventoryModel(_Model):
    """The whole file."""

    cluster: ClusterModel
    ssh: SshModel = SshModel()
    images: ImagesModel = ImagesModel()
    host_settings: HostSettingsModel = HostSettingsModel()
    repos: Annotated[str | BundleModel, BeforeValidator(_repos)] = ""
    packages: dict[PackageName, PackageVersion] = Field(default_factory=dict)
    nodes: NodesModel = NodesModel()
    hosts: Annotated[dict[Label, HostModel], Field(min_length=1)]
    components: dict[str, ComponentModel] = Field(default_factory=dict)
