"""A picture as Mermaid's flowchart. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from k8s_installer.drawing.model import Box, Drawing
from k8s_installer.untrusted.visible import visible

_PLAIN = frozenset(" .,_:/()=+-")  # what means nothing between quotes, besides letters and digits


def mermaid(drawing: Drawing) -> str:
    """The text of a flowchart; GitHub, GitLab and mermaid.live draw it."""
    return "\n".join(_lines(drawing)) + "\n"


def _lines(drawing: Drawing) -> Iterator[str]:
    ids = {box.id: f"n{number}" for number, box in enumerate(drawing.boxes)}
    yield f"flowchart {'TB' if drawing.tall else 'LR'}"
    yield f"  accTitle: {_quoted(drawing.title)}"
    for number, lane in enumerate(drawing.lanes):
        boxes = [f"    {ids[box.id]}{_shape(box)}" for box in drawing.boxes if box.lane == lane.id]
        if lane.lines and boxes:
            yield f'  subgraph g{number}["{_text(lane.lines)}"]'
            yield from boxes
            yield "  end"
        else:
            yield from boxes
    for arrow in drawing.arrows:
        label = f'|"{_quoted(arrow.label)}"|' if arrow.label else ""
        yield f"  {ids[arrow.source]} -->{label} {ids[arrow.target]}"


def _shape(box: Box) -> str:
    first, last = ("([", "])") if box.kind == "outside" else ("[", "]")
    return f'{first}"{_text(box.lines)}"{last}'


def _text(lines: tuple[str, ...]) -> str:
    return "<br/>".join(map(_quoted, lines))


def _quoted(text: str) -> str:
    """Text that Mermaid shows as it is: what could mean something is written by its number."""
    return "".join(char if char.isalnum() or char in _PLAIN else f"#{ord(char)};" for char in visible(text))
