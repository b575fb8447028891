"""Why a unit restarts, for people and for programs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Group
from rich.text import Text

from k8s_installer.explain.why import Why
from k8s_installer.model.groups import GROUPS
from k8s_installer.model.plan import Change
from k8s_installer.model.resources import Kind, SeenUnit
from k8s_installer.report import settings
from k8s_installer.report.diff import flags, unified
from k8s_installer.report.prose import heading, labelled, named, paragraph
from k8s_installer.report.text import change_words

_MOST = 12  # lines of a diff


def text(why: Why, inventory: Path) -> Group:
    """For people: whether it restarts, what changes, what it waits for, and the next command."""
    return Group(*_lines(why, inventory))


def data(why: Why) -> dict[str, object]:
    """For programs."""
    return {
        "host": why.ref.host,
        "unit": why.ref.name,
        "component": why.component,
        "interrupted": why.interrupted,
        "since": dt.datetime.fromtimestamp(why.since, dt.UTC).isoformat(timespec="seconds") if why.since else None,
        "changes": [_change(change) for change in why.changes],
        "causes": [_change(change) for change in why.causes],
        "decided_by": [
            {"component": one.component, "name": one.name, "value": value.text, "place": str(value.origin.place or "")}
            for one in why.settings
            for value in one.values
        ],
        "harmless": [_change(change) for change in why.harmless],
        "turn": {"group": why.turn.group, "members": list(why.members), "before": list(why.before)},
        "waits": [_change(change) for change in why.waits],
        "then": [_change(change) for change in why.then],
    }


def _change(change: Change) -> dict[str, object]:
    ref = change.ref
    return {
        "host": ref.host,
        "kind": str(ref.kind),
        "name": ref.name,
        "action": str(change.action),
        "reason": change.reason,
    }


def _lines(why: Why, inventory: Path) -> Iterator[Text]:
    host, unit = why.ref.host, why.ref.name
    if why.changes:
        said = ", then ".join(str(change.action) for change in why.changes)
        yield Text.assemble((f"{unit} on {host}: ", "bold"), (said, "bold magenta" if why.interrupted else "bold cyan"))
        yield from paragraph(f"because {why.changes[-1].reason}")
    else:
        yield Text.assemble((f"{unit} on {host}: ", "bold"), ("does not restart", "bold green"))
        yield from paragraph(_unchanged(why))
    if isinstance(why.seen, SeenUnit) and why.since:
        yield from paragraph(f"It has run since {dt.datetime.fromtimestamp(why.since, dt.UTC):%Y-%m-%d %H:%M:%S} UTC.")
    yield from _causes("What changes of it", why.causes)
    if why.settings:
        yield from heading("What decides that")
        for setting in why.settings:
            yield from settings.lines(replace(setting, help=None), hosts=False)
    yield from _causes("What changes without a restart (comments, modes, order)", why.harmless)
    if why.changes:
        yield from _place(why)
    yield Text()
    if why.planned:
        steps = f"{why.planned} step{'s' * (why.planned != 1)}"
        yield Text(f"Next: k8s-installer plan -i {inventory} shows the whole plan ({steps})")
    else:
        yield Text("The plan is empty: every host matches the inventory.")


def _unchanged(why: Why) -> str:
    stay = f"the {why.unchanged} files and packages that it depends on are as they should be"
    if not why.planned:
        return f"Nothing changes: {stay}."
    return f"The plan changes nothing that it reads or runs: {stay}, and its process is newer than all of them."


def _causes(title: str, changes: Iterable[Change]) -> Iterator[Text]:
    for number, change in enumerate(changes):
        if not number:
            yield from heading(title)
        yield Text(f"  {change_words(change)}")
        yield from paragraph(change.reason, 6, "dim")
        lines = unified(change)
        for line in lines[:_MOST]:
            yield Text(f"      {line}", "green" if line.startswith("+") else "red" if line.startswith("-") else "dim")
        if len(lines) > _MOST:
            yield Text(f"      ... {len(lines) - _MOST} more lines", "dim")
        yield from (Text(f"      {line}", "yellow") for line in flags(lines))


def _place(why: Why) -> Iterator[Text]:
    yield from heading("When")
    group = GROUPS.get(why.turn.group)
    if why.interrupted and group is not None:
        at_once = "one at a time" if group.at_once == 1 else "a quarter at once, or --batch"
        yield from labelled("turn", f"{why.turn.group}, {at_once}: {named(why.members)}")
    if why.before:
        yield from labelled("after", f"the turns of {named(why.before)}: a mistake stops there")
    if not why.waits:
        yield from labelled("waits for", "no other service")
    for change in why.waits:
        yield from labelled("waits for", f"{_short(change)} on {change.ref.host}")
    for change in why.then:
        yield from labelled("then", f"the run waits until {change.ref.name}; if that fails, this turn is undone")


def _short(change: Change) -> str:
    return change.ref.name if change.ref.kind is Kind.GATE else change_words(change)
