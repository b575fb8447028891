"""Whether an etcd keeps its quorum while a plan restarts its members, one at a time. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from k8s_installer.desired.model import Desired
from k8s_installer.errors import InstallerError
from k8s_installer.plan import Action, Plan
from k8s_installer.resources import Data, Kind, Missing, Ref, Seen, SeenUnit


def require_quorum(whole: Desired, seen: Mapping[Ref, Seen], made: Plan) -> None:
    """Stop where restarting a member would leave an etcd without a majority, because others are down.

    What a plan starts comes up before it restarts anything, so only members that it leaves down count. An etcd that has
    no majority as it is, or that loses it with any one member, loses nothing more.

    Args:
        whole: what the inventory wants; it has all members.
        seen: what the hosts have; a member whose host did not answer counts as down.
        made: the plan, which may be about a part of the whole.

    Raises:
        InstallerError: which members are down, and what can be done about it.
    """
    findings = [words for unit, hosts in _etcds(whole).items() for words in _lost(unit, hosts, seen, made)]
    if findings:
        raise InstallerError(
            "\n".join(["a restart would take etcd's quorum; nothing was changed:", *findings]),
            hint="start etcd on these hosts first, or let --limit include them: what is down is started first then",
        )


def _etcds(whole: Desired) -> dict[str, list[str]]:
    """The hosts of the members of each etcd, by its unit."""
    found: dict[str, list[str]] = {}
    for wanted in whole.values():
        if isinstance(wanted.resource, Data):
            found.setdefault(wanted.resource.unit, []).append(wanted.ref.host)
    return found


def _lost(unit: str, hosts: list[str], seen: Mapping[Ref, Seen], made: Plan) -> Iterator[str]:
    done = {
        action: [change.ref.host for change in made.changes if change.ref.name == unit and change.action is action]
        for action in (Action.START, Action.RESTART)
    }
    down = [host for host in hosts if not _runs(host, unit, seen) and host not in done[Action.START]]
    up, majority = len(hosts) - len(down), len(hosts) // 2 + 1
    if done[Action.RESTART] and down and up == majority:
        said = ", ".join(f"{host} ({_state(host, unit, seen)})" for host in down)
        restarted = ", ".join(done[Action.RESTART])
        yield (
            f"  {unit} is down on {said}, and the {up} other members are just a majority of {len(hosts)}: "
            f"none may restart, and the plan restarts it on {restarted}"
        )


def _runs(host: str, unit: str, seen: Mapping[Ref, Seen]) -> bool:
    found = seen.get(Ref(host, Kind.UNIT, unit))
    return isinstance(found, SeenUnit) and found.active == "active"


def _state(host: str, unit: str, seen: Mapping[Ref, Seen]) -> str:
    found = seen.get(Ref(host, Kind.UNIT, unit))
    if isinstance(found, SeenUnit):
        return found.active
    return "not installed" if found is Missing.ABSENT else "did not answer"
