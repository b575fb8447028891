"""Why a unit restarts in a plan, or does not: what changes of it, what it waits for, and what waits for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from k8s_installer.errors import InputError, did_you_mean
from k8s_installer.explain.files import annotated
from k8s_installer.explain.known import Known
from k8s_installer.explain.settings import Setting
from k8s_installer.explain.texts import Texts
from k8s_installer.model.desired import NO_TURN, Desired, Turn
from k8s_installer.model.plan import INTERRUPTING, NO_RESTART, Change, Plan
from k8s_installer.model.resources import File, Kind, Ref, Seen, SeenFile, SeenUnit
from k8s_installer.planning.differences import inputs


@dataclass(frozen=True, slots=True)
class Why:
    """A unit in a plan.

    `changes` are what the plan does to the unit itself. `causes` are the changes of files that it reads and packages
    that it runs; `harmless` those among them for which nothing restarts. `unchanged` is how many of its files and
    packages stay as they are. `turn` is whose turn it restarts in, `members` those of the same group that restart
    something, in the order of the plan, and `before` those of them whose turns must have ended. `waits` are the nearest
    services and gates ahead of it in the plan, and `then` the gates that are asked after it in the same turn.
    `settings` are the flags and keys that a file says anew, with the lines that decide them.
    """

    ref: Ref
    component: str
    seen: Seen
    changes: tuple[Change, ...]
    causes: tuple[Change, ...]
    harmless: tuple[Change, ...]
    unchanged: int
    planned: int
    turn: Turn = NO_TURN
    members: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    waits: tuple[Change, ...] = ()
    then: tuple[Change, ...] = ()
    settings: tuple[Setting, ...] = ()

    @property
    def interrupted(self) -> bool:
        """Whether the plan ends its process."""
        return any(change.action in INTERRUPTING for change in self.changes)

    @property
    def since(self) -> float:
        """When its process started, in Unix seconds; 0 if it does not run."""
        return self.seen.started_at if isinstance(self.seen, SeenUnit) and self.seen.is_active else 0.0


def unit_of(desired: Desired, texts: Texts, host: str, name: str) -> Ref:
    """The unit that somebody means on a host: by its name, that of its component, or another name of that.

    Raises:
        InputError: there is no such host, or it has no such unit.
    """
    hosts = {ref.host: None for ref in desired}
    if host not in hosts:
        raise InputError(f"the inventory has no host {host}", hint=did_you_mean(host, hosts) or f"it has {_all(hosts)}")
    units = {ref.name: ref for ref in desired if ref.host == host and ref.kind is Kind.UNIT}
    names = {alias: ref for ref in units.values() for alias in _aliases(texts, desired[ref].component)}
    found = {**names, **units}.get(name.removesuffix(".service"))
    if found is None:
        hint = did_you_mean(name, [*units, *names]) or f"it has {_all(units)}"
        raise InputError(f"nothing that runs on {host} is called {name}", hint=hint)
    return found


def why(ref: Ref, desired: Desired, seen: Mapping[Ref, Seen], plan: Plan, known: Known | None = None) -> Why:
    """What a plan does with a unit, and why.

    Args:
        ref: the unit.
        desired: what is wanted.
        seen: what hosts have.
        plan: what is made of both.
        known: the cluster, for the lines of the inventory that decide what changes in files; nothing is said of these
            without it.
    """
    own = [number for number, change in enumerate(plan.changes) if change.ref == ref]
    reads = set(inputs(desired[ref]))
    about = [change for change in plan.changes if change.ref in reads]
    found = Why(
        ref,
        desired[ref].component,
        seen[ref],
        tuple(plan.changes[number] for number in own),
        tuple(change for change in about if change.action not in NO_RESTART),
        tuple(change for change in about if change.action in NO_RESTART),
        len(reads) - len({change.ref for change in about}),
        len(plan.changes),
    )
    if known is not None:
        found = replace(found, settings=tuple(one for change in found.causes for one in _decided(known, change)))
    return _placed(found, own, plan) if own else found


def _placed(found: Why, own: Sequence[int], plan: Plan) -> Why:
    """The same with its place in the plan."""
    first, last = own[0], own[-1]
    ahead = _closure(first, plan.after)
    turn = plan.changes[last].turn
    members = _members(plan, turn)
    ended = {plan.changes[number].turn for number in ahead}
    return replace(
        found,
        turn=turn,
        members=members,
        before=tuple(name for name in members if name != turn.member and Turn(turn.group, name) in ended),
        waits=tuple(plan.changes[number] for number in _nearest(first, plan)),
        then=tuple(
            change
            for number, change in enumerate(plan.changes)
            if change.ref.kind is Kind.GATE and change.turn == turn and last in _closure(number, plan.after)
        ),
    )


def _decided(known: Known, change: Change) -> Iterator[Setting]:
    """The flags and keys in the new lines of a file; of a line with many flags those that the old file has not."""
    before, after = change.before, change.after
    if not (isinstance(before, SeenFile) and before.content is not None and isinstance(after, File)) or after.secret:
        return
    old = before.content.decode(errors="replace")
    for line in annotated(known, change.ref.host, change.ref.name):
        if line.text not in old.splitlines():
            for setting in line.settings:
                new = _given(line.text, setting.name)
                if not new or new != _given(old, setting.name):
                    yield setting


def _given(text: str, flag: str) -> list[str]:
    """How a flag is given in a text of variables: once for each of its values."""
    return [word for word in re.split(r"""["'\s]+""", text) if word.startswith(f"--{flag}=")]


def _members(plan: Plan, turn: Turn) -> tuple[str, ...]:
    """The members of a group that restart or stop something, in the order of the plan."""
    ends = (change.turn for change in plan.changes if change.action in INTERRUPTING)
    return tuple(dict.fromkeys(one.member for one in ends if one.group == turn.group))


def _closure(start: int, after: Sequence[Sequence[int]]) -> set[int]:
    """All that must be done before a change."""
    found, left = set[int](), list(after[start])
    while left:
        number = left.pop()
        if number not in found:
            found.add(number)
            left += after[number]
    return found


def _nearest(start: int, plan: Plan) -> list[int]:
    """The nearest services, gates and settings ahead of a change, past files and packages."""
    found, seen, left = list[int](), set[int](), list(plan.after[start])
    while left:
        number = left.pop(0)
        if number in seen:
            continue
        seen.add(number)
        if plan.changes[number].ref.kind in (Kind.UNIT, Kind.GATE, Kind.SETTING):
            found.append(number)
        else:
            left += plan.after[number]
    return sorted(found)


def _aliases(texts: Texts, component: str) -> tuple[str, ...]:
    text = texts.components.get(component)
    return (component, *text.aliases) if text else (component,)


def _all(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
