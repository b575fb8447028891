"""The installer is killed while its script runs: what the script began is done to its end, and nobody interferes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s_installer.engine.remote import SshRemote
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import File, Kind, Ref, SeenUnit, Unit
from k8s_installer.planning.make import make_plan
from k8s_installer.transport import Transport, connect
from tests.contract.sshd import Sshd, serve
from tests.unit.test_perform import program

pytestmark = pytest.mark.contract
STEPS = 6
# a run of its own process, which kills itself when a step of its script is reported to have begun or ended
CLIENT = """\
import os, pickle, sys
from k8s_installer.engine.remote import SshRemote
from k8s_installer.transport import connect
host, changes, die_at = pickle.load(sys.stdin.buffer)
heard = 0
def read(report):
    global heard
    heard += 1
    if heard == die_at:
        os.kill(os.getpid(), 9)
SshRemote(connect(host), run="1").perform(changes, read)
"""


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Sshd]:
    """A host whose services take a moment to restart, so that the script outlives its sender for sure."""
    program_folder = tmp_path / "bin"
    program_folder.mkdir()
    program(program_folder, "systemctl", f'sleep 0.3; echo "$*" >>{tmp_path}/calls')
    path = f"PATH={program_folder}:/usr/sbin:/usr/bin:/sbin:/bin"
    with serve(tmp_path / "sshd", env=[path]) as server:
        yield server


def wanted(folder: Path, number: int, content: bytes) -> DesiredResource:
    file = File(content, 0o644, folder.owner(), folder.group())
    return DesiredResource(Ref("h1", Kind.FILE, f"{folder}/etc/{number}"), file, "k", (), "a test")


def steps(transport: Transport, folder: Path, content: bytes) -> Plan:
    """A file and a restart, as often as it takes."""
    files = [wanted(folder, number, content) for number in range(STEPS // 2)]
    plan = make_plan({item.ref: item for item in files}, SshRemote(transport).observe(files))
    running = SeenUnit("loaded", "active", "running", True, 1, 1.0, needs_reload=False)
    changes: list[Change] = []
    for number, change in enumerate(plan.changes):
        ref = Ref("h1", Kind.UNIT, f"unit-{number}")
        changes += [change, Change(ref, Action.RESTART, "k", running, Unit(ref.name), "a test")]
    return Plan(tuple(changes), ((),) * len(changes))


@pytest.mark.parametrize("die_at", range(1, 2 * STEPS + 1))
def test_a_script_is_done_to_its_end_wherever_its_sender_dies(slow: Sshd, tmp_path: Path, die_at: int) -> None:
    import pickle  # noqa: PLC0415 - to our own process

    transport = connect(slow.host())
    try:
        plan = steps(transport, tmp_path, b"new")
        assert len(plan.changes) == STEPS
        message = pickle.dumps((slow.host(), list(enumerate(plan.changes)), die_at))
        client = subprocess.run([sys.executable, "-c", CLIENT], input=message, check=False, capture_output=True)
        assert client.returncode == -signal.SIGKILL, client.stderr.decode()
        # the next look waits for what still runs, so it never sees half of it
        files = [wanted(tmp_path, number, b"new") for number in range(STEPS // 2)]
        assert not make_plan({item.ref: item for item in files}, SshRemote(transport).observe(files))
        calls = (tmp_path / "calls").read_text().splitlines()
        assert calls == [f"restart unit-{number}" for number in range(STEPS // 2)]
    finally:
        transport.close()


def test_a_run_that_comes_while_the_script_of_a_dead_one_works_waits_for_it(slow: Sshd, tmp_path: Path) -> None:
    import pickle  # noqa: PLC0415 - to our own process

    transport = connect(slow.host())
    try:
        plan = steps(transport, tmp_path, b"one")
        message = pickle.dumps((slow.host(), list(enumerate(plan.changes)), 1))
        subprocess.run([sys.executable, "-c", CLIENT], input=message, check=False, capture_output=True)
        began = time.monotonic()
        files = [wanted(tmp_path, number, b"two") for number in range(STEPS // 2)]
        seen = SshRemote(transport).observe(files)
        assert time.monotonic() - began > 0.2
        again = make_plan({item.ref: item for item in files}, seen)
        assert [change.action for change in again.changes] == [Action.UPDATE] * len(files)
        assert SshRemote(transport).perform(list(enumerate(again.changes)), lambda report: None).failed is None
        assert {path.read_text() for path in (tmp_path / "etc").iterdir()} == {"two"}
        assert not [path for path in (tmp_path / "etc").iterdir() if path.name.startswith(".")]
    finally:
        transport.close()


def test_a_script_that_has_not_arrived_whole_does_nothing(slow: Sshd, tmp_path: Path) -> None:
    """The channel closes in the middle of the text: the last line, which calls it, is missing."""
    words = [
        "ssh",
        "-i",
        str(slow.key),
        "-o",
        f"UserKnownHostsFile={slow.known_hosts}",
        "-o",
        "BatchMode=yes",
        "-p",
        str(slow.port),
    ]
    text = f"script() {{\n:\ntouch {tmp_path}/done\n"
    subprocess.run(
        [*words, f"{slow.user}@127.0.0.1", "/bin/sh -s"], input=text, text=True, check=False, capture_output=True
    )
    assert not (tmp_path / "done").exists()
    assert os.path.lexists(slow.key)
