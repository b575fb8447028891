from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import math
import os
import re
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rich.console import Console

from k8s_installer.engine.scheduler import apply
from k8s_installer.errors import HostError, TransportError
from k8s_installer.host.gates import GateAnswer, UnitState
from k8s_installer.host.observe import END
from k8s_installer.model.desired import Desired, DesiredResource
from k8s_installer.model.plan import Action
from k8s_installer.model.resources import Check, File, Gate, Kind, Missing, Package, Ref, Resource, SeenFile, Unit
from k8s_installer.report import status as report
from k8s_installer.status import (
    Certificate,
    ComponentStatus,
    HostStatus,
    Session,
    Status,
    assess,
    parse,
    script,
    seconds,
)
from tests.fakes import FakeHost
from tests.unit.example import CONFIG, DROP_IN, KEY, desired, hosts
from tests.unit.test_plan import converged, planned
from tests.unit.test_turns import closing, drained, running

DAY = 86400.0
NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC).timestamp()
DOWN = TransportError("n1", "no answer within 10 s", hint="see that the host is up")
FOLDER = "/etc/kubernetes"


def asked(wanted: Desired, host: FakeHost, **more: object) -> HostStatus:
    """What a fake host would have answered, with its clock at NOW."""
    own = [item for ref, item in wanted.items() if ref.host == host.name]
    answers = {item.ref: host.probe(item.resource) for item in own if isinstance(item.resource, Gate)}
    status = HostStatus(host.observe(own), answers, {}, (), NOW)
    return dataclasses.replace(status, **more)  # type: ignore[arg-type]


def judged(wanted: Desired, fleet: Mapping[str, FakeHost], **more: object) -> Status:
    return assess(wanted, {name: asked(wanted, host, **more) for name, host in fleet.items()})


def of(status: Status, host: str, component: str) -> ComponentStatus:
    return next(item for item in status.components if (item.host, item.component) == (host, component))


def shown(status: Status, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, soft_wrap=True)
    console.print(report.table(status, Path("c.yaml")))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row(status: Status, host: str, component: str) -> list[str]:
    """The cells of one line of the table, behind host and component."""
    rows = [re.split(r"  +", line.strip()) for line in shown(status).splitlines()]
    return next(cells[2:] for cells in rows if cells[:2] == [host, component])


def styled(status: Status) -> str:
    console = Console(file=io.StringIO(), width=200, soft_wrap=True, force_terminal=True, color_system="standard")
    console.print(report.table(status, Path("c.yaml")))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def differences(status: Status) -> list[str]:
    return [f"{found.ref}: {found.words}" for item in status.components for found in item.differences]


def edited(modified: float = 5000.0) -> dict[str, FakeHost]:
    """The example as applied, with a line of the config changed by hand."""
    fleet = converged()
    sha = File(b"KUBE_LOG_LEVEL=9\n").sha256
    fleet["m1"].files[CONFIG] = dataclasses.replace(fleet["m1"].files[CONFIG], sha256=sha, modified_at=modified)
    fleet["m1"].contents[CONFIG] = b"KUBE_LOG_LEVEL=9\n"
    return fleet


def certificate(days: float) -> bytes:
    """A certificate that ends so many days after NOW."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    end = dt.datetime.fromtimestamp(NOW, dt.UTC) + dt.timedelta(days=days)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, end - dt.timedelta(days=90), end)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def certified(content: bytes) -> tuple[Desired, dict[str, FakeHost]]:
    """The example with a certificate for a config, applied."""
    wanted, fleet = desired(config=File(content)), hosts()
    apply(planned(wanted, fleet), fleet, lambda event: None, threading.Event())
    return wanted, fleet


def test_an_unchanged_cluster_differs_in_nothing() -> None:
    status = judged(desired(), converged())
    assert not status.differs
    assert differences(status) == []
    assert of(status, "m1", CONFIG).files == (CONFIG,)
    lines = shown(status).splitlines()
    assert lines[0].split() == [
        "host",
        "component",
        "version",
        "state,",
        "since",
        "(UTC)",
        "files",
        "certificates",
        "health",
    ]
    assert row(status, "m1", "kube-apiserver") == ["1.20.2", "running 1970-01-01 00:16:44", "-", "-", "-"]
    assert row(status, "m1", CONFIG) == ["-", "-", "1/1", "-", "-"]
    assert row(status, "n1", "node n1 is ready") == ["-", "-", "-", "-", "ok"]
    assert lines[-1] == "Every host matches the inventory and is healthy."
    assert "\x1b[1;31m" not in styled(status)
    assert "\x1b[33m" not in styled(status)


def test_a_hand_edit_shows_when_and_by_whom() -> None:
    sessions = (
        Session("alice", "10.0.0.9", 4000.0, math.inf),
        Session("bob", "", 4990.0, 5010.0),
        Session("carol", "10.0.0.8", 5100.0, math.inf),
        Session("dave", "10.0.0.7", 100.0, 200.0),
    )
    status = judged(desired(), edited(), sessions=sessions, touched={CONFIG: (5000.0, 5000.5)})
    assert status.differs
    # the process has not read it yet
    stale = f"m1: unit kube-apiserver: {CONFIG} changed after it started"
    assert differences(status) == [f"m1: file {CONFIG}: the content differs", stale]
    assert of(status, "m1", CONFIG).out_of_line == (CONFIG,)
    text = shown(status)
    assert "0/1" in text
    assert "    modified at 1970-01-01 01:23:20 UTC, owned by root:root" in text
    assert "alice was logged in then from 10.0.0.9, since 1970-01-01 01:06:40 UTC, and still is" in text
    assert "bob was logged in then, since 1970-01-01 01:23:10 UTC, until 1970-01-01 01:23:30 UTC" in text
    assert "carol" not in text
    assert "dave" not in text
    assert "renamed" not in text
    assert "Next: k8s-installer plan -i c.yaml" in text


def test_a_file_with_an_older_time_than_its_inode_was_put_in_place() -> None:
    status = judged(desired(), edited(), touched={CONFIG: (5000.0, 9000.0)})
    assert "renamed, or its mode or owner changed, at 1970-01-01 02:30:00 UTC" in shown(status)


def test_what_no_plan_would_replace_is_shown_and_hides_nothing_else() -> None:
    fleet = edited()
    odd = dataclasses.replace(fleet["n1"].files[DROP_IN], sha256="", obstacle="is a symbolic link to /dev/null")
    fleet["n1"].files[DROP_IN] = odd
    status = judged(desired(), fleet)
    assert differences(status) == [
        f"m1: file {CONFIG}: the content differs",
        f"m1: unit kube-apiserver: {CONFIG} changed after it started",
        f"n1: file {DROP_IN}: is a symbolic link to /dev/null",
    ]


def test_a_mode_set_by_hand_is_dated_by_its_inode() -> None:
    fleet = converged()
    fleet["m1"].files[KEY] = dataclasses.replace(fleet["m1"].files[KEY], mode=0o644)
    somebody = (Session("alice", "", 8990.0, 9010.0),)
    status = judged(desired(), fleet, touched={KEY: (1000.0, 9000.0)}, sessions=somebody)
    assert differences(status) == [f"m1: file {KEY}: 0644 kube:kube instead of 0600 kube:kube"]
    text = shown(status)
    assert "mode or owner changed, at 1970-01-01 02:30:00 UTC" in text
    assert "alice was logged in then" in text
    assert "modified at" not in text


@pytest.mark.parametrize(("touched", "told"), [({FOLDER: (7000.0, 7000.0)}, True), ({}, False)])
def test_of_a_file_that_is_gone_its_folder_tells(touched: dict[str, tuple[float, float]], *, told: bool) -> None:
    fleet = converged()
    del fleet["m1"].files[CONFIG]
    status = judged(desired(), fleet, touched=touched)
    assert differences(status) == [f"m1: file {CONFIG}: missing"]
    assert ("something in its folder was created or removed at 1970-01-01 01:56:40 UTC" in shown(status)) is told


def test_a_process_older_than_its_file_is_stale() -> None:
    fleet = converged()
    fleet["m1"].files[CONFIG] = dataclasses.replace(fleet["m1"].files[CONFIG], modified_at=6000.0)
    status = judged(desired(), fleet)
    unit = of(status, "m1", "kube-apiserver").unit
    assert unit is not None
    assert unit.stale
    assert differences(status) == [f"m1: unit kube-apiserver: {CONFIG} changed after it started"]
    text = shown(status)
    assert "running 1970-01-01 00:16:44, stale" in text
    assert f"    {CONFIG}: modified at 1970-01-01 01:40:00 UTC, owned by root:root" in text


@pytest.mark.parametrize(
    "edit", [b"# why\nKUBE_LOG_LEVEL=0\n", b"KUBE_LOG_LEVEL=3\n"], ids=["says the same", "differs"]
)
def test_a_stale_process_is_shown_whatever_is_planned_for_its_file(edit: bytes) -> None:
    """The file on the host is newer than the process, and another one is wanted besides."""
    fleet = converged()
    wanted = desired(config=File(edit))
    fleet["m1"].files[CONFIG] = dataclasses.replace(fleet["m1"].files[CONFIG], modified_at=6000.0)
    restarts = [change for change in planned(wanted, fleet).changes if change.action is Action.RESTART]
    assert [change.ref.name for change in restarts] == ["kube-apiserver"]
    status = judged(wanted, fleet)
    unit = of(status, "m1", "kube-apiserver").unit
    assert unit is not None
    assert unit.stale
    assert f"m1: unit kube-apiserver: {CONFIG} changed after it started" in differences(status)


def test_a_process_that_only_follows_an_edit_is_not_stale() -> None:
    status = judged(desired(config=File(b"KUBE_LOG_LEVEL=3\n")), converged())
    unit = of(status, "m1", "kube-apiserver").unit
    assert unit is not None
    assert not unit.stale
    assert differences(status) == [f"m1: file {CONFIG}: the content differs"]


def test_a_process_older_than_its_package_alone_has_no_file_to_blame() -> None:
    ref = Ref("m1", Kind.UNIT, "scheduler")
    package = Ref("m1", Kind.PACKAGE, "kubernetes-master")
    wanted: Desired = {
        package: DesiredResource(package, Package("kubernetes-master"), "scheduler", (), ""),
        ref: DesiredResource(ref, Unit("scheduler", runs=("kubernetes-master",)), "scheduler", (package,), ""),
    }
    host = FakeHost("m1", brings={"kubernetes-master": ["scheduler"]})
    apply(planned(wanted, {"m1": host}), {"m1": host}, lambda event: None, threading.Event())
    host.packages["kubernetes-master"] = dataclasses.replace(host.packages["kubernetes-master"], installed_at=9000.0)
    found = of(judged(wanted, {"m1": host}), "m1", "scheduler").differences
    assert [(item.words, item.evidence) for item in found] == [("kubernetes-master changed after it started", None)]


def test_what_opens_a_turn_is_no_state_and_a_turn_left_open_is_shown() -> None:
    fleet, wanted = running(["n1"]), drained(["n1"])
    fleet["n1"].units["kubelet"] = dataclasses.replace(fleet["n1"].units["kubelet"], due_at=fleet["n1"].clock + 1)
    differences = of(judged(wanted, fleet), "n1", "kubelet").differences
    assert [(found.ref.name, found.action) for found in differences] == [("kubelet", Action.RESTART)]
    assert not of(judged(wanted, fleet), "m1", "kubelet").differences
    fleet["m1"].settings[closing("n1").name] = "off"
    differences = of(judged(wanted, fleet), "m1", "kubelet").differences
    assert [(found.ref, found.words) for found in differences] == [(closing("n1"), "off instead of on")]


@pytest.mark.parametrize(
    ("state", "cell", "words"),
    [
        ({"active": "failed", "sub": "failed"}, "failed (failed), last start 1970-01-01 00:16:44", "it is failed (failed)"),
        ({"active": "inactive", "sub": "dead", "started_at": 0.0}, "inactive (dead), last start never", "it is inactive (dead)"),
        ({"enabled": False}, "running 1970-01-01 00:16:44, not enabled", "it would not start after a reboot"),
        ({"needs_reload": True}, "running 1970-01-01 00:16:44", "the unit's definition changes"),
    ],
)  # fmt: skip
def test_a_unit_that_is_not_as_wanted(state: dict[str, object], cell: str, words: str) -> None:
    fleet = converged()
    fleet["n1"].units["kubelet"] = dataclasses.replace(fleet["n1"].units["kubelet"], **state)  # type: ignore[arg-type]
    status = judged(desired(), fleet)
    assert status.differs
    assert differences(status) == [f"n1: unit kubelet: {words}"]
    assert cell in shown(status)


def test_a_bare_host_lacks_everything_and_the_rest_is_counted() -> None:
    status = judged(desired(), hosts())
    text = shown(status)
    assert "not installed" in text
    assert "no such unit" in text
    assert "m1: package kubernetes-master: not installed" in differences(status)
    assert "n1: unit kubelet: no such unit yet" in differences(status)
    many = {
        ref: dataclasses.replace(item, component="all") for ref, item in desired(drop_in=File(b"[Service]\n")).items()
    }
    many |= {
        (ref := Ref("n1", Kind.FILE, f"/etc/{number}")): DesiredResource(ref, File(b""), "all", (), "")
        for number in range(7)
    }
    assert "n1: nothing is installed" in shown(judged(many, hosts()))
    fleet = hosts()
    fleet["n1"].files["/etc/0"] = SeenFile(File(b"").sha256, 0o644, "root", "root", 1.0, b"")
    assert "n1: all: 3 more" in shown(judged(many, fleet))


def test_another_version_is_one_difference_and_shows_where_it_runs() -> None:
    wanted = desired(master=Package("kubernetes-master", "1.20.3"))
    status = judged(wanted, converged())
    assert differences(status) == ["m1: package kubernetes-master: version 1.20.2 is installed, should be 1.20.3"]
    assert shown(status).count("1.20.2, not 1.20.3") == 2


def test_a_host_that_was_not_reached_is_unknown_and_never_absent() -> None:
    wanted, fleet = desired(), converged()
    status = assess(wanted, {"m1": asked(wanted, fleet["m1"]), "n1": DOWN})
    assert status.differs
    unit = of(status, "n1", "kubelet").unit
    assert unit is not None
    assert unit.found is Missing.UNKNOWN
    assert of(status, "n1", DROP_IN).out_of_line == ()
    assert of(status, "n1", DROP_IN).not_known == (DROP_IN,)
    text = shown(status)
    assert text.count("unreachable") == 1
    assert "n1: no answer within 10 s" in text
    assert "Next: see that the host is up" in text
    assert "missing" not in text
    assert "k8s-installer plan" not in text
    assert '"absent"' not in json.dumps(report.data(status))


def test_gates_of_a_host_that_was_not_reached_are_unknown_and_told_once() -> None:
    wanted, fleet = desired(), converged()
    down = HostError("m1", "the key is wrong")
    status = assess(wanted, {"m1": down, "n1": asked(wanted, fleet["n1"])})
    assert [health.holds for health in of(status, "n1", "node n1 is ready").health] == [None]
    text = shown(status)
    assert "m1: the key is wrong" in text
    assert "could not be asked" not in text
    assert next(line for line in text.splitlines() if "node n1" in line).endswith("unknown")


def test_a_host_that_nobody_asked_is_unknown_too() -> None:
    wanted = desired()
    assert assess(wanted, {}).differs
    text = shown(judged(wanted, {"m1": converged()["m1"]}))
    assert f"n1: file {DROP_IN}: unknown" in text
    assert row(judged(wanted, {"m1": converged()["m1"]}), "n1", "kubelet") == ["unknown", "unknown", "-", "-", "-"]
    assert "0/1" in text


def test_a_gate_that_does_not_hold_differs_though_there_is_nothing_to_plan() -> None:
    fleet = converged()
    fleet["m1"].refuses["kube-apiserver"] = "sick"
    status = judged(desired(), fleet)
    assert status.differs
    assert differences(status) == []
    text = shown(status)
    assert "m1: kube-apiserver is ready: failed: https://127.0.0.1:6443/readyz: no answer" in text
    assert "Next: journalctl -u kube-apiserver on m1" in text
    assert next(line for line in text.splitlines() if "kube-apiserver is ready" in line).endswith("bad")


def test_a_gate_without_an_answer_on_a_host_that_answered_is_said() -> None:
    wanted, fleet = desired(), converged()
    status = assess(wanted, {name: asked(wanted, host, answers={}) for name, host in fleet.items()})
    assert status.differs
    assert "m1: kube-apiserver is ready: unknown: m1 could not be reached" in shown(status)


@pytest.mark.parametrize(
    ("days", "differs", "cell", "words"),
    [
        (400.0, False, "400 d", ""),
        (29.5, False, "29 d", f"m1: {CONFIG}: it expires at 2026-03-31 00:00:00 UTC"),
        (-0.5, True, "expired", f"m1: {CONFIG}: it expired at 2026-03-01 00:00:00 UTC"),
    ],
)
def test_certificates_are_told_by_the_days_they_have_left(days: float, cell: str, words: str, *, differs: bool) -> None:
    status = judged(*certified(certificate(500.0) + certificate(days)))
    assert status.differs is differs
    assert row(status, "m1", CONFIG)[3] == cell
    assert words in shown(status)
    assert ("\x1b[33m" in styled(status)) is (days == 29.5)


@pytest.mark.parametrize(
    ("there", "expected"),
    [(certificate(3.5), 3), (b"-----BEGIN CERTIFICATE-----\nrubbish\n", None), (b"none\n", None)],
)
def test_of_a_certificate_that_was_exchanged_the_hosts_own_is_told(there: bytes, expected: int | None) -> None:
    wanted, fleet = certified(certificate(400.0))
    file = fleet["m1"].files[CONFIG]
    fleet["m1"].files[CONFIG] = dataclasses.replace(file, sha256=File(there).sha256)
    fleet["m1"].contents[CONFIG] = there
    found = of(judged(wanted, fleet), "m1", CONFIG).certificate
    assert (found and found.days) == expected


def test_json_has_everything_by_stable_names() -> None:
    sessions = (Session("alice", "", 4000.0, math.inf), Session("bob", "10.0.0.8", 4000.0, 6000.0))
    wanted = desired()
    data = report.data(judged(wanted, edited(), sessions=sessions, touched={CONFIG: (5000.0, 5000.5)}))
    assert data["differs"] is True
    listed = data["hosts"]
    assert isinstance(listed, list)
    parts = {part["name"]: part for host in listed for part in host["components"]}
    assert parts[CONFIG]["files"] == {"total": 1, "out_of_line": [CONFIG], "not_known": []}
    assert parts[CONFIG]["differences"] == [
        {
            "kind": "file", "name": CONFIG, "action": "update", "reason": "the content differs",
            "evidence": {
                "path": CONFIG, "modified": "1970-01-01T01:23:20+00:00", "changed": "1970-01-01T01:23:20+00:00",
                "owner": "root:root",
                "sessions": [
                    {"user": "alice", "origin": None, "began": "1970-01-01T01:06:40+00:00", "ended": None},
                    {"user": "bob", "origin": "10.0.0.8", "began": "1970-01-01T01:06:40+00:00",
                     "ended": "1970-01-01T01:40:00+00:00"},
                ],
            },
        }
    ]  # fmt: skip
    assert parts["kubelet"]["unit"] == {
        "name": "kubelet", "state": "present", "active": "active", "sub": "running",
        "since": "1970-01-01T00:16:44+00:00", "enabled": True, "stale": False,
    }  # fmt: skip
    assert parts["kubernetes-node"]["packages"] == [
        {"name": "kubernetes-node", "wanted": None, "found": "1.0", "state": "present"}
    ]
    assert parts["node n1 is ready"]["health"][0]["holds"] is True
    json.dumps(data)


def test_json_names_what_is_missing_and_when_a_certificate_ends() -> None:
    wanted, fleet = certified(certificate(10.0))
    part = next(
        part
        for host in report.data(judged(wanted, fleet))["hosts"]  # type: ignore[attr-defined]
        for part in host["components"]
        if part["name"] == CONFIG
    )
    assert part["certificate"] == {"path": CONFIG, "expires": "2026-03-11T12:00:00+00:00", "days": 10}
    text = json.dumps(report.data(judged(desired(), hosts())))
    assert '{"name": "kubelet", "state": "absent"}' in text


def test_nothing_secret_is_printed() -> None:
    wanted = desired(key=File(b"new secret\n", 0o600, "kube", "kube", secret=True))
    fleet = edited()
    fleet["m1"].contents[KEY] = b"old secret\n"
    status = judged(wanted, fleet)
    assert f"m1: file {KEY}: the content differs" in differences(status)
    for text in (shown(status), json.dumps(report.data(status)), repr(status)):
        assert "secret\n" not in text
        assert "secret\\n" not in text
        assert "KUBE_LOG_LEVEL" not in text


def item(kind: Kind, name: str, resource: Resource) -> DesiredResource:
    return DesiredResource(Ref("m1", kind, name), resource, "x", (), "a test")


def gate(name: str, body: str = "ok") -> DesiredResource:
    return item(Kind.GATE, name, Gate(f"http://127.0.0.1/{body}", Check.OK, "kubelet"))


PROGRAMS = {
    # prints its URL's last word, without a line's end, and then the line that -w asks for
    "curl": 'for url; do :; done; printf "%s\\nstatus 200\\n" "$(printf %b "${url##*/}")"',
    "systemctl": 'printf "ActiveState=active\\nMainPID=7\\n"',
    "last": 'test "$TZ" = UTC && test "$*" = "-F -w -i -n 50" && cat "$(dirname "$0")/wtmp"',
}
WTMP = """\
alice    pts/1        10.0.0.9         Sun Mar  1 11:00:00 2026   still logged in
bob      pts/0        fe80::1          Sat Feb 28 10:00:00 2026 - Sat Feb 28 11:30:05 2026  (01:30)
carol    tty1         0.0.0.0          Sat Feb 28 10:00:00 2026 - crash                     (1+02:03)
dave     pts/2        10.0.0.7         Sat Feb 28 10:00:00 2026   gone - no logout
reboot   system boot  0.0.0.0          Sat Feb 28 09:00:00 2026   still running

wtmp begins Sat Feb 28 09:00:00 2026
"""


def answered(wanted: list[DesiredResource], tmp_path: Path) -> str:
    """The real script under the real shell, with stand-ins for what this machine has no cluster for."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "wtmp").write_text(WTMP)
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-c", script(wanted)],  # with nothing on its stdin, as the transport runs it
        stdin=subprocess.DEVNULL, env={"PATH": path}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def test_one_script_asks_for_everything_and_every_answer_finds_its_question(tmp_path: Path) -> None:
    there, gone = tmp_path / "there", tmp_path / "gone"
    there.write_bytes(b"by hand\n")
    files = [item(Kind.FILE, str(path), File(b"wanted\n")) for path in (there, gone)]
    bodies = ["ok" if number % 2 else f"{number}\\ngate 1 ok\\nfile lies" for number in range(20)]
    wanted = [*files, *(gate(f"gate {number}", body) for number, body in enumerate(bodies))]
    status = parse(answered(wanted, tmp_path), wanted)
    assert [status.answers[found.ref].holds for found in wanted[2:]] == [body == "ok" for body in bodies]
    assert status.answers[wanted[2].ref].words.endswith("0 gate 1 ok file lies (status 200)")
    assert status.answers[wanted[3].ref] == GateAnswer(
        True, "http://127.0.0.1/ok: ok (status 200)", UnitState("active", 7)
    )
    assert status.seen[files[1].ref] is Missing.ABSENT
    stat = there.stat()
    assert status.touched[str(there)] == pytest.approx((stat.st_mtime, stat.st_ctime))
    assert set(status.touched) == {str(there), str(tmp_path)}
    assert status.clock == pytest.approx(dt.datetime.now(dt.UTC).timestamp(), abs=60)
    day = dt.datetime(2026, 2, 28, 10, tzinfo=dt.UTC).timestamp()
    assert status.sessions == (
        Session("alice", "10.0.0.9", day + DAY + 3600, math.inf),
        Session("bob", "fe80::1", day, day + 5405),
        Session("carol", "", day, day + DAY + 2 * 3600 + 180),
        Session("dave", "10.0.0.7", day, day),
    )


def test_the_script_of_a_host_without_files_or_gates_asks_for_neither() -> None:
    assert "find" not in script([])
    assert "curl" not in script([])
    assert (seconds([]), seconds([gate(str(number)) for number in range(17)])) == (60.0, 72.0)


def test_an_answer_that_was_cut_off_tells_nothing() -> None:
    wanted = [item(Kind.UNIT, "kubelet", Unit("kubelet")), gate("kubelet is healthy")]
    status = parse("gate 0 ok\ngate 0 status 200\nclock 1.0 1.0\n", wanted)
    assert status == HostStatus({wanted[0].ref: Missing.UNKNOWN}, {}, {}, (), 0.0)
    whole = parse(f"clock 1.0 1.0\n{END}\n", wanted)
    assert whole.answers == {}


def test_the_soonest_certificate_is_the_one_that_is_told() -> None:
    refs = [Ref("m1", Kind.FILE, f"/{days}") for days in (50, 20, 90)]
    wanted: Desired = {
        ref: DesiredResource(ref, File(certificate(float(ref.name[1:]) + 0.5)), "pki", (), "") for ref in refs
    }
    host = FakeHost("m1")
    apply(planned(wanted, {"m1": host}), {"m1": host}, lambda event: None, threading.Event())
    found = of(judged(wanted, {"m1": host}), "m1", "pki").certificate
    assert found == Certificate("/20", NOW + 20.5 * DAY, 20)
