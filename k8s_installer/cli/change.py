"""Commands that change hosts: their options become a flow's, and its outcome an exit code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from k8s_installer.cli import completing
from k8s_installer.cli.console import Output, stop
from k8s_installer.cli.options import (
    AtOnce,
    BreakLock,
    Bundle,
    DrainTimeout,
    Force,
    Format,
    Full,
    Hosts,
    Inventory,
    ReplaceKeys,
    Templates,
    Yes,
    named,
)
from k8s_installer.cli.terminal import Terminal
from k8s_installer.errors import InputError

app = typer.Typer()


@app.command(
    epilog="Examples: `k8s-installer apply -i cluster.yaml` bootstraps the cluster; after an edit, the same command "
    "changes what the edit affects and nothing else. `k8s-installer apply plan.json -i cluster.yaml` applies a saved "
    "plan, or stops if anything has changed since. `k8s-installer apply -i cluster.yaml --drain-timeout 60 --force` "
    "gives each node that leaves a minute to drain, and continues without the pods that are still there."
)
def apply(
    inventory: Inventory,
    planfile: Annotated[
        Path | None, typer.Argument(help="A plan that `plan -o FILE` saved.", show_default=False)
    ] = None,
    templates: Templates = None,
    bundle: Bundle = None,
    yes: Yes = False,
    verify: Annotated[bool, typer.Option(help="Verify the cluster with real pods when done.")] = True,
    batch: AtOnce = "25%",
    limit: Annotated[
        str | None,
        typer.Option(
            metavar="HOST,...",
            callback=named,
            help="Only these hosts.",
            show_default=False,
            autocompletion=completing.hosts,
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="COMPONENT,...",
            callback=named,
            help="Only these components; skips verify.",
            show_default=False,
            autocompletion=completing.components,
        ),
    ] = None,
    rollback: Annotated[bool, typer.Option(help="Undo a turn if its service or gate fails.")] = True,
    preflight: Annotated[
        bool, typer.Option(help="If packages are missing, first find what would stop their install.")
    ] = True,
    drain_timeout: DrainTimeout = None,
    force: Force = False,
    break_lock: BreakLock = False,
    replace_keys: ReplaceKeys = False,
    full: Full = False,
    output: Format = Output.TEXT,
) -> None:
    """Plan, ask, make the changes, verify: one command bootstraps a cluster and keeps it in line with the inventory."""
    from k8s_installer.flows.apply import Options, apply
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.plan import load
    from k8s_installer.planning.turns import Batch
    from k8s_installer.report.text import View

    inputs = Inputs(inventory, templates, bundle, drain_timeout, force)
    saved = load(planfile) if planfile is not None else None
    options = Options(
        inputs, saved_plan=saved, batch=Batch.parse(batch), yes=yes, verify=verify, roll_back=rollback,
        preflight=preflight, break_lock=break_lock, replace_keys=replace_keys, limit=limit or "", only=only or "",
    )  # fmt: skip
    require_consent(yes or planfile is not None)
    raise stop(apply(options, Terminal(inventory, output, view=View(full=full))))


@app.command(epilog="Example: `k8s-installer rollback -i cluster.yaml`")
def rollback(
    inventory: Inventory,
    templates: Templates = None,
    bundle: Bundle = None,
    yes: Yes = False,
    batch: AtOnce = "25%",
    drain_timeout: DrainTimeout = None,
    force: Force = False,
    break_lock: BreakLock = False,
    output: Format = Output.TEXT,
) -> None:
    """Undo the last run: restore its files and restart what reads them. Packages stay.

    Edit the inventory as well, or the next `apply` makes the same changes again.
    """
    from k8s_installer.flows.apply import Options
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.rollback import roll_back
    from k8s_installer.planning.turns import Batch

    inputs, size = Inputs(inventory, templates, bundle, drain_timeout, force), Batch.parse(batch)
    options = Options(inputs, batch=size, yes=yes, verify=False, preflight=False, break_lock=break_lock)
    require_consent(yes)
    raise stop(roll_back(options, Terminal(inventory, output, command="rollback")))


@app.command(
    epilog="Examples: `k8s-installer reset -i cluster.yaml --host n3`; without a terminal "
    "`k8s-installer reset -i cluster.yaml --yes --name lab`"
)
def reset(
    inventory: Inventory,
    host: Hosts = None,
    data: Annotated[bool, typer.Option("--data", help="Remove data too, and the cluster's keys here.")] = False,
    yes: Yes = False,
    name: Annotated[str, typer.Option(metavar="CLUSTER", help="The cluster's name; --yes needs it.")] = "",
    skip_unreachable: Annotated[
        bool,
        typer.Option("--skip-unreachable", help="Reset the hosts that answer; what was placed on the others stays."),
    ] = False,
    drain_timeout: DrainTimeout = None,
    force: Force = False,
    break_lock: BreakLock = False,
    output: Format = Output.TEXT,
) -> None:
    """Remove everything that was placed on the hosts, and nothing else: what was there before comes back.

    etcd's data, containers' volumes and the cluster's keys stay, unless you give --data.
    """
    from k8s_installer.flows.apply import Options
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.reset import reset

    require_consent(yes)
    if yes and not name:
        raise InputError("--yes needs --name", hint="give the cluster's name, as the inventory has it: --name CLUSTER")
    options = Options(
        Inputs(inventory, drain_timeout=drain_timeout, force=force), yes=yes, verify=False, roll_back=False,
        preflight=False, break_lock=break_lock, skip_unreachable=skip_unreachable,
    )  # fmt: skip
    raise stop(reset(options, Terminal(inventory, output, command="reset"), host=host or "", name=name, data=data))


def require_consent(given: bool) -> None:
    """Stop where nobody agrees to a change, and nobody can be asked.

    Raises:
        InputError: that is so.
    """
    if not given and not sys.stdin.isatty():
        raise InputError("there is no terminal to ask on", hint="use --yes to run without a prompt")
