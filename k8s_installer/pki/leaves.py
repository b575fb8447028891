"""Which keys and certificates a cluster has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from k8s_installer.errors import InputError
from k8s_installer.inventory import Cluster, Role

AUTHORITIES = {"ca": "kubernetes-ca", "etcd-ca": "etcd-ca", "front-proxy-ca": "front-proxy-ca"}
TOKENS = "sa"  # the pair that signs and checks the tokens of service accounts
ENCRYPTION = "encryption.key"  # 32 random bytes in base64, for secrets in etcd
_LOCAL = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Pki:
    """Every key and certificate by name (`ca.crt`, `sa.key`, `n1/kubelet.crt`); none is ever printed."""

    files: Mapping[str, bytes] = field(repr=False)

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


def leaves(cluster: Cluster) -> dict[str, Leaf]:
    """The certificates of a cluster's programs, by name; none where the cluster is insecure."""
    if cluster.security == "insecure":
        return {}
    result = {
        # RSA: root asks with these by curl, on the hosts
        "admin": Leaf("ca", "kubernetes-admin", "system:masters", client=True, rsa=True),
        "etcd-healthcheck": Leaf("etcd-ca", "etcd-healthcheck", client=True, rsa=True),
        "apiserver-etcd-client": Leaf("etcd-ca", "kube-apiserver", client=True),
        "apiserver-kubelet-client": Leaf("ca", "kube-apiserver-kubelet-client", "system:masters", client=True),
        "front-proxy-client": Leaf("front-proxy-ca", "front-proxy-client", client=True),
        "controller-manager": Leaf("ca", "system:kube-controller-manager", client=True, names=_LOCAL),
        "scheduler": Leaf("ca", "system:kube-scheduler", client=True, names=_LOCAL),
        "proxy": Leaf("ca", "system:kube-proxy", client=True),
    }
    if cluster.network == "flannel":
        result["flannel-etcd-client"] = Leaf("etcd-ca", "flannel", client=True)
    service = "kubernetes.default.svc"
    inside = (
        "kubernetes",
        "kubernetes.default",
        service,
        f"{service}.{cluster.dns_domain}",
        str(cluster.service_cidr[1]),
    )
    for host in cluster.hosts:
        own = (host.name, host.address, *_LOCAL)
        if Role.ETCD in host.roles:
            # A member is the others' client too, and its own gateway's.
            result[f"{host.name}/etcd"] = Leaf("etcd-ca", host.name, client=True, names=own)
        if Role.MASTER in host.roles:
            result[f"{host.name}/apiserver"] = Leaf("ca", "kube-apiserver", names=(*own, *inside))
        if Role.NODE in host.roles:
            user = f"system:node:{host.name}"
            result[f"{host.name}/kubelet"] = Leaf("ca", user, "system:nodes", client=True, names=own)
    return result


def names(cluster: Cluster) -> tuple[str, ...]:
    """The name of every file that `ensure` makes for a cluster."""
    wanted = leaves(cluster)
    if not wanted:
        return ()
    pairs = [f"{pair}.{ending}" for pair in (*AUTHORITIES, *wanted) for ending in ("crt", "key")]
    return (*pairs, f"{TOKENS}.key", f"{TOKENS}.pub", ENCRYPTION)


def placeholder(cluster: Cluster) -> Pki:
    """A PKI whose every file says its name alone: to show files without making or reading a key."""
    return Pki({name: f"<{name}>\n".encode() for name in names(cluster)})
