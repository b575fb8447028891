"""What is known of each etcd: its members and their data, and whether its cluster was ever in use. Pure.

`members` judges by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from k8s_installer.host.etcd import MEMBERS
from k8s_installer.model.desired import Desired, DesiredResource
from k8s_installer.model.resources import (
    Backup,
    Data,
    File,
    Gate,
    Kind,
    Missing,
    Ref,
    Seen,
    SeenFile,
    SeenSetting,
    SeenUnit,
    Unit,
    runs,
)
from k8s_installer.planning.differences import inputs
from k8s_installer.planning.etcd.config import Folders, Start, environment, folders, listens, start


@dataclass(frozen=True, slots=True)
class Move:
    """A change of a member's folders, and whether there is a log in the old one (None: not asked, or no answer)."""

    before: Folders
    after: Folders
    left: bool | None


@dataclass(frozen=True, slots=True)
class SeenMember:
    """One host of an etcd: where its log belongs and whether it is there, and how it was and is to be started.

    `has_data` is None where the host did not answer. `found` and `wanted` are None where the file is not there, or is
    brought back. `enabled` says that etcd was started there before, and `move` that its folders change. `uses_log` says
    whether what runs has its data there, and is None where nobody has to ask: it was started with the file as it is.
    `admitted` says that it joins, and etcd's own list has it or will: `changing` has judged that.
    """

    host: str
    log: str
    has_data: bool | None
    runs: bool
    enabled: bool
    found: Start | None
    wanted: Start | None
    move: Move | None
    uses_log: bool | None
    admitted: bool


@dataclass(frozen=True, slots=True)
class SeenEtcd:
    """One etcd: its unit, its members, and what is known of its clients.

    `starts` are the hosts on which the plan may start it. `used` are the clients that were started before, `unknown`
    those whose host did not answer.
    """

    unit: str
    members: tuple[SeenMember, ...]
    starts: frozenset[str]
    used: tuple[Ref, ...]
    unknown: tuple[Ref, ...]

    @property
    def elders(self) -> list[SeenMember]:
        """The members that have data."""
        return [member for member in self.members if member.has_data]


def evidence(whole: Desired, part: Desired) -> Desired:
    """What must be looked at to judge the members that a part of the whole may start; nothing if it starts none.

    It is of every host of the etcds that the part has a member of, and of every host of their direct clients.
    """
    refs: dict[Ref, None] = {}
    for unit, items in by_unit(whole).items():
        if not any(ref.kind is Kind.UNIT and ref.name == unit for ref in part):
            continue
        for wanted, data in items:
            host = wanted.ref.host
            refs |= dict.fromkeys((wanted.ref, Ref(host, Kind.FILE, data.config), Ref(host, Kind.UNIT, unit)))
        refs |= dict.fromkeys(_with_files(clients(whole, unit), whole, items[0][1]))
    return {ref: whole[ref] for ref in refs}


def further(whole: Desired, seen: Mapping[Ref, Seen], part: Desired) -> Desired:
    """What must be looked at as well, after what was seen: mostly nothing, so that it costs a run nothing.

    It is the old folder of a stopped member whose file moves its data; and where a member would start without data and
    no client is known to have been started, all that shows the cluster was in use, on whatever host.
    """
    found: dict[Ref, DesiredResource] = {}
    for unit, items in by_unit(whole).items():
        etcd = _etcd(unit, items, whole, seen, part)
        starting = [member for member in etcd.members if member.host in etcd.starts]
        logs = {wanted.ref.host: wanted for wanted, _ in items}
        for member in starting:
            if member.move is not None and not member.runs and member.move.before.log != member.move.after.log:
                ref = Ref(member.host, Kind.DATA, member.move.before.log)
                found[ref] = replace(logs[member.host], ref=ref)
        if not etcd.used and any(not member.has_data for member in starting):
            later = _with_files(_shown_by(whole, items[0][1]), whole, items[0][1])
            found |= {ref: whole[ref] for ref in later if ref not in seen}
    return found


def etcds(whole: Desired, seen: Mapping[Ref, Seen], part: Desired) -> Iterator[SeenEtcd]:
    """Every etcd of which a part of the whole may start a member, as it is on the hosts."""
    for unit, items in by_unit(whole).items():
        etcd = _etcd(unit, items, whole, seen, part)
        if etcd.starts:
            yield etcd


def by_unit(whole: Desired) -> dict[str, list[tuple[DesiredResource, Data]]]:
    """The members of each etcd, by its unit."""
    found: dict[str, list[tuple[DesiredResource, Data]]] = {}
    for wanted in whole.values():
        if isinstance(wanted.resource, Data):
            found.setdefault(wanted.resource.unit, []).append((wanted, wanted.resource))
    return found


def _etcd(
    unit: str, items: list[tuple[DesiredResource, Data]], whole: Desired, seen: Mapping[Ref, Seen], part: Desired
) -> SeenEtcd:
    starts = frozenset(wanted.ref.host for wanted, data in items if _may_start(wanted.ref.host, data, seen, part))
    return known(unit, items, whole, seen, part, starts) if starts else SeenEtcd(unit, (), starts, (), ())


def known(
    unit: str,
    items: Sequence[tuple[DesiredResource, Data]],
    whole: Desired,
    seen: Mapping[Ref, Seen],
    part: Desired,
    starts: frozenset[str] = frozenset(),
) -> SeenEtcd:
    """What is known of an etcd, whether the plan for a part of the whole starts any of its members or not."""
    data = items[0][1]
    its = clients(whole, unit)
    marks = _marks(items, whole) if data.added_later else ()
    return SeenEtcd(
        unit,
        tuple(_member(wanted.ref, data, whole, seen, part) for wanted, data in items),
        starts,
        used=tuple(ref for ref in (*its, *_shown_by(whole, data)) if _was_started(ref, whole, seen, marks)),
        unknown=tuple(ref for ref in its if seen.get(ref, Missing.UNKNOWN) is Missing.UNKNOWN),
    )


def _may_start(host: str, data: Data, seen: Mapping[Ref, Seen], part: Desired) -> bool:
    """Whether the plan may start this member; one that runs, and keeps its file, begins nothing."""
    unit = seen.get(Ref(host, Kind.UNIT, data.unit))
    return Ref(host, Kind.UNIT, data.unit) in part and (Ref(host, Kind.FILE, data.config) in part or not runs(unit))


def _member(log: Ref, data: Data, whole: Desired, seen: Mapping[Ref, Seen], part: Desired) -> SeenMember:
    config = Ref(log.host, Kind.FILE, data.config)
    unit = seen.get(Ref(log.host, Kind.UNIT, data.unit))
    content = content_of(config, whole, seen)
    was = start(content) if content is not None else None
    will = part[config].resource if config in part else None
    return SeenMember(
        log.host,
        log.name,
        has_data=_is_there(log, seen),
        runs=runs(unit),
        enabled=isinstance(unit, SeenUnit) and unit.enabled,
        found=was,
        wanted=start(will.content) if isinstance(will, File) else None if config in part else was,
        move=_move(config, content, will, seen),
        uses_log=_uses_log(seen.get(log), seen.get(config), unit),
        admitted=any(
            isinstance(found, SeenSetting) and ref.name.startswith(f"{MEMBERS} {data.config} ")
            for ref, found in seen.items()
            if ref.kind is Kind.SETTING
        ),
    )


def _move(config: Ref, content: bytes | None, will: object, seen: Mapping[Ref, Seen]) -> Move | None:
    """How the file that a plan writes, or brings back, moves the data; None where it stays."""
    found = seen.get(config)
    new = will.content if isinstance(will, File) else None
    if isinstance(will, Backup) and isinstance(found, SeenFile):
        new = found.kept
    if content is None or new is None or folders(content) == folders(new):
        return None
    before = folders(content)
    return Move(before, folders(new), _is_there(Ref(config.host, Kind.DATA, before.log), seen))


def _uses_log(log: Seen | None, config: Seen | None, unit: Seen | None) -> bool | None:
    """Whether a running etcd has written to a log since it started: each does at its start, to publish itself.

    Its file says the same, unless somebody has changed it since; this is None where nobody did.
    """
    if not isinstance(unit, SeenUnit) or not runs(unit):
        return None
    if not isinstance(config, SeenFile) or config.modified_at <= unit.started_at:
        return None
    return isinstance(log, SeenFile) and log.modified_at >= unit.started_at


def _is_there(log: Ref, seen: Mapping[Ref, Seen]) -> bool | None:
    found = seen.get(log, Missing.UNKNOWN)
    return None if found is Missing.UNKNOWN else isinstance(found, SeenFile)


def content_of(ref: Ref, whole: Desired, seen: Mapping[Ref, Seen]) -> bytes | None:
    """The content of a file on its host, as far as it is known: hosts do not send what is as wanted."""
    found, wanted = seen.get(ref), whole[ref].resource
    if not isinstance(found, SeenFile):
        return None
    return wanted.content if isinstance(wanted, File) and found.sha256 == wanted.sha256 else found.content


def clients(whole: Desired, unit: str) -> list[Ref]:
    """The services that wait for the health of an etcd."""
    gates = {ref for ref, item in whole.items() if isinstance(item.resource, Gate) and item.resource.unit == unit}
    return [ref for ref, item in whole.items() if isinstance(item.resource, Unit) and not gates.isdisjoint(item.after)]


def _shown_by(whole: Desired, data: Data) -> list[Ref]:
    """The services that never start where the cluster of an etcd was not in use, whatever they wait for themselves."""
    return [ref for ref, item in whole.items() if isinstance(item.resource, Unit) and item.component in data.shown_by]


def _with_files(clients: Iterable[Ref], whole: Desired, data: Data) -> Iterator[Ref]:
    """Clients, and where they may be older than their etcd, what they read."""
    for ref in clients:
        yield ref
        yield from inputs(whole[ref]) if data.added_later else ()


def _marks(items: Sequence[tuple[DesiredResource, Data]], whole: Desired) -> tuple[bytes, ...]:
    """By what a file shows that its reader asks this etcd: one of its URLs, or the CA by which it is known."""
    marks: dict[bytes, None] = {}
    for wanted, data in items:
        content = wanted_content(Ref(wanted.ref.host, Kind.FILE, data.config), whole)
        authority = Ref(wanted.ref.host, Kind.FILE, environment(content).get("ETCD_TRUSTED_CA_FILE", ""))
        marks |= dict.fromkeys(url.encode() for url in listens(content))
        marks[wanted_content(authority, whole).strip()] = None
    return tuple(filter(None, marks))


def wanted_content(ref: Ref, whole: Desired) -> bytes:
    """The content of a file that is wanted; empty where none is."""
    file = whole[ref].resource if ref in whole else None
    return file.content if isinstance(file, File) else b""


def _was_started(client: Ref, whole: Desired, seen: Mapping[Ref, Seen], marks: tuple[bytes, ...]) -> bool:
    """Whether a client was ever started with this etcd: it is enabled just before.

    One that may be older than the etcd was started with it only where a file that it has read names that etcd, by one
    of the `marks`. Whether the file is what is wanted now does not matter: other edits of it are no first start.
    """
    unit = seen.get(client)
    if not isinstance(unit, SeenUnit) or not (unit.enabled or runs(unit)):
        return False
    return not marks or any(_has_read(unit, ref, whole, seen, marks) for ref in inputs(whole[client]))


def _has_read(unit: SeenUnit, ref: Ref, whole: Desired, seen: Mapping[Ref, Seen], marks: tuple[bytes, ...]) -> bool:
    """Whether a file has one of the marks, and had it when the process of the unit started, if that runs."""
    found, content = seen.get(ref), content_of(ref, whole, seen)
    if content is None or not isinstance(found, SeenFile) or not any(mark in content for mark in marks):
        return False
    return not runs(unit) or found.modified_at <= unit.started_at
