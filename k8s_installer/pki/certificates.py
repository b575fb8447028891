"""Keys and X.509 certificates, in memory: reading them with words for what is wrong, and making them."""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from k8s_installer.pki.leaves import Leaf

AUTHORITY_LIFE = dt.timedelta(days=3650)
LEAF_LIFE = dt.timedelta(days=1825)
EARLIER = dt.timedelta(hours=1)  # a host whose clock is late accepts a new certificate all the same
_MADE_HERE = (AUTHORITY_LIFE + EARLIER, LEAF_LIFE + EARLIER)

_SPKI = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
SHORTEST_RSA = 2048  # bits
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
# Go knows Ed25519 in TLS since 1.13 (Kubernetes 1.17), and NSS, on which CentOS 7's curl is built, not at all.
_KINDS = "use RSA of 2048 bits or more, or EC P-256, P-384 or P-521"
_BEGIN_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_PUBLIC = re.compile(rb"-----BEGIN [A-Z ]*PUBLIC KEY-----.*?-----END [A-Z ]*PUBLIC KEY-----\n?", re.DOTALL)

# What the library raises for a certificate that is malformed, or has what it does not know.
_UNREADABLE = (
    ValueError, TypeError, OverflowError, UnsupportedAlgorithm,
    x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
)  # fmt: skip

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
T = TypeVar("T", bound=x509.ExtensionType)


class Flaw(ValueError):  # noqa: N818 - what is wrong with a file, for a sentence that begins with its name
    """A key or a certificate that cannot be used; the message says why."""


class Locked(Flaw):
    """A key behind a passphrase."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA: the certificate that issues, all those of its file (a chain), and its key, which may be elsewhere."""

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey | None = field(repr=False)


def read_certificates(pem: bytes) -> list[x509.Certificate]:
    """Every certificate of a PEM file, in its order. Whatever is read of one later can be read.

    Raises:
        Flaw: there is none, or one cannot be read.
    """
    if not pem.strip():
        raise Flaw("is empty")
    if _BEGIN_CERTIFICATE not in pem:
        raise Flaw("contains no PEM certificate")
    try:
        found = x509.load_pem_x509_certificates(pem)
    except _UNREADABLE:
        raise Flaw("has an unreadable certificate: it is damaged or truncated") from None
    for one in found:
        _require_readable(one)
    return found


def _require_readable(certificate: x509.Certificate) -> None:
    """The library decodes most of a certificate when it is asked for, and only then finds what it does not know."""
    try:
        public_pem(certificate)
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        _ = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
        for name in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value:
            _name_of(name)
    except x509.ExtensionNotFound:
        return
    except UnsupportedAlgorithm:
        raise Flaw(f"has a certificate with a key of an unsupported kind: {_KINDS}") from None
    except x509.UnsupportedGeneralNameType:
        raise Flaw("has a certificate with a subject alternative name of an unsupported kind") from None
    except _UNREADABLE:
        raise Flaw("has an unreadable certificate: a field is malformed") from None


def read_key(pem: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """A private key from PEM.

    Raises:
        Locked: it has a passphrase, which is not this one.
        Flaw: it is none, or of a kind that some program of the cluster does not take.
    """
    if not pem.strip():
        raise Flaw("is empty")
    try:
        # Checking an RSA key's primes takes longer than making an EC key.
        key = serialization.load_pem_private_key(pem, passphrase, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        raise Locked("has a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        if passphrase is not None:
            raise Locked("has a different passphrase") from None
        raise Flaw("is not a PEM private key, or is damaged or truncated") from None
    return _strong(key)


def _strong(key: object) -> PrivateKey:
    if not isinstance(key, PrivateKey):
        raise Flaw(f"is a key of an unsupported kind: {_KINDS}")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < SHORTEST_RSA:
        raise Flaw(f"is an RSA key of {key.key_size} bits: {_KINDS}")
    if isinstance(key, ec.EllipticCurvePrivateKey) and not isinstance(key.curve, _CURVES):
        raise Flaw(f"is an EC key on curve {key.curve.name}: {_KINDS}")
    return key


def read_authority(certificate: bytes, key: bytes | None, passphrase: bytes | None = None) -> Authority:
    """A CA that can issue. Without its key it issues nothing; one behind a passphrase that is not given is elsewhere.

    Raises:
        Locked: the passphrase is not this one.
        Flaw: it is no CA, or its validity has ended, or key and certificate do not belong together.
    """
    authority = read_any_authority(certificate, key, passphrase)
    for one in authority.chain:
        _require_authority(one)
    return authority


def read_any_authority(certificate: bytes, key: bytes | None, passphrase: bytes | None = None) -> Authority:
    """A CA as `read_authority` reads it, even one that has expired.

    Raises:
        Locked: the passphrase is not this one.
        Flaw: one of the two cannot be read, or they do not belong together.
    """
    chain = read_certificates(certificate)
    try:
        secret = read_key(key, passphrase) if key is not None else None
    except Locked:
        if passphrase is not None:
            raise
        secret = None
    own = chain[0] if secret is None else next((one for one in chain if _matches(one, secret)), None)
    if own is None:
        raise Flaw("does not belong to the key beside it")
    return Authority(own, tuple(chain), secret)


def _require_authority(certificate: x509.Certificate) -> None:
    name = certificate.subject.rfc4514_string()
    _require_valid(certificate)
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise Flaw(f"is not the certificate of a CA ({name} has no basicConstraints CA:TRUE)")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise Flaw(f"is of a CA that may not sign certificates ({name} has keyUsage without keyCertSign)")
    # a key of an unsupported kind is noticed here where the private half is elsewhere
    public = certificate.public_key()
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= SHORTEST_RSA:
        return
    if not (isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, _CURVES)):
        raise Flaw(f"is of a CA whose key is too short or of an unsupported kind: {_KINDS}")


def _require_valid(certificate: x509.Certificate) -> None:
    now, name = dt.datetime.now(dt.UTC), certificate.subject.rfc4514_string()
    if certificate.not_valid_after_utc < now:
        raise Flaw(f"has expired: {name} was valid until {certificate.not_valid_after_utc:%Y-%m-%d}")
    if certificate.not_valid_before_utc > now:
        raise Flaw(f"is not valid yet: {name} is valid from {certificate.not_valid_before_utc:%Y-%m-%d}")


def private_pem(key: PrivateKey) -> bytes:
    """A private key in its traditional form: PKCS#1 or SEC 1."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def public_pem(key: PrivateKey | x509.Certificate) -> bytes:
    """The public half of a key, or of that of a certificate, as PEM: the same whatever form the file has."""
    return key.public_key().public_bytes(*_SPKI)


def public_keys(pem: bytes) -> list[bytes]:
    """The public keys of a file, each as `public_pem` gives it; what is none is left out."""
    found: list[bytes] = []
    for block in _PUBLIC.findall(pem):
        with suppress(*_UNREADABLE):
            found.append(serialization.load_pem_public_key(block).public_bytes(*_SPKI))
    return found


def mismatch(pair: Pair, leaf: Leaf, authority: Authority) -> str:
    """In what a pair differs from what would be issued for `leaf`, in words; empty if in nothing.

    Its age is not judged: renewal is a decision, not a side effect of reading.

    Raises:
        Flaw: one of the two cannot be read, or they do not belong together.
    """
    certificate, key = _read_pair(pair)
    if not _issued_by(certificate, (authority.certificate,)):
        return "its CA differs"
    return _unlike(certificate, key, leaf)


def mismatches_in_ca_alone(pair: Pair, leaf: Leaf, authority: Authority) -> bool:
    """Whether a pair differs from what would be issued for `leaf` in nothing but who issued it.

    Raises:
        Flaw: one of the two cannot be read, or they do not belong together.
    """
    certificate, key = _read_pair(pair)
    return not _issued_by(certificate, (authority.certificate,)) and not _unlike(certificate, key, leaf)


def _unlike(certificate: x509.Certificate, key: PrivateKey, leaf: Leaf) -> str:
    """In what a certificate and its key differ from what a leaf needs, in words."""
    if isinstance(key, rsa.RSAPrivateKey) != leaf.rsa:
        return f"it needs an {'RSA' if leaf.rsa else 'EC'} key"
    if certificate.subject != subject_of(leaf):
        return f"it is for {_words(certificate.subject)} instead of {_words(subject_of(leaf))}"
    if _purposes_of(certificate) != set(purposes(leaf)):
        return "its uses (server, client) differ"
    found, wanted = (set(map(_name_of, names)) for names in (_alternatives_of(certificate), alternatives(leaf)))
    if found == wanted:
        return ""
    new, old = (", ".join(sorted(names)) for names in (wanted - found, found - wanted))
    return f"its names differ: {new or 'nothing'} instead of {old or 'nothing'}"


def require_usable(pair: Pair, leaf: Leaf, authority: Authority) -> None:
    """Accept a certificate from somebody else where it does what the programs need of it, whatever else it says.

    Raises:
        Flaw: it does not; the message says what is missing.
    """
    certificate, key = _read_pair(pair)
    _require_valid(certificate)
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise Flaw("is a CA certificate (CA:TRUE), not a program's")
    if not issued_under(pair.certificate, authority):
        raise Flaw(f"was issued by {_words(certificate.issuer)}, which is not in {leaf.issuer}.crt")
    if leaf.rsa and not isinstance(key, rsa.RSAPrivateKey):
        raise Flaw("needs an RSA key: curl on CentOS 7 accepts no other")
    if leaf.client:
        _require_identity(certificate, leaf)
    uses = _purposes_of(certificate)
    if uses and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in uses and not uses >= set(purposes(leaf)):
        needed = " and ".join(USES[use] for use in purposes(leaf) if use not in uses)
        raise Flaw(f"lacks the extended key usage {needed}")
    missing = sorted(set(map(_name_of, alternatives(leaf))) - set(map(_name_of, _alternatives_of(certificate))))
    if missing:
        raise Flaw(f"lacks the subject alternative name{'s' * (len(missing) > 1)} {', '.join(missing)}")


def issued_under(pem: bytes, authority: Authority) -> bool:
    """Whether a CA, or one between that the file brings along, issued the first certificate of a file.

    Raises:
        Flaw: the file cannot be read.
    """
    certificate, *others = read_certificates(pem)
    between = [one for one in others if _issued_by(one, authority.chain)]
    return _issued_by(certificate, (*authority.chain, *between))


def _require_identity(certificate: x509.Certificate, leaf: Leaf) -> None:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = [group.value for group in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if [name.value for name in names] != [leaf.user] or (leaf.group and leaf.group not in groups):
        raise Flaw(f"is for {_words(certificate.subject)}; Kubernetes and etcd need {_words(subject_of(leaf))}")


def made_here(pem: bytes) -> bool:
    """Whether a certificate looks like one that this program issued: by its lifetime, which nobody else gives."""
    try:
        certificate = read_certificates(pem)[0]
    except Flaw:
        return False
    return certificate.not_valid_after_utc - certificate.not_valid_before_utc in _MADE_HERE


def accepts(pem: bytes, authority: Authority) -> bool:
    """Whether who trusts a file of certificates trusts what a CA signs now: by its key, so it may be renewed.

    Raises:
        Flaw: the file cannot be read.
    """
    return public_pem(authority.certificate) in map(public_pem, read_certificates(pem))


def share_a_key(one: bytes, other: bytes) -> bool:
    """Whether two files of certificates have a public key in common.

    Raises:
        Flaw: one of them cannot be read.
    """
    keys = [set(map(public_pem, read_certificates(pem))) for pem in (one, other)]
    return bool(keys[0] & keys[1])


USES = {ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth", ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth"}


def described(leaf: Leaf) -> str:
    """What a certificate must have, in the words of a request for one."""
    names = ", ".join(map(_name_of, alternatives(leaf)))
    uses = ", ".join(USES[use] for use in purposes(leaf))
    kind = "RSA 2048" if leaf.rsa else "EC P-256"
    return f"subject {_words(subject_of(leaf))}; EKU {uses}; {f'SAN {names}; ' if names else ''}key {kind}"


def _read_pair(pair: Pair) -> tuple[x509.Certificate, PrivateKey]:
    certificate = read_certificates(pair.certificate)[0]
    try:
        key = read_key(pair.key)
    except Flaw as flaw:
        raise type(flaw)(f"has a key beside it that {flaw}") from None
    if not _matches(certificate, key):
        raise Flaw("does not belong to the key beside it")
    return certificate, key


def _issued_by(certificate: x509.Certificate, issuers: tuple[x509.Certificate, ...]) -> bool:
    for issuer in issuers:
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        return True
    return False


def _words(name: x509.Name) -> str:
    return name.rfc4514_string() or "nobody"


def subject_of(leaf: Leaf) -> x509.Name:
    """The subject of a leaf: Kubernetes reads O as group and CN as user."""
    group = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, leaf.group)] if leaf.group else []
    return x509.Name([*group, x509.NameAttribute(NameOID.COMMON_NAME, leaf.user)])


def purposes(leaf: Leaf) -> list[x509.ObjectIdentifier]:
    """The extended key usages of a leaf."""
    server = [ExtendedKeyUsageOID.SERVER_AUTH] if leaf.names else []
    return [*server, ExtendedKeyUsageOID.CLIENT_AUTH] if leaf.client else server


def alternatives(leaf: Leaf) -> list[x509.DNSName | x509.IPAddress]:
    """The subject alternative names of a leaf."""
    return [alternative(name) for name in leaf.names]


def alternative(name: str) -> x509.DNSName | x509.IPAddress:
    """A host name or an address as a subject alternative name."""
    try:
        return x509.IPAddress(IPv4Address(name))
    except AddressValueError:
        return x509.DNSName(name)


def _purposes_of(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    return set(_extension(certificate, x509.ExtendedKeyUsage) or ())


def _alternatives_of(certificate: x509.Certificate) -> list[x509.GeneralName]:
    return list(_extension(certificate, x509.SubjectAlternativeName) or ())


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The subject alternative names of a certificate, each with its kind: `DNS:m1`, `IP:10.0.0.1`."""
    return tuple(map(_name_of, _alternatives_of(certificate)))


def _name_of(name: x509.GeneralName) -> str:
    kind = "IP" if isinstance(name, x509.IPAddress) else "DNS" if isinstance(name, x509.DNSName) else "other"
    return f"{kind}:{name.value}"


def _extension(certificate: x509.Certificate, kind: type[T]) -> T | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _matches(certificate: x509.Certificate, key: PrivateKey) -> bool:
    return public_pem(key) == public_pem(certificate)
