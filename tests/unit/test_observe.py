from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from k8s_installer.host import observe
from k8s_installer.host.observe import END, HostCache, parse, remember, script
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.resources import (
    Absent,
    Backup,
    Data,
    File,
    Kind,
    Missing,
    Package,
    Ref,
    Resource,
    Seen,
    SeenFile,
    SeenPackage,
    SeenUnit,
    Unit,
    UploadedFile,
)
from k8s_installer.runs.cache import load, save

# Printed by CentOS 7.9's rpm 4.11 and systemd 219 in this form (the lab's strict wrappers keep to it).
ANSWERS = f"""\
clock 1700000100.500000000 100.25
rpm etcd 3.3.11 2.el7.centos 1690000000
package docker is not installed
units
Id=etcd.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
MainPID=812
ExecMainStartTimestampMonotonic=50250000
NeedDaemonReload=no

Id=docker.service
LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=
MainPID=0
ExecMainStartTimestampMonotonic=0
NeedDaemonReload=no

Id=kubelet.service
LoadState=loaded
ActiveState=inactive
SubState=dead
UnitFileState=disabled
MainPID=0
ExecMainStartTimestampMonotonic=0
NeedDaemonReload=yes
{END}
"""


def wanted(kind: Kind, name: str, resource: Resource) -> DesiredResource:
    return DesiredResource(Ref("m1", kind, name), resource, "etcd", (), "a test")


UNITS = [wanted(Kind.UNIT, name, Unit(name)) for name in ("etcd", "docker", "kubelet")]
PACKAGES = [wanted(Kind.PACKAGE, name, Package(name)) for name in ("etcd", "docker", "kubernetes")]


def test_units_are_present_absent_or_unknown() -> None:
    found = parse(ANSWERS, [*UNITS, wanted(Kind.UNIT, "flanneld", Unit("flanneld"))])
    assert list(found.values()) == [
        SeenUnit("loaded", "active", "running", True, 812, 1700000050.5, False),
        Missing.ABSENT,
        SeenUnit("loaded", "inactive", "dead", False, 0, 0.0, True),
        Missing.UNKNOWN,
    ]
    etcd, _, kubelet, _ = found.values()
    assert isinstance(etcd, SeenUnit)
    assert isinstance(kubelet, SeenUnit)
    assert etcd.started_at + etcd.age == kubelet.age  # by the host's clock


def test_a_package_that_rpm_did_not_answer_for_is_unknown_not_absent() -> None:
    found = parse(ANSWERS, PACKAGES)
    assert list(found.values()) == [
        SeenPackage("3.3.11", "2.el7.centos", 1690000000.0),
        Missing.ABSENT,
        Missing.UNKNOWN,
    ]


def test_an_epoch_is_seen_where_a_package_has_one() -> None:
    text = f"clock 1.0 1.0\nrpm docker 1.13.1 209.el7 5.0 2\nrpm etcd 3.3.11 2.el7 6.0 \n{END}\n"
    assert list(parse(text, [PACKAGES[1], PACKAGES[0]]).values()) == [
        SeenPackage("1.13.1", "209.el7", 5.0, "2"),
        SeenPackage("3.3.11", "2.el7", 6.0),
    ]


def test_a_script_that_was_cut_off_tells_nothing() -> None:
    assert set(parse(ANSWERS.replace(END, ""), [*UNITS, *PACKAGES]).values()) == {Missing.UNKNOWN}
    assert set(parse("", UNITS).values()) == {Missing.UNKNOWN}


def test_other_lines_of_rpm_are_no_answer() -> None:
    text = f"clock 1.0 1.0\npackage database is broken\n{END}\n"
    assert list(parse(text, PACKAGES[:1]).values()) == [Missing.UNKNOWN]


def test_nothing_wanted_is_a_question_all_the_same() -> None:
    assert parse(f"clock 1.0 1.0\n{END}\n", []) == {}
    assert script([]).endswith(f" {END}\n")


def test_packages_and_units_are_one_question_each() -> None:
    lines = script([*UNITS, *PACKAGES]).splitlines()
    asked = [line.partition("$(")[2] for line in lines if "=$(" in line and "clock" not in line]
    assert [line.split(" ")[:2] for line in asked] == [["stat", "-c"], ["rpm", "-q"], ["systemctl", "show"]]
    asked.pop(0)
    assert asked[0].endswith("etcd docker kubernetes 2>&1)")
    assert "etcd.service docker.service kubelet.service" in asked[1]


@pytest.mark.parametrize("openssl", ["there", "not there"])
def test_programs_are_compared_by_their_sums_alone(tmp_path: Path, openssl: str) -> None:
    """Large files beside a small one, with openssl and without; none of them is shown."""
    names = ("kubelet", "kube-proxy", "config")
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    questions = [
        wanted(Kind.FILE, str(tmp_path / name), UploadedFile(tmp_path, "0" * 64, 1)) for name in (*names[:2], "missing")
    ]
    questions += [wanted(Kind.FILE, str(tmp_path / "config"), File(b"another"))]
    for some in (questions, questions[:3]):
        text = script(some) if openssl == "there" else script(some).replace("openssl ", "no-such-program ")
        output = subprocess.run(["/bin/sh"], input=text, capture_output=True, text=True, check=True).stdout
        found = parse(output, some)
        assert found.pop(questions[2].ref) is Missing.ABSENT
        seen = [(Path(ref.name).name, file) for ref, file in found.items() if isinstance(file, SeenFile)]
        assert [(name, file.sha256) for name, file in seen] == [
            (name, hashlib.sha256(name.encode()).hexdigest()) for name, _ in seen
        ]
        assert {name: file.content for name, file in seen if file.content} == (
            {"config": b"config"} if len(some) > 3 else {}
        )


def test_files_are_seen_as_they_are(tmp_path: Path) -> None:
    """The real script on real files: same, different, secret, missing, a folder, a link, too large to show."""
    names = {"same": b"same\n", "other": b"hand-made\n", "secret": b"old key\n", "large": b"x" * 300_000}
    for name, content in names.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o640)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("same")
    questions = [
        wanted(Kind.FILE, str(tmp_path / name), File(b"same\n", secret=name == "secret"))
        for name in (*names, "missing", "folder", "link")
    ]
    output = subprocess.run(["/bin/sh"], input=script(questions), capture_output=True, text=True, check=True).stdout
    found = {Path(ref.name).name: seen for ref, seen in parse(output, questions).items()}

    def digest(name: str) -> str:
        return hashlib.sha256(names[name]).hexdigest()

    seen = {name: file for name, file in found.items() if isinstance(file, SeenFile)}
    assert found["missing"] is Missing.ABSENT
    assert {name: file.sha256 for name, file in seen.items()} == {
        "same": digest("same"), "other": digest("other"), "secret": digest("secret"), "large": digest("large"),
        "folder": "", "link": "",
    }  # fmt: skip
    assert {name: file.content for name, file in seen.items() if file.content is not None} == {"other": b"hand-made\n"}
    assert (seen["same"].mode, seen["same"].owner) == (0o640, (tmp_path / "same").owner())
    assert abs(seen["same"].modified_at - (tmp_path / "same").stat().st_mtime) < 1e-6


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make devices and give files away")
def test_what_could_not_be_put_back_says_why(tmp_path: Path) -> None:
    """The real script on what can stand in the place of a file; beside them what is no obstacle."""
    (tmp_path / "link").symlink_to("/etc/an other\n\x1bfile")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    os.mknod(tmp_path / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate((2 << 30) + 1)
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "old").write_text("old")
    os.chown(tmp_path / "old", 1234, 4321)
    (tmp_path / "linked").symlink_to("folder")
    names = ("link", "folder", "pipe", "device", "socket", "huge", "file/below/it", "old", "linked/new", "far/away")
    questions = [wanted(Kind.FILE, str(tmp_path / name), File(b"new", secret=name == "huge")) for name in names]
    gone = [wanted(Kind.FILE, str(tmp_path / name), Absent()) for name in ("file/gone", "link")]
    kept = [wanted(Kind.FILE, str(tmp_path / "new"), Backup("0" * 64, 0o644, "root", "root"))]
    text = script([*questions, *gone, *kept]).replace("sha256sum", "sum_but_huge")
    text = f'sum_but_huge() {{ for f; do case $f in */huge) ;; *) sha256sum "$f" ;; esac; done; }}\n{text}'
    output = subprocess.run(["/bin/sh"], input=text, capture_output=True, text=True, check=True).stdout
    found = {Path(ref.name).name: seen for ref, seen in parse(output, [*questions, *kept]).items()}
    assert {name: seen.obstacle for name, seen in found.items() if isinstance(seen, SeenFile)} == {
        "link": "is a symbolic link to /etc/an other??file",
        "folder": "is a folder",
        "pipe": "is a named pipe",
        "device": "is a device",
        "socket": "is a socket",
        "huge": "has 2048 MB, more than a rollback can keep",
        "it": f"is below {tmp_path}/file, which is not a folder",
        "old": "",
        "new": "cannot be restored: the host no longer keeps the old content",
    }
    assert found["away"] is Missing.ABSENT
    old = found["old"]
    assert isinstance(old, SeenFile)
    assert (old.owner, old.group) == ("1234", "4321")
    assert next(iter(parse(output, gone).values())) is Missing.ABSENT  # below what is no folder there is nothing


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file immutable")
def test_an_immutable_file_or_folder_is_an_obstacle(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("file", "same"):
        (tmp_path / name).write_text("same" if name == "same" else "old")
    locked = [tmp_path / "file", tmp_path / "same", tmp_path / "folder"]
    if subprocess.run(["chattr", "+i", *locked], capture_output=True, check=False).returncode != 0:
        pytest.skip("this file system has no attributes")
    try:
        names = ("file", "same", "folder/new")
        questions = [wanted(Kind.FILE, str(tmp_path / name), File(b"same")) for name in names]
        output = subprocess.run(["/bin/sh"], input=script(questions), capture_output=True, text=True, check=True).stdout
        found = [seen for seen in parse(output, questions).values() if isinstance(seen, SeenFile)]
        assert [bool(re.search("immutable", seen.obstacle)) for seen in found] == [True, False, True]
    finally:
        subprocess.run(["chattr", "-i", *locked], check=True)


class Machine:
    """The real script on real files, with programs that count how often they are asked, and for what."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.database = folder / "Packages"
        self.database.write_bytes(b"1")
        monkeypatch.setattr(observe, "RPM_DATABASES", (str(self.database),))
        monkeypatch.setattr(observe, "RPM_LOG", f"{self.database}-wal")
        monkeypatch.setattr(observe, "_RACY_SECONDS", -60.0)  # files of this moment count
        (folder / "bin").mkdir()
        for name, body in (
            ("sha256sum", f'echo "sum $*" >>{folder}/calls; exec /usr/bin/sha256sum "$@"'),
            ("rpm", f"echo rpm >>{folder}/calls; echo rpm etcd 3.3 1 5; echo package docker is not installed"),
        ):
            (folder / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
            (folder / "bin" / name).chmod(0o755)
        self.wanted = [wanted(Kind.PACKAGE, name, Package(name)) for name in ("etcd", "docker")]
        for name in ("a", "b"):
            (folder / name).write_bytes(name.encode())
            self.wanted.append(wanted(Kind.FILE, str(folder / name), File(name.encode())))

    def look(self, memory: HostCache) -> tuple[dict[Ref, Seen], HostCache, list[str]]:
        """What is seen, what is remembered of it, and what was asked for it."""
        calls = self.folder / "calls"
        calls.write_text("")
        done = subprocess.run(
            ["/bin/sh", "-c", script(self.wanted, memory)],
            env={"PATH": f"{self.folder}/bin:/usr/bin:/bin"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return parse(done.stdout, self.wanted), remember(done.stdout), calls.read_text().splitlines()


def test_what_is_as_it_was_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch)
    seen, memory, calls = machine.look(HostCache())
    assert calls == [f"sum {tmp_path}/a {tmp_path}/b", "rpm"]
    again, same, calls = machine.look(memory)
    assert (again, same, calls) == (seen, memory, [])


def test_a_file_that_changed_is_read_though_its_size_and_time_are_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, monkeypatch)
    _, memory, _ = machine.look(HostCache())
    path = tmp_path / "b"
    before = path.stat()
    path.write_bytes(b"B")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    seen, memory, calls = machine.look(memory)
    assert calls == [f"sum {path}"]
    found = seen[machine.wanted[3].ref]
    assert isinstance(found, SeenFile)
    assert (found.sha256, found.content) == (hashlib.sha256(b"B").hexdigest(), b"B")
    seen, _, calls = machine.look(memory)  # it differs from what is wanted: its content is asked for each time
    assert calls == [f"sum {path}"]
    assert seen[machine.wanted[3].ref] == found


def test_rpm_is_asked_when_its_database_is_another_or_another_package_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, monkeypatch)
    _, memory, _ = machine.look(HostCache())
    log = tmp_path / "Packages-wal"
    log.write_bytes(b"not yet in the database")
    assert machine.look(memory)[2] == ["rpm"]
    log.write_bytes(b"")  # rpm's own questions leave it so, with a new time
    assert machine.look(memory)[2] == []
    machine.database.write_bytes(b"2")
    assert machine.look(memory)[2] == ["rpm"]
    machine.wanted.append(wanted(Kind.PACKAGE, "flannel", Package("flannel")))
    assert machine.look(machine.look(memory)[1])[2] == ["rpm"]


def test_nothing_is_remembered_of_what_could_change_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch)
    monkeypatch.setattr(observe, "_RACY_SECONDS", 2.0)
    assert machine.look(HostCache())[1] == HostCache()
    assert remember("clock 1.0 1.0\nfile") == remember("") == HostCache()


def test_memory_is_kept_in_a_file_and_a_broken_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "state" / "seen.json"
    hosts = {"m1": HostCache({"/a": ("1:2:3:4.5", "ab")}, "file 81a4 root root 1 1:2:3:4.5 /db", ("rpm etcd 3.3 1 5",))}
    assert load(path) == {}
    save(path, hosts)
    assert load(path) == hosts
    assert path.stat().st_mode & 0o777 == 0o600
    for broken in (
        b"", b"[]", b'{"m1": {}}', b'{"m1": {"sums": {"/a": 1}, "database": "", "packages": []}}',
        b'{"m1": {"sums": {}, "database": "x", "packages": [1]}}', b'{"m1": {"sums": {}, "database": null, "packages": []}}',
        b'{"m1": {"sums": {}, "database": "\\ud800", "packages": []}}', b'{"m1": "\xff"}', b"[" * 100_000,
    ):  # fmt: skip
        path.write_bytes(broken)
        assert load(path) == {}
    (tmp_path / "file").write_text("")
    save(tmp_path / "file" / "seen.json", hosts)
    assert load(tmp_path / "file" / "seen.json") == {}


def test_data_is_there_when_its_log_has_a_segment(tmp_path: Path) -> None:
    """The real script: a log, an empty folder (a mount point, or a disk that is not mounted), and no folder."""
    for name in ("full log", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "full log/0000000000000000-0000000000000000.wal").touch()
    (tmp_path / "full log/0.tmp").touch()
    questions = [
        wanted(Kind.DATA, str(tmp_path / name), Data("etcd", "/etc/etcd/etcd.conf"))
        for name in ("full log", "empty", "none")
    ]
    output = subprocess.run(["/bin/sh"], input=script(questions), capture_output=True, text=True, check=True).stdout
    found = {Path(ref.name).name: seen for ref, seen in parse(output, questions).items()}
    assert isinstance(found.pop("full log"), SeenFile)
    assert found == {"empty": Missing.ABSENT, "none": Missing.ABSENT}
    cut = parse(output.removesuffix(f"{END}\n"), questions)
    assert set(cut.values()) == {Missing.UNKNOWN}


def test_what_is_to_come_back_is_shown_beside_what_is_there_unless_it_is_secret(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    questions = []
    for name, secret in (("config", False), ("key", True)):
        (tmp_path / name).write_text(f"new {name}")
        old = File(f"old {name}".encode())
        (tmp_path / "kept" / old.sha256).write_bytes(old.content)
        questions.append(wanted(Kind.FILE, str(tmp_path / name), Backup(old.sha256, 0o600, "root", "root", secret)))
    text = f"export K8S_INSTALLER_KEPT={tmp_path}/kept\n{script(questions)}"
    output = subprocess.run(["/bin/sh"], input=text, capture_output=True, text=True, check=True).stdout
    found = list(parse(output, questions).values())
    assert [(seen.content, seen.kept) for seen in found if isinstance(seen, SeenFile)] == [
        (b"new config", b"old config"), (None, None),
    ]  # fmt: skip
    assert base64.b64encode(b"new key").decode() not in output
