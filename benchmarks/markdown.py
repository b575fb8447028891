"""The saved figures as Markdown, put into the documents that show them: `python -m benchmarks.markdown`.

A document says where they go by lines `<!-- benchmarks -->` and `<!-- /benchmarks -->`, or `<!-- many -->` for those of
thousands of hosts; what is between is replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "benchmarks.json"
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "performance.md")
_ROWS = {
    "floor": "bare SSH: the floor",
    "plan": "`plan`, nothing to do",
    "one changed file": "`apply`, one changed file on every host",
    "pyinfra": "pyinfra, nothing to do",
    "ansible": "Ansible, nothing to do",
    "lab up": "`lab up`: booting empty hosts",
    "bootstrap": "`apply`: from there to a cluster verified with pods",
}
_WHOLE = ("floor", "lab up", "bootstrap")  # of which the floor is no part
_MARKED = re.compile(r"(?<=<!-- benchmarks -->\n).*?(?=<!-- /benchmarks -->)", re.DOTALL)
_MARKED_MANY = re.compile(r"(?<=<!-- many -->\n).*?(?=<!-- /many -->)", re.DOTALL)
_EXACT = 10  # from so many seconds, or times, on nothing after the point matters


def table(data: Mapping[str, Any]) -> str:
    """The medians of a saved report in seconds, with how many times the floor they are, and on what they were taken."""
    columns = _columns(data["rows"], "{} hosts") | _columns(data["lab_rows"], "{} lab hosts")
    lines = [f"| seconds (times the floor) | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for row, name in _ROWS.items():
        lines.append(f"| {name} | {' | '.join(_cell(row, medians) for medians in columns.values())} |")
    machine, versions = data["machine"], data["versions"]
    arguments = data["command"].removeprefix("python -m benchmarks").strip()
    command = f'make bench ARGS="{arguments}"' if arguments else "make bench"
    about = (
        f"Medians; {machine['cores']} cores ({machine['cpu']}), Python {machine['python']}, "
        f"{', '.join(f'{name} {version}' for name, version in versions.items() if name != 'k8s-installer')}; "
        f"{data['date'][:10]}, `{command}`."
    )
    return "\n".join([*lines, "", about, ""])


def _columns(rows: Sequence[Mapping[str, Any]], title: str) -> dict[str, dict[str, float]]:
    """The medians by row, of every number of hosts."""
    columns: dict[str, dict[str, float]] = {}
    for hosts in sorted({row["hosts"] for row in rows if row["row"] == "floor"}):
        columns[title.format(hosts)] = {row["row"]: row["median_seconds"] for row in rows if row["hosts"] == hosts}
    return columns


def _cell(row: str, medians: Mapping[str, float]) -> str:
    if row not in medians:
        return ""
    times = "" if row in _WHOLE else f" ({_short(medians[row] / medians['floor'])})"
    return _short(medians[row]) + times


def _short(figure: float) -> str:
    return f"{figure:.2f}" if figure < _EXACT else f"{figure:.0f}"


def many_table(data: Mapping[str, Any]) -> str:
    """What thousands of hosts took beside fewer, measured in the same way; empty where nothing was measured."""
    many = data.get("many", {"rows": ()})
    lines = [
        f"| {_ROWS[row['row']]}, {row['hosts']} hosts | {_short(row['median_seconds'])} "
        f"| {1000 * row['median_seconds'] / row['hosts']:.0f} | {1000 * row['median_cpu_seconds'] / row['hosts']:.0f} "
        f"| {row['peak_mib']:.0f} MiB | {row['most_threads']} | {row['most_files']} |"
        for row in sorted(many["rows"], key=lambda row: (row["row"] != "plan", row["hosts"]))
    ]
    head = "| | seconds | ms a host | local CPU ms a host | memory | threads | open files |"
    about = f"{many['date'][:10]}, `python -m benchmarks.many`." if lines else ""
    return "\n".join([head, "|---|---|---|---|---|---|---|", *lines, "", about, ""]) if lines else ""


def with_table(document: str, data: Mapping[str, Any]) -> str:
    """A document with the figures between its marks."""
    return _MARKED_MANY.sub(lambda _: many_table(data), _MARKED.sub(lambda _: table(data), document))


def main() -> None:
    """Write the figures into every document that shows them."""
    data = json.loads(FIGURES.read_text(encoding="utf-8"))
    for path in DOCUMENTS:
        path.write_text(with_table(path.read_text(encoding="utf-8"), data), encoding="utf-8")


if __name__ == "__main__":
    main()
