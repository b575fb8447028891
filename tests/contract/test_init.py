"""What `init --from-hosts` asks, asked of a real shell over a real sshd."""

from __future__ import annotations

import os
from ipaddress import IPv4Interface

import pytest

from k8s_installer.flows.init import ask
from k8s_installer.transport import Transport

pytestmark = pytest.mark.contract


def test_a_real_host_answers_every_question(host: Transport) -> None:
    found = ask(host)
    assert found.hostname == os.uname().nodename
    assert found.system
    assert ("lo", IPv4Interface("127.0.0.1/8")) in found.networks
