from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s_installer.transport import Transport, connect
from tests.contract.sshd import Sshd, serve


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serve(tmp_path_factory.mktemp("sshd"), host_keys=("ed25519", "rsa")) as server:
        yield server


@pytest.fixture(autouse=True)
def _nobodys_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the keys, agents and known hosts of whoever runs the tests out of them."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def host(sshd: Sshd) -> Iterator[Transport]:
    transport = connect(sshd.host())
    yield transport
    transport.close()
