"""What commands that ask hosts begin with: log in to all, work out what is wanted meanwhile, and look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from k8s_installer import fleet, intent, memory
from k8s_installer.cli.checking import checked
from k8s_installer.cli.console import stderr
from k8s_installer.intent import Intent


@dataclass(frozen=True, slots=True)
class Asked:
    """Which files a command is about: the inventory, templates that come before the packaged ones, a bundle."""

    inventory: Path
    templates: Path | None
    bundle: Path | None = None


@contextmanager
def connected(asked: Asked) -> Iterator[tuple[Intent, fleet.Connections]]:
    """What is asked for, worked out while its hosts are being logged in to: neither waits for the other."""
    cluster, profile = checked(asked.inventory, asked.bundle)
    with fleet.connecting(cluster.hosts) as connections:
        yield intent.desire(cluster, profile, asked.templates, intent.real_keys), connections


def observed(wanted: Intent, connections: fleet.Connections, through: fleet.Through = lambda way: way) -> fleet.Fleet:
    """The fleet that an intent is about, seen; the screen says who has answered."""
    path = intent.state_folder(wanted.cluster) / "seen.json"
    with looking(len(connections.dialled)) as tick:
        seen = fleet.observe(connections, wanted.desired, tick, through, memory.load(path))
    memory.save(path, seen.memories)
    return seen


@contextmanager
def looking(count: int) -> Iterator[fleet.OnHost]:
    """Say on the screen how many hosts have answered; call what this gives for each."""
    answered: list[str] = []
    with stderr().status(f"looking at {count} hosts") as spinner:

        def tick(host: str) -> None:
            answered.append(host)
            spinner.update(f"looking at {count} hosts: {len(answered)} answered")

        yield tick
