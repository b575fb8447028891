"""Large outputs of a real sshd's hosts, written to a file as they come: every byte, and what is said when it fails."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest

from k8s_installer.errors import CommandFailed, InstallerError, TransportError
from k8s_installer.transport import Transport, connect
from tests.contract.sshd import Sshd

pytestmark = pytest.mark.contract

SIZE = 100 << 20  # more than a script may print
SCRIPT = f"head -c {SIZE} /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null"


def test_more_bytes_than_a_script_may_print_come_as_they_are(host: Transport) -> None:
    heard: list[int] = []
    with tempfile.TemporaryFile() as target:
        result = host.download(SCRIPT, target, on_saved=heard.append)
        target.seek(0)
        found = hashlib.file_digest(target, "sha256").hexdigest()
    expected = host.run(f"{SCRIPT} | sha256sum").stdout.split()[0]
    assert (result.status, result.stdout, found) == (0, "", expected)
    assert heard[-1] == SIZE
    assert heard == sorted(heard)


def test_an_output_without_a_newline_and_an_empty_one_come_whole(host: Transport, tmp_path: Path) -> None:
    for script, expected in (("printf 'a\\0b'", b"a\0b"), (":", b""), ("printf '\\n'", b"\n")):
        with (tmp_path / "out").open("w+b") as target:
            assert host.download(script, target).status == 0
        assert (tmp_path / "out").read_bytes() == expected


def test_the_status_and_the_words_of_a_script_that_fails_are_its_own(host: Transport) -> None:
    with tempfile.TemporaryFile() as target:
        result = host.download("printf half; echo no room >&2; exit 3", target)
    assert (result.status, result.stdout, result.stderr) == (3, "", "no room\n")


def test_a_disk_that_is_full_here_ends_it_in_words_and_the_connection_lives(host: Transport) -> None:
    with open("/dev/full", "wb", buffering=0) as target, pytest.raises(InstallerError) as caught:  # noqa: PTH123
        host.download(SCRIPT, target)
    assert caught.value.message == "cannot write what a host sends: No space left on device"
    assert not isinstance(caught.value, CommandFailed | TransportError)
    assert host.run("echo here").stdout == "here\n"


def test_a_host_that_sends_nothing_more_and_a_way_that_breaks_are_errors(sshd: Sshd) -> None:
    transport = connect(sshd.host())
    with tempfile.TemporaryFile() as target, pytest.raises(TransportError, match="made no progress for 1 s"):
        transport.download("printf some; sleep 5", target, idle=1)
    transport.close()
    transport = connect(sshd.host())
    with tempfile.TemporaryFile() as target, pytest.raises(TransportError, match="lost before the download"):
        transport.download("head -c 3000000 /dev/zero; kill -9 $PPID; sleep 5", target)
    transport.close()
