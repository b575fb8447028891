"""`k8s-installer keys`: a cluster's keys and certificates. Each command imports its flow itself, as in `app.py`."""

from __future__ import annotations

import typer

from k8s_installer.cli.console import Output, stop
from k8s_installer.cli.options import Format, Inventory
from k8s_installer.cli.terminal import Terminal

app = typer.Typer(help="A cluster's keys and certificates: recover them, or request signatures.", no_args_is_help=True)


@app.command(
    epilog="Example: `k8s-installer keys recover -i cluster.yaml`, then `plan`, which should have nothing to do."
)
def recover(inventory: Inventory, output: Format = Output.TEXT) -> None:
    """Recover lost keys and certificates from the hosts, over SSH as root.

    Hosts are only read. Local files are never replaced; files on which hosts disagree are not taken.
    CA keys that no host has are listed: the hosts' certificates stay valid without them.
    """
    from k8s_installer.flows import keys
    from k8s_installer.report import keys as report

    terminal = Terminal(inventory, output)
    found = keys.recover(inventory, terminal)
    if found.hosts or output is Output.JSON:
        terminal.show(
            lambda: report.recovered(found.hosts),
            lambda: report.recovered_data(found.folder, found.hosts, found.problems),
        )
    raise stop(found.outcome)


@app.command(epilog="Example: `k8s-installer keys request -i cluster.yaml`")
def request(inventory: Inventory, output: Format = Output.TEXT) -> None:
    """Write a key and a signing request for every certificate that is needed and whose CA key is kept elsewhere."""
    from k8s_installer.flows import keys
    from k8s_installer.report import keys as report

    terminal = Terminal(inventory, output)
    folder, needed = keys.request(inventory, terminal)
    if needed or output is Output.JSON:
        terminal.show(lambda: report.requested(needed), lambda: report.requested_data(folder, needed))
