"""What a host keeps: by the real shell functions on real files."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from k8s_installer.host import observe, statedir
from k8s_installer.host.perform import evidence, script
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import Absent, Backup, Kind, Ref, SeenFile, SeenUnit, Unit
from tests.unit.test_observe import wanted
from tests.unit.test_perform import marks, program, seen, shell, updated


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def edit(target: Path, content: bytes) -> Change:
    return updated(target, content, seen(target))


def ran(folder: Path, run: str, *changes: Change) -> subprocess.CompletedProcess[str]:
    result = shell(script(list(enumerate(changes)), run), folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def kept(folder: Path) -> set[str]:
    return {path.read_text() for path in (folder / "kept").iterdir() if "." not in path.name}


def attributes(folder: Path) -> set[str]:
    """The sums of what is kept besides bytes."""
    found = [path for path in (folder / "kept").iterdir() if re.fullmatch("[0-9a-f]{64}[.][0-9a-f]{64}", path.name)]
    assert {path.stat().st_size for path in found} <= {0}
    return {path.stem for path in found}


def restored(target: Path, content: bytes, *readers: str) -> Change:
    old = seen(target)
    kept = Backup(digest(content), 0o640, old.owner, old.group)
    return dataclasses.replace(updated(target, b"", old, Action.RESTORE), after=kept, readers=readers)


def test_what_the_last_runs_replaced_stays_and_older_keys_go(tmp_path: Path) -> None:
    target = tmp_path / "key"
    target.write_text("key 0")
    count = statedir.RUNS_KEPT + 5
    for number in range(1, count + 1):
        ran(tmp_path, f"run-{number:02}", edit(target, f"key {number}".encode()))
        (tmp_path / f"kept/run.run-{number:02}").touch()
        os.utime(tmp_path / f"kept/run.run-{number:02}", (number, number))  # as if they were days apart
    assert kept(tmp_path) == {f"key {number}" for number in range(count - statedir.RUNS_KEPT, count)}
    assert attributes(tmp_path) == {digest(text.encode()) for text in kept(tmp_path)}


def test_what_an_older_run_and_a_newer_one_need_stays(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("old")
    ran(tmp_path, "0", edit(target, b"new"))
    for number in range(1, statedir.RUNS_KEPT + 1):
        ran(tmp_path, str(number), edit(target, [b"old", b"new"][number % 2 - 1]))
        os.utime(tmp_path / f"kept/run.{number}", (number, number))
    assert kept(tmp_path) == {"old", "new"}


def test_what_a_version_without_lists_has_kept_stays_as_long_as_that_of_the_oldest_run(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("0")
    (tmp_path / "kept").mkdir()
    for content in ("earlier", "much earlier"):
        (tmp_path / "kept" / digest(content.encode())).write_text(content)
    (tmp_path / "kept/new.4711").write_text("half a copy")
    for number in range(1, statedir.RUNS_KEPT):
        text = script([(0, edit(target, str(number).encode()))], str(number)).replace("\nprune\n", "\nprune all\n")
        result = shell(text, tmp_path)
        assert result.returncode == 0, result.stderr
        os.utime(tmp_path / f"kept/run.{number}", (number, number))
        os.utime(tmp_path / "kept/run.earlier", (0, 0))  # as if they were days apart
        assert kept(tmp_path) == {"earlier", "much earlier", *map(str, range(number))}
    ran(tmp_path, "last", edit(target, b"last"))
    assert kept(tmp_path) == set(map(str, range(statedir.RUNS_KEPT)))


def test_the_bytes_of_all_that_is_kept_are_bounded_but_a_run_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "kubelet"
    target.write_bytes(b"0" * 100_000)
    for number in range(1, 5):
        text = script([(0, edit(target, str(number).encode() * 100_000))], str(number))
        result = shell(text.replace("\nprune\n", "\nK8S_INSTALLER_MOST_KEPT=250; prune all\n"), tmp_path)
        assert result.returncode == 0, result.stderr
        os.utime(tmp_path / f"kept/run.{number}", (number, number))
    assert {text[0] for text in kept(tmp_path)} == {"2", "3"}
    result = shell(
        script([(0, edit(target, b"5"))], "5").replace("\nprune\n", "\nK8S_INSTALLER_MOST_KEPT=1; prune all\n"),
        tmp_path,
    )
    assert {text[0] for text in kept(tmp_path)} == {"4"}


def test_what_a_script_that_was_killed_left_is_cleared_away(tmp_path: Path) -> None:
    target = tmp_path / "key"
    target.write_text("old")
    (tmp_path / ".k8s-installer.AbCdEf").write_text("half a key")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/new.4711").write_text("half a copy")
    (tmp_path / "incoming").mkdir()
    for name, age in (("young", 0), ("stale", 8 * 86400)):
        (tmp_path / "incoming" / name).touch()
        os.utime(tmp_path / "incoming" / name, (tmp_path.stat().st_mtime - age,) * 2)
    text = script([(0, edit(target, b"new"))]).replace("\nprune\n", "\nprune all\n")
    assert marks(shell(text, tmp_path).stdout) == ["begin 0", "done 0"]
    assert not (tmp_path / ".k8s-installer.AbCdEf").exists()
    assert kept(tmp_path) == {"old"}
    assert [path.name for path in (tmp_path / "incoming").iterdir()] == ["young"]


def units(folder: Path, **started: float) -> None:
    """A systemctl whose units started so many seconds ago."""
    cases = "".join(f"{name}) ago={ago} ;; " for name, ago in started.items())
    body = f"""case $4 in {cases} esac
read -r up idle </proc/uptime
echo "ExecMainStartTimestampMonotonic=$((( ${{up%.*}} - ago ) * 1000000))" """
    program(folder, "systemctl", body)


@pytest.mark.parametrize("action", [Action.RESTORE, Action.REMOVE])
def test_a_change_without_a_time_marks_what_has_read_the_file_and_nothing_else(tmp_path: Path, action: Action) -> None:
    target = tmp_path / "config"
    target.write_text("old")
    os.utime(target, (1000, 1000))
    ran(tmp_path, "1", edit(target, b"new"))
    written = target.stat().st_mtime
    os.utime(target, (written - 60, written - 60))  # a minute ago
    units(tmp_path, restarted=30, never=3600)
    old = seen(target)
    after = Backup(digest(b"old"), 0o640, old.owner, old.group) if action is Action.RESTORE else Absent()
    back = dataclasses.replace(
        updated(target, b"", old, action), after=after, readers=("restarted", "never", "strange")
    )
    ran(tmp_path, "1", back)
    assert sorted(path.name for path in (tmp_path / "due").iterdir()) == ["restarted", "strange"]
    if action is Action.RESTORE:
        assert (target.read_text(), target.stat().st_mtime) == ("old", 1000)
    asked = [wanted(Kind.UNIT, name, Unit(name)) for name in ("restarted", "never")]
    text = f"export K8S_INSTALLER_KEPT={tmp_path}/kept\n{observe.script(asked)}"
    shown = "".join(
        f"Id={name}.service\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nMainPID=1\n"
        "ExecMainStartTimestampMonotonic=1\nNeedDaemonReload=no\n\n"
        for name in ("restarted", "never")
    )
    program(tmp_path, "systemctl", f"printf '%s' '{shown}'")
    found = observe.parse(shell(text, tmp_path).stdout, asked)
    due = [unit.due_at for unit in found.values() if isinstance(unit, SeenUnit)]
    assert (abs(due[0] - written) < 60, due[1]) == (True, 0.0)


def stand(folder: Path, name: str, started: float, boot: float = 0.0, *, reload: str = "no") -> SeenUnit:
    """How a unit is seen whose process started so many seconds ago on a host that booted so many seconds ago."""
    asked = [wanted(Kind.UNIT, name, Unit(name))]
    program(
        folder,
        "systemctl",
        f"""read -r up idle </proc/uptime
printf 'Id={name}.service\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nMainPID=1\n'
printf 'ExecMainStartTimestampMonotonic=%s\nNeedDaemonReload={reload}\n' "$((( ${{up%.*}} - {started:.0f} ) * 1000000))" """,
    )
    output = shell(f"export K8S_INSTALLER_KEPT={folder}/kept\n{observe.script(asked)}", folder).stdout
    if boot:
        output = re.sub(r"^(clock \S+) \S+$", rf"\1 {boot}", output, count=1, flags=re.MULTILINE)
    (found,) = observe.parse(output, asked).values()
    assert isinstance(found, SeenUnit)
    return found


def test_systemd_is_known_not_to_have_loaded_a_definition_that_came_back(tmp_path: Path) -> None:
    """Every unit that it defines is marked: also one that did not restart may do so by itself."""
    target = tmp_path / "etc/systemd/system/etcd.service.d/10-restart.conf"
    target.parent.mkdir(parents=True)
    target.write_text("old")
    os.utime(target, (1000, 1000))
    ran(tmp_path, "1", edit(target, b"new"))
    old = seen(target)
    back = dataclasses.replace(
        updated(target, b"", old, Action.RESTORE),
        after=Backup(digest(b"old"), 0o640, old.owner, old.group),
        readers=("etcd", "other"),
    )
    units(tmp_path, etcd=3600, other=3600)
    ran(tmp_path, "1", back)
    assert [path.name for path in (tmp_path / "due").iterdir()] == []
    assert sorted(path.name for path in (tmp_path / "reload").iterdir()) == ["etcd", "other"]
    marked = (tmp_path / "reload/etcd").stat().st_mtime
    for ago in (0, 600):  # seconds since the mark; it is looked at later, too
        os.utime(tmp_path / "reload/etcd", (marked - ago, marked - ago))
        unit = stand(tmp_path, "etcd", 3600)
        assert (unit.needs_reload, unit.due_at) == (True, 0.0)  # it runs by the one that is back
    unit = stand(tmp_path, "etcd", 60)
    assert unit.needs_reload
    assert unit.due_at > unit.started_at  # it was started by the one that is gone
    assert not stand(tmp_path, "etcd", 60, boot=300.0).needs_reload  # a boot has loaded everything
    assert not stand(tmp_path, "strange", 60).needs_reload
    assert stand(tmp_path, "strange", 60, reload="yes").needs_reload


def test_a_daemon_reload_takes_the_marks_away_and_what_had_started_meanwhile_is_due(tmp_path: Path) -> None:
    for name in ("early", "late"):
        (tmp_path / "reload").mkdir(exist_ok=True)
        (tmp_path / "reload" / name).touch()
        os.utime(tmp_path / "reload" / name, ((tmp_path / "reload").stat().st_mtime - 600,) * 2)
    units(tmp_path, early=3600, late=60)
    state = SeenUnit("loaded", "active", "running", True, 1, 1.0, needs_reload=True)
    ran(tmp_path, "1", Change(Ref("m1", Kind.UNIT, "early"), Action.RELOAD, "k", state, Unit("early"), "a test"))
    assert list((tmp_path / "reload").iterdir()) == []
    assert [path.name for path in (tmp_path / "due").iterdir()] == ["late"]


def test_a_mark_that_cannot_be_made_leaves_the_file_alone(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("made")
    (tmp_path / "due").write_text("in the way")
    gone = dataclasses.replace(updated(target, b"", seen(target), Action.REMOVE), after=Absent(), readers=("kubelet",))
    assert marks(shell(script([(0, gone)]), tmp_path).stdout) == ["begin 0", "failed 0"]
    assert target.read_text() == "made"


def test_a_restored_file_has_all_that_it_had(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("old")
    target.chmod(0o4755)
    os.utime(target, (1000, 1000))
    before = dataclasses.replace(seen(target), mode=0o4755)
    ran(tmp_path, "1", updated(target, b"new", before))
    back = dataclasses.replace(
        updated(target, b"", seen(target), Action.RESTORE),
        after=Backup(before.sha256, 0o4755, str(os.getuid()), str(os.getgid())),  # an owner without a name is a number
    )
    ran(tmp_path, "1", back)
    found = target.stat()
    assert (target.read_text(), found.st_mode & 0o7777, found.st_mtime) == ("old", 0o4755, 1000)
    ran(tmp_path, "1", back)  # typed again: it is there already
    (tmp_path / "kept" / before.sha256).unlink()
    target.write_text("new")
    result = shell(script([(0, back)]), tmp_path)
    assert marks(result.stdout) == ["begin 0", "failed 0"]
    assert before.sha256 in evidence(result.stdout)
    assert target.read_text() == "new"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_files_with_the_same_bytes_come_back_with_what_each_of_them_had(tmp_path: Path, order: tuple[int, int]) -> None:
    """As drop-ins of several units do. By the time of another one a restart would be lost, or one come for nothing."""
    files = [tmp_path / "a", tmp_path / "b's"]
    for number, file in enumerate(files):
        file.write_text("old")
        os.setxattr(file, f"user.site-{number}", b"yes")
        os.utime(file, (1000 + number, 1000 + number))
    for _ in range(2):  # typed again: what it has is kept under its path again
        ran(tmp_path, "1", *(edit(files[number], b"new") for number in order))
        assert kept(tmp_path) >= {"old"}
        ran(tmp_path, "2", *(restored(files[number], b"old") for number in order))
        assert [file.read_text() for file in files] == ["old", "old"]
        assert [file.stat().st_mtime for file in files] == [1000, 1001]
        assert [os.listxattr(file) for file in files] == [["user.site-0"], ["user.site-1"]]


def test_a_file_that_comes_back_with_the_same_settings_keeps_its_time_and_marks_nothing(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("A=1\n")
    os.utime(target, (1000, 1000))
    ran(tmp_path, "1", updated(target, b"# why\nA=1\n", seen(target), Action.REWRITE))
    os.utime(target, (2000, 2000))
    back = dataclasses.replace(restored(target, b"A=1\n"), action=Action.REWRITE)
    ran(tmp_path, "2", back)
    assert (target.read_text(), target.stat().st_mtime) == ("A=1\n", 2000)
    assert not (tmp_path / "due").exists()


def test_what_a_version_with_one_copy_for_all_paths_kept_comes_back(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("new")
    copy = tmp_path / "kept" / digest(b"old")
    copy.parent.mkdir()
    copy.write_text("old")
    os.utime(copy, (1000, 1000))
    ran(tmp_path, "1", restored(target, b"old"))
    assert (target.read_text(), target.stat().st_mtime) == ("old", 1000)


def test_a_list_that_was_cut_off_costs_nothing_that_another_one_names(tmp_path: Path) -> None:
    """By a full disk in the middle of a line: the same run, or the next one, continues after it."""
    target = tmp_path / "config"
    target.write_text("0")
    for number, run in enumerate(("1", "1", "2"), 1):
        text = script([(0, edit(target, str(number).encode()))], run).replace("\nprune\n", "\nprune all\n")
        result = shell(text, tmp_path)
        assert result.returncode == 0, result.stderr
        assert kept(tmp_path) == set(map(str, range(number)))
        assert attributes(tmp_path) == {digest(text.encode()) for text in kept(tmp_path)}
        with (tmp_path / "kept" / f"run.{run}").open("a") as torn:
            torn.write("abcdef")
        os.utime(tmp_path / "kept" / f"run.{run}", (number, number))


def test_a_script_waits_for_one_of_a_run_that_died_and_gives_up_with_its_number(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("old")
    program(tmp_path, "sleep", f"echo slept >>{tmp_path}/calls")
    stat = Path("/proc/self/stat").read_text()
    (tmp_path / "running").write_text(f"{os.getpid()} {stat.rpartition(') ')[2].split()[19]}\n")
    text = script([(0, edit(target, b"new"))])
    result = shell(text, tmp_path)
    assert marks(result.stdout) == ["begin 0", "failed 0"]
    assert f"still changing this host (process {os.getpid()})" in evidence(result.stdout)
    assert (tmp_path / "calls").read_text().split() == ["slept"] * statedir.ALONE_SECONDS
    looked = shell(f"{statedir.SETTLED}echo looked\n", tmp_path)
    assert (looked.returncode, looked.stdout) == (1, "")
    assert f"(process {os.getpid()})" in looked.stderr
    for stale in (f"{os.getpid()} 1\n", "999999999 5\n", "garbage\n", ""):  # another process has its number by now
        (tmp_path / "running").write_text(stale)
        assert shell(f"{statedir.SETTLED}echo looked\n", tmp_path).stdout == "looked\n"
    with subprocess.Popen(["true"]) as ended:  # nobody has reaped it: some hosts have no init that does
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        began = Path(f"/proc/{ended.pid}/stat").read_text().rpartition(") ")[2].split()[19]
        (tmp_path / "running").write_text(f"{ended.pid} {began}\n")
        assert shell(f"{statedir.SETTLED}echo looked\n", tmp_path).stdout == "looked\n"
    assert marks(shell(text, tmp_path).stdout) == ["begin 0", "done 0"]


SHELLS = [["/bin/sh", "-s"], *([["bash", "--posix", "-s"]] if shutil.which("bash") else [])]


@pytest.mark.parametrize("words", SHELLS, ids=lambda words: Path(words[0]).name)
def test_a_script_that_nobody_listens_to_any_more_does_what_it_began(tmp_path: Path, words: list[str]) -> None:
    """As sshd leaves it when the installer has died: both outputs are closed."""
    for name in ("a", "b"):
        (tmp_path / name).write_text("old")
    program(tmp_path, "systemctl", f'echo "$*" >>{tmp_path}/calls')
    running = SeenUnit("loaded", "active", "running", True, 1, 1.0, needs_reload=False)
    restart = dataclasses.replace(
        updated(tmp_path / "a", b"", seen(tmp_path / "a"), Action.RESTART),
        before=running, after=Unit("etcd"),
    )  # fmt: skip
    changes = [edit(tmp_path / "a", b"new"), dataclasses.replace(restart, ref=restart.ref._replace(name="etcd"))]
    changes.append(edit(tmp_path / "b", b"new"))
    out, ours = os.pipe()
    os.close(out)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "K8S_INSTALLER_KEPT": f"{tmp_path}/kept", "LC_ALL": "C"}
    text = script(list(enumerate(changes))).encode()
    done = subprocess.run(words, input=text, stdout=ours, stderr=ours, env=environment, check=False)
    os.close(ours)
    assert done.returncode == 0
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == ["new", "new"]
    assert (tmp_path / "calls").read_text() == "restart etcd\n"


def test_a_seen_file_of_an_unreadable_kind_is_stale_when_its_turn_comes(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("old")
    odd = SeenFile("", 0o640, "root", "root", 0.0)
    assert marks(shell(script([(0, updated(target, b"new", odd))]), tmp_path).stdout) == ["begin 0", "failed 0"]
