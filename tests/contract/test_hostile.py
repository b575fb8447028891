"""A real sshd whose commands answer what no honest host would: it costs that host, in words, and nobody else."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from k8s_installer.engine.remote import SshRemote
from k8s_installer.errors import MalformedAnswer, TransportError
from k8s_installer.host import perform
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.resources import Kind, Missing, Ref
from k8s_installer.planning.make import make_plan
from k8s_installer.runs.trace import open_trace, traced
from k8s_installer.transport import OnLine, OnSent, Result, Transport, connect
from k8s_installer.transport.exchange import LARGEST
from tests.contract.sshd import Sshd, serve
from tests.unit.example import CONFIG, desired

pytestmark = pytest.mark.contract

# Terminal controls in every form: a title, a cleared screen, C1's CSI, a backspace over our words, a bare CR, bidi.
EVIL = r"\033]0;owned\007\033[2J\033[31m\302\23331m\b\b\rerror: none\342\200\256\342\200\213\000"
HIDDEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
MODES = {
    "words": f"printf '{EVIL} %s\\n' \"$@\"",
    "failing": f"printf '{EVIL}\\n' >&2; exit 7",
    "numbers": "head -c 100000 /dev/zero | tr '\\0' 9",
    "json": "head -c 100000 /dev/zero | tr '\\0' '['; printf '\\nstatus 200\\n'",
    "crlf": 'name=${0##*/}; PATH=/usr/bin:/bin; "$name" "$@" | sed "s/$/\\r/"',
}
ASKED = ("stat", "sha256sum", "rpm", "systemctl", "curl", "ss", "df", "yum", "last", "find", "date", "uname", "ip")
INVENTORY = """\
cluster: {{name: lab, version: "1.20.2"}}
ssh: {{user: {user}, key: {key}, known_hosts: {known}, port: {port}}}
hosts:
  m1: {{address: 127.0.0.2, roles: [etcd, master]}}
  n1: {{address: 127.0.0.3, roles: [node]}}
"""


@contextmanager
def hostile(folder: Path, programs: dict[str, str], *lines: str) -> Iterator[Sshd]:
    """A host on which these programs are somebody else's."""
    (folder / "bin").mkdir(parents=True)
    for name, body in programs.items():
        path = folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    env = [f"PATH={folder}/bin:/usr/bin:/bin", f"K8S_INSTALLER_ROOT={folder}/root"]
    with serve(folder / "sshd", *lines, env=env) as server:
        yield server


@contextmanager
def connected(server: Sshd) -> Iterator[Transport]:
    transport = connect(server.host())
    try:
        yield transport
    finally:
        transport.close()


def installer(*words: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    home = {"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "140"}
    argv = [sys.executable, "-m", "k8s_installer", *words]
    return subprocess.run(argv, capture_output=True, check=False, env=home, stdin=subprocess.DEVNULL, timeout=100)


@pytest.mark.parametrize("mode", MODES)
def test_no_control_character_from_a_hostile_host_reaches_the_screen(mode: str, tmp_path: Path) -> None:
    listen = ("ListenAddress 127.0.0.2", "ListenAddress 127.0.0.3")
    with hostile(tmp_path / "host", dict.fromkeys(ASKED, MODES[mode]), *listen) as server:
        known = tmp_path / "known_hosts"
        known.write_text("".join(f"[127.0.0.{n}]:{server.port} {server.public_key()}\n" for n in (2, 3)))
        inventory = tmp_path / "cluster.yaml"
        inventory.write_text(INVENTORY.format(user=server.user, key=server.key, known=known, port=server.port))
        more = [["preflight"], ["verify"], ["status", "-o", "json"], ["preflight", "-o", "json"]]
        for command in [["plan"], ["status"], *(more if mode == "words" else [])]:
            done = installer(*command, "-i", str(inventory), folder=tmp_path)
            said = done.stdout.decode() + done.stderr.decode()
            assert not HIDDEN.search(said), (command, said)
            assert "Traceback" not in said
            assert done.returncode in (1, 3), (command, said)
            assert "m1" in said
            assert len(said) < 200_000


def test_output_without_end_is_cut_off_and_memory_is_bounded(tmp_path: Path) -> None:
    with hostile(tmp_path, {"rpm": "exec tr '\\0' a </dev/zero"}) as server, connected(server) as transport:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for script in ("rpm", "rpm >&2", "yes", "rpm & sleep 0.1; rpm >&2"):
            with pytest.raises(MalformedAnswer, match=f"h1: .*printed more than {LARGEST >> 20} MiB"):
                transport.run(script)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 4 * LARGEST // 1024
        assert transport.run("echo still here").stdout == "still here\n"


def test_a_slow_drip_does_not_stretch_a_deadline(tmp_path: Path) -> None:
    drip = "while :; do printf .; sleep 0.1; done"
    (tmp_path / "file").write_bytes(b"x" * 4_000_000)
    with hostile(tmp_path / "host", {}) as server, connected(server) as transport:
        began = time.monotonic()
        with pytest.raises(TransportError, match="did not finish within 1 s"):
            transport.run(drip, timeout=1)
        for script in (drip, f"echo send 0; {drip}"):
            with connected(server) as other, pytest.raises(TransportError, match="made no progress for 1 s"):
                other.upload(script, tmp_path / "file", idle=1)
        assert time.monotonic() - began < 60


def test_reports_of_other_changes_count_for_nobody(tmp_path: Path) -> None:
    mark = perform.MARK
    ref = Ref("h1", Kind.FILE, str(tmp_path / "target"))
    wanted = {ref: DesiredResource(ref, desired()[Ref("m1", Kind.FILE, CONFIG)].resource, "x", (), "a test")}
    numbered = list(enumerate(make_plan(wanted, {ref: Missing.ABSENT}).changes))
    heard: list[perform.Report] = []
    with hostile(tmp_path / "host", {}) as server, connected(server) as transport:
        for words in ("done 0", "begin 7", "begin 0\n{mark} done 7", "begin 0\n{mark} begin 0", f"begin {'9' * 5000}"):
            said = Said(transport, f"{mark} {words.format(mark=mark)}\n")
            with pytest.raises(MalformedAnswer, match=r"^h1: its answer cannot be read: a report of"):
                SshRemote(said).perform(numbered, heard.append)
    assert {(report.word, report.index) for report in heard} == {("begin", 0)}


def test_the_trace_has_everything_and_obeys_nothing(tmp_path: Path) -> None:
    with hostile(tmp_path / "host", {"rpm": MODES["words"]}) as server, connected(server) as transport:
        with open_trace(tmp_path / "journal") as trace:
            traced(transport, trace).run("rpm")
        written = trace.path.read_text()
    assert "\\x1b]0;owned\\x07\\x1b[2J" in written
    assert not HIDDEN.search(written)


class Said:
    """A transport whose every script is one that prints this."""

    def __init__(self, inner: Transport, words: str) -> None:
        self._inner, self._words = inner, words

    @property
    def host(self) -> str:
        return self._inner.host

    def upload(self, script: str, source: Path, *, idle: float = 60.0, on_sent: OnSent | None = None) -> Result:
        return self._inner.upload(script, source, idle=idle, on_sent=on_sent)

    def download(self, script: str, target: BinaryIO, *, idle: float = 60.0, on_saved: OnSent | None = None) -> Result:
        return self._inner.download(script, target, idle=idle, on_saved=on_saved)

    def prepare(self) -> None:
        self._inner.prepare()

    def close(self) -> None:
        self._inner.close()

    def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
        return self._inner.run(f"printf '%s' '{self._words}'", timeout=timeout, on_line=on_line)
