"""What is written from the program itself: docs/cli.md, the man page, docs/inventory.md and the published schema.

    make reference

Commands, options and examples come from the Typer app, keys of the inventory from its JSON Schema. A test compares the
files with what this would write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from k8s_installer.flows import schema
from tools.reference import inventory, man, markdown
from tools.reference.commands import commands

REPO = Path(__file__).parents[2]
WRITTEN = "written by `make reference`; edit the help or the description in the code instead"


def files() -> Mapping[Path, str]:
    """The text of every file."""
    found = commands()
    return {
        REPO / "docs/cli.md": markdown.page(found, WRITTEN),
        REPO / "docs/man/k8s-installer.1": man.page(found, WRITTEN),
        REPO / "docs/inventory.md": inventory.page(WRITTEN),
        REPO / "docs/schema/inventory.json": json.dumps(schema.inventory(), indent=2, ensure_ascii=False) + "\n",
    }
