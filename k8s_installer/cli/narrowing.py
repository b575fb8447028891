"""The part of a cluster that --limit and --only leave, and who is asked about it."""

from __future__ import annotations

from dataclasses import replace

from k8s_installer import members
from k8s_installer.cli.console import stderr
from k8s_installer.desired import order
from k8s_installer.desired.model import Desired
from k8s_installer.desired.select import chosen, of_components, on_members
from k8s_installer.intent import Intent
from k8s_installer.inventory import Cluster, Role


def part(intent: Intent, limit: str, only: str, *, recorded: str) -> Intent:
    """The part of an intent that the options leave, and what is looked at besides; all of it where they are empty.

    Its cluster has the hosts that --limit names and those that are asked about them, as the first master is about
    nodes. What says whether the part may be carried out is looked at on other hosts, too.

    Args:
        intent: what the inventory asks for.
        limit: names of hosts, divided by commas.
        only: names of components, divided by commas.
        recorded: the first master as far as it is known; where it is not, all masters are asked who it is.
    """
    desired = intent.desired
    if limit:
        desired = on_members(desired, chosen("--limit", limit, _hosts(intent.inventory)))
    if only:
        desired = of_components(desired, chosen("--only", only, _components(desired)))
    if desired is not intent.whole:
        beside = {**members.evidence(intent.whole, desired), **order.evidence(intent.whole, desired)}
        intent = replace(intent, desired=desired, beside=beside)
    return _limited(intent, limit, recorded) if limit else intent


def _limited(intent: Intent, limit: str, recorded: str) -> Intent:
    """The same with no more hosts than the part has, but for those that know what is allocated."""
    masters = set(_hosts(intent.inventory, Role.MASTER))
    named = {*chosen("--limit", limit, _hosts(intent.inventory)), intent.cluster.first_master.name}
    named |= {ref.host for ref in intent.desired}
    knowing = named if recorded in masters else named | masters
    return replace(
        intent,
        cluster=replace(intent.cluster, hosts=tuple(host for host in intent.cluster.hosts if host.name in named)),
        evidence={ref: wanted for ref, wanted in intent.evidence.items() if ref.host in knowing},
        roots={ref: wanted for ref, wanted in intent.roots.items() if ref.host in knowing},
    )


def first_asked(cluster: Cluster, limit: str, recorded: str) -> list[str]:
    """The hosts that a run will need for sure, by name: they can be logged in to before more is known."""
    if not limit:
        return _hosts(cluster)
    masters = _hosts(cluster, Role.MASTER)
    return [*chosen("--limit", limit, _hosts(cluster)), *([recorded] if recorded in masters else masters)]


def say_left_out(whole: Intent, limit: str, only: str) -> None:
    """Say what --limit and --only leave out."""
    for option, words, known in (
        ("--limit", limit, _hosts(whole.inventory)),
        ("--only", only, _components(whole.desired)),
    ):
        if words:
            taken = chosen(option, words, known)
            left = [name for name in known if name not in taken]
            stderr().print(f"{option} leaves out {', '.join(left) or 'nothing'}", markup=False)


def _hosts(cluster: Cluster, role: Role | None = None) -> list[str]:
    return [host.name for host in (cluster.hosts if role is None else cluster.having(role))]


def _components(desired: Desired) -> list[str]:
    return list(dict.fromkeys(wanted.component for wanted in desired.values()))
