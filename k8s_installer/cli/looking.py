"""What commands that ask hosts begin with: log in to all, work out what is wanted meanwhile, and look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from k8s_installer.cli.checking import checked
from k8s_installer.cli.console import stderr
from k8s_installer.engine import fleet
from k8s_installer.flows import resolve
from k8s_installer.flows.resolve import Resolved, corrected
from k8s_installer.inventory import Allocations
from k8s_installer.model.resources import Ref, Seen
from k8s_installer.planning import trust
from k8s_installer.planning.etcd import facts, members
from k8s_installer.runs import cache


@dataclass(frozen=True, slots=True)
class Asked:
    """Which files a command is about: the inventory, templates that come before the packaged ones, a bundle."""

    inventory: Path
    templates: Path | None
    bundle: Path | None = None


Resolve = Callable[[Allocations | None], Resolved]  # from what was allocated before; None: from this machine's record
Again = Callable[[Allocations], Resolved]


@contextmanager
def connected(asked: Asked) -> Iterator[tuple[Resolve, fleet.Connections]]:
    """What works out what is asked for, while its hosts are being logged in to: neither waits for the other."""
    cluster, profile = checked(asked.inventory, asked.bundle)
    with fleet.connecting(cluster.hosts) as connections:
        yield lambda kept: resolve.desire(cluster, profile, asked.templates, resolve.present_keys, kept), connections


def observed(
    wanted: Resolved,
    again: Again,
    connections: fleet.Connections,
    through: fleet.Through = lambda way: way,
    run: str = "0",
) -> tuple[Resolved, fleet.ObservedFleet]:
    """The fleet that an intent is about, seen; the screen says who has answered. Changes are kept under `run`.

    Where hosts have been given something else than is known here, as in a new clone of the inventory's folder, what
    is wanted is worked out again from that, and they are asked a second time.
    """
    seen = _seen(wanted, connections, through, run)
    kept = corrected(wanted, seen.seen)
    if kept is None:
        return wanted, seen
    wanted = again(kept)
    return wanted, _seen(wanted, connections, through, run)


def _seen(wanted: Resolved, connections: fleet.Connections, through: fleet.Through, run: str) -> fleet.ObservedFleet:
    path = resolve.state_folder(wanted.cluster) / "seen.json"
    # the evidence as the inventory has it, whatever is wanted of it
    asked = {**wanted.roots, **wanted.beside, **wanted.desired, **wanted.evidence}
    names = {ref.host for ref in asked} | {host.name for host in wanted.cluster.hosts}
    lines = {name: line for name, line in connections.lines.items() if name in names}
    with looking(len(lines)) as tick:
        seen = fleet.observe(replace(connections, lines=lines), asked, tick, through, cache.load(path), run)
    cache.save(path, seen.memories)
    return seen


def require_own_keys(wanted: Resolved, seen: Mapping[Ref, Seen]) -> None:
    """Stop where hosts rest on keys that are not those of this machine.

    Raises:
        InstallerError: they do, or may; see `trust.refuse` and `trust.require_witness`.
    """
    found = trust.foreign({**wanted.roots, **wanted.desired}, seen, wanted.keys)
    sums = {item.sha256 for item in found if item.name.endswith(".crt")}
    trust.refuse(found, wanted.keys, resolve.renamed_from(wanted.cluster, sums) if sums else "")
    trust.require_witness(wanted.roots, seen, wanted.keys)


def require_members(
    wanted: Resolved,
    seen: fleet.ObservedFleet,
    connections: fleet.Connections,
    through: fleet.Through = lambda way: way,
) -> None:
    """Stop where etcd must not be started as the plan would; hosts are asked again where what they have leaves it open.

    Raises:
        InstallerError: see `members.require_members`.
    """
    known = seen.seen
    asked = facts.further(wanted.whole, known, wanted.desired)
    names = {ref.host for ref in asked} - seen.unreachable.keys()
    if names:
        lines = {name: line for name, line in connections.lines.items() if name in names}
        with looking(len(lines)) as tick:
            known = {**known, **fleet.observe(replace(connections, lines=lines), asked, tick, through).seen}
    members.require_members(wanted.whole, known, wanted.desired)


@contextmanager
def looking(count: int) -> Iterator[fleet.OnHost]:
    """Say on the screen how many hosts have answered; call what this gives for each."""
    answered: list[str] = []
    with stderr().status(f"looking at {count} hosts") as spinner:

        def tick(host: str) -> None:
            answered.append(host)
            spinner.update(f"looking at {count} hosts: {len(answered)} answered")

        yield tick
