"""How long certificates are valid, what they say, and which of a folder can be issued again. Pure: time is an argument.

A renewal keeps the key. So one file changes for each certificate, and at no moment does a host have a certificate
beside another key: etcd reads both files again at every handshake (3.2 and later), and a run may be cut off between
any two files. Whoever wants another key removes the pair from the folder (`docs/keys.md`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from k8s_installer.pki import certificates
from k8s_installer.pki.certificates import EARLIER, Flaw
from k8s_installer.pki.inherited import inherited, source_of
from k8s_installer.pki.leaves import Leaf, Pki
from k8s_installer.pki.record import Record

# A certificate in the first tenth of its life, at most a day, was issued by a renewal that did not finish.
_FRESH = dt.timedelta(days=1)
_FRESH_PART = 10


@dataclass(frozen=True, slots=True)
class Facts:
    """What a certificate says. `serial` is hexadecimal, as openssl shows it; names are `DNS:x` and `IP:y`.

    Of a file with several certificates this is the first, which is the program's or the signing CA's; `ends` is when
    the first of them all ends.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    serial: str
    begins: dt.datetime
    ends: dt.datetime


def facts(pem: bytes) -> Facts:
    """What the certificates of a file say.

    Raises:
        Flaw: there is none, or one cannot be read.
    """
    found = certificates.read_certificates(pem)
    return Facts(
        subject=found[0].subject.rfc4514_string(),
        issuer=found[0].issuer.rfc4514_string(),
        names=certificates.names_of(found[0]),
        serial=_hexadecimal(found[0].serial_number),
        begins=found[0].not_valid_before_utc,
        ends=_first_end(found),
    )


def described(pem: bytes) -> list[str]:
    """The certificates of a file, a line each for people; none where there is none to read."""
    try:
        found = certificates.read_certificates(pem)
    except Flaw:
        return []
    return [
        f"{one.subject.rfc4514_string()}, issued by {one.issuer.rfc4514_string()}, "
        f"serial {_hexadecimal(one.serial_number)}, until {one.not_valid_after_utc:%Y-%m-%d}"
        for one in found
    ]


def _hexadecimal(number: int) -> str:
    text = f"{number:X}"
    return text.zfill(len(text) + len(text) % 2)


def end_of(pem: bytes) -> dt.datetime | None:
    """When the first of the certificates in a file ends; None where there is none to read."""
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        return None
    try:
        return _first_end(x509.load_pem_x509_certificates(pem))
    except ValueError:
        return None


def _first_end(found: list[x509.Certificate]) -> dt.datetime:
    return min(certificate.not_valid_after_utc for certificate in found)


def is_of_server(pem: bytes) -> bool:
    """Whether clients are shown this certificate: one that has expired lets nobody in."""
    try:
        usage = certificates.read_certificates(pem)[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (Flaw, x509.ExtensionNotFound):
        return False
    return ExtendedKeyUsageOID.SERVER_AUTH in usage


def ending(keys: Pki, before: dt.datetime) -> dict[str, dt.datetime]:
    """The certificates of a PKI that end before a time, the first to end first; also those that have ended."""
    ends = {name: end_of(pem) for name, pem in keys.files.items() if name.endswith(".crt")}
    soon = {name: end for name, end in ends.items() if end is not None and end < before}
    return dict(sorted(soon.items(), key=lambda item: item[1]))


@dataclass(frozen=True, slots=True)
class Issued:
    """A program's certificate in the folder.

    `source` is the name of the pair that is in the folder: another one where it stands in (`pki.inherited`). `own` is
    whether it was made here, `signable` whether the key of its CA is here.
    """

    source: str
    at: dt.datetime
    ends: dt.datetime
    own: bool
    signable: bool

    def is_new(self, now: dt.datetime) -> bool:
        """Whether it was issued so lately that a renewal which is typed again goes on with it."""
        return now - self.at < min(_FRESH, (self.ends - self.at) / _FRESH_PART)


def issued(files: Mapping[str, bytes], record: Record, wanted: Mapping[str, Leaf]) -> dict[str, Issued]:
    """The programs' certificates in a folder, by the name of the leaf; what cannot be read is left out."""
    whole, known = inherited(files, record, wanted)
    result: dict[str, Issued] = {}
    for name, leaf in wanted.items():
        pem = whole.get(f"{name}.crt", b"")
        try:
            certificate = certificates.read_certificates(pem)[0]
        except Flaw:
            continue
        result[name] = Issued(
            source=source_of(name, files),
            at=certificate.not_valid_before_utc + EARLIER,
            ends=certificate.not_valid_after_utc,
            own=known.has(f"{name}.crt", pem),
            signable=f"{leaf.issuer}.key" in whole,
        )
    return result
