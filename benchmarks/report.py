"""The figures for people, for programs, and as a picture."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.environment import Tools
from benchmarks.loopback import RTT
from benchmarks.measure import HERE, Figures, run
from benchmarks.rows import ASKING, FLOOR
from benchmarks.targets import Target

NOTES = tuple(
    """\
loopback hosts: one sshd each, in a chroot whose disk is in memory; all of them share this machine's cores with the \
tool that is measured, so what a tool starts on its hosts counts as its own time
loopback hosts have stand-ins for systemctl and curl (small shell scripts, the same for all tools): no service runs \
there, and every health gate holds at once; rpm, its database, dnf and python3 are real
one changed file: kube-proxy's flags, on every host, with the restart (of the stand-in) and the gate that this means
pyinfra and Ansible ensure the same files, packages and services; in every timed run they changed nothing
what a host is set to (SELinux, swap, firewalld, ...) our own rows look at as well; the others are not told of it
sshd of the loopback hosts uses PAM, as distributions ship it\
""".splitlines()
)


@dataclass(frozen=True, slots=True)
class Report:
    """All that one run of the benchmark found. `lab` are the figures of real hosts, `far` those across an ocean."""

    figures: Sequence[Figures]
    far: Sequence[Figures]
    lab: Sequence[Figures]
    targets: Sequence[Target]
    about: dict[str, object]


def show(report: Report, console: Console) -> None:
    """Print the tables."""
    if report.figures:
        console.print(_table("Loopback hosts and this machine", report.figures))
    if report.far:
        console.print(_table(f"Loopback hosts behind a proxy, {1000 * RTT:.0f} ms for a round trip", report.far))
    if report.lab:
        console.print(_table("Lab hosts", report.lab))
    table = Table(title="Targets", title_justify="left")
    for name, justify in (("what", "left"), ("seen", "right"), ("wanted", "right"), ("", "left")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for target in report.targets:
        verdict = "[green]met[/]" if target.met else "[red]not met[/]"
        table.add_row(target.name, f"{target.figure:.2f}{target.unit}", target.wanted, verdict)
    console.print(table)
    for note in NOTES:
        console.print(f"- {note}", markup=False)


def _table(title: str, figures: Sequence[Figures]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("row")
    for name in ("hosts", "runs", "median s", "least s", "most s", "cpu s", "x floor", "peak MiB"):
        table.add_column(name, justify="right")
    floors = {item.hosts: item.median for item in figures if item.row == FLOOR}
    for item in figures:
        floor = floors.get(item.hosts) if item.row in ASKING else None
        table.add_row(
            item.row, str(item.hosts or "-"), str(len(item.seconds)), f"{item.median:.2f}", f"{min(item.seconds):.2f}",
            f"{max(item.seconds):.2f}", f"{statistics.median(item.cpu):.2f}",
            f"{item.median / floor:.2f}" if floor else "", f"{item.peak:.0f}",
        )  # fmt: skip
    return table


def save(report: Report, path: Path) -> None:
    """Write the JSON."""
    data = {
        **report.about,
        "notes": NOTES,
        "rows": [item.data() for item in report.figures],
        "far_rows": [item.data() for item in report.far],
        "lab_rows": [item.data() for item in report.lab],
        "targets": [target.data() for target in report.targets],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def plot(tools: Tools, data: Path, path: Path) -> None:
    """Draw the picture of a saved report; matplotlib is in the other tools' environment."""
    run([tools.program("python"), HERE / "plot.py", data, path]).require(0)
