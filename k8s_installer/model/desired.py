"""What is wanted, as a value: resources by name, each with its place in the order and its reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from k8s_installer.model.resources import Check, Gate, Placed, Ref, Resource


class Turn(NamedTuple):
    """Whose turn a change is in a rolling change: a group of `model.groups`, and the member's host."""

    group: str
    member: str


NO_TURN = Turn("", "")


class Place(Enum):
    """Where in its turn a change stands.

    What OPENS a turn is a step, not a state: it is planned only where something in the turn restarts, and nothing else
    of the member begins before it is done. What CLOSES it is a state like any other: it comes last in the turn, and
    also after a turn that a failed run left open. Both are gates or settings. Either may be only for some changes
    (`DesiredResource.only_for`). A setting that opens a turn which nothing closes is set back if the turn fails.
    """

    OPENS = "opens"
    WITHIN = "within"
    CLOSES = "closes"


class Ahead(NamedTuple):
    """What an addon is ahead of: files whose programs need what it grants, where the API runs already.

    At a first start the addon waits for the API, and its own manifest for everything before it. Where `unit` (the
    apiserver that it is applied by) is active and any of `files` is about to change, the addon and its `manifest`
    wait for nothing, and `files` wait for the addon: no program reads a new one before the addon is in the cluster.
    """

    unit: Ref
    manifest: Ref
    files: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class DesiredResource:
    """One resource, the component it belongs to (the phase in which it is shown), and what it comes after.

    `because` says in one sentence why the resource exists; it is for people, and no code branches on it.
    `turn` says with which others it may not be down at the same time, `place` where it stands in that. `note` is what a
    change of it must tell people. `ahead` turns edges around; see there. What is `leaving` was placed on the host
    before, and is no longer wanted. What returns is `recorded` by the lines that there were about it. What opens or
    closes a turn is done `only_for` these changes in the turn: a unit that restarts or stops, and anything else that
    is replaced; empty for every restart.
    """

    ref: Ref
    resource: Resource
    component: str
    after: tuple[Ref, ...]
    because: str
    turn: Turn = NO_TURN
    place: Place = Place.WITHIN
    note: str = ""
    ahead: Ahead | None = None
    leaving: bool = False
    recorded: tuple[Placed, ...] = ()
    only_for: tuple[Ref, ...] = ()


Desired = Mapping[Ref, DesiredResource]


def by_host(desired: Desired) -> Mapping[str, list[DesiredResource]]:
    """What is wanted of each host, in the same order; nothing of one that is not named."""
    found: dict[str, list[DesiredResource]] = defaultdict(list)
    for ref, wanted in desired.items():
        found[ref.host].append(wanted)
    return found


_STEPS = (Check.ETCD_AGREES, Check.LEASE_RENEWED)  # what is waited for between two changes


def health_gates(items: Iterable[DesiredResource]) -> list[tuple[Ref, Gate]]:
    """The gates that hold while a cluster is as it should be: all but those of steps on the way to that."""
    return [
        (item.ref, item.resource)
        for item in items
        if isinstance(item.resource, Gate) and item.place is not Place.OPENS and item.resource.check not in _STEPS
    ]
