"""The shape of the file, as pydantic models: what keys there are, of what type, with which defaults and meaning.

`k8s-installer schema` and docs/inventory.md are made from the descriptions and examples here.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from k8s_installer.inventory.cluster import Role
from k8s_installer.inventory.hostsettings import HostSettingsModel
from k8s_installer.inventory.repos import Repos
from k8s_installer.inventory.values import (
    Address,
    AnnotationKey,
    AnnotationValue,
    Arg,
    Domain,
    Endpoint,
    Flag,
    Gateway,
    ImageName,
    ImageRegistry,
    Label,
    LabelKey,
    LabelValue,
    Model,
    Network,
    PackageName,
    PackageVersion,
    ProgramVersion,
    Sum,
    TaintText,
    Url,
    User,
    Version,
)

MOST_DRAIN_SECONDS = 86400


class TarballModel(Model):
    """Upstream's server programs; without `path` and `url` they are downloaded from upstream, once."""

    path: str | None = Field(
        default=None,
        description="A local copy; a relative path starts at the inventory's folder.",
        examples=["kubernetes-server-linux-amd64.tar.gz"],
    )
    url: Url | None = Field(
        default=None,
        description="Where to download it instead of upstream.",
        examples=["https://mirror.example.com/kubernetes-server-linux-amd64.tar.gz"],
    )
    sha256: Sum = Field(
        description="The tarball's SHA-256, as `sha256sum` prints it.", examples=["0123456789abcdef" * 4]
    )

    @model_validator(mode="after")
    def _one_place(self) -> TarballModel:
        if self.path is not None and self.url is not None:
            raise ValueError("has both path and url: keep one of them")
        return self


class FlannelModel(Model):
    """Settings of `network: flannel`."""

    backend: Literal["vxlan", "host-gw"] = Field(
        default="vxlan",
        description="How packets reach another host: wrapped in UDP (`vxlan`), or by routes on one layer-2 network "
        "(`host-gw`).",
        examples=["host-gw"],
    )


class ClusterModel(Model):
    """The cluster as a whole."""

    name: Label = Field(description="The cluster's name, a DNS label.", examples=["lab"])
    version: Version = Field(
        description="The version of Kubernetes, in quotes. A profile serves all patch versions of its minor version.",
        examples=["1.20.2", "1.5.2"],
    )
    pod_cidr: Network = Field(
        default=IPv4Network("10.244.0.0/16"),
        description="The network of all pods; with `routes` and `flannel` each host gets a part of it.",
        examples=["10.244.0.0/16"],
    )
    service_cidr: Network = Field(
        default=IPv4Network("10.254.0.0/16"),
        description="The network of Services. Its first address is the API's, its tenth the cluster DNS's.",
        examples=["10.254.0.0/16"],
    )
    dns_domain: Domain = Field(
        default="cluster.local", description="The domain of names inside the cluster.", examples=["cluster.local"]
    )
    network: Literal["routes", "flannel", "none"] = Field(
        default="routes",
        description="How pods reach pods on other hosts: static routes on one layer-2 network, flannel, or a network "
        "of your own.",
        examples=["flannel"],
    )
    flannel: FlannelModel | None = Field(
        default=None, description="Settings of `network: flannel`.", examples=[{"backend": "host-gw"}]
    )
    security: Literal["tls", "insecure"] = Field(
        default="tls",
        description="TLS and client certificates everywhere, or the bare defaults of the packages, to learn from "
        "(1.5.2).",
        examples=["tls"],
    )
    dns: Literal["coredns", "kube-dns", "none"] = Field(
        default="none", description="The program that resolves names of Services in pods.", examples=["coredns"]
    )
    outside_name: Domain | None = Field(
        default=None,
        description="A name outside the cluster that `verify` resolves from a pod.",
        examples=["mirror.example.com"],
    )
    api_endpoint: Endpoint | None = Field(
        default=None,
        description="`HOST:PORT` of a load balancer in front of the masters: nodes reach the API there. It is in the "
        "API servers' certificates.",
        examples=["api.example.com:6443"],
    )
    programs: Literal["packages", "tarball"] | None = Field(
        default=None,
        description="Where Kubernetes' programs come from: yum packages, or upstream's tarball. By default, what the "
        "version's profile prefers.",
        examples=["tarball"],
    )
    tarball: TarballModel | None = Field(
        default=None,
        description="Upstream's server programs, for `programs: tarball`.",
        examples=[{"sha256": "0123456789abcdef" * 4}],
    )
    drain: bool = Field(
        default=False,
        description="Drain a node before docker restarts or its kubelet is upgraded. A node that leaves is "
        "always drained.",
        examples=[True],
    )
    drain_timeout: Annotated[int, Field(ge=0, le=MOST_DRAIN_SECONDS)] = Field(
        default=300, description="Seconds that a node may take to drain; 0 drains none.", examples=[600]
    )
    drain_daemonsets: Literal["refuse", "ignore"] = Field(
        default="refuse",
        description="Whether a node with pods of DaemonSets, which a drain leaves running, may be drained.",
        examples=["ignore"],
    )
    drain_local_data: Literal["refuse", "delete"] = Field(
        default="refuse",
        description="Whether a drain may evict pods that lose what they have in emptyDir volumes.",
        examples=["delete"],
    )


class SshModel(Model):
    """How hosts are reached. What a host leaves out is as for the cluster."""

    user: User | None = Field(
        default=None,
        description="The user to log in as. Anyone but root needs `sudo` without a password. Default: `root`.",
        examples=["ops"],
    )
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="sshd's port. Default: 22.", examples=[2222]
    )
    key: str | None = Field(
        default=None,
        description="The private key file; a relative path starts at the inventory's folder. Default: the SSH agent's "
        "keys and those in `~/.ssh`.",
        examples=["~/.ssh/id_ed25519"],
    )
    known_hosts: str | None = Field(
        default=None,
        description="The file with the hosts' public keys. Default: `~/.ssh/known_hosts`.",
        examples=["known_hosts"],
    )
    host_keys: Literal["strict", "accept-new"] | None = Field(
        default=None,
        description="What to do with a host whose key is not in `known_hosts`: refuse it (the default), or accept and "
        "remember it. A key that differs is always refused.",
        examples=["accept-new"],
    )
    gateway: Gateway | None = Field(
        default=None,
        description="A host to connect through, as `[USER@]HOST[:PORT]`; null for a host that needs none.",
        examples=["ops@gateway.example.com:22"],
    )
    connect_timeout: Annotated[float, Field(gt=0, le=600)] | None = Field(
        default=None, description="Seconds until a host must have answered. Default: 10.", examples=[30]
    )


class ImageModel(Model):
    """An image whose name does not say the version of its program."""

    image: ImageName = Field(description="The image's name.", examples=["registry.example.com/coredns:stable"])
    version: ProgramVersion | None = Field(
        default=None,
        description="The version of the program in it, in quotes; by default the image's tag.",
        examples=["1.8.7"],
    )


def _image(value: object) -> object:
    """An image by its name alone."""
    return {"image": value} if isinstance(value, str) else value


Image = Annotated[ImageModel, BeforeValidator(_image, json_schema_input_type=ImageName | ImageModel)]


class DnsImagesModel(Model):
    """Images of the cluster's DNS, by the names that profiles give them."""

    coredns: Image | None = Field(
        default=None, description="CoreDNS, of `dns: coredns`.", examples=["registry.example.com/coredns:1.8.7"]
    )
    kubedns: Image | None = Field(
        default=None,
        description="kube-dns itself, of `dns: kube-dns`.",
        examples=["registry.example.com/kube-dns:1.15.10"],
    )
    dnsmasq: Image | None = Field(
        default=None, description="The cache of kube-dns.", examples=["registry.example.com/dnsmasq-nanny:1.15.10"]
    )
    sidecar: Image | None = Field(
        default=None,
        description="The health checks of kube-dns.",
        examples=["registry.example.com/dns-sidecar:1.15.10"],
    )
    healthz: Image | None = Field(
        default=None,
        description="The health checks of kube-dns in 1.5.2.",
        examples=["registry.example.com/exechealthz:1.2"],
    )

    @property
    def said(self) -> dict[str, ImageModel]:
        """Those that are named."""
        return {name: image for name, image in self if image is not None}


class ImagesModel(Model):
    """Container images other than upstream's."""

    registry: ImageRegistry = Field(
        default="",
        description="A registry that has the profile's images under the same names. Empty: upstream's.",
        examples=["mirror.example.com:5000"],
    )
    pause: ImageName | None = Field(
        default=None,
        description="The image that holds the network of every pod. Default: the profile's.",
        examples=["registry.example.com:5000/pause:3.2"],
    )
    verify: ImageName = Field(
        default="",
        description="An image of which `verify` starts pods: a web server on port 80 that answers with its host name "
        "(docs/addons.md has one). Empty: these checks are skipped.",
        examples=["registry.example.com:5000/web:1"],
    )
    dns: DnsImagesModel = Field(
        default=DnsImagesModel(),
        description="Images of the cluster's DNS.",
        examples=[{"coredns": "registry.example.com/coredns:1.8.7"}],
    )


class ComponentModel(Model):
    """How one component is tuned; the version's profile says which components there are."""

    deadline: Annotated[float, Field(gt=0, le=3600)] | None = Field(
        default=None,
        description="Seconds that each of its health gates may take. Default: the profile's.",
        examples=[120],
    )
    args: dict[Flag, Arg] = Field(
        default_factory=dict,
        description="Flags by their own names, without dashes; they win over the profile's. null removes a flag.",
        examples=[{"max-pods": 50, "node-labels": ["disk=ssd", "rack=r7"], "v": None}],
    )
    config: dict[str, object] = Field(
        default_factory=dict,
        description="Keys of its configuration file (the kubelet's and kube-proxy's, 1.20). null removes a key.",
        examples=[{"maxPods": 50, "evictionHard": {"memory.available": "200Mi"}}],
    )


class NodesModel(Model):
    """Labels, annotations and taints of all nodes."""

    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        description="Labels. A host's own are added to those of all nodes, and win; null leaves one out.",
        examples=[{"disk": "ssd", "node-role.kubernetes.io/db": ""}],
    )
    annotations: dict[AnnotationKey, AnnotationValue] = Field(
        default_factory=dict,
        description="Annotations, merged as labels are.",
        examples=[{"example.com/rack": "r7, third from the top"}],
    )
    taints: list[TaintText] | None = Field(
        default=None,
        description="Taints as `KEY=VALUE:EFFECT` or `KEY:EFFECT`. A host's own list replaces that of all nodes; an "
        "empty list is none.",
        examples=[["dedicated=db:NoSchedule"]],
    )


class HostModel(NodesModel):
    """One host."""

    address: Address = Field(
        description="Its IPv4 address: SSH connects to it, and the cluster uses it.", examples=["10.77.0.11"]
    )
    roles: Annotated[list[Role], Field(min_length=1)] = Field(
        description="What it is for: one, three or five hosts are `etcd`; `master` and `node` are as many as you like.",
        examples=[["etcd", "master"], ["node"]],
    )
    ssh: SshModel = Field(
        default=SshModel(), description="How it is reached, where that differs.", examples=[{"port": 2222}]
    )
    host_settings: HostSettingsModel = Field(
        default=HostSettingsModel(), description="Its own settings.", examples=[{"limit_nofile": 131072}]
    )
    components: dict[str, ComponentModel] = Field(
        default_factory=dict,
        description="How its components are tuned, over `components` of the cluster.",
        examples=[{"kubelet": {"args": {"max-pods": 50}}}],
    )
    pod_subnet: Network | None = Field(
        default=None,
        description="Its part of the pod network, with `network: routes`. By default it gets a free one, and keeps it.",
        examples=["10.244.7.0/24"],
    )
    state: Literal["present", "absent"] = Field(
        default="present",
        description="`absent` makes the host leave the cluster: it is drained and everything is removed from it.",
        examples=["absent"],
    )


class InventoryModel(Model):
    """The inventory of one cluster."""

    cluster: ClusterModel = Field(
        description="The cluster as a whole.", examples=[{"name": "lab", "version": "1.20.2", "network": "flannel"}]
    )
    ssh: SshModel = Field(
        default=SshModel(),
        description="How hosts are reached.",
        examples=[{"user": "root", "key": "~/.ssh/id_ed25519"}],
    )
    images: ImagesModel = Field(
        default=ImagesModel(),
        description="Container images other than upstream's.",
        examples=[{"registry": "mirror.example.com:5000"}],
    )
    host_settings: HostSettingsModel = Field(
        default=HostSettingsModel(),
        description="Settings of the hosts themselves, for all of them.",
        examples=[{"hosts_file": "manage", "limit_nofile": 65536}],
    )
    repos: Repos = Field(
        default="",
        description="Where packages come from: the hosts' own repositories (`as-is`), CentOS 7's archive (`vault`), a "
        "mirror of one of them, or a bundle (`bundle` alone leaves the file to each command's `--bundle`).",
        examples=["vault", {"mirror": "http://mirror.example.com/centos/7.9.2009"}, {"bundle": "lab.bundle"}],
        json_schema_extra={"default": "as-is"},
    )
    packages: dict[PackageName, PackageVersion] = Field(
        default_factory=dict,
        description="One release of a package instead of the profile's choice, as VERSION or VERSION-RELEASE, in "
        "quotes.",
        examples=[{"etcd": "3.3.11-2.el7"}],
    )
    nodes: NodesModel = Field(
        default=NodesModel(),
        description="Labels, annotations and taints of all nodes.",
        examples=[{"labels": {"env": "prod"}}],
    )
    hosts: Annotated[dict[Label, HostModel], Field(min_length=1)] = Field(
        description="The hosts, by their names.",
        examples=[
            {
                "m1": {"address": "10.77.0.11", "roles": ["etcd", "master"]},
                "n1": {"address": "10.77.0.21", "roles": ["node"]},
            }
        ],
    )
    components: dict[str, ComponentModel] = Field(
        default_factory=dict,
        description="How components are tuned on all hosts.",
        examples=[{"kube-proxy": {"args": {"conntrack-max-per-core": 0}}}],
    )
