"""Commands that change no host: each shows what its flow found, and exits with what that means."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from k8s_installer.cli import completing
from k8s_installer.cli.console import Output, print_json, stdout, stop
from k8s_installer.cli.options import (
    AtOnce,
    Bundle,
    DrainTimeout,
    Force,
    Format,
    Full,
    Inventory,
    ReplaceKeys,
    Templates,
    named,
    require_other,
)
from k8s_installer.cli.terminal import Terminal
from k8s_installer.cli.verbosity import Verbosity, verbosity
from k8s_installer.errors import InputError, LostError
from k8s_installer.flows.outcome import Outcome

app = typer.Typer()


class Subject(StrEnum):
    """What there is a schema of."""

    INVENTORY = "inventory"
    PROFILE = "profile"
    COMPONENT = "component"


@app.command(epilog="Example: `k8s-installer validate -i cluster.yaml`")
def validate(inventory: Inventory, output: Format = Output.TEXT) -> None:
    """Check an inventory: syntax, topology, networks, and every flag against the version's known flags."""
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
            "-o", "--output", help="Write the files below this folder, one folder per host.", show_default=False
        ),
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="Only this host's files; repeatable.", autocompletion=completing.host)
    ] = None,
    templates: Templates = None,
) -> None:
    """Render every file of every host, without SSH. Keys and certificates are placeholders."""
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
    """Find what would stop an install, on all hosts and between them, with a fix for each. Changes nothing."""
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.preflight import check
    from k8s_installer.preflight import Severity
    from k8s_installer.report import preflight as report

    terminal = Terminal(inventory, output)
    found = check(Inputs(inventory, templates, bundle), terminal)
    terminal.show(lambda: report.lines(found, inventory), lambda: report.data(found))
    raise stop(Outcome.FAILED if found.having(Severity.ERROR) else Outcome.DONE)


@app.command(
    epilog="Examples: `k8s-installer plan -i cluster.yaml`, `k8s-installer plan -i cluster.yaml -o plan.json`, "
    "`k8s-installer plan -i cluster.yaml --host n7` for one host's lines. Exit code 3: changes are pending."
)
def plan(
    inventory: Inventory,
    templates: Templates = None,
    bundle: Bundle = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="Also show what each change is for, and the content of new files.")
    ] = False,
    full: Full = False,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="HOST,...",
            callback=named,
            show_default=False,
            help="List only the changes of these hosts; the plan is still that of all.",
            autocompletion=completing.hosts,
        ),
    ] = None,
    batch: AtOnce = "25%",
    drain_timeout: DrainTimeout = None,
    force: Force = False,
    replace_keys: ReplaceKeys = False,
    output: Annotated[
        str,
        typer.Option(
            "-o", "--output", metavar="text|json|FILE", help="Format of stdout, or a file to save the plan to."
        ),
    ] = "text",
) -> None:
    """Show exactly what `apply` would change: files line by line, packages, restarts, order and reasons."""
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.plan import plan, save
    from k8s_installer.planning.select import chosen
    from k8s_installer.planning.turns import Batch
    from k8s_installer.report.data import loss_data, plan_data
    from k8s_installer.report.text import View

    form = Output(output) if output in list(Output) else Output.TEXT
    if output != form:
        if Path(output).is_dir():  # before hosts are asked, which may take long
            raise InputError(f"cannot write the plan: {output or '.'} is a folder", hint="give the name of a file")
        require_other(Path(output), inventory)
    size = Batch.parse(batch)
    inputs = Inputs(inventory, templates, bundle, drain_timeout, force)
    try:
        found = plan(inputs, Terminal(inventory, form), size, replace_keys=replace_keys)
    except LostError as error:
        if form is Output.JSON:
            print_json({"losses": [loss_data(error)]})
        raise
    hosts = chosen("--host", host, [one.name for one in found.wanted.cluster.everyone]) if host else None
    terminal = Terminal(inventory, form, view=View(diff, full, hosts))
    terminal.plan(found.wanted, found.plan)
    if form is Output.JSON:
        print_json(plan_data(found.wanted.cluster, found.plan))
    if output != form:
        save(Path(output), found)
        terminal.say(f"saved: k8s-installer apply {output} applies exactly this plan, or stops")
    elif found.plan and form is Output.TEXT:
        terminal.say(f"Next: k8s-installer apply -i {inventory}    (exit code 3: there are changes)")
    raise stop(Outcome.PENDING if found.plan else Outcome.DONE)


@app.command(epilog="Example: `k8s-installer verify -i cluster.yaml`")
def verify(
    inventory: Inventory, templates: Templates = None, bundle: Bundle = None, output: Format = Output.TEXT
) -> None:
    """Check that the cluster works: every health gate, then real pods, a Service and self-healing."""
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.verify import verify
    from k8s_installer.report.verify import data

    terminal = Terminal(inventory, output)
    proof = verify(Inputs(inventory, templates, bundle), terminal)
    terminal.proven(proof)
    if output is Output.JSON:
        print_json(data(proof))
    raise stop(Outcome.DONE if proof.passed else Outcome.FAILED)


@app.command(epilog="Example: `k8s-installer status -i cluster.yaml`. Exit code 3: something differs.")
def status(
    inventory: Inventory, templates: Templates = None, bundle: Bundle = None, full: Full = False,
    output: Format = Output.TEXT,
) -> None:  # fmt: skip
    """Show every host and component: versions, states, drift with evidence, certificates, health."""
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.status import look
    from k8s_installer.report import status as report

    terminal = Terminal(inventory, output)
    found = look(Inputs(inventory, templates, bundle), terminal)
    terminal.show(
        lambda: report.table(found, inventory, terminal.width, full=full, quiet=verbosity() is Verbosity.QUIET),
        lambda: report.data(found),
    )
    for loss in found.losses:  # below the table, which may be long
        terminal.error(loss)
    raise stop(Outcome.PENDING if found.differs else Outcome.DONE)


@app.command(
    epilog="Examples: `k8s-installer schema >inventory.schema.json`, then in the first line of cluster.yaml: "
    "`# yaml-language-server: $schema=inventory.schema.json`; `k8s-installer schema component`"
)
def schema(
    subject: Annotated[Subject, typer.Argument(help="The file that it describes.")] = Subject.INVENTORY,
) -> None:
    """Print the JSON Schema of an inventory, a profile or a component, by which editors complete and check it."""
    from k8s_installer.flows.schema import SCHEMAS

    print_json(SCHEMAS[subject.value]())
