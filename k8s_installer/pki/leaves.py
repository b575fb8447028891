"""What keys and certificates are called, and what a certificate says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from k8s_installer.errors import InputError

AUTHORITIES = {
    "ca": "kubernetes-ca",
    "etcd-ca": "etcd-ca",
    "etcd-peer-ca": "etcd-peer-ca",
    "front-proxy-ca": "front-proxy-ca",
    "flannel-ca": "flannel-ca",
}
TOKENS = "sa"  # the pair that signs and checks the tokens of service accounts
ENCRYPTION = "encryption.key"  # 32 random bytes in base64, for secrets in etcd; while they are rotated, a line each
LOCAL = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Pki:
    """Every key and certificate by name (`ca.crt`, `sa.key`, `n1/kubelet.crt`); none is ever printed.

    `pending` are those that `apply` would make, each with the reason; placeholders stand in their place. `absent`
    are keys of CAs that are kept elsewhere, or behind a passphrase: no host gets them, and no program signs with
    them. `strange` are keys that stand in the place of others that this cluster was given before. `writes` is the name
    of the key with which all Secrets are to be written again, `tokens` the sum of the one that is to sign all tokens of
    service accounts again, and `retired` are the sums, as hosts show them, of the
    keys with which none is written any more.
    """

    files: Mapping[str, bytes] = field(repr=False)
    pending: Mapping[str, str] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    strange: frozenset[str] = frozenset()
    writes: str = ""
    tokens: str = ""
    retired: frozenset[str] = frozenset()

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


def placeholder(wanted: Mapping[str, Leaf]) -> Pki:
    """A PKI whose every file says its name alone: to show files without making or reading a key."""
    return Pki({name: stand_in(name) for name in names(wanted)})
