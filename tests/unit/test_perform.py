from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest

from k8s_installer.perform import MARK, Report, evidence, evidence_script, report, script
from k8s_installer.plan import Action, Change
from k8s_installer.resources import File, Kind, Missing, Package, Ref, Resource, Unit


def change(action: Action, kind: Kind, name: str, after: Resource) -> Change:
    return Change(Ref("m1", kind, name), action, "etcd", Missing.ABSENT, after, "a test")


def written(path: Path, content: bytes) -> Change:
    user, group = Path.home().owner(), Path.home().group()
    return change(Action.CREATE, Kind.FILE, str(path), File(content, 0o640, user, group))


def shell(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a host would, with the programs in `folder` before the machine's own."""
    environment = {"PATH": f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    return subprocess.run(["/bin/sh", "-s"], input=text, env=environment, capture_output=True, text=True, check=False)


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def marks(output: str) -> list[str]:
    return [line.removeprefix(f"{MARK} ") for line in output.splitlines() if line.startswith(MARK)]


def test_every_byte_arrives_with_its_mode(tmp_path: Path) -> None:
    content = bytes(range(256)) * 300 + b"$HOME `x` 'q' \\ BYTES\nBYTES\n"
    target = tmp_path / "etc" / "kubernetes" / "config"
    result = shell(script([(7, written(target, content))]), tmp_path)
    assert marks(result.stdout) == ["begin 7", "done 7"]
    assert target.read_bytes() == content
    assert target.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in target.parent.iterdir()] == ["config"]


def test_bytes_that_arrive_broken_never_reach_the_target(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("old")
    text = script([(0, written(target, b"new"))]).replace(base64.b64encode(b"new").decode(), "AAAA")
    result = shell(text, tmp_path)
    assert (result.returncode, marks(result.stdout)) == (1, ["begin 0", "failed 0"])
    assert target.read_text() == "old"
    assert sorted([path.name for path in tmp_path.iterdir()]) == ["config"]


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("old")
    program(tmp_path, "dd", 'cat >/dev/null; echo "dd: error writing: No space left on device" >&2; exit 1')
    result = shell(script([(0, written(target, b"new"))]), tmp_path)
    assert "No space left on device" in evidence(result.stdout)
    assert target.read_text() == "old"
    assert sorted([path.name for path in tmp_path.iterdir()]) == ["config", "dd"]


def test_the_first_failure_ends_the_script(tmp_path: Path) -> None:
    program(tmp_path, "systemctl", '[ "$1" != start ] || { echo "Job for $2 failed" >&2; exit 1; }')
    program(tmp_path, "journalctl", "echo 'etcd: Error: bad flag'; echo usage")
    unit = change(Action.START, Kind.UNIT, "etcd", Unit("etcd"))
    result = shell(
        script([(0, written(tmp_path / "a", b"a")), (1, unit), (2, written(tmp_path / "b", b"b"))]), tmp_path
    )
    assert marks(result.stdout) == ["begin 0", "done 0", "begin 1", "failed 1"]
    assert not (tmp_path / "b").exists()
    assert evidence(result.stdout).splitlines() == [
        "Job for etcd failed",
        "--- errors in its journal",
        "etcd: Error: bad flag",
        "--- end of its journal",
        "etcd: Error: bad flag",
        "usage",
    ]


@pytest.mark.parametrize("action", [Action.START, Action.RESTART, Action.ENABLE])
def test_a_unit_is_enabled_and_then_started(tmp_path: Path, action: Action) -> None:
    program(tmp_path, "systemctl", f'echo "$*" >>{tmp_path}/calls')
    shell(script([(0, change(action, Kind.UNIT, "etcd", Unit("etcd")))]), tmp_path)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["enable etcd"] + ([] if action is Action.ENABLE else ["reset-failed etcd", f"{action} etcd"])


def test_neighbouring_packages_are_one_transaction(tmp_path: Path) -> None:
    program(tmp_path, "yum", f'echo "$*" >>{tmp_path}/calls')
    program(tmp_path, "rpm", '[ "$2" != docker ]')
    packages = [Package("etcd"), Package("kubernetes-master", "1.20.2"), Package("docker")]
    changes = [change(Action.INSTALL, Kind.PACKAGE, package.name, package) for package in packages]
    result = shell(script(list(enumerate(changes))), tmp_path)
    assert (tmp_path / "calls").read_text() == "-y -q install etcd kubernetes-master-1.20.2 docker\n"
    assert marks(result.stdout)[-1] == "failed 2"  # yum said nothing, and docker is not there


def test_neighbouring_daemon_reloads_are_one(tmp_path: Path) -> None:
    program(tmp_path, "systemctl", f'echo "$*" >>{tmp_path}/calls')
    changes = [change(Action.RELOAD, Kind.UNIT, name, Unit(name)) for name in ("docker", "kubelet")]
    result = shell(script(list(enumerate(changes))), tmp_path)
    assert (tmp_path / "calls").read_text() == "daemon-reload\n"
    assert marks(result.stdout) == ["begin 0", "begin 1", "done 0", "done 1"]


def test_attributes_touch_no_byte(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("same")
    before = target.stat()
    owner = File(b"same", 0o600, target.owner(), target.group())
    shell(script([(0, change(Action.ATTRIBUTES, Kind.FILE, str(target), owner))]), tmp_path)
    after = target.stat()
    assert (after.st_mode & 0o777, after.st_ino, after.st_mtime_ns) == (0o600, before.st_ino, before.st_mtime_ns)


def test_secrets_are_in_no_argument(tmp_path: Path) -> None:
    """The key's bytes go by a heredoc; only programs named here see arguments, and none of them is the key."""
    secret = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n"
    for name in ("mktemp", "dd", "chown", "chmod", "mv", "sha256sum", "base64"):
        real = shutil.which(name)
        program(tmp_path, name, f'echo "{name} $*" >>{tmp_path}/calls\nexec {real} "$@"')
    shell(script([(0, written(tmp_path / "key", secret))]), tmp_path)
    calls = (tmp_path / "calls").read_text()
    assert (tmp_path / "key").read_bytes() == secret
    assert "mv" in calls
    assert "c2VjcmV0" not in calls
    assert base64.b64encode(secret).decode() not in calls


def test_reports_are_told_from_other_output() -> None:
    assert report(f"{MARK} done 12") == Report("done", 12)
    assert report("done 12") is None
    assert report(f"{MARK} done") is None


def test_evidence_is_all_output_where_nothing_was_marked() -> None:
    assert evidence("sh: not found\n") == "sh: not found"


def test_evidence_of_a_unit_is_its_status_and_journal(tmp_path: Path) -> None:
    program(tmp_path, "systemctl", 'echo "status of $5"')
    program(tmp_path, "journalctl", 'echo "journal $*"')
    result = shell(evidence_script("kubelet"), tmp_path)
    assert result.stdout.splitlines()[0] == "status of kubelet"
    assert result.stdout.splitlines()[-1] == "journal --no-pager -n 20 -u kubelet"
