"""The part of a cluster that a command is about: what --limit and --only leave, and of that what can be reached."""

from __future__ import annotations

from dataclasses import replace

from k8s_installer.desired.record import with_records
from k8s_installer.engine.fleet import ObservedFleet
from k8s_installer.errors import HostsError, InstallerError
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import Resolved
from k8s_installer.inventory import Cluster, Host, Role
from k8s_installer.model.desired import Desired
from k8s_installer.planning import order
from k8s_installer.planning.etcd import facts
from k8s_installer.planning.select import chosen, of_components, on_members


def part(wanted: Resolved, limit: str, only: str) -> Resolved:
    """The part of what is wanted that the options leave, and what is looked at besides; all of it where they are empty.

    Its cluster has the hosts that --limit names and those that are asked about them, as the first master is about
    nodes. What says whether the part may be carried out is looked at on other hosts, too. The masters' record of
    allocations belongs to every part, except on a way back: other machines read there what this one has allocated.

    Args:
        wanted: what the inventory asks for.
        limit: names of hosts, divided by commas.
        only: names of components, divided by commas.
    """
    desired = wanted.desired
    if limit:
        desired = on_members(desired, chosen("--limit", limit, _hosts(wanted.inventory)))
    if only:
        named = chosen("--only", only, _components(desired))
        desired, wanted = of_components(desired, named), replace(wanted, only=named)
    if desired is not wanted.whole:
        # a renewal needs no addons, and the API, which would answer for them, may have stopped for want of it
        addons = order.evidence(wanted.whole, desired) if wanted.renews is None else {}
        wanted = replace(wanted, desired=desired, beside={**facts.evidence(wanted.whole, desired), **addons})
    if limit:
        wanted = replace(_limited(wanted, limit), limit=chosen("--limit", limit, _hosts(wanted.inventory)))
    if (limit or only) and not wanted.undoes:
        first = wanted.cluster.first_master.name
        wanted = replace(wanted, desired=with_records(desired, wanted.whole, first, wanted.profile))
    return wanted


def _limited(wanted: Resolved, limit: str) -> Resolved:
    """The same with no more hosts than the part has; all masters are asked what is allocated, and whose keys they have.

    One that is no host of the part and does not answer stops nothing.
    """
    named = {*chosen("--limit", limit, _hosts(wanted.inventory)), wanted.cluster.first_master.name}
    named |= {ref.host for ref in wanted.desired}
    knowing = named | set(_hosts(wanted.inventory, Role.MASTER))
    return replace(
        wanted,
        cluster=replace(
            wanted.cluster,
            hosts=tuple(host for host in wanted.cluster.hosts if host.name in named),
            leaving=tuple(host for host in wanted.cluster.leaving if host.name in named),
        ),
        evidence={ref: item for ref, item in wanted.evidence.items() if ref.host in knowing},
        roots={ref: item for ref, item in wanted.roots.items() if ref.host in knowing},
    )


def first_asked(cluster: Cluster, limit: str, option: str = "--limit") -> list[str]:
    """The hosts that a run will need for sure, by name: they can be logged in to before more is known."""
    if not limit:
        return _hosts(cluster)
    return list(dict.fromkeys([*chosen(option, limit, _hosts(cluster)), *_hosts(cluster, Role.MASTER)]))


def say_left_out(reporter: Reporter, whole: Resolved, limit: str, only: str) -> None:
    """Say what --limit and --only leave out."""
    for option, words, known in (
        ("--limit", limit, _hosts(whole.inventory)),
        ("--only", only, _components(whole.desired)),
    ):
        if words:
            taken = chosen(option, words, known)
            left = [name for name in known if name not in taken]
            reporter.say(f"{option} leaves out {', '.join(left) or 'nothing'}")


def reached(wanted: Resolved, seen: ObservedFleet, *, skip: bool = False) -> tuple[Resolved, ObservedFleet]:
    """Without the nodes that cannot be reached; a reset does without none, or with `skip` without any host.

    Who was only looked at besides the part that the run is about, and did not answer, is no part of it either way; a
    master among them gets its record of what is allocated from a later run.

    Raises:
        HostsError: a master or an etcd member cannot be reached, or nobody can.
        InstallerError: a host cannot be reached that is to be reset.
    """
    silent, names = set(seen.unreachable), {host.name for host in wanted.cluster.hosts}
    seen = replace(seen, unreachable={name: error for name, error in seen.unreachable.items() if name in names})
    if not names - silent:
        seen.require_all()
    if wanted.resets and not skip:
        _require_reset(seen)
    needed = [host for host in wanted.cluster.hosts if host.name in seen.unreachable and _is_needed(host)]
    if needed and not skip:
        raise HostsError([seen.unreachable[host.name] for host in needed])
    there = {host.name for host in wanted.inventory.everyone} - silent
    return (replace(wanted, desired=on_members(wanted.desired, there)) if silent else wanted), seen


def _require_reset(seen: ObservedFleet) -> None:
    """Stop where a host would stay as it is without anybody having said so."""
    if seen.unreachable:
        names, errors = ", ".join(sorted(seen.unreachable)), [error for _, error in sorted(seen.unreachable.items())]
        raise InstallerError(
            f"{HostsError(errors).message}\nnothing was changed: what was placed on {names} would stay",
            hint=f"--skip-unreachable resets the other hosts, and leaves {names} as it is",
        )


def skipped(reporter: Reporter, seen: ObservedFleet) -> ObservedFleet:
    """The same without the hosts that cannot be reached, each of which stays as it is."""
    for name, error in sorted(seen.unreachable.items()):
        reason = error.message.removeprefix(f"{name}: ")
        reporter.warn(f"{name} cannot be reached, so what was placed there stays: {reason}")
    return replace(seen, unreachable={})


def warn_of_unreached(reporter: Reporter, seen: ObservedFleet) -> None:
    """Name the hosts that the run does without, each with its error."""
    for name, error in sorted(seen.unreachable.items()):
        words = "\n  ".join(filter(None, (error.message.removeprefix(f"{name}: "), error.hint)))
        reporter.warn(f"left out: {name}: {words}")


def _is_needed(host: Host) -> bool:
    return bool(host.roles & {Role.ETCD, Role.MASTER})


def _hosts(cluster: Cluster, role: Role | None = None) -> list[str]:
    return [host.name for host in (cluster.everyone if role is None else cluster.having(role))]


def _components(desired: Desired) -> list[str]:
    return list(dict.fromkeys(wanted.component for wanted in desired.values()))
