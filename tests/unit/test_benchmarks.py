"""What the documents say of speed is what was measured, and what is measured is the whole of what a cluster wants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import markdown, pure
from benchmarks.cluster import inventory_text
from benchmarks.wanted import wants
from k8s_installer.flows.resolve import resolve
from k8s_installer.model.resources import Unit
from k8s_installer.planning.make import make_plan


@pytest.mark.parametrize("path", markdown.DOCUMENTS, ids=lambda path: path.name)
def test_a_document_shows_the_saved_figures(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    data = json.loads(markdown.FIGURES.read_text(encoding="utf-8"))
    assert text.count(markdown.table(data)) == 1
    assert markdown.with_table(text, data) == text, "python -m benchmarks.markdown"


def test_a_row_that_was_not_measured_has_no_figure() -> None:
    rows = [
        {"row": "floor", "hosts": 10, "median_seconds": 0.5},
        {"row": "floor", "hosts": 200, "median_seconds": 12.3},
        {"row": "ansible", "hosts": 10, "median_seconds": 100.4},
    ]
    lab = [
        {"row": "lab up", "hosts": 3, "median_seconds": 5.5},
        {"row": "bootstrap", "hosts": 3, "median_seconds": 33.4},
        {"row": "floor", "hosts": 3, "median_seconds": 0.5},
        {"row": "plan", "hosts": 3, "median_seconds": 1.0},
    ]
    data = {
        "rows": rows,
        "lab_rows": lab,
        "machine": {"cores": 2, "cpu": "a CPU", "python": "3.11.7"},
        "versions": {"k8s-installer": "0.1.0", "paramiko": "4.0.0", "pyinfra": "3.10.0"},
        "date": "2026-11-23T06:21:06+00:00",
        "command": "python -m benchmarks --hosts 10,200",
    }
    assert markdown.table(data).splitlines() == [
        "| seconds (times the floor) | 10 hosts | 200 hosts | 3 lab hosts |",
        "|---|---|---|---|",
        "| bare SSH: the floor | 0.50 | 12 | 0.50 |",
        "| `plan`, nothing to do |  |  | 1.00 (2.00) |",
        "| `apply`, one changed file on every host |  |  |  |",
        "| pyinfra, nothing to do |  |  |  |",
        "| Ansible, nothing to do | 100 (201) |  |  |",
        "| `lab up`: booting empty hosts |  |  | 5.50 |",
        "| `apply`: from there to a cluster verified with pods |  |  | 33 |",
        "",
        (
            "Medians; 2 cores (a CPU), Python 3.11.7, paramiko 4.0.0, pyinfra 3.10.0; 2026-11-23, "
            '`make bench ARGS="--hosts 10,200"`.'
        ),
    ]


def test_thousands_of_hosts_are_shown_beside_hundreds() -> None:
    def row(name: str, hosts: int, seconds: float) -> dict[str, object]:
        counts = {"most_threads": 300, "most_files": 310, "peak_mib": 400.4, "median_cpu_seconds": seconds / 2}
        return {"row": name, "hosts": hosts, "median_seconds": seconds, **counts}

    rows = [row("one changed file", 5000, 400), row("plan", 5000, 150), row("plan", 200, 6)]
    many = markdown.many_table({"many": {"date": "2026-11-26T03:40:00+00:00", "rows": rows}})
    assert many.splitlines()[2:] == [
        "| `plan`, nothing to do, 200 hosts | 6.00 | 30 | 15 | 400 MiB | 300 | 310 |",
        "| `plan`, nothing to do, 5000 hosts | 150 | 30 | 15 | 400 MiB | 300 | 310 |",
        "| `apply`, one changed file on every host, 5000 hosts | 400 | 80 | 40 | 400 MiB | 300 | 310 |",
        "",
        "2026-11-26, `python -m benchmarks.many`.",
    ]
    assert markdown.many_table({}) == ""


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(inventory_text({f"h000{n}": f"127.0.1.{n}" for n in range(1, 4)}, None), encoding="utf-8")
    return path


def test_the_pure_part_has_an_answer_for_everything_that_is_wanted(measured: Path) -> None:
    desired = resolve(measured, None, None).desired
    assert not make_plan(desired, pure.answers(desired))


def test_the_other_tools_are_told_of_every_unit(measured: Path, tmp_path: Path) -> None:
    told = wants(measured, tmp_path / "bytes")
    units = [(ref.host, ref.name) for ref, item in resolve(measured, None, None).desired.items()
             if isinstance(item.resource, Unit)]  # fmt: skip
    assert [(host, unit) for host, wanted in told.items() for unit in wanted.services] == units
