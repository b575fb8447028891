"""Packages are installed, in the version that was asked for."""

import shlex

import pytest

TABLE = "packages"


def ask(rows):
    names = shlex.join(row["package"] for row in rows)
    return f"rpm -q --qf '%{{NAME}} %{{EPOCH}} %{{VERSION}} %{{RELEASE}}\\n' {names}"


def read(output):
    words = [line.split() for line in output.splitlines() if "is not installed" not in line]
    return {name: (epoch, version, release) for name, epoch, version, release in words}


def test_is_installed(row, found, same):
    same("is installed", True, row["package"] in found)


def test_version(row, found, same):
    """Of `[EPOCH:]VERSION[-RELEASE]` what is given counts."""
    if not row["version"] or row["package"] not in found:
        pytest.skip("any version will do" if not row["version"] else "it is not installed")
    epoch, version, release = found[row["package"]]
    installed = version
    if "-" in row["version"]:
        installed = f"{installed}-{release}"
    if ":" in row["version"]:
        installed = f"{epoch}:{installed}"
    same("version", row["version"], installed)
