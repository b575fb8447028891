"""What people install: the wheel, the sdist and the single file, each complete, and run outside of this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from k8s_installer import __version__
from tools import package

pytestmark = pytest.mark.contract

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
INVENTORY = package.ROOT / "inventories" / "quick-start.yaml"
LAYOUT = {"k8s_installer": "k8s_installer", "templates": "k8s_installer/_templates"}  # folders here and in the wheel
FILES = {
    f"{there}/{path.relative_to(package.ROOT / here)}": path
    for here, there in LAYOUT.items()
    for path in (package.ROOT / here).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
}
MAN = package.ROOT / "docs/man/k8s-installer.1"
FILES |= {f"k8s_installer-{__version__}.data/data/share/man/man1/{MAN.name}": MAN}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel; the sdist lies beside it."""
    return package.wheel_and_sdist(tmp_path_factory.mktemp("dist"))


def outside(folder: Path, *command: str | Path) -> str:
    """What a command prints in another folder, for a user who has nothing of this checkout."""
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "NO_COLOR": "1", "PEX_ROOT": str(folder / "pex")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def works(folder: Path, *command: str | Path) -> None:
    """A command is the installer, with all of its data."""
    assert outside(folder, *command, "--version") == f"k8s-installer {__version__}\n"
    outside(folder, *command, "init", "10.0.0.11", "10.0.0.12", "10.0.0.13", "-o", "cluster.yaml")
    assert "cluster.yaml: valid" in outside(folder, *command, "validate", "-i", "cluster.yaml")
    for inventory, written in ((folder / "cluster.yaml", "ours"), (INVENTORY, "example")):
        outside(folder, *command, "render", "-i", inventory, "-o", written)
    made = [path.relative_to(folder / "example") for path in (folder / "example").rglob("*") if path.is_file()]
    assert Path("m1/etc/kubernetes/apiserver") in made
    assert (folder / "ours" / "m1" / "etc" / "kubernetes" / "apiserver").is_file()


def test_the_wheel_has_every_file_of_the_source_tree_and_no_other(built: Path) -> None:
    with zipfile.ZipFile(built) as wheel:
        there = {name: wheel.read(name) for name in wheel.namelist() if ".dist-info/" not in name}
    assert there.keys() == FILES.keys()
    assert [name for name, path in FILES.items() if there[name] != path.read_bytes()] == []


def test_the_sdist_has_them_too_and_makes_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (path,) = built.parent.glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        sdist.extractall(tmp_path / "sdist", filter="data")
    (source,) = (tmp_path / "sdist").iterdir()
    missing = [path for path in FILES.values() if not (source / path.relative_to(package.ROOT)).is_file()]
    assert missing == []
    assert {"README.md", "CHANGELOG.md", "LICENSE", "docs", "tests"} <= {path.name for path in source.iterdir()}
    again = tmp_path / "again"
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", again], cwd=source, check=True)
    (wheel,) = again.iterdir()
    with zipfile.ZipFile(wheel) as second, zipfile.ZipFile(built) as first:
        assert second.namelist() == first.namelist()


def test_the_wheel_works_in_a_clean_environment(built: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    uv = [sys.executable, "-m", "uv", "-q"]
    subprocess.run([*uv, "venv", "--python", sys.executable, tmp_path / "venv"], check=True)
    subprocess.run([*uv, "pip", "install", "--python", python, built], check=True)
    works(tmp_path, python.with_name("k8s-installer"))
    assert outside(tmp_path, python, "-m", "k8s_installer", "--version") == f"k8s-installer {__version__}\n"


def test_the_single_file_works(built: Path, tmp_path: Path) -> None:
    target = tmp_path / "k8s-installer.pyz"
    package.single_file(built, target, [PYTHON])
    works(tmp_path, sys.executable, target)
    # what it starts as processes of its own finds itself and pytest
    lab = "import k8s_installer.lab.server, pytest, testinfra"
    environment = {"PEX_ROOT": str(tmp_path / "pex"), "PEX_INTERPRETER": "1", "PATH": os.defpath}
    command = "import sys, subprocess; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True, env={})"
    subprocess.run([sys.executable, target, "-c", command, lab], check=True, env=environment, cwd=tmp_path)
