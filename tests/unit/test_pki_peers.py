"""The CA of etcd's members among each other, in new clusters and in those that were made before there was one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from k8s_installer import inventory, pki
from k8s_installer.errors import InputError
from k8s_installer.inventory import Cluster
from k8s_installer.pki import record
from k8s_installer.pki.leaves import Leaf
from tests.unit.clusters import cluster, leaves

LAB = cluster(topology="etcd-apart")
LEAVES = leaves(LAB)
BEFORE = {name: leaf for name, leaf in LEAVES.items() if not name.endswith("/etcd-peer")}
MEMBERS = ("e1", "e2", "e3")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old") / "pki"
    pki.ensure(folder, BEFORE)
    return folder


@pytest.fixture(params=["with its record", "without a record"])
def old(whole: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The PKI of a cluster whose members and clients of etcd had one CA."""
    folder = tmp_path / "pki"
    shutil.copytree(whole, folder)
    if request.param == "without a record":
        (folder / record.FILE).unlink()
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def moved(host: str, address: str) -> Cluster:
    text = "\n".join(
        f"  {one.name}: {{address: {address if one.name == host else one.address}, roles: [{', '.join(one.roles)}]}}"
        for one in LAB.hosts
    )
    return inventory.parse(f'cluster: {{name: lab, version: "1.20.2"}}\nhosts:\n{text}\n', Path("/srv/cluster.yaml"))


def test_a_new_clusters_members_have_a_ca_of_their_own(tmp_path: Path) -> None:
    made = pki.ensure(tmp_path, LEAVES)
    assert made["etcd-peer-ca.crt"] != made["etcd-ca.crt"]
    for member in MEMBERS:
        assert made[f"{member}/etcd-peer.key"] != made[f"{member}/etcd.key"]
    assert pki.look(tmp_path, LEAVES) == made


def test_an_old_clusters_members_keep_the_one_that_they_trust_and_nothing_is_made(old: Path) -> None:
    before = files(old)
    shown = pki.look(old, LEAVES)
    assert (shown.pending, shown.strange) == ({}, frozenset())
    assert shown["etcd-peer-ca.crt"] == shown["etcd-ca.crt"]
    for member in MEMBERS:
        assert shown[f"{member}/etcd-peer.crt"] == shown[f"{member}/etcd.crt"]
        assert shown[f"{member}/etcd-peer.key"] == shown[f"{member}/etcd.key"]
    assert pki.ensure(old, LEAVES) == shown
    assert files(old) == before


def test_an_old_clusters_member_with_another_address_is_issued_by_the_ca_that_the_others_trust(old: Path) -> None:
    wanted = leaves(moved("e2", "10.77.0.9"))
    shown = pki.look(old, wanted)
    assert {name for name in shown.pending if name.endswith(".crt")} == {"e2/etcd.crt", "e2/etcd-peer.crt"}
    made = pki.ensure(old, wanted)
    assert made["etcd-peer-ca.crt"] == made["etcd-ca.crt"]
    assert made["e2/etcd-peer.crt"] not in (made["e2/etcd.crt"], shown["e1/etcd.crt"])
    assert pki.look(old, wanted) == made
    assert not (old / "etcd-peer-ca.crt").exists()


def test_an_old_cluster_whose_etcd_ca_has_no_key_here_needs_no_new_certificate(old: Path) -> None:
    (old / "etcd-ca.key").unlink()
    found = pki.unsigned(old, LEAVES)
    assert dict(found) == {}


def test_an_own_etcd_ca_behind_a_pass_phrase_signs_for_peers_as_well(tmp_path: Path) -> None:
    pki.ensure(tmp_path, BEFORE)
    (tmp_path / record.FILE).unlink()
    path = tmp_path / "etcd-ca.key"
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"open"),
        )
    )
    asked: list[str] = []

    def answer(path: str) -> bytes:
        asked.append(path)
        return b"open"

    more: dict[str, Leaf] = {**LEAVES, "e4/etcd-peer": Leaf("etcd-peer-ca", "e4", client=True, names=("e4",))}
    assert pki.ensure(tmp_path, more, answer)["e4/etcd-peer.crt"]
    assert asked == [str(path)]


def test_the_peers_ca_of_a_new_cluster_is_lost_when_it_is_gone(tmp_path: Path) -> None:
    pki.ensure(tmp_path, LEAVES)
    for ending in ("crt", "key"):
        (tmp_path / f"etcd-peer-ca.{ending}").unlink()
    with pytest.raises(InputError, match=r"missing on this machine: .*etcd-peer-ca\.crt"):
        pki.look(tmp_path, LEAVES)


def test_the_ca_of_flannel_is_made_where_flannel_is_the_network(tmp_path: Path) -> None:
    assert "flannel-ca.crt" not in pki.ensure(tmp_path, LEAVES).files
    more = leaves(cluster(topology="etcd-apart", network="flannel"))
    assert set(pki.look(tmp_path, more).pending) == {
        f"{name}.{ending}"
        for name in ("flannel-ca", "flannel-etcd-client", *(f"{member}/flannel-etcd" for member in MEMBERS))
        for ending in ("crt", "key")
    }
    assert "flannel-ca.crt" in pki.ensure(tmp_path, more).files
    assert pki.look(tmp_path, LEAVES).pending == {}
