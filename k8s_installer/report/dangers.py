"""What of a plan deserves a second look: restarts of etcd and masters, drains, removals, what cannot be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from rich.text import Text

from k8s_installer.errors import listed
from k8s_installer.host.drains import DRAINED
from k8s_installer.model.groups import GROUPS, SERVING
from k8s_installer.model.plan import INTERRUPTING, Action, Change, Plan
from k8s_installer.model.resources import NoLeftovers
from k8s_installer.planning.undo import reversible
from k8s_installer.report.grouped import subject
from k8s_installer.report.names import spans

_GONE = (Action.UNINSTALL, Action.CLEAN, Action.REMOVE)
_MOST = 4  # things that are named in one line

Kinds = Mapping[tuple[str, ...], list[str]]


def danger_lines(plan: Plan, words: Callable[[Change], str], keys: str = "") -> list[Text]:
    """A line for each kind of danger and the hosts that it is about; none for most plans.

    Args:
        plan: the plan.
        words: what a change does.
        keys: the folder here from which the cluster's keys go, if they do.
    """
    lines = [*_restarts(plan.changes), *_drains(plan.changes), *_removals(plan.changes)]
    if keys:
        said = f"delete the cluster's keys on this machine: {keys}; backups without keys (a timer's) need them"
        lines.append(_danger("-", said, "red"))
    return [*lines, *_lasting(plan.changes, words)]


def _restarts(changes: Iterable[Change]) -> Iterator[Text]:
    """What ends a process of etcd or of a master."""
    serving = [change for change in changes if change.turn.group in SERVING and change.action in INTERRUPTING]
    single = {change.ref.host for change in serving if GROUPS[change.turn.group].at_once == 1}
    for action in INTERRUPTING:
        found = _by_hosts((change, change.ref.name) for change in serving if change.action is action)
        for hosts, units in found.items():
            turns = ", one host at a time" if single.issuperset(hosts) and len(hosts) > 1 else ""
            yield _danger("↻", f"{action} {_joined(units)} on {spans(hosts)}{turns}", "yellow")


def _drains(changes: Iterable[Change]) -> Iterator[Text]:
    nodes = [subject(change) for change in changes if change.ref.name.startswith(f"{DRAINED} ")]
    if nodes:
        yield _danger("■", f"drain {spans(nodes)}: their pods move to other nodes", "yellow")


def _removals(changes: Iterable[Change]) -> Iterator[Text]:
    gone = _by_hosts((change, change.component) for change in changes if change.action in _GONE)
    for hosts, components in gone.items():
        yield _danger("-", f"remove from {spans(hosts)}: {_joined(components)}", "red")
    data = _by_hosts(
        (change, path)
        for change in changes
        if isinstance(change.after, NoLeftovers)
        for path in change.after.leaves.data_to_remove
    )
    for hosts, folders in data.items():
        yield _danger("-", f"delete data on {spans(hosts)}: {_joined(folders)}", "red")


def _lasting(changes: Iterable[Change], words: Callable[[Change], str]) -> Iterator[Text]:
    found = _by_hosts((change, words(change)) for change in changes if not reversible(change))
    for hosts, what in found.items():
        yield _danger("!", f"cannot be rolled back on {spans(hosts)}: {_joined(what)}", "red")


def _by_hosts(named: Iterable[tuple[Change, str]]) -> Kinds:
    """What is about the same hosts, together."""
    hosts: dict[str, dict[str, None]] = {}
    for change, what in named:
        hosts.setdefault(what, {})[subject(change)] = None
    kinds: dict[tuple[str, ...], list[str]] = {}
    for what, names in hosts.items():
        kinds.setdefault(tuple(names), []).append(what)
    return kinds


def _joined(what: list[str]) -> str:
    return listed(what, _MOST)


def _danger(mark: str, words: str, style: str) -> Text:
    return Text(f"  {mark} {words}", style)
