"""What the commands of `k8s-installer lab` do, step by step."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from k8s_installer import profiles
from k8s_installer.cli.console import Exit, Output, print_json, stderr, stdout
from k8s_installer.errors import InputError
from k8s_installer.lab import fleet, hosts, inventory, network, state, vagrant
from k8s_installer.lab.commands import Say
from k8s_installer.lab.images import PAUSE, WEB
from k8s_installer.lab.programs import BUILT_VERSION
from k8s_installer.lab.server import REGISTRY_PORT


def up(
    name: str,
    masters: int,
    nodes: int,
    version: str | None,
    programs: Path | None,
    driver: Literal["nspawn", "vagrant"],
    output: Output,
    *,
    offline: bool = False,
) -> None:
    """Start a lab; without a `version` it is the one whose programs can be built here."""
    wanted = version or BUILT_VERSION
    if wanted not in profiles.available():
        profiles.load(wanted)  # says which versions there are
    shape = state.Shape(masters, nodes, wanted, str(programs) if programs else "", driver, offline)
    with _progress() as say:
        start = vagrant.up if driver == "vagrant" else fleet.up
        found = start(name, shape, say)
    _show(found, output)


def show_status(name: str, output: Output) -> Exit:
    """Show a lab; it is well if all of it runs."""
    found = _status(name)
    _show(found, output)
    return Exit.DONE if found.condition == "running" else Exit.FAILED


def ssh(name: str, host: str, user: str, command: Sequence[str]) -> int:
    """Log in to a host, or run a command on it; its exit status."""
    found = _status(name)
    known = {one.name: one for one in found.lab.hosts} if found.lab else {}
    if host not in known:
        raise InputError(f"lab {name} has no host {host}", hint=f"it has {', '.join(known)}" if known else "lab up")
    # one word is a command line, as with ssh itself; several are the words of one command
    remote = command if len(command) <= 1 else [shlex.join(command)]
    argv = [*hosts.ssh_command(found.folder, known[host], user), *remote]
    return subprocess.run(argv, check=False).returncode


def down(name: str, *, purge: bool) -> None:
    """Stop a lab and remove everything of it; with `purge` also what was built and fetched for all labs."""
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
