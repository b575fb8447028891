"""Real etcd and certificates that expire while it runs: what renewals rest on, and what the gates say."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import time

import pytest

from k8s_installer import inventory, pki
from k8s_installer.model.resources import Check
from k8s_installer.pki import issuing
from k8s_installer.pki.validity import facts
from tests.contract.test_etcd import Members, members, program
from tests.unit.clusters import leaves

__all__ = ["members", "program"]  # fixtures

NAMES = ("m1", "m2", "m3")
SECONDS = 8  # for which the certificates are valid: three members have started by then


def renewed(members: Members) -> None:
    """Issue all certificates again, in the local folder alone."""
    hosts = "".join(f"  {name}: {{address: {members.address(name)}, roles: [etcd, master]}}\n" for name in NAMES)
    text = f'cluster: {{name: c, version: "1.20.2"}}\nhosts:\n{hosts}  n1: {{address: 127.0.77.99, roles: [node]}}\n'
    lab = inventory.parse(text, members.folder / "cluster.yaml")
    needed = {name: leaf for name, leaf in leaves(lab).items() if leaf.issuer.startswith("etcd")}
    pki.ensure(members.folder / "pki", needed, renewed=list(needed))


def served(members: Members, name: str) -> str:
    """The serial of the certificate that a member shows its clients now."""
    folder = members.folder / name / "pki"
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "healthcheck.crt", folder / "healthcheck.key")
    address = members.address(name)
    with (
        socket.create_connection((address, 2379), 5) as plain,
        context.wrap_socket(plain, server_hostname=address) as wrapped,
    ):
        found = wrapped.getpeercert(binary_form=True)
    assert found is not None
    return facts(ssl.DER_cert_to_PEM_cert(found).encode()).serial


def test_expired_members_come_back_together_and_not_one_by_one(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as short:
        short.setattr(issuing, "LEAF_LIFE", dt.timedelta(seconds=SECONDS))
        wanted = members.desired(*NAMES)
        until = time.monotonic() + SECONDS + 1
    members.start(wanted, *NAMES)
    assert members.hold(wanted, *NAMES) == ""
    members.put("m1", "a2VwdA==")
    time.sleep(max(0.0, until - time.monotonic()))
    expired = members.gate(wanted, "m1", Check.ETCD_HEALTH)
    assert not expired.holds
    assert "certificate has expired" in expired.words
    assert "status 000" in expired.words

    renewed(members)
    members.desired("m1")  # places the files of that host alone
    members.stop("m1")
    members.start(wanted, "m1")
    until = time.monotonic() + 4
    while time.monotonic() < until:
        assert not members.gate(wanted, "m1", Check.ETCD_HEALTH).holds, "one by one they would have come up, too"

    members.desired(*NAMES)
    members.stop("m2", "m3")
    members.start(wanted, "m2", "m3")
    assert members.hold(wanted, *NAMES) == ""
    assert [members.value(name) for name in NAMES] == ["a2VwdA=="] * 3


def test_a_member_that_runs_shows_its_new_certificate_at_once_and_fails_with_a_key_that_does_not_fit(
    members: Members,
) -> None:
    """Why a renewal keeps the key: a handshake between the writes of two files would fail."""
    wanted = members.desired("m1")
    members.start(wanted, "m1")
    assert members.hold(wanted, "m1") == ""
    old = served(members, "m1")
    folder = members.folder / "m1/pki"
    key = (folder / "etcd.key").read_bytes()
    renewed(members)
    members.desired("m1")
    assert (folder / "etcd.key").read_bytes() == key
    assert served(members, "m1") != old
    assert members.gate(wanted, "m1", Check.ETCD_HEALTH).holds
    (folder / "etcd.key").write_bytes((folder / "peer.key").read_bytes())
    assert not members.gate(wanted, "m1", Check.ETCD_HEALTH).holds
