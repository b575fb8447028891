"""The records of what was placed on hosts: what they say, whose hosts are, and what a plan's changes write. Pure.

`host/placed.py` has the form of a record's lines, and the shell that keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from k8s_installer.errors import InstallerError
from k8s_installer.host import families
from k8s_installer.host.drains import DRAINED, SCHEDULABLE
from k8s_installer.host.etcd import CHANGES as MEMBERSHIP
from k8s_installer.host.families.user import NAME as USER
from k8s_installer.host.placed import NAME, PATH
from k8s_installer.host.restored import DATA as RESTORED
from k8s_installer.model.desired import Desired, DesiredResource, by_host
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import (
    File,
    Kind,
    Leaves,
    Package,
    Placed,
    Record,
    Ref,
    Seen,
    SeenRecord,
    SeenSetting,
    SeenUnit,
    Setting,
    Unit,
)
from k8s_installer.planning.make import readers

NONE = "absent"  # what a setting was that was not there
# Of these nothing is taken back: objects, members and data are the cluster's, loaded images go with docker's folder,
# and what was drained is given back by what closes its turn.
_STAY = ("addon", "addons", "image", DRAINED, SCHEDULABLE, *MEMBERSHIP, *RESTORED)


def question(host: str) -> DesiredResource:
    """What asks a host for its record."""
    return DesiredResource(Ref(host, Kind.RECORD, NAME), Record(), "host", (), "What was placed on the host.")


def entries(seen: Mapping[Ref, Seen], host: str) -> tuple[Placed, ...]:
    """The host's record as it was seen; empty where it has none, or was not asked for it."""
    found = seen.get(Ref(host, Kind.RECORD, NAME))
    return found.entries if isinstance(found, SeenRecord) else ()


def by_name(placed: Iterable[Placed]) -> dict[tuple[Kind, str], Placed]:
    """Entries by what they are about; of a record there is one for each."""
    return {(entry.kind, entry.name): entry for entry in placed}


def is_user(entry: Placed) -> bool:
    """Whether an entry is about a user or group."""
    return entry.kind is Kind.SETTING and entry.name.startswith(f"{USER} ")


def is_of_node(kind: Kind, name: str) -> bool:
    """Whether this is a setting of a node, which whichever master is the first one sets; it is recorded there."""
    return kind is Kind.SETTING and name.partition(" ")[0] in families.FAMILIES and bool(families.node(name))


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


def owners(seen: Mapping[Ref, Seen], hosts: Iterable[str], cluster: str) -> dict[str, tuple[str, ...]]:
    """The other clusters that have placed something on these hosts, by host; hosts of `cluster` alone have none.

    Data that a reset left there, with users, is nobody's.
    """
    found: dict[str, tuple[str, ...]] = {}
    for host in hosts:
        placed = (entry for entry in entries(seen, host) if entry.kind is not Kind.LEFTOVERS and not is_user(entry))
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
        host: by_name(entries(seen, host))
        for host in {change.ref.host for change in plan.changes}
        if Ref(host, Kind.RECORD, NAME) in seen
    }
    for change in plan.changes:
        if isinstance(change.after, Record):
            known[change.ref.host] |= by_name(map(_as_written, change.after.entries))
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
                for entry in item.recorded or lines(item, change.before, read_by[host])
                if _is_new(entry, known[host]) or (again and entry.kind is Kind.PACKAGE)
            )
            new += _outdated(item, known[host])
            known[host] |= by_name(map(_as_written, new))
        forgets = (old,) if old else ()
        changes.append(replace(change, records=new, forgets=forgets) if new or forgets else change)
    return replace(plan, changes=tuple(_for(cluster, change) if change.records else change for change in changes))


def _as_written(entry: Placed) -> Placed:
    """An entry as the record has it from then on."""
    return replace(entry, joined=False)


def _for(cluster: str, change: Change) -> Change:
    return replace(change, records=tuple(replace(entry, cluster=cluster) for entry in change.records))


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


def lines(item: DesiredResource, before: Seen | None, read_by: Mapping[Ref, tuple[str, ...]]) -> Iterator[Placed]:
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
