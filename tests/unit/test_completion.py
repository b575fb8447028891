"""What a shell offers at a Tab, asked by the function that a real bash gets."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from k8s_installer.cli import completing
from k8s_installer.pki import rotation
from k8s_installer.profiles import CertificateSpec

REPO = Path(__file__).parents[2]
INVENTORY = """\
cluster: {name: lab, version: "1.20.2"}
hosts:
  m1: {address: 10.77.0.11, roles: [etcd, master]}
  n1: {address: 10.77.0.21, roles: [node]}
  n2: {address: 10.77.0.22, roles: [node]}
  "$(touch attacked)": {address: 10.77.0.23, roles: [node]}
"""
# By the file that is there: what a Tab must survive.
BROKEN = {
    "no-yaml.yaml": b"hosts: [}\n",
    "bytes.yaml": b"\xff\xfe\x00hosts",
    "list.yaml": b"- hosts\n",
    "odd.yaml": b"hosts: 5\n",
    "names.yaml": b"hosts: {1: {}, true: {}, [a]: {}}\n",
    "deep.yaml": b"[" * 5000,
    "tag.yaml": b"!!python/object/apply:os.system [touch attacked]\n",
    "large.yaml": b"hosts:\n" + b"  n1: {}\n" * 50_000,
}

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cluster.yaml").write_text(INVENTORY)
    (tmp_path / "inventories").mkdir()
    (tmp_path / "inventories/other.yaml").write_text(INVENTORY.replace("n1", "x1"))
    (tmp_path / "components").mkdir()
    (tmp_path / "components/exporter.yaml").write_text("why: x\n")
    lab = tmp_path / "cache/k8s-installer/labs/demo"
    lab.mkdir(parents=True)
    (lab / "inventory.yaml").write_text(INVENTORY)
    return tmp_path


def offered(folder: Path, *lines: str, **environment: str) -> list[list[str]]:
    """The words that bash offers at the end of each line, which ends in the word that is being typed."""
    script = ['eval "$(_K8S_INSTALLER_COMPLETE=source_bash k8s-installer)"']
    script += ["_function=$(complete -p k8s-installer | sed 's/.*-F \\([^ ]*\\).*/\\1/')"]
    for line in lines:
        *words, begun = line.split(" ")
        script += [
            f"COMP_WORDS=({shlex.join(words)} {shlex.quote(begun)}) COMP_CWORD={len(words)} COMPREPLY=()",
            "$_function k8s-installer",
            'printf "%s\\n" "${COMPREPLY[@]}" ---',
        ]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(script)],
        cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
        env={"PATH": path, "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(REPO), **environment},
    )  # fmt: skip
    assert done.stderr == ""
    return [part.split() for part in done.stdout.split("---\n")[:-1]]


def test_names_come_from_the_inventory_of_the_line(folder: Path) -> None:
    assert offered(
        folder,
        "k8s-installer apply -i cluster.yaml --limit ",
        "k8s-installer apply -i cluster.yaml --limit m1,n",
        "k8s-installer reset -i inventories/other.yaml --host x",
        "k8s-installer plan --host n",
        "k8s-installer restore -i cluster.yaml --from-member m",
        "k8s-installer render -i cluster.yaml --host n2",
    ) == [["m1", "n1", "n2"], ["m1,n1", "m1,n2"], ["x1"], ["n1", "n2"], ["m1"], ["n2"]]
    assert offered(folder, "k8s-installer plan --host x", K8S_INSTALLER_INVENTORY="inventories/other.yaml") == [["x1"]]


def test_names_that_are_not_of_the_inventory(folder: Path) -> None:
    assert offered(
        folder,
        "k8s-installer apply -i cluster.yaml --only docker,e",
        "k8s-installer apply -i inventories/other.yaml --only e",
        "k8s-installer certs renew --component kube-s",
        "k8s-installer certs rotate e",
        "k8s-installer certs rotate ca ",
        "k8s-installer lab ssh n",
        "k8s-installer lab down --name ",
        "k8s-installer prefl",
        "k8s-installer explain -i cluster.yaml o",
        "k8s-installer explain kube-s",
        "k8s-installer explain -i cluster.yaml n",
    ) == [
        ["docker,etcd", "docker,exporter"],
        ["etcd"],
        ["kube-scheduler"],
        ["etcd-ca", "etcd-peer-ca", "encryption"],
        ["add", "use", "drop"],
        ["n1", "n2"],
        ["demo"],
        ["preflight"],
        ["order"],
        ["kube-scheduler"],
        ["namespace", "network", "node", "n1", "n2"],
    ]


def test_all_roots_are_offered() -> None:
    authorities = get_args(CertificateSpec.model_fields["ca"].annotation)
    assert completing.roots("") == [*authorities, rotation.SECRETS, "sa"]


def test_inventories_are_offered_and_other_files_are_left_to_the_shell(folder: Path) -> None:
    assert offered(
        folder,
        "k8s-installer plan -i ",
        "k8s-installer plan -i inventories/o",
        f"k8s-installer plan -i {folder}/c",
        "k8s-installer apply nothing",
    ) == [
        ["cluster.yaml", "components/exporter.yaml", "inventories/other.yaml"],
        ["inventories/other.yaml"],
        [f"{folder}/{name}" for name in ("cache/", "cluster.yaml", "components/exporter.yaml")][1:],
        [],
    ]


def test_a_broken_inventory_offers_nothing_and_prints_nothing(folder: Path) -> None:
    for name, content in BROKEN.items():
        (folder / name).write_bytes(content)
    names = [*BROKEN, "missing.yaml", "inventories"]
    found = offered(folder, *(f"k8s-installer plan -i {name} --host " for name in names))
    assert found == [[] for _ in names]
    assert not (folder / "attacked").exists()
