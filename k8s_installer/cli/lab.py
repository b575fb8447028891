"""`k8s-installer lab`: local test hosts."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from k8s_installer import profiles
from k8s_installer.cli.console import Exit, Output, print_json, stderr, stdout, stop
from k8s_installer.errors import InputError
from k8s_installer.lab import fleet, hosts, inventory, network, state, vagrant
from k8s_installer.lab.commands import Say
from k8s_installer.lab.images import PAUSE, WEB
from k8s_installer.lab.programs import BUILT_VERSION
from k8s_installer.lab.server import REGISTRY_PORT

app = typer.Typer(
    help="Local test hosts: containers that boot systemd and sshd, and the yum repository they install from.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


class DriverName(StrEnum):
    """What runs the hosts."""

    NSPAWN = "nspawn"
    VAGRANT = "vagrant"


Name = Annotated[str, typer.Option("--name", help="The lab's name: small letters, digits, dashes; at most 11.")]
Format = Annotated[Output, typer.Option("--output", "-o", help="How to write the answer.")]


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
    version: Annotated[str, typer.Option(help="The Kubernetes version of the repository.")] = BUILT_VERSION,
    programs: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            resolve_path=True,
            metavar="DIR",
            help="Pack the Kubernetes programs found in DIR instead of building them.",
        ),
    ] = None,
    driver: Annotated[DriverName, typer.Option(help="Containers, or CentOS 7 virtual machines.")] = DriverName.NSPAWN,
    output: Format = Output.TEXT,
) -> None:
    """Start a lab, and write the inventory and the known_hosts that `apply` uses.

    The first one fetches and builds everything (minutes); later ones take seconds.
    """
    if version not in profiles.available():
        profiles.load(version)  # says which versions there are
    given = str(programs) if programs else ""
    shape = state.Shape(masters, nodes, version, given, "vagrant" if driver is DriverName.VAGRANT else "nspawn")
    with _progress() as say:
        start = vagrant.up if driver is DriverName.VAGRANT else fleet.up
        found = start(name, shape, say)
    _show(found, output)


@app.command("status", epilog="Example:\n\n  k8s-installer lab status -o json | jq -r .inventory")
def show_status(name: Name = "demo", output: Format = Output.TEXT) -> None:
    """Show a lab: its hosts, and where its inventory is. Exit status 1 unless all of it runs."""
    found = _status(name)
    _show(found, output)
    if found.condition != "running":
        raise stop(Exit.FAILED)


@app.command(epilog="Examples:\n\n  k8s-installer lab ssh n1\n\n  k8s-installer lab ssh m1 -- systemctl status etcd")
def ssh(
    host: Annotated[str, typer.Argument(help="m1, n1 ...")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- CMD...]", help="Run this instead of a shell.")
    ] = None,
    name: Name = "demo",
    user: Annotated[str, typer.Option(help="root, ops (may use sudo) or guest (may not).")] = "root",
) -> None:
    """Log in to a host, or run a command on it; its exit status is this one's."""
    found = _status(name)
    known = {one.name: one for one in found.lab.hosts} if found.lab else {}
    if host not in known:
        raise InputError(f"lab {name} has no host {host}", hint=f"it has {', '.join(known)}" if known else "lab up")
    words = command or []
    # one word is a command line, as with ssh itself; several are the words of one command
    remote = words if len(words) <= 1 else [shlex.join(words)]
    argv = [*hosts.ssh_command(found.folder, known[host], user), *remote]
    raise typer.Exit(subprocess.run(argv, check=False).returncode)


@app.command(epilog="Examples:\n\n  k8s-installer lab down\n\n  k8s-installer lab down --name ha --purge")
def down(
    name: Name = "demo",
    purge: Annotated[bool, typer.Option("--purge", help="Also remove everything built and fetched.")] = False,
) -> None:
    """Stop a lab and remove everything of it; other labs are not touched."""
    with _progress() as say:
        found = state.load_or_none(state.default_cache(), name)
        remove = vagrant.down if found and found.shape.driver == "vagrant" else fleet.down
        remove(name, say)
        if purge:
            fleet.purge(say)


def _status(name: str) -> fleet.Status:
    found = fleet.status(name)
    return vagrant.status(name) if found.lab and found.lab.shape.driver == "vagrant" else found


@contextmanager
def _progress() -> Iterator[Say]:
    """Give a callback that shows progress on standard error: a spinner on a terminal, else plain lines."""
    console = stderr()
    if not console.is_terminal:
        yield lambda line: console.print(line, markup=False, soft_wrap=True)
        return
    with console.status("starting") as spinner:

        def say(line: str) -> None:
            console.print(f"  {line}", markup=False)
            spinner.update(line)

        yield say


def _show(found: fleet.Status, output: Output) -> None:
    if output is Output.JSON:
        print_json(as_data(found))
        return
    console = stdout()
    if found.lab is None:
        console.print(f"lab {found.name}: absent")
        return
    console.print(f"lab {found.name}: {found.condition} ({fleet.describe(found.lab.shape)})", markup=False)
    table = Table("host", "address", "state", box=None, pad_edge=False)
    for host in found.lab.hosts:
        table.add_row(host.name, host.address, _host_state(found, host.name))
    console.print(table)
    path = found.folder / inventory.INVENTORY
    if found.condition == "running":
        console.print(f"inventory: {path}\ntry:       k8s-installer apply -i {path}", markup=False)
    else:
        console.print(f"try:       k8s-installer lab up --name {found.name}", markup=False)


def as_data(found: fleet.Status) -> dict[str, Any]:
    """Return a status as what `-o json` writes."""
    data: dict[str, Any] = {"name": found.name, "state": found.condition}
    if found.lab is None:
        return data
    lab, gateway = found.lab, network.gateway(found.lab.number)
    data |= {
        "driver": lab.shape.driver,
        "version": lab.shape.version,
        "network": network.subnet(lab.number),
        "inventory": str(found.folder / inventory.INVENTORY),
        "known_hosts": str(found.folder / inventory.KNOWN_HOSTS),
        "key": str(found.folder / inventory.KEY),
        "hosts": [
            {"name": host.name, "address": host.address, "state": _host_state(found, host.name)} for host in lab.hosts
        ],
    }
    if lab.shape.driver == "nspawn":
        registry = f"{gateway}:{REGISTRY_PORT}"
        data |= {
            "repository": f"http://{gateway}/",
            "images": {"pause": f"{registry}/{PAUSE}", "verify": f"{registry}/{WEB}"},
        }
    return data


def _host_state(found: fleet.Status, host: str) -> str:
    return "running" if host in found.running else "stopped"
