from __future__ import annotations

import base64
import datetime as dt
import os
import stat
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from k8s_installer import pki
from k8s_installer.errors import InputError
from k8s_installer.inventory import Cluster
from k8s_installer.pki import certificates, issuing, keyfiles
from k8s_installer.pki.leaves import Leaf, names
from tests.unit.clusters import cluster, leaves, placeholder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Cluster, pki.Pki]:
    folder = tmp_path_factory.mktemp("state") / "pki"
    lab = cluster()
    return folder, lab, pki.ensure(folder, leaves(lab))


def certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def san(pem: bytes) -> set[str]:
    value = certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*value.get_values_for_type(x509.DNSName), *map(str, value.get_values_for_type(x509.IPAddress))}


def test_a_second_run_gives_the_same_bytes_and_writes_nothing(made: tuple[Path, Cluster, pki.Pki]) -> None:
    folder, lab, first = made
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert pki.ensure(folder, leaves(lab)) == first
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_folders_are_0700_and_files_0600(made: tuple[Path, Cluster, pki.Pki]) -> None:
    for path in (made[0], *made[0].rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_placeholder_has_the_same_names_and_no_key(made: tuple[Path, Cluster, pki.Pki]) -> None:
    _, lab, real = made
    shown = placeholder(lab)
    assert set(shown.files) == set(real.files) == set(names(leaves(lab)))
    assert shown["ca.key"] == b"<ca.key>\n"
    assert "BEGIN" not in repr(real)


def test_a_look_at_a_whole_folder_gives_its_bytes_and_one_at_none_says_what_is_to_be_made(
    made: tuple[Path, Cluster, pki.Pki], tmp_path: Path
) -> None:
    folder, lab, real = made
    assert pki.look(folder, leaves(lab)) == real
    nothing = pki.look(tmp_path / "none", leaves(lab))
    assert nothing.files == placeholder(lab).files
    assert set(nothing.pending) == set(names(leaves(lab)))
    assert list(tmp_path.iterdir()) == []


def test_an_insecure_cluster_has_no_pki_and_no_folder(tmp_path: Path) -> None:
    bare = cluster("1.5.2", "insecure")
    assert pki.ensure(tmp_path / "pki", leaves(bare)).files == pki.look(tmp_path, leaves(bare)).files == {}
    assert placeholder(bare).files == {}
    assert not (tmp_path / "pki").exists()


def test_a_name_that_is_not_made_is_named() -> None:
    with pytest.raises(InputError, match=r"^the cluster's PKI has no x\.crt$"):
        pki.Pki({})["x.crt"]


def test_keys_are_ec_but_those_that_curl_on_centos_and_tokens_need(made: tuple[Path, Cluster, pki.Pki]) -> None:
    _, _, files = made
    kinds = {
        name: pem.splitlines()[0] for name, pem in files.files.items() if name.endswith(".key") and b"BEGIN" in pem
    }
    rsa_keys = {name for name, first in kinds.items() if first == b"-----BEGIN RSA PRIVATE KEY-----"}
    assert rsa_keys == {"admin.key", "etcd-healthcheck.key", "sa.key"}
    assert {first for name, first in kinds.items() if name not in rsa_keys} == {b"-----BEGIN EC PRIVATE KEY-----"}
    assert files["sa.pub"].startswith(b"-----BEGIN PUBLIC KEY-----")
    assert len(base64.b64decode(files["encryption.key"])) == 32


def test_the_apiserver_answers_to_every_name_by_which_it_is_reached(made: tuple[Path, Cluster, pki.Pki]) -> None:
    assert san(made[2]["m1/apiserver.crt"]) == {
        "m1", "10.77.0.11", "localhost", "127.0.0.1", "10.254.0.1", "kubernetes", "kubernetes.default",
        "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
    }  # fmt: skip


def test_flannel_has_certificates_by_a_ca_of_its_own_where_it_is_the_network() -> None:
    assert not [name for name, leaf in leaves(cluster()).items() if "flannel" in name + leaf.issuer]
    own = {name for name, leaf in leaves(cluster(network="flannel")).items() if leaf.issuer == "flannel-ca"}
    assert own == {"flannel-etcd-client", "m1/flannel-etcd"}


def test_a_kubelet_is_its_node_to_the_apiserver_and_a_server_to_others(made: tuple[Path, Cluster, pki.Pki]) -> None:
    leaf = certificate(made[2]["n1/kubelet.crt"])
    subject = {attribute.oid: attribute.value for attribute in leaf.subject}
    assert subject == {NameOID.ORGANIZATION_NAME: "system:nodes", NameOID.COMMON_NAME: "system:node:n1"}
    usages = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert usages == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert IPv4Address("10.77.0.21") in leaf.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value.get_values_for_type(x509.IPAddress)


def test_every_certificate_is_issued_by_its_authority_and_lives_as_long_as_documented(
    made: tuple[Path, Cluster, pki.Pki],
) -> None:
    _, lab, files = made
    for name, leaf in leaves(lab).items():
        parsed = certificate(files[f"{name}.crt"])
        parsed.verify_directly_issued_by(certificate(files[f"{leaf.issuer}.crt"]))
        now = dt.datetime.now(dt.UTC)
        assert parsed.not_valid_before_utc < now - dt.timedelta(minutes=30)
        assert dt.timedelta(days=1824) < parsed.not_valid_after_utc - now <= dt.timedelta(days=1825)


def test_a_host_with_a_new_address_gets_new_certificates_and_nobody_else_does(tmp_path: Path) -> None:
    first = pki.ensure(tmp_path, leaves(cluster()))
    moved = cluster(
        topology="""
  m1: {address: 10.77.0.11, roles: [etcd, master]}
  n1: {address: 10.77.0.99, roles: [node]}
  n2: {address: 10.77.0.22, roles: [node]}
"""
    )
    second = pki.ensure(tmp_path, leaves(moved))
    changed = {name for name in names(leaves(moved)) if second[name] != first[name]}
    assert changed == {"n1/kubelet.crt", "n1/kubelet.key"}
    assert "10.77.0.99" in san(second["n1/kubelet.crt"])


@pytest.mark.parametrize("cut", ["ca.crt", "sa.key", "encryption.key", "n1/kubelet.crt", "m1/etcd.key"])
def test_a_first_run_that_was_cut_off_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str) -> None:
    write = keyfiles.write

    def killed(folder: Path, name: str, content: bytes) -> None:
        if name == cut:
            raise KeyboardInterrupt
        write(folder, name, content)

    monkeypatch.setattr(keyfiles, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        pki.ensure(tmp_path, leaves(cluster()))
    monkeypatch.undo()
    key = (tmp_path / "ca.key").read_bytes()
    assert cut in pki.look(tmp_path, leaves(cluster())).pending
    whole = pki.ensure(tmp_path, leaves(cluster()))
    assert whole["ca.key"] == key
    assert not whole.pending
    (tmp_path / cut).unlink()  # and what is gone after that is lost
    if "/" not in cut:
        with pytest.raises(InputError, match="are missing on this machine"):
            pki.look(tmp_path, leaves(cluster()))


def test_first_runs_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: pki.ensure(tmp_path / "pki", leaves(cluster())), range(2))
    assert first == second == pki.ensure(tmp_path / "pki", leaves(cluster()))


def test_a_run_waits_for_the_one_that_has_the_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        with keyfiles.alone(tmp_path):
            waiting = pool.submit(pki.ensure, tmp_path, leaves(cluster()))
            assert not wait([waiting], timeout=0.3).done
            assert [path.name for path in tmp_path.iterdir()] == [".lock"]
        assert waiting.result(timeout=60)["ca.key"] == (tmp_path / "ca.key").read_bytes()


def test_a_folder_that_can_only_be_read_is_read(
    made: tuple[Path, Cluster, pki.Pki], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refused(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise OSError(30, "Read-only file system", "x")
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", refused)
    pki.note_use(made[0], leaves(made[1]), pki.ROOTS)
    assert pki.ensure(made[0], leaves(made[1])) == made[2]


def test_a_lost_public_half_of_the_token_key_comes_back(made: tuple[Path, Cluster, pki.Pki], tmp_path: Path) -> None:
    _, lab, first = made
    for file, pem in first.files.items():
        keyfiles.write(tmp_path, file, pem)
    (tmp_path / "sa.pub").unlink()
    assert pki.ensure(tmp_path, leaves(lab)) == first


def test_a_folder_that_cannot_be_used_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "pki").write_text("a file", encoding="utf-8")
    for use in (pki.ensure, pki.look):
        with pytest.raises(InputError, match=r"cannot use the PKI folder .*/pki: Not a directory"):
            use(tmp_path / "pki", leaves(cluster()))


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        keyfiles.write(tmp_path, "x.key", b"secret")
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_client_use_is_told_from_one_with_it() -> None:
    one, other = (issuing.new_authority("x") for _ in range(2))
    authority = certificates.read_authority(one.certificate, one.key)
    server = Leaf("x", "a", names=("a", "10.0.0.1"))
    pair = issuing.issue(authority, server)
    assert certificates.mismatch(pair, server, authority) == ""
    client = replace(server, client=True)
    assert certificates.mismatch(pair, client, authority) == "its uses (server, client) differ"
    assert certificates.mismatch(pair, replace(server, user="b"), authority) == "it is for CN=a instead of CN=b"
    assert certificates.mismatch(pair, replace(server, rsa=True), authority) == "it needs an RSA key"
    assert certificates.mismatch(pair, replace(server, names=("a",)), authority) == (
        "its names differ: nothing instead of IP:10.0.0.1"
    )
    another = certificates.read_authority(other.certificate, other.key)
    assert certificates.mismatch(pair, server, another) == "its CA differs"
