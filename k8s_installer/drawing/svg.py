"""A picture as SVG: text and shapes alone, no script, no font, nothing from elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from k8s_installer.drawing.layout import CHAR, LINE, PAD, Layout, Placed, Point, Route, layout
from k8s_installer.drawing.model import Box, Drawing, Lane
from k8s_installer.drawing.wording import columns
from k8s_installer.untrusted.visible import visible

# Colours of the shapes by class, in light and in dark; a page that has pictures has these rules once.
STYLE = """
.drawing { --paper: #ffffff; --ink: #1b1f24; --soft: #57606a; --lane: #f6f8fa; --edge: #d0d7de;
  --box: #ffffff; --line: #57606a; --tls: #0a5ea8; --plain: #b3261e; --stop: #8a4b00; --go: #1a6b35; }
@media (prefers-color-scheme: dark) { .drawing { --paper: #0f1419; --ink: #e6edf3; --soft: #9aa7b4; --lane: #161c24;
  --edge: #3a4450; --box: #1f2731; --line: #9aa7b4; --tls: #79b8ff; --plain: #ff9b92; --stop: #f0b35e;
  --go: #6fd08c; } }
@media print { .drawing { --paper: #ffffff; --ink: #000000; --soft: #333333; --lane: #ffffff; --edge: #999999;
  --box: #ffffff; --line: #333333; --tls: #0a5ea8; --plain: #b3261e; --stop: #8a4b00; --go: #1a6b35; } }
.drawing text { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: var(--ink); }
.drawing .paper { fill: var(--paper); }
.drawing .lane { fill: var(--lane); stroke: var(--edge); }
.drawing .title { font-size: 14px; font-weight: bold; }
.drawing .lane-title, .drawing .name { font-weight: bold; }
.drawing .more, .drawing .label { fill: var(--soft); }
.drawing .label { font-size: 11px; }
.drawing .box { fill: var(--box); stroke: var(--line); }
.drawing .box.outside { stroke-dasharray: 4 3; }
.drawing .box.restart, .drawing .box.stop { stroke: var(--stop); stroke-width: 2; }
.drawing .box.start { stroke: var(--go); stroke-width: 2; }
.drawing .box.gate { stroke: var(--tls); stroke-dasharray: 4 3; }
.drawing .arrow { fill: none; stroke: var(--line); }
.drawing .head { fill: var(--line); }
.drawing .tls .arrow { stroke: var(--tls); }
.drawing .tls .head { fill: var(--tls); }
.drawing .plain .arrow { stroke: var(--plain); }
.drawing .plain .head { fill: var(--plain); }
.drawing .local .arrow { stroke-dasharray: 2 3; }
"""
_HEAD = 7.0  # pixels of an arrow's head
_TITLE = 34.0  # pixels above a picture for its title
_WIDE_CHAR = CHAR * 14 / 12  # of the title


def svg(drawing: Drawing, name: str = "drawing", *, alone: bool = True) -> str:
    """The picture; `alone` in a file of its own, otherwise for a page that has `STYLE`, where `name` is its id."""
    placed = layout(drawing)
    return "\n".join([*_opening(drawing, placed, name, alone=alone), *_content(placed), "</svg>"]) + "\n"


def _opening(drawing: Drawing, placed: Layout, name: str, *, alone: bool) -> Iterator[str]:
    """The head; a picture of its own has its title above it and its notes below."""
    above, below = (_TITLE, LINE * len(drawing.notes) + 3 * PAD) if alone else (0, 0)
    texts = [drawing.title, *drawing.notes] if alone else []
    width = max([placed.width, *(columns(text) * _WIDE_CHAR + 2 * PAD for text in texts)])
    frame = f"0 {_number(-above)} {_number(width)} {_number(placed.height + above + below)}"
    size = f'width="{_number(width)}" height="{_number(placed.height + above + below)}"'
    space = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
    labels = f'role="img" aria-labelledby="{name}-title {name}-text"'
    yield f'<svg{space} class="drawing" {labels} {size} viewBox="{frame}">'
    yield f'<title id="{name}-title">{_text(drawing.title)}</title>'
    yield f'<desc id="{name}-text">{_text(drawing.description)}</desc>'
    if not alone:
        return
    yield f"<style>{STYLE}</style>"
    yield f'<rect class="paper" y="{_number(-above)}" {size}/>'
    yield _line("title", PAD, -PAD, drawing.title)
    for number, note in enumerate(drawing.notes):
        yield _line("more", PAD, placed.height + 1.5 * PAD + LINE * (number + 0.7), note)


def _content(placed: Layout) -> Iterator[str]:
    for lane, at in placed.lanes:
        yield from _lane(lane, at)
    for route in placed.routes:
        yield from _route(route)
    for box, at in placed.boxes:
        yield from _box(box, at)


def _lane(lane: Lane, at: Placed) -> Iterator[str]:
    if lane.lines:
        yield f'<rect class="lane" {_rectangle(at)} rx="6"/>'
    for number, line in enumerate(at.lines):
        kind = "more" if number else "lane-title"
        yield _line(kind, at.x + PAD, at.y + PAD + LINE * (number + 0.7), line)


def _box(box: Box, at: Placed) -> Iterator[str]:
    yield "<g>"
    if box.about:
        yield f"<title>{_text(box.about)}</title>"
    yield f'<rect class="box {box.kind}" {_rectangle(at)} rx="4"/>'
    top = at.y + (at.height - len(at.lines) * LINE) / 2
    for number, line in enumerate(at.lines):
        yield _line("more" if number else "name", at.x + PAD, top + LINE * (number + 0.75), line)
    yield "</g>"


def _route(route: Route) -> Iterator[str]:
    yield f'<g class="{route.arrow.kind or "usual"}">'
    if route.arrow.about:
        yield f"<title>{_text(route.arrow.about)}</title>"
    corners = " ".join(f"{_number(x)},{_number(y)}" for x, y in route.points)
    yield f'<polyline class="arrow" points="{corners}"/>'
    yield f'<polygon class="head" points="{_head(route.points)}"/>'
    if route.label:
        yield _line("label", *route.at, route.label)
    yield "</g>"


def _head(points: Sequence[Point]) -> str:
    """A triangle at the end of a line, which comes from the left or from above."""
    (before_x, _), (x, y) = points[-2:]
    half = _HEAD / 2
    if before_x < x:
        corners = [(x, y), (x - _HEAD, y - half), (x - _HEAD, y + half)]
    else:
        corners = [(x, y), (x - half, y - _HEAD), (x + half, y - _HEAD)]
    return " ".join(f"{_number(left)},{_number(top)}" for left, top in corners)


def _line(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{_number(x)}" y="{_number(y)}" xml:space="preserve">{_text(text)}</text>'


def _rectangle(at: Placed) -> str:
    return " ".join(
        f'{name}="{_number(value)}"'
        for name, value in (("x", at.x), ("y", at.y), ("width", at.width), ("height", at.height))
    )


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _text(text: str) -> str:
    """Text that no reader of XML takes for anything else; two characters have no place in XML at all."""
    return escape(visible(text).replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd"), {'"': "&quot;"})
