"""The suite of `remote_suite` against the strict fake, and its files over a real sshd; see tests/fleet for the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from k8s_installer.packing import Packer
from k8s_installer.remote import SshRemote
from k8s_installer.transport import Transport
from tests.contract import remote_suite
from tests.fakes import FakeHost

pytestmark = pytest.mark.contract


def test_the_fake_keeps_the_contract_of_files() -> None:
    remote_suite.files(FakeHost("m1"), "/tmp/suite", "root")


def test_a_real_host_keeps_the_contract_of_files(host: Transport, tmp_path: Path) -> None:
    remote_suite.files(SshRemote(host), str(tmp_path), tmp_path.owner())


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
    remote_suite.services(
        FakeHost("m1", brings={"etcd": ["etcd"]}, carries={"etcd": {"/etc/etcd/etcd.conf": b"#[Member]\n"}})
    )
