"""Keys and X.509 certificates, in memory: making them, and judging whether one still fits."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from k8s_installer.pki.leaves import Leaf

AUTHORITY_LIFE = dt.timedelta(days=3650)
LEAF_LIFE = dt.timedelta(days=1825)
_EARLIER = dt.timedelta(hours=1)  # a host whose clock is behind takes a new certificate all the same

_SPKI = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """A CA that can issue: parsed once, used for all its leaves."""

    def __init__(self, pair: Pair) -> None:
        """Parse a CA.

        Raises:
            ValueError: the pair is no CA's, or the two do not belong together.
        """
        self.certificate = x509.load_pem_x509_certificate(pair.certificate)
        self.key = load_key(pair.key)
        if _spki(self.key) != self.certificate.public_key().public_bytes(*_SPKI):
            raise ValueError("the key does not belong to the certificate")


def new_rsa_key() -> PrivateKey:
    """A new RSA 2048 key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: PrivateKey) -> bytes:
    """A private key in its traditional form: PKCS#1 or SEC 1."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def public_pem(key: PrivateKey) -> bytes:
    """The public half of a key, as PEM."""
    return key.public_key().public_bytes(*_SPKI)


def load_key(pem: bytes) -> PrivateKey:
    """A private key from PEM.

    Raises:
        ValueError: it is none, or of a kind that we do not make.
    """
    # Checking an RSA key's primes takes longer than making an EC key; the keys are our own.
    key = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, PrivateKey):
        raise ValueError("neither an RSA nor an EC key")  # noqa: TRY004 - the file is wrong, not the caller
    return key


def new_authority(name: str) -> Pair:
    """A new CA, signed by itself."""
    return self_signed(name, ec.generate_private_key(ec.SECP256R1()))


def self_signed(name: str, key: PrivateKey) -> Pair:
    """A CA of this key, signed by itself; whatever the key has issued before under this name belongs to it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, subject, key, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return _pair(builder.sign(key, hashes.SHA256()), key)


def issue(authority: Authority, leaf: Leaf) -> Pair:
    """A new certificate with a new key."""
    key: PrivateKey = new_rsa_key() if leaf.rsa else ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_subject(leaf), authority.certificate.subject, key, LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_purposes(leaf)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    if leaf.names:
        builder = builder.add_extension(x509.SubjectAlternativeName(_alternatives(leaf)), critical=False)
    return _pair(builder.sign(authority.key, hashes.SHA256()), key)


def fits(pair: Pair, leaf: Leaf, authority: Authority) -> bool:
    """Whether a pair is what `leaf` asks for: by this CA, for these names and uses, and its halves belong together.

    Its age is not judged: renewal is a decision, not a side effect of reading.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = load_key(pair.key)
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return (
        _spki(key) == certificate.public_key().public_bytes(*_SPKI)
        and isinstance(key, rsa.RSAPrivateKey) == leaf.rsa
        and certificate.subject == _subject(leaf)
        and _purposes_of(certificate) == set(_purposes(leaf))
        and _alternatives_of(certificate) == set(_alternatives(leaf))
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: PrivateKey, life: dt.timedelta) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(leaf: Leaf) -> x509.Name:
    group = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, leaf.group)] if leaf.group else []
    return x509.Name([*group, x509.NameAttribute(NameOID.COMMON_NAME, leaf.user)])


def _purposes(leaf: Leaf) -> list[x509.ObjectIdentifier]:
    server = [ExtendedKeyUsageOID.SERVER_AUTH] if leaf.names else []
    return [*server, ExtendedKeyUsageOID.CLIENT_AUTH] if leaf.client else server


def _alternatives(leaf: Leaf) -> list[x509.GeneralName]:
    return [_alternative(name) for name in leaf.names]


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(IPv4Address(name))
    except AddressValueError:
        return x509.DNSName(name)


def _purposes_of(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def _alternatives_of(certificate: x509.Certificate) -> set[x509.GeneralName]:
    try:
        return set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return set()


def _spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(*_SPKI)


def _pair(certificate: x509.Certificate, key: PrivateKey) -> Pair:
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))
