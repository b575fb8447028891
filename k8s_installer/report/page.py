"""The report as one page of HTML: nothing in it is loaded from anywhere, and nothing in it runs.

The page allows its own style by its sum and forbids everything else (`Content-Security-Policy`), so that a name or a
log line that somebody else wrote could do nothing even if it came through.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from k8s_installer.model.plan import Change, Plan
from k8s_installer.planning.undo import reversible
from k8s_installer.report.diff import unified
from k8s_installer.report.document import document
from k8s_installer.report.grouped import Words, grouped
from k8s_installer.report.known import Known
from k8s_installer.report.names import spans
from k8s_installer.report.text import change_words
from k8s_installer.untrusted.visible import visible

_FOLDER = Path(__file__).parent / "templates"
_MOST_HOSTS = 60  # rows of the timeline; JSON has all


def page(known: Known, drawing_style: str) -> str:
    """The page.

    Args:
        known: what it is about, with its pictures.
        drawing_style: the style of these.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters["spans"] = spans
    style = (_FOLDER / "page.css").read_text(encoding="utf-8") + drawing_style
    total = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    said: dict[str, Any] = document(known)
    return environment.get_template("page.html.j2").render(
        report=said,
        pictures={"cluster": known.picture, "plan": known.live.picture if known.live else ""},
        style=style,
        policy=f"default-src 'none'; style-src 'sha256-{total}'",
        sums=_sums(said),
        items=_items(said["hardening"]),
        changes=_changes(known),
        findings=_findings(said.get("preflight") or {}),
        certificates=_ending_first(said.get("certificates") or {}),
        rows=_rows(said.get("last_run") or {}),
    )


def _shown(value: object) -> object:
    """What a template prints: text of others without what would hide or reorder it."""
    if isinstance(value, str) and not hasattr(value, "__html__"):  # that is markup: of a macro, or marked as safe
        return visible(value)
    return "" if value is None else value


def _sums(document: Mapping[str, Any]) -> dict[str, int]:
    """How many of everything there are, for the first lines of the page."""
    status = document.get("status") or {"hosts": []}
    components = [one for host in status["hosts"] if not host["error"] for one in host["components"]]
    certificates = (document.get("certificates") or {}).get("certificates", [])
    days = [one["days"] for one in certificates if one["days"] is not None]
    findings = (document.get("preflight") or {}).get("findings", [])
    verdicts = [group["verdict"] for group in _items(document["hardening"])]
    return {
        "silent": sum(bool(host["error"]) for host in status["hosts"]),
        "differing": sum(len(one["differences"]) for one in components),
        "unhealthy": sum(not health["holds"] for one in components for health in one["health"]),
        "changes": len((document.get("plan") or {}).get("changes", [])),
        "errors": sum(one["severity"] == "error" for one in findings),
        "warnings": sum(one["severity"] == "warning" for one in findings),
        "passed": verdicts.count("pass"),
        "failed": verdicts.count("fail"),
        "unknown": verdicts.count("unknown"),
        "days": min(days, default=-1),
        "certificates": len(days),
    }


def _items(judged: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Items of the benchmark that came out alike, once for all their hosts; the worst verdict first for each."""
    order = ("fail", "unknown", "pass")
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for one in judged:
        found.setdefault((one["id"], one["what"], one["verdict"], _without(one["host"], one["evidence"])), []).append(
            one["host"]
        )
    rows = [
        {"id": item, "what": what, "verdict": verdict, "evidence": evidence, "hosts": hosts}
        for (item, what, verdict, evidence), hosts in found.items()
    ]
    return sorted(rows, key=lambda row: order.index(str(row["verdict"])))


def _without(host: str, text: str) -> str:
    """A text in which the host's own name does not make it differ from that of others."""
    return text.replace(f"={host}", "=(its name)")


def _changes(known: Known) -> list[dict[str, Any]]:
    """The changes of the plan, those that read the same as one; in an order that works."""
    plan = known.live.plan if known.live else None
    if not isinstance(plan, Plan):
        return []
    addresses = {host.name: host.address for host in known.cluster.hosts}
    return [
        {
            "hosts": entry.hosts,
            "component": entry.changes[0].component,
            "does": entry.words.does,
            "note": entry.words.note,
            "diff": entry.words.diff,
            "lasting": not entry.words.reversible,
        }
        for entry in grouped(plan.changes, _words, addresses)
    ]


def _words(change: Change) -> Words:
    diff = tuple(unified(change))
    return Words(change.action, change_words(change), change.reason, diff, reversible=reversible(change))


def _findings(preflight: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in preflight.get("findings", []):
        key = tuple(one[name] for name in ("id", "severity", "evidence", "fix"))
        found.setdefault(key, {**one, "hosts": []})["hosts"].append(one["host"])
    return list(found.values())


def _ending_first(found: Mapping[str, Any]) -> list[Any]:
    """Certificates with few days left first; those of which nobody knows are before all."""
    return sorted(found.get("certificates", []), key=lambda one: -math.inf if one["days"] is None else one["days"])


def _rows(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row of the timeline for each host: its cell of each phase, or None."""
    cells = {(cell["host"], cell["phase"]): cell for cell in run.get("cells", ())}
    whole = max(run.get("seconds", 0.0), 0.001)
    return [
        {
            "host": host,
            "cells": [
                cell
                and {
                    **cell,
                    "left": round(100 * cell["begin"] / whole, 1),
                    "width": max(1.5, round(100 * (cell["end"] - cell["begin"]) / whole, 1)),
                }
                for cell in (cells.get((host, phase)) for phase in run["phases"])
            ],
        }
        for host in run.get("hosts", ())[:_MOST_HOSTS]
    ]
