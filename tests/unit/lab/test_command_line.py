from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from k8s_installer.cli import lab as command_line
from k8s_installer.errors import InputError
from k8s_installer.lab import fleet, hosts, state, vagrant
from k8s_installer.lab.commands import Say
from k8s_installer.lab.fleet import Status
from k8s_installer.lab.state import Lab, Shape

SHAPE = Shape(1, 1, "1.20.2")
LAB = Lab("demo", 4, SHAPE, state.plan_hosts(4, SHAPE), "boot")
RUNNING = Status("demo", "running", Path("/labs/demo"), LAB, frozenset({"m1", "n1"}))


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return CliRunner()


def test_up_passes_the_shape_on_and_tells_progress_from_data(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Shape]] = []

    def up(name: str, shape: Shape, say: Say) -> Status:
        asked.append((name, shape))
        say("working [on] it")
        return RUNNING

    monkeypatch.setattr(fleet, "up", up)
    done = runner.invoke(command_line.app, ["up", "--masters", "3", "--nodes", "0", "-o", "json"])
    assert done.exit_code == 0
    assert asked == [("demo", Shape(3, 0, "1.20.2"))]
    assert json.loads(done.stdout)["inventory"] == "/labs/demo/inventory.yaml"
    assert done.stderr == "working [on] it\n"


def test_the_vagrant_driver_is_another_way_up(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    machines = replace(LAB, shape=replace(SHAPE, driver="vagrant"))
    monkeypatch.setattr(vagrant, "up", lambda _name, _shape, _say: replace(RUNNING, lab=machines))
    done = runner.invoke(command_line.app, ["up", "--driver", "vagrant", "-o", "json"])
    data = json.loads(done.stdout)
    assert data["driver"] == "vagrant"
    assert "repository" not in data


def test_status_as_json_is_what_scripts_want(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "status", lambda _name: RUNNING)
    done = runner.invoke(command_line.app, ["status", "-o", "json"])
    assert json.loads(done.stdout) == {
        "name": "demo",
        "state": "running",
        "driver": "nspawn",
        "version": "1.20.2",
        "network": "10.77.4.0/24",
        "inventory": "/labs/demo/inventory.yaml",
        "known_hosts": "/labs/demo/known_hosts",
        "key": "/labs/demo/id_ed25519",
        "hosts": [
            {"name": "m1", "address": "10.77.4.11", "state": "running"},
            {"name": "n1", "address": "10.77.4.21", "state": "running"},
        ],
        "repository": "http://10.77.4.1/",
        "images": {"pause": "10.77.4.1:5000/lab/pause:1", "verify": "10.77.4.1:5000/lab/web:1"},
    }


def test_status_fails_unless_everything_runs(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        fleet, "status", lambda _name: replace(RUNNING, condition="partly running", running=frozenset())
    )
    done = runner.invoke(command_line.app, ["status"])
    assert done.exit_code == 1
    assert "partly running" in done.stdout
    assert "stopped" in done.stdout


def test_the_status_of_no_lab_is_absent(runner: CliRunner) -> None:
    done = runner.invoke(command_line.app, ["status", "--name", "none", "-o", "json"])
    assert (done.exit_code, json.loads(done.stdout)) == (1, {"name": "none", "state": "absent"})


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["up", "--masters", "0", "--nodes", "0"], "--masters 0"),
        (["up", "--name", "No Name"], "--name"),
        (["up", "--version", "9.9.9"], "unknown Kubernetes version 9.9.9"),
        (["ssh", "m1"], "lab demo has no host m1"),
    ],
)
def test_nonsense_is_refused_before_anything_is_touched(
    runner: CliRunner, tmp_path: Path, arguments: list[str], word: str
) -> None:
    done = runner.invoke(command_line.app, arguments)
    assert isinstance(done.exception, InputError)
    assert word in done.exception.message
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("name", ["", ".", "..", "../..", "/tmp", "other/..", "a b"])
@pytest.mark.parametrize("command", [["down"], ["down", "--purge"], ["status"], ["ssh", "m1"]])
def test_a_name_that_no_lab_has_leads_to_no_folder(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str], name: str
) -> None:
    for function in ("_clear", "remains", "purge"):
        monkeypatch.setattr(fleet, function, Mock(side_effect=AssertionError(function)))
    monkeypatch.setattr(shutil, "rmtree", Mock(side_effect=AssertionError("rmtree")))
    record = tmp_path / "k8s-installer/labs/other/lab.json"
    record.parent.mkdir(parents=True)
    record.touch()
    done = runner.invoke(command_line.app, [*command, "--name", name])
    assert isinstance(done.exception, InputError)
    assert done.exception.message.startswith(f"--name {name!r}: at most 11 lowercase letters")
    assert [path.name for path in (tmp_path / "k8s-installer").iterdir()] == ["labs"]


def test_a_folder_that_is_no_lab_does_not_hide_the_others(tmp_path: Path) -> None:
    state.save(tmp_path, LAB)
    (tmp_path / "labs/Demo (copy)").mkdir()
    (tmp_path / "labs/Demo (copy)/lab.json").write_bytes((tmp_path / "labs/demo/lab.json").read_bytes())
    assert state.load_all(tmp_path) == [LAB]


def test_a_folder_of_programs_must_be_there(runner: CliRunner) -> None:
    assert runner.invoke(command_line.app, ["up", "--programs", "/no/such/folder"]).exit_code == 2


@pytest.mark.parametrize("status", [0, 7, 255])
@pytest.mark.parametrize(
    ("words", "command"),
    [
        ([], ""),
        (["ls; exit 7"], "ls; exit 7"),  # one word is a command line, as with ssh
        (["--", "sh", "-c", "echo 'a b'; exit 7"], shlex.join(["sh", "-c", "echo 'a b'; exit 7"])),
    ],
)
def test_ssh_passes_the_command_and_its_exit_status_on(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, words: list[str], command: str
) -> None:
    fake = tmp_path / "ssh"
    fake.write_text(f'#!/bin/sh\nprintf %s "$*" > {tmp_path}/got\nexit {status}\n')
    fake.chmod(0o755)
    monkeypatch.setattr(fleet, "status", lambda _name: RUNNING)
    monkeypatch.setattr(hosts, "ssh_command", lambda _folder, _host, _user: [str(fake)])
    assert runner.invoke(command_line.app, ["ssh", "n1", *words]).exit_code == status
    assert (tmp_path / "got").read_text() == command


def test_down_of_no_lab_is_done_at_once(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "remains", lambda _name, _cache: False)
    done = runner.invoke(command_line.app, ["down", "--name", "none"])
    assert done.exit_code == 0
    assert "nothing to do" in done.stderr


def test_purge_removes_what_was_built_unless_a_lab_needs_it(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fleet, "remains", lambda _name, _cache: False)
    artifact = tmp_path / "k8s-installer/artifacts/images-1"
    artifact.mkdir(parents=True)
    state.save(tmp_path / "k8s-installer", LAB)
    assert runner.invoke(command_line.app, ["down", "--name", "none", "--purge"]).exit_code == 1
    assert artifact.exists()
    (tmp_path / "k8s-installer/labs/demo/lab.json").unlink()
    assert runner.invoke(command_line.app, ["down", "--name", "none", "--purge"]).exit_code == 0
    assert not artifact.exists()


@pytest.mark.parametrize("command", ["up", "status", "ssh", "down"])
def test_every_command_has_help_with_an_example(runner: CliRunner, command: str) -> None:
    done = runner.invoke(command_line.app, [command, "--help"])
    assert done.exit_code == 0
    assert "Example" in done.stdout
