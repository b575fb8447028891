"""What the commands of `k8s-installer lab` show: progress, and a lab as a table or as data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.table import Table

from k8s_installer.cli.console import Output, print_json, stderr, stdout
from k8s_installer.lab import fleet, inventory, network
from k8s_installer.lab.commands import Say
from k8s_installer.lab.images import PAUSE, WEB
from k8s_installer.lab.server import REGISTRY_PORT


@contextmanager
def progress() -> Iterator[Say]:
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


def show(found: fleet.Status, output: Output) -> None:
    """Show a lab on stdout."""
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
        bundle = " --bundle FILE" if found.lab.shape.offline else ""
        console.print(f"inventory: {path}\ntry:       k8s-installer apply -i {path}{bundle}", markup=False)
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
    if lab.shape.offline:
        data |= {"packages": lab.packages, "images": lab.images}
    elif lab.shape.driver == "nspawn":
        registry = f"{gateway}:{REGISTRY_PORT}"
        data |= {
            "repository": f"http://{gateway}/",
            "images": {"pause": f"{registry}/{PAUSE}", "verify": f"{registry}/{WEB}"},
        }
    return data


def _host_state(found: fleet.Status, host: str) -> str:
    return "running" if host in found.running else "stopped"
