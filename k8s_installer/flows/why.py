"""`explain why HOST UNIT`: look at every host, make the plan, and say what it does with one unit. Changes nothing."""

from __future__ import annotations

from k8s_installer.explain import texts
from k8s_installer.explain.why import Why, unit_of
from k8s_installer.explain.why import why as find
from k8s_installer.flows.explain import known_of
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.plan import plan
from k8s_installer.flows.reporter import Reporter
from k8s_installer.planning.turns import QUARTER


def why(host: str, unit: str, inputs: Inputs, reporter: Reporter) -> Why:
    """Why a unit restarts in the plan that `apply` would carry out now, or does not.

    Raises:
        InputError: the inventory is wrong, or has no such unit; no host was asked.
    """
    said = texts.load()
    known = known_of(inputs.inventory, inputs.templates, said)
    unit_of(known.desired, said, host, unit)
    found = plan(inputs, reporter, QUARTER, replace_keys=False)
    ref = unit_of(found.wanted.desired, said, host, unit)
    return find(ref, found.wanted.desired, found.seen.seen, found.plan, known)
