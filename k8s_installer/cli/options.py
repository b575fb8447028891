"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k8s_installer.cli.console import Output

Inventory = Annotated[
    Path,
    typer.Option("-i", "--inventory", envvar="K8S_INSTALLER_INVENTORY", help="The inventory file.", show_default=False),
]
Templates = Annotated[
    Path | None,
    typer.Option(help="A folder of templates that come before the packaged ones, file by file."),
]
Bundle = Annotated[
    Path | None,
    typer.Option("--bundle", metavar="FILE", help="Packages and images come from this bundle.", show_default=False),
]
Format = Annotated[Output, typer.Option("-o", "--output", help="What stdout gets.")]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ReplaceKeys = Annotated[
    bool, typer.Option("--replace-keys", help="Give hosts this machine's CAs and keys in the place of other ones.")
]
AtOnce = Annotated[str, typer.Option("--batch", help="How many nodes may restart at once: 3, or 25% (250 at most).")]
BreakLock = Annotated[
    bool,
    typer.Option(
        "--break-lock", help="Take the cluster's lock from whoever holds it, and without masters that do not answer."
    ),
]
