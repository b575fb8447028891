"""The data that the packages are made of: does it hang together?"""

from __future__ import annotations

import re

import pytest

from k8s_installer.lab.artifacts import data_folder

RPMS = data_folder() / "rpms"
UNITS = sorted(RPMS.rglob("*.service"))
VARIABLE = re.compile(r"\$\{?(KUBE[A-Z_]*|ETCD_[A-Z_]+|OPTIONS|DOCKER_[A-Z_]+)")
UNSET = {"KUBE_API_PORT", "KUBELET_PORT"}  # there as comments


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_units_variables_are_in_the_files_that_it_reads(unit: object) -> None:
    path = next(one for one in UNITS if one == unit)
    text = path.read_text()
    # a package's own, or another's: flanneld reads docker's
    files = [list(RPMS.glob(f"*{name}")) for name in re.findall(r"EnvironmentFile=-?(/etc/\S+)", text)]
    assert all(files)
    given = "\n".join(file.read_text() for found in files for file in found)
    wanted = set(VARIABLE.findall(text)) - UNSET
    assert {name for name in wanted if not re.search(rf"^{name}=", given, re.MULTILINE)} == set()


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_is_one_that_systemd_219_understands(unit: object) -> None:
    path = next(one for one in UNITS if one == unit)
    refused = re.compile("|".join((data_folder() / "host/directives").read_text().split("\n")[:-1]))
    assert [line for line in path.read_text().splitlines() if refused.search(line)] == []


@pytest.mark.parametrize("name", ["etcd", "docker", "kubernetes", "flannel"])
def test_every_file_below_etc_is_kept_on_upgrade(name: str) -> None:
    spec = (RPMS / f"{name}.spec").read_text()
    kept = set(re.findall(r"^%config\(noreplace\) (/\S+)", spec, re.MULTILINE))
    there = {f"/{path.relative_to(RPMS / name)}" for path in (RPMS / name / "etc").rglob("*") if path.is_file()}
    assert kept == there
