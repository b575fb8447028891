"""What hosts that stay need of those that a reset takes: etcd's quorum and data, and a master. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from k8s_installer.errors import InputError
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import Kind, Ref, Seen, runs
from k8s_installer.planning.etcd.facts import by_unit
from k8s_installer.planning.etcd.quorum import state

API = "kube-apiserver"  # the component that makes a host a master


def evidence(whole: Desired, hosts: Collection[str]) -> Desired:
    """What must be looked at to judge whether a cluster can do without these hosts.

    It is every member of each etcd that has one there, and every API server if one is there.
    """
    refs = [ref for ref, item in whole.items() if ref.kind is Kind.UNIT and item.component == API]
    if not any(ref.host in hosts for ref in refs):
        refs = []
    for unit, items in by_unit(whole).items():
        members = [wanted.ref for wanted, _ in items]
        if any(ref.host in hosts for ref in members):
            refs += [*members, *(Ref(ref.host, Kind.UNIT, unit) for ref in members)]
    return {ref: whole[ref] for ref in refs}


def require_left(asked: Desired, seen: Mapping[Ref, Seen], hosts: Collection[str], *, data: bool) -> None:
    """Refuse to take from a cluster that stays what it cannot do without; only what runs now is there to stay.

    Args:
        asked: see `evidence`.
        seen: what the hosts answered; what is not in it did not answer.
        hosts: those that are reset, and answered.
        data: whether their data goes, too.

    Raises:
        InputError: an etcd would lose its quorum or a member's data, or the cluster its last master.
    """
    for unit, items in by_unit(asked).items():
        members = [wanted.ref.host for wanted, _ in items]
        lost = [host for host in members if host in hosts]
        stay = [Ref(host, Kind.UNIT, unit) for host in members if host not in hosts]
        down = [ref for ref in stay if not runs(seen.get(ref))]
        what = f"{', '.join(lost)} of {len(members)} {unit} members"
        if lost and 2 * (len(stay) - len(down)) <= len(members):
            raise InputError(
                f"--host: {what}: the others would lose data or quorum{_down(unit, down, seen)}",
                hint=f"{_first(unit, down)}reset all hosts; how a member is removed from the others: docs/etcd.md",
            )
        if lost and data:
            raise InputError(
                f"--data: {what}: {unit} counts on their data until they are removed from its members",
                hint="reset without --data; docs/etcd.md says how members and their data are removed",
            )
    servers = [ref for ref, item in asked.items() if item.component == API]
    stay = [ref for ref in servers if ref.host not in hosts]
    if len(stay) < len(servers) and not any(runs(seen.get(ref)) for ref in stay):
        raise InputError(
            f"--host: no master would be left for the other hosts{_down(API, stay, seen)}",
            hint=f"{_first(API, stay)}reset all hosts",
        )


def _down(unit: str, refs: Iterable[Ref], seen: Mapping[Ref, Seen]) -> str:
    said = ", ".join(f"{ref.host} ({state(ref, seen)})" for ref in refs)
    return f"; {unit} does not run on {said}" if said else ""


def _first(unit: str, refs: Collection[Ref]) -> str:
    return f"bring {unit} back on {', '.join(ref.host for ref in refs)} first, or " if refs else ""
