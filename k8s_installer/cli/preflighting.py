"""What `preflight` does, and what `apply` does of it before it installs anything."""

from __future__ import annotations

import time
from pathlib import Path

from k8s_installer import preflight
from k8s_installer.cli.checking import checked
from k8s_installer.cli.console import Exit, Output, print_json, stderr, stdout
from k8s_installer.cli.looking import Asked, looking
from k8s_installer.engine import fleet
from k8s_installer.flows import resolve
from k8s_installer.flows.resolve import Resolved
from k8s_installer.inventory import Role
from k8s_installer.model.plan import Action, Plan
from k8s_installer.preflight import Answers, Needs, Preflight, Severity
from k8s_installer.report import preflight as report
from k8s_installer.transport import Transport
from k8s_installer.untrusted.answers import understood


def check(asked: Asked, output: Output) -> Exit:
    """Ask every host what would stop an install; no key is made, for nothing is sent."""
    cluster, profile = checked(asked.inventory, asked.bundle, download=False)
    with fleet.connecting(cluster.hosts) as connections, looking(len(cluster.hosts)) as tick:
        wanted = resolve.desire(cluster, profile, asked.templates, None)
        needs = preflight.needs(cluster, profile, wanted.desired)
        answers = fleet.asked(needs, lambda name: _answers(connections.lines[name], needs[name]), tick)
    found = preflight.assess(cluster, needs, answers)
    if output is Output.JSON:
        print_json(report.data(found))
    else:
        stdout().print(report.lines(found, asked.inventory))
    return Exit.FAILED if found.having(Severity.ERROR) else Exit.DONE


def before_install(
    wanted: Resolved, made: Plan, seen: fleet.ObservedFleet, inventory: Path, output: Output
) -> tuple[bool, float]:
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
    needs = preflight.needs(cluster, wanted.profile, wanted.desired)
    with looking(len(asked)) as tick:
        answers = fleet.asked(asked, lambda name: _answers(seen.transports[name], needs[name]), tick)
    found = preflight.assess(cluster, needs, answers, about=new)
    return _shown(found, inventory, output), time.monotonic() - began


def _answers(transport: Transport, needs: Needs) -> Answers | None:
    """By one script; None stands for half an answer."""
    heard: list[float] = []
    result = transport.run(
        preflight.script(needs),
        timeout=preflight.seconds(needs),
        on_line=lambda _line: None if heard else heard.append(time.time()),
    )
    return understood(transport.host, lambda: preflight.parse(result.stdout, heard[0])) if heard else None


def _shown(found: Preflight, inventory: Path, output: Output) -> bool:
    """Say what was found, if anything; whether the install may continue."""
    stops = bool(found.having(Severity.ERROR))
    if stops and output is Output.JSON:
        print_json({"preflight": report.data(found)})
    elif found.findings:
        stderr().print(report.lines(found, inventory, again=False), soft_wrap=True)
    if stops:
        words = f"nothing was changed; fix the errors, then: k8s-installer apply -i {inventory}"
        stderr().print(f"{words}    (--no-preflight skips this)", markup=False, soft_wrap=True)
    return not stops
