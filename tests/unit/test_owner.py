from __future__ import annotations

import getpass
import os
import platform
import re
from pathlib import Path
from typing import Never

import pytest

from k8s_installer.engine.owner import Owner, is_dead, this_process


def test_a_process_is_named_by_user_machine_and_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "alice")
    monkeypatch.setattr(platform, "node", lambda: "laptop")
    me = this_process()
    assert re.fullmatch(r"alice@laptop/[0-9a-f]{6}", me.name)
    assert me.pid == os.getpid()


def test_a_user_or_a_boot_without_a_name_is_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Never:
        raise KeyError

    def nothing(*_: object, **__: object) -> Never:
        raise OSError

    monkeypatch.setattr(getpass, "getuser", nobody)
    monkeypatch.setattr(platform, "node", lambda: "")
    monkeypatch.setattr(Path, "read_text", nothing)
    assert this_process().name == f"uid-{os.getuid()}@unknown"


def test_only_a_process_beside_us_can_be_known_to_be_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    me = this_process()
    assert not is_dead(me, me)
    assert not is_dead(Owner("bob@desk/123456", 1 << 22), me)
    assert not is_dead(Owner("bob@desk", 1 << 22), Owner("bob@desk", 1))
    assert is_dead(Owner(me.name, (1 << 22) + 1), me)

    def refused(pid: int, number: int) -> Never:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    assert not is_dead(Owner(me.name, 1), me)
