"""A restore of etcd's data as a plan: all that uses etcd stops, every member's data is replaced, and all starts. Pure.

It is one plan of two parts. The first stops what runs: the masters' services in the order opposite to their starts, and
then all members. The second is what an inventory wants, planned as if all that had stopped: etcd's data is made of the
snapshot on every member before any of them starts. As at a first start nobody takes turns, for nobody is there to keep
a quorum. What nodes and the pods of the cluster's DNS know of the API is newer than what it has then, so the services
that ask it restart, and then these pods are replaced.

Where all members have the data already, an earlier restore was cut off after that: nothing is stopped any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from k8s_installer.errors import InputError
from k8s_installer.host.restored import KEYS, PODS, RESTORED, MadeOf
from k8s_installer.model.desired import Desired, DesiredResource
from k8s_installer.model.graph import nearest, ordered
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import (
    Check,
    Data,
    File,
    Gate,
    Kind,
    Missing,
    Ref,
    Resource,
    Seen,
    SeenSetting,
    SeenUnit,
    Setting,
    Unit,
    UploadedFile,
)
from k8s_installer.model.run import Run
from k8s_installer.planning.etcd.config import environment, folders, start
from k8s_installer.planning.etcd.facts import by_unit
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.turns import Batch

ETCD = "etcd"
_MASTERS = "masters"
_STOPS = (_MASTERS, ETCD)
_PHASE = "before the restore"  # under which the plan shows what stops
_WRITES = "nothing may write while etcd's data is replaced"
_KNOWS = "its cached objects are newer than the restored ones"
_ALWAYS = float("inf")


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the cluster's etcd: its host, the gate of its health, and the folders of its data and its log."""

    host: str
    gate: Gate
    data: str
    log: str


@dataclass(frozen=True, slots=True)
class Restore:
    """What etcd's data is made of: a snapshot, the requests for the keys of API v2, and the new cluster's token.

    `keys` is None where the backup has none. `replaces_pods` says that pods which watch the API are replaced; without
    a token that the API server accepts, those that run are better than new ones.
    """

    token: str
    snapshot: UploadedFile
    keys: UploadedFile | None = None
    replaces_pods: bool = True


@dataclass(frozen=True, slots=True)
class Restored:
    """What is wanted where etcd's data is replaced, and the nodes' services that ask the API all the time."""

    desired: Desired
    asking: tuple[Ref, ...]


def members(whole: Desired) -> dict[str, Member]:
    """The members of the cluster's etcd, by host."""
    gates = {
        ref.host: item.resource
        for ref, item in whole.items()
        if isinstance(item.resource, Gate) and item.resource.unit == ETCD and item.resource.check is Check.ETCD_HEALTH
    }
    places = {item.ref.host: folders(_config(item, data, whole)) for item, data in by_unit(whole).get(ETCD, ())}
    return {host: Member(host, gates[host], place.data, place.log) for host, place in places.items()}


def _config(item: DesiredResource, data: Data, whole: Desired) -> bytes:
    file = whole[Ref(item.ref.host, Kind.FILE, data.config)].resource
    return file.content if isinstance(file, File) else b""


def restored(whole: Desired, restore: Restore) -> Restored:
    """What an inventory wants, with etcd's data replaced on all members before any of them starts.

    What etcd's data was is no question then, so it is left out.

    Raises:
        InputError: the inventory has no member.
    """
    items = by_unit(whole).get(ETCD, [])
    if not items:
        raise InputError("the inventory has no host with the role etcd: there is nothing to restore to")
    result = {ref: item for ref, item in whole.items() if not _is_its_data(item)}
    settings = dict(_setting(item, data, whole, restore) for item, data in items)
    for unit in settings:
        result[unit] = replace(whole[unit], after=(*whole[unit].after, *(item.ref for item in settings.values())))
    result |= {item.ref: item for item in settings.values()}
    if restore.keys is not None:
        result = _with_keys(result, members(whole)[min(members(whole))], restore.keys, restore.token)
    if restore.replaces_pods:
        result |= dict(_with_pods(result, restore.token))
    names = {name for _, data in items for name in data.shown_by}
    asking = tuple(ref for ref, item in whole.items() if _is_unit_of(item, names))
    return Restored(dict(_leading_side_by_side(result)), asking)


def _leading_side_by_side(wanted: Desired) -> Iterator[tuple[Ref, DesiredResource]]:
    """The same where no service of a master waits for a leader of another service.

    The leases are those of the backup, so each takes its time (15 s) to end: they may do so at the same time.
    """
    leases = {
        ref
        for ref, item in wanted.items()
        if isinstance(item.resource, Gate) and item.resource.check in (Check.LEASE_HELD, Check.LEASE_RENEWED)
    }
    for ref, item in wanted.items():
        waits = ref.kind is not Kind.UNIT or item.turn.group != _MASTERS
        yield ref, item if waits else replace(item, after=tuple(one for one in item.after if one not in leases))


def _is_unit_of(item: DesiredResource, names: Collection[str]) -> bool:
    return item.ref.kind is Kind.UNIT and item.component in names


def _is_its_data(item: DesiredResource) -> bool:
    return isinstance(item.resource, Data) and item.resource.unit == ETCD


def _setting(item: DesiredResource, data: Data, whole: Desired, restore: Restore) -> tuple[Ref, DesiredResource]:
    """A member's unit, and what replaces its data: after its packages and files."""
    host, content = item.ref.host, _config(item, data, whole)
    where, how, said = folders(content), start(content), environment(content)
    name = said.get("ETCD_NAME") or "default"
    (url,) = (one.partition("=")[2] for one in how.members if one.partition("=")[0] == name)
    log = where.log if not where.log.startswith(f"{where.data}/") else ""
    made = MadeOf(restore.token, restore.snapshot.sha256, name, url, ",".join(sorted(how.members)), log)
    unit = whole[Ref(host, Kind.UNIT, ETCD)]
    own = tuple(ref for ref in unit.after if ref.host == host and ref.kind not in (Kind.UNIT, Kind.GATE, Kind.DATA))
    ref = Ref(host, Kind.SETTING, f"{RESTORED} {where.data}")
    because = "etcd's data comes from a backup; every member is made of the same snapshot."
    setting = Setting(str(made), restore.snapshot)
    return unit.ref, DesiredResource(ref, setting, unit.component, own, because, unit.turn)


def _with_keys(wanted: Desired, member: Member, keys: UploadedFile, token: str) -> dict[Ref, DesiredResource]:
    """The same where the keys of API v2 are written, after etcd's gates and before all that waits for these."""
    gates = {ref for ref, item in wanted.items() if isinstance(item.resource, Gate) and item.resource.unit == ETCD}
    gate, host = member.gate, member.host
    files = (gate.url.removesuffix("/health"), gate.ca, gate.cert, gate.key)
    ref = Ref(host, Kind.SETTING, " ".join(filter(None, (KEYS, *files))))
    unit = wanted[Ref(host, Kind.UNIT, ETCD)]
    because = "Kubernetes of this version keeps its objects in etcd's API v2, which no snapshot has."
    setting = DesiredResource(
        ref, Setting(f"{token}|{keys.sha256}", keys), unit.component, tuple(sorted(gates)), because, unit.turn
    )
    result = {
        other: item if other in gates or gates.isdisjoint(item.after) else replace(item, after=(*item.after, ref))
        for other, item in wanted.items()
    }
    return {**result, ref: setting}


def _with_pods(wanted: Desired, token: str) -> Iterator[tuple[Ref, DesiredResource]]:
    """What replaces the pods of the cluster's DNS, if it has one, before the gate that waits for them."""
    because = "The pods watch the API from a revision that etcd's data no longer has."
    for gate, item in wanted.items():
        its = item.resource
        if isinstance(its, Gate) and its.check is Check.POD_READY:
            ref = Ref(gate.host, Kind.SETTING, " ".join(filter(None, (PODS, its.url, its.ca, its.cert, its.key))))
            yield ref, replace(item, ref=ref, resource=Setting(token), because=because)
            yield gate, replace(item, after=(*item.after, ref))


def plan(wanted: Desired, restored: Restored, seen: Mapping[Ref, Seen], batch: Batch) -> tuple[Plan, Plan]:
    """The plan that stops what runs, and the one that restores and starts; `joined` makes one of them.

    Data is replaced on all members or on none. A member that begins again beside others that have run would have
    forgotten what it confirmed to them.

    Args:
        wanted: what is wanted, with what leaves hosts.
        restored: what an inventory wants of that.
        seen: what hosts have.
        batch: how many nodes may restart at once.
    """
    whole = restored.desired
    settings = [ref for ref in whole if _is_of(ref, RESTORED)]
    done = all(seen.get(ref) == SeenSetting(_value(whole[ref])) for ref in settings)
    running = {} if done else _stopping(whole, seen)
    stops = make_plan(dict(_stops(whole, running)), seen)
    known = {**seen, **{ref: _stopped(seen[ref]) for ref in running}}
    known |= {ref: _outdated(known[ref]) for ref in restored.asking if _runs(known.get(ref))}
    known |= {
        ref: Missing.ABSENT
        for ref in whole
        if _is_of(ref, KEYS) or _is_of(ref, PODS) or (_is_of(ref, RESTORED) and not done)
    }
    return stops, _explained(make_plan(wanted, known, batch), restored.asking)


def joined(first: Plan, second: Plan) -> Plan:
    """One plan: nothing of the second begins before all of the first is done."""
    count, awaited = len(first.changes), {other for waits in first.after for other in waits}
    ends = tuple(index for index in range(count) if index not in awaited)
    after = tuple(tuple(index + count for index in waits) or ends for waits in second.after)
    return Plan(first.changes + second.changes, first.after + after)


def left(made: Plan, run: Run) -> tuple[str, ...] | None:
    """The hosts on which a restore's plan was not carried out; None if etcd's members or masters are among them.

    Where they are not, etcd's data is the backup's and in use: to replace it again would lose what is written now.
    """
    broken = [made.changes[event.index] for event in (*run.failures, *run.skipped)]
    if any(change.turn.group in _STOPS for change in broken):
        return None
    return tuple(sorted({change.turn.member or change.ref.host for change in broken}))


def _is_of(ref: Ref, family: str) -> bool:
    return ref.kind is Kind.SETTING and ref.name.startswith(f"{family} ")


def _value(item: DesiredResource) -> str:
    return item.resource.value if isinstance(item.resource, Setting) else ""


def _stopping(whole: Desired, seen: Mapping[Ref, Seen]) -> dict[Ref, frozenset[Ref]]:
    """What runs of etcd's members and of all on masters that comes after them; for each, what stops after it."""
    after = {ref: item.after for ref, item in whole.items()}
    units = {ref for ref in whole if ref.kind is Kind.UNIT and whole[ref].turn.group in _STOPS}
    result: dict[Ref, frozenset[Ref]] = {}
    for ref, before in nearest(units, ordered(whole, after), after).items():
        if whole[ref].turn.group == ETCD or before & result.keys():
            result[ref] = before & result.keys()
    return {ref: before for ref, before in result.items() if _runs(seen.get(ref))}


def _stops(whole: Desired, running: Mapping[Ref, frozenset[Ref]]) -> Iterator[tuple[Ref, DesiredResource]]:
    """These services as not running, each after those that come after it; nobody takes turns."""
    for ref in running:
        followers = tuple(other for other, before in running.items() if ref in before)
        stopped = replace(whole[ref], resource=_inactive(whole[ref].resource), because=_WRITES, component=_PHASE)
        yield ref, replace(stopped, after=followers, leaving=True, note="")


def _inactive(resource: Resource) -> Resource:
    return replace(resource, active=False) if isinstance(resource, Unit) else resource


def _runs(found: Seen | None) -> bool:
    return isinstance(found, SeenUnit) and found.active not in ("inactive", "failed")


def _stopped(found: Seen) -> Seen:
    return replace(found, active="inactive", sub="stopped for the restore") if isinstance(found, SeenUnit) else found


def _outdated(found: Seen) -> Seen:
    return replace(found, due_at=_ALWAYS) if isinstance(found, SeenUnit) else found


def _explained(made: Plan, asking: Collection[Ref]) -> Plan:
    """The plan, where those that would not restart otherwise say why they do."""
    changes = (
        replace(change, reason=_KNOWS) if change.ref in asking and change.action is Action.RESTART else change
        for change in made.changes
    )
    return replace(made, changes=tuple(changes))
