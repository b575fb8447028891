"""Builds what people install: a wheel, an sdist, and `k8s-installer.pyz`, one file with every dependency in it.

    python -m tools.package [-o dist]

The single file is a PEX. It holds the compiled dependencies (cryptography, bcrypt, pydantic-core ...) once for each
Python of `PYTHONS`, for Linux on x86_64, and unpacks into a virtual environment of its own when it first runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
_GLIBC = "manylinux2014_x86_64"  # 2.17, which every Linux with one of these Pythons has
_PIP = "24.0"  # by which PEX gets the wheels: of its own, older one PyPI's wheels are not understood


def wheel_and_sdist(folder: Path) -> Path:
    """Build the wheel and the sdist into a folder; the path of the wheel."""
    _python("hatchling", "build", "-d", str(folder))
    return max(folder.glob("*.whl"), key=lambda path: path.stat().st_mtime)


def single_file(wheel: Path, target: Path, pythons: Sequence[str] = PYTHONS) -> None:
    """Build one file of a wheel and everything that it needs, `k8s-installer test` included.

    Args:
        wheel: of this project.
        target: the file to write.
        pythons: the minor versions of Python under which the file is to run.
    """
    platforms = [f"--platform={_GLIBC}-cp-{python}.0-cp{python.replace('.', '')}" for python in pythons]
    _python(
        "pex", f"{wheel}[test]", "-c", "k8s-installer", "-o", str(target), "--venv", "prepend", "--no-build",
        "--pip-version", _PIP, "--python-shebang", "/usr/bin/env python3", *platforms,
    )  # fmt: skip


def _python(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, check=True)


def main() -> None:
    """Build all three."""
    parser = argparse.ArgumentParser(description="Build the wheel, the sdist and the single file.")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "dist", help="the folder (default: dist)")
    folder = parser.parse_args().output.absolute()
    wheel = wheel_and_sdist(folder)
    single_file(wheel, folder / "k8s-installer.pyz")


if __name__ == "__main__":
    main()
