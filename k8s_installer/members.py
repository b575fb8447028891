"""Whether an etcd may be started as the inventory asks, given which hosts have its data. Pure.

etcd reads `initial-cluster` only where it has no log yet. A member that starts without one, and with
`initial-cluster-state: new`, makes a cluster of its own with whoever else does, beside the one that has the data; both
then call themselves healthy (seen with etcd 3.3.25 and 3.4.23). A member that had data and lost it is worse: it votes
as if it had never promised anything. So a plan stops where

- a member that has data was started with other members than the inventory has;
- a member without data would start, and another one has data of a cluster that was made otherwise or has been in use;
- no member has data, and the cluster has been in use: a disk is not mounted, or `data-dir` was changed.

A first start that was cut off resumes: some members have data, all were started with what the inventory still says, and
nothing that needs etcd was ever started.

Each etcd is judged by itself: a host may have several, as that of the cluster and that of flannel. The members that a
plan would start are judged, and all members and clients are the evidence, whatever part of them the plan is about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from k8s_installer.desired.model import Desired, Wanted
from k8s_installer.errors import InstallerError
from k8s_installer.plan import inputs, stale
from k8s_installer.resources import Data, File, Gate, Kept, Kind, Missing, Ref, Seen, SeenFile, SeenUnit, Unit

GUIDE = "docs/etcd.md"
# What etcd takes where its file does not say it.
_DEFAULT_NAME, _DEFAULT_URL, _DEFAULT_TOKEN = "default", "http://localhost:2380", "etcd-cluster"
_CHANGE = f"revert the members in the inventory, or change them by hand first, one at a time: {GUIDE}"
_LOST = (
    "mount its disk, or set data-dir and wal-dir back; if the data is lost, remove the member and add it again: "
    + GUIDE
)
_ALL_LOST = (
    f"mount the disks, set data-dir and wal-dir back, or restore a backup: {GUIDE}; to begin with an empty cluster, "
    "disable {} first"
)
_BACK = (
    "what was written since is not there: stop etcd, move the data back by hand, set data-dir and wal-dir in the "
    "inventory, then apply"
)
_ASK = "make these hosts reachable, then run the same command again"


@dataclass(frozen=True, slots=True)
class Start:
    """With what a member is started: NAME=PEER-URL of every member, the token, and whether it joins those that are."""

    members: frozenset[str]
    token: str
    joins: bool

    def makes(self, other: Start) -> bool:
        """Whether both make the same cluster: etcd derives its id from these two."""
        return (self.members, self.token) == (other.members, other.token)


def start(config: bytes) -> Start:
    """Read etcd's file (ETCD_NAME=VALUE, as systemd reads it); what is not there has etcd's default."""
    said = environment(config)
    members = said.get("ETCD_INITIAL_CLUSTER") or f"{said.get('ETCD_NAME') or _DEFAULT_NAME}={_DEFAULT_URL}"
    return Start(
        frozenset(item.strip() for item in members.split(",") if item.strip()),
        said.get("ETCD_INITIAL_CLUSTER_TOKEN") or _DEFAULT_TOKEN,
        joins=said.get("ETCD_INITIAL_CLUSTER_STATE") == "existing",
    )


def environment(config: bytes) -> dict[str, str]:
    """The variables of an EnvironmentFile, of which the last one counts."""
    lines = [line.strip() for line in config.decode(errors="replace").split("\n")]
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith(("#", ";"))]
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


@dataclass(frozen=True, slots=True)
class _Member:
    """One host of an etcd: where its log belongs and whether it is there, and how it was and is to be started.

    `has_data` is None where the host did not answer. `found` and `wanted` are None where the file is not there, or is
    brought back. `moves` are the folders of the data before and after, where bringing it back would change them.
    """

    host: str
    log: str
    has_data: bool | None
    runs: bool
    found: Start | None
    wanted: Start | None
    moves: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class _Etcd:
    """One etcd: its unit, its members, and what is known of its clients.

    `starts` are the hosts on which the plan may start it. `used` are the clients that were started before, `unknown`
    those whose host did not answer.
    """

    unit: str
    members: tuple[_Member, ...]
    starts: frozenset[str]
    used: tuple[Ref, ...]
    unknown: tuple[Ref, ...]


def evidence(whole: Desired, part: Desired) -> Desired:
    """What must be looked at to judge the members that a part of the whole may start; nothing if it starts none.

    It is of every host of the etcds that the part has a member of, and of every host of their clients.
    """
    data = [wanted.resource for wanted in whole.values() if isinstance(wanted.resource, Data)]
    units = {item.unit for item in data}
    started = {ref.name for ref in part if ref.kind is Kind.UNIT and ref.name in units}
    refs: dict[Ref, None] = {}
    for ref, wanted in whole.items():
        if isinstance(wanted.resource, Data) and wanted.resource.unit in started:
            own = (Ref(ref.host, Kind.FILE, wanted.resource.config), Ref(ref.host, Kind.UNIT, wanted.resource.unit))
            refs |= dict.fromkeys((ref, *own))
    later = {item.unit for item in data if item.added_later}
    for unit in sorted(started):
        for ref in _clients(whole, unit):
            refs |= dict.fromkeys((ref, *(inputs(whole[ref]) if unit in later else ())))
    return {ref: whole[ref] for ref in refs}


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
    findings = [finding for etcd in _etcds(whole, seen, part) for finding in _wrong(etcd)]
    if findings:
        words = [f"  {words}" for words, _ in findings]
        hints = dict.fromkeys(hint for _, hint in findings)
        raise InstallerError(
            "\n".join(["etcd cannot be started like this; nothing was changed:", *words]), hint="\n".join(hints)
        )


def _etcds(whole: Desired, seen: Mapping[Ref, Seen], part: Desired) -> Iterator[_Etcd]:
    by_unit: dict[str, list[tuple[Wanted, Data]]] = {}
    for wanted in whole.values():
        if isinstance(wanted.resource, Data):
            by_unit.setdefault(wanted.resource.unit, []).append((wanted, wanted.resource))
    for unit, items in by_unit.items():
        starts = frozenset(wanted.ref.host for wanted, data in items if _may_start(wanted.ref.host, data, seen, part))
        if starts:
            members = tuple(_member(wanted.ref, data, whole, seen, part) for wanted, data in items)
            clients = _clients(whole, unit)
            later = items[0][1].added_later
            yield _Etcd(
                unit,
                members,
                starts,
                used=tuple(ref for ref in clients if _was_started(ref, whole, seen, later=later)),
                unknown=tuple(ref for ref in clients if seen.get(ref, Missing.UNKNOWN) is Missing.UNKNOWN),
            )


def _may_start(host: str, data: Data, seen: Mapping[Ref, Seen], part: Desired) -> bool:
    """Whether the plan may start this member; one that runs, and keeps its file, begins nothing."""
    unit = seen.get(Ref(host, Kind.UNIT, data.unit))
    return Ref(host, Kind.UNIT, data.unit) in part and (Ref(host, Kind.FILE, data.config) in part or not _active(unit))


def _member(log: Ref, data: Data, whole: Desired, seen: Mapping[Ref, Seen], part: Desired) -> _Member:
    config = Ref(log.host, Kind.FILE, data.config)
    found, there, asked = seen.get(config), seen.get(log, Missing.UNKNOWN), whole[config].resource
    content = found.content if isinstance(found, SeenFile) else None
    if isinstance(found, SeenFile) and isinstance(asked, File) and found.sha256 == asked.sha256:
        content = asked.content
    was = start(content) if content is not None else None
    will = part[config].resource if config in part else None
    return _Member(
        log.host,
        log.name,
        has_data=None if there is Missing.UNKNOWN else isinstance(there, SeenFile),
        runs=_active(seen.get(Ref(log.host, Kind.UNIT, data.unit))),
        found=was,
        wanted=start(will.content) if isinstance(will, File) else None if config in part else was,
        moves=_moves(found) if isinstance(will, Kept) else None,
    )


def _moves(found: Seen | None) -> tuple[str, str] | None:
    """From which folders to which a file that comes back would move the data; None where they stay."""
    if not isinstance(found, SeenFile) or found.content is None or found.kept is None:
        return None
    now, then = (_folders(content) for content in (found.content, found.kept))
    return (now, then) if now != then else None


def _folders(config: bytes) -> str:
    values = environment(config)
    return " and ".join(filter(None, (values.get(name) for name in ("ETCD_DATA_DIR", "ETCD_WAL_DIR"))))


def _clients(whole: Desired, unit: str) -> list[Ref]:
    """The services that wait for the health of an etcd."""
    gates = {ref for ref, item in whole.items() if isinstance(item.resource, Gate) and item.resource.unit == unit}
    return [ref for ref, item in whole.items() if isinstance(item.resource, Unit) and not gates.isdisjoint(item.after)]


def _was_started(client: Ref, whole: Desired, seen: Mapping[Ref, Seen], *, later: bool) -> bool:
    """Whether a client was ever started with this etcd: it is enabled just before.

    One that may be older than the etcd (`later`) was started with it only where it has read the files that it now has,
    and those are what is wanted.
    """
    unit = seen.get(client)
    if not isinstance(unit, SeenUnit) or not (unit.enabled or _active(unit)):
        return False
    return not later or (
        not stale(whole[client], seen) and all(_as_wanted(ref, whole, seen) for ref in inputs(whole[client]))
    )


def _as_wanted(ref: Ref, whole: Desired, seen: Mapping[Ref, Seen]) -> bool:
    """Whether a host has the file that is wanted; a package in whatever version is."""
    file, found = whole[ref].resource, seen.get(ref)
    return not isinstance(file, File) or (isinstance(found, SeenFile) and found.sha256 == file.sha256)


def _active(unit: Seen | None) -> bool:
    return isinstance(unit, SeenUnit) and unit.active == "active"


def _wrong(etcd: _Etcd) -> Iterator[tuple[str, str]]:
    """Everything that is wrong with the members that the plan may start, each with what can be done about it."""
    yield from _changed(etcd)
    yield from _empty(etcd)
    for member in etcd.members:
        if member.host in etcd.starts and member.moves is not None:
            now, then = member.moves
            yield f"{member.host} has {etcd.unit}'s data in {now}; going back would start it with that in {then}", _BACK


def _changed(etcd: _Etcd) -> Iterator[tuple[str, str]]:
    """Members that have data, and whose cluster the inventory changes."""
    for member in etcd.members:
        was, now = member.found, member.wanted
        if member.host not in etcd.starts or not member.has_data or was is None or now is None or was.makes(now):
            continue
        said = [
            f"adds {_listed(now.members - was.members)}" if now.members - was.members else "",
            f"leaves out {_listed(was.members - now.members)}" if was.members - now.members else "",
            f"changes the token from {was.token} to {now.token}" if now.token != was.token else "",
        ]
        words = f"{member.host} has {etcd.unit}'s data and was started with {_listed(was.members)}; the inventory"
        yield f"{words} {', '.join(filter(None, said))}", _CHANGE


def _empty(etcd: _Etcd) -> Iterator[tuple[str, str]]:
    """Members that would start without data, and not as members that were let in."""
    elders = [member for member in etcd.members if member.has_data]
    others = f"{_listed(elder.host for elder in elders)} {'has' if len(elders) == 1 else 'have'}"
    for member in etcd.members:
        joins = member.wanted is not None and member.wanted.joins
        if member.host not in etcd.starts or member.has_data or joins:
            continue
        nothing = f"{member.host} has no data of {etcd.unit} in {member.log}"
        if member.runs:
            yield f"{nothing}, but {etcd.unit} runs there: its data is elsewhere, or was deleted", _LOST
        elif any(_apart(member, elder) for elder in elders):
            yield f"{nothing}: started now, it would make a second, empty cluster; {others} data", _CHANGE
        elif elders and etcd.used:
            yield f"{nothing}, and {others} data of a cluster that is in use: it has lost its own", _LOST
        elif silent := _silent(etcd, elders):
            yield f"{nothing}, and {silent}", _ASK
        elif etcd.used and not elders:
            first = etcd.used[0]
            yield f"{nothing}, and no other member has, but {first} was started before", _ALL_LOST.format(first)


def _apart(member: _Member, elder: _Member) -> bool:
    """Whether a member that starts empty makes another cluster than one that has data did."""
    return member.wanted is None or elder.found is None or not elder.found.makes(member.wanted)


def _silent(etcd: _Etcd, elders: Collection[_Member]) -> str:
    """Who did not answer, and so leaves open whether this is a first start; in words, empty where nobody does."""
    members = [member.host for member in etcd.members if member.has_data is None]
    if members and not elders:
        return f"{_listed(members)} may have, and did not answer"
    clients = {ref.host for ref in etcd.unknown}
    return f"{_listed(clients)} did not answer whether the cluster is in use" if clients else ""


def _listed(items: Iterable[str]) -> str:
    return ", ".join(sorted(items))
