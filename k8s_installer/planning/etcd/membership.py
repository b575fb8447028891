"""The steps from the members that an etcd has to those that are wanted: one at a time, with a quorum. Pure.

They follow from what etcd reports now, whatever was begun before: a member that was added and never started is started,
a learner that started is promoted, one that was removed is done with. The order is

1. what is down and comes up by itself: members with data, and one that was added before;
2. members that are down and not wanted leave: a dead member counts towards the quorum, and nobody can join beside it;
3. members join, each when the one before it has the log of the others;
4. members that run and are not wanted leave, when all others are there.

etcd lets an only member add a second one, and has no quorum until that has started. Where it has learners (3.4) the
second member votes only once it has the log, so this takes a moment there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from k8s_installer.errors import InstallerError
from k8s_installer.planning.etcd.listed import GUIDE, Listed, View

_LOST = (
    "mount its disk, or set data-dir and wal-dir back; if the data is lost: set initial-cluster-state: existing for {} "
    f"in the inventory, and apply: {GUIDE}"
)


class Move(StrEnum):
    """What is done to a member."""

    START = "start"  # it is in the list, and has never started
    ADD = "add"  # and start
    PROMOTE = "promote"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A member that the inventory wants: its name, its URL for other members, and how it is.

    `has_data` is None where its host did not answer. `runs` says that its etcd answers, `starts` that it will be
    started. One that is `replaced` joins again if it is in the list and its data is lost: the inventory asks for that.
    """

    name: str
    url: str
    has_data: bool | None
    runs: bool
    starts: bool
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One change of one member, by its name (its id where it has none), its URL and, where it is in the list, its id.

    `members` are NAME=URL of all members after it, and `answering` of those that must run then. A `live` member that is
    removed runs until then.
    """

    move: Move
    name: str
    url: str
    id: str = ""
    live: bool = False
    members: tuple[str, ...] = ()
    answering: tuple[str, ...] = ()


@dataclass(slots=True)
class _State:
    """The members as they are after the steps so far: in the list, and of those by URL the ones that run."""

    wanted: dict[str, Wanted]
    listed: dict[str, Listed]
    up: set[str]
    steps: list[Step] = field(default_factory=list)

    @property
    def voters(self) -> list[str]:
        return [url for url, member in self.listed.items() if not member.learner]

    @property
    def down(self) -> list[str]:
        return [self.name(url) for url in self.listed if url not in self.up]

    def has_quorum(self) -> bool:
        return len(self.up.intersection(self.voters)) > len(self.voters) // 2

    def name(self, url: str) -> str:
        return self.wanted[url].name if url in self.wanted else self.listed[url].name or self.listed[url].id

    def add(self, move: Move, url: str, *, live: bool = False, gone: Listed | None = None) -> None:
        member = gone or self.listed[url]
        name = (member.name or member.id) if gone else self.name(url)
        members = tuple(f"{self.name(each)}={each}" for each in self.listed)
        answering = tuple(f"{self.name(each)}={each}" for each in self.listed if each in self.up)
        self.steps.append(Step(move, name, url, member.id, live, members, answering))


def steps(view: View, wanted: Sequence[Wanted], running: Collection[str] = ()) -> tuple[Step, ...]:
    """What has to be done, in this order; nothing where the list is as wanted.

    Args:
        view: what etcd reports.
        wanted: the members that the inventory wants.
        running: URLs of members that are not wanted, and run.

    Raises:
        InstallerError: it cannot be done without risk to the data or the quorum, and what to do about it.
    """
    if len(view.members) == len(wanted) == 1 and wanted[0].runs:
        return ()  # nobody reaches it as a peer, and it may have the URL of its first start
    _require_same(view, wanted)
    listed = {url: member for member in view.members for url in member.urls[:1]}
    lost = [one.url for one in wanted if one.url in listed and _is_lost(one, listed[one.url])]
    up = {one.url for one in wanted if (one.runs or one.starts) and one.url not in lost} | set(running)
    state = _State({member.url: member for member in wanted}, listed, up & listed.keys())
    leaving = [url for url in listed if url not in state.wanted]
    for url in [one.url for one in wanted if one.url in listed and one.has_data is False and one.url not in lost]:
        state.add(Move.START, url)
    # a learner has no vote and no clients, and nobody can join beside it
    live = [url for url in leaving if url in running and not listed[url].learner]
    dead = [*(url for url in leaving if url not in live), *lost]
    joining = [url for url in state.wanted if url not in listed or url in lost or listed[url].learner]
    joining.sort(key=lambda url: url not in listed)  # a learner that is there comes first: etcd has one at a time
    if dead or joining or leaving:
        _require_quorum(state)
    for url in dead:
        state.up.discard(url)
        state.add(Move.REMOVE, url, gone=state.listed.pop(url))
    for url in joining:
        _join(state, url, learners=view.learners)
    for url in live:
        _leave(state, url)
    return tuple(state.steps)


def _is_lost(member: Wanted, listed: Listed) -> bool:
    """Whether a member has started before, and its data is not there."""
    return bool(listed.name) and member.has_data is False


def _join(state: _State, url: str, *, learners: bool) -> None:
    """Let a member join; etcd takes none while another one is down."""
    if state.down:
        raise _refused(
            f"{state.wanted[url].name} cannot join while {_words(state.down)} is down",
            f"start etcd there first; if the host is gone for good, give its role etcd to another one: {GUIDE}",
        )
    if url not in state.listed:
        state.listed[url] = Listed("", state.wanted[url].name, (url,), learner=learners)
        state.up.add(url)
        state.add(Move.ADD, url)
    if state.listed[url].learner:
        state.listed[url] = replace(state.listed[url], learner=False)
        state.add(Move.PROMOTE, url)


def _leave(state: _State, url: str) -> None:
    gone = state.listed.pop(url)
    state.up.discard(url)
    if not state.has_quorum():
        raise _refused(
            f"without {gone.name} etcd would lose its quorum: {_words(state.down) or 'every other member'} is down",
            f"start etcd there first: {GUIDE}",
        )
    state.add(Move.REMOVE, url, live=True, gone=gone)


def _require_same(view: View, wanted: Sequence[Wanted]) -> None:
    """Stop where a member is not the one that the list has under its name or URL."""
    having = [member.name for member in wanted if member.has_data]
    findings = [finding for member in wanted for finding in _unlike(view, member, having)]
    if findings:
        raise InstallerError(
            "\n".join(
                [
                    "etcd's members cannot become those of the inventory; nothing was changed:",
                    *(f"  {words}" for words, _ in findings),
                ]
            ),
            hint="\n".join(dict.fromkeys(hint for _, hint in findings)),
        )


def _unlike(view: View, member: Wanted, having: Sequence[str]) -> Iterator[tuple[str, str]]:
    name, url = member.name, member.url
    by_url = next((one for one in view.members if url in one.urls), None)
    by_name = next((one for one in view.members if one.name == name and url not in one.urls), None)
    if by_name is None and member.runs and by_url is None:
        by_name = next((one for one in view.members if len(view.members) == 1), None)
    if by_name is not None:
        command = f"etcdctl member update {int(by_name.id or '0'):x} --peer-urls={url}"
        yield (
            f"{name} is in etcd's list with {_words(by_name.urls)}, and in the inventory with {url}",
            f"change its address in the inventory back, or make it reachable there and then, on a member: {command}",
        )
    elif by_url is not None and _is_lost(member, by_url) and not member.replaced:
        others = f"{_words(having)} {'has' if len(having) == 1 else 'have'} data of a cluster that is in use"
        yield f"{name} has no data, and {others}: this member has lost its data", _LOST.format(name)
    elif by_url is None and member.has_data:
        yield (
            f"{name} has data of a member that is not in etcd's list any more",
            f"stop etcd on {name}, move its data away (mv), then run this command again: {GUIDE}",
        )


def _require_quorum(state: _State) -> None:
    if not state.has_quorum():
        raise _refused(
            f"etcd has no quorum: {_words(state.down)} of {len(state.listed)} members {_are(state.down)} down",
            "start etcd on these hosts first, and put those that left the inventory back until then; "
            f"if they are lost for good: {GUIDE}",
        )


def _refused(words: str, hint: str) -> InstallerError:
    return InstallerError(f"{words}; nothing was changed", hint=hint)


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _words(names: Iterable[str]) -> str:
    return ", ".join(names)
