"""What was placed on hosts and is no longer wanted, and what a plan adds to their records. Pure.

A host's record (`host/placed.py`) names everything that this program placed there. What is recorded and not in what is
wanted becomes part of what is wanted, as its opposite: a unit that does not run, a path as it was before, a package
that is not installed, a setting with its old value. From there on it is planned, shown and carried out like all else.

On one host the order is: units stop; what is wanted comes up; files leave, ahead of the restart of units that read
them and stay; then what programs have left, packages, and settings. So a mistake in what is wanted shows before
anything is gone that it may need.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from k8s_installer.errors import InstallerError
from k8s_installer.host import families
from k8s_installer.host.addons import ADDONS as ADDONS_SETTING
from k8s_installer.host.families.user import NAME as USER
from k8s_installer.host.nodes import NAME as NODE
from k8s_installer.host.paths import ADDONS, unit_of
from k8s_installer.host.placed import NAME, PATH, RENDERED
from k8s_installer.model.desired import Desired, DesiredResource, Turn, by_host
from k8s_installer.model.groups import GROUPS
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import (
    File,
    Gate,
    Kind,
    Leaves,
    NoLeftovers,
    NoPackage,
    Original,
    Package,
    Placed,
    Record,
    Ref,
    Resource,
    Seen,
    SeenFile,
    SeenLeftovers,
    SeenPackage,
    SeenRecord,
    SeenSetting,
    SeenUnit,
    Setting,
    Unit,
    UploadedFile,
)
from k8s_installer.planning.make import make_plan, readers
from k8s_installer.planning.select import narrowed

KUBELET = "kubelet"  # the component that makes a host a node
NONE = "absent"  # what a setting was that was not there
# Of these nothing is taken back: applied objects are the cluster's, and loaded images go with docker's own folder.
_STAY = ("addon", "addons", "image")
_MADE = ("folders", "links", "chains", "rules", "routes", "units")  # of `Leaves`: what programs may have made alike
_AFTER = {Kind.FILE: 0, Kind.LEFTOVERS: 1, Kind.PACKAGE: 2, Kind.SETTING: 3}  # the order of what leaves after units


def question(host: str) -> DesiredResource:
    """What asks a host for its record."""
    return DesiredResource(Ref(host, Kind.RECORD, NAME), Record(), "host", (), "What was placed on the host.")


def entries(seen: Mapping[Ref, Seen], host: str) -> tuple[Placed, ...]:
    """The host's record as it was seen; empty where it has none, or was not asked for it."""
    found = seen.get(Ref(host, Kind.RECORD, NAME))
    return found.entries if isinstance(found, SeenRecord) else ()


def brought_up_to_date(seen: Mapping[Ref, Seen], leaves_of: Callable[[str, str], Leaves | None]) -> Mapping[Ref, Seen]:
    """The same, where a line about what programs leave says what is known of them now.

    An earlier version, or an earlier inventory, may have written it. The folders that the line claims stay the only
    ones, with the data that is below them.

    Args:
        seen: what hosts have, their records among it.
        leaves_of: gives what a component or file (the second argument) leaves on a host (the first), if that is known.
    """
    result = dict(seen)
    for ref, found in seen.items():
        if isinstance(found, SeenRecord) and any(entry.leaves for entry in found.entries):
            joined = (
                _joined(entry, leaves_of(ref.host, entry.name)) if entry.leaves else entry for entry in found.entries
            )
            result[ref] = SeenRecord(tuple(joined))
    return result


def _joined(entry: Placed, now: Leaves | None) -> Placed:
    old = entry.leaves
    if old is None or now is None:
        return entry
    # a line that claims some of these rules has left out those that were there before; else it has none of this form
    rules = old.rules if not old.rules or not {*now.rules}.isdisjoint(old.rules) else (*old.rules, *now.rules)
    unknown = [path for path in now.data if path not in old.data]
    below = (path for path in unknown if any(path.startswith(f"{folder}/") for folder in old.folders))
    both: dict[str, Any] = {
        field: tuple(dict.fromkeys((*getattr(old, field), *getattr(now, field))))
        for field in ("data", "links", "chains", "routes", "units")
    }
    leaves = replace(old, folders=(*old.folders, *below), rules=rules, **both)
    return entry if leaves == old else replace(entry, leaves=leaves, joined=True)


def leaving(
    whole: Desired, part: Desired, seen: Mapping[Ref, Seen], hosts: Collection[str], only: Collection[str] | None,
    *, master: str = "", data: bool = False,
) -> Desired:  # fmt: skip
    """What is wanted, with the opposite of what hosts have placed and `whole` does not want.

    Args:
        whole: all that the inventory wants.
        part: what a plan is about.
        seen: what hosts have, their records among it.
        hosts: whose records count.
        only: the components that the plan is about; None is all.
        master: who deletes the Node objects of hosts that are nodes no more; nobody where this is empty.
        data: whether data that cannot be made again goes, too.
    """
    result = dict(part)
    names: dict[str, set[tuple[Kind, str]]] = defaultdict(set)
    for ref in {**whole, **part}:
        names[ref.host].add((ref.kind, ref.name))
    running: dict[str, set[str]] = defaultdict(set)
    for ref, wanted in whole.items():
        if ref.kind is Kind.UNIT:
            running[ref.host].add(wanted.component)
    wanted_on = by_host(part)
    for host in hosts:
        runs = running[host]
        gone = [
            entry
            for entry in entries(seen, host)
            if (entry.kind, entry.name) not in names[host]
            and _goes(entry, runs, names[host])
            and (only is None or entry.component in only)
        ]
        if gone:
            elsewhere = {name for kind, name in names[host] if kind is Kind.UNIT and Ref(host, kind, name) not in part}
            own = wanted_on.get(host, [])
            result |= {item.ref: item for item in _without(own, host, gone, runs, elsewhere, data=data)}
            if master and any(entry.kind is Kind.LEFTOVERS and entry.name == KUBELET for entry in gone):
                _delete_node(result, host, master)
    return result


def without_nodes(part: Desired, hosts: Iterable[str], master: str) -> Desired:
    """What is wanted, without the Node objects of absent hosts that do not answer; a master deletes them."""
    result = dict(part)
    for host in hosts:
        _add_node(result, host, master, Turn("", host))
    return result


def _delete_node(result: dict[Ref, DesiredResource], host: str, master: str) -> None:
    """Delete a host's Node once its kubelet has stopped, and ahead of what the kubelet has left there.

    The record has a line about that until it is gone. So a Node that could not be deleted is not forgotten.
    """
    stopped, left = Ref(host, Kind.UNIT, KUBELET), result[Ref(host, Kind.LEFTOVERS, KUBELET)]
    node = _add_node(result, host, master, left.turn, *([stopped] if stopped in result else []))
    result[left.ref] = replace(left, after=(*left.after, node))


def _add_node(result: dict[Ref, DesiredResource], host: str, master: str, turn: Turn, *after: Ref) -> Ref:
    ref = Ref(master, Kind.SETTING, f"{NODE} {host}")
    because = f"{host} is no node any more."
    result[ref] = DesiredResource(ref, Setting(NONE), KUBELET, after, because, turn, leaving=True)
    return ref


def _goes(entry: Placed, runs: Collection[str], names: Collection[tuple[Kind, str]]) -> bool:
    """Whether an entry that is not wanted itself leaves: nothing that stays may need it."""
    if any((Kind.PACKAGE, package) in names for package in entry.came_with):
        return False
    if entry.kind is Kind.FILE and entry.name.startswith(f"{ADDONS}/"):
        return (Kind.SETTING, ADDONS_SETTING) not in names  # it removes them, with their objects
    if entry.kind is Kind.SETTING:
        family = entry.name.partition(" ")[0]
        # a user may have come to packages that are there now
        used = _is_user(entry) and not entry.came_with and entry.component in runs
        return family in families.FAMILIES and _original(entry) is not None and not used
    return entry.kind is not Kind.LEFTOVERS or (entry.name not in runs and (Kind.FILE, entry.name) not in names)


def _is_user(entry: Placed) -> bool:
    return entry.kind is Kind.SETTING and entry.name.startswith(f"{USER} ")


def _original(entry: Placed) -> str | None:
    """The value that puts a setting back; None if there is no way back."""
    return families.original(entry.name, None if entry.before == NONE else entry.before)


def _without(
    own: Sequence[DesiredResource],
    host: str,
    gone: Sequence[Placed],
    runs: Collection[str],
    elsewhere: Container[str],
    *,
    data: bool,
) -> Iterator[DesiredResource]:
    """What changes in what a host wants, since these are gone: what leaves, and units that stay and read it."""
    running = {wanted.ref.name for wanted in own if isinstance(wanted.resource, Unit)}
    item = partial(_item, host, stays=bool(running))
    stopping = [entry for entry in gone if entry.kind is Kind.UNIT and not _ran(entry)]
    returning = [entry for entry in gone if entry.kind is Kind.UNIT and _ran(entry)]  # without our files
    read_by: dict[str, list[str]] = defaultdict(list)
    for entry in gone:
        for unit in entry.units if entry.kind is Kind.FILE else ():
            read_by[unit].append(entry.name)

    # units stop, the last to start first
    stops: list[Ref] = []
    for entry in reversed(stopping):
        yield item(entry, _unit(entry, read_by[entry.name]), stops[-1:])
        stops.append(Ref(host, Kind.UNIT, entry.name))

    # what is wanted comes up; files leave ahead of the restart of units that read them and stay
    running |= {entry.name for entry in returning}
    early, late = list[Placed](), list[Placed]()
    for entry in gone:
        (early if entry.kind is Kind.FILE and not running.isdisjoint(entry.units) else late).append(entry)
    packages = [wanted.ref for wanted in own if isinstance(wanted.resource, Package)]
    for entry in early:
        yield item(entry, _original_file(entry, elsewhere), (*packages, *stops[-1:]))
    back = [item(entry, _unit(entry), _configuring(own, entry.name)) for entry in returning]
    for wanted in (*own, *back):
        if isinstance(wanted.resource, Unit):
            yield _reader(wanted, wanted.resource, read_by[wanted.ref.name], stops)

    # then all other files, what programs have left, packages, and settings, one after the other
    up = [wanted.ref for wanted in (*own, *back) if isinstance(wanted.resource, Unit | Gate)]
    before = (*up, *stops[-1:])
    for entry in sorted((entry for entry in late if entry.kind in _AFTER), key=_place):
        resource = _opposite(entry, elsewhere, in_use=entry.component in runs, data=data)
        if isinstance(resource, NoLeftovers):
            resource = NoLeftovers(_apart(resource.leaves, own))
        yield item(entry, resource, before)
        before = (Ref(host, entry.kind, entry.name),)


def _configuring(own: Iterable[DesiredResource], unit: str) -> tuple[Ref, ...]:
    """The settings with which a unit starts."""
    settings = (wanted.ref for wanted in own if isinstance(wanted.resource, Setting))
    return tuple(ref for ref in settings if families.unit(ref.name) == unit)


def _apart(leaves: Leaves, own: Iterable[DesiredResource]) -> Leaves:
    """The same without what something that is wanted on the host makes as well."""
    wanted = [left for item in own if isinstance(left := getattr(item.resource, "leaves", None), Leaves)]
    kept = {(field, name) for left in wanted for field in _MADE for name in getattr(left, field)}
    apart: dict[str, Any] = {
        field: tuple(name for name in getattr(leaves, field) if (field, name) not in kept) for field in _MADE
    }
    return replace(leaves, **apart)


def _place(entry: Placed) -> int:
    return _AFTER[entry.kind]


def _ran(entry: Placed) -> bool:
    """Whether a unit ran before this program first touched it."""
    return "active" in entry.before.split()


def _unit(entry: Placed, reads: Iterable[str] = ()) -> Unit:
    return Unit(entry.name, reads=tuple(reads), active=_ran(entry), enabled="enabled" in entry.before.split())


def _original_file(entry: Placed, elsewhere: Container[str]) -> Original:
    """The file from before; units that read ours and stay, but are no part of the plan, will have to restart."""
    return Original(entry.secret, tuple(unit for unit in entry.units if unit in elsewhere))


def _opposite(entry: Placed, elsewhere: Container[str], *, in_use: bool, data: bool) -> Resource:
    if entry.kind is Kind.FILE:
        return _original_file(entry, elsewhere)
    if entry.kind is Kind.PACKAGE:
        return NoPackage(in_use)
    if entry.leaves is None:
        return Setting(_original(entry) or "")
    return NoLeftovers(entry.leaves if data else without_data(entry.leaves))


def without_data(leaves: Leaves) -> Leaves:
    """The same, but for the folders whose content cannot be made again."""
    return replace(leaves, folders=tuple(path for path in leaves.folders if path not in leaves.data))


def _item(host: str, entry: Placed, resource: Resource, after: Iterable[Ref], *, stays: bool) -> DesiredResource:
    """What leaves a host on which units of ours stay or not."""
    ref = Ref(host, entry.kind, entry.name)
    because = f"{entry.component} no longer has it" if stays else f"{host} has no {entry.component} any more"
    turn = Turn(entry.group if entry.group in GROUPS else "", host)  # a version that wrote the record had other ones
    return DesiredResource(ref, resource, entry.component, tuple(after), because, turn, leaving=True)


def _reader(wanted: DesiredResource, unit: Unit, paths: list[str], stops: list[Ref]) -> DesiredResource:
    """A unit that stays: it restarts without the files that leave, and starts when those that stop have stopped."""
    if not paths and not stops:
        return wanted
    host = wanted.ref.host
    defines = tuple(path for path in paths if unit_of(path))
    reads = tuple(path for path in paths if path not in defines)
    unit = replace(unit, defined_by=(*unit.defined_by, *defines), reads=(*unit.reads, *reads))
    after = (*wanted.after, *(Ref(host, Kind.FILE, path) for path in paths), *stops[-1:])
    return replace(wanted, resource=unit, after=after)


def adopting(part: Desired, seen: Mapping[Ref, Seen]) -> Desired:
    """What is wanted, with an entry in the record for all that this program wrote and never recorded.

    That is a file that is as wanted, or has this program's header. A host that was installed before there was a record
    has none: there the components that have such a file are adopted whole, with packages, units, and keys and programs,
    which have no header. A fresh host has no such file, so what is found there stays its own. What should leave and has
    left by other hands is taken out of the record: whoever places it again owns it.
    """
    result = _with_owners(part, seen)
    adopts: dict[Ref, DesiredResource] = {}
    for host, items in by_host(result).items():
        ref = Ref(host, Kind.RECORD, NAME)
        if ref not in seen:
            continue  # nobody asked
        known = {(entry.kind, entry.name): entry for entry in entries(seen, host)}
        left = _left(items, known, seen)
        ours = {item.ref: item for item in items if _is_ours(item, seen.get(item.ref))}
        doubtful: list[str] = []
        if ours and not known:
            ours |= _installed(items, seen, {item.component for item in ours.values()})
            doubtful = [item.ref.name for item in items if item.ref not in ours and _is_file(item, seen.get(item.ref))]
        unknown = [item for item in ours.values() if not _is_known(item, known)]  # mostly none
        read_by = readers((item.ref, item.resource) for item in items) if unknown else {}
        new = tuple(
            _as_found(entry, seen.get(item.ref))
            for item in unknown
            for entry in _entries(item, None, read_by)
            if (entry.kind, entry.name) not in known
        )
        # of data that is kept the record knows from then on whose it is
        gone = tuple(
            entry
            for item in items
            if item.ref in left
            and (entry := known[item.ref.kind, item.ref.name]).leaves == getattr(item.resource, "leaves", None)
        )
        kept = tuple(known[item.ref.kind, item.ref.name] for item in items if _keeps_data(item, known))
        if new or gone or kept:
            because = ", and ".join(
                [f"{_counted(new)} placed before they were recorded"] * bool(new)
                + [f"{', '.join(entry.name for entry in gone)} left by other hands"] * bool(gone)
                + [f"an earlier version did not record where {', '.join(map(_name, kept))} has data"] * bool(kept)
                + [f"{', '.join(doubtful)} kept as found: nothing shows who wrote it"] * bool(doubtful)
            )
            # first of all: a package that is uninstalled takes files along that are not ours
            first = next((item for item in items if not item.leaving), items[0])
            adopts[ref] = DesiredResource(
                ref, Record((*new, *kept), gone), "host", (), because, first.turn, leaving=first.leaving
            )
    return {**adopts, **result}


def _with_owners(part: Desired, seen: Mapping[Ref, Seen]) -> Desired:
    """The same without users that data belongs to which stays: the next user that is made would get their number."""
    stay, words = set[Ref](), dict[tuple[str, str], str]()  # these by host and component
    for ref, item in part.items():
        found = seen.get(ref) if item.leaving else None
        for owner in found.owners if isinstance(found, SeenLeftovers) else ():
            user = part.get(Ref(ref.host, Kind.SETTING, f"{USER} {owner}"))
            if user is not None and user.leaving:
                stay.add(user.ref)
                said = words.get((ref.host, ref.name), "")
                words[ref.host, ref.name] = f"{said}; user {owner} stays, like the data that belongs to it"
    if not stay:
        return part
    return {
        ref: replace(item, because=item.because + words.get((ref.host, item.component), ""))
        if isinstance(item.resource, NoPackage)
        else item
        for ref, item in narrowed(part, lambda item: item.ref not in stay).items()
    }


def _left(
    items: Iterable[DesiredResource], known: Container[tuple[Kind, str]], seen: Mapping[Ref, Seen]
) -> Collection[Ref]:
    """What is recorded and should leave, and there is nothing to do for it."""
    leaves = {item.ref: item for item in items if item.leaving and (item.ref.kind, item.ref.name) in known}
    if not leaves:
        return ()
    among = {
        ref: replace(item, after=tuple(before for before in item.after if before in leaves))
        for ref, item in leaves.items()
    }
    changing = {change.ref for change in make_plan(among, seen).changes}
    return leaves.keys() - changing


def _keeps_data(item: DesiredResource, known: Mapping[tuple[Kind, str], Placed]) -> bool:
    """Whether what leaves keeps data that the record's own line does not name yet."""
    if not isinstance(item.resource, NoLeftovers):
        return False
    entry = known.get((item.ref.kind, item.ref.name))
    return entry is not None and entry.joined and not {*item.resource.leaves.data} <= {*item.resource.leaves.folders}


def _name(entry: Placed) -> str:
    return entry.name


def _is_known(item: DesiredResource, known: Container[tuple[Kind, str]]) -> bool:
    """Whether all that there is to record of a resource is in the record."""
    leaves = getattr(item.resource, "leaves", None)
    return (item.ref.kind, item.ref.name) in known and (leaves is None or (Kind.LEFTOVERS, leaves.name) in known)


def _is_file(item: DesiredResource, found: Seen | None) -> bool:
    return isinstance(item.resource, File | UploadedFile) and isinstance(found, SeenFile)


def _is_ours(item: DesiredResource, found: Seen | None) -> bool:
    """Whether a file shows by itself that this program wrote it."""
    wanted = item.resource
    if not isinstance(wanted, File | UploadedFile) or not isinstance(found, SeenFile):
        return False
    return found.rendered or found.sha256 == wanted.sha256


def _installed(
    items: Iterable[DesiredResource], seen: Mapping[Ref, Seen], components: Container[str]
) -> dict[Ref, DesiredResource]:
    """What there is of these components on a host, but for files that would have this program's header if it were ours.

    Such a file is somebody's: the first one to be placed there keeps it as the original.
    """
    there = {}
    for item in items:
        found = seen.get(item.ref)
        plain = not (isinstance(item.resource, File) and RENDERED.encode() in item.resource.content)
        if item.component in components and (
            isinstance(found, SeenPackage)
            or (isinstance(found, SeenUnit) and found.enabled)
            or (plain and _is_file(item, found))
        ):
            there[item.ref] = item
    return there


def _as_found(entry: Placed, found: Seen | None) -> Placed:
    """An entry with the sum of the file that there is: the change that replaces it is yet to come."""
    return replace(entry, sha256=found.sha256) if entry.kind is Kind.FILE and isinstance(found, SeenFile) else entry


def _counted(new: Collection[Placed]) -> str:
    counts = {kind: sum(entry.kind is kind for entry in new) for kind in (Kind.FILE, Kind.PACKAGE, Kind.UNIT)}
    return ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items() if count)


def recording(plan: Plan, desired: Desired, seen: Mapping[Ref, Seen], cluster: str = "") -> Plan:
    """The plan, whose changes write the records of their hosts: what is placed for the first time, and what leaves.

    Args:
        plan: the changes.
        desired: what they are made of.
        seen: what hosts have, their records among it; a host that was not asked for its record writes none.
        cluster: the name of the cluster that all of this is for.
    """
    if not plan.changes:
        return plan
    read_by: dict[str, Mapping[Ref, tuple[str, ...]]] = {}
    items = by_host(desired)
    known = {
        host: {(entry.kind, entry.name): entry for entry in entries(seen, host)}
        for host in {change.ref.host for change in plan.changes}
        if Ref(host, Kind.RECORD, NAME) in seen
    }
    for change in plan.changes:
        if isinstance(change.after, Record):
            known[change.ref.host].update(
                {(entry.kind, entry.name): replace(entry, joined=False) for entry in change.after.entries}
            )
    changes: list[Change] = []
    for change in plan.changes:
        host = change.ref.host
        if host not in known or change.ref.kind in (Kind.GATE, Kind.RECORD):
            changes.append(change)
            continue
        if host not in read_by:
            read_by[host] = readers((item.ref, item.resource) for item in items[host])
        leaves = desired[change.ref].leaving or change.action is Action.REMOVE
        old = known[host].get((change.ref.kind, change.ref.name)) if leaves else None
        new: tuple[Placed, ...] = ()
        if not leaves and change.action in _PLACES:
            item = replace(desired[change.ref], resource=change.after)
            # an install that failed before is recorded, and not what it brings along
            again = change.action is Action.INSTALL
            new = tuple(
                entry
                for entry in item.recorded or _entries(item, change.before, read_by[host])
                if _is_new(entry, known[host]) or (again and entry.kind is Kind.PACKAGE)
            )
            new += _outdated(item, known[host])
            known[host].update({(entry.kind, entry.name): replace(entry, joined=False) for entry in new})
        forgets = (old,) if old else ()
        changes.append(replace(change, records=new, forgets=forgets) if new or forgets else change)
    return replace(plan, changes=tuple(_for(cluster, change) if change.records else change for change in changes))


def _for(cluster: str, change: Change) -> Change:
    return replace(change, records=tuple(replace(entry, cluster=cluster) for entry in change.records))


def owners(seen: Mapping[Ref, Seen], hosts: Iterable[str], cluster: str) -> dict[str, tuple[str, ...]]:
    """The other clusters that have placed something on these hosts, by host; hosts of `cluster` alone have none.

    Data that a reset left there, with users, is nobody's.
    """
    found: dict[str, tuple[str, ...]] = {}
    for host in hosts:
        placed = (entry for entry in entries(seen, host) if entry.kind is not Kind.LEFTOVERS and not _is_user(entry))
        others = {entry.cluster for entry in placed} - {cluster, ""}
        if others:
            found[host] = tuple(sorted(others))
    return found


def require_own(seen: Mapping[Ref, Seen], hosts: Iterable[str], cluster: str) -> None:
    """Stop where another cluster has placed something on a host.

    Raises:
        InstallerError: one has; it says which, and how a host is moved.
    """
    found = owners(seen, hosts, cluster)
    for other in next(iter(found.values()), ())[:1]:
        there = ", ".join(host for host, others in found.items() if other in others)
        raise InstallerError(
            f"cluster {other} is installed on {there}, as the record there says; nothing was changed",
            hint=f"check the addresses in the inventory: {other} may be running on these machines\n"
            f"if you edited the name: change it back to {other}. A running cluster cannot be renamed\n"
            f"to move {there} to {cluster}: set `state: absent` in the inventory of {other}, and apply that. It stops "
            f"and removes everything that {other} runs there\n"
            f"if that inventory is lost: remove {PATH} there; what only {other} has placed then stays",
        )


_PLACES = frozenset(
    {
        Action.INSTALL, Action.CREATE, Action.UPDATE, Action.REWRITE, Action.RESTORE, Action.SET, Action.START,
        Action.RESTART, Action.ENABLE, Action.STOP, Action.DISABLE,
    }
)  # fmt: skip


def _is_new(entry: Placed, known: Mapping[tuple[Kind, str], Placed]) -> bool:
    """Whether an entry says more than the record; of what was there before only the first one knows."""
    old = known.get((entry.kind, entry.name))
    return old is None or (entry.kind is Kind.FILE and old.sha256 != entry.sha256)


def _outdated(item: DesiredResource, known: Mapping[tuple[Kind, str], Placed]) -> tuple[Placed, ...]:
    """The line about what programs leave, as it is known now, if the record's says less; it claims nothing new."""
    leaves = getattr(item.resource, "leaves", None)
    old = known.get((Kind.LEFTOVERS, leaves.name)) if leaves is not None else None
    return (old,) if old is not None and old.joined else ()


def _entries(item: DesiredResource, before: Seen | None, read_by: Mapping[Ref, tuple[str, ...]]) -> Iterator[Placed]:
    """What is recorded of a resource that is placed, or was; `before` is how it was seen."""
    wanted, ref = item.resource, item.ref
    entry = Placed(ref.kind, ref.name, item.component, item.turn.group)
    if ref.kind is Kind.FILE:
        digest, secret = getattr(wanted, "sha256", ""), bool(getattr(wanted, "secret", False))
        yield replace(entry, units=read_by.get(ref, ()), sha256=digest, secret=secret)
    elif isinstance(wanted, Package | Unit):
        yield replace(entry, before=_was(before) if isinstance(wanted, Unit) else "")
    elif isinstance(wanted, Setting) and ref.name.partition(" ")[0] not in _STAY:
        yield replace(entry, before=before.value if isinstance(before, SeenSetting) else NONE)
    leaves = wanted.leaves if isinstance(wanted, Package | Unit | File) else None
    # what ran before us has its own network and rules already
    found_running = isinstance(wanted, Unit) and isinstance(before, SeenUnit) and before.is_active
    if leaves is not None and not found_running:
        yield replace(entry, kind=Kind.LEFTOVERS, name=leaves.name, leaves=leaves)


def _was(found: Seen | None) -> str:
    if not isinstance(found, SeenUnit):
        return ""
    words = {"active": found.is_active, "enabled": found.enabled}
    return " ".join(word for word, so in words.items() if so)
