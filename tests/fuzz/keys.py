"""Everything that reads keys and certificates, of a folder that people fill or of hosts: a value, or a `Flaw` in words."""

from __future__ import annotations

import base64
import hashlib
from contextlib import suppress

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from k8s_installer.errors import InstallerError
from k8s_installer.pki import certificates, issuing, record, recovery
from k8s_installer.pki.certificates import Flaw, Pair
from k8s_installer.pki.leaves import ENCRYPTION, Leaf
from tests.fuzz.hosts import Run, text

LEAF = Leaf("ca", "system:node:n1", "system:nodes", client=True, names=("n1", "10.77.0.21"))
_CA = issuing.new_authority("kubernetes-ca")
AUTHORITY = certificates.read_authority(_CA.certificate, _CA.key)
_PAIR = issuing.issue(AUTHORITY, LEAF)
_CONFIG = f"""\
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - aescbc: {{keys: [{{name: key1, secret: {base64.b64encode(b"A" * 32).decode()}}}]}}
      - identity: {{}}
""".encode()
_FILES = {
    "/ca.crt": ("ca.crt", _CA.certificate),
    "/ca.key": ("ca.key", _CA.key),
    "/kubelet.crt": ("n1/kubelet.crt", _PAIR.certificate),
    "/kubelet.key": ("n1/kubelet.key", _PAIR.key),
    "/encryption.yaml": (ENCRYPTION, _CONFIG),
}
_NAMES = {path: name for path, (name, _) in _FILES.items()}
_GOOD = dict(_FILES.values())
_ANSWER = "".join(f"key {path} {base64.b64encode(content).decode()}\n" for path, (_, content) in _FILES.items())
_RECORD = record.Record().adding(_GOOD).lacking(["etcd-ca.key"]).using({"ca": hashlib.sha256(b"a").hexdigest()})


def run_certificate(data: bytes) -> None:
    """The bytes inside the PEM: text that is no base64 is refused before anything is decoded."""
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(data) + b"-----END CERTIFICATE-----\n"
    certificates.made_here(pem)
    read = certificates.read_certificates(pem)
    certificates.share_a_key(pem, _CA.certificate)
    certificates.issued_under(pem, AUTHORITY)
    authority = certificates.read_any_authority(pem, None)
    for pair in (Pair(pem, _PAIR.key), Pair(pem, _CA.key)):
        for issuer in (AUTHORITY, authority):
            for judge in (certificates.mismatch, certificates.require_usable):
                with suppress(Flaw):
                    judge(pair, LEAF, issuer)
    assert read
    with suppress(Flaw):
        certificates.read_authority(pem, None)


def run_key(data: bytes) -> None:
    certificates.private_pem(certificates.read_key(data))


def run_record(data: bytes) -> None:
    found = record.load(data)
    assert record.load(record.dump(found)) == found
    record.adopted({"ca.crt": data})


def run_recovery(data: bytes) -> None:
    found = recovery.parse(text(data), _NAMES) or {}
    asked = {"m1": _NAMES, "n1": _NAMES}
    recovery.fitting({"n1": found, "m1": _GOOD}, {"n1/kubelet": LEAF}, asked, ["m1"])
    recovery.fitting({"m1": found}, {"n1/kubelet": LEAF}, asked, ["m1"])


def run_configuration(data: bytes) -> None:
    answers = {"m1": _GOOD, "m2": {**_GOOD, ENCRYPTION: data}}
    found = recovery.fitting(answers, {}, {"m1": _NAMES}, ["m1"])
    assert found.files[ENCRYPTION] == base64.b64encode(b"A" * 32) + b"\n"


_DER = [x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER) for pair in (_CA, _PAIR)]
TARGETS: dict[str, tuple[Run, tuple[type[Exception], ...], list[bytes]]] = {
    "certificate": (run_certificate, (Flaw,), [_DER[0]]),
    "certificate of a program": (run_certificate, (Flaw,), [_DER[1]]),
    "key": (run_key, (Flaw,), [_CA.key]),
    "record": (run_record, (Flaw,), [record.dump(_RECORD)]),
    "recovery": (run_recovery, (InstallerError,), [f"{_ANSWER}{recovery.END}\n".encode()]),
    "configuration": (run_configuration, (), [_CONFIG]),
}
