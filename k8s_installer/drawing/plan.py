"""A plan as a picture: its steps from top to bottom, what waits for what, and whose turn it is. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from k8s_installer.drawing.model import Arrow, Box, Drawing, Lane
from k8s_installer.inventory import Cluster
from k8s_installer.model.groups import GROUPS
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import Kind
from k8s_installer.report.names import spans

_DESCRIPTION = (
    "Each frame is a group of hosts that take turns, each box a step on the hosts that it names; boxes at the "
    "same height may be done at the same time. An arrow leads from a step to one that waits for it."
)
_NOTES = (
    "From top to bottom; an arrow leads to what waits for the step.",
    "Green: starts. Brown: restarts or stops. Dashed: waits for health.",
)
_KINDS = {Action.START: "start", Action.RESTART: "restart", Action.STOP: "stop", Action.DISABLE: "stop"}
_WORDS = {Action.ATTRIBUTES: "set mode of", Action.CLEAN: "clean up after", Action.ADOPT: "adopt"}  # else its own
_NAMED = 3  # changes that are named in a box; of more there are the numbers
_OTHERS = "cluster"  # the lane of what is in no group

Key = tuple[int, Kind, str, str]  # the depth, what it is, the lane, and the component unless it prepares


@dataclass(slots=True)
class _Step:
    """Changes that are shown as one box."""

    depth: int
    lane: str
    changes: list[Change] = field(default_factory=list)
    after: set[int] = field(default_factory=set)  # positions of changes


def drawing(cluster: Cluster, plan: Plan) -> Drawing:
    """The picture of a plan; the same step on several hosts at the same time is one box."""
    steps, of_change = _steps(plan)
    keys = list(steps)
    number = {key: place for place, key in enumerate(keys)}
    lanes = _lanes(steps.values())
    arrows = [
        Arrow(_id(before), _id(number[key]))
        for key, befores in _reduced(keys, steps, of_change).items()
        for before in sorted(number[one] for one in befores)
    ]
    return Drawing(
        f"Plan for {cluster.name}: {len(plan.changes)} changes" if plan else f"Plan for {cluster.name}: no changes",
        _DESCRIPTION,
        lanes,
        tuple(_box(_id(number[key]), key, step) for key, step in steps.items()),
        tuple(arrows),
        tall=True,
        notes=_NOTES,
    )


def _steps(plan: Plan) -> tuple[dict[Key, _Step], list[Key]]:
    """The steps, in an order that works, and the step of each change."""
    steps: dict[Key, _Step] = {}
    of_change: list[Key] = []
    ends = plan.after_end or ((),) * len(plan.changes)
    for change, done, ended in zip(plan.changes, plan.after, ends, strict=True):
        before = {*done, *ended}
        what, lane = _what(change), change.turn.group or _OTHERS
        depth = max((_depth(what, change, of_change[place], plan.changes[place]) for place in before), default=0)
        key = (depth, what, lane, "" if what is Kind.FILE else change.component)
        step = steps.setdefault(key, _Step(depth, lane))
        step.changes.append(change)
        step.after |= before
        of_change.append(key)
    return steps, of_change


def _what(change: Change) -> Kind:
    """A gate, a unit that starts or ends, or anything that prepares for that (a file stands for all)."""
    return change.ref.kind if change.ref.kind in (Kind.GATE, Kind.UNIT) else Kind.FILE


def _depth(what: Kind, change: Change, key: Key, before: Change) -> int:
    """How deep a change is at least that comes after another one."""
    own = (before.component, before.turn.group) == (change.component, change.turn.group)
    together = what is Kind.FILE or (own and (what is Kind.GATE or before.action is Action.RELOAD))
    return key[0] + (not (together and key[1] is what))


def _reduced(keys: Sequence[Key], steps: Mapping[Key, _Step], of_change: Sequence[Key]) -> dict[Key, set[Key]]:
    """What each step waits for, without what follows from the rest."""
    direct = {key: {of_change[place] for place in steps[key].after} for key in keys}
    direct = {key: {one for one in befores if one[0] < key[0]} for key, befores in direct.items()}
    all_before: dict[Key, set[Key]] = {}
    for key in sorted(keys, key=lambda key: key[0]):
        all_before[key] = set(direct[key]).union(*(all_before[one] for one in direct[key]))
    return {key: befores - set[Key]().union(*(all_before[one] for one in befores)) for key, befores in direct.items()}


def _lanes(steps: Iterable[_Step]) -> tuple[Lane, ...]:
    hosts: dict[str, dict[str, None]] = {}
    for step in steps:
        hosts.setdefault(step.lane, {}).update(dict.fromkeys(map(_member, step.changes)))
    order = [*GROUPS, *hosts]
    return tuple(Lane(name, (name, spans(hosts[name]))) for name in sorted(hosts, key=order.index))


def _box(name: str, key: Key, step: _Step) -> Box:
    what, changes = key[1], step.changes
    kind = ""
    if what is Kind.GATE:
        title, rest, kind = "wait until", _gates(changes), "gate"
    elif what is Kind.UNIT:
        acting = [change for change in changes if change.action is not Action.RELOAD] or changes
        title, *rest = dict.fromkeys(f"{change.action} {change.ref.name}" for change in acting)
        kind = _KINDS.get(acting[0].action, "")
    else:
        title, rest = "prepare", _prepared(changes)
    about = "\n".join(f"{change.ref}: {change.action} ({change.reason})" for change in changes[:_NAMED])
    return Box(name, step.lane, step.depth, (title, *rest, f"on {spans(map(_member, changes))}"), kind, about)


def _member(change: Change) -> str:
    """The host that a change is about, also where another one carries it out."""
    return change.turn.member or change.ref.host


def _gates(changes: Sequence[Change]) -> list[str]:
    """What is waited for, once for all hosts; `*` stands for their names where these differ."""
    names = dict.fromkeys(change.ref.name for change in changes)
    if len(names) <= _NAMED:
        return list(names)
    return list(
        dict.fromkeys(
            " ".join("*" if word == _member(change) else word for word in change.ref.name.split()) for change in changes
        )
    )


def _prepared(changes: Sequence[Change]) -> list[str]:
    """What is done in preparation: by name if that is little, otherwise how much."""
    names = list(dict.fromkeys(f"{_word(change)} {change.ref.name}" for change in changes))
    if len(names) <= _NAMED:
        return names
    counts = Counter((_word(change), str(change.ref.kind)) for change in changes)
    return [f"{action} {count} {kind}{'s' * (count != 1)}" for (action, kind), count in counts.items()]


def _word(change: Change) -> str:
    return _WORDS.get(change.action, str(change.action))


def _id(number: int) -> str:
    return f"step {number}"
