"""Options that several groups of commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Inventory = Annotated[
    Path,
    typer.Option("-i", "--inventory", envvar="K8S_INSTALLER_INVENTORY", help="The inventory file.", show_default=False),
]
