"""The table's main part: all rows on as many hosts as asked, each number of hosts with fresh ones."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import hosts as many
from benchmarks import lab
from benchmarks.cluster import local
from benchmarks.delay import far
from benchmarks.measure import Figures
from benchmarks.rows import Changed, Floor, Plan, Row, installer, measured
from benchmarks.settings import Settings

FAR_HOSTS = 10
RTT = 0.05  # seconds


def measure(settings: Settings) -> list[Figures]:
    """Measure every number of hosts."""
    if settings.hosts:
        many.require()
    return [figures for count in settings.hosts for figures in _measure(count, settings)]


def far_away(settings: Settings) -> list[Figures]:
    """Our own rows against the floor, on hosts across an ocean."""
    near = [many.address(number) for number in range(1, FAR_HOSTS + 1)]
    beyond = [address.replace("127.0.", "127.1.", 1) for address in near]
    settings.say(f"{FAR_HOSTS} hosts, {1000 * RTT:.0f} ms away")
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as name:
        folder = Path(name)
        with (
            many.serving(folder, FAR_HOSTS, beyond) as login,
            far(list(zip(beyond, near, strict=True)), login.port, RTT),
        ):
            cluster = local(folder / "cluster", beyond, login)
            installer("apply", "--yes", "--no-verify", "-i", cluster.inventory).require(0)
            rounds = settings.rounds
            floor = Floor.of(rounds, folder, login, beyond)
            return measured([floor, Plan(rounds, cluster.inventory), Changed(rounds, cluster)], FAR_HOSTS)


def _measure(count: int, settings: Settings) -> list[Figures]:
    settings.say(f"{count} hosts: `apply` brings them to what the inventory says, untimed")
    # not below /tmp, which may be small; sockets of SSH need a short path
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as name:
        folder = Path(name)
        with many.serving(folder, count) as login:
            addresses = [many.address(number) for number in range(1, count + 1)]
            cluster = local(folder / "cluster", addresses, login)
            installer("apply", "--yes", "--no-verify", "-i", cluster.inventory).require(0)
            rounds = settings.rounds
            rows: list[Row] = [
                Floor.of(rounds, folder, login, addresses),
                Plan(rounds, cluster.inventory),
                Changed(rounds, cluster),
                *lab.peers(cluster.inventory, folder, login, settings, settings.peer_rounds_of(count)),
            ]
            settings.say(f"{count} hosts: {rounds} rounds of {', '.join(row.name for row in rows)}")
            return measured(rows, count)
