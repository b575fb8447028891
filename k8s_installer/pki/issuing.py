"""Making keys and certificates, and requests for those that somebody else must sign; all in memory."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from k8s_installer.pki.certificates import (
    AUTHORITY_LIFE,
    EARLIER,
    LEAF_LIFE,
    SHORTEST_RSA,
    Authority,
    Pair,
    PrivateKey,
    alternatives,
    private_pem,
    purposes,
    subject_of,
)
from k8s_installer.pki.leaves import Leaf


def new_rsa_key() -> PrivateKey:
    """A new RSA 2048 key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=SHORTEST_RSA)


def new_leaf_key(leaf: Leaf) -> PrivateKey:
    """A new key of the kind that a leaf needs."""
    return new_rsa_key() if leaf.rsa else ec.generate_private_key(ec.SECP256R1())


def new_authority_key() -> PrivateKey:
    """A new key of a CA."""
    return ec.generate_private_key(ec.SECP256R1())


def new_authority(name: str) -> Pair:
    """A new CA, signed by itself."""
    return self_signed(name, new_authority_key())


def self_signed(name: str, key: PrivateKey) -> Pair:
    """A CA of this key, signed by itself; whatever the key has issued before under this name belongs to it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, subject, key, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return _pair(builder.sign(key, hashes.SHA256()), key)


def issue(authority: Authority, leaf: Leaf, key: PrivateKey | None = None) -> Pair:
    """A new certificate by a CA that has its key; with a new key of its own, unless one is given."""
    assert authority.key is not None  # noqa: S101 - what cannot be issued was refused before
    key = key or new_leaf_key(leaf)
    builder = (
        _builder(subject_of(leaf), authority.certificate.subject, key, LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes(leaf)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    if leaf.names:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives(leaf)), critical=False)
    return _pair(builder.sign(authority.key, hashes.SHA256()), key)


def request(leaf: Leaf, key: PrivateKey) -> bytes:
    """A certificate signing request for a leaf, as PEM: what a CA that is elsewhere is asked with."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject_of(leaf))
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes(leaf)), critical=False)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    if leaf.names:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives(leaf)), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _builder(subject: x509.Name, issuer: x509.Name, key: PrivateKey, life: dt.timedelta) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
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


def _pair(certificate: x509.Certificate, key: PrivateKey) -> Pair:
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))
