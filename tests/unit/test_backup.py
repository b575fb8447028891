"""The file of a backup: what comes out is what went in, and whatever was done to it is noticed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from k8s_installer import backup
from k8s_installer.backup import archive, etcd, manifest, sealed
from k8s_installer.backup.manifest import Entry, Manifest
from k8s_installer.backup.sealed import CHUNK, MAGIC, Sealing, UnsealError, Unsealing
from k8s_installer.errors import InputError, InstallerError

PHRASE = b"correct horse"
AT = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass phrase costs a third of a second, which is what it is for."""
    monkeypatch.setattr(sealed, "_COST", 2)


def snapshot(size: int = 200 * 512) -> bytes:
    """As etcd gives it: a database, and its hash."""
    database = b"".join(hashlib.sha512(number.to_bytes(4, "big")).digest() for number in range(size // 64))
    return database + hashlib.sha256(database).digest()


PARTS = {
    backup.INVENTORY: b"cluster: {name: lab}\n",
    backup.KEYS + "m1/apiserver.key": b"a key\n",
    backup.V3: snapshot(),
    backup.V2: b'{"node": {}}',
}


def manifest_of(parts: Sequence[backup.Part]) -> Manifest:
    entries = tuple(archive.entry(part) for part in parts)
    return Manifest(cluster="lab", version="1.20.2", created=AT, member="m1", files=entries)


def made(path: Path, passphrase: bytes | None = None, parts: dict[str, bytes] = PARTS) -> Path:
    given = [backup.Part(name, io.BytesIO(content)) for name, content in parts.items()]
    with archive.target(path) as file:
        backup.write(file, manifest_of(given), given, passphrase)
    return path


def no_phrase() -> bytes:
    raise AssertionError("nobody is asked")


def refused(path: Path, passphrase: bytes = PHRASE) -> str:
    with pytest.raises(InputError) as caught:
        backup.read(path, lambda: passphrase)
    return caught.value.message


@pytest.mark.parametrize("passphrase", [None, PHRASE])
def test_what_comes_out_is_what_went_in_and_only_its_owner_can_read_it(
    tmp_path: Path, passphrase: bytes | None
) -> None:
    path = made(tmp_path / "lab.backup", passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["lab.backup"]
    (tmp_path / "data").mkdir()
    found = backup.read(path, (lambda: PHRASE) if passphrase else no_phrase, tmp_path / "data")
    assert found.files == {name: content for name, content in PARTS.items() if not name.startswith("etcd/")}
    assert found.keys == {"m1/apiserver.key": b"a key\n"}
    assert (found.manifest.cluster, found.manifest.created, found.sealed) == ("lab", AT, passphrase is not None)
    assert found.manifest.size == sum(map(len, PARTS.values()))
    assert (tmp_path / "data/v3.db").read_bytes() == PARTS[backup.V3]
    assert (tmp_path / "data/v2.json").read_bytes() == PARTS[backup.V2]
    assert stat.S_IMODE((tmp_path / "data/v3.db").stat().st_mode) == 0o600
    assert backup.read(path, lambda: PHRASE).files == found.files  # compared without being written


def test_one_without_a_pass_phrase_is_read_by_tar_and_a_sealed_one_shows_nothing(tmp_path: Path) -> None:
    path = made(tmp_path / "lab.backup")
    listed = subprocess.run(["tar", "tzf", path], capture_output=True, text=True, check=True).stdout.split()
    assert listed == ["manifest.json", *PARTS]
    closed = made(tmp_path / "sealed.backup", PHRASE).read_bytes()
    assert closed.startswith(MAGIC)
    assert not any(word in closed for word in (b"manifest", b"a key", b"cluster"))
    assert closed[len(MAGIC) :] != made(tmp_path / "sealed.backup", PHRASE).read_bytes()[len(MAGIC) :]


@pytest.mark.parametrize("passphrase", [None, PHRASE])
def test_wherever_it_is_cut_off_it_is_refused(tmp_path: Path, passphrase: bytes | None) -> None:
    path = made(tmp_path / "lab.backup", passphrase)
    whole = path.read_bytes()
    for size in (0, 1, 9, len(MAGIC), len(MAGIC) + 5, len(whole) - 1, *range(100, len(whole), len(whole) // 12)):
        path.write_bytes(whole[:size])
        assert refused(path).startswith(f"{path} cannot be used: "), size
    path.write_bytes(whole)
    assert backup.read(path, lambda: PHRASE).manifest.cluster == "lab"


@pytest.mark.parametrize("passphrase", [None, PHRASE])
def test_a_changed_byte_is_noticed_or_changes_nothing(tmp_path: Path, passphrase: bytes | None) -> None:
    path = made(tmp_path / "lab.backup", passphrase)
    whole = path.read_bytes()
    expected, unnoticed = backup.read(path, lambda: PHRASE), 0
    for place in (0, 4, len(MAGIC) + 2, len(MAGIC) + 18, len(whole) - 1, *range(50, len(whole), len(whole) // 25)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x21]) + whole[place + 1 :])
        try:
            assert backup.read(path, lambda: PHRASE) == expected
            unnoticed += 1  # a byte of gzip's header that says nothing
        except InputError:
            continue
    assert unnoticed <= (1 if passphrase is None else 0)


def test_another_pass_phrase_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "lab.backup", PHRASE)
    assert "the pass phrase is wrong, or its beginning is damaged" in refused(path, b"correct hose")


def test_chunks_of_a_sealed_stream_cannot_change_places() -> None:
    target = io.BytesIO()
    with Sealing(target, PHRASE) as sink:
        assert sink.writable()
        for piece in (b"a" * CHUNK, b"b" * CHUNK, b"c"):
            sink.write(piece)
    sink.close()  # once more does nothing
    data, head = target.getvalue(), len(MAGIC) + 23
    first, second, rest = (
        data[head : head + CHUNK + 16],
        data[head + CHUNK + 16 : head + 2 * (CHUNK + 16)],
        data[head + 2 * (CHUNK + 16) :],
    )
    assert len(rest) == 1 + 16

    def opened(*chunks: bytes) -> bytes:
        source = io.BytesIO(data[:head] + b"".join(chunks))
        source.seek(len(MAGIC))
        return io.BufferedReader(Unsealing(source, PHRASE)).read()

    assert opened(first, second, rest) == b"a" * CHUNK + b"b" * CHUNK + b"c"
    for changed in ((second, first, rest), (first, rest), (first, second), (first, second, rest, rest), ()):
        with pytest.raises(UnsealError):
            opened(*changed)


def test_what_is_no_backup_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "lab.backup"
    assert refused(path) == f"cannot read {path}: No such file or directory"
    path.mkdir()
    assert "is a directory, not a file" in refused(path)
    path.rmdir()
    path.write_bytes(b"cluster: {}\n")
    assert "it is not a k8s-installer backup" in refused(path)


def tarred(path: Path, *names: str, text: bytes = b"{}") -> Path:
    folder = path.parent / "in"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)
    subprocess.run(["tar", "czf", path, "-C", folder, *names], check=True)
    return path


def test_a_name_leads_neither_up_nor_out() -> None:
    assert all(manifest.is_name(name) for name in ("pki/ca.crt", "pki/m1/etcd-peer.key", "pki/record.json"))
    assert not any(manifest.is_name(name) for name in ("pki/.lock", "../x", "/x", "pki/../x", "pki/a b", "x" * 251, ""))


def test_another_tar_is_no_backup(tmp_path: Path) -> None:
    path = tmp_path / "lab.backup"
    assert "its first file is not manifest.json" in refused(tarred(path, "other.json"))
    assert "its manifest.json cannot be read: cluster: Field required" in refused(tarred(path, "manifest.json"))
    nothing = manifest.dumped(Manifest(cluster="c", version="1", created=AT, member="m", files=()))
    assert "it contains no etcd data" in refused(tarred(path, "manifest.json", text=nothing))
    half = manifest.loaded(nothing).model_copy(update={"files": (Entry(name=backup.V2, sha256="0" * 64, size=0),)})
    assert "it contains no etcd data" in refused(tarred(path, "manifest.json", text=manifest.dumped(half)))
    newer = nothing.replace(b'"format": 1', b'"format": 2')
    assert "format: Input should be 1" in refused(tarred(path, "manifest.json", text=newer))


def test_a_part_that_is_not_what_the_manifest_says_is_named(tmp_path: Path) -> None:
    given = [backup.Part(name, io.BytesIO(content)) for name, content in PARTS.items()]
    about = manifest_of(given)

    def refuses(files: tuple[Entry, ...], parts: Sequence[backup.Part] = given) -> str:
        path = tmp_path / "lab.backup"
        with archive.target(path) as file:
            backup.write(file, about.model_copy(update={"files": files}), parts)
        return refused(path)

    inventory, key, v3, v2 = about.files
    wrong = "0" * 64
    assert "etcd/v3.db in it does not match its sum" in refuses(
        (inventory, key, v3.model_copy(update={"sha256": wrong}))
    )
    assert "inventory.yaml in it does not match" in refuses(
        (inventory.model_copy(update={"sha256": wrong}), key, v3, v2)
    )
    assert "which its manifest.json does not name" in refuses((inventory, v3, v2))
    assert "it is cut off: pki/m1/apiserver.key is missing" in refuses(about.files, [given[0], *given[2:]])


def hostile(path: Path, about: Entry, **header: object) -> Path:
    """A backup whose snapshot has this header in the tar."""
    manifest_ = manifest.dumped(Manifest(cluster="lab", version="1.20.2", created=AT, member="m1", files=(about,)))
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        first = tarfile.TarInfo(manifest.NAME)
        first.size = len(manifest_)
        tar.addfile(first, io.BytesIO(manifest_))
        part = tarfile.TarInfo(backup.V3)
        part.size = len(snapshot())
        for name, value in header.items():
            setattr(part, name, value)
        tar.addfile(part, io.BytesIO(snapshot()))
    return path


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/shadow", "size": 0}, "does not name"),
        ({"type": tarfile.DIRTYPE, "size": 0}, "does not name"),
        ({"type": tarfile.FIFOTYPE, "size": 0}, "does not name"),
        ({"pax_headers": {"GNU.sparse.map": "0,1,x"}}, "damaged or cut off"),
        ({"pax_headers": {"GNU.sparse.map": f"0,0,{1 << 62},0", "GNU.sparse.size": str(1 << 62)}}, "does not name"),
        ({"size": 512}, "does not match its sum"),
    ],
)
def test_a_hostile_tar_is_refused_at_once(tmp_path: Path, header: dict[str, object], words: str) -> None:
    about = archive.entry(backup.Part(backup.V3, io.BytesIO(snapshot())))
    assert words in refused(hostile(tmp_path / "lab.backup", about, **header))


def test_a_backup_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = archive.entry(backup.Part(backup.V3, io.BytesIO(snapshot())))
    assert "names more bytes than any backup has" in refused(
        hostile(tmp_path / "lab.backup", about.model_copy(update={"size": 1 << 60}))
    )
    path = hostile(tmp_path / "lab.backup", about)
    backup.read(path, no_phrase)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(4 << 20)))
    backup.read(path, no_phrase)
    monkeypatch.setattr(archive, "_MOST", 1 << 20)
    assert "it has more bytes than any backup" in refused(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (snapshot()[:-32], "has no hash at its end"),
        (snapshot()[:-1], "has no hash at its end"),
        (b"", "has no hash at its end"),
        (snapshot()[:-32] + b"0" * 32, "does not match the hash at its end"),
    ],
)
def test_a_snapshot_is_compared_with_its_own_hash(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refused(made(tmp_path / "lab.backup", parts={backup.V3: content}))


def test_the_file_of_a_stopped_member_becomes_a_snapshot() -> None:
    file = io.BytesIO(snapshot()[:-32])
    etcd.with_hash(file)
    assert file.getvalue() == snapshot()
    for cut in (b"", b"x" * 700):
        with pytest.raises(etcd.DamagedError):
            etcd.with_hash(io.BytesIO(cut))


def test_keys_of_the_old_api_become_requests_that_write_them() -> None:
    answer = {
        "action": "get",
        "node": {
            "dir": True,
            "nodes": [
                {"key": "/registry", "dir": True, "nodes": [
                    {"key": "/registry/secrets/ä b", "value": '{"a": "1&2"}\n', "modifiedIndex": 7},
                    {"key": "/registry/events/e", "value": "", "ttl": 30, "expiration": "2026-01-01T00:00:00Z"},
                    {"key": "/registry/empty", "dir": True},
                ]},
            ],
        },
    }  # fmt: skip
    nodes = etcd.keys(json.dumps(answer).encode())
    assert [node["key"] for node in nodes] == ["/registry/secrets/ä b", "/registry/events/e", "/registry/empty"]
    assert etcd.requests(nodes).decode().splitlines() == [
        "/registry/secrets/%C3%A4%20b value=%7B%22a%22%3A%20%221%262%22%7D%0A",
        "/registry/events/e value=&ttl=30",
        "/registry/empty dir=true",
    ]
    assert etcd.keys(b'{"action": "get", "node": {"dir": true}}') == []
    for broken in (b"", b"[]", b"{}", b'{"node": {"nodes": [{"key": "/a"}]}}', b'{"node": 1}'):
        with pytest.raises(etcd.DamagedError):
            etcd.keys(broken)


def test_a_disk_that_is_full_is_said_and_leaves_what_was_there(tmp_path: Path) -> None:
    """/dev/full is a disk that takes nothing."""
    path = made(tmp_path / "lab.backup")
    before = path.read_bytes()
    with pytest.raises(InstallerError, match=f"cannot write {path}: No space left on device"), archive.target(path):
        Path("/dev/full").write_bytes(b"x")
    assert path.read_bytes() == before
    (tmp_path / "v3.db").symlink_to("/dev/full")
    with pytest.raises(InstallerError, match="or write what is in it: No space left on device"):
        backup.read(path, no_phrase, tmp_path)


def test_a_target_that_cannot_be_made_is_known_at_once_and_a_broken_off_one_leaves_what_was_there(
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match="No such file or directory"), archive.target(tmp_path / "none/x"):
        pass
    with pytest.raises(InputError, match="it is a folder"), archive.target(tmp_path):
        pass
    path = made(tmp_path / "lab.backup")
    before = path.read_bytes()
    with suppress(ZeroDivisionError), archive.target(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["lab.backup"]


def test_only_a_regular_file_is_replaced_and_a_link_stays_one(tmp_path: Path) -> None:
    path, link = made(tmp_path / "lab.backup"), tmp_path / "newest"
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for odd in (fifo, Path("/dev/null")):
        with pytest.raises(InputError, match="no regular file"), archive.target(odd):
            raise AssertionError("nothing is asked for")
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    link.symlink_to("lab.backup")
    with archive.target(link) as file:
        file.write(b"new")
    assert (link.is_symlink(), path.read_bytes()) == (True, b"new")


def test_what_a_killed_backup_left_is_removed_and_what_one_writes_is_not(tmp_path: Path) -> None:
    path, mine = tmp_path / "lab.backup", tmp_path / ".lab.backup.old"
    mine.write_text("mine")
    program = (
        "import os, sys; from pathlib import Path; from k8s_installer.backup import archive\n"
        f"with archive.target(Path({str(path)!r})) as file: print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        left = tmp_path / f".lab.backup.{other.pid}"
        made(path)
        assert left.exists()
        other.kill()
    assert left.exists()
    made(path)
    assert sorted(item.name for item in tmp_path.iterdir()) == [mine.name, path.name]
