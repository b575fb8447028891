"""The contract of services, on a bare host of the lab with real systemd and yum."""

from __future__ import annotations

from pathlib import Path

import pytest

from k8s_installer.inventory import load
from k8s_installer.remote import SshRemote
from k8s_installer.transport import connect
from tests.contract import remote_suite
from tests.fleet.conftest import running_lab

pytestmark = pytest.mark.fleet


def test_a_real_host_keeps_the_contract_of_services() -> None:
    with running_lab("tbare", "--nodes", "1") as lab:
        (host, *_) = load(Path(lab["inventory"])).hosts
        transport = connect(host)
        try:
            remote_suite.services(SshRemote(transport))
        finally:
            transport.close()
