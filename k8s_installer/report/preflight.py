"""What preflight found: worst first, what several hosts share said once, each with its fix; or plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Group
from rich.text import Text

from k8s_installer.errors import listed
from k8s_installer.preflight import CHECKS, Finding, Preflight, Severity

_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "yellow"}
_NAMED = 8  # hosts that are named in a line; JSON has them all


def lines(found: Preflight, inventory: Path, *, again: bool = True) -> Group:
    """For people: three lines for each finding (what, evidence, fix), a sum, and what to type next.

    Args:
        found: what was found.
        inventory: named in what to type next.
        again: whether there is a next thing to type.
    """
    groups: dict[tuple[str, Severity, str, str], list[str]] = {}
    for item in found.findings:
        groups.setdefault((item.id, item.severity, item.evidence, item.fix), []).append(item.host)
    shown = [line for group, hosts in groups.items() for line in _finding(*group, hosts)]
    rest = [total(found)]
    if again and found.having(Severity.ERROR):
        rest.append(Text(f"Next: fix the errors, then k8s-installer preflight -i {inventory}"))
    elif again:
        rest.append(Text(f"Next: k8s-installer apply -i {inventory}"))
    return Group(*shown, *rest)


def total(found: Preflight) -> Text:
    """One sentence: how many hosts were asked, and how much was found."""
    errors, warnings = (len(found.having(severity)) for severity in (Severity.ERROR, Severity.WARNING))
    asked = _count(len(found.hosts), "host")
    if not found.findings:
        return Text(f"{asked}: nothing would stop an install.", "bold green")
    return Text(f"{asked}: {_count(errors, 'error')}, {_count(warnings, 'warning')}.", "bold red" if errors else "bold")


def data(found: Preflight) -> dict[str, object]:
    """For programs: stable names and ids."""
    return {
        "passed": not found.having(Severity.ERROR),
        "hosts": list(found.hosts),
        "findings": [_data(item) for item in found.findings],
    }


def _finding(check: str, severity: Severity, evidence: str, fix: str, hosts: list[str]) -> Iterator[Text]:
    yield Text.assemble(
        (f"{severity:<8}", _STYLE[severity]), (check, "bold"), f"  {listed(hosts, _NAMED)}: ",
        f"{CHECKS[check].means}",
    )  # fmt: skip
    yield Text(f"        {evidence}", "dim")
    yield Text(f"        fix: {fix}")


def _data(item: Finding) -> dict[str, object]:
    return {**asdict(item), "severity": str(item.severity), "means": CHECKS[item.id].means}


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"
