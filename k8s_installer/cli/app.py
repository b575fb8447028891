"""The commands. Each parses its options, calls one flow, prints the result and says what to do next.

A command imports its flow itself: SSH, cryptography, pydantic and Jinja take half a second to load, and `--help`, a
mistyped option and a shell's completion need none of them. What stands at the top must stay free of them.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from k8s_installer import __version__
from k8s_installer.cli import bundle as bundles
from k8s_installer.cli import keys, lab
from k8s_installer.cli.console import Exit, Output, print_error, print_json, stderr, stdout, stop
from k8s_installer.cli.options import (
    AtOnce,
    BreakLock,
    Bundle,
    Format,
    Inventory,
    ReplaceKeys,
    Templates,
    Yes,
)
from k8s_installer.cli.terminal import Terminal
from k8s_installer.errors import InputError, InstallerError
from k8s_installer.flows.outcome import Outcome

app = typer.Typer(
    name="k8s-installer",
    help="Installs Kubernetes component by component, from packages, as systemd units you can read.",
    epilog="Start here: `k8s-installer lab up`, then `k8s-installer apply -i INVENTORY`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(lab.app, name="lab")
app.add_typer(bundles.app, name="bundle")
app.add_typer(keys.app, name="keys")


def _version(wanted: bool) -> None:
    if wanted:
        stdout().print(f"k8s-installer {__version__}")
        raise stop(Exit.DONE)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Installs Kubernetes component by component, from packages, as systemd units you can read."""


@app.command(epilog="Example: `k8s-installer validate -i cluster.yaml`")
def validate(inventory: Inventory, output: Format = Output.TEXT) -> None:
    """Check an inventory: its shape, topology, networks, and every flag against the version's known flags."""
    from k8s_installer import profiles
    from k8s_installer.flows.inputs import Inputs, read

    try:
        cluster, profile = read(Inputs(inventory), Terminal(inventory, output), download=False, opens=False)
    except InputError as error:
        if output is Output.JSON:
            print_json({"valid": False, "findings": error.message.splitlines()})
        raise
    note = profiles.note(cluster.version, profile)
    if output is Output.JSON:
        notes = [note] if note else []
        addons = [addon.name for addon in cluster.addons]
        found = {"version": cluster.version, "profile": profile.version, "notes": notes, "addons": addons}
        print_json({"valid": True, "findings": [], **found})
        return
    hosts = f"{len(cluster.hosts)} host{'s' * (len(cluster.hosts) != 1)}"
    count = len(cluster.addons)
    also = f", {count} addon{'s' * (count != 1)} beside it" if count else ""
    stdout().print(
        f"{inventory}: valid: Kubernetes {cluster.version} on {hosts} (profile {profile.version}){also}", markup=False
    )


@app.command(
    epilog="Example: `k8s-installer render -i cluster.yaml -o rendered/`, then read rendered/m1/etc/kubernetes/"
)
def render(
    inventory: Inventory,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Write the files below this folder, one folder a host.", show_default=False
        ),
    ] = None,
    host: Annotated[list[str] | None, typer.Option(help="Only this host's files; can be given again.")] = None,
    templates: Templates = None,
) -> None:
    """Render every file of every host, without SSH. Keys and certificates are shown as placeholders."""
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.render import render

    raise stop(render(Inputs(inventory, templates), output, host or [], Terminal(inventory)))


@app.command(
    epilog="Example: `k8s-installer preflight -i cluster.yaml`. Exit code 1: something would stop an install. "
    "docs/preflight.md explains every finding by its id."
)
def preflight(
    inventory: Inventory, templates: Templates = None, bundle: Bundle = None, output: Format = Output.TEXT
) -> None:
    """Find what would stop an install, on all hosts and between them, each with its fix. Changes nothing."""
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.preflight import check
    from k8s_installer.preflight import Severity
    from k8s_installer.report import preflight as report

    terminal = Terminal(inventory, output)
    found = check(Inputs(inventory, templates, bundle), terminal)
    terminal.show(lambda: report.lines(found, inventory), lambda: report.data(found))
    raise stop(Outcome.FAILED if found.having(Severity.ERROR) else Outcome.DONE)


@app.command(
    epilog="Examples: `k8s-installer plan -i cluster.yaml`, `k8s-installer plan -i cluster.yaml -o plan.json`. "
    "Exit code 3 says that changes are pending."
)
def plan(
    inventory: Inventory,
    templates: Templates = None,
    bundle: Bundle = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="Also say what each thing is for, and show the content of new files.")
    ] = False,
    batch: AtOnce = "25%",
    replace_keys: ReplaceKeys = False,
    output: Annotated[
        str,
        typer.Option("-o", "--output", metavar="text|json|FILE", help="What stdout gets, or where to save the plan."),
    ] = "text",
) -> None:
    """Show exactly what `apply` would change: files line by line, packages, restarts, order and reasons."""
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.plan import plan, save
    from k8s_installer.planning.turns import Batch
    from k8s_installer.report.data import plan_data

    form = Output(output) if output in list(Output) else Output.TEXT
    size = Batch.parse(batch)
    terminal = Terminal(inventory, form, full=diff)
    found = plan(Inputs(inventory, templates, bundle), terminal, size, replace_keys=replace_keys)
    terminal.plan(found.wanted, found.plan)
    if form is Output.JSON:
        print_json(plan_data(found.wanted.cluster, found.plan))
    if output != form:
        save(Path(output), found)
        terminal.say(f"saved: k8s-installer apply {output} carries out exactly this, or stops")
    raise stop(Outcome.PENDING if found.plan else Outcome.DONE)


@app.command(
    epilog="Examples: `k8s-installer apply -i cluster.yaml` bootstraps the cluster; after an edit, the same command "
    "changes what the edit means and nothing else. `k8s-installer apply plan.json -i cluster.yaml` carries out a saved "
    "plan, or stops if anything has moved since."
)
def apply(
    inventory: Inventory,
    planfile: Annotated[
        Path | None, typer.Argument(help="A plan that `plan -o FILE` saved.", show_default=False)
    ] = None,
    templates: Templates = None,
    bundle: Bundle = None,
    yes: Yes = False,
    verify: Annotated[bool, typer.Option(help="Prove the cluster with real pods when done.")] = True,
    batch: AtOnce = "25%",
    limit: Annotated[str, typer.Option(metavar="HOST,...", help="Only these hosts.")] = "",
    only: Annotated[
        str, typer.Option(metavar="COMPONENT,...", help="Only these components; nothing is verified.")
    ] = "",
    rollback: Annotated[bool, typer.Option(help="Undo a turn whose service or gate fails.")] = True,
    preflight: Annotated[
        bool, typer.Option(help="Where packages are missing, first find what would stop their install.")
    ] = True,
    break_lock: BreakLock = False,
    replace_keys: ReplaceKeys = False,
    output: Format = Output.TEXT,
) -> None:
    """Plan, ask, carry out, verify: one command bootstraps a cluster and keeps it what the inventory says."""
    from k8s_installer.flows.apply import Options, apply
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.planning.turns import Batch

    options = Options(
        Inputs(inventory, templates, bundle), saved_plan=planfile, batch=Batch.parse(batch), yes=yes, verify=verify,
        roll_back=rollback, preflight=preflight, break_lock=break_lock, replace_keys=replace_keys, limit=limit,
        only=only,
    )  # fmt: skip
    _require_consent(yes or planfile is not None)
    raise stop(apply(options, Terminal(inventory, output)))


@app.command(epilog="Example: `k8s-installer rollback -i cluster.yaml`")
def rollback(
    inventory: Inventory,
    templates: Templates = None,
    bundle: Bundle = None,
    yes: Yes = False,
    batch: AtOnce = "25%",
    break_lock: BreakLock = False,
    output: Format = Output.TEXT,
) -> None:
    """Undo the last run: its files get the bytes from before, and what read them restarts. Packages stay.

    The inventory still asks for what was undone: edit it, or the next `apply` brings it back.
    """
    from k8s_installer.flows.apply import Options
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.rollback import roll_back
    from k8s_installer.planning.turns import Batch

    inputs, size = Inputs(inventory, templates, bundle), Batch.parse(batch)
    options = Options(inputs, batch=size, yes=yes, verify=False, break_lock=break_lock)
    _require_consent(yes)
    raise stop(roll_back(options, Terminal(inventory, output)))


def _require_consent(given: bool) -> None:
    if not given and not sys.stdin.isatty():
        raise InputError("there is no terminal to ask on", hint="give --yes to apply without a question")


@app.command(epilog="Example: `k8s-installer verify -i cluster.yaml`")
def verify(
    inventory: Inventory, templates: Templates = None, bundle: Bundle = None, output: Format = Output.TEXT
) -> None:
    """Prove that the cluster works: every health gate, then pods, a Service and self-healing for real."""
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.verify import verify
    from k8s_installer.report.verify import data

    proof = verify(Inputs(inventory, templates, bundle), Terminal(inventory, output))
    if output is Output.JSON:
        print_json(data(proof))
    raise stop(Outcome.DONE if proof.passed else Outcome.FAILED)


@app.command(epilog="Example: `k8s-installer status -i cluster.yaml`. Exit code 3: something differs.")
def status(
    inventory: Inventory, templates: Templates = None, bundle: Bundle = None, output: Format = Output.TEXT
) -> None:
    """Show every host and component: versions, states, drift with its evidence, certificates, health."""
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.status import look
    from k8s_installer.report import status as report

    terminal = Terminal(inventory, output)
    found = look(Inputs(inventory, templates, bundle), terminal)
    terminal.show(lambda: report.table(found, inventory), lambda: report.data(found))
    raise stop(Outcome.PENDING if found.differs else Outcome.DONE)


def main() -> NoReturn:
    """Run the command line and end; the one place where errors become messages and exit codes."""
    # What a run makes, it keeps: looking through it for garbage was a fifth of the time for 5,000 hosts.
    gc.set_threshold(50_000, 20, 100)
    status = _status()
    # Python's own end takes everything apart, object by object, which the kernel frees at once: a tenth of a plan.
    os._exit(status)


def _status() -> int:
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except SystemExit as end:  # as click ends
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except InputError as error:
        print_error(error)
        return Exit.USAGE
    except InstallerError as error:
        print_error(error)
        return Exit.FAILED
    except KeyboardInterrupt:
        stderr().print("stopped")
        return Exit.INTERRUPTED
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EPIPE}:
            raise  # a fault of ours: what files and hosts refuse has its own words
        print_error(InstallerError(f"cannot write any further: {error.strerror}"))
        return Exit.FAILED
    return Exit.DONE
