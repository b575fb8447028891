"""Time for a run against the number of hosts: `python plot.py REPORT.json PICTURE.svg`, where matplotlib is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

_ROWS = {
    "floor": ("bare SSH", "#888888", "--"),
    "plan": ("k8s-installer plan", "#1f77b4", "-"),
    "one changed file": ("k8s-installer apply, one changed file", "#17becf", "-"),
    "pyinfra": ("pyinfra, no change", "#ff7f0e", "-"),
    "ansible": ("Ansible, no change", "#d62728", "-"),
}


def main() -> None:
    """Draw it."""
    source, target = sys.argv[1:]
    rows = json.loads(Path(source).read_text(encoding="utf-8"))["rows"]
    mpl.rcParams.update({"font.size": 9, "svg.hashsalt": "k8s-installer"})  # the same figures give the same file
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for name, (label, colour, line) in _ROWS.items():
        points = sorted((row["hosts"], row["median_seconds"]) for row in rows if row["row"] == name)
        if points:
            axes.plot(*zip(*points, strict=True), line, marker="o", markersize=4, color=colour, label=label)
    hosts = sorted({row["hosts"] for row in rows if row["row"] == "floor"})
    axes.set(xlabel="hosts", ylabel="seconds for a run (log)", yscale="log", xticks=hosts)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main()
