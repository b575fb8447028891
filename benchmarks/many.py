"""Thousands of hosts: `plan`, and one changed file on every host, once each. `python -m benchmarks.many`.

The hosts are there as the inventory wants them (see `seeds`). The figures go into the saved report, beside what
`python -m benchmarks` found; nothing else in it changes.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import environment, hosts
from benchmarks.cluster import Cluster, Login, local
from benchmarks.markdown import FIGURES
from benchmarks.measure import BenchmarkError, Figures
from benchmarks.rows import CHANGED, PLAN, Changed, Plan, Row
from benchmarks.seeds import Seeds, seeds

FEW, HOSTS = 200, 5000  # the first to compare with


def measure(count: int, say: Callable[[str], None], rows: Sequence[str] = (PLAN, CHANGED)) -> Iterator[Figures]:
    """The figures of so many hosts, each when it is there.

    A first plan reads every file, since nothing is remembered of the hosts; the edit is made without its way back.
    """
    say(f"{count} hosts are made as the inventory wants them")
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as name:
        folder = Path(name)
        made: list[Cluster] = []

        def seeded(login: Login, layer: Path) -> Seeds:
            addresses = [hosts.address(number) for number in range(1, count + 1)]
            made.append(local(folder / "cluster", addresses, login))
            return seeds(folder, made[0].inventory, layer)

        with hosts.serving(folder, count, seeded=seeded):
            (cluster,) = made
            known: list[Row] = [Plan(1, cluster.inventory), Changed(1, cluster)]
            for row in known:
                if row.name in rows:
                    say(f"{count} hosts: {row.name}")
                    yield Figures.of(row.name, count, [next(row.once())])


def main() -> None:
    """Measure, print, and put each figure into the saved report when it is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many", description=__doc__.partition("\n")[0])
    parser.add_argument("hosts", type=int, nargs="*", default=[FEW, HOSTS], help="how many (200 and then 5000)")
    parser.add_argument("--row", choices=(PLAN, CHANGED), action="append", help="measure this alone")
    options = parser.parse_args()
    try:
        hosts.require()
        say = functools.partial(print, "…", file=sys.stderr, flush=True)
        for count in options.hosts:
            for figures in measure(count, say, options.row or (PLAN, CHANGED)):
                print(json.dumps(figures.data()), flush=True)
                _save(figures)
    except BenchmarkError as error:
        sys.exit(f"benchmarks: {error}")


def _save(figures: Figures) -> None:
    saved = json.loads(FIGURES.read_text(encoding="utf-8"))
    named = (figures.row, figures.hosts)
    others = [row for row in saved.get("many", {}).get("rows", ()) if (row["row"], row["hosts"]) != named]
    many = {**data([]), "rows": [*others, figures.data()]}
    FIGURES.write_text(json.dumps({**saved, "many": many}, indent=1) + "\n", encoding="utf-8")


def data(figures: Iterable[Figures]) -> dict[str, object]:
    """Figures for JSON, with when and on what they were taken."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {"date": date, "machine": environment.machine(), "rows": [item.data() for item in figures]}


if __name__ == "__main__":
    main()
