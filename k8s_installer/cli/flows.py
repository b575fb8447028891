"""What the commands do that only look at hosts, and what they share with `apply`; each gives an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from k8s_installer import fleet, intent, memory, saved, status
from k8s_installer.cli.checking import checked
from k8s_installer.cli.console import Exit, Output, print_json, stderr, stdout
from k8s_installer.cli.rendering import write
from k8s_installer.cli.verifying import prove
from k8s_installer.intent import Intent
from k8s_installer.plan import Plan, make_plan
from k8s_installer.report import data, text
from k8s_installer.report import status as status_report
from k8s_installer.rolling import Batch


@dataclass(frozen=True, slots=True)
class Asked:
    """Which files a command is about: the inventory, templates that come before the packaged ones, a bundle."""

    inventory: Path
    templates: Path | None
    bundle: Path | None = None


def plan(asked: Asked, output: Output | Path, batch: Batch, *, full: bool) -> Exit:
    """Observe every host and show the plan, or save it."""
    with connected(asked) as (wanted, connections):
        seen = observed(wanted, connections)
        seen.require_all()
        made = make_plan(wanted.desired, seen.seen, batch)
    shown = data.plan_data(wanted.cluster, made)
    if output is Output.JSON:
        print_json(shown)
    else:
        print_plan(wanted, made, full=full)
    if isinstance(output, Path):
        write(output, saved.dump(saved.saved(wanted.cluster.name, wanted.desired, made), shown).encode())
        stderr().print(f"saved: k8s-installer apply {output} carries out exactly this, or stops", markup=False)
    return Exit.PENDING if made else Exit.DONE


def verify(asked: Asked, output: Output) -> Exit:
    """Prove the cluster as it is."""
    with connected(asked) as (wanted, connections):
        seen = observed(wanted, connections)
        seen.require_all()
        proof = prove(wanted, seen)
    if output is Output.JSON:
        print_json(proof.data())
    return Exit.DONE if proof.passed else Exit.FAILED


def show_status(asked: Asked, output: Output) -> Exit:
    """Ask every host, and show what differs; a host that cannot be reached differs."""
    with connected(asked) as (wanted, connections), looking(len(connections.dialled)) as tick:
        found = status.assess(wanted.desired, fleet.statuses(connections, wanted.desired, tick))
    if output is Output.JSON:
        print_json(status_report.data(found))
    else:
        stdout().print(status_report.table(found, asked.inventory))
    return Exit.PENDING if found.differs else Exit.DONE


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


def print_plan(wanted: Intent, made: Plan, *, full: bool) -> None:
    """A plan on stdout."""
    if not made:
        stdout().print(text.totals(made), markup=False)
        return
    for line in text.plan_lines(wanted.cluster, made, wanted.desired, full=full):
        stdout().print(line)
