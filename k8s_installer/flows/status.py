"""`status`: ask every host how it stands against what the inventory says, and how it is doing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from k8s_installer import status
from k8s_installer.engine.fleet import ObservedFleet
from k8s_installer.errors import CommandFailed, HostError, InstallerError, LostError
from k8s_installer.flows.guards import require_own_keys
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import Resolved, corrected
from k8s_installer.flows.restoring import require_none
from k8s_installer.flows.session import Session, opened
from k8s_installer.model.desired import DesiredResource, by_host
from k8s_installer.model.resources import Ref, Seen
from k8s_installer.planning.etcd.changing import questions
from k8s_installer.planning.records import question
from k8s_installer.status import HostStatus, Status
from k8s_installer.transport import Transport
from k8s_installer.untrusted.answers import understood

Statuses = Mapping[str, HostStatus | HostError]


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found: the status, what is wanted, and what hosts have of it."""

    status: Status
    wanted: Resolved
    seen: ObservedFleet


def look(inputs: Inputs, reporter: Reporter) -> Status:
    """Ask every host; one that cannot be reached differs, and so does what is lost."""
    with opened(inputs, reporter) as session:
        return look_in(session).status


def look_in(session: Session) -> Looked:
    """The same in a session that others use, too: what was seen is enough for a plan."""
    reporter = session.reporter
    wanted = session.resolve()
    statuses = _statuses(session, wanted)
    kept = corrected(wanted, _seen(statuses))
    if kept is not None:
        wanted = session.resolve(kept)
        statuses = _statuses(session, wanted)
    losses: list[LostError] = []
    with _noted(losses, reporter):
        require_none(session.cluster)
    with _noted(losses, reporter):  # the table says all the same how hosts are
        wanted, statuses = _with_placed(session, wanted, statuses)
    with _noted(losses, reporter):
        require_own_keys(wanted, _seen(statuses))
    found = replace(status.assess(wanted.desired, statuses), losses=tuple(losses))
    return Looked(found, wanted, ObservedFleet({}, {}, _seen(statuses), found.unreachable, {}))


@contextmanager
def _noted(losses: list[LostError], reporter: Reporter) -> Iterator[None]:
    """Note what is lost, and show what else stops a plan."""
    try:
        yield
    except LostError as error:
        losses.append(error)
    except InstallerError as error:
        reporter.error(error)


def _statuses(session: Session, wanted: Resolved) -> Statuses:
    """How hosts are, also those that are absent, and what was placed there."""
    wants = by_host(wanted.desired)
    names = [host.name for host in wanted.cluster.everyone]
    members = by_host(questions(wanted.whole, names))
    asked = {name: [*wants.get(name, ()), question(name), *members.get(name, ())] for name in names}
    return session.ask(asked.keys(), lambda transport: _status(transport, asked[transport.host]))


def _with_placed(session: Session, wanted: Resolved, statuses: Statuses) -> tuple[Resolved, Statuses]:
    """The same, with what was placed on hosts and is no longer wanted; an absent host need not answer."""
    silent = {name: answer for name, answer in statuses.items() if isinstance(answer, HostError)}
    seen = _seen(statuses)
    wanted, found = session.with_placed(wanted, ObservedFleet({}, {}, seen, silent, {}))
    more: dict[str, dict[Ref, Seen]] = {}
    for ref in found.seen.keys() - seen.keys():
        more.setdefault(ref.host, {})[ref] = found.seen[ref]
    return wanted, {
        name: answer if isinstance(answer, HostError) else replace(answer, seen={**answer.seen, **more.get(name, {})})
        for name, answer in statuses.items()
        if name in found.unreachable or name not in silent
    }


def _seen(statuses: Statuses) -> dict[Ref, Seen]:
    answered = (answer for answer in statuses.values() if not isinstance(answer, HostError))
    return {ref: seen for answer in answered for ref, seen in answer.seen.items()}


def _status(transport: Transport, wanted: Sequence[DesiredResource]) -> HostStatus:
    result = transport.run(status.script(wanted), timeout=status.seconds(wanted))
    if result.status != 0:
        raise CommandFailed(transport.host, "looking at the host", result.status, result.stdout, result.stderr)
    return understood(transport.host, lambda: status.parse(result.stdout, wanted))
