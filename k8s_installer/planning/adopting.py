"""What a plan adds to the records of hosts ahead of its changes: what was placed and never recorded. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import replace

from k8s_installer.host.families.user import NAME as USER
from k8s_installer.host.placed import NAME, RENDERED
from k8s_installer.model.desired import Desired, DesiredResource, by_host
from k8s_installer.model.resources import (
    File,
    Kind,
    NoLeftovers,
    NoPackage,
    Placed,
    Record,
    Ref,
    Seen,
    SeenFile,
    SeenLeftovers,
    SeenPackage,
    SeenRecord,
    SeenUnit,
    UploadedFile,
)
from k8s_installer.planning.make import make_plan, readers
from k8s_installer.planning.records import by_name, entries, is_of_node, lines
from k8s_installer.planning.select import narrowed


def with_adopted(part: Desired, seen: Mapping[Ref, Seen]) -> Desired:
    """What is wanted, with an entry in the record for all that this program wrote and never recorded.

    That is a file that is as wanted, or has this program's header. A host that was installed before there was a record
    has none: there the components that have such a file are adopted whole, with packages, units, and keys and programs,
    which have no header. A fresh host has no such file, so what is found there stays its own. What should leave and has
    left by other hands is taken out of the record: whoever places it again owns it.
    """
    result = _with_owners(part, seen)
    arrived, departed = _handed_over(part, seen)
    adopts: dict[Ref, DesiredResource] = {}
    for host, items in by_host(result).items():
        ref = Ref(host, Kind.RECORD, NAME)
        if ref not in seen:
            continue  # nobody asked
        known = by_name(entries(seen, host))
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
            for entry in lines(item, None, read_by)
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
        came, went = arrived.get(host, ()), departed.get(host, ())
        if new or gone or kept or came or went:
            because = ", and ".join(
                [f"{_counted(new)} placed before they were recorded"] * bool(new)
                + [f"{', '.join(entry.name for entry in gone)} left by other hands"] * bool(gone)
                + [f"an earlier version did not record where {', '.join(map(_name, kept))} has data"] * bool(kept)
                + ["another master recorded what it had set on nodes"] * bool(came)
                + ["another master sets what this one had set on nodes"] * bool(went)
                + [f"{', '.join(doubtful)} kept as found: nothing shows who wrote it"] * bool(doubtful)
            )
            # first of all: a package that is uninstalled takes files along that are not ours
            first = next((item for item in items if not item.leaving), items[0])
            # one that loses lines is written once they are in the other
            after = () if came or not went else tuple(Ref(other, Kind.RECORD, NAME) for other in arrived)
            adopts[ref] = DesiredResource(
                ref, Record((*new, *kept, *came), (*gone, *went)), "host", after, because, first.turn,
                leaving=first.leaving,
            )  # fmt: skip
    return {**adopts, **result}


def _handed_over(
    part: Desired, seen: Mapping[Ref, Seen]
) -> tuple[Mapping[str, Collection[Placed]], Mapping[str, Collection[Placed]]]:
    """What of nodes has another first master than the one that recorded it: what its record gets, and what others lose.

    Both by host.
    """
    masters = {
        ref.name: ref.host
        for ref, item in part.items()
        if is_of_node(ref.kind, ref.name) and not item.leaving and Ref(ref.host, Kind.RECORD, NAME) in seen
    }
    came: dict[str, dict[str, Placed]] = defaultdict(dict)
    went: dict[str, list[Placed]] = defaultdict(list)
    for host in [ref.host for ref, found in seen.items() if isinstance(found, SeenRecord)] if masters else ():
        for entry in entries(seen, host):
            master = masters.get(entry.name, host) if entry.kind is Kind.SETTING else host
            if master != host:
                went[host].append(entry)
                came[master][entry.name] = entry
    for master in [*came]:
        known = {entry.name for entry in entries(seen, master) if entry.kind is Kind.SETTING}
        came[master] = {name: entry for name, entry in came[master].items() if name not in known}
    return {master: tuple(found.values()) for master, found in came.items() if found}, went


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
    return entry is not None and entry.joined and bool(item.resource.leaves.data_that_stays)


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
