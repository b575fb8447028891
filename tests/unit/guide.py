"""The walks of docs/adding-*.md, followed as they stand there: their blocks are written, applied and run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[2]


def follow(guide: str, folder: Path) -> str:
    """Do the steps of a guide in a folder, and give back what its commands say."""
    said = ""
    for kind, name, text in _blocks(guide):
        match kind:
            case "sh":
                said += _run(text, folder)
            case "diff":
                _apply(text, folder)
            case _:
                _write(folder / (name or "cluster.yaml"), text)
    return said


def write(guide: str, folder: Path, *, below: tuple[str, ...]) -> None:
    """Write the files of a guide that lie in these folders, and do nothing else of it."""
    for _, name, text in _blocks(guide):
        if name.startswith(below):
            _write(folder / name, text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _blocks(guide: str) -> list[tuple[str, str, str]]:
    """The kind, the name of the file if there is one, and the text of each block of the walk, in their order."""
    text = (REPO / "docs" / guide).read_text(encoding="utf-8")
    walk = text.partition("\n## Step by step\n")[2].partition("\n## ")[0]
    return re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", walk, flags=re.MULTILINE | re.DOTALL)


def _run(script: str, folder: Path) -> str:
    """What a block of commands says; `k8s-installer` is that of this checkout."""
    program = folder / "bin" / "k8s-installer"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m k8s_installer "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    environment = {"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**environment, "REPO": str(REPO), "PYTHONPATH": str(REPO)},
    )
    # diff, the last command of its block, ends with 1 where there is a difference
    assert done.returncode == (1 if "\ndiff " in script else 0), done.stderr
    return done.stdout


def _apply(diff: str, folder: Path) -> None:
    """Make the changes of a diff whose parts name neither lines nor more than they need of them."""
    name, _, parts = diff.partition("\n")
    path = folder / name.removeprefix("--- ")
    text = "\n" + path.read_text(encoding="utf-8")
    for part in parts.split("@@\n"):
        lines = part.splitlines()
        old, new = ("".join(f"\n{line[1:]}" for line in lines if line[0] in f" {sign}") for sign in "-+")
        assert text.count(f"{old}\n") == 1, part
        text = text.replace(f"{old}\n", f"{new}\n")
    path.write_text(text.removeprefix("\n"), encoding="utf-8")
