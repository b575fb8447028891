"""`k8s-installer lab`: local test hosts. Each command imports its flow itself; see `app.py` for why."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from k8s_installer.cli import completing
from k8s_installer.cli.console import Output, stop
from k8s_installer.flows.outcome import Outcome

app = typer.Typer(
    help="Local test hosts: containers that boot systemd and sshd, and the yum repository they install from.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


class DriverName(StrEnum):
    """What runs the hosts."""

    NSPAWN = "nspawn"
    VAGRANT = "vagrant"


Name = Annotated[
    str,
    typer.Option(
        "--name",
        help="The lab's name: at most 11 lowercase letters, digits and dashes.",
        autocompletion=completing.labs,
    ),
]
Format = Annotated[Output, typer.Option("--output", "-o", help="Format of stdout.")]


@app.command(
    epilog="Examples:\n\n"
    "  k8s-installer lab up\n\n"
    "  k8s-installer lab up --name ha --masters 3 --nodes 2\n\n"
    "  k8s-installer lab up --version 1.5.2 --programs ~/kubernetes-1.5.2/server/bin"
)
def up(
    name: Name = "demo",
    masters: Annotated[int, typer.Option(help="Hosts m1, m2 ...: etcd and the control plane.")] = 1,
    nodes: Annotated[int, typer.Option(help="Hosts n1, n2 ...: docker, kubelet and kube-proxy.")] = 2,
    version: Annotated[
        str | None,
        typer.Option(help="The repository's Kubernetes version; by default the one that can be built here."),
    ] = None,
    programs: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            resolve_path=True,
            metavar="DIR",
            help="Pack the Kubernetes programs in DIR instead of building them.",
        ),
    ] = None,
    driver: Annotated[DriverName, typer.Option(help="Containers, or CentOS 7 virtual machines.")] = DriverName.NSPAWN,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Hosts that reach only each other: no route out, no repository, no images."),
    ] = False,
    output: Format = Output.TEXT,
) -> None:
    """Start a lab, and write the inventory and known_hosts for `apply`.

    The first lab fetches and builds everything (minutes); later ones start in seconds.
    """
    from k8s_installer.cli import lab_terminal
    from k8s_installer.lab import drivers
    from k8s_installer.lab.programs import BUILT_VERSION
    from k8s_installer.lab.state import Shape

    shape = Shape(masters, nodes, version or BUILT_VERSION, str(programs) if programs else "", driver.value, offline)
    with lab_terminal.progress() as say:
        found = drivers.up(name, shape, say)
    lab_terminal.show(found, output)


@app.command("status", epilog="Example:\n\n  k8s-installer lab status -o json | jq -r .inventory")
def show_status(name: Name = "demo", output: Format = Output.TEXT) -> None:
    """Show a lab: its hosts and the path of its inventory. Exit status 1 unless everything runs."""
    from k8s_installer.cli import lab_terminal
    from k8s_installer.lab import drivers

    found = drivers.status(name)
    lab_terminal.show(found, output)
    raise stop(Outcome.DONE if found.condition == "running" else Outcome.FAILED)


@app.command(epilog="Examples:\n\n  k8s-installer lab ssh n1\n\n  k8s-installer lab ssh m1 -- systemctl status etcd")
def ssh(
    host: Annotated[str, typer.Argument(help="m1, n1 ...", autocompletion=completing.lab_hosts)],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- CMD...]", help="Run this command instead of a shell.")
    ] = None,
    name: Name = "demo",
    user: Annotated[str, typer.Option(help="root, ops (may use sudo) or guest (may not).")] = "root",
) -> None:
    """Log in to a host, or run a command on it and return its exit status."""
    from k8s_installer.lab import drivers

    raise typer.Exit(drivers.ssh(name, host, user, command or []))


@app.command(epilog="Examples:\n\n  k8s-installer lab down\n\n  k8s-installer lab down --name ha --purge")
def down(
    name: Name = "demo",
    purge: Annotated[bool, typer.Option("--purge", help="Also remove everything that was built and fetched.")] = False,
) -> None:
    """Stop a lab and remove it completely; other labs are not touched."""
    from k8s_installer.cli import lab_terminal
    from k8s_installer.lab import drivers

    with lab_terminal.progress() as say:
        drivers.down(name, say, purge=purge)
