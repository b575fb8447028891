"""`test` from outside, with a program in the place of ssh: exit codes, messages, and the files that are written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from k8s_installer.acceptance import Status, read
from k8s_installer.errors import InputError
from k8s_installer.flows import test as flow
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.test import Choice
from tests.unit.test_flows import Recorder

HERE = str(Path(__file__).parents[2])
INVENTORY = """\
cluster: {name: lab, version: "1.5.2", network: none, security: insecure}
hosts: {c1: {address: 10.0.0.1, roles: [etcd, master, node]}}
"""
# Every module is there; of everything else nothing is.
SSH = """#!/bin/sh
for word do :; done
case $word in *br_netfilter*) printf 'overlay present\\nbr_netfilter present\\nnf_conntrack present\\n' ;; esac
echo end-of-answer
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cluster.yaml").write_text(INVENTORY)
    (tmp_path / ".k8s-installer/lab").mkdir(parents=True)
    (tmp_path / ".k8s-installer/lab/allocations").write_text("first-master c1\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(SSH)
    (tmp_path / "bin/ssh").chmod(0o755)
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "k8s_installer", "test", "-i", "cluster.yaml", *words]
    env = {"PATH": f"{folder}/bin:/usr/bin:/bin", "NO_COLOR": "1", "COLUMNS": "140", "HOME": str(folder)}
    return subprocess.run(
        argv, capture_output=True, text=True, check=False, cwd=folder, env={**env, "PYTHONPATH": HERE}, timeout=120
    )


@pytest.fixture
def inputs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Inputs:
    monkeypatch.setenv("PATH", f"{folder}/bin:/usr/bin:/bin")
    return Inputs(folder / "cluster.yaml")


def own(folder: Path, text: str) -> None:
    (folder / "tests").mkdir()
    (folder / "tests/test_own.py").write_text(text)


def test_what_passes_is_exit_code_0_also_as_json_and_as_junit(folder: Path) -> None:
    own(folder, "def test_modules(host):\n    assert host.run('true').rc == 0\n")
    done = run(folder, "-k", "modules", "-o", "json", "--junit", "out/report.xml")
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["counts"] == {"passed": 4, "failed": 0, "error": 0, "skipped": 0}
    assert {check["host"] for check in said["checks"]} == {"c1"}
    assert [one.status for one in read((folder / "out/report.xml").read_bytes(), 0).results] == [Status.PASSED] * 4


def test_a_failure_is_exit_code_1_and_says_what_was_expected_and_found(folder: Path) -> None:
    done = run(folder, "-k", "units and etcd and active")
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        "✗ c1  1 of 1 check failed",
        "    unit etcd: state",
        "      expected  active",
        "      found     no such unit",
        done.stdout.splitlines()[4],
        "Next: k8s-installer plan -i cluster.yaml shows what differs from the inventory",
    ]
    assert done.stdout.splitlines()[4].startswith("1 check on 1 host: 1 failed, 0 passed, in ")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(hosts=("m9",)), "--host: the inventory has no host m9"),
        (Choice(hosts=("c1",), expression="nothing"), "-k 'nothing' matches no test"),
        (Choice(expression="a b c"), "pytest cannot begin: Wrong expression passed to '-k': a b c"),
        (Choice(tests=Path("missing")), "--tests: there is no folder missing"),
        (Choice(junit=Path("/")), "--junit: / is a folder"),
    ],
)
def test_a_wrong_choice_is_one_message(choice: Choice, message: str, inputs: Inputs) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        flow.run(inputs, choice, Recorder())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--junit", "cluster.yaml"), "-o cluster.yaml is the inventory, which would be overwritten"),
        (("--write", "bin"), "--write: bin is not an empty folder"),
        (("--write", "new", "-k", "files"), "--write runs no test, so -k means nothing"),
    ],
)
def test_wrong_usage_is_exit_code_2(words: tuple[str, ...], message: str, folder: Path) -> None:
    done = run(folder, *words)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.splitlines()[0].startswith(f"error: {message}"), done.stderr
    assert (folder / "cluster.yaml").read_text() == INVENTORY


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("test_own.py", "def test_it(:\n", "own: SyntaxError: invalid syntax"),
        ("conftest.py", "1 / 0\n", "conftest.py'. ZeroDivisionError: division by zero"),
    ],
)
def test_an_own_test_that_cannot_be_loaded_is_named_and_nothing_runs(
    name: str, text: str, message: str, folder: Path, inputs: Inputs
) -> None:
    own(folder, "def test_it():\n    pass\n")
    (folder / "tests" / name).write_text(text)
    with pytest.raises(InputError) as caught:
        flow.run(inputs, Choice(expression="modules or it"), Recorder())
    assert caught.value.message.endswith(message)
    assert "Traceback" not in caught.value.message


def test_keys_that_are_not_made_yet_are_a_warning_and_their_files_are_not_compared(folder: Path) -> None:
    path = folder / "tls.yaml"
    path.write_text(INVENTORY.replace("insecure", "tls").replace("lab", "other"))
    reporter = Recorder()
    assert flow.write(Inputs(path), folder / "infra", 30, reporter) > 15
    first, warning = [words for words in reporter.heard if words.startswith("warn ")]
    assert "no apply is recorded on this machine" in first
    assert "this machine does not have all keys of the cluster" in warning
    assert '/apiserver.key", "sha256": ""' in (folder / "infra/expected/c1.json").read_text()


def test_files_are_written_to_a_new_folder_and_say_how_to_run_them(folder: Path) -> None:
    done = run(folder, "--write", "infra")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    count = sum(1 for path in (folder / "infra").rglob("*") if path.is_file())
    assert done.stderr == f"{count} files written to infra: cd infra && pytest\n"
    env = {**os.environ, "PATH": f"{folder}/bin:/usr/bin:/bin", "PYTEST_ADDOPTS": "-p no:cov -p no:xdist"}
    again = [sys.executable, "-m", "pytest", "-q", "-k", "modules"]
    there = subprocess.run(again, capture_output=True, text=True, check=False, cwd=folder / "infra", env=env)
    assert there.returncode == 0, there.stdout
    assert "3 passed" in there.stdout


def test_without_pytest_one_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "NEEDED", ("pytest", "no_such_testinfra"))
    with pytest.raises(InputError, match="test needs no_such_testinfra, which is not installed") as caught:
        flow.require_pytest()
    assert "pip install 'k8s-installer[test]'" in caught.value.hint
