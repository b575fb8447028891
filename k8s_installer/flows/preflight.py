"""`preflight`, and what `apply` does of it before it installs anything."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from k8s_installer import preflight
from k8s_installer.errors import HostError
from k8s_installer.flows import resolve
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import Resolved
from k8s_installer.flows.session import Session, opened
from k8s_installer.inventory import Role
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import Ref, Seen
from k8s_installer.planning import records
from k8s_installer.preflight import Answers, Needs, Preflight, Severity
from k8s_installer.transport import Transport
from k8s_installer.untrusted.answers import understood


def check(inputs: Inputs, reporter: Reporter) -> Preflight:
    """Ask every host what would stop an install; no key is made, for nothing is sent."""
    with opened(inputs, reporter, download=False) as session:
        return check_in(session)


def check_in(session: Session) -> Preflight:
    """The same in a session that others use, too."""
    cluster, profile = session.cluster, session.profile
    wanted = resolve.desire(cluster, profile, session.inputs.templates, None)
    needs = preflight.needs(cluster, profile, wanted.desired)
    return preflight.assess(cluster, needs, _asked(session, needs, needs))


def before_install(session: Session, wanted: Resolved, seen: Mapping[Ref, Seen], made: Plan) -> tuple[bool, float]:
    """Ask the hosts on which the plan installs packages, before it does; where there are none, nobody is asked.

    Masters and etcd's members are asked beside them: whether they reach the new hosts, and what time it is.

    Returns:
        whether the install may continue, and how many seconds hosts were asked.
    """
    began = time.monotonic()
    new = {change.ref.host for change in made.changes if change.action is Action.INSTALL}
    if not new:
        return True, 0.0
    cluster = wanted.cluster
    witnesses = [*cluster.having(Role.ETCD), *cluster.having(Role.MASTER)]
    asked = [host.name for host in cluster.hosts if host.name in new or host in witnesses]
    placed = {name: records.entries(seen, name) for name in asked}
    needs = preflight.needs(cluster, wanted.profile, wanted.desired, placed)
    found = preflight.assess(cluster, needs, _asked(session, asked, needs), about=new)
    session.reporter.preflight(found)
    return not found.having(Severity.ERROR), time.monotonic() - began


def _asked(
    session: Session, names: Collection[str], needs: Mapping[str, Needs]
) -> dict[str, Answers | HostError | None]:
    return session.ask(names, lambda transport: _answers(transport, needs[transport.host]))


def _answers(transport: Transport, needs: Needs) -> Answers | None:
    """By one script; None stands for half an answer."""
    heard: list[float] = []
    result = transport.run(
        preflight.script(needs),
        timeout=preflight.seconds(needs),
        on_line=lambda _line: None if heard else heard.append(time.time()),
    )
    return understood(transport.host, lambda: preflight.parse(result.stdout, heard[0])) if heard else None
