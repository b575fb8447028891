"""The way back over past runs: what hosts had before them. Pure; a plan is made of it like of any other wish."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from k8s_installer.host.paths import unit_of
from k8s_installer.host.statedir import NOT_KEPT
from k8s_installer.model.desired import NO_TURN, Desired, DesiredResource, Place, Turn, by_host
from k8s_installer.model.groups import GROUPS
from k8s_installer.model.resources import (
    Absent,
    Backup,
    Gate,
    Kind,
    NoLeftovers,
    Package,
    Placed,
    Ref,
    Seen,
    Setting,
    Unit,
)
from k8s_installer.planning.make import obstacle
from k8s_installer.planning.records import entries
from k8s_installer.planning.select import narrowed, on_members
from k8s_installer.profiles import Component

_NONE: Mapping[str, Component] = {}


@dataclass(frozen=True, slots=True)
class PastFile:
    """A file that a past run changed: what its host keeps from before, or None where there was none.

    `left` says that the run removed it, since the inventory no longer asked for it. Of this, and of all that follow,
    `entry` is the line that the run took out of the host's record.
    """

    ref: Ref
    kept: Backup | None
    component: str = field(default="", compare=False)
    left: bool = False
    entry: Placed | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PastSetting:
    """A setting that a past run changed: what it was before."""

    ref: Ref
    value: str
    entry: Placed | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PastUnit:
    """A unit that a past run stopped or disabled: how it was before."""

    ref: Ref
    active: bool
    enabled: bool
    component: str
    entry: Placed | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PastPackage:
    """A package that a past run uninstalled: the version that there was."""

    ref: Ref
    version: str
    component: str
    entry: Placed | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PastLeftovers:
    """What programs left, and a past run cleaned up: it is theirs again when they return."""

    ref: Ref
    entry: Placed


PastThing = PastFile | PastSetting | PastUnit | PastPackage  # what can be as it was
PastItem = PastThing | PastLeftovers


def before(desired: Desired, past: Collection[PastItem], components: Mapping[str, Component] = _NONE) -> Desired:
    """What a cluster wanted before past runs, where they changed files: the kept bytes, or nothing at all.

    Settings that they changed are wanted as they were, and so is what they removed. Units and gates stay as they are
    wanted now, with what opens and closes turns, and nothing else is wanted: what those runs did not change is no part
    of going back. What else is no longer in the inventory is left alone.

    Args:
        desired: what the inventory asks for.
        past: what there was before those runs.
        components: all that the version knows, among them those that the inventory no longer has: they say in which
            order units return, and which units that stayed come after them.
    """
    items = {item.ref: item for item in past if not isinstance(item, PastLeftovers)}
    cleaned = [item for item in past if isinstance(item, PastLeftovers)]

    def stays(wanted: DesiredResource) -> bool:
        return isinstance(wanted.resource, Unit | Gate) or wanted.place is not Place.WITHIN

    def was(wanted: DesiredResource) -> DesiredResource:
        item = items[wanted.ref]
        return replace(wanted, resource=_wanted(item), because=_BEFORE, recorded=lines.get(item.ref, ()))

    lines = _lines(items.values(), cleaned)
    part = narrowed(desired, lambda wanted: wanted.ref in items or stays(wanted))
    here = {
        ref: was(wanted) if ref in items and wanted.place is Place.WITHIN else wanted for ref, wanted in part.items()
    }
    left = [item for ref, item in items.items() if ref not in desired and _has_left(item)]
    # a gate that is asked here about another host lies in that one's turn
    own = [wanted for wanted in desired.values() if wanted.turn.member in ("", wanted.ref.host)]
    turns = {(wanted.ref.host, wanted.component): wanted.turn for wanted in reversed(own)}
    turns |= {(wanted.ref.host, ""): wanted.turn for wanted in own}
    turns |= {(wanted.ref.host, ""): wanted.turn for wanted in own if wanted.ref.kind is Kind.UNIT}
    returning = dict(_returning(left, lines, turns, components))
    return _sequenced(_defined(here | returning, left), returning, components)


_BEFORE = "As it was before the last run."


def swept(desired: Desired, seen: Mapping[Ref, Seen]) -> frozenset[str]:
    """The hosts that a run was the last of: with all that was placed there, what they had kept was removed."""
    lost = {
        ref.host
        for ref, item in desired.items()
        if item.recorded and isinstance(item.resource, Backup) and obstacle(ref, seen.get(ref)).endswith(NOT_KEPT)
    }
    return frozenset(host for host in lost if all(entry.kind is Kind.LEFTOVERS for entry in entries(seen, host)))


def with_leftovers(desired: Desired, seen: Mapping[Ref, Seen]) -> Desired:
    """The same, and what files that are removed have made on a host goes with them, as its record has it."""
    result = dict(desired)
    for host, items in by_host(desired).items():
        made = {entry.name: entry.leaves for entry in entries(seen, host) if entry.leaves is not None}
        units = tuple(item.ref for item in items if isinstance(item.resource, Unit))
        for item in items:
            leaves = made.get(item.ref.name) if isinstance(item.resource, Absent) else None
            if leaves is not None:
                ref = Ref(host, Kind.LEFTOVERS, leaves.name)
                result[ref] = DesiredResource(
                    ref,
                    NoLeftovers(leaves.without_data()),
                    item.component,
                    (item.ref, *units),
                    _BEFORE,
                    item.turn,
                    leaving=True,
                )
    return result


def without(desired: Desired, hosts: Collection[str]) -> Desired:
    """The same without these hosts; nothing where all that is left is what stays as it is."""
    if not hosts:
        return desired
    others = on_members(desired, {ref.host for ref in desired}.difference(hosts))
    return others if any(item.because == _BEFORE for item in others.values()) else {}


def _has_left(item: PastThing) -> bool:
    return isinstance(item, PastUnit | PastPackage) or (isinstance(item, PastFile) and item.left) or bool(item.entry)


def _component(item: PastThing) -> str:
    return item.entry.component if item.entry else getattr(item, "component", "")


def _lines(items: Iterable[PastThing], cleaned: Iterable[PastLeftovers]) -> Mapping[Ref, tuple[Placed, ...]]:
    """The lines about what returns; those about what programs leave are of the first thing of their component."""
    found: dict[Ref, tuple[Placed, ...]] = {item.ref: (item.entry,) for item in items if item.entry}
    for gone in cleaned:
        own = (ref for ref, (entry, *_) in found.items() if (ref.host, entry.component) == _whose(gone))
        first = min(own, key=lambda ref: ref.kind is not Kind.PACKAGE, default=None)
        if first is not None:
            found[first] = (*found[first], gone.entry)
    return found


def _whose(gone: PastLeftovers) -> tuple[str, str]:
    return gone.ref.host, gone.entry.component


_RETURN = (Kind.SETTING, Kind.PACKAGE, Kind.FILE, Kind.UNIT)  # in this order: a file may need a user that was a setting


def _returning(
    left: Collection[PastThing],
    lines: Mapping[Ref, tuple[Placed, ...]],
    turns: Mapping[tuple[str, str], Turn],
    components: Mapping[str, Component],
) -> Iterator[tuple[Ref, DesiredResource]]:
    """What runs removed, each with the lines that the host's record has again: settings, packages, files, units."""
    on_host: dict[str, list[Ref]] = defaultdict(list)
    for item in left:
        on_host[item.ref.host].append(item.ref)
    for item in left:
        host, component = item.ref.host, _component(item)
        before = _RETURN[: _RETURN.index(item.ref.kind)]
        after = tuple(ref for ref in on_host[host] if ref.kind in before)
        group = components[component].unit if component in components else ""
        its = turns.get((host, component), turns.get((host, ""), NO_TURN))
        turn = Turn(group, host) if group in GROUPS else its
        yield (
            item.ref,
            DesiredResource(item.ref, _wanted(item), component, after, _BEFORE, turn, recorded=lines.get(item.ref, ())),
        )


def _sequenced(desired: Desired, returning: Collection[Ref], components: Mapping[str, Component]) -> Desired:
    """The same, where units that return wait for others, and others for them, as their components say.

    Of a component that is unknown by now it is only known that what was stopped last started first.
    """
    here: dict[tuple[str, str], list[Ref]] = defaultdict(list)
    everywhere: dict[str, list[Ref]] = defaultdict(list)
    unknown: dict[str, list[Ref]] = defaultdict(list)
    units = {ref: wanted.component for ref, wanted in desired.items() if isinstance(wanted.resource, Unit)}
    for ref, name in units.items():
        here[ref.host, name].append(ref)
        everywhere[name].append(ref)
        if ref in returning and name not in components:
            unknown[ref.host].append(ref)
    result = dict(desired)
    for ref, name in units.items():
        if name in components:
            after = components[name].after
            named = [
                *(here[ref.host, other] for other in after.here),
                *(everywhere[other] for other in after.everywhere),
            ]
            # what stays waits for what stays already
            awaited = [other for refs in named for other in refs if ref in returning or other in returning]
            result[ref] = replace(desired[ref], after=(*desired[ref].after, *awaited))
    for refs in unknown.values():
        for later, sooner in pairwise(refs):
            result[later] = replace(result[later], after=(*result[later].after, sooner))
    return result


def _defined(desired: dict[Ref, DesiredResource], left: Collection[PastThing]) -> Desired:
    """The same, where units are defined by the unit files and drop-ins that return."""
    for item in left:
        if item.ref.kind is not Kind.FILE:
            continue
        ref = Ref(item.ref.host, Kind.UNIT, unit_of(item.ref.name))
        wanted = desired.get(ref)
        if wanted is not None and isinstance(wanted.resource, Unit):
            defined = replace(wanted.resource, defined_by=(*wanted.resource.defined_by, item.ref.name))
            desired[ref] = replace(wanted, resource=defined, after=(*wanted.after, item.ref))
    return desired


def _wanted(past: PastThing) -> Backup | Absent | Setting | Unit | Package:
    match past:
        case PastUnit():
            return Unit(past.ref.name, active=past.active, enabled=past.enabled)
        case PastPackage():
            return Package(past.ref.name, past.version)
        case PastSetting():
            return Setting(past.value)
        case _:
            return past.kept if past.kept is not None else Absent()
