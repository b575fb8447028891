"""A file for people, line by line, each with what it says and where that comes from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from rich.text import Text

from k8s_installer.explain.files import ExplainedFile, Line, Variant
from k8s_installer.explain.settings import Setting
from k8s_installer.report import settings
from k8s_installer.report.parts import certificates
from k8s_installer.report.prose import WIDTH, heading, labelled, named, paragraph, rest, title, wrapped

_VARIANTS = 4  # hosts, or groups of hosts, whose file is shown


def lines(one: ExplainedFile) -> Iterator[Text]:
    """A file as its hosts have it; of further hosts only what differs."""
    yield from title(one.path, one.why)
    yield Text()
    yield from labelled("component", one.component)
    if one.template:
        yield from labelled("made from", f"templates/{one.template}")
    changes = f"restarts {', '.join(one.units)}" if one.units else "restarts nothing"
    yield from labelled("a change", changes)
    yield from certificates(one.certificates, ())
    for variant in one.variants[:_VARIANTS]:
        yield from heading(f"On {named(variant.hosts)}: mode {variant.mode:04o}, owner {variant.owner}")
        first = () if variant is one.variants[0] else one.variants[0].lines
        if first:
            yield from paragraph("Only what differs:", style="dim")
        yield from _variant(variant, first)
    yield from rest(len(one.variants), _VARIANTS)


def _variant(variant: Variant, first: Sequence[Line]) -> Iterator[Text]:
    """A file as some hosts have it, without the lines and flags that were shown as `first`."""
    shown, known = {line.text for line in first}, {_said(one) for line in first for one in line.settings}

    if variant.hidden:
        yield from paragraph(variant.hidden)
    for number, line in enumerate(variant.lines, 1):
        if line.text in shown:
            continue
        style = "dim" if line.text.lstrip().startswith("#") else ""
        blanks = line.text[: len(line.text) - len(line.text.lstrip())]
        parts = wrapped(line.text, WIDTH - 6, f"{blanks}  ")
        for place, part in enumerate(parts):
            yield Text.assemble((f"{'' if place else number:>4}  ", "dim"), (part, style))
        yield from _notes(line, known)


def _said(setting: Setting) -> tuple[str, tuple[str | None, ...]]:
    return setting.name, tuple(value.text for value in setting.values)


def _notes(line: Line, known: Collection[object]) -> Iterator[Text]:
    if line.words:
        yield from paragraph(f"^ {line.words}", 8, "cyan")
    alone = len(line.settings) == 1  # the line itself says its value
    for setting in (one for one in line.settings if _said(one) not in known):
        yield from settings.lines(setting, hosts=False, named=not alone, indent=4 if alone else 6)
