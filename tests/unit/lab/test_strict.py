"""The wrappers of the hosts, run over their own table with a stand-in for the real program."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from k8s_installer.lab.artifacts import data_folder
from k8s_installer.lab.base import STRICT

HOST = data_folder() / "host"
TABLE = [line.split(None, 6) for line in (HOST / "refused").read_text().splitlines() if line and line[0] != "#"]
REFUSALS = [fields for fields in TABLE if fields[1] == "refuse"]


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "real").mkdir()
    for name in STRICT:
        (tmp_path / name).symlink_to(HOST / "strict")
        fake = tmp_path / "real" / name
        fake.write_text('#!/bin/sh\nprintf "%s\\n" "${0##*/}" "$@"\nexit 42\n')
        fake.chmod(0o755)
    for name in ("refused", "directives"):
        (tmp_path / name).symlink_to(HOST / name)
    (tmp_path / "units").mkdir()
    return tmp_path


def call(lab: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "LAB_STRICT": str(lab), "LAB_UNITS": str(lab / "units")}
    return subprocess.run([lab / words[0], *words[1:]], env=env, capture_output=True, text=True, check=False)


def example(program: str, verb: str, option: str, value: str) -> list[str]:
    """Return a command line that a row of the table refuses."""
    words = [program] if verb == "*" else [program, verb]
    if option != "-":
        words += [option] if value == "*" else [option, value]
    return [*words, "thing"]


@pytest.mark.parametrize("fields", REFUSALS, ids=[" ".join(fields[:5]) for fields in REFUSALS])
def test_every_row_of_the_table_refuses_in_the_old_programs_words(lab: Path, fields: list[str]) -> None:
    program, _, verb, option, value, status, message = fields
    done = call(lab, *example(program, verb, option, value))
    assert (done.returncode, done.stdout, done.stderr) == (int(status), "", f"{message}\n")


def test_every_program_of_the_table_is_wrapped() -> None:
    assert {fields[0] for fields in TABLE} == set(STRICT)


@pytest.mark.parametrize(
    "line",
    [
        "systemctl show -p ActiveState -p SubState etcd.service",
        "systemctl show --property=Id clean.service",
        "systemctl -p revert show etcd",
        "systemctl is-system-running",
        "systemctl --no-reload disable etcd.service",
        "systemctl list-units -o short --no-legend",
        "journalctl -u grep.service -n 20 --no-pager -o short-iso",
        "journalctl -uPg --since today",
        "curl --cacert ca -m 5 --retry 3 https://127.0.0.1:6443/healthz",
        "curl -sS -o --json http://x",
        "ip -4 -o addr show dev eth0",
        "ip route add 10.0.0.0/8 via 10.77.0.1 proto static",
        "yum -y -q --setopt=tsflags= --enablerepo=lab install docker",
        "yum -y install module",
        "yum --disablerepo * list installed",
        "tar -xzf --sort -C /",
        "openssl req -new -subj /CN=x -config f",
        "openssl x509 -noout -extfile f -enddate",
        "findmnt -n -o TARGET /",
        "systemctl start -- --value",
    ],
)
def test_what_centos_7_knows_reaches_the_real_program_unchanged(lab: Path, line: str) -> None:
    words = line.split()
    done = call(lab, *words)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (42, words, "")


@pytest.mark.parametrize(
    "words",
    [
        ["systemctl", "show", "--value", "-p", "Id", "x"],
        ["systemctl", "--value=yes", "show", "x"],
        ["systemctl", "show", "-qP", "Id", "x"],
        ["systemctl", "show", "-PId", "x"],
        ["journalctl", "-eg", "word"],
        ["journalctl", "-owith-unit"],
        ["journalctl", "--output=with-unit"],
        ["journalctl", "-u", "x", "-o", "with-unit"],
        ["systemctl", "--no-pager", "-t", "service", "revert", "x"],
        ["yum", "-y", "--setopt", "a=b", "module", "list"],
        ["curl", "-sSZ", "http://x"],
    ],
)
def test_other_spellings_are_refused_too(lab: Path, words: list[str]) -> None:
    done = call(lab, *words)
    assert done.returncode not in {0, 42}
    assert done.stdout == ""


def test_arguments_with_spaces_newlines_and_stars_arrive_whole(lab: Path) -> None:
    done = call(lab, "curl", "-d", "a b\n* c", "--data=--json x", "")
    assert done.stdout == "curl\n-d\na b\n* c\n--data=--json x\n\n"


@pytest.mark.parametrize(
    "line",
    [
        "StateDirectory=etcd",
        "RuntimeDirectoryPreserve=yes",
        "ProtectSystem=strict",
        "StandardOutput=append:/var/log/x",
        "Type=exec",
        "StartLimitIntervalSec=0",
        "ExecCondition=/bin/true",
        "ExecStartPre=+/bin/true",
        "ExecStart=-!/bin/true",
    ],
)
def test_a_reload_refuses_units_that_systemd_219_would_not_understand(lab: Path, line: str) -> None:
    drop_in = lab / "units/etcd.service.d/10.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(f"[Service]\n{line}\n")
    done = call(lab, "systemctl", "daemon-reload")
    assert done.returncode == 1
    assert line in done.stderr


def test_a_reload_accepts_units_that_systemd_219_understands(lab: Path) -> None:
    unit = lab / "units/etcd.service"
    unit.write_text("[Service]\nType=notify\nExecStart=-/bin/x --flag=+1\nProtectSystem=full\nStartLimitInterval=0\n")
    assert call(lab, "systemctl", "daemon-reload").returncode == 42


def test_an_unknown_module_fails_as_modprobe_does() -> None:
    done = subprocess.run([HOST / "modprobe", "no-such-module"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Module no-such-module not found." in done.stderr
