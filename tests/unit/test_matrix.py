"""The README's matrix says what validation, golden cases and fleet tests say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import get_args

import pytest

from k8s_installer import profiles
from k8s_installer.inventory.schema import ClusterModel
from tests import matrix
from tests.fleet.conftest import Cluster, bootstrapped
from tests.matrix import Combination


@pytest.fixture(scope="module")
def words() -> dict[Combination, str]:
    return matrix.cells()


def test_the_readme_has_the_table_that_the_facts_give(words: dict[Combination, str]) -> None:
    text = matrix.README.read_text()
    assert matrix.table(words) in text, "python -m tests.matrix writes it again"
    assert matrix.replaced(text, matrix.table(words)) == text


def test_whatever_validation_lets_pass_is_golden_or_run(words: dict[Combination, str]) -> None:
    assert [cell for cell, word in words.items() if not word] == []


def test_nothing_is_run_or_golden_that_validation_refuses(words: dict[Combination, str]) -> None:
    assert [cell for cell in matrix.golden() | matrix.run() if words[cell] == matrix.REFUSED] == []


def test_the_table_has_all_that_an_inventory_can_say() -> None:
    fields = ClusterModel.model_fields
    assert set(get_args(fields["network"].annotation)) <= set(matrix.NETWORKS)
    assert set(get_args(fields["security"].annotation)) == set(matrix.SECURITY)
    assert {source for version in profiles.available() for source in profiles.load(version).programs} <= set(
        matrix.SOURCES
    )
    assert set(profiles.available()) == set(matrix.VERSIONS)


def test_a_combination_is_read_from_the_inventory_that_a_cluster_was_made_with(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(
        'cluster: {name: lab, version: "1.5.2", network: none, security: insecure}\n'
        "hosts: {c1: {address: 10.77.0.11, roles: [etcd, master, node]}}\n"
    )
    assert matrix.of_inventory(path) == Combination("1.5.2", "packages", "none", "insecure")


def test_a_declaration_that_is_not_what_was_bootstrapped_does_not_hold(tmp_path: Path) -> None:
    bare = Cluster(tmp_path, "", {}, "", "")
    bare.inventory.write_text(
        'cluster: {name: lab, version: "1.20.2", network: none}\n'
        "hosts: {c1: {address: 10.77.0.11, roles: [etcd, master, node]}}\n"
    )
    works, fails = (replace(bare, bootstrap=CompletedProcess((), code, "", "")) for code in (0, 1))
    declared = Combination("1.20.2", "packages", "none", "tls")
    assert bootstrapped(declared, [works])
    assert not bootstrapped(declared._replace(network="routes"), [works])
    assert not any(bootstrapped(declared, clusters) for clusters in ([], [bare], [fails]))


def test_a_cell_that_is_wrong_in_the_readme_is_written_anew(words: dict[Combination, str]) -> None:
    made = matrix.table(words)
    wrong = matrix.README.read_text().replace(made, made.replace(matrix.REFUSED, matrix.RUN))
    assert matrix.replaced(wrong, made) == matrix.README.read_text() != wrong
