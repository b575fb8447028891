"""Checks that stop a plan: other keys, an etcd that would lose data or members, versions that cannot be reached."""

from __future__ import annotations

from collections.abc import Mapping

from k8s_installer.engine.fleet import ObservedFleet
from k8s_installer.errors import HostError, InputError, InstallerError
from k8s_installer.flows import resolve
from k8s_installer.flows.resolve import Resolved
from k8s_installer.flows.session import Session
from k8s_installer.host import versions as question
from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import Kind, Missing, Ref, Seen
from k8s_installer.planning import needed, records, trust, versions
from k8s_installer.planning.etcd import facts, members
from k8s_installer.planning.etcd.changing import changing
from k8s_installer.planning.make import make_plan
from k8s_installer.profiles.schema import RemovedApi
from k8s_installer.transport import Transport
from k8s_installer.untrusted.answers import understood


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


def require_versions(session: Session, wanted: Resolved, seen: ObservedFleet, made: Plan) -> None:
    """Stop where a plan brings a version that cannot be reached from what hosts run, or that objects cannot follow to.

    Masters are asked once more, and only if the plan replaces the programs of API servers or kubelets.

    Raises:
        InstallerError: see `versions.require_step` and `versions.require_apis`; or no master says what runs, or which
            objects use an API that goes.
    """
    masters = [name for name in versions.asked(wanted.inventory, seen.seen, made) if name not in seen.unreachable]
    if wanted.undoes or not masters:
        return
    said = session.ask(masters, _versions)
    found = {name: answer for name, answer in said.items() if not isinstance(answer, HostError)}
    for error in said.values() if not found else ():
        if isinstance(error, HostError):
            raise error
    step = versions.step(wanted.cluster.version, made, found)
    versions.require_step(step, wanted.profile)
    removed = wanted.profile.removed_apis
    if removed and step.changes_minor:
        versions.require_apis(step.to, removed, _objects(session, [*found], removed))


def _versions(way: Transport) -> question.Answer:
    result = way.run(question.QUESTION, timeout=question.SECONDS)
    return understood(way.host, lambda: question.parse(result.stdout))


def _objects(session: Session, masters: list[str], removed: tuple[RemovedApi, ...]) -> tuple[question.ApiObject, ...]:
    """The objects of these APIs, as the first master has them that can say."""
    script = question.users((api.api, resource) for api in removed for resource in api.kinds)
    why = "no master answers"
    for master in masters:
        said = session.ask([master], lambda way: _users(way, script))[master]
        if isinstance(said, tuple):
            return said
        why = str(said)
    raise InstallerError(
        f"cannot look for objects that use APIs which go with this upgrade; nothing was changed: {why}",
        hint="the API must answer before its version changes: k8s-installer status shows what is wrong",
    )


def _users(way: Transport, script: str) -> tuple[question.ApiObject, ...] | str:
    result = way.run(script, timeout=question.USERS_SECONDS)
    return understood(way.host, lambda: question.parse_users(result.stdout))
