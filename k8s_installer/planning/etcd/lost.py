"""Whether an etcd has lost what no plan brings back by itself: its quorum, all its data, or the data of a member. Pure.

A member that is down, and has its data on a host that answers, is not lost: a plan starts it. What counts as its
cluster is etcd's own list; where no member reports one, the members that those with data were started with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from k8s_installer.errors import Lost, LostError
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import Missing, Ref, Seen
from k8s_installer.planning import records
from k8s_installer.planning.etcd import facts, listed, state
from k8s_installer.planning.etcd.listed import GUIDE

_ETCD = "etcd"  # the cluster's own; flannel's is made again where its data is lost
_MOUNT = "if the disk is just not mounted: mount it, or set data-dir and wal-dir back, then run this command again"
_RESTORE = "with a backup: k8s-installer restore FILE -i INVENTORY"
_BACKUP_GUIDE = "docs/backup.md"


@dataclass(frozen=True, slots=True)
class _Voter:
    """A member that counts towards the quorum, by its host, and why it cannot come up; empty where it can.

    One whose host nobody knows has its own name. Its data `is_lost` where its host answers, and has none.
    """

    name: str
    why: str = ""
    is_lost: bool = False


def require_kept(whole: Desired, seen: Mapping[Ref, Seen], hosts: Collection[str], silent: Collection[str]) -> None:
    """Stop where etcd has lost its quorum, all its data, or the data of a member that is not to be replaced.

    Args:
        whole: all that the inventory wants.
        seen: what hosts have, with their answers to `changing.questions`.
        hosts: all hosts, those that leave included.
        silent: the hosts that did not answer.

    Raises:
        LostError: what is lost, on which hosts, and what brings it back.
    """
    for items, gate in state.etcds(whole):
        etcd = state.Etcd(items, gate, whole, seen, hosts)
        if etcd.unit == _ETCD:
            _judge(etcd, facts.known(etcd.unit, items, whole, seen, whole), silent)


def _judge(etcd: state.Etcd, about: facts.SeenEtcd, silent: Collection[str]) -> None:
    view = listed.view(etcd.answers)
    if view is None and not about.used:
        return  # a first start
    empty = {one.host: one for one in about.members if one.has_data is False and not one.runs and one.move is None}
    if view is None and len(empty) == len(about.members):
        raise _data(list(empty.values()), about.used[0], etcd.seen)
    named = _listed(etcd, view) if view is not None else _started(etcd, about)
    voters = [_voter(name, host, empty, silent, etcd) for name, host in sorted(named)]  # etcd lists them by id
    able = [one.name for one in voters if not one.why]
    # an only member that answers may be listed with the name and the URL of its first start
    if len(voters) > 1 and len(able) <= len(voters) // 2:
        raise _quorum(voters, able)
    replaced = {host for host, one in empty.items() if one.wanted is not None and one.wanted.joins}
    lost = [one for one in voters if one.is_lost and one.name not in replaced]
    if lost:
        raise _member(lost, [one.host for one in about.elders])


def _listed(etcd: state.Etcd, view: listed.View) -> Iterator[tuple[str, str]]:
    """The members that etcd lists and that have started, each with its host; empty where no host has it."""
    hosts = {key: member.host for member in etcd.members for key in (member.url, member.name)}
    for one in view.members:
        if one.name and not one.learner:
            found = (hosts[key] for key in (*one.urls, one.name) if key in hosts)
            yield one.name, next(found, one.name if one.name in etcd.answers else "")


def _started(etcd: state.Etcd, about: facts.SeenEtcd) -> Iterator[tuple[str, str]]:
    """The members of the inventory that one with data was started with."""
    known = frozenset[str]().union(*(one.found.members for one in about.elders if one.found is not None))
    yield from ((one.name, one.host) for one in etcd.members if f"{one.name}={one.url}" in known)


def _voter(
    name: str, host: str, empty: Mapping[str, facts.SeenMember], silent: Collection[str], etcd: state.Etcd
) -> _Voter:
    if host in silent:
        return _Voter(host, f"{host} did not answer")
    if host in empty:
        return _Voter(host, _nothing(empty[host], etcd.seen), is_lost=True)
    return _Voter(host or name, "" if host else f"{name} is not in the inventory, and no host runs it")


def _nothing(member: facts.SeenMember, seen: Mapping[Ref, Seen]) -> str:
    words = f"{member.host} has no data of etcd in {member.log}"
    bare = seen.get(records.question(member.host).ref) is Missing.ABSENT
    return f"{words}, and nothing that was installed on it is left" if bare else words


def _quorum(voters: Sequence[_Voter], able: Sequence[str]) -> LostError:
    away = [one for one in voters if one.why]
    silent = [one.name for one in away if not one.is_lost]
    needed, data = len(voters) // 2 + 1, [one.name for one in away if one.is_lost]
    ways = [
        f"if these hosts are only down: start {_words(silent)}, then run this command again" if silent else "",
        _MOUNT if data else "",
        f"if hosts are gone for good: first put others into the inventory, or fewer members: {_BACKUP_GUIDE}",
        _RESTORE,
        f"without a backup: k8s-installer restore --from-member {able[0]} -i INVENTORY" if able else "",
    ]
    words = f"it needs {needed} of {len(voters)} members, and {f'only {_words(able)}' if able else 'none'} can run"
    return LostError(
        Lost.QUORUM,
        [one.name for one in away],
        "\n".join([f"etcd has lost its quorum: {words}; nothing was changed", *(f"  {one.why}" for one in away)]),
        hint="\n".join(filter(None, ways)),
    )


def _data(members: Sequence[facts.SeenMember], used: Ref, seen: Mapping[Ref, Seen]) -> LostError:
    lines = [f"  {_nothing(member, seen)}" for member in members]
    return LostError(
        Lost.DATA,
        [member.host for member in members],
        "\n".join([f"etcd's data is lost on all members, but {used} was started before; nothing was changed", *lines]),
        hint="\n".join([_MOUNT, _RESTORE, f"to begin with an empty cluster: {GUIDE}"]),
    )


def _member(lost: Sequence[_Voter], having: Sequence[str]) -> LostError:
    names, others = [one.name for one in lost], f"{_words(having)} {'has' if len(having) == 1 else 'have'}"
    entry = "components: {etcd: {args: {initial-cluster-state: existing}}}"
    return LostError(
        Lost.MEMBER,
        names,
        "\n".join(
            f"{one.why}, and {others} data of a cluster that is in use: this member has lost its data; "
            "nothing was changed"
            for one in lost
        ),
        hint="\n".join(
            [
                _MOUNT,
                f"if the data is lost: set {entry} in the entry of {_words(names)}",
                f"  then k8s-installer apply -i INVENTORY, and remove the setting: {GUIDE}",
                "if the host is gone for good: delete its entry, give its roles to another host, and apply",
            ]
        ),
    )


def _words(names: Sequence[str]) -> str:
    return ", ".join(names)
