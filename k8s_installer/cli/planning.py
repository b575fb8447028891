"""What `plan` does: look at every host, and show what would change, or save it. `apply` makes the same plan."""

from __future__ import annotations

from pathlib import Path

from k8s_installer.cli.console import Exit, Output, print_json, stderr, stdout
from k8s_installer.cli.looking import Asked, connected, observed, require_members, require_own_keys
from k8s_installer.cli.rendering import write
from k8s_installer.engine import fleet
from k8s_installer.flows.resolve import Resolved
from k8s_installer.model.plan import Plan
from k8s_installer.planning import planfile
from k8s_installer.planning.etcd.quorum import require_quorum
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.order import require_ahead
from k8s_installer.planning.turns import Batch
from k8s_installer.report import data, text


def plan(asked: Asked, output: Output | Path, batch: Batch, *, full: bool, replace_keys: bool) -> Exit:
    """Observe every host and show the plan, or save it. No key is made: what would be is shown as that."""
    with connected(asked) as (resolve, connections):
        wanted, seen = observed(resolve(None), resolve, connections)
        seen.require_all()
        made = planned(wanted, seen, connections, batch, replace_keys=replace_keys)
    shown = data.plan_data(wanted.cluster, made)
    if output is Output.JSON:
        print_json(shown)
    else:
        print_plan(wanted, made, full=full)
    if isinstance(output, Path):
        write(output, planfile.dump(planfile.saved(wanted.cluster.name, wanted.desired, made), shown).encode())
        stderr().print(f"saved: k8s-installer apply {output} carries out exactly this, or stops", markup=False)
    return Exit.PENDING if made else Exit.DONE


def planned(
    wanted: Resolved,
    seen: fleet.ObservedFleet,
    connections: fleet.Connections,
    batch: Batch,
    *,
    replace_keys: bool,
    through: fleet.Through = lambda way: way,
) -> Plan:
    """The plan that makes hosts what is wanted of them.

    Raises:
        InstallerError: it would cost keys that hosts rest on, etcd's data or quorum, or rights that programs need.
    """
    if not replace_keys:
        require_own_keys(wanted, seen.seen)
    require_members(wanted, seen, connections, through)
    require_ahead(wanted.whole, seen.seen, wanted.desired)
    made = make_plan(wanted.desired, seen.seen, batch)
    require_quorum(wanted.whole, seen.seen, made)
    return made


def print_plan(wanted: Resolved, made: Plan, *, full: bool) -> None:
    """A plan on stdout."""
    if not made:
        stdout().print(text.totals(made), markup=False)
        return
    for line in text.plan_lines(wanted.cluster, made, wanted.desired, full=full):
        stdout().print(line)
