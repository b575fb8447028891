"""What a picture shows: boxes in lanes, and arrows between them."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Lane:
    """A part of the picture that boxes stand in, such as some hosts; without lines it has no frame."""

    id: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Box:
    """A thing with its name (the first line) and a few words; `rank` is how far along the picture it stands.

    `kind` is how it looks (`svg.STYLE`), `about` what is shown if somebody points at it.
    """

    id: str
    lane: str
    rank: int
    lines: tuple[str, ...]
    kind: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Arrow:
    """What leads from one box to another."""

    source: str
    target: str
    label: str = ""
    kind: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A whole picture: ranks go to the right, or down if it is `tall`. `notes` are a line each below it."""

    title: str
    description: str
    lanes: tuple[Lane, ...]
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    tall: bool = False
    notes: tuple[str, ...] = ()


def data(drawing: Drawing) -> dict[str, object]:
    """A picture for programs."""
    return asdict(drawing)
