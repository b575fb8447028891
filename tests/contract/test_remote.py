"""The suite of `remote_suite` against the strict fake, and its files over a real sshd; see tests/fleet for the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from k8s_installer.engine.remote import SshRemote
from k8s_installer.host.compression import Packer
from k8s_installer.transport import Transport, connect
from tests.contract import remote_suite
from tests.contract.sshd import serve
from tests.fakes import FakeHost
from tests.unit.test_drains import cluster_in
from tests.unit.test_host_settings import enforcing
from tests.unit.test_perform import program

pytestmark = pytest.mark.contract


def test_the_fake_keeps_the_contract_of_files() -> None:
    remote_suite.files(FakeHost("m1"), "/tmp/suite", "root")
    remote_suite.twins(FakeHost("m1"), "/tmp/suite", "root")


def test_a_real_host_keeps_the_contract_of_files(host: Transport, tmp_path: Path) -> None:
    remote_suite.files(SshRemote(host), str(tmp_path), tmp_path.owner())
    remote_suite.twins(SshRemote(host), str(tmp_path), tmp_path.owner())


def test_the_fake_keeps_the_contract_of_what_leaves() -> None:
    remote_suite.leaving(FakeHost("m1"), "/tmp/suite", "root")


def test_a_real_host_keeps_the_contract_of_what_leaves(host: Transport, tmp_path: Path) -> None:
    remote_suite.leaving(SshRemote(host), str(tmp_path), tmp_path.owner())
    assert not (tmp_path / "new").exists()  # it was made for a file that left


def test_the_fake_keeps_the_contract_of_sealed_files() -> None:
    remote_suite.sealed(FakeHost("m1"), "/tmp/suite", "root")


def test_a_real_host_keeps_the_contract_of_sealed_files(host: Transport, tmp_path: Path) -> None:
    remote_suite.sealed(SshRemote(host), str(tmp_path), tmp_path.owner())


def test_the_fake_keeps_the_contract_of_large_files(tmp_path: Path) -> None:
    remote_suite.large(FakeHost("m1"), "/tmp/suite", "root", tmp_path / "source")


@pytest.mark.parametrize("slow", [False, True])
def test_a_real_host_keeps_the_contract_of_large_files(
    host: Transport,
    tmp_path: Path,
    slow: bool,  # noqa: FBT001 - a table
) -> None:
    remote = SshRemote(host, Packer(tmp_path / "cache"))
    remote._slow = slow  # and so compressed
    remote_suite.large(remote, str(tmp_path), tmp_path.owner(), tmp_path / "source")


def test_the_fake_keeps_the_contract_of_services() -> None:
    fake = FakeHost("m1", brings={"etcd": ["etcd"]}, carries={"etcd": {"/etc/etcd/etcd.conf": b"#[Member]\n"}})
    remote_suite.services(fake)
    remote_suite.definitions(fake)
    fake.leftovers["suite"] = ("/tmp/suite/made",)
    remote_suite.departing(fake, "/tmp/suite")


def test_the_fake_keeps_the_contract_of_settings() -> None:
    remote_suite.settings(FakeHost("m1", settings={"selinux": "enforcing", "swap": "on"}))


def test_a_real_host_keeps_the_contract_of_settings(tmp_path: Path) -> None:
    enforcing(tmp_path)  # its files and programs are stand-ins in a folder: this machine stays as it is
    program(tmp_path / "bin", "sudo", 'shift 2; exec "$@"')
    path = f"PATH={tmp_path}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    with serve(tmp_path / "sshd", env=[path, f"K8S_INSTALLER_ROOT={tmp_path}/root"]) as server:
        transport = connect(server.host())
        try:
            remote_suite.settings(SshRemote(transport))
        finally:
            transport.close()


def test_the_fake_keeps_the_contract_of_drains() -> None:
    remote_suite.drains(FakeHost("m1"))


def test_a_real_host_keeps_the_contract_of_drains(tmp_path: Path) -> None:
    """What runs in the background does not keep the connection's streams, or the setting would take as long."""
    cluster_in(tmp_path)
    program(tmp_path / "bin", "sudo", 'shift 2; exec "$@"')
    path = f"PATH={tmp_path}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    program(tmp_path / "bin", "systemctl", f"touch {tmp_path}/drains; echo ActiveState=active")  # the gate was asked
    with serve(tmp_path / "sshd", env=[path, f"K8S_INSTALLER_ROOT={tmp_path}/root"]) as server:
        transport = connect(server.host())
        try:
            remote_suite.drains(SshRemote(transport))
        finally:
            transport.close()
