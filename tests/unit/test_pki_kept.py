"""What is lost is never made again in silence, and what somebody put there is never replaced."""

from __future__ import annotations

import base64
import datetime as dt
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from k8s_installer import pki
from k8s_installer.errors import InputError
from k8s_installer.pki import certificates, filling, issuing, keyfiles, record
from k8s_installer.pki.leaves import AUTHORITIES, ROOTS, Leaf, names
from tests.unit.clusters import cluster, leaves

LEAVES = leaves(cluster())
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "pki"
    pki.ensure(folder, LEAVES)
    return folder


@pytest.fixture(params=["record", "no record"])
def folder(whole: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A whole PKI, as this version leaves it and as those did that kept no record."""
    shutil.copytree(whole, tmp_path / "pki")
    if request.param == "no record":
        (tmp_path / "pki" / record.FILE).unlink()
    return tmp_path / "pki"


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(folder: Path, *words: str) -> InputError:
    """Looking and making refuse in the same words, and not a byte changes."""
    before = bytes_of(folder)
    for use in (pki.look, pki.ensure):
        with pytest.raises(InputError) as caught:
            use(folder, LEAVES)
        for expected in words:
            assert expected in caught.value.message
    assert bytes_of(folder) | {".lock": b""} == before | {".lock": b""}
    return caught.value


def pkcs8(key: object, passphrase: bytes = b"") -> bytes:
    secrecy = s.BestAvailableEncryption(passphrase) if passphrase else s.NoEncryption()
    return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, secrecy)  # type: ignore[attr-defined,no-any-return]


@dataclass
class Ca:
    """A CA of somebody else's, or ours."""

    certificate: x509.Certificate
    key: certificates.PrivateKey

    @classmethod
    def of(cls, folder: Path, name: str = "ca") -> Ca:
        key = certificates.read_key((folder / f"{name}.key").read_bytes())
        return cls(x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes()), key)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(s.Encoding.PEM)


def signed(  # noqa: PLR0913 - as many as a certificate has
    subject: str,
    key: object,
    by: Ca | None = None,
    *,
    uses: tuple[x509.ObjectIdentifier, ...] = (),
    sans: tuple[str, ...] = (),
    ca: bool | None = None,
    group: str = "",
    begins: dt.datetime = NOW - DAY,
    ends: dt.datetime = NOW + 900 * DAY,
    extensions: tuple[x509.ExtensionType, ...] = (),
) -> x509.Certificate:
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] * bool(group)
        + [x509.NameAttribute(NameOID.COMMON_NAME, subject)]
    )
    public = key.public_key()  # type: ignore[attr-defined]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(by.certificate.subject if by else name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    if sans:
        alternatives = [certificates.alternative(one) for one in sans]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    signer = by.key if by else key
    return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())  # type: ignore[arg-type]


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - it must be refused


def put(folder: Path, name: str, certificate: x509.Certificate, key: object, *more: bytes) -> None:
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(s.Encoding.PEM) + b"".join(more))
    (folder / f"{name}.key").write_bytes(pkcs8(key))


@pytest.mark.parametrize(
    "gone",
    [
        ("encryption.key",), ("sa.key",), ("sa.key", "sa.pub"), ("ca.key",), ("ca.crt",), ("ca.crt", "ca.key"),
        ("etcd-ca.key", "etcd-ca.crt"), ("front-proxy-ca.key",),
    ],
    ids="+".join,
)  # fmt: skip
def test_a_lost_root_is_named_with_the_way_to_get_it_back(folder: Path, gone: tuple[str, ...]) -> None:
    for name in gone:
        (folder / name).unlink()
    lost = [str(folder / name) for name in gone if name != "sa.pub"]
    error = refused(folder, "keys of the cluster are missing on this machine", *lost)
    assert "k8s-installer keys recover" in error.hint
    assert "backup" in error.hint


def test_all_that_is_lost_or_wrong_is_in_one_message(folder: Path) -> None:
    (folder / "ca.key").unlink()
    (folder / "encryption.key").unlink()
    (folder / "sa.key").write_bytes(b"")
    refused(folder, "ca.key, ", "encryption.key\n", "sa.key is empty")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("ca.key", b"", "ca.key is empty"),
        ("ca.crt", b"", "ca.crt is empty"),
        ("ca.crt", b"rubbish", "ca.crt contains no PEM certificate"),
        ("ca.crt", b"-----BEGIN CERTIFICATE-----\nAAAA\n", "ca.crt has an unreadable certificate"),
        ("ca.key", b"-----BEGIN EC PRIVATE KEY-----\nAAAA", "ca.key is not a PEM private key, or is damaged or truncated"),
        ("etcd-ca.key", pkcs8(RSA), "etcd-ca.crt does not belong to the key beside it"),
        ("ca.key", pkcs8(ed25519.Ed25519PrivateKey.generate()), "ca.key is a key of an unsupported kind: use RSA of 2048"),
        ("ca.key", pkcs8(SHORT), "ca.key is an RSA key of 1024 bits: use RSA of 2048"),
        ("ca.key", pkcs8(ec.generate_private_key(ec.SECP256K1())), "ca.key is an EC key on curve secp256k1: use"),
        ("sa.key", b"rubbish", "sa.key is not a PEM private key"),
        ("sa.pub", b"rubbish", "sa.pub does not belong to the key beside it"),
        ("encryption.key", b"rubbish!", "encryption.key is not 32 bytes in base64"),
        ("encryption.key", b"AAAA\n", "encryption.key is not 32 bytes in base64"),
        ("encryption.key", b"\n", "encryption.key is empty"),
    ],
)  # fmt: skip
def test_a_damaged_root_is_refused_with_words(folder: Path, name: str, content: bytes, words: str) -> None:
    (folder / name).write_bytes(content)
    assert "backup" in refused(folder, words).hint


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (lambda key: signed("x", key), "is not the certificate of a CA (CN=x has no basicConstraints CA:TRUE)"),
        (lambda key: signed("x", key, ca=False), "is not the certificate of a CA"),
        (lambda key: signed("x", key, ca=True, ends=NOW - DAY / 2), "has expired: CN=x was valid until"),
        (lambda key: signed("x", key, ca=True, begins=NOW + DAY), "is not valid yet: CN=x is valid from"),
        (
            lambda key: signed("x", key, ca=True, extensions=(issuing._usage(signs_certificates=False),)),
            "is of a CA that may not sign certificates",
        ),
    ],
)
def test_what_is_no_ca_is_refused_with_words(
    folder: Path, certificate: Callable[[object], x509.Certificate], words: str
) -> None:
    key = Ca.of(folder).key
    (folder / "ca.crt").write_bytes(certificate(key).public_bytes(s.Encoding.PEM))
    refused(folder, f"ca.crt {words}")


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), SHORT], ids=["ed25519", "short"])
def test_a_ca_of_a_weak_or_unsupported_kind_is_refused_where_its_key_is_elsewhere(tmp_path: Path, key: object) -> None:
    (tmp_path / "ca.crt").write_bytes(signed("x", key, ca=True).public_bytes(s.Encoding.PEM))
    refused(tmp_path, "ca.crt is of a CA whose key is too short or of an unsupported kind")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("proxy.crt", None, "proxy.crt is missing, but its key exists"),
        ("proxy.key", None, "proxy.crt has no key beside it"),
        ("proxy.crt", b"", "proxy.crt is empty"),
        ("proxy.key", b"rubbish", "proxy.crt has a key beside it that is not a PEM private key"),
        ("proxy.key", pkcs8(ec_key()), "proxy.crt does not belong to the key beside it"),
        ("proxy.key", pkcs8(ec_key(), b"x"), "proxy.crt has a key beside it that has a passphrase"),
    ],
)
def test_a_leaf_that_somebody_damaged_is_refused_and_one_of_ours_that_is_cut_in_half_is_issued_again(
    whole: Path, tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    folder = tmp_path / "pki"
    shutil.copytree(whole, folder)
    if content is not None:
        (folder / name).write_bytes(content)
        assert "remove its .crt and .key" in refused(folder, words).hint
        return
    (folder / name).unlink()
    assert pki.look(folder, LEAVES).pending == dict.fromkeys(
        ("proxy.crt", "proxy.key"), f"the one in the folder {words.removeprefix('proxy.crt ')}"
    )
    first, second = bytes_of(whole), pki.ensure(folder, LEAVES)
    assert {file for file in names(LEAVES) if second[file] != first[file]} == {"proxy.crt", "proxy.key"}


def test_an_edit_is_shown_and_its_way_back_issues_nothing(folder: Path) -> None:
    before = bytes_of(folder)
    edited = cluster(
        topology="\n  m1: {address: 10.77.0.11, roles: [etcd, master]}\n  n1: {address: 10.77.0.99, roles: [node]}\n"
    )
    shown = pki.look(folder, leaves(edited))
    reason = "its names differ: IP:10.77.0.99 instead of IP:10.77.0.21"
    assert shown.pending == {"n1/kubelet.crt": reason, "n1/kubelet.key": reason}
    assert shown["n1/kubelet.crt"] == b"<n1/kubelet.crt>\n"
    assert not pki.look(folder, LEAVES).pending
    assert bytes_of(folder) == before


def client(folder: Path, key: object, **options: object) -> x509.Certificate:
    return signed("system:kube-proxy", key, Ca.of(folder), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        client,  # no extended key usage: any
        lambda folder, key: client(folder, key, uses=(CLIENT, SERVER), sans=("a.example",), group="more"),
        lambda folder, key: client(folder, key, uses=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)),
        lambda folder, key: client(folder, key, uses=(CLIENT,)),  # as we would make it, but not by us
    ],
)
@pytest.mark.parametrize("key", [ec_key(), RSA], ids=["EC", "RSA"])
def test_a_certificate_that_somebody_put_there_is_kept(
    folder: Path, make: Callable[[Path, object], x509.Certificate], key: object
) -> None:
    certificate = make(folder, key)
    put(folder, "proxy", certificate, key)
    kept = pki.ensure(folder, LEAVES)
    assert kept["proxy.crt"] == certificate.public_bytes(s.Encoding.PEM)
    # what openssl writes is PKCS#8; hosts get the form that NSS reads
    assert kept["proxy.key"] == certificates.private_pem(key)  # type: ignore[arg-type]
    assert not kept.pending


def other_ca() -> Ca:
    key = ec_key()
    return Ca(signed("other", key, ca=True), key)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder, key: client(folder, key, ends=NOW - DAY / 2), "has expired: CN=system:kube-proxy was valid until"),
        (lambda folder, key: client(folder, key, uses=(CLIENT,), ends=NOW - DAY / 2), "has expired"),
        (lambda folder, key: client(folder, key, uses=(SERVER,)), "lacks the extended key usage clientAuth"),
        (lambda folder, key: client(folder, key, ca=True), "is a CA certificate (CA:TRUE), not a program's"),
        (
            lambda folder, key: signed("system:kube-proxy", key, other_ca(), uses=(CLIENT,)),
            "was issued by CN=other, which is not in ca.crt",
        ),
        (
            lambda folder, key: signed("kube-proxy", key, Ca.of(folder)),
            "is for CN=kube-proxy; Kubernetes and etcd need CN=system:kube-proxy",
        ),
    ],
)  # fmt: skip
def test_a_certificate_that_somebody_put_there_and_that_cannot_work_is_refused(
    folder: Path, make: Callable[[Path, object], x509.Certificate], words: str
) -> None:
    key = ec_key()
    put(folder, "proxy", make(folder, key), key)
    refused(folder, f"{folder}/proxy.crt {words}")


def test_a_server_s_names_a_group_and_an_rsa_key_are_required_of_others_too(folder: Path) -> None:
    key, ca = ec_key(), Ca.of(folder)
    put(folder, "m1/apiserver", signed("anything", key, ca, sans=("m1", "10.77.0.11")), key)
    put(folder, "n1/kubelet", signed("system:node:n1", key, ca, sans=LEAVES["n1/kubelet"].names), key)
    put(folder, "admin", signed("kubernetes-admin", key, ca, group="system:masters"), key)
    refused(
        folder,
        "m1/apiserver.crt lacks the subject alternative names DNS:kubernetes, DNS:kubernetes.default,",
        "n1/kubelet.crt is for CN=system:node:n1; Kubernetes and etcd need CN=system:node:n1,O=system:nodes",
        "admin.crt needs an RSA key: curl on CentOS 7 accepts no other",
    )


def chain(folder: Path) -> tuple[Ca, Ca]:
    """A root, and the CA below it that issues."""
    root_key, key = ec_key(), ec_key()
    root = Ca(signed("root", root_key, ca=True), root_key)
    return root, Ca(signed("below", key, root, ca=True), key)


def test_an_own_ca_may_have_a_chain_and_the_rest_is_made(tmp_path: Path) -> None:
    root, below = chain(tmp_path)
    put(tmp_path, "ca", below.certificate, below.key, root.pem)
    made = pki.ensure(tmp_path, LEAVES)
    assert made["ca.crt"] == below.pem + root.pem
    assert made["ca.key"] == pkcs8(below.key)
    x509.load_pem_x509_certificate(made["admin.crt"]).verify_directly_issued_by(below.certificate)
    # and the order in the file does not matter: the key says which one issues
    (tmp_path / "ca.crt").write_bytes(root.pem + below.pem)
    assert not pki.look(tmp_path, LEAVES).pending


def test_a_leaf_may_bring_the_ca_between(folder: Path) -> None:
    key, between = ec_key(), ec_key()
    middle = Ca(signed("middle", between, Ca.of(folder), ca=True), between)
    put(folder, "proxy", signed("system:kube-proxy", key, middle), key, middle.pem)
    assert pki.look(folder, LEAVES)["proxy.crt"].endswith(middle.pem)


def test_a_key_with_a_pass_phrase_is_asked_for_once_and_goes_nowhere(tmp_path: Path) -> None:
    ca = Ca(signed("mine", RSA, ca=True), RSA)
    (tmp_path / "ca.crt").write_bytes(ca.pem)
    (tmp_path / "ca.key").write_bytes(pkcs8(RSA, b"right"))
    with pytest.raises(InputError, match=r"ca\.key has a passphrase"):
        pki.ensure(tmp_path, LEAVES)
    with pytest.raises(InputError, match=r"that is not the passphrase of .*ca\.key"):
        pki.ensure(tmp_path, LEAVES, lambda _path: b"wrong")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "ca.crt", "ca.key"]
    asked: list[str] = []

    def answer(path: str) -> bytes:
        asked.append(path)
        return b"right"

    made = pki.ensure(tmp_path, LEAVES, answer)
    assert asked == [str(tmp_path / "ca.key")]
    assert "ca.key" not in made.files
    assert made.absent == {"ca.key"}
    assert pki.look(tmp_path, LEAVES) == made  # nothing to make: nobody is asked


def test_a_pass_phrase_that_opens_another_key_is_no_way_in(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(other_ca().pem)
    (tmp_path / "ca.key").write_bytes(pkcs8(ec_key(), b"right"))
    with pytest.raises(InputError, match=r"ca\.crt does not belong to the key beside it"):
        pki.ensure(tmp_path, LEAVES, lambda _path: b"right")


def supplied(folder: Path, ca: Ca, name: str, leaf: Leaf) -> None:
    key = RSA if leaf.rsa else ec_key()
    uses = tuple(certificates.purposes(leaf))
    put(folder, name, signed(leaf.user, key, ca, uses=uses, sans=leaf.names, group=leaf.group), key)


def supply_all(folder: Path, ca: Ca) -> None:
    """Every certificate that the CA of Kubernetes must sign."""
    for host in ("m1", "n1", "n2"):
        (folder / host).mkdir()
    for name, leaf in LEAVES.items():
        if leaf.issuer == "ca":
            supplied(folder, ca, name, leaf)


def test_a_ca_whose_key_is_elsewhere_says_which_certificates_it_must_sign(tmp_path: Path) -> None:
    ca = other_ca()
    (tmp_path / "ca.crt").write_bytes(ca.pem)
    error = refused(
        tmp_path,
        "these certificates are needed, but their CA's key is not on this machine:",
        "admin.crt and admin.key: subject CN=kubernetes-admin,O=system:masters; EKU clientAuth; key RSA 2048; signed by ca.crt",
        "n1/kubelet.crt and n1/kubelet.key: subject CN=system:node:n1,O=system:nodes; EKU serverAuth, clientAuth; "
        "SAN DNS:n1, IP:10.77.0.21, DNS:localhost, IP:127.0.0.1; key EC P-256; signed by ca.crt",
    )
    assert "k8s-installer keys request" in error.hint
    assert "etcd" not in error.message  # those CAs are made, and sign
    supply_all(tmp_path, ca)
    made = pki.ensure(tmp_path, LEAVES)
    assert made.absent == {"ca.key"}
    assert not made.pending
    assert "m1/etcd.key" in made.files
    # a host that moves needs a new one, which nobody can make
    (tmp_path / "n1" / "kubelet.crt").unlink()
    (tmp_path / "n1" / "kubelet.key").unlink()
    refused(tmp_path, "n1/kubelet.crt and n1/kubelet.key: subject")


def test_a_request_says_what_a_leaf_needs() -> None:
    leaf = LEAVES["n1/kubelet"]
    asked = x509.load_pem_x509_csr(issuing.request(leaf, issuing.new_leaf_key(leaf)))
    assert asked.subject.rfc4514_string() == "CN=system:node:n1,O=system:nodes"
    assert asked.is_signature_valid
    plain = LEAVES["proxy"]
    names_of = x509.load_pem_x509_csr(issuing.request(plain, ec_key())).extensions
    assert {item.oid._name for item in names_of} == {"extendedKeyUsage", "keyUsage"}


@pytest.mark.parametrize("name", ["ca.key", "proxy.crt"])
def test_a_file_whose_other_half_or_ca_never_was_is_not_made_up_for(tmp_path: Path, name: str) -> None:
    key = ec_key()
    (tmp_path / "ca.key").write_bytes(pkcs8(key))
    if name == "proxy.crt":
        (tmp_path / "ca.key").unlink()
        put(tmp_path, "proxy", signed("system:kube-proxy", key, other_ca()), key)
        refused(tmp_path, "proxy.crt exists, but its CA ca.crt does not")
    else:
        refused(tmp_path, "ca.key exists, but its certificate ca.crt does not")


def test_a_public_key_without_its_private_half_is_a_loss(tmp_path: Path) -> None:
    (tmp_path / "sa.pub").write_bytes(certificates.public_pem(RSA))
    refused(tmp_path, "sa.key")


def test_a_ca_in_the_place_of_ours_is_shown_to_be_another(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    shutil.copytree(whole, folder)
    for ending in ("crt", "key"):
        shutil.copy(folder / f"etcd-ca.{ending}", folder / f"ca.{ending}")
    shown = pki.look(folder, LEAVES)
    assert shown.strange == {"ca.crt", "ca.key"}
    assert shown.pending["admin.crt"] == "its CA differs"
    assert "m1/etcd.crt" not in shown.pending


def test_a_root_that_this_version_adds_is_made_beside_those_that_are_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {**leaves(cluster()), "new": Leaf("new-ca", "x", client=True)}
    monkeypatch.setitem(AUTHORITIES, "new-ca", "new-ca")
    monkeypatch.setattr(sys.modules[names.__module__], "ROOTS", (*ROOTS, "new-ca.crt", "new-ca.key"))
    shown = pki.look(folder, more)
    assert set(shown.pending) == {"new-ca.crt", "new-ca.key", "new.crt", "new.key"}
    first = pki.ensure(folder, more)
    assert pki.look(folder, more) == first
    (folder / "new-ca.key").unlink()
    with pytest.raises(InputError, match=r"missing on this machine: .*new-ca\.key"):
        pki.look(folder, more)


@pytest.mark.parametrize("name", ["ca.crt", "sa.key", "encryption.key", "record.json", "m1/apiserver.crt"])
def test_a_fifo_is_no_key_and_nobody_waits_for_its_writer(whole: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "pki"
    shutil.copytree(whole, folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    for use in (pki.look, pki.ensure):
        with pytest.raises(InputError, match=f"cannot use the PKI folder .*: is a FIFO, not a file: .*{name}"):
            use(folder, LEAVES)


def test_a_file_without_end_is_no_key(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    shutil.copytree(whole, folder)
    (folder / "ca.crt").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(InputError, match=r"cannot use the PKI folder .*: has more than 1 MiB: .*ca\.crt"):
        pki.look(folder, LEAVES)


def test_a_lock_that_is_a_fifo_is_locked_like_any_other(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    shutil.copytree(whole, folder)
    (folder / ".lock").unlink()
    os.mkfifo(folder / ".lock")
    assert pki.look(folder, LEAVES) == pki.ensure(folder, LEAVES)


def test_a_ca_of_somebody_s_own_has_its_key_elsewhere_whatever_became_of_the_record(tmp_path: Path) -> None:
    """Nothing that is missing beside it can have been made here."""
    ca = other_ca()
    (tmp_path / "ca.crt").write_bytes(ca.pem)
    supply_all(tmp_path, ca)
    made = pki.ensure(tmp_path, LEAVES)
    (tmp_path / record.FILE).unlink()
    assert pki.look(tmp_path, LEAVES).files == made.files
    (tmp_path / "etcd-ca.key").unlink()  # and ours was made
    refused(tmp_path, "are missing on this machine", "etcd-ca.key")


def test_a_ca_that_another_cluster_made_is_no_sign_of_keys_that_are_lost(whole: Path, tmp_path: Path) -> None:
    for ending in ("crt", "key"):
        shutil.copy(whole / f"ca.{ending}", tmp_path / f"ca.{ending}")
    made = pki.ensure(tmp_path, LEAVES)
    assert made["ca.key"] == (whole / "ca.key").read_bytes()
    assert made["sa.key"] != (whole / "sa.key").read_bytes()


def test_what_hosts_were_given_is_known_after_that(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    shutil.copytree(whole, folder)
    pki.note_use(folder, {}, ROOTS)
    assert bytes_of(folder) == bytes_of(whole)
    pki.note_use(folder, LEAVES, ROOTS)
    known = keyfiles.read_record(folder, bytes_of(folder))
    assert set(known.used) == {"ca", "etcd-ca", "etcd-peer-ca", "front-proxy-ca", "sa", "encryption.key"}
    before = (folder / record.FILE).stat().st_ino
    pki.note_use(folder, LEAVES, ROOTS)
    assert (folder / record.FILE).stat().st_ino == before
    (folder / "encryption.key").write_bytes(b"A" * 43 + b"=\n")
    (folder / "sa.key").write_bytes(pkcs8(certificates.read_key((folder / "sa.key").read_bytes())))
    assert pki.look(folder, LEAVES).strange == {"encryption.key"}
    (folder / "encryption.key").unlink()
    refused(folder, "are missing on this machine", "encryption.key")


def test_a_key_that_is_here_in_another_form_or_locked_is_the_hosts_own(whole: Path, tmp_path: Path) -> None:
    found = {name: content for name, content in bytes_of(whole).items() if name in names(LEAVES)}
    ca, sa = (certificates.read_key(found[name]) for name in ("ca.key", "sa.key"))
    renewed = issuing.self_signed("kubernetes-ca", ca).certificate
    here = {
        "ca.crt": renewed, "ca.key": pkcs8(ca, b"secret"), "sa.key": pkcs8(sa), "encryption.key": found["encryption.key"].strip(),
        "etcd-ca.key": found["etcd-ca.key"],
    }  # fmt: skip
    for name, content in here.items():
        (tmp_path / name).write_bytes(content)
    filled = pki.fill(tmp_path, LEAVES, found)
    assert set(filled.written) == found.keys() - here.keys()
    assert (filled.notes, filled.problems) == ((), ())
    assert {name: (tmp_path / name).read_bytes() for name in here} == here
    for name, content in (
        ("etcd-ca.key", pkcs8(ec_key())),
        ("sa.pub", b"x"),
        ("ca.crt", b""),
        ("ca.crt", other_ca().pem),
    ):
        kept = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content)
        without = {other: text for other, text in found.items() if other != "etcd-ca.key"}
        with pytest.raises(InputError, match=f"these files exist here and differ from the hosts': .*{name}$"):
            pki.fill(tmp_path, LEAVES, without)
        (tmp_path / name).write_bytes(kept)


def test_a_certificate_that_is_here_stays_and_a_half_of_it_is_completed(whole: Path, tmp_path: Path) -> None:
    found = {name: content for name, content in bytes_of(whole).items() if name in names(LEAVES)}
    (tmp_path / "n1").mkdir()
    (tmp_path / "scheduler.crt").write_bytes(found["scheduler.crt"])
    (tmp_path / "n1" / "kubelet.key").write_bytes(b"mine")
    key = ec_key()
    put(tmp_path, "proxy", client(whole, key), key)
    before = bytes_of(tmp_path)
    filled = pki.fill(tmp_path, LEAVES, found)
    assert "scheduler.key" in filled.written
    assert filled.notes == (
        "proxy.crt already exists here and differs from the hosts' file: the local one stays",
        "n1/kubelet.key already exists here and differs from the hosts' file: the local one stays",
    )
    assert bytes_of(tmp_path) | before == bytes_of(tmp_path)
    assert "n1/kubelet.crt is missing, but its key exists" in "".join(filled.problems)


def test_a_recovery_that_was_cut_off_does_not_make_what_somebody_supplied_ours(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {name: content for name, content in bytes_of(whole).items() if name in names(LEAVES)}
    key = ec_key()
    own = client(whole, key, sans=("a.example",)).public_bytes(s.Encoding.PEM)
    found |= {"proxy.crt": own, "proxy.key": certificates.private_pem(key)}
    write = keyfiles.write

    def killed(folder: Path, name: str, content: bytes) -> None:
        if name == "sa.key":
            raise KeyboardInterrupt
        write(folder, name, content)

    monkeypatch.setattr(keyfiles, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        pki.fill(tmp_path, LEAVES, dict(sorted(found.items())))
    monkeypatch.undo()
    assert not {"proxy.crt", "proxy.key"} & keyfiles.read_record(tmp_path, {}).writing
    assert not pki.fill(tmp_path, LEAVES, found).problems
    assert pki.ensure(tmp_path, LEAVES)["proxy.crt"] == own


def test_a_link_to_nothing_and_a_folder_in_a_file_s_place_are_said(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.key").symlink_to(tmp_path / "usb" / "ca.key")
    with pytest.raises(InputError, match=r"cannot use the PKI folder .*: a dangling link: .*ca\.key"):
        pki.look(tmp_path, LEAVES)
    (tmp_path / "ca.key").unlink()
    (tmp_path / "ca.crt").mkdir()
    with pytest.raises(InputError, match=r"cannot use the PKI folder .*: is a directory, not a file: .*ca\.crt"):
        pki.look(tmp_path, LEAVES)


def odd(old: bytes, new: bytes) -> bytes:
    """A certificate as no library makes it: bytes of a good one replaced by as many others."""
    key = ec_key()
    der = signed("odd", key, sans=("abcdefgh",), uses=(CLIENT,), ca=True).public_bytes(s.Encoding.DER)
    assert (der.count(old), len(old)) == (1, len(new))
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der.replace(old, new)) + b"-----END CERTIFICATE-----\n"


P256, SAN, EKU = bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("0603551d11"), bytes.fromhex("0603551d25")
ODD = {
    "a curve that nobody knows": (odd(P256, P256[:-1] + b"\x70"), "has a certificate with a key of an unsupported kind: use RSA"),
    "an X.400 address": (odd(b"\x82\x08abcdefgh", b"\xa3\x08\x04\x06cdefgh"), "has a certificate with a subject alternative name of an unsupported kind"),
    "an extension twice": (odd(EKU, SAN), "has an unreadable certificate: a field is malformed"),
    "an address of 8 bytes": (odd(b"\x82\x08abcdefgh", b"\x87\x08abcdefgh"), "has an unreadable certificate: a field is malformed"),
    "version 4": (odd(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03"), "has an unreadable certificate: it is damaged or truncated"),
    "a month 13": (odd(f"{NOW - DAY:%y%m%d%H%M}".encode(), f"{NOW - DAY:%y}13{NOW - DAY:%d%H%M}".encode()), "has an unreadable certificate"),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_a_certificate_that_the_library_does_not_know_is_refused_with_words(folder: Path, case: str) -> None:
    pem, words = ODD[case]
    with pytest.raises(certificates.Flaw, match=re.escape(words)):
        certificates.read_certificates(pem)
    assert not certificates.made_here(pem)
    for name in ("ca.crt", "proxy.crt"):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(pem)
        refused(folder, f"{name} {words}")
        (folder / name).write_bytes(kept)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"format": 1, "made": {}, "writing": [], "without": [], "used": []}',
        b"",
        b"{}",
        b"[]",
        b'{"format": 1, "made": []}',
        b'{"format": 2}',
    ],
)
def test_a_record_that_cannot_be_read_is_said(folder: Path, text: bytes) -> None:
    (folder / record.FILE).write_bytes(text)
    refused(folder, "record.json ")


def test_a_record_tells_what_was_made_from_what_was_not() -> None:
    first = record.Record().adding({"a": b"1"}).lacking(["b"])
    assert first.has("a", b"1")
    assert not first.has("a", b"2")
    both = first.adding({"a": b"2", "b": b"3"}).adding({"a": b"1"})
    assert both.made["a"] == (record.digest(b"2"), record.digest(b"1"))
    assert both.without == frozenset()
    assert record.load(record.dump(both.during(["x"]))) == both.during(["x"])


def test_a_record_and_its_messages_have_no_key_in_them(whole: Path) -> None:
    text = (whole / record.FILE).read_text()
    for name, content in bytes_of(whole).items():
        if name.endswith(".key"):
            assert content.decode().splitlines()[1 if b"BEGIN" in content else 0] not in text


def test_a_key_known_not_to_be_here_is_no_loss(folder: Path) -> None:
    known = keyfiles.read_record(folder, bytes_of(folder))
    (folder / "etcd-ca.key").unlink()
    keyfiles.write(folder, record.FILE, record.dump(known.lacking(["etcd-ca.key"])))
    shown = pki.look(folder, LEAVES)
    assert shown.absent == {"etcd-ca.key"}
    assert not shown.pending


def test_a_folder_without_a_record_gets_one_of_all_that_was_made(folder: Path) -> None:
    """Else everything but what is new would count as somebody's own from then on."""
    moved = cluster(
        topology="\n  m1: {address: 10.77.0.11, roles: [etcd, master]}\n  n1: {address: 10.77.0.99, roles: [node]}\n"
    )
    pki.ensure(folder, leaves(moved))
    assert pki.look(folder, LEAVES).pending.keys() == {"n1/kubelet.crt", "n1/kubelet.key"}
    further = cluster(topology="\n  m1: {address: 10.77.0.12, roles: [etcd, master, node]}\n")
    assert pki.look(folder, leaves(further)).pending.keys() >= {"m1/etcd.crt", "m1/apiserver.crt"}


def test_what_hosts_gave_back_fills_the_gaps_and_replaces_nothing(whole: Path, tmp_path: Path) -> None:
    kept = {name: content for name, content in bytes_of(whole).items() if name in names(LEAVES)}
    on_hosts = {name: content for name, content in kept.items() if name not in {"etcd-ca.key", "front-proxy-ca.key"}}
    folder = tmp_path / "pki"
    assert set(pki.fill(folder, LEAVES, on_hosts).written) == on_hosts.keys()
    shown = pki.look(folder, LEAVES)
    assert not shown.pending
    assert shown.absent == {"etcd-ca.key", "front-proxy-ca.key"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (folder, *folder.rglob("*")))
    assert pki.fill(folder, LEAVES, on_hosts) == filling.Filled((), (), ())
    (folder / "sa.key").write_bytes(pkcs8(RSA))
    before = bytes_of(folder)
    with pytest.raises(InputError, match=r"these files exist here and differ from the hosts': .*sa\.key$"):
        pki.fill(folder, LEAVES, on_hosts)
    assert bytes_of(folder) == before


def test_what_is_not_whole_is_saved_all_the_same_and_what_lacks_is_named(whole: Path, tmp_path: Path) -> None:
    kept = {name: content for name, content in bytes_of(whole).items() if name in names(LEAVES) and name != "sa.key"}
    filled = pki.fill(tmp_path / "pki", LEAVES, kept)
    assert set(filled.written) == kept.keys()
    assert filled.problems == (f"keys of the cluster are missing on this machine: {tmp_path / 'pki' / 'sa.key'}",)


def test_certificates_that_must_be_signed_elsewhere_are_listed(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(other_ca().pem)
    assert pki.unsigned(tmp_path, LEAVES) == {name: leaf for name, leaf in LEAVES.items() if leaf.issuer == "ca"}


@pytest.fixture
def unrecorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a first apply that wrote every key, and then had no room for its last line of the record."""
    write, records = keyfiles.write, iter([True, False])

    def full(folder: Path, name: str, content: bytes) -> None:
        if name == record.FILE and not next(records):
            raise OSError(28, "No space left on device", name)
        write(folder, name, content)

    monkeypatch.setattr(keyfiles, "write", full)
    with pytest.raises(InputError, match="No space left on device"):
        pki.ensure(tmp_path, LEAVES)
    monkeypatch.undo()
    assert keyfiles.read_record(tmp_path, {}).writing
    return tmp_path


@pytest.mark.parametrize("name", ["ca.key", "etcd-ca.key"])
def test_a_key_that_a_cut_off_run_wrote_and_that_is_gone_is_lost(unrecorded: Path, name: str) -> None:
    (unrecorded / name).unlink()
    refused(unrecorded, "are missing on this machine", name)


def test_a_certificate_put_where_a_cut_off_run_wrote_one_is_kept(unrecorded: Path) -> None:
    key = ec_key()
    put(unrecorded, "proxy", client(unrecorded, key, sans=("a.example",)), key)
    before = bytes_of(unrecorded)
    kept = pki.ensure(unrecorded, LEAVES)
    assert kept["proxy.crt"] == before["proxy.crt"]
    assert bytes_of(unrecorded) | {record.FILE: b""} == before | {record.FILE: b""}


@pytest.mark.parametrize("use", [pki.ensure, lambda folder, wanted: pki.note_use(folder, wanted, ())])
@pytest.mark.parametrize("name", ["ca.crt", "sa.key", "encryption.key"])
def test_the_next_run_completes_the_record(
    unrecorded: Path, use: Callable[[Path, dict[str, Leaf]], object], name: str
) -> None:
    use(unrecorded, LEAVES)
    assert not keyfiles.read_record(unrecorded, {}).writing
    (unrecorded / name).unlink()
    refused(unrecorded, "are missing on this machine", name)


def test_a_record_that_still_cannot_be_written_stops_nothing(unrecorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path, name: str, content: bytes) -> None:
        raise OSError(28, "No space left on device", name)

    monkeypatch.setattr(keyfiles, "write", full)
    assert pki.ensure(unrecorded, LEAVES) == pki.look(unrecorded, LEAVES)


def test_a_chain_is_one_ca_of_which_there_is_nothing_to_drop(tmp_path: Path) -> None:
    root, below = chain(tmp_path)
    put(tmp_path, "ca", below.certificate, below.key, root.pem)
    pki.ensure(tmp_path, LEAVES)
    pki.require_ended(tmp_path, "ca")
    other = ec_key()
    beside = Ca(signed("beside", other, root, ca=True), other)
    for joined in (below.pem + root.pem + beside.pem, beside.pem + below.pem + root.pem):
        (tmp_path / "ca.crt").write_bytes(joined)
        with pytest.raises(InputError, match=r"ca\.crt has 2 certificates, and ca-next\.key does not say"):
            pki.require_ended(tmp_path, "ca")
