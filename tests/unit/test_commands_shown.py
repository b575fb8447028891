"""Every command that README and docs/ show: all are parsed by the program, and each is run here or by a fleet test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from k8s_installer.cli.app import app
from tests.shown import PAGES, PROGRAM, REPO, Shown, command_of, shown, typed
from tools.reference import files

COMMANDS = [one for page in PAGES for one in shown(page)]
OURS = [one for one in COMMANDS if one.program == PROGRAM]
TYPED = typed()
TARGETS = {
    word
    for line in re.findall(r"^\.PHONY:(.*)", (REPO / "Makefile").read_text(), re.MULTILINE)
    for word in line.split()
}
# Commands that need no host; each that a page shows is run below. The walks of these pages are run by tests of their own.
HOSTLESS = ("validate", "render", "schema", "init", "explain", "graph cluster")
WALKS = {"adding-a-component.md": "test_adding_a_component.py", "adding-a-version.md": "test_adding_a_version.py"}
# The others, each with the tests that run it, nearly all on real hosts. Those that only look are run there word by word.
ON_HOSTS = {
    "apply": "fleet/test_cluster.py",
    "backup": "fleet/test_restore.py",
    "bundle create": "fleet/test_offline.py",
    "bundle verify": "fleet/test_offline.py",
    "certs renew": "fleet/test_masters.py",
    "certs rotate": "fleet/test_masters.py",
    "certs status": "fleet/test_cluster.py",
    "graph plan": "fleet/test_cluster.py",
    "init": "contract/test_init.py",
    "keys recover": "fleet/test_keys.py",
    "lab down": "fleet/conftest.py",
    "lab ssh": "unit/lab/test_command_line.py",
    "lab status": "unit/lab/test_command_line.py",
    "lab up": "fleet/conftest.py",
    "plan": "fleet/test_cluster.py",
    "preflight": "fleet/test_cluster.py",
    "report": "fleet/test_cluster.py",
    "reset": "fleet/test_leaving.py",
    "restore": "fleet/test_restore.py",
    "rollback": "fleet/test_cluster.py",
    "status": "fleet/test_cluster.py",
    "test": "fleet/test_cluster.py",
    "verify": "fleet/test_cluster.py",
}


DONE: list[str] = []


@cache
def disarmed() -> Any:  # noqa: ANN401 - click's
    """The program with a stand-in in the place of what each command does."""
    root: Any = typer.main.get_command(app)
    waiting = [root]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        if not hasattr(command, "commands"):
            command.callback = lambda **_: DONE.append("a command")
    return root


def parsed(words: tuple[str, ...]) -> str:
    """What the program says against words of a command line; empty where it takes them. No command is run."""
    DONE.clear()
    try:
        disarmed().main([*words], prog_name=PROGRAM, standalone_mode=False)
    except Exception as error:  # noqa: BLE001 - click's own, wherever Typer has them
        said = str(getattr(error, "message", error))
        return "" if "does not exist" in said else f"{type(error).__name__}: {said}"
    return "" if DONE or {"--help", "--version"} & {*words} else "nothing is done"


@pytest.mark.parametrize("one", TYPED.values(), ids=str)
def test_what_is_shown_to_be_typed_is_parsed(one: Shown) -> None:
    assert parsed(one.words[1:]) == ""


@pytest.mark.parametrize("one", [one for one in OURS if not one.whole], ids=str)
def test_what_sentences_name_is_there(one: Shown) -> None:
    name, command = command_of(one.words[1:])
    assert not hasattr(command, "commands"), f"there is no command {' '.join(one.words)}"
    known = {opt for parameter in command.params for opt in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    before_dashes = one.words[: one.words.index("--")] if "--" in one.words else one.words
    assert {word for word in before_dashes if word.startswith("-")} <= known, name


@pytest.mark.parametrize("one", [one for one in COMMANDS if one.program == "make"], ids=str)
def test_targets_of_make_are_there(one: Shown) -> None:
    assert {word for word in one.words[1:] if "=" not in word} <= TARGETS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("plann -i cluster.yaml", "plann"),
        ("plan -i cluster.yaml --fulll", "--fulll"),
        ("plan -i", "-i"),
        ("plan", "MissingParameter"),
        ("apply -i cluster.yaml --drain-timeout soon", "integer"),
        ("certs rotate ca swap -i cluster.yaml", "swap"),
    ],
)
def test_a_command_that_does_not_exist_is_noticed(words: str, message: str) -> None:
    assert message in parsed(tuple(words.split()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader is: inventories beside each other, and the names that pages give them."""
    shutil.copytree(REPO / "inventories", tmp_path / "inventories")
    shutil.copy(REPO / "inventories/quick-start.yaml", tmp_path / "cluster.yaml")
    (tmp_path / "hosts.txt").write_text("10.0.0.11\n10.0.0.12\n10.0.0.13\n10.0.0.21\n")
    return tmp_path


def needs_no_host(one: Shown) -> bool:
    return command_of(one.words[1:])[0] in HOSTLESS and "--from-hosts" not in one.words and one.page.name not in WALKS


@pytest.mark.parametrize("one", [one for one in TYPED.values() if needs_no_host(one)], ids=str)
def test_what_needs_no_host_runs_as_it_is_shown(one: Shown, folder: Path) -> None:
    if one.words[1] == "init":
        (folder / "cluster.yaml").unlink()  # which it writes
    done = subprocess.run(
        [sys.executable, "-m", "k8s_installer", *one.words[1:]],
        cwd=folder, input=(folder / one.reads).read_text() if one.reads else "", capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(REPO)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("one", [one for one in TYPED.values() if not needs_no_host(one)], ids=str)
def test_everything_else_is_run_by_another_test(one: Shown) -> None:
    if one.page.name in WALKS:
        assert f'follow("{one.page.name}"' in (REPO / "tests/unit" / WALKS[one.page.name]).read_text()
        return
    name, _ = command_of(one.words[1:])
    assert name in ON_HOSTS, f"name the test that runs {name}"
    text = re.sub(r"[\"',]", " ", (REPO / "tests" / ON_HOSTS[name]).read_text())
    words = name.removeprefix("lab ") if ON_HOSTS[name].startswith("unit/lab") else name
    assert re.search(rf"(?<!\w){words.replace(' ', ' +')}\b", text), f"{ON_HOSTS[name]} does not run {name}"


def test_pages_that_are_written_by_the_program_are_checked_as_well() -> None:
    assert {path for path in files() if path.suffix == ".md"} <= {*PAGES}
