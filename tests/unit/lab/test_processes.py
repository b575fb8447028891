from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s_installer.lab import processes
from k8s_installer.lab.processes import Process


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_process_is_known_by_its_number_and_start(tmp_path: Path) -> None:
    folder = tmp_path / "42"
    folder.mkdir()
    # a name may hold spaces and parentheses
    folder.joinpath("stat").write_text("42 (a (b) c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 1\n")
    assert processes.identify(42, tmp_path) == Process(42, 98765)


def test_a_zombie_is_no_process(tmp_path: Path) -> None:
    folder = tmp_path / "42"
    folder.mkdir()
    folder.joinpath("stat").write_text("42 (x) Z 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 1\n")
    assert processes.identify(42, tmp_path) is None


def test_a_number_without_a_process_is_none(tmp_path: Path) -> None:
    assert processes.identify(42, tmp_path) is None


def test_a_process_that_took_over_the_number_is_never_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    found = processes.identify(sleeper.pid)
    assert found
    processes.kill([Process(found.pid, found.start - 1)])
    assert processes.alive(found)
    assert not processes.alive(Process(found.pid, found.start - 1))


def test_a_killed_process_is_waited_for(sleeper: subprocess.Popen[bytes]) -> None:
    found = processes.identify(sleeper.pid)
    assert found
    processes.kill([found])
    sleeper.wait()
    assert processes.wait_gone([found], 5) == []


def test_one_that_does_not_end_is_returned() -> None:
    me = processes.identify(os.getpid())
    assert me
    assert processes.wait_gone([me], 0.05) == [me]
