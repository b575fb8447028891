"""What was placed on hosts and is no longer wanted: it becomes wanted as its opposite. Pure.

A host's record (`host/placed.py`) names everything that this program placed there. What is recorded and not in what is
wanted becomes part of what is wanted, as its opposite: a unit that does not run, a path as it was before, a package
that is not installed, a setting with its old value. From there on it is planned, shown and carried out like all else.

On one host the order is: units stop; what is wanted comes up; files leave, ahead of the restart of units that read
them and stay; then what programs have left, packages, and settings. So a mistake in what is wanted shows before
anything is gone that it may need.

A host that is no longer a master or a member of etcd is one until everybody uses the others: what it had for that, and
for other roles that it loses, leaves in a turn of its own after all other groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from k8s_installer.host import families
from k8s_installer.host.addons import ADDONS as ADDONS_SETTING
from k8s_installer.host.nodes import NAME as NODE
from k8s_installer.host.paths import ADDONS, unit_of
from k8s_installer.model.desired import Desired, DesiredResource, Turn, by_host
from k8s_installer.model.groups import FORMER, GROUPS, LEAVING, SERVING
from k8s_installer.model.resources import (
    Gate,
    Kind,
    Leaves,
    NoLeftovers,
    NoPackage,
    Original,
    Package,
    Placed,
    Ref,
    Resource,
    Seen,
    Setting,
    Unit,
)
from k8s_installer.planning.records import NONE, entries, is_of_node, is_user

KUBELET = "kubelet"  # the component that makes a host a node
API = "kube-apiserver"  # the component that makes it a master
_KUBELET_LEFT = (Kind.LEFTOVERS, KUBELET)
_MADE = ("folders", "links", "chains", "rules", "routes", "units")  # of `Leaves`: what programs may have made alike
_ORDER = tuple(GROUPS)
_AFTER = {Kind.FILE: 0, Kind.LEFTOVERS: 1, Kind.PACKAGE: 2, Kind.SETTING: 3}  # the order of what leaves after units


def with_leaving(
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
    of_nodes: set[str] = set()
    for ref in {**whole, **part}:
        names[ref.host].add((ref.kind, ref.name))
        if is_of_node(ref.kind, ref.name):
            of_nodes.add(ref.name)
    running: dict[str, set[str]] = defaultdict(set)
    groups: dict[str, set[str]] = defaultdict(set)
    for ref, wanted in whole.items():
        groups[ref.host].add(wanted.turn.group)
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
        settings = [entry for entry in gone if is_of_node(entry.kind, entry.name)]
        if settings:
            gone = [entry for entry in gone if not is_of_node(entry.kind, entry.name)]
            by = next((name for name in (host, master) if API in running[name]), "")
            _take_back(result, by, [entry for entry in settings if entry.name not in of_nodes])
        if gone:
            elsewhere = {name for kind, name in names[host] if kind is Kind.UNIT and Ref(host, kind, name) not in part}
            own = wanted_on.get(host, [])
            former = _former(gone, groups[host])
            result |= {item.ref: item for item in _without(own, host, gone, runs, former, elsewhere, data=data)}
            if master and any(entry.kind is Kind.LEFTOVERS and entry.name == KUBELET for entry in gone):
                _delete_node(result, host, master)
    return result


def with_drains(part: Desired, drains: Callable[[str, Turn], Iterable[DesiredResource]]) -> Desired:
    """What is wanted, with what drains the nodes that leave, if their kubelets run: without one no pod would end.

    That comes before anything of theirs stops, and before other hosts lose their routes to these nodes' pods.

    Args:
        part: what `with_leaving` gave.
        drains: gives what drains a node, in order, by its name and the turn that it has for that.
    """
    result = dict(part)
    nodes = [ref.host for ref, item in part.items() if item.leaving and ref[1:] == _KUBELET_LEFT]
    own = by_host(part) if nodes else {}
    for node in nodes:
        kubelet = (Ref(node, Kind.UNIT, KUBELET),)
        drained = [replace(item, leaving=True, only_for=kubelet) for item in drains(node, Turn(LEAVING, node))]
        stops = [item for item in own[node] if item.leaving and item.ref.kind is Kind.UNIT]
        end = tuple(item.ref for item in drained[-1:])
        for item in (*drained, *(replace(item, after=(*item.after, *end)) for item in stops)):
            result[item.ref] = item
    return result


def _take_back(result: dict[Ref, DesiredResource], master: str, settings: Iterable[Placed]) -> None:
    """Give settings of nodes the values from before, by this master; without one the nodes leave with their cluster."""
    up = tuple(ref for ref in result if ref.host == master and ref.kind in (Kind.UNIT, Kind.GATE))
    for entry in settings if master else ():
        node = families.node(entry.name)
        ref, because = Ref(master, Kind.SETTING, entry.name), f"The inventory no longer asks for it on {node}."
        turn, value = Turn(entry.group if entry.group in GROUPS else "", node), Setting(_original(entry) or "")
        result[ref] = DesiredResource(ref, value, entry.component, up, because, turn, leaving=True)


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
        used = is_user(entry) and not entry.came_with and entry.component in runs
        return family in families.FAMILIES and _original(entry) is not None and not used
    return entry.kind is not Kind.LEFTOVERS or (entry.name not in runs and (Kind.FILE, entry.name) not in names)


def _original(entry: Placed) -> str | None:
    """The value that puts a setting back; None if there is no way back."""
    return families.original(entry.name, None if entry.before == NONE else entry.before)


def _former(gone: Iterable[Placed], groups: Collection[str]) -> Collection[str]:
    """The groups that a host leaves after all others: none, unless others use what one of these runs."""
    left = {entry.group for entry in gone} - {*groups}
    return left if not SERVING.isdisjoint(left) else ()


def _without(
    own: Sequence[DesiredResource],
    host: str,
    gone: Sequence[Placed],
    runs: Collection[str],
    former: Collection[str],
    elsewhere: Container[str],
    *,
    data: bool,
) -> Iterator[DesiredResource]:
    """What changes in what a host wants, since these are gone: what leaves, and units that stay and read it."""
    running = {wanted.ref.name for wanted in own if isinstance(wanted.resource, Unit)}
    item = partial(_item, host, former, stays=bool(running))
    stopping = [entry for entry in gone if entry.kind is Kind.UNIT and not _ran(entry)]
    returning = [entry for entry in gone if entry.kind is Kind.UNIT and _ran(entry)]  # without our files
    read_by: dict[str, list[str]] = defaultdict(list)
    for entry in gone:
        for unit in entry.units if entry.kind is Kind.FILE else ():
            read_by[unit].append(entry.name)

    # units stop, the last to start first; what comes up does not wait for those that stop after all others
    stops, last_stops = list[Ref](), list[Ref]()
    stopping.reverse()
    stopping.sort(key=partial(_stop_place, former))
    for entry in stopping:
        yield item(entry, _unit(entry, read_by[entry.name]), (last_stops or stops)[-1:])
        (last_stops if entry.group in former else stops).append(Ref(host, Kind.UNIT, entry.name))

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
    for entry in sorted((entry for entry in late if entry.kind in _AFTER), key=partial(_place, former)):
        resource = _opposite(entry, elsewhere, in_use=entry.component in runs, data=data)
        if isinstance(resource, NoLeftovers):
            resource = NoLeftovers(_apart(resource.leaves, own))
        yield item(entry, resource, (*before, *last_stops[-1:]) if entry.group in former else before)
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


def _place(former: Collection[str], entry: Placed) -> tuple[bool, int]:
    return entry.group in former, _AFTER[entry.kind]


def _stop_place(former: Collection[str], entry: Placed) -> int:
    """Of units that stop after all others, those of nodes come first and etcd last, whatever was placed first."""
    return 1 + len(_ORDER) - _ORDER.index(entry.group) if entry.group in former and entry.group in _ORDER else 0


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
    return NoLeftovers(entry.leaves if data else entry.leaves.without_data())


def _item(
    host: str, former: Collection[str], entry: Placed, resource: Resource, after: Iterable[Ref], *, stays: bool
) -> DesiredResource:
    """What leaves a host on which units of ours stay or not."""
    ref = Ref(host, entry.kind, entry.name)
    because = f"{entry.component} no longer has it" if stays else f"no longer wanted on {host}"
    group = entry.group if entry.group in GROUPS else ""  # a version that wrote the record had other ones
    turn = Turn(FORMER if entry.group in former else group, host)
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
