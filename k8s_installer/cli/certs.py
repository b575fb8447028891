"""`k8s-installer certs`: the certificates of a cluster. Each command imports its flow itself, as in `app.py`."""

from __future__ import annotations

from typing import Annotated

import typer

from k8s_installer.cli import completing
from k8s_installer.cli.change import require_consent
from k8s_installer.cli.console import Exit, Output, stop
from k8s_installer.cli.options import AtOnce, BreakLock, Format, Hosts, Inventory, Templates, Yes, named
from k8s_installer.cli.terminal import Terminal
from k8s_installer.model.rotation import Step

app = typer.Typer(help="A cluster's certificates: how long they are valid, and new ones.", no_args_is_help=True)


@app.command(
    epilog="Examples: `k8s-installer certs status -i cluster.yaml`; in a monitor, "
    "`k8s-installer certs status -i cluster.yaml --warn-days 60 -o json`. "
    "Exit code 3: a certificate has fewer than --warn-days left; 1: a host did not answer."
)
def status(
    inventory: Inventory,
    warn_days: Annotated[int, typer.Option("--warn-days", min=0, metavar="N", help="How many days are few.")] = 30,
    host: Hosts = None,
    templates: Templates = None,
    output: Format = Output.TEXT,
) -> None:
    """Show every certificate on the hosts: who uses it, how long, and whether the running process has it."""
    from k8s_installer.flows.certs import status
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.report import certificates as report

    terminal = Terminal(inventory, output)
    found = status(Inputs(inventory, templates), terminal, host=host or "")
    terminal.show(lambda: report.table(found, warn_days, inventory), lambda: report.data(found, warn_days))
    code = Exit.FAILED if found.unreachable else Exit.PENDING if found.ending(warn_days) else Exit.DONE
    raise stop(code)


@app.command(
    epilog="Examples: `k8s-installer certs renew -i cluster.yaml`; only what ends soon: "
    "`k8s-installer certs renew -i cluster.yaml --days 60 --yes`; only one program's: "
    "`k8s-installer certs renew -i cluster.yaml --component kube-apiserver --host m1`"
)
def renew(
    inventory: Inventory,
    component: Annotated[
        str | None,
        typer.Option(
            metavar="COMPONENT,...",
            callback=named,
            help="Only these components' certificates.",
            show_default=False,
            autocompletion=completing.components,
        ),
    ] = None,
    host: Hosts = None,
    days: Annotated[
        int | None,
        typer.Option("--days", min=0, metavar="N", help="Only certificates with fewer days left.", show_default=False),
    ] = None,
    templates: Templates = None,
    yes: Yes = False,
    verify: Annotated[bool, typer.Option(help="Verify the cluster with real pods when done.")] = True,
    batch: AtOnce = "25%",
    rollback: Annotated[bool, typer.Option(help="Undo a turn if its service or gate fails.")] = True,
    break_lock: BreakLock = False,
    output: Format = Output.TEXT,
) -> None:
    """Issue certificates again, by the same CAs and with the same keys, and restart what reads them, in turns.

    It works after they have expired, too. Run again, it resumes: what was issued in the last day is not issued again.
    """
    from k8s_installer.flows.apply import Options
    from k8s_installer.flows.certs import renew
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.planning.turns import Batch

    options = Options(
        Inputs(inventory, templates), batch=Batch.parse(batch), yes=yes, verify=verify, roll_back=rollback,
        preflight=False, break_lock=break_lock,
    )  # fmt: skip
    require_consent(yes)
    terminal = Terminal(inventory, output, command="certs renew")
    raise stop(renew(options, terminal, component=component or "", host=host or "", days=days))


@app.command(
    epilog="Examples: `k8s-installer certs rotate ca add -i cluster.yaml`; when every pod that uses the API has been "
    "restarted: `k8s-installer certs rotate ca use -i cluster.yaml`; in the end: "
    "`k8s-installer certs rotate ca drop -i cluster.yaml`. Other names: etcd-ca, etcd-peer-ca, front-proxy-ca, "
    "flannel-ca; encryption, the key of Secrets; sa, the key of tokens"
)
def rotate(
    root: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A CA's name in the folder pki; encryption; or sa.", autocompletion=completing.roots
        ),
    ],
    step: Annotated[Step, typer.Argument(metavar="STEP", help="add, use or drop; each when the one before is done.")],
    inventory: Inventory,
    templates: Templates = None,
    yes: Yes = False,
    verify: Annotated[bool, typer.Option(help="Verify the cluster with real pods when done.")] = True,
    batch: AtOnce = "25%",
    rollback: Annotated[bool, typer.Option(help="Undo a turn if its service or gate fails.")] = True,
    ignore_pods: Annotated[
        bool, typer.Option("--ignore-pods", help="Continue although pods with the old CA or an old token are cut off.")
    ] = False,
    break_lock: BreakLock = False,
    output: Format = Output.TEXT,
) -> None:
    """Replace a CA, the key of Secrets or that of tokens: add the new one on all hosts, use it, drop the old one.

    Each step is a plan like that of apply, without downtime. Run again, it resumes.
    """
    from k8s_installer.flows.apply import Options
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.rotate import rotate
    from k8s_installer.planning.turns import Batch

    options = Options(
        Inputs(inventory, templates), batch=Batch.parse(batch), yes=yes, verify=verify, roll_back=rollback,
        preflight=False, break_lock=break_lock,
    )  # fmt: skip
    require_consent(yes)
    terminal = Terminal(inventory, output, command=f"certs rotate {root} {step}")
    raise stop(rotate(options, terminal, root=root, step=step, ignore_pods=ignore_pods))
