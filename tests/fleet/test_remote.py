"""The contract of services, on a bare host of the lab with real systemd and yum."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s_installer.engine.remote import SshRemote
from k8s_installer.inventory import load
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import Backup, File, Kind, Unit
from k8s_installer.transport import Transport, connect
from tests.contract import remote_suite
from tests.contract.remote_suite import actions, carried_out, planned, want
from tests.fleet.conftest import running_lab

pytestmark = pytest.mark.fleet

DROP_IN = "/etc/systemd/system/etcd.service.d/10-suite.conf"


@pytest.fixture(scope="module")
def transport() -> Iterator[Transport]:
    with running_lab("tbare", "--nodes", "1") as lab:
        (host, *_) = load(Path(lab["inventory"])).hosts
        transport = connect(host)
        try:
            yield transport
        finally:
            transport.close()


def nice(transport: Transport) -> str:
    return transport.run("ps -o ni= -C etcd").stdout.strip()


def test_a_real_host_keeps_the_contract_of_services(transport: Transport) -> None:
    remote_suite.services(SshRemote(transport))
    remote_suite.definitions(SshRemote(transport))
    assert nice(transport) == "1"  # of the definition that came back


def test_systemd_loads_a_drop_in_that_came_back_and_what_ran_by_the_other_restarts(transport: Transport) -> None:
    """As above, but the service ended and was started again before systemd had loaded what is there."""
    remote = SshRemote(transport)
    old = File(b"[Service]\nNice=1\n")
    one, two = (want(remote, Kind.FILE, DROP_IN, file) for file in (old, File(b"[Service]\nNice=2\n")))
    unit = want(remote, Kind.UNIT, "etcd", Unit("etcd", (DROP_IN,)), one)
    carried_out(remote, planned(remote, two, unit))
    assert nice(transport) == "2"
    back = want(remote, Kind.FILE, DROP_IN, Backup(old.sha256, 0o644, "root", "root"))
    plan = planned(remote, back, unit)
    carried_out(remote, Plan(plan.changes[:1], plan.after[:1]))
    assert transport.run("systemctl show -p NeedDaemonReload etcd").stdout.strip() == "NeedDaemonReload=no"
    transport.run("sleep 3; systemctl restart etcd", timeout=60)
    assert nice(transport) == "2"
    again = planned(remote, one, unit)
    assert actions(again) == [Action.RELOAD, Action.RESTART]
    # systemd has loaded it, and the script was cut off once more
    carried_out(remote, Plan(again.changes[:1], again.after[:1]))
    assert actions(planned(remote, one, unit)) == [Action.RESTART]
    carried_out(remote, planned(remote, one, unit))
    assert nice(transport) == "1"
    assert not planned(remote, one, unit)


def test_a_real_host_keeps_the_contract_of_services_that_leave(transport: Transport) -> None:
    remote_suite.departing(SshRemote(transport), "/var/tmp/suite")
    assert transport.run("rpm -q etcd").status != 0
    assert transport.run("ls /var/tmp/suite/made").status != 0
