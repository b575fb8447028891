"""Real hosts: the rows that change nothing on a lab that runs, and a whole bootstrap of a fresh one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.cluster import Login
from benchmarks.measure import BenchmarkError, Figures, Run
from benchmarks.rows import Ansible, Floor, Plan, Pyinfra, Row, installer, measured
from benchmarks.settings import Settings
from benchmarks.wanted import wants
from k8s_installer import inventory
from k8s_installer.errors import InstallerError

UP, BOOTSTRAP = "lab up", "bootstrap"


def rows(path: Path, folder: Path, settings: Settings) -> list[Figures]:
    """Measure on the hosts of an inventory, which `apply` has made what it says."""
    login, addresses = _reached(path)
    folder.mkdir()
    own: list[Row] = [Floor.of(settings.rounds, folder, login, addresses), Plan(settings.rounds, path)]
    return measured(
        [*own, *peers(path, folder, login, settings, (settings.peer_rounds, settings.peer_rounds))], len(addresses)
    )


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
    try:
        cluster = inventory.load(path)
    except InstallerError as error:
        raise BenchmarkError(f"--lab: {error}") from None
    ways = {
        (host.ssh.user, host.ssh.port, host.ssh.key, host.ssh.known_hosts, host.ssh.gateway) for host in cluster.hosts
    }
    match list(ways):
        case [("root", port, str(key), str(known_hosts), None)]:
            return Login(port, Path(key), Path(known_hosts)), [host.address for host in cluster.hosts]
    raise BenchmarkError(
        f"--lab {path}: the floor needs one key, one known_hosts and root on every host, without a gateway, "
        "as the inventory of `k8s-installer lab up` has them"
    )


def bootstrap(rounds: int, settings: Settings) -> list[Figures]:
    """Start a fresh lab and make it a proven cluster, so many times; each lab is gone behind it."""
    name = f"bench{os.getpid()}"
    runs: Mapping[str, list[Run]] = {UP: [], BOOTSTRAP: []}
    hosts = 0
    for _ in range(rounds):
        settings.say("a bootstrap of fresh lab hosts")
        try:
            up = installer("lab", "up", "--name", name, "-o", "json").require(0)
            found = json.loads(up.stdout)
            hosts = len(found["hosts"])
            runs[UP].append(up)
            runs[BOOTSTRAP].append(installer("apply", "--yes", "-i", found["inventory"]).require(0))
        finally:
            installer("lab", "down", "--name", name)
    return [Figures.of(row, hosts, done) for row, done in runs.items()]
