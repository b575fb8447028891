"""The checks of a cluster: a line for each as it comes, or plain data at the end."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Group
from rich.text import Text

from k8s_installer.verify import NO_IMAGE, CheckResult, Proof, Status

_MARKS = {
    Status.PASSED: ("✓", "green"),
    Status.WARNED: ("!", "yellow"),
    Status.FAILED: ("✗", "red"),
    Status.SKIPPED: ("-", "yellow"),
}
_SHOWN = 0.05  # seconds; less would read 0.0


def needs_an_image(result: CheckResult) -> bool:
    """Whether a check was left out because there is no image to run: `unproven` says so once for all of them."""
    return result.status is Status.SKIPPED and result.detail == NO_IMAGE


def unproven(proof: Proof) -> str:
    """A warning, where no pod was run; otherwise empty."""
    count = sum(map(needs_an_image, proof.results))
    if not count:
        return ""
    return (
        f"warning: no pod was run ({count} checks skipped), so it is not known whether pods start: "
        "set images.verify (docs/addons.md)"
    )


def lines(result: CheckResult) -> Group:
    """For people: one check, and after a failure what to read."""
    mark, style = _MARKS[result.status]
    took = f"{result.seconds:.1f}\N{NO-BREAK SPACE}s" if result.seconds >= _SHOWN else ""
    said = "".join(f"  {part}" for part in (result.detail, took) if part)
    line = Text.assemble((f"{mark} ", style), result.name, (said, "dim"))
    worst = "yellow" if result.status is Status.WARNED else "red"
    return Group(line, *(Text(f"    {evidence}", worst) for evidence in result.evidence))


def data(proof: Proof) -> dict[str, object]:
    """For programs: stable names."""
    return {"passed": proof.passed, "seconds": proof.seconds, "checks": [asdict(result) for result in proof.results]}
