"""One lab of three hosts with a bootstrapped cluster, shared by the tests that look at it or break it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from k8s_installer.lab import machine
from tests import matrix

LAB = f"tcluster{os.environ.get('PYTEST_XDIST_WORKER', '')}"  # each of several workers has one
PROGRAMS = os.environ.get("LAB_PROGRAMS", "")
EVERY = bool(os.environ.get("TEST_ALL"))  # tests that take a sample for time's sake take all (`make test-all`)


def installer(*arguments: str, timeout: float = 900, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, without a terminal, in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "k8s_installer", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env={**os.environ, "COLUMNS": "160", "NO_COLOR": "1"},
    )


@dataclass(frozen=True)
class Cluster:
    """A cluster on the lab: `text` is its inventory, `bootstrap` what the first `apply` printed."""

    folder: Path
    text: str
    addresses: dict[str, str]
    key: str
    known_hosts: str
    bootstrap: subprocess.CompletedProcess[str] | None = None

    @property
    def inventory(self) -> Path:
        return self.folder / "cluster.yaml"

    def run(self, command: str, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of the installer with the inventory, or with another text in its place."""
        path = self.inventory if text is None else self.folder / "edited.yaml"
        if text is not None:
            path.write_text(text)
        words = [*command.split(), *arguments[:1]] if command == "bundle" else command.split()
        return installer(*words, "-i", str(path), *arguments[1 if command == "bundle" else 0 :])

    def on(self, host: str, command: str) -> str:
        """What a command prints on a host; it must succeed."""
        options = ["-i", self.key, "-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "BatchMode=yes"]
        argv = ["ssh", *options, f"root@{self.addresses[host]}", command]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, f"{host}: {command}: {done.stdout}{done.stderr}"
        return done.stdout

    def processes(self) -> dict[str, str]:
        """The main process of every service of ours, and when it started, on every host."""
        units = (
            "etcd kube-apiserver kube-controller-manager kube-scheduler docker kubelet kube-proxy kubernetes-network"
        )
        ask = f"for u in {units}; do echo $u $(systemctl show -p MainPID -p ExecMainStartTimestampMonotonic $u); done"
        lines = [(host, line) for host in self.addresses for line in self.on(host, ask).splitlines()]
        return {f"{host} {line.split()[0]}": line for host, line in lines}


@contextmanager
def running_lab(name: str, *shape: str, programs: str = PROGRAMS) -> Iterator[dict[str, Any]]:
    """A fresh lab of this name, as `lab status -o json` shows it; gone after the `with`."""
    packed = ["--programs", programs] if programs else []
    installer("lab", "down", "--name", name)
    try:
        up = installer("lab", "up", "--name", name, *shape, *packed, "-o", "json", timeout=2400)
        assert up.returncode == 0, up.stderr
        yield json.loads(up.stdout)
    finally:
        installer("lab", "down", "--name", name)


def made_cluster(lab: dict[str, Any], folder: Path) -> Cluster:
    """A bare cluster on a lab, with an inventory of its own in `folder`."""
    text = Path(lab["inventory"]).read_text()
    (folder / "cluster.yaml").write_text(text)
    addresses = {host["name"]: host["address"] for host in lab["hosts"]}
    return Cluster(folder, text, addresses, lab["key"], lab["known_hosts"])


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_lab(LAB) as lab:
        bare = made_cluster(lab, tmp_path_factory.mktemp("cluster"))
        yield replace(bare, bootstrap=bare.run("apply", "--yes"))


def pytest_runtest_call(item: pytest.Function) -> None:
    """What a test declares for the README's matrix is what its cluster was bootstrapped with, or the test fails."""
    for mark in item.iter_markers("runs"):
        values = [getattr(value, "cluster", value) for value in item.funcargs.values()]
        clusters = [value for value in values if isinstance(value, Cluster)]
        said = "\n".join(made.bootstrap.stderr for made in clusters if made.bootstrap)
        assert bootstrapped(matrix.Combination(**mark.kwargs), clusters), said


def bootstrapped(declared: matrix.Combination, clusters: Sequence[Cluster]) -> bool:
    """Whether a test's cluster, its only one, was made of an inventory with this combination, and works."""
    found = [
        matrix.of_inventory(made.inventory) for made in clusters if made.bootstrap and not made.bootstrap.returncode
    ]
    return found == [declared]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where this machine cannot run a lab, its tests say why they did not run."""
    missing = machine.missing(machine.look())
    if missing:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=f"no lab on this machine: {'; '.join(missing)}"))
