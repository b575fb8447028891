"""Where the boxes and arrows of a picture are, so that nothing covers a text. Pure.

Lanes lie across the ranks: lane after lane along `v`, rank after rank along `u`. In a picture whose ranks go to the
right `u` is x and `v` is y; a tall one is turned, and has no labels. Between two ranks is a channel: first a zone for
the labels of the arrows that leave the boxes before it, then a track for each arrow that turns there. Between two
lanes is a corridor with a row for each arrow that passes other ranks or goes back. So no arrow and no box comes where
a text is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from k8s_installer.drawing.model import Arrow, Box, Drawing, Lane
from k8s_installer.drawing.wording import columns, shortened, wrapped

CHAR, LINE = 7.3, 16.0  # a character of 12 px in any monospace font, and a line
LABEL_CHAR = CHAR * 11 / 12
PAD = 10.0  # around the text of a box
_BOX, _TITLE, _LABEL = 30, 18, 42  # columns of a line in a box, of a lane's title, of an arrow's label
_BOX_LINES, _TITLE_LINES = 2, 6  # that one line of a box, or the title, may be broken into
_SLOT, _TRACK, _ROW, _GAP = 17.0, 11.0, 14.0, 14.0
_NARROW = 13.0  # between arrows without labels
_STUB = 14.0  # in front of a box, for the head of an arrow
_LABEL_PAD = 8.0

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Placed:
    """A rectangle with its lines of text."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """An arrow: the corners of its line, and its label, whose lower left corner is `at`."""

    arrow: Arrow
    points: tuple[Point, ...]
    label: str
    at: Point


@dataclass(frozen=True, slots=True)
class Layout:
    """A picture with places, in pixels from its upper left corner."""

    width: float
    height: float
    lanes: tuple[tuple[Lane, Placed], ...]
    boxes: tuple[tuple[Box, Placed], ...]
    routes: tuple[Route, ...]


def layout(drawing: Drawing) -> Layout:
    """Find a place for everything."""
    return _Plan.of(drawing).placed()


@dataclass(slots=True)
class _Plan:
    """What is known before there are coordinates, by names of boxes and numbers of ranks and lanes."""

    drawing: Drawing
    ranks: list[int]
    lines: Mapping[str, tuple[str, ...]]
    titles: Mapping[str, tuple[str, ...]]
    column: Mapping[str, int]
    lane: Mapping[str, int]
    out: Mapping[str, list[int]]
    into: Mapping[str, list[int]]
    corridor: Mapping[int, int]  # of arrows that need one: the lane before it
    starts: dict[int, float] = field(default_factory=dict)  # of each rank, along u
    box_v: dict[str, float] = field(default_factory=dict)
    row_v: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, drawing: Drawing) -> _Plan:
        ranks = sorted({box.rank for box in drawing.boxes})
        number = {lane.id: place for place, lane in enumerate(drawing.lanes)}
        column = {box.id: ranks.index(box.rank) for box in drawing.boxes}
        lane = {box.id: number[box.lane] for box in drawing.boxes}
        order = {box.id: (lane[box.id], place) for place, box in enumerate(drawing.boxes)}
        out: dict[str, list[int]] = defaultdict(list)
        into: dict[str, list[int]] = defaultdict(list)
        for place, arrow in enumerate(drawing.arrows):
            out[arrow.source].append(place)
            into[arrow.target].append(place)
        arrows = drawing.arrows
        for box in drawing.boxes:
            out[box.id].sort(key=lambda place: order[arrows[place].target])
            into[box.id].sort(key=lambda place: order[arrows[place].source])
        return cls(
            drawing,
            ranks,
            lines={box.id: _fitted(box.lines, _BOX, _BOX_LINES) for box in drawing.boxes},
            titles={lane.id: tuple(_fitted(lane.lines, _TITLE, _TITLE_LINES)) for lane in drawing.lanes},
            column=column,
            lane=lane,
            out=out,
            into=into,
            corridor={
                place: min(lane[arrow.source], lane[arrow.target])
                for place, arrow in enumerate(arrows)
                if column[arrow.target] != column[arrow.source] + 1
            },
        )

    def placed(self) -> Layout:
        """The picture: first along v, for lanes and rows, then along u, for ranks and tracks."""
        lanes, height = self._across()
        tracks, width = self._along()
        everything = [*lanes, *(self._box(box) for box in self.drawing.boxes)]
        routes = tuple(self._route(place, tracks) for place in range(len(self.drawing.arrows)))
        count = len(lanes)
        turned = [self._turned(one, width) for one in everything]
        if self.drawing.tall:
            width, height = height, width
        return Layout(
            width,
            height,
            tuple(zip(self.drawing.lanes, turned[:count], strict=True)),
            tuple(zip(self.drawing.boxes, turned[count:], strict=True)),
            routes,
        )

    def _turned(self, one: Placed, width: float) -> Placed:
        """A rectangle in x and y; lanes are as long as the picture."""
        length = one.width or width
        if self.drawing.tall:
            return Placed(one.y, one.x, one.height, length, one.lines)
        return Placed(one.x, one.y, length, one.height, one.lines)

    def _size(self, box: Box) -> Point:
        """How much room a box needs along u and v."""
        lines = self.lines[box.id]
        text = max((columns(line) for line in lines), default=0) * CHAR + 2 * PAD, len(lines) * LINE + 2 * PAD
        slots = max(len(self.out[box.id]), len(self.into[box.id]), 1) * self._slot + PAD
        u, v = reversed(text) if self.drawing.tall else text
        return u, max(v, slots)

    @property
    def _slot(self) -> float:
        return _NARROW if self.drawing.tall else _SLOT

    def _across(self) -> tuple[list[Placed], float]:
        """The lanes, and how far they reach together; boxes and rows get their place along v."""
        at, lanes = _GAP, list[Placed]()
        for number, lane in enumerate(self.drawing.lanes):
            begin, end = at, at + self._title_room(lane)
            for rank in range(len(self.ranks)):
                v = begin + PAD
                for box in self.drawing.boxes:
                    if self.lane[box.id] == number and self.column[box.id] == rank:
                        self.box_v[box.id] = v
                        v += self._size(box)[1] + _GAP
                end = max(end, v)
            lanes.append(Placed(0, begin, 0, end - begin, self.titles[lane.id]))
            at = end + _GAP / 2
            for place, before in self.corridor.items():
                if before == number:
                    self.row_v[place] = at
                    at += _ROW
            at += _GAP / 2
        return lanes, at

    def _title_room(self, lane: Lane) -> float:
        lines = self.titles[lane.id]
        if not self.drawing.tall:
            return len(lines) * LINE + PAD
        return max((columns(line) for line in lines), default=0) * CHAR + 2 * PAD

    def _along(self) -> tuple[dict[tuple[int, int], float], float]:
        """The tracks of each arrow by channel, and how far the ranks reach; ranks get their place along u."""
        tracks: dict[tuple[int, int], float] = {}
        at = self._titles_depth()
        for rank in range(-1, len(self.ranks)):
            if rank >= 0:
                self.starts[rank] = at
                at += self._depth(rank)
                labels = [self._label(arrow) for arrow in self._leaving(rank)]
                room = max((columns(label) for label in labels), default=0) * LABEL_CHAR
                at += room + _LABEL_PAD * 2 if room else _LABEL_PAD
            for place in self._turning(rank):
                tracks[rank, place] = at
                at += _TRACK
            at += _STUB
        return tracks, at

    def _titles_depth(self) -> float:
        """The room of the lanes' titles, which stand before the first rank."""
        titles = self.titles.values()
        if self.drawing.tall:
            return max((len(lines) for lines in titles), default=0) * LINE + PAD
        return max((columns(line) for lines in titles for line in lines), default=0) * CHAR + 2 * PAD

    def _depth(self, rank: int) -> float:
        return max(self._size(box)[0] for box in self.drawing.boxes if self.column[box.id] == rank)

    def _leaving(self, rank: int) -> list[Arrow]:
        return [arrow for arrow in self.drawing.arrows if self.column[arrow.source] == rank]

    def _turning(self, channel: int) -> list[int]:
        """The arrows that turn in the channel after a rank: what leaves that rank, and what comes to the next one."""
        arrows = self.drawing.arrows
        leaving = [place for place, arrow in enumerate(arrows) if self.column[arrow.source] == channel]
        coming = [place for place in self.corridor if self.column[arrows[place].target] == channel + 1]
        # those that go on in the corridor first: they leave the ones that turn here alone
        return [
            *sorted(leaving, key=lambda place: place in self.corridor),
            *(one for one in coming if one not in leaving),
        ]

    def _label(self, arrow: Arrow) -> str:
        return "" if self.drawing.tall else shortened(arrow.label, _LABEL)

    def _box(self, box: Box) -> Placed:
        rank = self.column[box.id]
        return Placed(self.starts[rank], self.box_v[box.id], self._depth(rank), self._size(box)[1], self.lines[box.id])

    def _route(self, place: int, tracks: Mapping[tuple[int, int], float]) -> Route:
        arrow = self.drawing.arrows[place]
        source, target = self.column[arrow.source], self.column[arrow.target]
        begin = self.starts[source] + self._depth(source), self._at(arrow.source, self.out, place)
        end = self.starts[target], self._at(arrow.target, self.into, place)
        first = tracks[source, place]
        bends = [(first, begin[1]), (first, end[1])]
        if place in self.corridor:
            last, row = tracks[target - 1, place], self.row_v[place]
            bends = [(first, begin[1]), (first, row), (last, row), (last, end[1])]
        points = (begin, *bends, end)
        if self.drawing.tall:
            points = tuple((v, u) for u, v in points)
        return Route(arrow, points, self._label(arrow), (begin[0] + _LABEL_PAD, begin[1] - 3))

    def _at(self, box: str, sides: Mapping[str, list[int]], place: int) -> float:
        """Where along v an arrow touches a box: each has a place of its own."""
        count = len(sides[box])
        height = next(self._size(one)[1] for one in self.drawing.boxes if one.id == box)
        first = self.box_v[box] + (height - (count - 1) * self._slot) / 2
        return first + sides[box].index(place) * self._slot


def _fitted(lines: tuple[str, ...], width: int, most: int) -> tuple[str, ...]:
    return tuple(part for line in lines for part in wrapped(line, width, most))
