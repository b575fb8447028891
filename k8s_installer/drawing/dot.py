"""A picture in the language of Graphviz. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from k8s_installer.drawing.model import Box, Drawing
from k8s_installer.untrusted.visible import visible

_STYLES = {"plain": "dashed", "local": "dotted"}  # of arrows; others are solid


def dot(drawing: Drawing) -> str:
    """The text of a digraph; `dot -Tsvg` draws it."""
    return "\n".join(_lines(drawing)) + "\n"


def _lines(drawing: Drawing) -> Iterator[str]:
    ids = {box.id: f"n{number}" for number, box in enumerate(drawing.boxes)}
    yield f"digraph {_quoted(drawing.title)} {{"
    yield f"  rankdir={'TB' if drawing.tall else 'LR'};"
    yield '  node [shape=box, fontname="monospace"]; edge [fontname="monospace", fontsize=10];'
    for number, lane in enumerate(drawing.lanes):
        boxes = [f"    {ids[box.id]} [{_attributes(box)}];" for box in drawing.boxes if box.lane == lane.id]
        if lane.lines and boxes:
            yield f"  subgraph cluster_{number} {{"
            yield f'    label={_label(lane.lines)}; fontname="monospace";'
            yield from boxes
            yield "  }"
        else:
            yield from boxes
    for arrow in drawing.arrows:
        style = f", style={_STYLES[arrow.kind]}" if arrow.kind in _STYLES else ""
        words = f"label={_quoted(arrow.label)}, tooltip={_quoted(arrow.about)}{style}"
        yield f"  {ids[arrow.source]} -> {ids[arrow.target]} [{words}];"
    yield "}"


def _attributes(box: Box) -> str:
    style = ', style="rounded,dashed"' if box.kind == "outside" else ""
    return f"label={_label(box.lines)}, tooltip={_quoted(box.about)}{style}"


def _label(lines: tuple[str, ...]) -> str:
    return '"' + r"\n".join(_quoted(line)[1:-1] for line in lines) + '"'


def _quoted(text: str) -> str:
    r"""Text that Graphviz shows as it is: it would obey `\N` and `&lt;`."""
    text = visible(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return '"' + text.replace("\n", r"\n").replace("\t", " ") + '"'
