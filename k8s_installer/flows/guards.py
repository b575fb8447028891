"""Checks that stop a plan: other keys, an etcd that would lose data or members."""

from __future__ import annotations

from collections.abc import Mapping

from k8s_installer.engine.fleet import ObservedFleet
from k8s_installer.errors import InputError, InstallerError
from k8s_installer.flows import resolve
from k8s_installer.flows.resolve import Resolved
from k8s_installer.flows.session import Session
from k8s_installer.model.resources import Kind, Missing, Ref, Seen
from k8s_installer.planning import needed, records, trust
from k8s_installer.planning.etcd import facts, members
from k8s_installer.planning.etcd.changing import changing
from k8s_installer.planning.make import make_plan


def require_own_keys(wanted: Resolved, seen: Mapping[Ref, Seen]) -> None:
    """Stop where hosts rest on keys that are not those of this machine.

    Raises:
        InstallerError: they do, or may; see `trust.refuse` and `trust.require_witness`.
    """
    found = trust.foreign({**wanted.roots, **wanted.desired}, seen, wanted.keys)
    sums = {item.sha256 for item in found if item.name.endswith(".crt")}
    trust.refuse(found, wanted.keys, resolve.renamed_from(wanted.cluster, sums) if sums else "")
    trust.require_witness(wanted.roots, seen, wanted.keys)


def require_members(session: Session, wanted: Resolved, seen: ObservedFleet) -> None:
    """Stop where etcd must not be started as the plan would; hosts are asked again where what they have leaves it open.

    Raises:
        InstallerError: see `members.require_members`.
    """
    known = seen.seen
    asked = facts.further(wanted.whole, known, wanted.desired)
    names = {ref.host for ref in asked} - seen.unreachable.keys()
    if names:
        known = {**known, **session.look(asked, names).seen}
    members.require_members(wanted.whole, known, wanted.desired)


def require_installed(wanted: Resolved, seen: Mapping[Ref, Seen]) -> None:
    """Stop a renewal on hosts that have nothing to renew yet: it would start half of what they need.

    Raises:
        InputError: there are such hosts.
    """
    units = [ref for ref in wanted.desired if ref.kind is Kind.UNIT]
    bare = {ref.host for ref in units if seen.get(ref) is Missing.ABSENT}
    if bare:
        names = ", ".join(sorted(bare))
        raise InputError(
            f"{names} has programs that are not installed yet, so there is nothing to renew there",
            hint="run k8s-installer apply first, or choose the other hosts with --host",
        )


def require_settled(wanted: Resolved, seen: ObservedFleet) -> None:
    """Stop a step of a rotation where a host has not made the one before, or may not have.

    Raises:
        InstallerError: such hosts, and what they lack.
    """
    if seen.unreachable:
        names = ", ".join(sorted(seen.unreachable))
        raise InstallerError(
            f"the next step needs every host, and {names} cannot be reached: it would be cut off from the others",
            hint=f"try again when {names} answers, or set `state: absent` for it in the inventory and apply",
        )
    # as a plan shows it: a member of etcd keeps the list that it was started with
    everyone = [host.name for host in wanted.cluster.everyone]
    settled, known = changing(wanted.beside, wanted.beside, seen.seen, everyone)
    ahead = [change for change in make_plan(settled, known).changes if change.ref.kind is not Kind.GATE]
    if ahead:
        hosts = ", ".join(dict.fromkeys(change.ref.host for change in ahead))
        first = ahead[0]
        raise InstallerError(
            f"the next step needs every host as the inventory and the local folder say, and {hosts} differ "
            f"({first.ref.host}: {first.action} {first.ref.name}: {first.reason})",
            hint="run k8s-installer apply first, then try again",
        )


def require_left(wanted: Resolved, seen: ObservedFleet) -> None:
    """Stop a reset of hosts that the others cannot do without.

    Raises:
        InputError: see `needed.require_left`.
    """
    answered = (host.name for host in wanted.cluster.everyone if records.question(host.name).ref in seen.seen)
    needed.require_left(wanted.beside, seen.seen, frozenset(answered), data=wanted.data)
