"""Many hosts and few open files: a real sshd on loopback, asked by a process of its own whose limits are low."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.contract.sshd import Sshd, serve

HOSTS = 15  # sshd listens at 16 addresses at most
PROGRAM = """
import json, os, resource, sys, threading
from k8s_installer.engine import fleet
from k8s_installer.model.desired import DesiredResource
from k8s_installer.errors import InstallerError
from k8s_installer.inventory.cluster import Host, Ssh
from k8s_installer.model.resources import Absent, Kind, Ref

given = json.loads(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (given["soft"], given["hard"]))
if given["held"]:  # something else in this process has files open
    held = [open(os.devnull) for _ in range(given["held"])]
ssh = Ssh(**given["ssh"])
hosts = [
    Host(f"h{n}", f"127.0.0.{n}", frozenset(), ssh, tuning={}, pod_subnet=None) for n in range(1, given["hosts"] + 1)
]
refs = [Ref(host.name, Kind.FILE, "/nowhere/at/all") for host in hosts]
desired = {ref: DesiredResource(ref, Absent(), "host", (), "a test") for ref in refs}
most = [0, 0]

def tick(name):
    most[0] = max(most[0], threading.active_count())
    if not given["held"]:  # to count takes a file
        most[1] = max(most[1], len(os.listdir("/proc/self/fd")))

try:
    with fleet.connecting(hosts) as connected:
        seen = fleet.observe(connected, desired, tick)
        again = fleet.observe(connected, desired, tick)
    unreachable = [str(error) for error in seen.unreachable.values()]
    print(json.dumps({"answered": len(seen.seen) + len(again.seen), "unreachable": unreachable, "threads": most[0],
                      "files": most[1], "soft": resource.getrlimit(resource.RLIMIT_NOFILE)[0]}))
except InstallerError as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}", "hint": error.hint}))
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server at many addresses."""
    more = [f"ListenAddress 127.0.0.{number}" for number in range(2, HOSTS + 1)]
    with serve(tmp_path_factory.mktemp("many"), *more) as server:
        yield server


def asked(sshd: Sshd, soft: int, hard: int, held: int = 0) -> dict[str, object]:
    known = sshd.folder / "known_hosts_of_many"
    known.write_text("".join(f"[127.0.0.{n}]:{sshd.port} {sshd.public_key()}\n" for n in range(1, HOSTS + 1)))
    ssh = {**dataclasses.asdict(sshd.host().ssh), "known_hosts": str(known)}
    given = {"soft": soft, "hard": hard, "held": held, "ssh": ssh, "hosts": HOSTS}
    env = {**os.environ, "LOGNAME": "root"}  # to look it up takes a file
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(given)], capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("limit", [76, 100])
def test_many_hosts_are_asked_twice_with_few_files_and_threads(many: Sshd, limit: int) -> None:
    found = asked(many, 64, limit)
    assert found == {**found, "answered": 2 * HOSTS, "unreachable": [], "soft": limit}
    assert isinstance(found["files"], int)
    assert isinstance(found["threads"], int)
    assert found["files"] <= limit
    # Paramiko's for each connection that stays, is new or is on its way out, and our workers with their clocks
    assert found["threads"] <= (limit - 64) // 3 + 4 * 16


def test_too_many_open_files_are_no_hosts_trouble(many: Sshd) -> None:
    found = asked(many, 76, 76, held=70)
    assert "LimitError: this process has too many open files (ulimit -n is 76)" in str(found.get("error"))
    assert "ulimit -n 4096" in str(found["hint"])
