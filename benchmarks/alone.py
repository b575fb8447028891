"""What needs no host: the command line's own start, `validate`, `render`, and the pure part of many hosts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from benchmarks.cluster import inventory_text
from benchmarks.measure import HERE, REPOSITORY, Figures, Run, run
from benchmarks.rows import installer

HELP, IMPORTS, VALIDATE, RENDER, PURE = "--help", "import typer and its rich", "validate", "render", "pure"
HOSTS = 100
_FIRST = int(IPv4Address("172.16.0.1"))
# What every help of typer's is made with: it takes more of rich than our own tables do.
_IMPORTS = (sys.executable, "-c", "import typer, typer.rich_utils")


def commands(folder: Path, rounds: int) -> list[Figures]:
    """Commands that ask no host, in turn."""
    inventory = _inventory(folder, HOSTS)
    runs: dict[str, list[Run]] = {name: [] for name in (HELP, IMPORTS, VALIDATE, RENDER)}
    for number in range(rounds):
        runs[IMPORTS].append(run(_IMPORTS, cwd=REPOSITORY).require(0))
        runs[HELP].append(installer("--help").require(0))
        runs[VALIDATE].append(installer("validate", "-i", inventory).require(0))
        out = folder / f"rendered-{number}"
        runs[RENDER].append(installer("render", "-i", inventory, "-o", out).require(0))
    sizes = {HELP: 0, IMPORTS: 0, VALIDATE: HOSTS, RENDER: HOSTS}
    return [Figures.of(name, sizes[name], done) for name, done in runs.items()]


def pure(folder: Path, sizes: Sequence[int], rounds: int) -> list[Figures]:
    """The pure part for each number of hosts, a process each, on one core; the interpreter's start counts."""
    runs: dict[int, list[Run]] = {size: [] for size in sizes}
    inventories = {size: _inventory(folder, size) for size in sizes}
    for _ in range(rounds):
        for size, inventory in inventories.items():
            done = run(
                [sys.executable, HERE / "pure.py", inventory],
                cwd=REPOSITORY,
                env={"PYTHONPATH": str(REPOSITORY)},
                core=True,
            )
            runs[size].append(done.require(0, why="the plan is not empty"))
    return [Figures.of(PURE, size, done) for size, done in runs.items()]


def _inventory(folder: Path, hosts: int) -> Path:
    own = folder / f"{hosts}-hosts"
    own.mkdir(parents=True, exist_ok=True)
    path = own / "cluster.yaml"
    names = {f"h{number:04}": str(IPv4Address(_FIRST + number)) for number in range(hosts)}
    path.write_text(inventory_text(names, None), encoding="utf-8")
    return path
