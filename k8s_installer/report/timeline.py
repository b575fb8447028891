"""When a past run did what: hosts by phases, from its journal."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from k8s_installer.runs.journal import Past

_BAD = ("failed", "skipped", "running")  # what a phase is if any of its changes is that, worst first
_ENDED = ("done", "failed")
FAILURES = 20  # whose evidence is kept


@dataclass(frozen=True, slots=True)
class Cell:
    """The changes of one component on one host: seconds from the run's first event, how many, and how they ended."""

    host: str
    phase: str
    begin: float
    end: float
    changes: int
    state: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run: when it began (ISO 8601, UTC), how long it took, how it ended, and what failed with its evidence.

    Hosts are in the order of their names, phases in that of their first end.
    """

    run: str
    began: str
    seconds: float
    result: str
    hosts: tuple[str, ...]
    phases: tuple[str, ...]
    cells: tuple[Cell, ...]
    failures: tuple[tuple[str, str], ...]


def timeline(past: Past) -> Timeline:
    """The times of a run; a line that says nothing of use is passed over."""
    found: dict[tuple[str, str], dict[int, tuple[str, float, float]]] = {}
    failures: list[tuple[str, str]] = []
    times = [moment for line in past.lines if (moment := _moment(line)) is not None]
    first, last = min(times, default=0.0), max(times, default=0.0)
    for line in past.events:
        moment, state, host, phase = _moment(line), line.get("state"), line.get("host"), line.get("component")
        if moment is None or not all(isinstance(word, str) for word in (state, host, phase)):
            continue
        own = found.setdefault((str(host), str(phase)), {})
        _, begin, _ = own.get(index := hash(line.get("index")), ("", moment, moment))
        if state != "progress":
            own[index] = (str(state), begin, moment)
        if state == "failed":
            failures.append((f"{host}: {line.get('action')} {line.get('name')}", str(line.get("detail", ""))))
    cells = tuple(_cell(host, phase, list(own.values()), first) for (host, phase), own in found.items() if own)
    return Timeline(
        past.run,
        dt.datetime.fromtimestamp(first, dt.UTC).isoformat(timespec="seconds") if times else "",
        last - first,
        past.result or "cut off",
        tuple(sorted({cell.host for cell in cells}, key=_counted)),
        tuple(dict.fromkeys(cell.phase for cell in sorted(cells, key=lambda cell: cell.end))),
        cells,
        tuple(failures[:FAILURES]),
    )


def _cell(host: str, phase: str, changes: list[tuple[str, float, float]], first: float) -> Cell:
    states = [state for state, _, _ in changes]
    state = next((word for word in _BAD if word in states), "done")
    begun = [begin for word, begin, _ in changes if word != "skipped"] or [first]
    ended = [end for word, _, end in changes if word in _ENDED] or begun
    return Cell(host, phase, min(begun) - first, max(ended) - first, len(changes), state)


def _counted(name: str) -> list[tuple[int, str]]:
    """A name to sort by, with its numbers as numbers: n2 comes before n10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d{1,18})", name)]


def _moment(line: Mapping[str, Any]) -> float | None:
    """Unix seconds of a line."""
    try:
        return dt.datetime.fromisoformat(str(line.get("time"))).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
