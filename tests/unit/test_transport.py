from __future__ import annotations

import base64
import errno
import socket
from pathlib import Path

import pytest
from paramiko.ssh_exception import IncompatiblePeer, NoValidConnectionsError, SSHException

from k8s_installer.transport import connection
from k8s_installer.transport.hostkeys import HostKeyCheck, KnownHosts, KnownKey, entry_name, key_algorithms

BLOB = base64.b64encode(b"key").decode()
KEY = KnownKey("ssh-ed25519", b"key")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("10.0.0.1", True),
        ("node1,10.0.0.1", True),
        ("10.0.0.*", True),
        ("10.0.0.?", True),
        ("10.0.0.*,!10.0.0.1", False),
        ("!10.0.0.2,*", True),
        ("10.0.0.10", False),
        ("10.0.0", False),
        ("10x0y0z1", False),
        ("[10.0.0.1]:22", False),
        ("|1|c2FsdA==|c2FsdA==", False),
        ("|1|c2FsdA==", False),
        ("|1|*|*", False),
    ],
)
def test_names_of_a_known_hosts_file(names: str, found: bool) -> None:  # noqa: FBT001 - a table
    assert KnownHosts.parse(f"{names} ssh-ed25519 {BLOB} comment\n").keys("10.0.0.1") == ((KEY,) if found else ())


def test_lines_that_say_nothing_are_passed_over() -> None:
    text = (
        f"# 10.0.0.1 ssh-ed25519 {BLOB}\n\n10.0.0.1\n10.0.0.1 ssh-ed25519 %%%\n@cert-authority * ssh-ed25519 {BLOB}\n"
    )
    assert KnownHosts.parse(text).keys("10.0.0.1") == ()


def test_revoked_keys_are_marked() -> None:
    assert KnownHosts.parse(f"@revoked * ssh-ed25519 {BLOB}").keys("10.0.0.1") == (
        KnownKey("ssh-ed25519", b"key", revoked=True),
    )


def test_ports_other_than_ssh_are_part_of_the_name() -> None:
    assert entry_name("10.0.0.1", 22) == "10.0.0.1"
    assert entry_name("10.0.0.1", 2222) == "[10.0.0.1]:2222"
    assert KnownHosts.parse(f"[10.0.0.1]:2222 ssh-ed25519 {BLOB}").keys("[10.0.0.1]:2222") == (KEY,)


def test_a_host_is_asked_for_the_keys_we_know_first() -> None:
    offered = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
    assert key_algorithms((), offered) == offered
    assert key_algorithms((KnownKey("ssh-rsa"),), offered)[:2] == ("rsa-sha2-512", "rsa-sha2-256")
    assert key_algorithms((KnownKey("ecdsa-sha2-nistp256"), KnownKey("x", revoked=True)), offered)[0] == offered[1]
    assert sorted(key_algorithms((KnownKey("ssh-rsa"),), offered)) == sorted(offered)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoValidConnectionsError({("10.0.0.1", 22): OSError(errno.EHOSTUNREACH, "No route to host")}), "no route to"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no route to"),
        (NoValidConnectionsError({("10.0.0.1", 22): ConnectionRefusedError()}), "refuses connections"),
        (TimeoutError("timed out"), "no answer from"),
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved"),
        (ConnectionResetError(), "does not answer as an SSH server"),
        (EOFError(), "does not answer as an SSH server"),
        (SSHException("Error reading SSH protocol banner"), "does not answer as an SSH server"),
        (IncompatiblePeer("Incompatible ssh peer (no acceptable kex algorithm)"), "no SSH algorithm in common"),
        (SSHException("No authentication methods available"), "rejects centos"),
        (SSHException("Something else"), "cannot connect to the host 10.0.0.1 (port 22): Something else"),
        (SSHException(), "SSHException"),
    ],
)
def test_every_failure_to_connect_has_words_and_a_hint(error: Exception, words: str) -> None:
    hop = connection._Hop(
        "n1", "the host 10.0.0.1", "centos", "10.0.0.1", 22, None, 10.0, HostKeyCheck(
            "n1", "the host 10.0.0.1", "10.0.0.1", 22, Path("known_hosts"), accept_new=False
        ),
    )  # fmt: skip
    said = connection._explain(error, hop)
    assert said.message.startswith("n1: ")
    assert words in said.message
    assert said.hint
