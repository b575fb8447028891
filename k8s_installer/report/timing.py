"""Where the time of a run went: by phase, and how much of it was the hosts' own work."""

from __future__ import annotations

from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import File, UploadedFile
from k8s_installer.model.run import Run, State


def phases(plan: Plan, run: Run) -> dict[str, float]:
    """Seconds from the first begin to the last end of each component's changes, in the order they began."""
    begun: dict[str, float] = {}
    ended: dict[str, float] = {}
    for event in run.events:
        component = plan.changes[event.index].component
        if event.state is State.RUNNING:
            begun.setdefault(component, event.at)
        elif event.state is not State.SKIPPED:
            ended[component] = event.at
    return {component: ended.get(component, at) - at for component, at in begun.items()}


def waiting(plan: Plan, run: Run) -> float:
    """Seconds in which at least one host was busy with yum, a service's start or becoming healthy.

    Everything else of a run is our own overhead: planning, connecting, sending, writing files, deciding.
    """
    begun: dict[int, float] = {}
    spans: list[tuple[float, float]] = []
    for event in run.events:
        if isinstance(plan.changes[event.index].after, File | UploadedFile):
            continue
        if event.state is State.RUNNING:
            begun[event.index] = event.at
        elif event.index in begun:
            spans.append((begun[event.index], event.at))
    return _union(sorted(spans))


def _union(spans: list[tuple[float, float]]) -> float:
    total, reached = 0.0, float("-inf")
    for begin, end in spans:
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total
