"""The steps of docs/adding-a-version.md, done as they stand there: its blocks are run, applied and written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[2]


def blocks() -> list[tuple[str, str]]:
    """The kind and the text of each block of the walk, in their order."""
    text = (REPO / "docs" / "adding-a-version.md").read_text(encoding="utf-8")
    walk = text.partition("\n## Step by step\n")[2].partition("\n## ")[0]
    return re.findall(r"^```(\w+)\n(.*?)^```$", walk, flags=re.MULTILINE | re.DOTALL)


def run(script: str, folder: Path) -> str:
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


def apply(diff: str, folder: Path) -> None:
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


def test_a_made_up_version_is_added_by_the_steps_of_the_guide(tmp_path: Path) -> None:
    said = ""
    for kind, text in blocks():
        match kind:
            case "sh":
                said += run(text, tmp_path)
            case "diff":
                apply(text, tmp_path)
            case "yaml":
                (tmp_path / "cluster.yaml").write_text(text, encoding="utf-8")
    assert said.startswith("cluster.yaml: valid: Kubernetes 1.99.0 on 1 host (profile 1.99.0)\n")
    changed = [line for line in said.splitlines() if re.match(r"[-+](?!--|\+\+|# Rendered by)", line)]
    scheduler = [line for line in changed if "KUBE_SCHEDULER_ARGS" in line]
    assert ["--rebalance-period=10m" in line for line in scheduler] == [False, True]
    assert [line for line in changed if line not in scheduler] == [
        '-KUBELET_POD_INFRA_CONTAINER="--pod-infra-container-image=registry.k8s.io/pause:3.2"',
        '+KUBELET_POD_INFRA_CONTAINER=""',
        "-apiVersion: kubelet.config.k8s.io/v1beta1",
        "+apiVersion: kubelet.config.k8s.io/v1",
    ]
