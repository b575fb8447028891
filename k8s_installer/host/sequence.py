"""The order in which the changes of one host stand in its script. Pure."""

from __future__ import annotations

from collections.abc import Collection

from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import Package


def in_script_order(plan: Plan, indices: Collection[int]) -> tuple[int, ...]:
    """Put changes of one host into an order that works, with packages side by side: neighbours are one transaction.

    What packages wait for comes first, such as the file of repositories; then the packages, and then everything else in
    the plan's order. A package that waits for more than that stays with everything else.

    Args:
        plan: the plan that they are of.
        indices: their positions in it; what they come after is among them, or has ended.
    """
    script = set(indices)
    packages = {index for index in script if isinstance(plan.changes[index].after, Package)}
    needs = {index: script.intersection(_before(plan, index)) for index in script}
    awaited = {index for package in packages for index in needs[package] - packages if not needs[index]}
    early = {package for package in packages if needs[package] <= awaited}
    return (*sorted(awaited), *sorted(early), *sorted(script - awaited - early))


def _before(plan: Plan, index: int) -> tuple[int, ...]:
    return plan.after[index] + (plan.after_end[index] if plan.after_end else ())
