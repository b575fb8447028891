"""Whether an etcd keeps its quorum while a plan restarts its members, one at a time. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from k8s_installer.errors import InstallerError
from k8s_installer.model.desired import Desired
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import Kind, Missing, Ref, Seen, SeenUnit, runs
from k8s_installer.planning.etcd.facts import by_unit


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
    etcds = {unit: [wanted.ref.host for wanted, _ in items] for unit, items in by_unit(whole).items()}
    findings = [words for unit, hosts in etcds.items() for words in _lost(unit, hosts, seen, made)]
    if findings:
        raise InstallerError(
            "\n".join(["a restart would cost etcd its quorum; nothing was changed:", *findings]),
            hint="start etcd on these hosts first, or let --limit include them: then they are started first",
        )


def _lost(unit: str, hosts: list[str], seen: Mapping[Ref, Seen], made: Plan) -> Iterator[str]:
    done = {
        action: [change.ref.host for change in made.changes if change.ref.name == unit and change.action is action]
        for action in (Action.START, Action.RESTART)
    }
    down = [host for host in hosts if not runs(seen.get(Ref(host, Kind.UNIT, unit))) and host not in done[Action.START]]
    up, majority = len(hosts) - len(down), len(hosts) // 2 + 1
    if done[Action.RESTART] and down and up == majority:
        said = ", ".join(f"{host} ({state(Ref(host, Kind.UNIT, unit), seen)})" for host in down)
        restarted = ", ".join(done[Action.RESTART])
        yield (
            f"  {unit} is down on {said}, and the {up} other members are only just a majority of {len(hosts)}: "
            f"none may restart, but the plan restarts it on {restarted}"
        )


def state(unit: Ref, seen: Mapping[Ref, Seen]) -> str:
    """Why a unit that was looked at does not run, in a word or two."""
    found = seen.get(unit)
    if isinstance(found, SeenUnit):
        return found.active
    return "not installed" if found is Missing.ABSENT else "did not answer"
