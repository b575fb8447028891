"""What each parser of hosts' answers says to an answer that is none."""

from __future__ import annotations

import json

import pytest

from k8s_installer import preflight, status
from k8s_installer.errors import MalformedAnswer
from k8s_installer.host import gates, observe
from k8s_installer.model.resources import Check, Gate, SeenFile
from k8s_installer.untrusted.answers import Malformed
from tests.fuzz.hosts import CLUSTER, OBSERVED, PREFLIGHT, STANDING, WANTED
from tests.unit.example import CONFIG
from tests.unit.test_preflight import NEEDS


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("1700000100.500000000 100.25", "1e999 100.25", "the clock: '1e999'"),
        ("clock ", "o'clock ", "the clock: ''"),
        ("81a4", "rw-r--r--", "stat: 'rw-r--r-- root:domain users"),
        ("81a4", "ffffffffff", "stat: "),
        ("2049:131:2048:1700000000.000000000", "2049", "stat: "),
        ("aGVsbG8K", "aGVsbG8", f"the content of {CONFIG}: 'aGVsbG8'"),
        (" 1690000000\npackage", " yesterday\npackage", "rpm's time of install: 'yesterday'"),
        ("rpm kubernetes-master 1.20.2 2.el7.centos 1690000000", "rpm kubernetes-master", "rpm: 'kubernetes-master'"),
        ("setting off off swap", "setting off", "a setting: 'off'"),
        ("MainPID=812", f"MainPID={'9' * 5000}", "a unit's process: '9999"),
        ("MainPID=812\n", "", "systemctl show, without MainPID: ''"),
        ("Timestamp", "Timestamp\r", "systemctl show, without ExecMainStartTimestampMonotonic: ''"),
    ],
)
def test_a_look_at_a_host_that_is_none_is_malformed(old: str, new: str, words: str) -> None:
    with pytest.raises(Malformed) as caught:
        observe.parse(OBSERVED.replace(old, new), WANTED)
    assert str(caught.value).startswith(words)


def test_a_group_may_have_blanks_as_those_of_active_directory_have() -> None:
    seen = {ref.name: found for ref, found in observe.parse(OBSERVED, WANTED).items()}
    file = seen[CONFIG]
    assert isinstance(file, SeenFile)
    assert (file.owner, file.group, file.content) == ("root", "domain users", b"hello\n")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Mar  1 10:00:00 2026 - Sun", "Mar 31 10:00:00 0000 - Sun", "the time of a session: 'Mar 31 10:00:00 0000'"),
        ("gate 0 ok", f"gate {'9' * 5000} ok", "a gate's number: "),
        ("touched 1700000000.0000000000 ", "touched now ", "a file's mtime: 'now'"),
    ],
)
def test_a_status_that_is_none_is_malformed(old: str, new: str, words: str) -> None:
    with pytest.raises(Malformed) as caught:
        status.parse(STANDING.replace(old, new), WANTED)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("inet 10.77.0.11/24", "inet 10.77.0.11/240", "an address: '10.77.0.11/240'"),
        ("/dev/sda1 20970992 51215 20919777 1% /", "/dev/sda1", "a table: '/dev/sda1'"),
        ("40411420", "plenty", "df: 'plenty'"),
        ("*:6443 *:*", "*:https *:*", "a port: 'https'"),
        ("10.77.0.11 2379", "10.77.0.11 9999999999999999999", "a port: "),
        ("yum-status 0", "yum-status zero", "yum's status: 'zero'"),
        ("clock 1700000100.500000000", "clock", "the clock: "),
    ],
)
def test_a_preflight_that_is_none_is_malformed(old: str, new: str, words: str) -> None:
    with pytest.raises(Malformed) as caught:
        preflight.parse(PREFLIGHT.replace(old, new), 0.0)
    assert str(caught.value).startswith(words)


def test_a_malformed_preflight_is_a_finding_of_its_host() -> None:
    error = MalformedAnswer("n1", "the clock: 'x'")
    found = [item for item in preflight.assess(CLUSTER, NEEDS, {"n1": error}).findings if item.host == "n1"]
    assert [(item.id, item.evidence) for item in found] == [("incomplete", "its answer cannot be read: the clock: 'x'")]


@pytest.mark.parametrize("time", ["", "yesterday", 7, None, "0001-01-01T00:00:00+23:59"])
def test_a_lease_whose_time_is_none_is_held_by_nobody(time: object) -> None:
    lease = json.dumps({"spec": {"holderIdentity": "m1", "renewTime": time}})
    gate = Gate("https://127.0.0.1/lease", Check.LEASE_HELD, "kube-scheduler")
    assert not gates.judge(gate, f"{lease}\nstatus 200\nStarted=1\n").holds
