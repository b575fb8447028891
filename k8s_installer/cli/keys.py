"""`k8s-installer keys`: a cluster's keys and certificates. Each command imports its flow itself, as in `app.py`."""

from __future__ import annotations

import typer

from k8s_installer.cli.console import stop
from k8s_installer.cli.options import Inventory
from k8s_installer.cli.terminal import Terminal

app = typer.Typer(help="A cluster's keys and certificates: get them back, or have them signed.", no_args_is_help=True)


@app.command(epilog="Example: `k8s-installer keys recover -i cluster.yaml`, and then `plan`, which has nothing to do.")
def recover(inventory: Inventory) -> None:
    """Get lost keys and certificates back from the hosts, over SSH as root.

    Hosts are only read. Files that are here already are never replaced; what hosts disagree about is not taken.
    Keys of CAs that no host has are named: certificates of the hosts stay good without them.
    """
    from k8s_installer.flows import keys

    raise stop(keys.recover(inventory, Terminal(inventory)))


@app.command(epilog="Example: `k8s-installer keys request -i cluster.yaml`")
def request(inventory: Inventory) -> None:
    """Make a key and a signing request for every certificate that is needed and whose CA has its key elsewhere."""
    from k8s_installer.flows import keys

    raise stop(keys.request(inventory, Terminal(inventory)))
