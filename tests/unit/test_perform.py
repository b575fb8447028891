from __future__ import annotations

import base64
import dataclasses
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from k8s_installer.host.evidence import END, ERRORS
from k8s_installer.host.perform import MARK, Account, Report, evidence, evidence_script, script
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import (
    Absent,
    Backup,
    File,
    Kind,
    Missing,
    Package,
    Ref,
    Resource,
    SeenFile,
    SeenUnit,
    Unit,
)
from k8s_installer.untrusted.answers import Malformed


def change(action: Action, kind: Kind, name: str, after: Resource) -> Change:
    return Change(Ref("m1", kind, name), action, "etcd", Missing.ABSENT, after, "a test")


def written(path: Path, content: bytes) -> Change:
    user, group = Path.home().owner(), Path.home().group()
    return change(Action.CREATE, Kind.FILE, str(path), File(content, 0o640, user, group))


def shell(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a host would, with the programs in `folder` before the machine's own."""
    environment = {
        "PATH": f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "K8S_INSTALLER_KEPT": f"{folder}/kept",
        "K8S_INSTALLER_INCOMING": f"{folder}/incoming",
    }
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
    text = script([(0, updated(target, b"new", seen(target)))]).replace(base64.b64encode(b"new").decode(), "AAAA")
    result = shell(text, tmp_path)
    assert (result.returncode, marks(result.stdout)) == (1, ["begin 0", "failed 0"])
    assert target.read_text() == "old"
    assert sorted([path.name for path in tmp_path.iterdir()]) == ["config", "running"]


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("old")
    program(tmp_path, "dd", 'cat >/dev/null; echo "dd: error writing: No space left on device" >&2; exit 1')
    result = shell(script([(0, updated(target, b"new", seen(target)))]), tmp_path)
    assert "No space left on device" in evidence(result.stdout)
    assert target.read_text() == "old"
    assert sorted([path.name for path in tmp_path.iterdir()]) == ["config", "dd", "running"]


def seen(path: Path, content: bytes | None = None) -> SeenFile:
    return SeenFile(hashlib.sha256(path.read_bytes()).hexdigest(), 0o640, path.owner(), path.group(), 0.0, content)


def updated(path: Path, content: bytes, before: SeenFile, action: Action = Action.UPDATE) -> Change:
    return dataclasses.replace(written(path, content), action=action, before=before)


def test_what_is_replaced_is_kept_by_its_sum_and_can_be_restored(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("old")
    before = seen(target)
    shell(script([(0, updated(target, b"new", before))]), tmp_path)
    assert (tmp_path / "kept" / before.sha256).read_text() == "old"
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700
    kept = Backup(before.sha256, 0o600, before.owner, before.group)
    back = dataclasses.replace(updated(target, b"", seen(target), Action.RESTORE), after=kept)
    result = shell(script([(0, back)]), tmp_path)
    assert marks(result.stdout) == ["begin 0", "done 0"]
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("old", 0o600)


def test_what_a_run_made_is_removed_and_kept(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("made")
    gone = dataclasses.replace(updated(target, b"", seen(target), Action.REMOVE), after=Absent())
    assert marks(shell(script([(0, gone)]), tmp_path).stdout) == ["begin 0", "done 0"]
    assert not target.exists()
    digest = hashlib.sha256(b"made").hexdigest()
    own = f"{digest}.{hashlib.sha256(str(target).encode()).hexdigest()}"
    kept = {path.name: path.read_text() for path in (tmp_path / "kept").iterdir()}
    assert kept == {digest: "made", own: "", "run.0": f"\n{digest}\n{own}\n"}
    assert marks(shell(script([(0, gone)]), tmp_path).stdout) == ["begin 0", "done 0"]


def test_a_file_that_has_changed_since_the_plan_stops_the_script_and_shows_the_difference(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("one\ntwo\n")
    before = seen(target, b"one\ntwo\n")
    target.write_text("one\nby hand\n")
    result = shell(script([(0, updated(target, b"new\n", before))]), tmp_path)
    assert marks(result.stdout) == ["begin 0", "failed 0"]
    assert f"the plan is stale: {target} has changed on the host" in result.stdout
    assert "-two\n+by hand\n" in result.stdout
    assert target.read_text() == "one\nby hand\n"
    secret = shell(script([(0, updated(target, b"new\n", dataclasses.replace(before, content=None)))]), tmp_path)
    assert "by hand" not in secret.stdout


def test_a_file_that_is_already_what_is_wanted_is_no_reason_to_stop(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("old")
    before = seen(target)
    target.write_text("new")
    assert marks(shell(script([(0, updated(target, b"new", before))]), tmp_path).stdout) == ["begin 0", "done 0"]


def test_a_file_that_should_not_be_there_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("somebody's")
    assert marks(shell(script([(0, written(target, b"new"))]), tmp_path).stdout) == ["begin 0", "failed 0"]
    assert target.read_text() == "somebody's"


@pytest.mark.parametrize("became", ["link", "folder"])
def test_a_file_that_became_something_else_since_the_plan_is_left_alone(tmp_path: Path, became: str) -> None:
    target = tmp_path / "config"
    target.write_text("old")
    before = seen(target)
    target.rename(tmp_path / "real")
    if became == "link":
        target.symlink_to("real")  # with the very bytes that the plan saw
    else:
        target.mkdir()
    result = shell(script([(0, updated(target, b"new", before))]), tmp_path)
    assert marks(result.stdout) == ["begin 0", "failed 0"]
    assert f"now: {'link' if became == 'link' else 'not a file'}" in result.stdout
    assert (target.is_symlink(), (tmp_path / "real").read_text()) == (became == "link", "old")


def test_a_rewrite_that_says_the_same_keeps_the_files_time(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("A=1")
    os.utime(target, (1000, 1000))
    shell(script([(0, updated(target, b"# one\nA=1", seen(target), Action.REWRITE))]), tmp_path)
    assert (target.read_text(), target.stat().st_mtime) == ("# one\nA=1", 1000)


def test_the_first_failure_ends_the_script(tmp_path: Path) -> None:
    program(tmp_path, "systemctl", '[ "$1" != restart ] || { echo "Job for $2 failed" >&2; exit 1; }')
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
    assert calls == ["enable etcd"] + ([] if action is Action.ENABLE else ["reset-failed etcd", "restart etcd"])


@pytest.mark.parametrize(
    ("active", "enabled", "calls"),
    [
        ("active", True, ["restart etcd"]),
        ("active", False, ["enable etcd", "reset-failed etcd", "restart etcd"]),
        ("failed", True, ["enable etcd", "reset-failed etcd", "restart etcd"]),
    ],
)
def test_a_unit_that_runs_and_is_enabled_is_restarted_and_no_more(
    tmp_path: Path, active: str, calls: list[str], *, enabled: bool
) -> None:
    program(tmp_path, "systemctl", f'echo "$*" >>{tmp_path}/calls')
    before = SeenUnit("loaded", active, "running", enabled, 812, 1.0, needs_reload=False)
    restart = dataclasses.replace(change(Action.RESTART, Kind.UNIT, "etcd", Unit("etcd")), before=before)
    shell(script([(0, restart)]), tmp_path)
    assert (tmp_path / "calls").read_text().splitlines() == calls


def test_neighbouring_packages_are_one_transaction(tmp_path: Path) -> None:
    program(tmp_path, "yum", f'echo "$*" >>{tmp_path}/calls')
    program(tmp_path, "rpm", '[ "$2" != docker ]')
    packages = [Package("etcd"), Package("kubernetes-master", "1.20.2"), Package("docker")]
    changes = [change(Action.INSTALL, Kind.PACKAGE, package.name, package) for package in packages]
    result = shell(script(list(enumerate(changes))), tmp_path)
    assert (tmp_path / "calls").read_text() == "-y -q install etcd kubernetes-master-1.20.2 docker\n"
    assert marks(result.stdout)[-1] == "failed 2"  # yum said nothing, and docker is not there


@pytest.mark.parametrize("log", ["yum.log", "dnf.rpm.log"])
def test_a_transaction_says_what_yum_has_done_so_far(tmp_path: Path, log: str) -> None:
    cache = tmp_path / "var" / "cache" / log.partition(".")[0]
    for folder in (cache, tmp_path / "var" / "log"):
        folder.mkdir(parents=True)
    (tmp_path / "var" / "log" / log).write_text("Nov 27 03:10:11 Installed: an older one\n")
    program(
        tmp_path, "yum",
        f"sleep 1.5; head -c 3000000 /dev/urandom >{cache}/etcd.rpm; sleep 1.5\n"
        f"for name in etcd docker; do echo Installed: $name >>{tmp_path}/var/log/{log}; done; sleep 1.5",
    )  # fmt: skip
    program(tmp_path, "rpm", ":")
    packages = [change(Action.INSTALL, Kind.PACKAGE, name, Package(name)) for name in ("etcd", "docker")]
    result = shell(f"K8S_INSTALLER_ROOT={tmp_path}\n{script(list(enumerate(packages)))}", tmp_path)
    assert marks(result.stdout) == [
        "begin 0", "begin 1", "part 0 0 MB downloaded", "part 0 2 MB downloaded", "part 0 packages installed: 2",
        "done 0", "done 1",
    ]  # fmt: skip
    assert result.stderr == ""


def test_what_goes_down_goes_down_first_and_all_at_once(tmp_path: Path) -> None:
    program(tmp_path, "yum", f'echo "$*" >>{tmp_path}/calls')
    program(tmp_path, "rpm", '[ "$2" != kubernetes-node-1.20.1 ]')
    steps = [
        (Action.INSTALL, Package("etcd")),
        (Action.DOWNGRADE, Package("docker", "2:1.13.1")),
        (Action.UPGRADE, Package("chrony", "3.4")),
        (Action.DOWNGRADE, Package("kubernetes-node", "1.20.1")),
    ]
    numbered = [(n, change(action, Kind.PACKAGE, one.name, one)) for n, (action, one) in enumerate(steps)]
    text = script(numbered)
    result = shell(text, tmp_path)
    assert marks(result.stdout) == ["begin 1", "begin 3", "failed 3"]  # nothing is installed beside it then
    program(tmp_path, "rpm", ":")
    result = shell(text, tmp_path)
    assert (tmp_path / "calls").read_text().splitlines()[1:] == [
        "-y -q downgrade docker-1.13.1 kubernetes-node-1.20.1",
        "-y -q install etcd chrony-3.4",
    ]
    assert marks(result.stdout)[-2:] == ["done 0", "done 2"]


def test_packages_of_one_repository_alone_are_asked_of_no_other(tmp_path: Path) -> None:
    program(tmp_path, "yum", f'printf "%s|" "$@" >>{tmp_path}/calls')
    program(tmp_path, "rpm", ":")
    package = Package("etcd", repo="k8s-installer-*")
    result = shell(script([(0, change(Action.INSTALL, Kind.PACKAGE, "etcd", package))]), tmp_path)
    assert (tmp_path / "calls").read_text() == "-y|-q|--disablerepo=*|--enablerepo=k8s-installer-*|install|etcd|"
    assert marks(result.stdout)[-1] == "done 0"


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
    again = dataclasses.replace(change(Action.ATTRIBUTES, Kind.FILE, str(target), owner), before=seen(target))
    shell(script([(0, again)]), tmp_path)
    after = target.stat()
    assert (after.st_mode & 0o777, after.st_ino, after.st_mtime_ns) == (0o600, before.st_ino, before.st_mtime_ns)


def test_secrets_are_in_no_argument(tmp_path: Path) -> None:
    """The key's bytes are an argument of the shell's own functions; only programs named here see arguments, and none of them is the key."""
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
    account = Account([12, 13])
    assert account.hear("begin 12") is None
    assert account.hear(f"{MARK} begin 12") == Report("begin", 12)
    assert account.hear(f"{MARK} begin 13") == Report("begin", 13)
    assert account.hear(f"{MARK} part 12 3 MB downloaded") == Report("part", 12, words="3 MB downloaded")
    assert account.hear(f"{MARK} part 12 {'x' * 999}") == Report("part", 12, words="x" * 200)
    assert account.hear(f"{MARK} done 12") == Report("done", 12)
    assert account.hear(f"{MARK} failed 13") == Report("failed", 13)
    assert (account.done, account.failed) == ({12}, 13)


@pytest.mark.parametrize(
    "line",
    [
        "done 3",  # not begun
        "begin 4",  # somebody else's
        "begin 2",  # twice
        "begin",
        "begin 2 3",
        "begin ²",
        "begin " + "9" * 5000,
        "begin -1",
        "uploaded 2",  # not a script's word
        "part 2",
        "part 3 some",  # not begun
        "done 2\r",
    ],
)
def test_a_report_that_a_script_would_not_make_is_malformed(line: str) -> None:
    account = Account([2, 3])
    account.hear(f"{MARK} begin 2")
    with pytest.raises(Malformed):
        account.hear(f"{MARK} {line}")


def test_what_a_log_says_behind_a_failure_is_no_report() -> None:
    account = Account([2, 3])
    account.hear(f"{MARK} begin 2")
    account.hear(f"{MARK} failed 2")
    assert account.hear(f"{MARK} begin 3") is None
    said = evidence(f"before\n{MARK} failed 2\nfirst\n{MARK} done 3\nlast\n")
    assert said == f"first\n{MARK} done 3\nlast"


def test_evidence_without_end_is_its_beginning_and_its_end() -> None:
    said = evidence(f"{MARK} failed 2\nfirst {'x' * 200_000} last\n")
    assert len(said) < 70_000
    assert said.startswith("first x")
    assert said.endswith("x last")


def test_evidence_is_all_output_where_nothing_was_marked() -> None:
    assert evidence("sh: not found\n") == "sh: not found"


def journal_of(tmp_path: Path, *words: str) -> list[str]:
    """The evidence of a unit with this journal: what is behind its status."""
    head = "Nov 26 04:11:45 n1 "
    (tmp_path / "journal").write_text("-- Logs begin at Thu --\n" + "".join(f"{head}{line}\n" for line in words))
    program(tmp_path, "systemctl", 'echo "status of $5"')
    program(tmp_path, "journalctl", f'echo "$*" >{tmp_path}/asked; cat {tmp_path}/journal')
    status, *rest = shell(evidence_script("kubelet"), tmp_path).stdout.splitlines()
    assert status == "status of kubelet"
    assert (tmp_path / "asked").read_text() == "--no-pager -n 20000 -u kubelet\n"
    return [line.removeprefix(head) for line in rest]


def test_evidence_of_a_unit_is_its_status_and_its_journal(tmp_path: Path) -> None:
    lines = [f"kubelet[7]: line {number}" for number in range(30)]
    assert journal_of(tmp_path, *lines) == [ERRORS, END, *lines[-20:]]


# What systemd 219 of CentOS 7 and 252 say around a restart that somebody asked for, and of a process that ends.
OLD = (
    ["systemd[1]: Stopping Kubernetes Kubelet Server...", "kubelet[7]: E1126 04:11:45.1 7 a.go:1] lost its lease"],
    ["systemd[1]: Stopped Kubernetes Kubelet Server.", "systemd[1]: Started Kubernetes Kubelet Server."],
    ["systemd[1]: Starting Kubernetes Kubelet Server..."],
    ["systemd[1]: kubelet.service: main process exited, code=exited, status=255/n/a"],
    [
        "systemd[1]: Unit kubelet.service entered failed state.", "systemd[1]: kubelet.service failed.",
        "systemd[1]: kubelet.service holdoff time over, scheduling restart.",
        "systemd[1]: Started Kubernetes Kubelet Server.", "systemd[1]: Starting Kubernetes Kubelet Server...",
    ],
)  # fmt: skip
NEW = (
    ["systemd[1]: Stopping kubelet.service - Kubelet...", "kubelet[7]: E1126 04:11:45.1 7 a.go:1] lost its lease"],
    ["systemd[1]: kubelet.service: Deactivated successfully.", "systemd[1]: Stopped kubelet.service - Kubelet."],
    ["systemd[1]: Started kubelet.service - Kubelet."],
    ["systemd[1]: kubelet.service: Main process exited, code=exited, status=255/EXCEPTION"],
    [
        "systemd[1]: kubelet.service: Failed with result 'exit-code'.",
        "systemd[1]: kubelet.service: Scheduled restart job, restart counter is at 1.",
        "systemd[1]: Stopped kubelet.service - Kubelet.", "systemd[1]: Started kubelet.service - Kubelet.",
    ],
)  # fmt: skip


@pytest.mark.parametrize("version", [OLD, NEW], ids=["219", "252"])
def test_errors_of_the_process_before_a_restart_are_no_evidence(tmp_path: Path, version: tuple[list[str], ...]) -> None:
    stopping, stopped, starting, exited, again = version
    first, second = (f"kubelet[{pid}]: F1126 04:11:45.1 {pid} a.go:1] no such flag" for pid in (8, 9))
    before = "kubelet[7]: E1126 04:11:45.1 7 a.go:1] Error: lost a container"
    found = journal_of(tmp_path, before, *stopping, *stopped, *starting, first, *exited, *again, second, *exited)
    assert found[: found.index(END)] == [ERRORS, first, second]
    assert before not in found
    assert not any("lost its lease" in line for line in found)
    # it had failed, and was started by somebody who did not have to stop it
    found = journal_of(tmp_path, before, *starting, first, *exited, *starting, second, *exited)
    assert found[: found.index(END)] == [ERRORS, second]


def test_what_a_process_ended_with_is_evidence_whatever_it_said_after(tmp_path: Path) -> None:
    fatal = "kubelet[8]: F1127 05:14:05.8 8 kubelet.go:1350] root container [kubepods] doesn't exist"
    left_out = "systemd-journald[44]: Suppressed 28743 messages from kubelet.service"
    errors = [f"kubelet[8]: E1127 05:14:06.{number} 8 a.go:1] later" for number in range(9)]
    found = journal_of(tmp_path, "kubelet[8]: F1127 05:14:02.1 8 a.go:1] before", fatal, left_out, *errors)
    assert found[: found.index(END)] == [ERRORS, fatal, left_out, *errors[-6:]]


@pytest.mark.parametrize(
    "words",
    [
        "Error: unknown flag: --x", "flag provided but not defined: -x", "flag needs an argument: --v",
        "unknown shorthand flag: 'x' in -x", 'invalid value "x" for flag -election-timeout: parse error',
        "bad flag syntax: ---x", "error verifying flags, 'x' is not a valid flag. See 'etcd --help'.",
        "unable to configure the Docker daemon with file /etc/docker/daemon.json: invalid character",
        "panic: runtime error", 'time="x" level=fatal msg="Error starting daemon: no device"',
        "E1126 04:11:45.1 7 a.go:1] no", "F1126 04:11:45.1 7 a.go:1] no",
    ],
)  # fmt: skip
def test_what_programs_say_of_a_start_that_fails_is_found_before_their_usage(tmp_path: Path, words: str) -> None:
    usage = [f"etcd[7]:   --flag-{number} 'x'" for number in range(200)]
    assert journal_of(tmp_path, f"etcd[7]: {words}", *usage)[1] == f"etcd[7]: {words}"


def test_another_yum_is_waited_for_and_named_when_it_does_not_end(tmp_path: Path) -> None:
    program(tmp_path, "yum", f"echo installed >>{tmp_path}/calls")
    program(tmp_path, "rpm", "exit 0")
    program(tmp_path, "sleep", f"echo slept >>{tmp_path}/calls; [ ! -e {tmp_path}/ends ] || rm {tmp_path}/run/yum.pid")
    (tmp_path / "run").mkdir()
    lock = tmp_path / "run" / "yum.pid"
    text = script([(3, change(Action.INSTALL, Kind.PACKAGE, "etcd", Package("etcd")))])
    text = text.replace("$root/var/run", f"{tmp_path}/run")

    lock.write_text(str(os.getpid()))  # no line's end, as yum writes it
    result = shell(text, tmp_path)
    waits = f"part 3 waiting for another yum (process {os.getpid()})"
    assert marks(result.stdout) == ["begin 3", waits, "failed 3"]
    assert evidence(result.stdout).startswith(f"yum is locked by process {os.getpid()} for 300 s: ")
    assert "python" in evidence(result.stdout)
    assert (tmp_path / "calls").read_text().split() == ["slept"] * 150

    (tmp_path / "calls").unlink()
    (tmp_path / "ends").touch()
    assert marks(shell(text, tmp_path).stdout) == ["begin 3", waits, "done 3"]
    lock.write_text("999999999")  # of a process that is gone
    assert marks(shell(text, tmp_path).stdout) == ["begin 3", "done 3"]
    assert (tmp_path / "calls").read_text().split() == ["slept", "installed", "installed"]
