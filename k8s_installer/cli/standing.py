"""What `status` does: ask every host how it stands against what the inventory says, and how it is doing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from k8s_installer import status
from k8s_installer.cli.console import Exit, Output, print_error, print_json, stdout
from k8s_installer.cli.looking import Asked, connected, looking, require_own_keys
from k8s_installer.engine import fleet
from k8s_installer.errors import CommandFailed, HostError, InstallerError
from k8s_installer.flows.resolve import Resolved, corrected
from k8s_installer.model.desired import DesiredResource, by_host
from k8s_installer.model.resources import Ref, Seen
from k8s_installer.report import status as report
from k8s_installer.transport import Transport
from k8s_installer.untrusted.answers import understood


def show(asked: Asked, output: Output) -> Exit:
    """Ask every host, and show what differs; a host that cannot be reached differs."""
    with connected(asked) as (resolve, connections):
        wanted = resolve(None)
        statuses = _statuses(wanted, connections)
        kept = corrected(wanted, _seen(statuses))
        if kept is not None:
            wanted = resolve(kept)
            statuses = _statuses(wanted, connections)
    try:
        require_own_keys(wanted, _seen(statuses))
    except InstallerError as error:  # the table says all the same how hosts are
        print_error(error)
    found = status.assess(wanted.desired, statuses)
    if output is Output.JSON:
        print_json(report.data(found))
    else:
        stdout().print(report.table(found, asked.inventory))
    return Exit.PENDING if found.differs else Exit.DONE


def _statuses(wanted: Resolved, connections: fleet.Connections) -> dict[str, status.HostStatus | HostError]:
    of_host, lines = by_host(wanted.desired), connections.lines
    with looking(len(lines)) as tick:
        return fleet.asked(lines, lambda name: _status(lines[name], of_host[name]), tick)


def _seen(statuses: Mapping[str, status.HostStatus | HostError]) -> dict[Ref, Seen]:
    answered = (answer for answer in statuses.values() if not isinstance(answer, HostError))
    return {ref: seen for answer in answered for ref, seen in answer.seen.items()}


def _status(transport: Transport, wanted: Sequence[DesiredResource]) -> status.HostStatus:
    result = transport.run(status.script(wanted), timeout=status.seconds(wanted))
    if result.status != 0:
        raise CommandFailed(transport.host, "looking at the host", result.status, result.stdout, result.stderr)
    return understood(transport.host, lambda: status.parse(result.stdout, wanted))
