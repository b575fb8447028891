"""The shell that keeps a host's record and puts hosts back, run for real in a folder, with stand-ins for its programs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from k8s_installer.engine import lease
from k8s_installer.engine.owner import this_process
from k8s_installer.host import leftovers, observe, perform, placed, statedir
from k8s_installer.host.perform import evidence, script
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import (
    File,
    Kind,
    Leaves,
    Missing,
    NoLeftovers,
    NoPackage,
    Original,
    Package,
    Placed,
    Record,
    Ref,
    Resource,
    Seen,
    SeenFile,
    SeenLeftovers,
    SeenPackage,
    SeenRecord,
    SeenUnit,
    Unit,
)
from k8s_installer.planning import records
from k8s_installer.untrusted.answers import Malformed
from tests.unit.test_perform import marks, program

# rpm's database is a folder `rpms`: PACKAGE/files has paths with sums, PACKAGE/needs names of packages
RPM = r"""
db=$TEST/rpms
owner() { grep -lxF -e "$1" -r "$db" --include=paths 2>/dev/null | sed 's#/paths$##; s#.*/##'; }
case "$*" in
  "-qa "*) [ ! -e "$TEST/locked" ] || { echo 'rpmdb is locked' >&2; exit 1; }
    for one in "$db"/*/; do one=${one%/}; echo "package ${one##*/}"; done ;;
  "-e --test "*) shift 2
    for one; do
      for needs in "$db"/*/needs; do
        [ -f "$needs" ] && grep -qx "$one" "$needs" || continue
        by=${needs%/needs} by=${by##*/}
        case " $* " in *" $by "*) ;; *) echo "error: Failed dependencies:
	$one is needed by (installed) $by-1.0-1.el7.x86_64"; bad=1 ;; esac
      done
    done
    exit ${bad-0} ;;
  "-e "*) shift; echo "$*" >>"$TEST/erased"; [ "$1" != --noscripts ] || shift
    for one; do
      while read -r path sum; do
        if [ "$(sha256sum <"$path" | cut -c 1-64)" = "$sum" ]; then rm -f "$path"; else mv "$path" "$path.rpmsave"; fi
      done <"$db/$one/files"
      rm -r "$db/$one"
    done ;;
  "-q --qf %{INSTALLTID} "*) shift 3; for one; do echo "$(cat "$db/$one/tid" 2>/dev/null || echo 1) $one"; done ;;
  "-q --qf "*--whatprovides*) shift 4; [ -d "$db/$1" ] && echo "$1" ;;
  "-q --scripts "*) shift 2; for one; do cat "$db/$one/scripts" 2>/dev/null; done ;;
  "-ql "*) shift; for one; do cat "$db/$one/paths"; done ;;
  "-qf --qf "*) found=$(owner "$4"); [ -n "$found" ] && cat "$db/$found/files" ;;
  "-qf "*) [ -n "$(owner "$2")" ] ;;
  "-q "*) [ -d "$db/$2" ] ;;
  *) echo "rpm $*" >&2; exit 9 ;;
esac
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    for name in ("bin", "state", "rpms", "root"):
        (tmp_path / name).mkdir()
    program(tmp_path / "bin", "rpm", RPM)
    program(tmp_path / "bin", "systemctl", 'echo "$*" >>"$TEST/systemctl"')
    return tmp_path


def run(host: Path, text: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": f"{host}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "TEST": str(host),
        "K8S_INSTALLER_ROOT": f"{host}/root",
        "K8S_INSTALLER_KEPT": f"{host}/state/kept",
        "K8S_INSTALLER_INCOMING": f"{host}/state/incoming",
    }
    return subprocess.run(["/bin/sh", "-s"], input=text, env=environment, capture_output=True, text=True, check=False)


def functions(host: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Commands with the functions of a script that changes a host."""
    return run(host, script([]).removesuffix("prune\n") + text)


def record(host: Path) -> tuple[Placed, ...]:
    return placed.parse((host / "state/placed").read_text().splitlines())


def change(action: Action, kind: Kind, name: str, after: Resource, **more: object) -> Change:
    return Change(Ref("n1", kind, name), action, "kubelet", more.pop("before", Missing.ABSENT), after, "a test", **more)  # type: ignore[arg-type]


def installed(host: Path, name: str, *paths: Path, needs: str = "", write: bool = True) -> None:
    folder = host / "rpms" / name
    folder.mkdir()
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        if write:
            path.write_text(f"of {name}")
    digest = hashlib.sha256(f"of {name}".encode()).hexdigest()
    (folder / "paths").write_text("".join(f"{path}\n" for path in paths))
    (folder / "files").write_text("".join(f"{path} {digest}\n" for path in paths))
    if needs:
        (folder / "needs").write_text(f"{needs}\n")


def create(path: Path, content: bytes = b"ours\n", **entry: str) -> Change:
    user, group = Path.home().owner(), Path.home().group()
    before: Seen = Missing.ABSENT
    if path.exists():
        before = SeenFile(hashlib.sha256(path.read_bytes()).hexdigest(), 0o644, user, group, 0.0)
    entries = (Placed(Kind.FILE, str(path), "kubelet", **entry),)  # type: ignore[arg-type]
    return change(
        Action.CREATE, Kind.FILE, str(path), File(content, 0o640, user, group), records=entries, before=before
    )


def ours(kind: Kind, name: str) -> tuple[Placed, ...]:
    return (Placed(kind, name, "kubelet"),)


def leave(path: Path) -> Change:
    found = SeenFile(hashlib.sha256(path.read_bytes()).hexdigest(), 0o640, "me", "me", 0.0)
    return change(Action.REMOVE, Kind.FILE, str(path), Original(), before=found, forgets=ours(Kind.FILE, str(path)))


def done(host: Path, *changes: Change) -> None:
    result = run(host, script(list(enumerate(changes))))
    assert marks(result.stdout)[-1:] == [f"done {len(changes) - 1}"], result.stdout + result.stderr
    assert result.stderr == ""


# The record ----------------------------------------------------------------------------------------------------------


def test_the_last_line_about_a_name_counts_and_names_come_in_the_order_of_their_first(host: Path) -> None:
    lines = "for name in c b a b; do record file $name '{}'; done; forget file c; record file c '{}'; forget file a\n"
    assert functions(host, f"{lines}recorded file; recorded package").stdout.split() == ["c", "b"]
    assert functions(host, "rm $state/placed; recorded file").stdout == ""


def test_a_line_that_was_cut_off_spoils_no_other(host: Path) -> None:
    (host / "state/placed").write_text('+\tfile\t/a\t{"component":"kubelet"}\n+\tfile\t/b\t{"compon')
    functions(host, "record file /c '{}'; forget file /c; record file /d '{}'")
    assert [entry.name for entry in record(host)] == ["/a", "/d"]


def test_the_record_becomes_one_line_for_each_name_and_forgets_files_that_are_gone(host: Path) -> None:
    there = host / "there"
    there.touch()
    (host / "empty/below").mkdir(parents=True)
    (host / "used").mkdir()
    (host / "used/by somebody").touch()
    commands = f"""
record file {there} '{{"sha256":"1"}}'; record file {there} '{{"sha256":"2"}}'; record file /gone '{{}}'
record folder {host}/empty ''; record folder {host}/empty/below ''; record folder {host}/used ''; record folder /no ''
compact
"""
    assert functions(host, commands).stderr == ""
    lines = (host / "state/placed").read_text().splitlines()
    assert lines == [f'+\tfile\t{there}\t{{"sha256":"2"}}', f"+\tfolder\t{host}/used\t"]
    assert not (host / "empty").exists()
    assert (host / "state/placed").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_loses_nothing_of_the_record(host: Path) -> None:
    functions(host, f"record file {host}/bin/rpm '{{}}'")
    program(host / "bin", "dd", 'cat >/dev/null; echo "dd: No space left on device" >&2; exit 1')
    functions(host, "compact")
    assert [entry.name for entry in record(host)] == [f"{host}/bin/rpm"]


@pytest.mark.parametrize("awk", [*filter(shutil.which, ("mawk", "gawk")), "one that says nothing"])
def test_a_record_is_only_replaced_by_all_of_it(host: Path, awk: str) -> None:
    """The disk is full when it is written again: a limit on the size of files stands for that."""
    if " " in awk:
        program(host / "bin", "awk", f'[ -f /dev/stdout ] || exec {shutil.which("awk")} "$@"; echo "+" || :')
    else:
        (host / "bin/awk").symlink_to(shutil.which(awk) or "")
    lines = "".join(f'+\tunit\tunit-{number:04}\t{{"component":"kubelet"}}\n' for number in range(60))
    (host / "state/placed").write_text(lines)
    result = functions(host, "trap '' XFSZ; ulimit -f 2; compact; echo \"status $?\"")
    assert result.stdout == "status 1\n"
    assert (host / "state/placed").read_text() == lines
    assert not (host / "state/placed.new").exists()


def test_what_is_recorded_is_on_disk_before_anything_changes(host: Path) -> None:
    """By one flush for all files of a script: a power cut must not leave a file that no line is about."""
    program(
        host / "bin",
        "dd",
        f"""case $* in *state/placed*) echo "$(grep -c '^[+].file' {host}/state/placed) $(ls {host} | grep -c new)" """
        f""">>{host}/flushes;; esac; PATH=${{PATH#*:}} exec dd "$@\"""",
    )
    done(host, create(host / "new-1"), create(host / "new-2"))
    assert (host / "flushes").read_text() == "2 0\n"
    done(
        host, change(Action.START, Kind.UNIT, "kubelet", Unit("kubelet"), records=(Placed(Kind.UNIT, "kubelet", "k"),))
    )
    assert len((host / "flushes").read_text().splitlines()) == 2
    program(host / "bin", "yum", "mkdir $TEST/rpms/wget $TEST/rpms/libpsl")
    package = Placed(Kind.PACKAGE, "wget", "k")
    done(host, change(Action.INSTALL, Kind.PACKAGE, "wget", Package("wget"), records=(package,)))
    assert len((host / "flushes").read_text().splitlines()) == 4  # before, and of what came along


def test_a_record_is_compacted_when_something_has_left_or_most_of_its_lines_no_longer_count(host: Path) -> None:
    path = host / "config"
    for content in (b"1", b"2"):
        done(host, create(path, content))
    lines = (host / "state/placed").read_text()
    assert lines.count(f"+\tfile\t{path}\t") == 2
    (host / "state/placed").write_text(lines * (placed.CROWDED // 2))
    done(host, create(path, b"3"))
    assert len((host / "state/placed").read_text().splitlines()) == 1
    assert functions(host, "recorded file; recorded").stdout.count(str(path)) == 2


ENTRIES = (
    Placed(Kind.FILE, "/a b", "kubelet", "nodes", ("kubelet",), sha256="1" * 64, secret=True),
    Placed(Kind.UNIT, "docker", "docker", before="active enabled"),
    Placed(Kind.PACKAGE, "socat", "kubelet", came_with=("kubelet", "it's")),
    Placed(Kind.SETTING, "user kube", "host", before="absent"),
    Placed(Kind.LEFTOVERS, "kubelet", "kubelet", leaves=Leaves("kubelet", ("/var/f",), ("/var/f",), ("l",), ("-A x",), ("75",), ("u",))),
)  # fmt: skip


def a_minute_later(output: str) -> str:
    line = next(line for line in output.splitlines() if line.startswith("clock "))
    return output.replace(line, f"clock {float(line.split()[1]) + 60:.9f} {line.split()[2]}")


def test_what_is_written_is_read_back_and_the_second_look_takes_it_from_memory(host: Path) -> None:
    adopts = change(Action.ADOPT, Kind.RECORD, placed.NAME, Record(ENTRIES), records=ENTRIES)
    (host / "state/placed").write_text("".join(f"{placed.line(entry)}\n" for entry in ENTRIES[1:]))
    done(host, adopts)
    assert {entry.name: entry for entry in record(host)} == {entry.name: entry for entry in ENTRIES[1:]}
    os.utime(host / "state/placed", (1, 1))
    item = records.question("n1")
    now = run(host, observe.script([item])).stdout
    assert observe.parse(now, [item])[item.ref] == SeenRecord(record(host))
    # nobody can set a ctime: the file settles by itself
    memory = observe.remember(a_minute_later(now))
    again = run(host, observe.script([item], memory)).stdout
    assert "record same" in again
    assert "kubelet" not in again
    assert observe.parse(again, [item], memory)[item.ref] == SeenRecord(record(host))
    assert observe.remember(a_minute_later(again), memory) == memory
    functions(host, "record package wget '{}'")
    changed = run(host, observe.script([item], memory)).stdout
    assert observe.parse(changed, [item], memory)[item.ref] == SeenRecord(record(host))


def test_a_host_without_a_record_has_none(host: Path) -> None:
    item = records.question("n1")
    assert observe.parse(run(host, observe.script([item])).stdout, [item]) == {item.ref: Missing.ABSENT}


@pytest.mark.parametrize(
    "line",
    [
        "+\tfile\t/a\t[]", "+\tfile\t/a\t7", "+\tnothing\t/a\t{}", '+\tfile\t/a\t{"component":7}',
        '+\tfile\t/a\t{"units":[7]}', '+\tfile\t/a\t{"units":7}', '+\tleftovers\ta\t{"folders":[[]]}',
    ],
)  # fmt: skip
def test_nonsense_in_a_record_is_an_error_that_shows_it(line: str) -> None:
    with pytest.raises(Malformed, match="the record of what was placed"):
        placed.parse([line])


@pytest.mark.parametrize(
    "line", ["", "+", "+\tfile", "+\tfile\t/a", '+\tfile\t/a\t{"compo', "+\tfile\t/a\t" + "[" * 100_000, "-\tfile\t/b"]
)
def test_what_a_full_disk_has_cut_off_is_passed_over(line: str) -> None:
    assert placed.parse([line]) == ()


# Files ---------------------------------------------------------------------------------------------------------------


def test_a_file_leaves_with_the_folders_that_were_made_for_it(host: Path) -> None:
    path = host / "etc/kubernetes/pki/ca.crt"
    done(host, create(path))
    assert (host / "state/placed").read_text().count("folder") == 3
    (host / "etc/mine").touch()
    done(host, leave(path))
    assert not (host / "etc/kubernetes").exists()
    assert (host / "etc").is_dir()
    assert record(host) == ()


def test_what_was_there_before_comes_back_with_its_mode_and_time(host: Path) -> None:
    path = host / "config"
    path.write_text("mine\n")
    path.chmod(0o604)
    os.utime(path, (5, 5))
    done(host, create(path))
    done(host, create(path, b"ours, too\n"))
    assert path.read_text() == "ours, too\n"
    assert (host / "state/originals").stat().st_mode & 0o777 == 0o700
    done(host, leave(path))
    found = path.stat()
    assert (path.read_text(), found.st_mode & 0o777, found.st_mtime) == ("mine\n", 0o604, 5)
    assert [*(host / "state/originals").iterdir()] == []


def ahead(host: Path, path: Path, content: str = "") -> None:
    """A script fails at the first of two files: the line about the second is written, and the file is not."""
    (host / "blocked").touch()
    digest = hashlib.sha256(b"ours\n").hexdigest()
    changes = [create(host / "blocked/a", sha256=digest), create(path, sha256=digest)]
    assert marks(run(host, script(list(enumerate(changes)))).stdout) == ["begin 0", "failed 0"]
    assert str(path) in [entry.name for entry in record(host)]
    path.write_text(content)


def test_a_file_that_was_recorded_and_never_placed_stays_somebody_elses(host: Path) -> None:
    path = host / "motd"
    ahead(host, path, "theirs\n")
    result = run(host, script([(0, leave(path))]))
    assert "motd is somebody else's by now: it stays" in result.stdout
    assert (marks(result.stdout)[-1], result.stderr) == ("done 0", "")
    assert path.read_text() == "theirs\n"
    assert str(path) not in [entry.name for entry in record(host)]


def test_a_file_from_before_is_no_more_than_a_copy_beside_what_somebody_has_written_since(host: Path) -> None:
    path, old = host / "motd", host / "motd~"
    path.write_text("older\n")
    old.write_text("their own copy\n")
    ahead(host, path, "theirs\n")
    done(host, leave(path))
    assert (path.read_text(), (host / "state/originals").exists(), old.read_text()) == ("theirs\n", True, "older\n")
    assert (host / "motd~.~1~").read_text() == "their own copy\n"
    assert [*(host / "state/originals").iterdir()] == []


@pytest.mark.parametrize("content", ["ours\n", f"# {placed.RENDERED}x\nedited\n"])
def test_what_was_placed_leaves_by_its_sum_or_its_header(host: Path, content: str) -> None:
    path = host / "motd"
    ahead(host, path, content)
    functions(host, f'record file {path} \'{{"sha256":"0"}}\'')  # of a change that failed, too
    done(host, leave(path))
    assert not path.exists()


def test_a_file_of_a_package_stays_without_words(host: Path) -> None:
    path = host / "usr/motd"
    path.parent.mkdir()
    path.write_text("older\n")
    ahead(host, path)
    installed(host, "kubelet", path)
    done(host, leave(path))
    assert (path.read_text(), [*(host / "state/originals").iterdir()]) == ("of kubelet", [])
    assert [found.name for found in path.parent.iterdir()] == ["motd"]


def test_what_a_script_placed_that_this_one_waited_for_is_no_original(host: Path) -> None:
    path = host / "config"
    ours = create(path)
    other = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.5; echo ours >{path}; echo '{placed.line(ours.records[0])}' >{host}/state/placed"])  # fmt: skip
    began = Path(f"/proc/{other.pid}/stat").read_text().rpartition(") ")[2].split()[19]
    (host / "state/running").write_text(f"{other.pid} {began}\n")
    done(host, ours)
    assert other.wait() == 0
    assert not (host / "state/originals").exists()


def test_a_packages_own_file_stays_and_one_that_ours_kept_out_takes_its_place(host: Path) -> None:
    mine, new = host / "usr/a.conf", host / "usr/b.conf"
    installed(host, "kubelet", mine, new)
    new.rename(f"{new}.rpmnew")
    functions(host, f"record file {mine} '{{}}'; record file {new} '{{}}'; echo ours >{new}; compact")
    done(host, leave(mine), leave(new))
    assert [mine.read_text(), new.read_text()] == ["of kubelet", "of kubelet"]
    assert not Path(f"{new}.rpmnew").exists()


def test_what_has_left_by_other_hands_is_taken_out_of_the_record_with_its_original(host: Path) -> None:
    path = host / "config"
    path.write_text("mine\n")
    done(host, create(path))
    path.write_text("mine\n")
    gone = (*ours(Kind.FILE, str(path)), *ours(Kind.PACKAGE, "socat"))
    functions(host, "record package socat '{}'")
    done(host, change(Action.ADOPT, Kind.RECORD, placed.NAME, Record((), gone), forgets=gone))
    assert (record(host), path.read_text(), [*(host / "state/originals").iterdir()]) == ((), "mine\n", [])


# Packages ------------------------------------------------------------------------------------------------------------


def test_folders_that_are_there_are_nobody_elses_but_their_owners(host: Path) -> None:
    (host / "old").mkdir()
    leaves = Leaves("kubelet", (f"{host}/old", f"{host}/new", f"{host}/newer"), chains=("KUBE-.+",))
    functions(host, placed.noted([Placed(Kind.LEFTOVERS, "kubelet", "kubelet", leaves=leaves)]))
    found = record(host)[0].leaves
    assert found is not None
    assert (found.folders, found.chains) == ((f"{host}/new", f"{host}/newer"), ("KUBE-.+",))


def test_rules_that_are_there_are_somebody_elses_as_folders_are(host: Path) -> None:
    tables(host)
    there, new = "-A POSTROUTING -s [0-9./]+ ! -d [0-9./]+ -j MASQUERADE", "-A POSTROUTING -j MIN"
    functions(host, placed.noted([Placed(Kind.LEFTOVERS, "docker", "docker", leaves=LEAVES)]))
    more = Leaves("kubelet", chains=("KUBE-.+",), rules=(there, new))
    functions(host, placed.noted([Placed(Kind.LEFTOVERS, "kubelet", "kubelet", leaves=more)]))
    assert [(entry.leaves.chains, entry.leaves.rules) for entry in record(host) if entry.leaves] == [
        (LEAVES.chains, ()),
        (("KUBE-.+",), (new,)),
    ]


def install(*names: str) -> list[Change]:
    return [
        change(Action.INSTALL, Kind.PACKAGE, name, Package(name), records=(Placed(Kind.PACKAGE, name, "kubelet"),))
        for name in names
    ]


def test_what_yum_brings_besides_is_recorded_with_what_was_asked_for(host: Path) -> None:
    installed(host, "bash")
    program(host / "bin", "cut", 'echo root; [ ! -e "$TEST/rpms/socat" ] || echo kube')
    makes = "echo useradd -r kube >$TEST/rpms/kubelet/scripts"
    program(host / "bin", "yum", f'mkdir "$TEST/rpms/kubelet" "$TEST/rpms/socat"; {makes}')
    done(host, *install("kubelet"))
    assert record(host) == (
        Placed(Kind.PACKAGE, "kubelet", "kubelet"),
        Placed(Kind.PACKAGE, "socat", "kubelet", came_with=("kubelet",)),
        Placed(Kind.SETTING, "user kube", "kubelet", before="absent", came_with=("kubelet",)),
    )


def test_a_transaction_that_breaks_off_has_recorded_what_it_brought(host: Path) -> None:
    program(host / "bin", "yum", 'mkdir "$TEST/rpms/socat"; echo "no more mirrors to try"; exit 1')
    result = run(host, script(list(enumerate(install("kubelet")))))
    assert "no more mirrors" in evidence(result.stdout)
    assert [entry.name for entry in record(host)] == ["kubelet", "socat"]


def test_a_power_cut_while_yum_runs_forgets_nothing_of_what_it_brought(host: Path) -> None:
    kill = 'read -r script start <"$TEST/state/running"; kill -9 "$script"'
    program(host / "bin", "yum", f'mkdir "$TEST/rpms/kubelet" "$TEST/rpms/socat"; {kill}')
    result = run(host, script(list(enumerate(install("kubelet")))))
    assert marks(result.stdout) == ["begin 0"]
    assert [entry.name for entry in record(host)] == ["kubelet"]
    installed(host, "htop")  # by an administrator, in a later transaction
    (host / "rpms/htop/tid").write_text("2")
    done(host, create(host / "config"))
    assert [entry.name for entry in record(host)] == ["kubelet", "socat", f"{host}/config"]
    assert record(host)[1].came_with == ("kubelet",)
    assert not (host / "state/installing").exists()


def test_nothing_is_installed_while_rpm_cannot_say_what_was_there_before(host: Path) -> None:
    installed(host, "bash")
    (host / "locked").touch()
    program(host / "bin", "yum", 'rm "$TEST/locked"; mkdir "$TEST/rpms/kubelet"')
    result = run(host, script(list(enumerate(install("kubelet")))))
    assert marks(result.stdout) == ["begin 0", "failed 0"]
    assert "rpmdb is locked" in evidence(result.stdout)
    assert not (host / "rpms/kubelet").exists()


def uninstall(*names: str, in_use: bool = False) -> list[Change]:
    return [
        change(Action.UNINSTALL, Kind.PACKAGE, name, NoPackage(in_use), forgets=ours(Kind.PACKAGE, name))
        for name in names
    ]


def test_a_package_that_another_one_needs_stays(host: Path) -> None:
    installed(host, "kubelet", host / "usr/libexec/kubelet/run")
    installed(host, "socat", host / "usr/bin/socat")
    installed(host, "nmap", host / "usr/bin/nmap", needs="socat")
    functions(host, "record package kubelet '{}'; record package socat '{}'")
    done(host, *uninstall("kubelet", "socat"))
    assert sorted(path.name for path in (host / "rpms").iterdir()) == ["nmap", "socat"]
    assert not (host / "usr/libexec").exists()  # no package has these folders
    assert (host / "usr/bin/socat").exists()
    assert record(host) == ()


def test_a_package_that_cannot_go_says_why(host: Path) -> None:
    result = run(host, script(list(enumerate(uninstall("kubelet")))))
    assert marks(result.stdout) == ["begin 0", "failed 0"]


def test_only_scripts_of_packages_that_nobody_replaces_are_run(host: Path) -> None:
    for name in ("kubelet", "docker"):
        installed(host, name, host / f"usr/bin/{name}")
    run(host, script(list(enumerate([*uninstall("kubelet"), *uninstall("docker", in_use=True)]))))
    assert (host / "erased").read_text().splitlines() == ["--noscripts docker", "kubelet"]


def test_a_file_of_ours_that_stays_survives_the_package_that_brought_it(host: Path) -> None:
    path = host / "usr/kubelet.conf"
    installed(host, "kubelet", path)
    done(host, create(path))
    path.chmod(0o604)
    done(host, *uninstall("kubelet", in_use=True))
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("ours\n", 0o604)
    assert [found.name for found in path.parent.iterdir()] == ["kubelet.conf"]
    assert [*(host / "state/originals").iterdir()] == []  # what the package had is nobody's any more
    done(host, leave(path))
    assert not (host / "usr").exists()


# Units and leftovers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "unit", "calls"),
    [
        (Action.STOP, Unit("kubelet", active=False, enabled=False), ["stop kubelet", "disable kubelet"]),
        (Action.STOP, Unit("kubelet", active=False), ["stop kubelet"]),
        (Action.DISABLE, Unit("kubelet", enabled=False), ["disable kubelet"]),
    ],
)
def test_a_unit_is_stopped_and_forgotten(host: Path, action: Action, unit: Unit, calls: list[str]) -> None:
    before = SeenUnit("loaded", "active", "running", enabled=True, pid=1, started_at=1.0, needs_reload=False)
    functions(host, "record unit kubelet '{}'")
    done(host, change(action, Kind.UNIT, "kubelet", unit, before=before, forgets=ours(Kind.UNIT, "kubelet")))
    assert (host / "systemctl").read_text().splitlines() == [*calls, "reset-failed kubelet"]
    assert record(host) == ()


def test_a_unit_that_cannot_be_stopped_stays_in_the_record(host: Path) -> None:
    program(host / "bin", "systemctl", '[ "$1" != stop ] || { echo "Access denied" >&2; exit 1; }')
    functions(host, f"record unit kubelet {shlex.quote(chr(123) + chr(125))}")
    stop = change(
        Action.STOP,
        Kind.UNIT,
        "kubelet",
        Unit("kubelet", active=False, enabled=False),
        forgets=ours(Kind.UNIT, "kubelet"),
    )
    result = run(host, script([(0, stop)]))
    assert "Access denied" in evidence(result.stdout)
    assert [entry.name for entry in record(host)] == ["kubelet"]


def test_systemd_forgets_a_definition_that_left(host: Path) -> None:
    path = host / "etc/systemd/system/kubelet.service"
    done(host, create(path))
    done(host, leave(path))
    assert (host / "systemctl").read_text().splitlines()[-1] == "daemon-reload"


RULES = r"""
*nat
:PREROUTING ACCEPT [9:540]
:POSTROUTING ACCEPT [9:540]
:DOCKER - [0:0]
:DOCKER-MINE - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-NPX46M4PTMTKRN6Y - [0:0]
:MINE - [0:0]
:NOT-KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A PREROUTING -m comment --comment "as \" -j KUBE-SERVICES" -j ACCEPT
-A PREROUTING -j NOT-KUBE-SERVICES
-A POSTROUTING -s 10.0.0.0/16 ! -d 10.0.0.0/16 -j MASQUERADE
-A POSTROUTING -s 10.0.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 10.0.0.0/16 ! -o docker0 -p tcp -j MASQUERADE
-A POSTROUTING -o docker0 -j MINE
-A DOCKER -i docker0 -j RETURN
-A DOCKER-MINE -d 10.0.0.9/32 -g DOCKER
-A KUBE-SERVICES -d 10.254.0.1/32 -j KUBE-SVC-NPX46M4PTMTKRN6Y
-A KUBE-SVC-NPX46M4PTMTKRN6Y -j DNAT --to-destination 10.0.0.1:6443
COMMIT
*filter
:FORWARD ACCEPT [0:0]
:MINE - [0:0]
-A FORWARD -i docker0 -j MINE
COMMIT
""".lstrip()
LEAVES = Leaves(
    "kubelet",
    chains=("DOCKER(-USER)?", "KUBE-.+"),
    rules=(
        "-A POSTROUTING -s 10.0.0.0/16 ! -d 10.0.0.0/16 -j MASQUERADE",
        "-A POSTROUTING -s [0-9.]+/16 ! -o docker0 -j MASQUERADE( --random-fully)?",
    ),
)
# As iptables-restore does it, of which the contract tests run the real one.
RESTORE = r"""
[ "$*" != --help ] || { [ -e "$TEST/old" ] || echo ' [ --wait=<seconds>' >&2; exit 1; }
[ "$*" = "$([ -e "$TEST/old" ] || echo '-w 60 ')--noflush" ] || { echo "iptables-restore $*" >&2; exit 2; }
now() { "$@" "$TEST/rules" >"$TEST/new"; mv "$TEST/new" "$TEST/rules"; }
while read -r word rest; do
  case $word in
    -D) grep -qxF -e "-A $rest" "$TEST/rules" || exit 1; now grep -vxF -e "-A $rest" ;;
    -F) now grep -v "^-A $rest " ;;
    -X) ! grep -qE " (-j|-g) $rest( |\$)" "$TEST/rules" || exit 1; now grep -v "^:$rest " ;;
  esac
done
"""


def seen(host: Path, leaves: Leaves) -> SeenLeftovers:
    item = DesiredResource(Ref("n1", Kind.LEFTOVERS, leaves.name), NoLeftovers(leaves), "kubelet", (), "a test")
    result = run(host, observe.script([item]))
    found = observe.parse(result.stdout, [item])[item.ref]
    assert isinstance(found, SeenLeftovers), result.stderr
    return found


def asked(host: Path, leaves: Leaves) -> tuple[str, ...]:
    return seen(host, leaves).names


def test_data_that_stays_has_its_owners_and_data_that_goes_or_is_not_there_has_none(host: Path) -> None:
    (host / "root/proc").mkdir()
    data = host / "data"
    data.mkdir()
    leaves = Leaves("etcd", data=(str(data), str(host / "none")))
    item = DesiredResource(Ref("n1", Kind.LEFTOVERS, "etcd"), NoLeftovers(leaves), "etcd", (), "a test")
    going = replace(item, resource=NoLeftovers(replace(leaves, folders=leaves.data)))

    def owners(item: DesiredResource) -> tuple[str, ...]:
        found = observe.parse(run(host, observe.script([item])).stdout, [item])[item.ref]
        assert isinstance(found, SeenLeftovers)
        return found.owners

    assert owners(item) == ()
    (data / "wal").touch()
    assert owners(item) == tuple(dict.fromkeys([data.owner(), data.group()]))
    assert owners(going) == ()


def clean(leaves: Leaves) -> Change:
    return change(
        Action.CLEAN, Kind.LEFTOVERS, leaves.name, NoLeftovers(leaves), forgets=ours(Kind.LEFTOVERS, leaves.name)
    )


def tables(host: Path) -> None:
    (host / "rules").write_text(RULES)
    program(host / "bin", "iptables-save", 'cat "$TEST/rules"')
    program(host / "bin", "iptables-restore", RESTORE)
    program(host / "bin", "ip6tables-save", "echo 'no IPv6' >&2; exit 1")
    program(host / "bin", "ip6tables-restore", 'echo "$*" >>"$TEST/wrong"')
    (host / "root/proc").mkdir()
    (host / "root/proc/mounts").touch()


@pytest.mark.parametrize("iptables", ["old", "new"])
def test_chains_of_programs_leave_with_the_jumps_to_them_and_other_peoples_rules_stay(
    host: Path, iptables: str
) -> None:
    tables(host)
    (host / iptables).touch()
    assert asked(host, LEAVES) == ("rules of iptables",)
    (host / "meanwhile").write_text("-A POSTROUTING -s 192.168.0.0/16 -j MASQUERADE\n")
    program(
        host / "bin",
        "iptables-restore",
        f'[ "$*" = --help ] || sed -i "/-o docker0 -j MINE/r $TEST/meanwhile" "$TEST/rules"\n{RESTORE}',
    )
    done(host, clean(LEAVES))
    assert (host / "rules").read_text().splitlines() == [
        "*nat",
        ":PREROUTING ACCEPT [9:540]",
        ":POSTROUTING ACCEPT [9:540]",
        ":DOCKER-MINE - [0:0]",
        ":MINE - [0:0]",
        ":NOT-KUBE-SERVICES - [0:0]",
        r'-A PREROUTING -m comment --comment "as \" -j KUBE-SERVICES" -j ACCEPT',
        "-A PREROUTING -j NOT-KUBE-SERVICES",
        "-A POSTROUTING -s 10.0.0.0/16 ! -o docker0 -p tcp -j MASQUERADE",
        "-A POSTROUTING -o docker0 -j MINE",
        "-A POSTROUTING -s 192.168.0.0/16 -j MASQUERADE",
        "COMMIT",
        "*filter",
        ":FORWARD ACCEPT [0:0]",
        ":MINE - [0:0]",
        "-A FORWARD -i docker0 -j MINE",
        "COMMIT",
    ]
    assert asked(host, LEAVES) == ()
    os.utime(host / "rules", (5, 5))
    done(host, clean(LEAVES))
    assert (host / "rules").stat().st_mtime == 5  # nothing to delete
    assert not (host / "wrong").exists()


@pytest.mark.parametrize(
    ("leaves", "goes"),
    [
        (Leaves("kubelet", chains=("MINE",)), ["-D POSTROUTING -o docker0 -j MINE", "-F MINE", "-X MINE", "-D FORWARD -i docker0 -j MINE", "-F MINE", "-X MINE"]),
        (Leaves("kubelet", chains=("POSTROUTING", "KUBE", "SERVICES")), []),
        (Leaves("kubelet", rules=("-A FORWARD -i docker0 -j MINE", "-A POSTROUTING -o docker0")), ["-D FORWARD -i docker0 -j MINE"]),
        (Leaves("kubelet", links=("none0",)), []),
    ],
)  # fmt: skip
def test_what_goes_is_whole_names_and_whole_lines(host: Path, leaves: Leaves, goes: list[str]) -> None:
    tables(host)
    program(host / "bin", "iptables-restore", '[ "$*" = --help ] || cat >"$TEST/deleted"')
    assert asked(host, leaves) == (("rules of iptables",) if goes else ())
    done(host, clean(leaves))
    deleted = (host / "deleted").read_text().splitlines() if goes else []
    assert [line for line in deleted if line[0] == "-"] == goes


def test_rules_stay_as_they_are_where_they_cannot_be_read(host: Path) -> None:
    tables(host)
    program(host / "bin", "awk", "exit 2")
    assert asked(host, LEAVES) == ()
    result = run(host, script([(0, clean(LEAVES))]))
    assert marks(result.stdout)[-1] == "failed 0"
    assert (host / "rules").read_text() == RULES


def test_a_rule_that_cannot_be_deleted_is_a_failure_with_its_words(host: Path) -> None:
    tables(host)
    program(host / "bin", "iptables-restore", 'echo "iptables-restore: line 12 failed" >&2; exit 1')
    result = run(host, script([(0, clean(LEAVES))]))
    assert marks(result.stdout)[-1] == "failed 0"
    assert "line 12 failed" in evidence(result.stdout)


def test_a_host_without_iptables_has_no_rules(host: Path) -> None:
    (host / "root/proc").mkdir()
    (host / "root/proc/mounts").touch()
    leaves = Leaves("kubelet", chains=("KUBE-.+",))
    text = leftovers.questions([leaves]).replace("command -v iptables-save", "false")
    assert run(host, f"root=\n{text}").stdout == ""


def test_folders_go_with_what_is_mounted_below_and_links_routes_and_units_with_them(host: Path) -> None:
    tables(host)
    data, file = host / "var/kubelet", host / "var/token"
    (data / "pods/1").mkdir(parents=True)
    file.touch()
    (host / "root/proc/mounts").write_text(
        f"tmpfs {data}/pods tmpfs rw 0 0\ntmpfs {data}/pods/1 tmpfs rw 0 0\ntmpfs {data}-other tmpfs rw 0 0\n"
    )
    gone = 'for word do :; done; sed -i "\\\\# $word #d" "$K8S_INSTALLER_ROOT/proc/mounts"'
    program(
        host / "bin", "umount", f'echo "$*" >>"$TEST/umount"; [ "$1" = -l ] || case $1 in */1) exit 1 ;; esac; {gone}'
    )
    program(host / "bin", "ip", 'echo "$*" >>"$TEST/ip"; [ "$3" != show ] || echo "10.0.1.0/24 via 10.0.0.2"')
    leaves = Leaves(
        "kubelet", (str(data), str(file), f"{host}/no"), links=("lo", "none0"), routes=("75",), units=("pods.slice",)
    )
    assert asked(host, leaves) == (str(data), str(file), "lo", "routes of protocol 75", "pods.slice")
    (host / "systemctl").unlink()
    (host / "ip").unlink()
    done(host, clean(leaves))
    assert (host / "umount").read_text().splitlines() == [f"{data}/pods/1", f"-l {data}/pods/1", f"{data}/pods"]
    assert (host / "ip").read_text().splitlines() == ["link delete lo", "-4 route flush proto 75"]
    assert (host / "systemctl").read_text().splitlines() == ["stop pods.slice", "reset-failed pods.slice"]
    assert not data.exists()
    assert not file.exists()


@pytest.mark.parametrize(("folder", "in_slice"), [("transient", ""), ("system", ".d/50-Slice.conf")])  # 252, 219
def test_a_slice_goes_with_what_systemd_keeps_of_it_after_a_scope_in_it_has_failed(
    host: Path, folder: str, in_slice: str
) -> None:
    kept, groups = host / "root/run/systemd" / folder, host / "root/sys/fs/cgroup"
    (host / "root/proc").mkdir()
    (host / "root/proc/mounts").touch()
    for name, inside in (
        ("docker-1", "pods-burstable-pod1.slice"),
        ("other", "podsters.slice"),
        ("bare", "pods.slicer"),
    ):
        path = kept / f"{name}.scope{in_slice}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[Scope]\nSlice={inside}\n")
        (kept / f"{name}.scope").touch()
    for name in ("pods.slice", "pods-burstable.slice", "pods-burstable-pod1.slice", "podsters.slice"):
        (kept / name).touch()
    (kept / "pods.slice.d").mkdir()
    (groups / "memory/pods.slice/pods-burstable.slice").mkdir(parents=True)
    (groups / "memory/podsters.slice").mkdir()
    program(
        host / "bin", "systemctl", 'echo "$*" >>"$TEST/systemctl"; case $1 in is-active|reset-failed) exit 1 ;; esac'
    )
    leaves = Leaves("kubelet", units=("pods.slice", "none.slice", "other.service"))
    assert asked(host, leaves) == ("pods.slice",)
    (host / "systemctl").unlink()
    done(host, clean(leaves))
    units = "docker-1.scope pods-burstable-pod1.slice pods-burstable.slice pods.slice"
    calls = [*(f"{verb} {units}" for verb in ("stop", "reset-failed")), "daemon-reload"]
    assert (host / "systemctl").read_text().splitlines()[:3] == calls
    assert "daemon-reload" not in (host / "systemctl").read_text().splitlines()[3:]
    left = {path.name.removesuffix(".d") for path in kept.iterdir()}
    assert left == {"other.scope", "bare.scope", "podsters.slice"}
    assert [path.name for path in (groups / "memory").iterdir()] == ["podsters.slice"]
    assert asked(host, leaves) == ()


def test_what_is_reached_by_a_link_is_unmounted_where_it_is(host: Path) -> None:
    """A bind mount is of the same file system: what is mounted must be gone before anything is removed."""
    tables(host)
    data, link = host / "data/lib/kubelet", host / "var/lib"
    (data / "pods/volume").mkdir(parents=True)
    (data / "pods/volume/somebody's").touch()
    link.parent.mkdir()
    link.symlink_to(host / "data/lib")
    (host / "root/proc/mounts").write_text(f"/dev/sda1 {data}/pods/volume ext4 rw 0 0\n")
    program(host / "bin", "umount", 'echo "$*" >>"$TEST/umount"')  # and says nothing of what stays
    result = run(host, script([(0, clean(Leaves("kubelet", (f"{link}/kubelet",))))]))
    assert (host / "umount").read_text().split() == [f"{data}/pods/volume"]
    assert "something is still mounted below" in evidence(result.stdout)
    assert (data / "pods/volume/somebody's").exists()


def test_a_mount_that_stays_keeps_its_folder(host: Path) -> None:
    tables(host)
    data = host / "var/kubelet"
    data.mkdir(parents=True)
    (host / "root/proc/mounts").write_text(f"tmpfs {data}/pods tmpfs rw 0 0\n")
    program(host / "bin", "umount", "echo 'target is busy' >&2; exit 1")
    result = run(host, script([(0, clean(Leaves("kubelet", (str(data),))))]))
    assert "target is busy" in evidence(result.stdout)
    assert data.exists()


def volumes(host: Path, folder: Path) -> Leaves:
    """A runtime's folder with two layers and a volume in it, and what is mounted there; as its component declares it."""
    tables(host)
    (folder / "volumes/db/_data").mkdir(parents=True)
    (folder / "volumes/metadata.db").touch()
    (folder / "overlay2/1").mkdir(parents=True)
    (folder / ".hidden").touch()
    (host / "root/proc/mounts").write_text(f"nfs {folder}/volumes/db/_data nfs rw 0 0\n")
    functions(host, placed.adopted([Placed(Kind.LEFTOVERS, "docker", "docker")], ()))
    return Leaves("docker", (str(folder),), data=(f"{folder}/volumes",))


def clean_but_data(leaves: Leaves) -> Change:
    own = replace(leaves, folders=(*leaves.folders, *leaves.data))
    return replace(clean(leaves), forgets=(Placed(Kind.LEFTOVERS, leaves.name, "docker", leaves=own),))


def test_volumes_stay_where_all_else_of_their_runtime_goes(host: Path) -> None:
    folder = host / "var/docker"
    leaves = volumes(host, folder)
    assert asked(host, leaves) == (str(folder),)
    assert seen(host, leaves).stays == (f"{folder}/volumes",)
    done(host, clean_but_data(leaves))
    assert [path.name for path in folder.iterdir()] == ["volumes"]
    assert (folder / "volumes/db/_data").is_dir()
    assert [entry.name for entry in record(host)] == ["docker"]  # whose data it is
    assert asked(host, leaves) == ()
    (host / "root/proc/mounts").write_text("")
    done(host, clean(replace(leaves, folders=(*leaves.folders, *leaves.data))))
    assert not folder.exists()
    assert record(host) == ()


def test_volumes_stay_where_their_folder_is_reached_by_a_link(host: Path) -> None:
    leaves = volumes(host, host / "data/docker")
    link = host / "var/docker"
    link.parent.mkdir()
    link.symlink_to(host / "data/docker")
    linked = replace(leaves, folders=(str(link),), data=(f"{link}/volumes",))
    done(host, clean_but_data(linked))
    assert [path.name for path in link.iterdir()] == ["volumes"]
    assert asked(host, linked) == ()


def test_volumes_of_remapped_users_stay_like_all_others(host: Path) -> None:
    """With `userns-remap` docker keeps everything in a folder UID.GID of its own."""
    folder = host / "var/docker"
    pattern = f"{folder}/*.*/volumes"
    leaves = replace(volumes(host, folder), data=(f"{folder}/volumes", pattern))
    (folder / "volumes").rename(folder / "100000.100000")
    (folder / "100000.100000/volumes/db").mkdir(parents=True)
    (folder / "100000.100000/overlay2/1").mkdir(parents=True)
    (host / "root/proc/mounts").write_text("")
    assert seen(host, leaves).stays == (f"{folder}/100000.100000/volumes",)
    done(host, clean_but_data(leaves))
    assert [path.name for path in folder.glob("*/*")] == ["volumes"]
    assert [entry.name for entry in record(host)] == ["docker"]
    done(host, clean(replace(leaves, folders=(*leaves.folders, *leaves.data))))
    assert not folder.exists()


def test_a_log_of_etcd_is_data_although_it_has_no_folders(host: Path) -> None:
    tables(host)
    log, empty = host / "wal", host / "data"
    log.mkdir()
    empty.mkdir()
    (log / "0000000000000000-0000000000000000.wal").touch()
    assert seen(host, Leaves("etcd", data=(str(log), str(empty)))).stays == (str(log),)


@pytest.mark.parametrize("there", [True, False])
def test_what_a_pattern_stands_for_is_claimed_with_the_folder_that_it_is_in(host: Path, *, there: bool) -> None:
    folder = host / "var/docker"
    pattern = f"{folder}/*.*/volumes"
    if there:
        folder.mkdir(parents=True)
    leaves = Leaves("docker", (str(folder), pattern), (pattern,))
    functions(host, placed.noted([Placed(Kind.LEFTOVERS, "docker", "docker", leaves=leaves)]))
    (entry,) = record(host)
    assert entry.leaves == replace(leaves, folders=() if there else leaves.folders)


def test_a_runtime_without_volumes_goes_whole(host: Path) -> None:
    folder = host / "var/docker"
    leaves = volumes(host, folder)
    shutil.rmtree(folder / "volumes/db")
    (host / "root/proc/mounts").write_text("")
    assert asked(host, leaves) == (str(folder),)
    done(host, clean_but_data(leaves))
    assert not folder.exists()
    assert record(host) == ()


def test_leftovers_that_nobody_asked_for_are_no_answer() -> None:
    leaves = Leaves("kubelet")
    assert leftovers.parse(["other /a", "kubelet /b"], [leaves]) == {"kubelet": SeenLeftovers(("/b",))}
    assert leftovers.questions([]) == ""


@pytest.mark.parametrize("secret", [True, False])
def test_a_file_that_differs_shows_by_its_header_that_this_program_wrote_it(host: Path, *, secret: bool) -> None:
    contents = {
        "first": f"# {placed.RENDERED}templates/x\n",
        "second": f"#!/bin/sh\n# {placed.RENDERED}templates/x\n",
        "third": f"\n\n# {placed.RENDERED}templates/x\n",
        "other": "# mine\n",
    }
    for name, content in contents.items():
        (host / name).write_text(content)
    items = [
        DesiredResource(Ref("n1", Kind.FILE, f"{host}/{name}"), File(b"new", secret=secret), "kubelet", (), "a test")
        for name in (*contents, "none")
    ]
    found = observe.parse(run(host, observe.script(items)).stdout, items)
    ours = {Path(ref.name).name for ref, seen in found.items() if isinstance(seen, SeenFile) and seen.rendered}
    assert ours == {"first", "second"}


# The end -------------------------------------------------------------------------------------------------------------


def test_after_a_reset_nothing_of_ours_is_left(host: Path) -> None:
    path = host / "etc/config"
    done(host, create(path))
    done(host, leave(path))
    assert run(host, placed.SWEEP).returncode == 0
    assert not (host / "state").exists()
    assert run(host, placed.SWEEP).returncode == 0


LOCK = lease.Claim("", "token", this_process(), 60)


@pytest.mark.parametrize("how", ["lock", "running", "unreadable"])
def test_what_another_run_needs_is_not_swept(host: Path, how: str) -> None:
    """A run may take the lock, or begin a script, between the end of a reset and its sweep."""
    state = host / "state"
    assert run(host, lease.take_script(replace(LOCK, folder=str(state)))).returncode == 0
    if how == "running":
        (state / "lock").unlink()
        started = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()[19]
        (state / "running").write_text(f"{os.getpid()} {started}\n")
    elif how == "unreadable":
        (state / "lock").write_text("cut off")
    (state / "placed").write_text(f"{placed.line(Placed(Kind.SETTING, 'swap', 'host'))}\n")
    before = {path.name: path.read_bytes() for path in state.iterdir()}
    assert run(host, placed.SWEEP).returncode == 0
    assert {path.name: path.read_bytes() for path in state.iterdir()} == before


def test_a_lock_that_was_waited_for_is_not_in_a_folder_that_was_swept(host: Path) -> None:
    """Who waits for the guard of a sweep gets one that is gone, and has to open the next."""
    state = host / "state"
    (host / "take").write_text(lease.take_script(replace(LOCK, folder=str(state))))
    with (state / "guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        taking = subprocess.Popen(["/bin/sh", str(host / "take")], stdout=subprocess.PIPE, text=True)
        waits = f":{os.fstat(guard.fileno()).st_ino} "
        while not any("-> FLOCK" in line and waits in line for line in Path("/proc/locks").read_text().splitlines()):
            assert taking.poll() is None
            time.sleep(0.01)
        shutil.rmtree(state)
    assert " taken " in taking.communicate()[0]
    assert {path.name for path in state.iterdir()} == {"guard", "lock"}


def test_a_host_that_keeps_data_remembers_whose_it_is(host: Path) -> None:
    path = host / "config"
    done(host, create(path))
    entry = Placed(Kind.LEFTOVERS, "etcd", "etcd", leaves=Leaves("etcd", ("/var/lib/etcd",), ("/var/lib/etcd",)))
    functions(host, placed.adopted([entry], ()) + f"; record folder {host}/bin ''")
    assert run(host, placed.SWEEP).returncode == 0
    assert len(record(host)) == 2  # something of ours is still there: nothing is forgotten
    path.unlink()
    assert run(host, placed.SWEEP).returncode == 0
    assert [found.name for found in (host / "state").iterdir()] == ["placed"]
    assert record(host) == (entry,)


def test_a_host_that_keeps_data_remembers_the_users_that_it_belongs_to(host: Path) -> None:
    data = Placed(Kind.LEFTOVERS, "etcd", "etcd", leaves=Leaves("etcd", ("/var/lib/etcd",), ("/var/lib/etcd",)))
    user = Placed(Kind.SETTING, "user etcd", "etcd", before="absent")
    functions(host, placed.adopted([user, Placed(Kind.SETTING, "swap", "host", before="on"), data], ()))
    assert run(host, placed.SWEEP).returncode == 0
    assert record(host) == (user, data)
    (host / "state/placed").write_text(f"{placed.line(user)}\n")
    assert run(host, placed.SWEEP).returncode == 0
    assert not (host / "state").exists()


def test_where_this_program_keeps_things_is_one_folder() -> None:
    assert statedir.KEPT.startswith(f"{statedir.STATE}/")
    assert f"{statedir.STATE}/{placed.NAME}" == placed.PATH
    assert perform.script([]).endswith("prune\n")


def test_a_record_can_name_any_folder_that_has_data_and_is_not_removed() -> None:
    entry = Placed(Kind.LEFTOVERS, "etcd", "etcd", leaves=Leaves("etcd", data=("/data",)))
    assert placed.parse([placed.line(entry)]) == (entry,)


@pytest.mark.parametrize("folder", ["/", "/etc", "/var/", "/var/lib/..", "var/lib/x", "/var//lib", "", "/var/lib/../x"])
def test_a_record_cannot_name_a_folder_that_is_everybodys(folder: str) -> None:
    line = f'+\tleftovers\tkubelet\t{{"folders":["{folder}"]}}'
    with pytest.raises(Malformed):
        placed.parse([line])


def test_a_record_without_end_is_none() -> None:
    with pytest.raises(Malformed, match="20001 lines"):
        placed.parse(["+\tpackage\tx\t{}"] * 20_001)


def test_a_line_that_was_cut_off_does_not_replace_the_one_before(host: Path) -> None:
    functions(
        host,
        'record package wget \'{"component":"x"}\'; printf \'\\n+\\tpackage\\twget\\t{"comp\\n\' >>$state/placed; compact',
    )
    assert record(host) == (Placed(Kind.PACKAGE, "wget", "x"),)


NAMES = ("daemon", "games", "sys", "nobody")


def arrive(host: Path, *lines: str) -> None:
    """These come with the package `kube`; all else was there before."""
    entry = Placed(Kind.PACKAGE, "kube", "kubelet")
    come = "".join(f"s/^{line}$//;" for line in lines)
    before = f"{placed.installing(entry, ['kube'])} && sed -i '{come}' \"$state/installing\""
    result = functions(host, f"{before} && {placed.ARRIVED}")
    assert (result.returncode, result.stderr) == (0, "")
    assert not (host / "state/installing").exists()


def test_users_come_with_a_package_whose_scriptlets_make_them_and_others_were_added_meanwhile(host: Path) -> None:
    installed(host, "kube")
    installed(host, "socat")
    (host / "rpms/kube/scripts").write_text(
        """\
preinstall scriptlet (using /bin/sh):
getent group 'games' >/dev/null || groupadd -r 'games'
getent passwd daemon >/dev/null || useradd -r -g games \\
  -s /sbin/nologin -c "Not mail" daemon
echo sys
"""
    )
    came = "package kube", "package socat", *(f"{kind} {name}" for kind in ("user", "group") for name in NAMES)
    arrive(host, *came)
    assert [(entry.kind, entry.name) for entry in record(host)] == [
        (Kind.PACKAGE, "socat"),
        (Kind.SETTING, "user daemon"),
        (Kind.SETTING, "user games"),
    ]


def test_a_user_becomes_what_it_was_before_a_package_and_the_group_of_an_older_one_is_no_user(host: Path) -> None:
    installed(host, "kube")
    (host / "rpms/kube/scripts").write_text("useradd -r daemon\nuseradd -r games\ngroupadd sys\n")
    arrive(host, "package kube", "user daemon", "user games", "group games", "group sys")
    assert [(entry.name, entry.before) for entry in record(host)] == [
        ("user daemon", "group"),
        ("user games", "absent"),
    ]


def test_users_stay_somebody_elses_where_no_package_came(host: Path) -> None:
    program(host / "bin", "rpm", '[ "$1" = -qa ] || { echo "rpm $*" >&2; exit 9; }')
    arrive(host, "user daemon", "group daemon")
    assert not (host / "state/placed").exists()


def test_what_a_package_brings_beside_a_file_of_ours_is_the_original(host: Path) -> None:
    ours, others = host / "usr/apiserver", host / "usr/somebody"
    done(host, create(ours))
    installed(host, "kube", ours, write=False)
    beside = [path.with_name(f"{path.name}.rpmnew") for path in (ours, others)]
    for path in beside:
        path.write_text("of kube")
    arrive(host)
    assert [path.exists() for path in beside] == [False, True]  # nothing is recorded of the other
    assert [path.read_text() for path in (host / "state/originals").iterdir()] == ["of kube"]


def upgrade(name: str, version: str) -> Change:
    before = SeenPackage("1.0", "1", 0.0)
    return change(Action.UPGRADE, Kind.PACKAGE, name, Package(name, version), before=before)


def test_what_an_upgrade_brings_beside_files_of_ours_is_the_original_where_nobody_had_edited_it(host: Path) -> None:
    ours, edited, alike = host / "usr/apiserver", host / "usr/config", host / "usr/scheduler"
    installed(host, "kube", ours, edited, alike)
    edited.write_text("somebody's\n")
    done(host, *map(create, (ours, edited, alike)))
    new = hashlib.sha256(b"of kube 2").hexdigest()
    files = f'printf "%s {new}\\n" {ours} {edited} >"$TEST/rpms/kube/files"'
    beside = f"for path in {ours} {edited}; do printf 'of kube 2' >$path.rpmnew; done"
    program(host / "bin", "yum", f'{files}; {beside}; mkdir "$TEST/rpms/kube-2.0"')
    done(host, upgrade("kube", "2.0"))
    assert [path.name for path in ours.parent.glob("*.rpm*")] == []
    assert {path.read_text() for path in (ours, edited, alike)} == {"ours\n"}
    assert sorted(path.read_text() for path in (host / "state/originals").iterdir()) == [
        "of kube", "of kube 2", "somebody's\n",
    ]  # fmt: skip
    done(host, leave(ours))
    assert ours.read_text() == "of kube 2"


def test_a_failed_upgrade_leaves_the_originals(host: Path) -> None:
    path = host / "usr/apiserver"
    installed(host, "kube", path)
    done(host, create(path))
    program(host / "bin", "yum", "echo no more mirrors to try; exit 1")
    result = run(host, script(list(enumerate([upgrade("kube", "2.0")]))))
    assert "no more mirrors" in evidence(result.stdout)
    assert [found.read_text() for found in (host / "state/originals").iterdir()] == ["of kube"]
