"""The command that tests a cluster with pytest, or writes these tests as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k8s_installer.cli.console import Output, stop
from k8s_installer.cli.options import Bundle, Format, Hosts, Inventory, Templates, require_other
from k8s_installer.cli.terminal import Terminal
from k8s_installer.cli.verbosity import Verbosity, verbosity
from k8s_installer.errors import InputError
from k8s_installer.flows.outcome import Outcome

app = typer.Typer()


@app.command(
    "test",
    epilog="Examples: `k8s-installer test -i cluster.yaml`, `k8s-installer test -i cluster.yaml --host m1 -k "
    "certificates --junit report.xml`, `k8s-installer test -i cluster.yaml --write infra-tests/`. "
    "Exit code 1: a test failed; 2: one cannot be loaded.",
)
def run_tests(
    inventory: Inventory,
    hosts: Hosts = None,
    expression: Annotated[
        str, typer.Option("-k", metavar="EXPRESSION", help="Only tests with these words: `files and not pki`.")
    ] = "",
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write a JUnit file.", show_default=False)
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", metavar="DIR", help="Write the tests as pytest files, and run none.", show_default=False
        ),
    ] = None,
    tests: Annotated[
        Path | None,
        typer.Option(
            "--tests",
            metavar="DIR",
            help="Your own tests; tests/ beside the inventory if not given.",
            show_default=False,
        ),
    ] = None,
    warn_days: Annotated[int, typer.Option(min=0, max=3650, help="Days that a certificate must have left.")] = 30,
    templates: Templates = None,
    bundle: Bundle = None,
    output: Format = Output.TEXT,
) -> None:
    """Test the hosts: packages, files, users, services, ports, kernel, certificates, and the cluster's state."""
    from k8s_installer.flows import test as flow
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.report import test as report

    terminal, inputs = Terminal(inventory, output), Inputs(inventory, templates, bundle)
    if write is not None:
        given = {"--host": hosts, "-k": expression, "--junit": junit, "--tests": tests}
        for name, value in given.items():
            if value:
                raise InputError(f"--write runs no test, so {name} means nothing", hint=f"leave {name} out")
        count = flow.write(inputs, write, warn_days, terminal)
        terminal.say(f"{count} files written to {write}: cd {write} && pytest")
        return
    if junit is not None:
        require_other(junit, inventory)
    choice = flow.Choice(tuple((hosts or "").split(",")) if hosts else (), expression, junit, tests, warn_days)
    found = flow.run(inputs, choice, terminal)
    why = verbosity() > Verbosity.NORMAL
    terminal.show(lambda: report.lines(found, inventory, why_skipped=why), lambda: report.data(found))
    raise stop(Outcome.DONE if found.passed else Outcome.FAILED)
