"""Large files on their way to a real sshd: what is sent, what is gone on with, and what is said when it fails."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from k8s_installer.engine import remote
from k8s_installer.engine.remote import Outcome, SshRemote
from k8s_installer.errors import InstallerError, TransportError
from k8s_installer.host.compression import Packer
from k8s_installer.host.perform import Report
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import Kind, Missing, Ref, UploadedFile
from k8s_installer.transport import Transport, connect
from tests.contract.proxy import cut_after
from tests.contract.sshd import Sshd, serve

pytestmark = pytest.mark.contract

SIZE = 8_000_000
PROGRAM = b"".join(b"%x: an instruction or two\n" % number for number in range(SIZE // 20))[:SIZE]
NOISE = random.Random(1).randbytes(SIZE)  # noqa: S311 - no secret, but the same in each run


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    """Whose staging folder is nobody else's."""
    with serve(tmp_path / "sshd") as server:
        yield server


def large(folder: Path, content: bytes) -> UploadedFile:
    source = folder / "source"
    source.write_bytes(content)
    return UploadedFile(
        source, hashlib.sha256(content).hexdigest(), len(content), 0o755, folder.owner(), folder.group()
    )


def carried_out(
    transport: Transport, file: UploadedFile, target: Path, *, slow: bool = False
) -> tuple[Outcome, list[Report]]:
    """Place a file; on a way that is known to be slow what shrinks is compressed."""
    reports: list[Report] = []
    change = Change(Ref("h1", Kind.FILE, str(target)), Action.CREATE, "suite", Missing.ABSENT, file, "the suite")
    host = SshRemote(transport, Packer(target.parent / "cache"))
    host._slow = slow
    return host.perform([(0, change)], reports.append), reports


def broken_off(server: Sshd, folder: Path, file: UploadedFile, count: int, *, slow: bool = False) -> None:
    """Upload until so many bytes went over the wire; then it breaks."""
    with cut_after(server.port, count) as port:
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {server.public_key()}\n")
        transport = connect(server.host(port=port, known_hosts=known))
        with pytest.raises(TransportError, match=r"h1: the connection was lost before the upload of .* finished"):
            carried_out(transport, file, folder / "target", slow=slow)
        transport.close()
    assert not (folder / "target").exists()


def parts(server: Sshd) -> list[Path]:
    return sorted((server.folder / "incoming").iterdir())


def settled(part: Path) -> int:
    """The size of what has come, when the script that took it in has seen the end of it."""
    size = -1
    while size != (size := part.stat().st_size):
        time.sleep(0.2)
    return size


def test_an_upload_is_gone_on_with_where_it_broke_off(server: Sshd, tmp_path: Path) -> None:
    file = large(tmp_path, NOISE)
    broken_off(server, tmp_path, file, 3_000_000)
    [part] = parts(server)
    have = settled(part)
    assert 1_000_000 < have < 4_000_000
    transport = connect(server.host())
    outcome, reports = carried_out(transport, file, tmp_path / "target")
    assert outcome == Outcome(frozenset({0}))
    assert reports[0] == Report("sent", 0, have)
    assert [report.sent for report in reports if report.word == "uploaded"] == [len(NOISE) - have]
    assert (tmp_path / "target").read_bytes() == NOISE
    assert parts(server) == []
    transport.close()


def test_a_compressed_upload_is_gone_on_with_in_the_compressed_copy(server: Sshd, tmp_path: Path) -> None:
    file = large(tmp_path, PROGRAM)
    coming = Packer(tmp_path / "cache").gzipped(file).size
    assert coming < SIZE / 3
    broken_off(server, tmp_path, file, coming // 2, slow=True)
    part = server.folder / "incoming" / f"{file.sha256}.{coming}.part"
    have = settled(part)
    assert 0 < have < coming
    transport = connect(server.host())
    outcome, reports = carried_out(transport, file, tmp_path / "target", slow=True)
    assert outcome == Outcome(frozenset({0}))
    assert [report.sent for report in reports if report.word == "sent"] == [have * SIZE // coming, SIZE]
    assert (tmp_path / "target").read_bytes() == PROGRAM
    assert parts(server) == []
    transport.close()


@pytest.mark.parametrize("content", [NOISE, PROGRAM])
def test_what_is_staged_whole_is_not_sent_again(server: Sshd, tmp_path: Path, content: bytes) -> None:
    file = large(tmp_path, content)
    staged = server.folder / "incoming" / file.sha256
    staged.parent.mkdir()
    staged.write_bytes(content)
    transport = connect(server.host())
    assert carried_out(transport, file, tmp_path / "target") == (
        Outcome(frozenset({0})),
        [Report("begin", 0), Report("done", 0)],
    )
    assert (tmp_path / "target").read_bytes() == content
    assert parts(server) == []
    transport.close()


def test_what_was_changed_on_the_host_is_found_and_sent_anew(server: Sshd, tmp_path: Path) -> None:
    file = large(tmp_path, NOISE)
    part = server.folder / "incoming" / f"{file.sha256}.{SIZE}.part"
    part.parent.mkdir()
    part.write_bytes(bytes(1000))
    transport = connect(server.host())
    outcome, reports = carried_out(transport, file, tmp_path / "target")
    assert (outcome.done, outcome.failed) == (frozenset(), 0)
    assert "what arrived is not what was sent" in outcome.evidence
    assert "`apply`" in outcome.evidence
    assert reports[-1] == Report("failed", 0)
    assert parts(server) == []
    assert not (tmp_path / "target").exists()
    assert carried_out(transport, file, tmp_path / "target")[0] == Outcome(frozenset({0}))
    transport.close()


def test_a_compressed_part_that_is_broken_is_not_gone_on_with_for_ever(server: Sshd, tmp_path: Path) -> None:
    file = large(tmp_path, PROGRAM)
    coming = Packer(tmp_path / "cache").gzipped(file).size
    part = server.folder / "incoming" / f"{file.sha256}.{coming}.part"
    part.parent.mkdir()
    part.write_bytes(gzip.compress(b"another")[:10] + bytes(1000))
    transport = connect(server.host())
    outcome, _ = carried_out(transport, file, tmp_path / "target", slow=True)
    assert outcome.failed == 0
    assert "gzip" in outcome.evidence
    assert part not in parts(server)
    assert carried_out(transport, file, tmp_path / "target", slow=True)[0] == Outcome(frozenset({0}))
    transport.close()


def test_a_way_that_turns_out_slow_gets_the_compressed_copy(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "FAST", 1e18)
    monkeypatch.setattr(remote, "TRIAL_SECONDS", 0.001)
    file = large(tmp_path, PROGRAM)
    transport = connect(server.host())
    outcome, reports = carried_out(transport, file, tmp_path / "target")
    assert outcome == Outcome(frozenset({0}))
    assert [report.sent for report in reports if report.word == "sent"] == [0, 0, SIZE]
    assert (tmp_path / "cache" / f"{file.sha256}.gz").exists()
    assert (tmp_path / "target").read_bytes() == PROGRAM
    assert parts(server) == []
    transport.close()


def test_a_host_without_room_says_so_before_anything_is_sent(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "df").write_text("#!/bin/sh\necho Filesystem 1024-blocks Used Available; echo /dev/vda1 20 15 5 75% /\n")
    (folder / "df").chmod(0o755)
    with serve(tmp_path / "sshd", env=[f"PATH={folder}:/usr/bin:/bin"]) as server:
        transport = connect(server.host())
        outcome, reports = carried_out(transport, large(tmp_path, NOISE), tmp_path / "target")
        assert outcome.evidence.startswith("no room: 7 MB more are needed\n")
        assert [report.word for report in reports] == ["failed"]
        transport.close()


def test_a_source_that_cannot_be_read_touches_no_host(host: Transport, tmp_path: Path) -> None:
    file = large(tmp_path, b"x")
    file.source.unlink()
    outcome, _ = carried_out(host, file, tmp_path / "target")
    assert outcome.failed == 0
    assert outcome.evidence.startswith(f"cannot read {file.source}: No such file")
    with pytest.raises(InstallerError, match="cannot read"):
        host.upload("echo never", file.source)


def test_a_frozen_host_is_told_from_a_slow_one(server: Sshd, tmp_path: Path) -> None:
    transport = connect(server.host())
    session = int(transport.run("echo $PPID").stdout)
    file = large(tmp_path, NOISE)
    frozen = threading.Event()

    def freeze(sent: int) -> None:
        if sent and not frozen.is_set():
            frozen.set()
            os.kill(session, signal.SIGSTOP)

    try:
        began = time.monotonic()
        with pytest.raises(TransportError, match=r"the upload of source made no progress for 0\.5 s"):
            transport.upload("echo 'send 0'; cat >/dev/null", file.source, idle=0.5, on_sent=freeze)
        assert time.monotonic() - began < 5
    finally:
        os.kill(session, signal.SIGKILL)
        transport.close()


def test_a_slow_host_that_takes_something_now_and_then_is_waited_for(host: Transport, tmp_path: Path) -> None:
    script = "echo 'send 0'; for i in 1 2 3 4 5 6; do head -c 100000 >/dev/null; sleep 0.2; echo $i; done; cat | wc -c"
    result = host.upload(script, large(tmp_path, NOISE).source, idle=0.6)
    assert result.stdout.splitlines()[:-1] == ["send 0", *"123456"]


def test_a_script_that_does_not_ask_gets_nothing(host: Transport, tmp_path: Path) -> None:
    heard: list[int] = []
    result = host.upload("echo fine", large(tmp_path, NOISE).source, on_sent=heard.append)
    assert (result.stdout, heard) == ("fine\n", [])


def test_a_host_that_ends_early_is_its_exit_status(host: Transport, tmp_path: Path) -> None:
    result = host.upload("echo 'send 0'; head -c 10 >/dev/null; exit 3", large(tmp_path, NOISE).source)
    assert (result.status, result.stdout) == (3, "send 0\n")


def test_several_hosts_at_once_and_scripts_beside_them(sshd: Sshd, tmp_path: Path) -> None:
    file = large(tmp_path, NOISE)

    def upload(number: int) -> str:
        transport = connect(sshd.host())
        try:
            with ThreadPoolExecutor(2) as pool:
                beside = pool.submit(transport.run, f"echo {number}")
                answer = transport.upload("echo 'send 0'; sha256sum", file.source)
                assert beside.result().stdout == f"{number}\n"
            return answer.stdout
        finally:
            transport.close()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(upload, range(6))) == [f"send 0\n{file.sha256}  -\n"] * 6
