"""Options that several commands have."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from k8s_installer.cli import completing
from k8s_installer.cli.console import Output
from k8s_installer.errors import InputError


def named(option: typer.CallbackParam, names: str | None) -> str | None:
    """The names that an option was given; an empty text is no way to leave it out.

    `--host "$HOSTS"` with a variable that nobody has set would otherwise be about every host.

    Raises:
        InputError: it was given without one.
    """
    if names == "":
        raise InputError(f"{option.opts[0]}: no name given", hint=f"leave {option.opts[0]} out to mean all of them")
    return names


def require_other(output: Path, inventory: Path) -> None:
    """Stop where a command would write over the inventory that it reads.

    Raises:
        InputError: that is so.
    """
    with suppress(OSError):  # one of them is not there
        if output.samefile(inventory):
            raise InputError(f"-o {output} is the inventory, which would be overwritten", hint="give another file")


_INVENTORY = typer.Option(
    "-i",
    "--inventory",
    envvar="K8S_INSTALLER_INVENTORY",
    help="The inventory file.",
    show_default=False,
    autocompletion=completing.inventories,
)
Inventory = Annotated[Path, _INVENTORY]
MaybeInventory = Annotated[Path | None, _INVENTORY]
Templates = Annotated[
    Path | None,
    typer.Option(help="A folder of templates that replace packaged ones, file by file."),
]
Bundle = Annotated[
    Path | None,
    typer.Option("--bundle", metavar="FILE", help="Take packages and images from this bundle.", show_default=False),
]
Format = Annotated[Output, typer.Option("-o", "--output", help="Format of stdout.")]

Hosts = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="HOST,...",
        callback=named,
        help="Only these hosts.",
        show_default=False,
        autocompletion=completing.hosts,
    ),
]
Full = Annotated[bool, typer.Option("--full", help="List every host by itself, also where many have the same change.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not prompt.")]
ReplaceKeys = Annotated[
    bool, typer.Option("--replace-keys", help="Replace the hosts' CAs and keys with this machine's.")
]
AtOnce = Annotated[
    str, typer.Option("--batch", help="How many nodes may restart at once, such as 3 or 25% (at most 250).")
]
DrainTimeout = Annotated[
    int | None,
    typer.Option(
        min=0, max=86400, metavar="SECONDS", show_default=False,
        help="How long a node may take to drain, instead of the inventory's drain_timeout; 0 drains none.",
    ),
]  # fmt: skip
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Drain also pods that nothing recreates or that have local data, and continue if a drain fails.",
    ),
]
BreakLock = Annotated[
    bool,
    typer.Option(
        "--break-lock", help="Take over the cluster's lock from whoever holds it, and skip masters that do not answer."
    ),
]
