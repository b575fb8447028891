"""`backup`: who is asked, what is in the file, and that nothing is left where it fails. Members are stand-ins."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from k8s_installer import backup as archive
from k8s_installer import pki
from k8s_installer.backup import Manifest, sealed
from k8s_installer.engine import fleet
from k8s_installer.engine.fleet import Connections
from k8s_installer.errors import CommandFailed, InputError, InstallerError, TransportError
from k8s_installer.flows import resolve
from k8s_installer.flows.backup import backup
from k8s_installer.flows.inputs import Inputs
from k8s_installer.transport import OnSent, Result
from tests.unit.clusters import leaves
from tests.unit.test_backup import snapshot
from tests.unit.test_flows import Recorder

TEXT = """\
cluster: {name: lab, version: "1.20.2", network: none}
hosts:
  m1: {address: 10.0.0.1, roles: [etcd, master]}
  m2: {address: 10.0.0.2, roles: [etcd]}
  m3: {address: 10.0.0.3, roles: [etcd]}
  n1: {address: 10.0.0.21, roles: [node]}
"""
HOLDS = '{"header":{"revision":"77"},"count":"12"}\n{"etcdserver":"3.3.25"}\n'
KEYS = b'{"node": {"dir": true, "nodes": [{"key": "/registry/a", "value": "x"}]}}'


@dataclass
class Member:
    """A member of etcd that answers, or does not."""

    host: str
    holds: str = HOLDS
    v3: bytes = field(default_factory=snapshot)
    v2: bytes = b'{"action": "get", "node": {"dir": true}}'
    status: int = 0
    asked: list[str] = field(default_factory=list)

    def run(self, script: str, **_: object) -> Result:
        self.asked.append(script.splitlines()[0])
        if not self.holds:
            raise TransportError(self.host, "no route to host")
        return Result(0, self.holds, "")

    def download(self, script: str, target: BinaryIO, *, idle: float, on_saved: OnSent) -> Result:
        self.asked.append(script.splitlines()[0])
        content = self.v3 if "snapshot save" in script else self.v2
        target.write(content)
        on_saved(len(content))
        return Result(self.status, "", "no room for a snapshot\n" if self.status else "")


@dataclass
class Cluster:
    inputs: Inputs
    members: dict[str, Member]
    recorder: Recorder = field(default_factory=Recorder)

    @property
    def folder(self) -> Path:
        return self.inputs.inventory.parent

    @contextmanager
    def connecting(self, *_: object) -> Iterator[Connections]:
        with ThreadPoolExecutor(1) as pool:
            lines: dict[str, Any] = dict(self.members)
            yield Connections(pool, lines)

    def backup(self, phrase: bytes | None = None) -> Manifest:
        return backup(self.inputs, self.folder / "lab.backup", (lambda: phrase) if phrase else None, self.recorder)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    (tmp_path / "cluster.yaml").write_text(TEXT)
    found = Cluster(Inputs(tmp_path / "cluster.yaml"), {name: Member(name) for name in ("m1", "m2", "m3")})
    monkeypatch.setattr(fleet, "connecting", found.connecting)
    monkeypatch.setattr(sealed, "_COST", 2)
    inventory, _ = resolve.checked(found.inputs.inventory)
    pki.ensure(resolve.pki_folder(inventory), leaves(inventory))
    return found


def test_the_first_member_by_name_gives_its_data_and_keys_and_inventory_are_in_the_file(cluster: Cluster) -> None:
    (cluster.folder / ".k8s-installer/lab/pki/ca.crt (copy)").write_text("odd")
    made = cluster.backup()
    assert (made.member, made.keys, made.revision, made.keys_v2, made.etcd) == ("m1", 12, 77, 0, "3.3.25")
    assert cluster.members["m1"].asked == [
        "# ask etcd what it has",
        "# take a snapshot of etcd",
        "# read the keys of etcd's API v2",
    ]
    assert cluster.members["m2"].asked == ["# ask etcd what it has"]
    found = archive.read(cluster.folder / "lab.backup", lambda: b"", cluster.folder)
    assert found.files[archive.INVENTORY] == TEXT.encode()
    own = cluster.folder / ".k8s-installer/lab/pki"
    assert found.keys["encryption.key"] == (own / "encryption.key").read_bytes()
    assert {"ca.key", "etcd-ca.key", "m1/apiserver.key", "record.json"} <= set(found.keys)
    assert not [name for name in found.keys if "copy" in name]
    assert (cluster.folder / "v3.db").read_bytes() == snapshot()


def test_one_that_does_not_answer_is_named_and_another_is_asked(cluster: Cluster) -> None:
    cluster.members["m1"].holds = ""
    cluster.members["m2"].holds = '{"error":"etcdserver: request timed out","code":14}\n'
    cluster.members["m3"].v2 = KEYS
    made = cluster.backup(b"correct horse")
    assert (made.member, made.keys_v2) == ("m3", 1)
    warned = [line for line in cluster.recorder.heard if line.startswith("warn ")]
    assert warned[0] == "warn another member is asked: m1: no route to host"
    assert "etcd does not answer a read that needs its quorum" in warned[1]
    assert archive.read(cluster.folder / "lab.backup", lambda: b"correct horse").sealed


def test_where_one_member_has_no_room_for_a_snapshot_the_next_one_gives_it(cluster: Cluster) -> None:
    first, second = cluster.members["m1"], cluster.members["m2"]
    first.v3, first.v2, first.status = b"half of a snapshot that is longer than the other" * 4000, KEYS, 1
    made = cluster.backup()
    assert (made.member, made.keys_v2) == ("m2", 0)
    assert "warn another member is asked: m1: reading etcd's data: exit 1: no room for a snapshot" in (
        cluster.recorder.heard
    )
    archive.read(cluster.folder / "lab.backup", lambda: b"", cluster.folder)
    assert (cluster.folder / "v3.db").read_bytes() == second.v3


def test_an_answer_without_end_is_not_read_into_memory(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k8s_installer.flows.backup._LARGEST", len(KEYS) - 1)
    cluster.members["m1"].v2 = KEYS
    with pytest.raises(InstallerError, match="m1: its answer with the keys of etcd's API v2 is over"):
        cluster.backup()


def test_without_a_quorum_nothing_is_written_and_what_to_do_is_said(cluster: Cluster) -> None:
    for member in cluster.members.values():
        member.holds = "curl: (7) Failed to connect\n"
    with pytest.raises(InstallerError, match="no member of etcd can give a snapshot") as caught:
        cluster.backup()
    assert "docs/backup.md" in caught.value.hint
    assert sorted(path.name for path in cluster.folder.iterdir()) == [".k8s-installer", "cluster.yaml"]


def test_what_breaks_off_leaves_the_backup_of_before(cluster: Cluster) -> None:
    cluster.backup()
    before = (cluster.folder / "lab.backup").read_bytes()
    for member in cluster.members.values():
        member.status = 1
    with pytest.raises(CommandFailed, match="m3: reading etcd's data: exit 1: no room for a snapshot"):
        cluster.backup()
    member = cluster.members["m1"]
    member.status, member.v3 = 0, snapshot()[:-1]
    with pytest.raises(InstallerError, match="it is cut off"):
        cluster.backup()
    member.v3, member.v2 = snapshot(), b"{"
    with pytest.raises(InstallerError, match="m1: the keys of etcd's API v2 cannot be read"):
        cluster.backup()
    assert (cluster.folder / "lab.backup").read_bytes() == before
    assert sorted(path.name for path in cluster.folder.iterdir()) == [".k8s-installer", "cluster.yaml", "lab.backup"]


def test_without_the_clusters_keys_there_is_no_backup(cluster: Cluster) -> None:
    (cluster.folder / ".k8s-installer").rename(cluster.folder / "away")
    with pytest.raises(InputError, match="keys of the cluster are not on this machine"):
        cluster.backup()
