"""Real etcd 3.3 and 3.4 backed up and restored by the very scripts that hosts run, killed in between and run again."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from k8s_installer import backup
from k8s_installer.backup import etcd as formats
from k8s_installer.errors import LabError
from k8s_installer.host import backups, families, perform, snapshot
from k8s_installer.host.restored import MadeOf
from k8s_installer.lab.rpms import payload
from k8s_installer.lab.state import default_cache
from k8s_installer.model.desired import Desired
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import Check, Gate, Kind, Missing, Ref, Setting, UploadedFile
from k8s_installer.planning.etcd import restoring
from k8s_installer.planning.etcd.restoring import Restore
from tests.contract.programs import bookworm_etcd
from tests.contract.test_etcd import Members, conf, members, sums

__all__ = ["members"]
pytestmark = pytest.mark.contract
LOG = logging.getLogger(__name__)  # shown with --log-cli-level=INFO

STEP = 1 if os.environ.get("TEST_ALL") else 3  # programs between two kills
KEYS = 1000
PREFIX = "/registry/things/"
TOKEN = "c-1234"  # noqa: S105 - the name of a cluster
# A program that kills the whole script which runs it, before the call whose number is in the file `kill`.
KILLER = """\
#!/bin/sh
read -r left <{folder}/kill || left=0
echo $((left - 1)) >{folder}/kill
[ "$left" -ne 1 ] || kill -9 0
exec {real} "$@"
"""
SYSTEMCTL = """\
#!/bin/sh
case $* in
  "show -p User etcd") echo User=root ;;
  "show -p ActiveState etcd") echo ActiveState=inactive ;;
  *) exit 3 ;;
esac
"""
STEPS = ("etcdctl", "mkdir", "mv", "find", "chown", "sync", "rmdir", "rm")


@pytest.fixture(scope="module", params=["3.3", "3.4"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def programs(version: str) -> tuple[Path, Path]:
    """etcd and etcdctl as the lab's hosts run them, and of the next version."""
    try:
        if version == "3.3":
            folder = payload(default_cache(), lambda _: None)
            return folder / "etcd-server/usr/bin/etcd", folder / "etcd-client/usr/bin/etcdctl"
        folder = bookworm_etcd()
        return folder / "etcd", folder / "etcdctl"
    except LabError as error:
        pytest.skip(f"there is no etcd here, and none can be fetched: {error}")


@pytest.fixture(scope="module")
def program(programs: tuple[Path, Path]) -> Path:
    return programs[0]


@dataclass
class Host:
    """Where a host's scripts run here: with etcdctl, without systemd, and with folders of their own."""

    folder: Path
    env: dict[str, str]

    def sh(self, script: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["/bin/sh"], input=script.encode(), env=self.env, capture_output=True, check=False, start_new_session=True
        )

    def kill_before(self, count: int) -> None:
        """Kill the next script before its so many-th program; 0 never does."""
        (self.folder / "kill").write_text(f"{count}\n")

    def upload(self, content: bytes) -> UploadedFile:
        """As if it had been uploaded."""
        digest = hashlib.sha256(content).hexdigest()
        incoming = Path(self.env["K8S_INSTALLER_INCOMING"])
        incoming.mkdir(parents=True, exist_ok=True)
        (incoming / digest).write_bytes(content)
        return UploadedFile(incoming / digest, digest, len(content), 0o600, secret=True)


@pytest.fixture
def host(tmp_path: Path, programs: tuple[Path, Path]) -> Host:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in STEPS:
        real = programs[1] if name == "etcdctl" else shutil.which(name)
        (tools / name).write_text(KILLER.format(folder=tmp_path, real=real))
    (tools / "systemctl").write_text(SYSTEMCTL)
    for tool in tools.iterdir():
        tool.chmod(0o755)
    made = Host(
        tmp_path,
        {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "LC_ALL": "C",
            "K8S_INSTALLER_KEPT": str(tmp_path / "state/kept"),
            "K8S_INSTALLER_INCOMING": str(tmp_path / "state/incoming"),
        },
    )
    made.kill_before(0)
    return made


def gate(members: Members, wanted: Desired, name: str) -> Gate:
    """The gate of a member's health, with the addresses and folders that it has here."""
    (found,) = [
        item.resource
        for ref, item in wanted.items()
        if ref.host == name and isinstance(item.resource, Gate) and item.resource.check is Check.ETCD_HEALTH
    ]
    pki = str(members.folder / "m1/pki")
    files = {part: getattr(found, part).replace("/etc/etcd/pki", pki) for part in ("ca", "cert", "key")}
    return replace(found, url=found.url.replace("127.0.0.1", members.address(name)), **files)


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def hold(members: Members, wanted: Desired, *names: str) -> None:
    """Wait until etcd's gates hold on these hosts, also on a machine that has much else to do."""
    said = ""
    for _ in range(4):
        said = members.hold(wanted, *names)
        if not said:
            return
    raise AssertionError(said)


def write(members: Members, count: int = KEYS) -> None:
    """Put so many keys, as many at once as etcd takes."""
    for first in range(0, count, 100):
        puts = [
            {"requestPut": {"key": b64(f"{PREFIX}{number:05}"), "value": b64(f"thing {number}")}}
            for number in range(first, min(first + 100, count))
        ]
        members.ask("m1", "kv/txn", {"success": puts})


def values(members: Members, name: str) -> dict[str, str]:
    """All that a member has by its own data."""
    end = PREFIX[:-1] + "0"
    found = members.ask(name, "kv/range", {"key": b64(PREFIX), "range_end": b64(end), "serializable": True}).get(
        "kvs", []
    )
    assert isinstance(found, list)
    return {base64.b64decode(one["key"]).decode(): base64.b64decode(one["value"]).decode() for one in found}


EXPECTED = {f"{PREFIX}{number:05}": f"thing {number}" for number in range(KEYS)}


def saved(host: Host, members: Members, wanted: Desired, name: str) -> bytes:
    """A snapshot, as `backup` takes it; its hash is right."""
    asked = gate(members, wanted, name)
    found = snapshot.holds(host.sh(snapshot.holds_script(asked)).stdout.decode())
    assert found.keys == KEYS
    done = host.sh(snapshot.save_script(asked, str(members.folder / name / "data")))
    assert done.returncode == 0, done.stderr
    check = formats.Snapshot()
    check.update(done.stdout)
    check.require_whole()
    assert list((host.folder / "state").glob("snapshot.*")) == []
    return done.stdout


def changes(wanted: Desired, restore: Restore, name: str) -> list[tuple[int, Change]]:
    """What a restore does to a member's data."""
    found = restoring.restored(wanted, restore).desired
    items = [item for ref, item in found.items() if ref.host == name and ref.name.startswith("etcd-restored ")]
    return [
        (number, Change(item.ref, Action.SET, "etcd", Missing.ABSENT, item.resource, "the test"))
        for number, item in enumerate(items)
    ]


def restore(host: Host, wanted: Desired, content: bytes, names: Sequence[str]) -> None:
    for name in names:
        done = host.sh(perform.script(changes(wanted, Restore(TOKEN, host.upload(content)), name)))
        assert b"done 0" in done.stdout, (done.stdout, done.stderr)


def lost(members: Members, *names: str) -> None:
    for name in names:
        members.stop(name)
        shutil.rmtree(members.folder / name / "data")


def test_all_members_are_lost_and_every_key_is_back_on_each(host: Host, members: Members) -> None:
    three = members.desired("m1", "m2", "m3")
    members.start(three, "m1", "m2", "m3")
    hold(members, three, "m1", "m2", "m3")
    write(members)
    began = time.monotonic()
    content = saved(host, members, three, "m2")
    LOG.info("snapshot: %.1f MB in %.2f s", len(content) / 1e6, time.monotonic() - began)
    lost(members, "m1", "m2", "m3")
    began = time.monotonic()
    restore(host, three, content, ("m1", "m2", "m3"))
    members.start(three, "m1", "m2", "m3")
    hold(members, three, "m1", "m2", "m3")
    LOG.info("restored on three members in %.2f s", time.monotonic() - began)
    assert [values(members, name) == EXPECTED for name in ("m1", "m2", "m3")] == [True, True, True]
    assert list((host.folder / "state/incoming").iterdir()) == []


def test_one_member_becomes_three_and_the_old_one_cannot_join(host: Host, members: Members) -> None:
    one, three = members.desired("m1"), members.desired("m1", "m2", "m3")
    members.start(one, "m1")
    hold(members, one, "m1")
    write(members)
    content = saved(host, members, one, "m1")
    before = members.ask("m1", "cluster/member/list", {})["header"]
    members.stop("m1")
    restore(host, three, content, ("m1", "m2", "m3"))
    members.start(three, "m1", "m2", "m3")
    hold(members, three, "m1", "m2", "m3")
    assert [values(members, name) == EXPECTED for name in ("m1", "m2", "m3")] == [True, True, True]
    after = members.ask("m1", "cluster/member/list", {})["header"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert before["cluster_id"] != after["cluster_id"]


@pytest.mark.parametrize("apart", [False, True])
def test_killed_before_every_program_and_run_again_it_converges_and_keeps_what_was_there(
    host: Host, members: Members, *, apart: bool
) -> None:
    one = members.desired("m1")
    log = members.folder / "m1/wal"
    by_hand = conf(one, "m1") + (f'ETCD_WAL_DIR="{log}"\n'.encode() if apart else b"")
    members.start(one, "m1", by_hand=by_hand)
    hold(members, one, "m1")
    write(members)
    content = saved(host, members, one, "m1")
    members.ask("m1", "kv/put", {"key": b64(f"{PREFIX}late"), "value": b64("after the backup")})
    members.stop("m1")
    data = members.folder / "m1/data"
    old = {**sums(data / "member"), **(sums(log) if apart else {})}
    ((number, change),) = changes(one, Restore(TOKEN, host.upload(content)), "m1")
    assert isinstance(change.after, Setting)
    made = MadeOf(*change.after.value.split("|"))._replace(log=str(log) if apart else "")
    change = replace(change, after=replace(change.after, value=str(made)))
    script, kills, finished = perform.script([(number, change)]), 0, False
    shutil.copytree(data, host.folder / "data")
    shutil.copytree(log, host.folder / "wal") if apart else None
    while not finished:
        kills += STEP
        for folder in (data, log) if apart else (data,):
            shutil.rmtree(folder)
            shutil.copytree(host.folder / folder.name, folder)
        host.upload(content)
        host.kill_before(kills)
        finished = b"done 0" in host.sh(script).stdout
        host.kill_before(0)
        host.upload(content)
        assert b"done 0" in host.sh(script).stdout
        aside = {**sums(data / f"before-{TOKEN}"), **(sums(log / f"before-{TOKEN}") if apart else {})}
        assert sorted(old.values()) == sorted(aside.values()), kills
        seen = host.sh(families.questions([change.ref.name])).stdout.decode().split()
        assert seen[1] == str(made)
    LOG.info("killed before each of %d programs, or every %d. of them", kills - 1, STEP)
    assert kills > 6
    members.start(one, "m1", by_hand=by_hand)
    hold(members, one, "m1")
    assert values(members, "m1") == EXPECTED


def test_a_snapshot_with_a_flipped_byte_replaces_nothing(host: Host, members: Members) -> None:
    one = members.desired("m1")
    members.start(one, "m1")
    hold(members, one, "m1")
    write(members)
    content = saved(host, members, one, "m1")
    members.stop("m1")
    before = sums(members.folder / "m1/data")
    flipped = content[:9000] + bytes([content[9000] ^ 1]) + content[9001:]
    done = host.sh(perform.script(changes(one, Restore(TOKEN, host.upload(flipped)), "m1")))
    assert b"failed 0" in done.stdout
    assert b"sha256" in done.stdout
    assert sums(members.folder / "m1/data") == before


def test_one_member_of_three_is_left_and_its_data_is_enough(host: Host, members: Members) -> None:
    """Without a quorum: given out by a member that still runs, and copied from one that does not."""
    three = members.desired("m1", "m2", "m3")
    members.start(three, "m1", "m2", "m3")
    hold(members, three, "m1", "m2", "m3")
    write(members)
    members.stop("m2", "m3")
    data = members.folder / "m1/data"
    asked = gate(members, three, "m1")
    given = host.sh(snapshot.save_script(asked, str(data)))
    assert given.returncode == 0, given.stderr
    members.stop("m1")
    copied = host.sh(snapshot.copy_script("etcd", str(data), str(data / "member/wal")))
    assert copied.returncode == 0, copied.stderr
    database = host.folder / "db"
    database.write_bytes(copied.stdout)
    with database.open("r+b") as file:
        formats.with_hash(file)
    for content in (given.stdout, database.read_bytes()):
        for name in ("m1", "m2", "m3"):
            shutil.rmtree(members.folder / name / "data")
        restore(host, three, content, ("m1", "m2", "m3"))
        members.start(three, "m1", "m2", "m3")
        hold(members, three, "m1", "m2", "m3")
        assert [values(members, name) == EXPECTED for name in ("m1", "m2", "m3")] == [True, True, True]
        members.stop("m1", "m2", "m3")


def v2(members: Members, *arguments: str) -> str:
    pki = members.folder / "m1/pki"
    files = ["--cacert", f"{pki}/ca.crt", "--cert", f"{pki}/healthcheck.crt", "--key", f"{pki}/healthcheck.key"]
    url = f"https://{members.address('m1')}:2379/v2/keys"
    words = [*arguments[:-1], url + arguments[-1]]
    return subprocess.run(["curl", "-sS", *files, *words], capture_output=True, text=True, check=True).stdout


def test_keys_of_the_old_api_are_written_back_once(host: Host, members: Members) -> None:
    one = members.desired("m1")
    by_hand = conf(one, "m1") + b'ETCD_ENABLE_V2="true"\n'
    members.start(one, "m1", by_hand=by_hand)
    hold(members, one, "m1")
    asked = gate(members, one, "m1")
    texts = {f"/registry/secrets/s{number}": '{"a": "1&2=%41 \\n+ü"}\n' * (number + 1) for number in range(20)}
    for key, text in texts.items():
        v2(members, "-X", "PUT", "--data-urlencode", f"value={text}", key)
    v2(members, "-X", "PUT", "-d", "dir=true", "/registry/empty")
    given = host.sh(snapshot.keys_script(asked))
    assert given.returncode == 0, given.stderr
    nodes = formats.keys(given.stdout)
    assert {node["key"]: node.get("value") for node in nodes} == {**texts, "/registry/empty": None}
    lost(members, "m1")
    members.start(one, "m1", by_hand=by_hand)
    hold(members, one, "m1")
    upload = host.upload(formats.requests(nodes))
    name = " ".join(filter(None, ("etcd-keys", asked.url.removesuffix("/health"), asked.ca, asked.cert, asked.key)))
    change = Change(
        Ref("m1", Kind.SETTING, name),
        Action.SET,
        "etcd",
        Missing.ABSENT,
        Setting(f"{TOKEN}|{upload.sha256}", upload),
        "",
    )
    done = host.sh(perform.script([(0, change)]))
    assert b"done 0" in done.stdout, (done.stdout, done.stderr)
    again = formats.keys(host.sh(snapshot.keys_script(asked)).stdout)
    assert {node["key"]: node.get("value") for node in again} == {
        **texts, "/registry/empty": None, "/k8s-installer/restored": TOKEN
    }  # fmt: skip
    v2(members, "-X", "PUT", "-d", "value=newer", "/registry/secrets/s1")
    assert b"done 0" in host.sh(perform.script([(0, change)])).stdout
    assert json.loads(v2(members, "/registry/secrets/s1"))["node"]["value"] == "newer"


def test_a_member_backs_up_by_itself_and_keeps_the_newest(host: Host, members: Members) -> None:
    one = members.desired("m1")
    members.start(one, "m1", by_hand=conf(one, "m1") + b'ETCD_ENABLE_V2="true"\n')
    hold(members, one, "m1")
    write(members)
    asked, root, folder = gate(members, one, "m1"), host.folder / "root", host.folder / "backups"
    v2(members, "-X", "PUT", "-d", "value=old", "/registry/old")
    schedule = backups.Schedule(
        "*-*-*_02:30:00", "2", str(folder), "lab", "1.20.2", "m1", asked.url.removesuffix("/health"), asked.ca,
        asked.cert, asked.key,
    )  # fmt: skip
    change = Change(
        Ref("m1", Kind.SETTING, backups.NAME), Action.SET, "etcd", Missing.ABSENT, Setting(str(schedule)), ""
    )
    host.env["K8S_INSTALLER_ROOT"] = str(root)
    (host.folder / "tools/systemctl").write_text("#!/bin/sh\n")
    done = host.sh(perform.script([(0, change)]))
    assert b"done 0" in done.stdout, (done.stdout, done.stderr)
    assert "OnCalendar=*-*-* 02:30:00\n" in (root / "etc/systemd/system/etcd-backup.timer").read_text()
    program = root / "usr/local/sbin/etcd-backup"
    for _ in range(3):
        run = subprocess.run([program], env=host.env, capture_output=True, text=True, check=False)
        assert (run.returncode, run.stdout) == (0, ""), run.stderr
        time.sleep(1.1)
    made = sorted(folder.iterdir())
    assert len(made) == 2
    found = backup.read(made[-1], lambda: b"")
    assert (found.manifest.cluster, found.manifest.member, found.manifest.keys) == ("lab", "m1", KEYS)
    assert [entry.name for entry in found.manifest.files] == [backup.V3, backup.V2]
    members.stop("m1")
    run = subprocess.run([program], env=host.env, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert sorted(folder.iterdir()) == made
