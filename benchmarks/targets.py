"""What the project promises of its speed, and whether the figures keep it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from benchmarks import alone
from benchmarks.measure import Figures
from benchmarks.rows import ANSIBLE, CHANGED, FLOOR, PLAN, PYINFRA

# On fewer hosts the start of the programs counts for more than the hosts do, and nothing is promised.
_MANY = 50
_Rows = Mapping[tuple[str, int], Figures]


@dataclass(frozen=True, slots=True)
class Target:
    """One promise: `figure` was seen, `wanted` is the promise in words."""

    name: str
    figure: float
    unit: str
    wanted: str
    met: bool

    def data(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self) | {"figure": round(self.figure, 3)}


def at_most(name: str, figure: float, limit: float, unit: str) -> Target:
    """A promise with an upper limit."""
    return Target(name, figure, unit, f"≤ {limit:g}{unit}", figure <= limit)


def at_least(name: str, figure: float, limit: float, unit: str) -> Target:
    """A promise with a lower limit."""
    return Target(name, figure, unit, f"≥ {limit:g}{unit}", figure >= limit)


def judged(figures: Sequence[Figures]) -> list[Target]:
    """Every promise that these figures can tell something of."""
    rows = {(item.row, item.hosts): item for item in figures}
    return [*_ratios(rows), *_growth(rows), *_alone(rows)]


def _ratios(rows: _Rows) -> Iterator[Target]:
    for hosts in sorted({hosts for row, hosts in rows if row == FLOOR}):
        floor = rows[FLOOR, hosts].median
        plan = rows.get((PLAN, hosts))
        if plan is not None:
            if hosts >= _MANY:
                yield at_most(f"plan of {hosts} hosts, against the floor", plan.median / floor, 1.3, "x")
            for row, limit in ((PYINFRA, 40), (ANSIBLE, 60)):
                if (row, hosts) in rows:
                    yield at_least(
                        f"{row} of {hosts} hosts, against plan", rows[row, hosts].median / plan.median, limit, "x"
                    )
        if (CHANGED, hosts) in rows:
            changed = rows[CHANGED, hosts].median
            yield at_most(f"one changed file on {hosts} hosts, against the floor", changed / floor, 2, "x")


def _growth(rows: _Rows) -> Iterator[Target]:
    plans = [rows[PLAN, hosts] for hosts in sorted(hosts for row, hosts in rows if row == PLAN)]
    if len(plans) < 2:  # noqa: PLR2004 - one point has no slope
        return
    first, last = plans[0], plans[-1]
    span = f"from {first.hosts} to {last.hosts} hosts"
    more = last.hosts - first.hosts
    yield at_most(f"plan: memory for each more host, {span}", (last.peak - first.peak) / more, 1, " MiB")
    each = [plan.median / plan.hosts for plan in plans]
    yield at_most(f"plan: time for a host, most against least, {span}", max(each) / min(each), 1.2, "x")
    # the same without what the program takes to start, which says nothing of hosts
    slopes = [(b.median - a.median) / (b.hosts - a.hosts) for a, b in pairwise(plans)]
    if len(slopes) > 1 and min(slopes) > 0:
        name = f"plan: time for each more host, most against least, {span}"
        yield at_most(name, max(slopes) / min(slopes), 1.2, "x")


def _alone(rows: _Rows) -> Iterator[Target]:
    if (alone.HELP, 0) in rows:
        ratio = rows[alone.HELP, 0].median / rows[alone.IMPORTS, 0].median
        yield at_most("--help, against importing typer and rich", ratio, 1.5, "x")
    for row in (alone.VALIDATE, alone.RENDER):
        if (row, alone.HOSTS) in rows:
            yield at_most(f"{row} of {alone.HOSTS} hosts", rows[row, alone.HOSTS].median, 1, " s")
    largest = max((hosts for row, hosts in rows if row == alone.PURE), default=0)
    if largest:
        yield at_most(f"the pure part of {largest} hosts", rows[alone.PURE, largest].median, 10, " s")
        yield at_most(f"the pure part of {largest} hosts: memory", rows[alone.PURE, largest].peak, 500, " MiB")
