"""Which keys and certificates a cluster has. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from k8s_installer.errors import InputError
from k8s_installer.inventory import Cluster, Role
from k8s_installer.profiles import CertificateSpec, Component, Profile

AUTHORITIES = {
    "ca": "kubernetes-ca",
    "etcd-ca": "etcd-ca",
    "etcd-peer-ca": "etcd-peer-ca",
    "front-proxy-ca": "front-proxy-ca",
    "flannel-ca": "flannel-ca",
}
TOKENS = "sa"  # the pair that signs and checks the tokens of service accounts
ENCRYPTION = "encryption.key"  # 32 random bytes in base64, for secrets in etcd
_LOCAL = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Pki:
    """Every key and certificate by name (`ca.crt`, `sa.key`, `n1/kubelet.crt`); none is ever printed.

    `pending` are those that `apply` would make, each with the reason; placeholders stand in their place. `absent`
    are keys of CAs that are kept elsewhere, or behind a passphrase: no host gets them, and no program signs with
    them. `strange` are keys that stand in the place of others that this cluster was given before.
    """

    files: Mapping[str, bytes] = field(repr=False)
    pending: Mapping[str, str] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    strange: frozenset[str] = frozenset()

    def __getitem__(self, name: str) -> bytes:
        """The bytes of one file.

        Raises:
            InputError: there is none of this name: a profile asks for what `ensure` does not make.
        """
        if name not in self.files:
            raise InputError(f"the cluster's PKI has no {name}")
        return self.files[name]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One certificate: who issues it, to whom (Kubernetes reads the CN as user, O as group), for what.

    A leaf with `names` (host names and addresses) is a server's; with `client` it is a client's, or both.
    """

    issuer: str
    user: str
    group: str = ""
    client: bool = False
    names: tuple[str, ...] = ()
    rsa: bool = False


def leaves(cluster: Cluster, groups: Mapping[str, str] = MappingProxyType({})) -> dict[str, Leaf]:
    """The certificates of a cluster's programs, by name; none where the cluster is insecure.

    Args:
        cluster: whose.
        groups: the groups of certificates that differ from version to version, by the certificate's name.
    """
    if cluster.security == "insecure":
        return {}
    result = {
        # RSA: root asks with these by curl, on the hosts
        "admin": Leaf("ca", "kubernetes-admin", "system:masters", client=True, rsa=True),
        "etcd-healthcheck": Leaf("etcd-ca", "etcd-healthcheck", client=True, rsa=True),
        "apiserver-etcd-client": Leaf("etcd-ca", "kube-apiserver", client=True),
        "apiserver-kubelet-client": Leaf(
            "ca", "kube-apiserver-kubelet-client", groups.get("apiserver-kubelet-client", "system:masters"), client=True
        ),
        "front-proxy-client": Leaf("front-proxy-ca", "front-proxy-client", client=True),
        "controller-manager": Leaf("ca", "system:kube-controller-manager", client=True, names=_LOCAL),
        "scheduler": Leaf("ca", "system:kube-scheduler", client=True, names=_LOCAL),
        "proxy": Leaf("ca", "system:kube-proxy", client=True),
    }
    if cluster.network == "flannel":
        # every node has it, so it opens flannel's own etcd alone; RSA, for curl asks with it as well
        result["flannel-etcd-client"] = Leaf("flannel-ca", "flannel", client=True, rsa=True)
    service = "kubernetes.default.svc"
    inside = (
        "kubernetes",
        "kubernetes.default",
        service,
        f"{service}.{cluster.dns_domain}",
        str(cluster.service_cidr[1]),
        *filter(None, [cluster.load_balancer.rpartition(":")[0]]),
    )
    for host in cluster.hosts:
        own = (host.name, host.address, *_LOCAL)
        if Role.ETCD in host.roles:
            # A member is its own gateway's client, and the other members'.
            result[f"{host.name}/etcd"] = Leaf("etcd-ca", host.name, client=True, names=own)
            result[f"{host.name}/etcd-peer"] = Leaf("etcd-peer-ca", host.name, client=True, names=own)
            if cluster.network == "flannel":
                result[f"{host.name}/flannel-etcd"] = Leaf("flannel-ca", host.name, client=True, names=own)
        if Role.MASTER in host.roles:
            result[f"{host.name}/apiserver"] = Leaf("ca", "kube-apiserver", names=tuple(dict.fromkeys((*own, *inside))))
        if Role.NODE in host.roles:
            user = f"system:node:{host.name}"
            result[f"{host.name}/kubelet"] = Leaf("ca", user, "system:nodes", client=True, names=own)
    return result


def with_components(cluster: Cluster, profile: Profile) -> dict[str, Leaf]:
    """The certificates of a cluster's programs, and those that its components add.

    Raises:
        InputError: two of them have one name.
    """
    result = leaves(cluster, profile.groups)
    if cluster.security == "insecure":
        return result
    for component, part in profile.fitting(cluster).components.items():
        for certificate, spec in part.certificates.items():
            for name, names in _named(cluster, part, certificate, spec):
                if name in result or f"{name}.key" in ROOTS:
                    raise InputError(f"component {component}: there is already a certificate {certificate}")
                result[name] = Leaf(spec.ca, spec.user, spec.group, client=spec.client, names=names, rsa=spec.rsa)
    return result


def _named(
    cluster: Cluster, component: Component, name: str, spec: CertificateSpec
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The names of a component's certificate in the PKI, each with those for which it is a server's."""
    if not spec.each_host:
        yield name, spec.names
        return
    for host in cluster.hosts:
        if component.roles & host.roles:
            yield f"{host.name}/{name}", (host.name, host.address, *_LOCAL, *spec.names)


# What everything else rests on: whoever replaces one of these breaks trust, tokens or Secrets of a running cluster.
ROOTS = (
    *(f"{name}.{ending}" for name in AUTHORITIES for ending in ("crt", "key")),
    f"{TOKENS}.key",
    f"{TOKENS}.pub",
    ENCRYPTION,
)


def root_of(name: str) -> str:
    """The root that a file is of: a CA's name, that of the tokens' key, or the key of Secrets."""
    return name if name == ENCRYPTION else name.rpartition(".")[0]


def authorities(wanted: Mapping[str, Leaf]) -> dict[str, str]:
    """The CAs that issue these certificates, with their common names."""
    issuers = {leaf.issuer for leaf in wanted.values()}
    return {name: common_name for name, common_name in AUTHORITIES.items() if name in issuers}


def names(wanted: Mapping[str, Leaf]) -> tuple[str, ...]:
    """The name of every file of a PKI with these leaves."""
    if not wanted:
        return ()
    pairs = (f"{pair}.{ending}" for pair in (*authorities(wanted), *wanted) for ending in ("crt", "key"))
    return (*pairs, f"{TOKENS}.key", f"{TOKENS}.pub", ENCRYPTION)


def stand_in(name: str) -> bytes:
    """What stands for a file that is not made, or not to be shown."""
    return f"<{name}>\n".encode()


def placeholder(cluster: Cluster, profile: Profile | None = None) -> Pki:
    """A PKI whose every file says its name alone: to show files without making or reading a key.

    Without a profile it has the certificates of the cluster's programs.
    """
    wanted = leaves(cluster) if profile is None else with_components(cluster, profile)
    return Pki({name: stand_in(name) for name in names(wanted)})
