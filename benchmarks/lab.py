"""Real hosts: the rows that change nothing on a lab that runs, and a whole bootstrap of a fresh one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.cluster import Login
from benchmarks.measure import BenchmarkError, Figures, Run
from benchmarks.rows import Ansible, Floor, Plan, Pyinfra, Row, installer, measured
from benchmarks.settings import Settings
from benchmarks.wanted import wants
from k8s_installer import inventory

UP, BOOTSTRAP = "lab up", "bootstrap"


def bootstrap(rounds: int, settings: Settings) -> list[Figures]:
    """Start a fresh lab and make it a proven cluster, so many times; each lab is gone behind it.

    On the last, the rows that change nothing are measured, too.
    """
    name = f"bench{os.getpid()}"
    runs: Mapping[str, list[Run]] = {UP: [], BOOTSTRAP: []}
    hosts: list[str] = []
    unchanged: list[Figures] = []
    for number in range(1, rounds + 1):
        settings.say(f"bootstrap {number} of {rounds} of fresh lab hosts")
        try:
            up = installer("lab", "up", "--name", name, "-o", "json").require(0)
            found = json.loads(up.stdout)
            hosts = found["hosts"]
            runs[UP].append(up)
            runs[BOOTSTRAP].append(installer("apply", "--yes", "-i", found["inventory"]).require(0))
            if number == rounds:
                unchanged = _unchanged(Path(found["inventory"]), settings)
        finally:
            installer("lab", "down", "--name", name)
    return [*(Figures.of(row, len(hosts), done) for row, done in runs.items()), *unchanged]


def _unchanged(path: Path, settings: Settings) -> list[Figures]:
    login, addresses = _reached(path)
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as name:
        folder = Path(name)
        own: list[Row] = [Floor.of(settings.rounds, folder, login, addresses), Plan(settings.rounds, path)]
        others = peers(path, folder, login, settings, (settings.peer_rounds, settings.peer_rounds))
        settings.say(f"{len(addresses)} lab hosts: {', '.join(row.name for row in (*own, *others))}")
        return measured([*own, *others], len(addresses))


def peers(path: Path, folder: Path, login: Login, settings: Settings, rounds: tuple[int, int]) -> list[Row]:
    """The rows of the other tools, settled."""
    if settings.tools is None or not any(rounds):
        return []
    wanted = wants(path, folder / "bytes")
    pyinfra = Pyinfra(rounds[0], settings.tools, folder / "pyinfra", wanted, settings.pyinfra_parallel)
    ansible = Ansible(rounds[1], settings.tools, folder / "ansible", wanted, settings.ansible_forks)
    taking_part = [row for row in (pyinfra, ansible) if row.rounds]
    for row in taking_part:
        settings.say(f"{row.name} brings {len(wanted)} hosts to what it wants, untimed")
        row.settle(login)
    return list(taking_part)


def _reached(path: Path) -> tuple[Login, Sequence[str]]:
    """How the hosts of a lab's inventory are reached: all as root, with one key and one known_hosts."""
    hosts = inventory.load(path).hosts
    ssh = hosts[0].ssh
    if ssh.key is None or ssh.known_hosts is None:
        raise BenchmarkError(f"{path}: the floor needs a key and a known_hosts, as the inventory of a lab has them")
    return Login(ssh.port, Path(ssh.key), Path(ssh.known_hosts)), [host.address for host in hosts]
