"""Errors as people read them."""

from __future__ import annotations

import io

from rich.console import Console, Group
from rich.text import Text

from k8s_installer.cli.console import print_group
from k8s_installer.errors import CommandFailed, HostError, HostsError, InstallerError, TransportError
from k8s_installer.report import errors


def shown(error: InstallerError) -> list[str]:
    return [line.plain for line in errors.lines(error)]


def refused(host: str, address: str) -> HostError:
    return TransportError(host, f"the host {address} (port 22) refuses connections", hint=f"log in to {host}\nor ask")


def test_an_error_is_what_is_wrong_and_what_to_do() -> None:
    assert shown(InstallerError("no\n  with more\nno again", hint="do this\nthen that")) == [
        "error: no", "  with more", "error: no again", "  do this", "  then that",
    ]  # fmt: skip


def test_the_same_error_of_many_hosts_is_one() -> None:
    many = HostsError([*(refused(f"n{number}", f"10.0.0.{number}") for number in range(1, 41)), refused("m1", "gate")])
    assert shown(many) == [
        "error: n1 to n40: the host <address> (port 22) refuses connections",
        "  log in to <name>",
        "  or ask",
        "error: m1: the host gate (port 22) refuses connections",
        "  log in to m1",
        "  or ask",
    ]
    assert "n7: the host 10.0.0.7 (port 22) refuses connections\n  log in to n7" in many.message
    assert (
        shown(HostsError([refused("n1", "10.0.0.1")]))[0]
        == "error: n1: the host 10.0.0.1 (port 22) refuses connections"
    )
    sudo = [
        CommandFailed(host, "sudo -n", 1, "", "sudo: a password is required", hint="set NOPASSWD")
        for host in ("n1", "n2")
    ]
    assert shown(HostsError(list(sudo))) == [
        "error: n1, n2: sudo -n: exit 1: sudo: a password is required",
        "  set NOPASSWD",
    ]


def test_lines_break_at_words_on_a_narrow_terminal_alone() -> None:
    words = "word " * 20
    for terminal in (True, False):
        console = Console(file=io.StringIO(), width=40, force_terminal=terminal, color_system=None)
        print_group(console, Group(Text(words.strip()), Text(), Group(Text("a\nb"))))
        assert isinstance(console.file, io.StringIO)
        lines = console.file.getvalue().splitlines()
        assert lines[-3:] == ["", "a", "b"]
        assert (len(lines) > 4) is terminal
        assert all(len(line) <= 40 for line in lines) is terminal
