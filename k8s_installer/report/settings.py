"""Flags and keys for people: each value, the line that says it, its default, and what the program says."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from k8s_installer.explain.settings import Setting, Source, Value
from k8s_installer.report.prose import named as hosts_named
from k8s_installer.report.prose import paragraph, rest

_VALUES = 4  # values of a flag that are shown
_LONGEST = 30  # characters of a template that is shown


def lines(setting: Setting, *, hosts: bool, whole: bool = False, named: bool = True, indent: int = 2) -> Iterator[Text]:
    """A setting with its values and what is known of it.

    Args:
        setting: the flag or key.
        hosts: whether to name the hosts of each value.
        whole: whether also its type and limits are shown.
        named: whether its name and value are; a line of a file may have shown them.
        indent: columns before its name; before what is said of it there are four more.
    """
    name = f"{setting.name}:" if setting.is_key else f"--{setting.name}"
    note = indent + 4
    if not setting.values:
        yield Text(" " * indent + name, "bold")
    for value in setting.values[:_VALUES]:
        if named:
            yield _value(" " * indent + name, setting, value, hosts=hosts or len(setting.values) > 1)
        yield from paragraph(_from(value), note)
        if value.origin.place and value.origin.place.comment:
            yield from paragraph(f"note: {value.origin.place.comment}", note)
    yield from rest(len(setting.values), _VALUES, indent)
    yield from _about(setting, note, whole=whole)


def _value(name: str, setting: Setting, value: Value, *, hosts: bool) -> Text:
    if value.text is None:
        said = " is removed"
    else:
        said = f" {value.text or '(empty)'}" if setting.is_key else f"={value.text}"
    where = f"  ({hosts_named(value.hosts)})" if hosts else ""
    return Text.assemble((name, "bold"), said, (where, "dim"))


def _as_key(setting: Setting) -> str:
    """What an inventory says to set the key that stands for a flag; VALUE where it is written in another way there."""
    texts = {value.text or "" for value in setting.values}
    text = texts.pop() if len(texts) == 1 else ""
    said = text if text.isdecimal() or text in ("true", "false") else "VALUE"
    for part in reversed(setting.key.split(".")):
        said = f"{{{part}: {said}}}"
    return f"components: {{{setting.component}: {{config: {said}}}}}"


def _from(value: Value) -> str:
    origin = value.origin
    if origin.source is Source.PROGRAM:
        return (
            "set nowhere: this is the program's own default" if value.text else "set nowhere, and there is no default"
        )
    place = f"{'inventory' if origin.source is Source.INVENTORY else 'profile'}, {origin.place}"
    if not origin.template:
        return f"from: {place}"
    return f"from: {place}, computed{f' from {origin.template}' if len(origin.template) <= _LONGEST else ''}"


def _about(setting: Setting, note: int, *, whole: bool) -> Iterator[Text]:
    facts = [f"default: {setting.default}"] if setting.default else []
    if whole:
        facts = [f"type: {setting.kind}"] * bool(setting.kind) + (facts or ["no default is known"])
        facts += setting.limits
    if setting.key:
        works = "works; this version prefers" if setting.deprecated else "the same as"
        facts.append(f"{works} {setting.key} of the configuration file: {_as_key(setting)}")
    elif setting.deprecated:
        facts.append("deprecated")
    if setting.fixed:
        facts.append("fixed: other programs depend on it")
    if facts:
        yield from paragraph("; ".join(facts), note, "dim")
    if setting.help and setting.help.source:
        other = "" if setting.help.exact else f" ({setting.help.source}; there is no text of this version)"
        yield from paragraph(f'"{setting.help.text}"{other}', note, "italic")
    elif setting.help:
        yield from paragraph(setting.help.text, note)
    elif whole:
        yield from paragraph("There is no help text of this flag here.", note, "dim")
