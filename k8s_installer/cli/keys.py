"""`k8s-installer keys`: a cluster's keys and certificates. Each command imports its flow itself, as in `app.py`."""

from __future__ import annotations

import typer

from k8s_installer.cli.console import stop
from k8s_installer.cli.options import Inventory
from k8s_installer.cli.terminal import Terminal

app = typer.Typer(help="A cluster's keys and certificates: recover them, or request signatures.", no_args_is_help=True)


@app.command(
    epilog="Example: `k8s-installer keys recover -i cluster.yaml`, then `plan`, which should have nothing to do."
)
def recover(inventory: Inventory) -> None:
    """Recover lost keys and certificates from the hosts, over SSH as root.

    Hosts are only read. Local files are never replaced; files on which hosts disagree are not taken.
    CA keys that no host has are listed: the hosts' certificates stay valid without them.
    """
    from k8s_installer.flows import keys

    raise stop(keys.recover(inventory, Terminal(inventory)))


@app.command(epilog="Example: `k8s-installer keys request -i cluster.yaml`")
def request(inventory: Inventory) -> None:
    """Write a key and a signing request for every certificate that is needed and whose CA key is kept elsewhere."""
    from k8s_installer.flows import keys

    raise stop(keys.request(inventory, Terminal(inventory)))
