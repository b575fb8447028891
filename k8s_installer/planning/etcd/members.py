"""Whether an etcd may be started as the inventory asks, given which hosts have its data. Pure.

Where etcd answers, its own list says who its members are, and `changing` has made the steps to those of the inventory.
This is about the files and the data, and all that is known where it does not answer.

etcd reads `initial-cluster` only where it has no log yet. A member that starts without one, and with
`initial-cluster-state: new`, makes a cluster of its own with whoever else does, beside the one that has the data; both
then call themselves healthy (seen with etcd 3.3.25 and 3.4.23). A member that had data and lost it is worse: it votes
as if it had never promised anything. So a plan stops where

- a member that has data was started with other members than the inventory has;
- etcd would start in another folder than the one that has its data, and find an older log there or none;
- a member without data would start, and another one has data of a cluster that was made otherwise or has been in use;
- a member without data would start as one that joins, and it has joined before;
- no member has data, and the cluster has been in use: a disk is not mounted, or all masters were installed again.

A first start that was cut off resumes: some members have data, all were started with what the inventory still says, and
nothing that needs etcd was ever started.

Each etcd is judged by itself: a host may have several, as that of the cluster and that of flannel. The members that a
plan would start are judged, and all members and clients are the evidence, whatever part of them the plan is about.
`_situations` lists what is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from k8s_installer.errors import InstallerError
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import Ref, Seen
from k8s_installer.planning.etcd.facts import SeenEtcd, SeenMember, etcds

GUIDE = "docs/etcd.md"
_CHANGE = (
    "revert the members in the inventory; or start etcd on those that it has, so that it can be asked for its members, "
    f"then run this command again: {GUIDE}"
)
_LOST = (
    "mount its disk, or set data-dir and wal-dir back; if the data is lost, remove the member and add it again: "
    + GUIDE
)
_JOINED = (
    "mount its disk; if the data is lost, remove the member and add it again, then systemctl disable {} on {}: " + GUIDE
)
_ALL_LOST = (
    "mount the disks, or set data-dir and wal-dir back; or restore a backup: k8s-installer restore FILE -i INVENTORY; "
    f"to start with an empty cluster ({GUIDE}), "
    "stop and disable {} on all hosts first"
)
_MOVE = (
    "leave data-dir and wal-dir as they are; or stop {} there, move the data to the new folder by hand (mv), then run "
    "this command again"
)
_OLD_LOG = (
    "leave data-dir and wal-dir as they are; or move the data to the new folder by hand (mv), so that no log is left "
    "in the old one, then run this command again"
)
_ELSEWHERE = (
    "ls -l /proc/PID/fd shows where it is (PID: systemctl show -p MainPID {0}); set data-dir and wal-dir to that, or "
    "stop {0} there, move the data by hand (mv), then run this command again"
)
_ASK = "make these hosts reachable, then run the same command again"


def require_members(whole: Desired, seen: Mapping[Ref, Seen], part: Desired | None = None) -> None:
    """Stop where a plan would start a member of etcd that must not start like this.

    Args:
        whole: what the inventory wants.
        seen: what the hosts have; what is not there was not asked.
        part: what the plan is about, where that is not the whole; it may go back to older files.

    Raises:
        InstallerError: what is wrong with each member, and what can be done about it.
    """
    part = whole if part is None else part
    findings = [finding for etcd in etcds(whole, seen, part) for finding in _wrong(etcd)]
    if findings:
        words = [f"  {words}" for words, _ in findings]
        hints = dict.fromkeys(hint for _, hint in findings)
        raise InstallerError(
            "\n".join(["etcd must not be started like this; nothing was changed:", *words]), hint="\n".join(hints)
        )


_Finding = tuple[str, str]  # what is wrong, and what can be done about it
_Situation = Callable[[SeenEtcd, SeenMember], _Finding | None]


def _wrong(etcd: SeenEtcd) -> Iterator[_Finding]:
    """What is wrong with the members that the plan may start: of each the first situation that it is in."""
    for member in etcd.members:
        if member.host in etcd.starts:
            found = (situation(etcd, member) for situation in _situations(member))
            yield from filter(None, (next(filter(None, found), None),))


def _changed(etcd: SeenEtcd, member: SeenMember) -> _Finding | None:
    """It has data, and the inventory changes its cluster."""
    was, now = member.found, member.wanted
    if not member.has_data or was is None or now is None or was.makes(now) or was.only_tls_differs(now):
        return None
    said = [
        f"adds {_listed(now.members - was.members)}" if now.members - was.members else "",
        f"leaves out {_listed(was.members - now.members)}" if was.members - now.members else "",
        f"changes the token from {was.token} to {now.token}" if now.token != was.token else "",
    ]
    words = f"{member.host} has {etcd.unit}'s data and was started with {_listed(was.members)}; the inventory"
    return f"{words} {', '.join(filter(None, said))}", _CHANGE


def _moved(etcd: SeenEtcd, member: SeenMember) -> _Finding | None:
    """It runs, and would restart with other folders: what is there is older than what it has confirmed."""
    if member.move is None or not member.runs or member.uses_log:
        return None
    words = f"{etcd.unit} runs on {member.host} with its data in {member.move.before}"
    return f"{words}; it would restart with {member.move.after}", _MOVE.format(etcd.unit)


def _runs_elsewhere(etcd: SeenEtcd, member: SeenMember) -> _Finding | None:
    """It runs with what its file said before an edit by hand, and what is in the folder that it says now is older."""
    if member.uses_log is not False or not member.has_data:
        return None
    words = f"{etcd.unit} on {member.host} was started before its file changed, and does not write to {member.log}"
    return f"{words}: its data is elsewhere", _ELSEWHERE.format(etcd.unit)


def _left_behind(etcd: SeenEtcd, member: SeenMember) -> _Finding | None:
    """It is stopped, and would start with other folders while its log is still in the old one."""
    move = member.move
    if move is None or member.runs or move.left is False or move.before.log == move.after.log:
        return None
    has = "still has" if move.left else "may still have"
    return f"{member.host} {has} {etcd.unit}'s log in {move.before.log}; it would start with {move.after}", _OLD_LOG


def _runs_empty(etcd: SeenEtcd, member: SeenMember) -> _Finding | None:
    """It runs with data that is not where it would look for it after a restart."""
    words = f"but {etcd.unit} runs there: its data is elsewhere, or was deleted"
    return (f"{_nothing(etcd, member)}, {words}", _LOST) if member.runs else None


def _joined_before(etcd: SeenEtcd, member: SeenMember) -> _Finding | None:
    """It was started to join before: that it is to join is left from then, and lets nobody in."""
    if member.admitted or member.found is None or not member.found.joins or not member.enabled:
        return None
    words = (
        f"{_nothing(etcd, member)}, but was started with initial-cluster-state existing before: it has lost its data"
    )
    return words, _JOINED.format(etcd.unit, member.host)


def _second_cluster(etcd: SeenEtcd, member: SeenMember) -> _Finding | None:
    """Another member has data of a cluster that was made otherwise."""
    if not any(_apart(member, elder) for elder in etcd.elders):
        return None
    words = f"{_nothing(etcd, member)}: if started, it would form a second, empty cluster; {_others(etcd)} data"
    return words, _CHANGE


def _lost_own(etcd: SeenEtcd, member: SeenMember) -> _Finding | None:
    """Another member has data of a cluster that is in use."""
    if not (etcd.elders and etcd.used):
        return None
    words = f"{_others(etcd)} data of a cluster that is in use: this member has lost its data"
    return f"{_nothing(etcd, member)}, and {words}", _LOST


def _unsure(etcd: SeenEtcd, member: SeenMember) -> _Finding | None:
    """Who did not answer leaves open whether this is a first start."""
    silent = [other.host for other in etcd.members if other.has_data is None]
    if silent and not etcd.elders:
        return f"{_nothing(etcd, member)}, and {_listed(silent)}, which may have it, did not answer", _ASK
    clients = {ref.host for ref in etcd.unknown}
    words = f"{_listed(clients)} did not answer whether the cluster is in use"
    return (f"{_nothing(etcd, member)}, and {words}", _ASK) if clients else None


def _all_lost(etcd: SeenEtcd, member: SeenMember) -> _Finding | None:
    """No member has data, and the cluster was in use."""
    if not etcd.used or etcd.elders:
        return None
    words = f"neither has any other member, but {etcd.used[0]} was started before"
    return f"{_nothing(etcd, member)}, and {words}", _ALL_LOST.format(_listed({ref.name for ref in etcd.used}))


# What a member may be in, in the order in which it is looked for.
_OF_ALL: tuple[_Situation, ...] = (_changed, _moved, _runs_elsewhere, _left_behind)
_OF_JOINING: tuple[_Situation, ...] = (_runs_empty, _joined_before)
_OF_EMPTY: tuple[_Situation, ...] = (_runs_empty, _second_cluster, _lost_own, _unsure, _all_lost)


def _situations(member: SeenMember) -> tuple[_Situation, ...]:
    if member.has_data:
        return _OF_ALL
    joins = member.wanted is not None and member.wanted.joins
    return (*_OF_ALL, *(_OF_JOINING if joins else _OF_EMPTY))


def _apart(member: SeenMember, elder: SeenMember) -> bool:
    """Whether a member that starts empty makes another cluster than one that has data did."""
    if member.wanted is None or elder.found is None:
        return True
    return elder.found.joins or not elder.found.makes(member.wanted)  # who joined has the cluster of others


def _nothing(etcd: SeenEtcd, member: SeenMember) -> str:
    return f"{member.host} has no data of {etcd.unit} in {member.log}"


def _others(etcd: SeenEtcd) -> str:
    return f"{_listed(elder.host for elder in etcd.elders)} {'has' if len(etcd.elders) == 1 else 'have'}"


def _listed(items: Iterable[str]) -> str:
    return ", ".join(sorted(items))
