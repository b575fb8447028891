"""What stops an upgrade: a version that cannot be reached from what hosts run, or that objects cannot follow to."""

from __future__ import annotations

from k8s_installer.engine.fleet import ObservedFleet
from k8s_installer.errors import HostError, InstallerError
from k8s_installer.flows.resolve import Resolved
from k8s_installer.flows.session import Session
from k8s_installer.host import versions as question
from k8s_installer.model.plan import Plan
from k8s_installer.planning import versions
from k8s_installer.profiles.schema import RemovedApi
from k8s_installer.transport import Transport
from k8s_installer.untrusted.answers import understood


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
