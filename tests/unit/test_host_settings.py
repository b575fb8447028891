from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s_installer.host import families, observe
from k8s_installer.host.family import REPLACE, Family
from k8s_installer.host.observe import parse
from k8s_installer.host.perform import evidence, script
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import Kind, Missing, Ref, Seen, SeenSetting, Setting
from k8s_installer.planning.make import make_plan
from k8s_installer.report.text import change_words
from tests.unit.test_perform import marks, program

FSTAB = """\
# /etc/fstab
/dev/mapper/centos-root /    xfs  defaults 0 0
/dev/mapper/centos-swap swap swap defaults 0 0
# /dev/sdb1 swap swap defaults 0 0
"""
SELINUX = "# SELINUX= can take one of these values\nSELINUX=enforcing\nSELINUXTYPE=targeted\n"
SWAPS = "Filename Type Size Used Priority\n"


def run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a script whose host is the folder `root`, with the programs of the folder `bin` before the machine's own."""
    environment = {
        "PATH": f"{folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "K8S_INSTALLER_ROOT": f"{folder}/root",
        "K8S_INSTALLER_KEPT": f"{folder}/kept",
    }
    return subprocess.run(["/bin/sh", "-s"], input=text, env=environment, capture_output=True, text=True, check=False)


def put(folder: Path, path: str, text: str) -> Path:
    file = folder / "root" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def want(name: str, value: str) -> DesiredResource:
    return DesiredResource(Ref("m1", Kind.SETTING, name), Setting(value), "host", (), "a test")


def seen(folder: Path, *names: str) -> list[Seen]:
    questions = [want(name, "") for name in names]
    return list(parse(run(folder, observe.script(questions)).stdout, questions).values())


def done(folder: Path, name: str, value: str) -> subprocess.CompletedProcess[str]:
    item = want(name, value)
    change = Change(item.ref, Action.SET, "host", Missing.ABSENT, item.resource, "a test")
    return run(folder, script([(0, change)]))


def enforcing(folder: Path) -> None:
    """Make a host of a folder: SELinux enforces, there is swap, and the programs in `bin` change just that."""
    (folder / "bin").mkdir()
    put(folder, "etc/selinux/config", SELINUX)
    put(folder, "sys/fs/selinux/enforce", "1")
    put(folder, "etc/fstab", FSTAB)
    put(folder, "proc/swaps", f"{SWAPS}/dev/dm-1 partition 2097148 0 -2\n")
    root = folder / "root"
    program(folder / "bin", "setenforce", f'printf %s "$1" >{root}/sys/fs/selinux/enforce')
    program(folder / "bin", "swapoff", f"head -n 1 {root}/proc/swaps >{root}/x; cp {root}/x {root}/proc/swaps")
    program(folder / "bin", "swapon", f"echo /dev/dm-1 >>{root}/proc/swaps")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    enforcing(tmp_path)
    return tmp_path


def test_a_settings_file_that_is_a_link_stays_one(host: Path) -> None:
    config = host / "root/etc/selinux/config"
    config.rename(host / "root/etc/selinux/real")
    config.symlink_to("real")
    assert marks(done(host, "selinux", "permissive").stdout) == ["begin 0", "done 0"]
    assert config.is_symlink()
    assert (host / "root/etc/selinux/real").read_text() == SELINUX.replace("=enforcing", "=permissive")


def test_selinux_is_set_now_and_for_the_next_boot_and_the_files_other_lines_stay(host: Path) -> None:
    assert seen(host, "selinux") == [SeenSetting("enforcing")]
    assert marks(done(host, "selinux", "permissive").stdout) == ["begin 0", "done 0"]
    assert seen(host, "selinux") == [SeenSetting("permissive")]
    config = host / "root/etc/selinux/config"
    assert config.read_text() == SELINUX.replace("=enforcing", "=permissive")
    assert [path.read_text() for path in (host / "kept").glob("[!r]*") if not path.suffix] == [SELINUX]
    done(host, "selinux", "enforcing now, permissive at boot")
    assert seen(host, "selinux") == [SeenSetting("enforcing now, permissive at boot")]
    done(host, "selinux", "disabled")
    assert seen(host, "selinux") == [SeenSetting("permissive now, disabled at boot")]


def test_selinux_that_was_switched_off_at_boot_is_set_for_the_next_one_alone(host: Path) -> None:
    (host / "root/sys/fs/selinux/enforce").unlink()
    put(host, "etc/selinux/config", "SELINUXTYPE=targeted")
    assert seen(host, "selinux") == [SeenSetting("disabled now, enforcing at boot")]
    put(host, "etc/selinux/config", "SELINUX=disabled")  # without a line's end
    assert seen(host, "selinux") == [SeenSetting("disabled")]
    assert marks(done(host, "selinux", "enforcing").stdout) == ["begin 0", "done 0"]
    assert seen(host, "selinux") == [SeenSetting("disabled now, enforcing at boot")]
    put(host, "etc/selinux/config", "SELINUXTYPE=targeted\n")
    done(host, "selinux", "permissive")
    assert (host / "root/etc/selinux/config").read_text() == "SELINUXTYPE=targeted\nSELINUX=permissive\n"


def test_a_host_without_selinux_says_so(tmp_path: Path) -> None:
    assert seen(tmp_path, "selinux") == [Missing.ABSENT]


@pytest.mark.parametrize(
    ("name", "wanted", "path", "before"),
    [
        ("selinux", "permissive", "etc/selinux/config", SELINUX),
        ("selinux", "disabled", "etc/selinux/config", SELINUX),
        ("swap", "off", "etc/fstab", FSTAB),
        ("yum-proxy", "http://10.0.0.9:3128", "etc/yum.conf", "[main]\ngpgcheck=1\n"),
        ("yum-proxy", "http://10.0.0.9:3128", "etc/yum.conf", "[main]\nproxy=http://old:1\ngpgcheck=1\n"),
        ("hosts-file", "10.77.0.11=m1,10.77.0.21=n1", "etc/hosts", "127.0.0.1 localhost\n"),
    ],
)
def test_a_host_goes_back_to_what_it_was_before_the_first_change(
    host: Path, name: str, wanted: str, path: str, before: str
) -> None:
    file = put(host, path, before)
    (found,) = seen(host, name)
    assert isinstance(found, SeenSetting)
    assert marks(done(host, name, wanted).stdout)[-1] == "done 0"
    assert file.read_text() != before
    back = families.original(name, found.value)
    assert back is not None
    assert marks(done(host, name, back).stdout)[-1] == "done 0"
    assert file.read_text() == before
    assert seen(host, name) == [found]
    assert families.differs(name, found.value, back) == ""


@pytest.mark.parametrize(
    "value", ["on", "off", "on now, off at boot", "off now, on at boot"]
)  # fmt: skip
def test_swap_can_be_set_to_whatever_it_can_be(host: Path, value: str) -> None:
    assert marks(done(host, "swap", value).stdout)[-1] == "done 0"
    assert seen(host, "swap") == [SeenSetting(value)]


@pytest.mark.parametrize(
    ("name", "before", "back"),
    [
        ("selinux", None, None),
        ("swap", None, None),
        ("yum-proxy", None, None),
        ("firewalld-port 6443/tcp", None, None),
        ("firewalld-port 6443/tcp", "open now, closed at boot", "open now, closed at boot"),
        ("firewalld-source 10.244.0.0/16", "other", "other"),
        ("journal", "volatile", "default"),
        ("user kube", None, "absent"),
        ("user kube", "system", "system"),
        ("image a:1", None, "absent"),
        ("image a:1", "sha256:01", "sha256:01"),
        ("addons", "none", "none"),
        ("addon a.yaml", "none", "none"),
    ],
)
def test_what_was_made_is_removed_and_what_was_changed_is_as_before(
    name: str, before: str | None, back: str | None
) -> None:
    assert families.original(name, before) == back


def test_what_cannot_be_set_says_why(host: Path) -> None:
    program(host / "bin", "setenforce", "echo 'setenforce: SELinux is locked' >&2; exit 1")
    result = done(host, "selinux", "permissive")
    assert marks(result.stdout) == ["begin 0", "failed 0"]
    assert evidence(result.stdout) == "setenforce: SELinux is locked"
    program(host / "bin", "mv", "echo 'mv: Read-only file system' >&2; exit 1")
    result = done(host, "swap", "off")
    assert evidence(result.stdout) == "mv: Read-only file system"
    assert (host / "root/etc/fstab").read_text() == FSTAB
    assert [path.name for path in (host / "root/etc").iterdir() if path.name.startswith(".")] == []


def test_swap_goes_and_comes_back_as_it_was(host: Path) -> None:
    assert seen(host, "swap") == [SeenSetting("on")]
    fstab = host / "root/etc/fstab"
    fstab.chmod(0o640)
    assert marks(done(host, "swap", "off").stdout) == ["begin 0", "done 0"]
    assert seen(host, "swap") == [SeenSetting("off")]
    assert "\n#k8s-installer# /dev/mapper/centos-swap swap" in fstab.read_text()
    assert fstab.stat().st_mode & 0o777 == 0o640
    done(host, "swap", "off")
    done(host, "swap", "on")
    assert seen(host, "swap") == [SeenSetting("on")]
    assert fstab.read_text() == FSTAB


def test_swap_of_a_host_without_any_and_of_a_container(host: Path) -> None:
    put(host, "proc/swaps", SWAPS)
    (host / "root/etc/fstab").unlink()
    assert seen(host, "swap") == [SeenSetting("off")]
    assert marks(done(host, "swap", "off").stdout) == ["begin 0", "done 0"]
    put(host, "etc/fstab", FSTAB.rstrip("\n"))
    assert seen(host, "swap") == [SeenSetting("off now, on at boot")]
    put(host, "run/systemd/container", "systemd-nspawn")
    assert seen(host, "swap") == [Missing.ABSENT]


FIREWALL = """\
case " $* " in *' --permanent '*) kept=boot ;; *) kept=now ;; esac
file={0}/$kept
case " $* " in
  *--list-ports*) cat $file ;;
  *--list-sources*) cat $file.sources ;;
  *--add-port=*) for word do :; done; echo "$(cat $file) ${{word#*=}}" >$file ;;
  *--remove-port=*) for word do :; done; sed -i "s|${{word#*=}}||" $file ;;
  *--zone=trusted*--add-source=*) for word do :; done; echo "${{word#*=}}" >$file.sources ;;
  *--zone=trusted*--remove-source=*) : >$file.sources ;;
  *) exit 2 ;;
esac"""


@pytest.fixture
def firewall(host: Path) -> Path:
    for name, text in {"now": "22/tcp 6443/tcp", "boot": "22/tcp", "now.sources": "", "boot.sources": ""}.items():
        (host / name).write_text(text)
    program(host / "bin", "firewall-cmd", FIREWALL.format(host))
    program(host / "bin", "systemctl", '[ "$1 $2" != "is-active firewalld" ] || [ -e ' + f"{host}/now ]")
    return host


PORTS = ("firewalld-port 2379/tcp", "firewalld-port 6443/tcp", "firewalld-port 30000-32767/tcp")
PODS = "firewalld-source 10.244.0.0/16"


def test_ports_are_opened_now_and_for_good_and_closed_again(firewall: Path) -> None:
    closed, half = SeenSetting("closed"), SeenSetting("open now, closed at boot")
    assert seen(firewall, *PORTS, PODS) == [closed, half, closed, SeenSetting("other")]
    for name in PORTS:
        assert marks(done(firewall, name, "open").stdout) == ["begin 0", "done 0"]
    assert marks(done(firewall, PODS, "trusted").stdout) == ["begin 0", "done 0"]
    assert seen(firewall, *PORTS, PODS) == [*[SeenSetting("open")] * 3, SeenSetting("trusted")]
    done(firewall, PORTS[1], "open now, closed at boot")
    done(firewall, PORTS[0], "closed")
    done(firewall, PODS, "other")
    assert seen(firewall, *PORTS, PODS) == [closed, half, SeenSetting("open"), SeenSetting("other")]


def test_a_firewall_that_is_asked_for_ports_alone(firewall: Path) -> None:
    assert seen(firewall, PORTS[0]) == [SeenSetting("closed")]


def test_a_firewall_that_does_not_answer_is_unknown_and_one_that_does_not_run_is_none(firewall: Path) -> None:
    program(firewall / "bin", "firewall-cmd", "exit 252")
    assert seen(firewall, *PORTS, PODS) == [Missing.UNKNOWN] * 4
    (firewall / "now").unlink()
    assert seen(firewall, *PORTS, PODS) == [Missing.ABSENT] * 4


def test_a_user_is_made_once(host: Path) -> None:
    program(host / "bin", "getent", f"grep -qx $2 {host}/users && exit 0; [ -e {host}/users ] && exit 2; exit 3")
    assert seen(host, "user kube") == [Missing.UNKNOWN]
    (host / "users").write_text("root\n")
    program(host / "bin", "groupadd", f'echo "groupadd $*" >>{host}/calls')
    program(host / "bin", "useradd", f'echo "useradd $*" >>{host}/calls; echo kube >>{host}/users')
    assert seen(host, "user kube", "user root") == [Missing.ABSENT, SeenSetting("system")]
    assert marks(done(host, "user kube", "system").stdout) == ["begin 0", "done 0"]
    assert (host / "calls").read_text().splitlines() == [
        "groupadd -r kube",
        "useradd -r -M -d / -s /sbin/nologin -g kube -c made by k8s-installer kube",
    ]
    assert seen(host, "user kube") == [SeenSetting("system")]
    (host / "calls").unlink()
    done(host, "user kube", "system")
    assert not (host / "calls").exists()


@pytest.mark.parametrize("own_group", ["goes with the user", "stays"])
def test_a_user_that_was_made_can_go_with_its_group(host: Path, own_group: str) -> None:
    (host / "passwd").write_text("root\nkube\n")
    (host / "group").write_text("root\nkube\n")
    program(host / "bin", "getent", f'echo "getent $*" >/dev/null; grep -qx "$2" {host}/$1 || exit 2')
    also = f"; sed -i /kube/d {host}/group" if own_group == "goes with the user" else ""
    program(host / "bin", "userdel", f'echo "userdel $*" >>{host}/calls; sed -i "/$1/d" {host}/passwd{also}')
    program(host / "bin", "groupdel", f'echo "groupdel $*" >>{host}/calls; sed -i "/$1/d" {host}/group')
    assert marks(done(host, "user kube", "absent").stdout) == ["begin 0", "done 0"]
    assert seen(host, "user kube", "user root") == [Missing.ABSENT, SeenSetting("system")]
    assert (host / "group").read_text() == "root\n"
    assert (host / "calls").read_text().splitlines() == ["userdel kube", "groupdel kube"][: 1 + (own_group == "stays")]
    assert marks(done(host, "user kube", "absent").stdout) == ["begin 0", "done 0"]
    assert len((host / "calls").read_text().splitlines()) <= 2


def test_a_group_without_a_user_is_one_and_can_go_or_stay_with_its_number(host: Path) -> None:
    for name in ("passwd", "group"):
        (host / name).write_text("root:x:0:\nkube:x:300:\n")
    program(host / "bin", "getent", f'grep "^$2:" {host}/$1 || exit 2')
    program(host / "bin", "userdel", f'sed -i "/$1/d" {host}/passwd {host}/group')
    program(host / "bin", "groupdel", f'sed -i "/$1/d" {host}/group')
    program(host / "bin", "groupadd", f'[ "$1 $2" = "-r -g" ] && echo "$4:x:$3:" >>{host}/group')
    done(host, "user kube", "group")
    assert seen(host, "user kube") == [SeenSetting("group")]
    assert (host / "group").read_text().split() == ["root:x:0:", "kube:x:300:"]
    done(host, "user kube", "absent")
    assert seen(host, "user kube") == [Missing.ABSENT]


def test_a_user_whose_processes_run_stays_with_the_reason(host: Path) -> None:
    program(host / "bin", "getent", "exit 0")
    program(host / "bin", "userdel", "echo 'userdel: user kube is currently used by process 812' >&2; exit 8")
    result = done(host, "user kube", "absent")
    assert marks(result.stdout) == ["begin 0", "failed 0"]
    assert evidence(result.stdout) == "userdel: user kube is currently used by process 812"


def test_a_user_that_a_unit_runs_as_stays(host: Path) -> None:
    program(host / "bin", "getent", "exit 0")
    program(host / "bin", "userdel", f"touch {host}/gone")
    put(host, "usr/lib/systemd/system/kube-apiserver.service", "[Service]\nUser=kube\n")
    result = done(host, "user kube", "absent")
    assert marks(result.stdout) == ["begin 0", "failed 0"]
    unit = f"{host}/root/usr/lib/systemd/system/kube-apiserver.service"
    assert evidence(result.stdout) == f"user kube is needed by {unit}"
    assert not (host / "gone").exists()


HOSTS = "127.0.0.1 localhost\n\n10.0.0.9 m1.example m1 # somebody's own\n"
BLOCK = """\
# BEGIN k8s-installer: the hosts of its inventory
10.77.0.11 m1
10.77.0.21 n1
# END k8s-installer
"""
NAMES = "10.77.0.11=m1,10.77.0.21=n1"


def test_names_stand_in_a_block_of_their_own_and_the_rest_of_the_file_stays(host: Path) -> None:
    assert seen(host, "hosts-file") == [SeenSetting("none")]
    file = put(host, "etc/hosts", HOSTS)
    file.chmod(0o640)
    assert seen(host, "hosts-file") == [SeenSetting("none")]
    assert marks(done(host, "hosts-file", NAMES).stdout) == ["begin 0", "done 0"]
    assert file.read_text() == HOSTS + BLOCK
    assert file.stat().st_mode & 0o777 == 0o640
    assert seen(host, "hosts-file") == [SeenSetting(NAMES)]
    file.write_text(f"{file.read_text()}10.0.0.8 after\n")
    done(host, "hosts-file", "10.77.0.11=m1")
    assert file.read_text() == HOSTS + "10.0.0.8 after\n" + BLOCK.replace("10.77.0.21 n1\n", "")
    done(host, "hosts-file", "none")
    assert file.read_text() == HOSTS + "10.0.0.8 after\n"


def test_a_block_that_was_edited_by_hand_is_seen_as_it_is_and_comes_back_so(host: Path) -> None:
    edited = BLOCK.replace("10.77.0.21 n1", "10.77.0.21  n1\tn1.example # of, mine\n")
    file = put(host, "etc/hosts", edited)
    (now,) = seen(host, "hosts-file")
    assert now == SeenSetting("10.77.0.11=m1,10.77.0.21=n1=n1.example=#=of=mine")
    done(host, "hosts-file", NAMES)
    assert file.read_text() == BLOCK
    assert isinstance(now, SeenSetting)
    done(host, "hosts-file", now.value)
    assert "10.77.0.21 n1 n1.example # of mine\n" in file.read_text()


def test_a_block_without_an_end_is_somebodys_own(host: Path) -> None:
    open_ended = BLOCK.replace("# END k8s-installer\n", "10.0.0.9 precious\n")
    file = put(host, "etc/hosts", open_ended)
    assert seen(host, "hosts-file") == [SeenSetting("none")]
    done(host, "hosts-file", NAMES)
    assert file.read_text() == open_ended + BLOCK
    assert seen(host, "hosts-file") == [SeenSetting(NAMES)]
    done(host, "hosts-file", "none")
    assert file.read_text() == open_ended


def test_a_host_without_a_hosts_file_gets_one(host: Path) -> None:
    (host / "root/etc/hosts").unlink(missing_ok=True)
    done(host, "hosts-file", NAMES)
    assert (host / "root/etc/hosts").read_text().strip() == BLOCK.strip()
    assert (host / "root/etc/hosts").stat().st_mode & 0o777 == 0o644


def test_hosts_that_cannot_be_read_are_unknown(host: Path) -> None:
    put(host, "etc/hosts", HOSTS)
    program(host / "bin", "awk", "exit 2")
    assert seen(host, "hosts-file") == [Missing.UNKNOWN]


MACHINE = "ae1e62d6327b4ed6a5b8d22b42a126db"
DROP_IN = "etc/systemd/journald.conf.d/90-k8s-installer.conf"


@pytest.fixture
def journald(host: Path) -> Path:
    """A journald in memory, which moves to the disk when it is told to and there is a folder."""
    root = host / "root"
    put(host, "etc/machine-id", f"{MACHINE}\n")
    put(host, "etc/systemd/journald.conf", "[Journal]\n#Storage=persistent\n")
    put(host, f"run/log/journal/{MACHINE}/system.journal", "")
    program(host / "bin", "systemd-tmpfiles", f'echo "tmpfiles $*" >>{host}/calls')
    move = f"mkdir -p {root}/var/log/journal/{MACHINE}; mv {root}/run/log/journal/{MACHINE}/* {root}/var/log/journal/{MACHINE}"
    program(host / "bin", "systemctl", f'echo "$*" >>{host}/calls; [ -e {host}/stays ] || {{ {move}; }}')
    program(host / "bin", "sleep", "exit 0")
    return host


def test_a_journal_moves_to_the_disk_without_a_restart_of_journald(journald: Path) -> None:
    assert seen(journald, "journal") == [SeenSetting("volatile")]
    assert marks(done(journald, "journal", "persistent").stdout) == ["begin 0", "done 0"]
    assert seen(journald, "journal") == [SeenSetting("persistent")]
    assert (journald / "root" / DROP_IN).read_text() == "# written by k8s-installer\n[Journal]\nStorage=persistent\n"
    assert (journald / "calls").read_text().splitlines() == [
        "tmpfiles --create --prefix /var/log/journal",
        "kill -s USR1 systemd-journald",
    ]


def test_the_last_file_of_journalds_that_says_so_counts_and_its_own_way_is_the_folder(journald: Path) -> None:
    (journald / "root/var/log/journal").mkdir(parents=True)
    assert seen(journald, "journal") == [SeenSetting("volatile now, persistent at boot")]
    put(journald, "etc/systemd/journald.conf", "[Journal]\nStorage = none")
    assert seen(journald, "journal") == [SeenSetting("volatile")]
    put(journald, DROP_IN, "Storage=persistent\n")
    assert seen(journald, "journal") == [SeenSetting("volatile now, persistent at boot")]


def test_a_journal_goes_back_to_memory_with_the_next_boot(journald: Path) -> None:
    done(journald, "journal", "persistent")
    (journald / "calls").unlink()
    assert marks(done(journald, "journal", "volatile").stdout) == ["begin 0", "done 0"]
    assert seen(journald, "journal") == [SeenSetting("persistent now, volatile at boot")]
    assert not (journald / "calls").exists()


def test_a_journal_that_is_journalds_own_again_is_without_our_file_and_keeps_its_logs(journald: Path) -> None:
    done(journald, "journal", "persistent")
    log = journald / f"root/var/log/journal/{MACHINE}/system.journal"
    (journald / "calls").unlink()
    assert marks(done(journald, "journal", "default").stdout) == ["begin 0", "done 0"]
    assert not (journald / "root" / DROP_IN).parent.exists()
    assert log.is_file()
    assert not (journald / "calls").exists()
    assert families.words("journal", "default") == "set journal to journald's own default"
    other = put(journald, "etc/systemd/journald.conf.d/10-own.conf", "[Journal]\nStorage=volatile\n")
    assert marks(done(journald, "journal", "default").stdout) == ["begin 0", "done 0"]
    assert other.is_file()
    assert seen(journald, "journal") == [SeenSetting("persistent now, volatile at boot")]


def test_a_journald_that_keeps_to_memory_is_an_error_that_says_what_to_do(journald: Path) -> None:
    (journald / "stays").touch()
    result = done(journald, "journal", "persistent")
    assert marks(result.stdout) == ["begin 0", "failed 0"]
    assert "reboot the host, or restart systemd-journald" in evidence(result.stdout)
    assert seen(journald, "journal") == [SeenSetting("volatile now, persistent at boot")]


def test_names_are_shown_by_their_number_and_as_lines() -> None:
    assert families.words("hosts-file", NAMES) == "set hosts-file to 2 names"
    assert families.words("hosts-file", "10.77.0.11=m1") == "set hosts-file to 1 name"
    assert families.words("hosts-file", "none") == "set hosts-file to none"
    assert families.words("swap", "off") == "set swap to off"
    assert families.block("hosts-file", NAMES) == ("/etc/hosts", b"10.77.0.11 m1\n10.77.0.21 n1\n")
    assert families.block("hosts-file", "none") == ("/etc/hosts", b"")
    assert families.block("swap", "off") is None


@pytest.mark.parametrize(
    ("name", "found", "wanted", "reason"),
    [
        ("selinux", "permissive", "permissive", ""),
        ("selinux", "disabled", "permissive", ""),
        ("selinux", "permissive now, disabled at boot", "permissive", ""),
        ("selinux", "disabled now, enforcing at boot", "permissive", "disabled now, enforcing at boot instead of permissive"),
        ("selinux", "enforcing", "permissive", "enforcing instead of permissive"),
        ("selinux", "permissive now, enforcing at boot", "permissive", "permissive now, enforcing at boot instead of permissive"),
        ("selinux", "enforcing", "disabled", "enforcing instead of disabled; permissive until the host is rebooted"),
        ("selinux", "permissive now, disabled at boot", "disabled", ""),
        ("selinux", "enforcing now, disabled at boot", "disabled", "enforcing now, disabled at boot instead of disabled; permissive until the host is rebooted"),
        ("selinux", "disabled", "enforcing", "disabled instead of enforcing; disabled until the host is rebooted"),
        ("selinux", "disabled now, enforcing at boot", "enforcing", ""),
        ("selinux", None, "enforcing", ""),
        ("swap", "on", "off", "on instead of off"),
        ("swap", "off now, on at boot", "off", "off now, on at boot instead of off"),
        ("swap", None, "off", ""),
        ("firewalld-port 6443/tcp", None, "open", ""),
        ("node n1", None, "absent", ""),
        ("node n1", "present", "present", ""),
        ("hosts-file", NAMES, NAMES, ""),
        ("hosts-file", "none", NAMES, "it is without 10.77.0.11 m1, 10.77.0.21 n1"),
        ("hosts-file", "10.77.0.11=m1,10.77.0.21=n2", NAMES, "it is without 10.77.0.21 n1, with 10.77.0.21 n2"),
        ("hosts-file", "10.77.0.21=n1,10.77.0.11=m1", NAMES, "its names are in a different order"),
        ("hosts-file", NAMES, "none", "it is with 10.77.0.11 m1, 10.77.0.21 n1"),
        ("hosts-file", "none", "1.0.0.1=a,1.0.0.2=b,1.0.0.3=c,1.0.0.4=d", "it is without 1.0.0.1 a, 1.0.0.2 b, 1.0.0.3 c and 1 more"),
        ("journal", "volatile now, persistent at boot", "persistent", "volatile now, persistent at boot instead of persistent"),
        ("journal", "persistent", "persistent", ""),
        ("journal", "persistent now, volatile at boot", "volatile", ""),
        ("journal", "persistent", "volatile", "persistent instead of volatile"),
        ("user kube", None, "system", "there is no user kube"),
        ("user kube", "system", "system", ""),
        ("user kube", "system", "absent", "nothing runs as this user any more"),
        ("user kube", None, "absent", ""),
        ("journal", "persistent", "default", "the drop-in that set it is no longer wanted"),
        ("image a:1", "sha256:00", "absent", "it is no longer needed"),
        ("image a:1", None, "absent", ""),
        ("image a:1", None, "sha256:00", "it is missing"),
        ("image a:1", "sha256:01", "sha256:00", "sha256:01 instead of sha256:00"),
        ("image a:1", "sha256:00", "sha256:00", ""),
    ],
)  # fmt: skip
def test_what_differs_is_said_in_words(name: str, found: str | None, wanted: str, reason: str) -> None:
    assert families.differs(name, found, wanted) == reason
    item = want(name, wanted)
    plan = make_plan({item.ref: item}, {item.ref: Missing.ABSENT if found is None else SeenSetting(found)})
    assert [change.reason for change in plan.changes] == ([reason] if reason else [])
    shown = f"load {name}" if name.startswith("image ") else f"set {name} to "
    shown = f"remove {name}" if wanted == "absent" else shown
    assert all(change_words(change).startswith(shown) for change in plan.changes)


def test_settings_of_one_family_share_what_sets_them() -> None:
    text = families.setters(["swap", *PORTS])
    assert text.count("set_firewalld_port()") == text.count("set_swap()") == 1


def test_a_new_family_is_one_value_in_the_list(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/host-settings.md says of adding one: its two scripts, and its name in the list."""
    greeting = Family(
        "login-text",
        ask=('ask_login_text() { read -r now <"$root/etc/issue"; echo "setting $now $now login-text"; }\n',),
        set=(REPLACE, 'set_login_text() { printf "%s\\n" "$1" | replace "$root/etc/issue"; }\n'),
    )
    monkeypatch.setattr(families, "FAMILIES", {**families.FAMILIES, greeting.name: greeting})
    issue = put(host, "etc/issue", "welcome\n")
    assert seen(host, "login-text", "swap") == [SeenSetting("welcome"), SeenSetting("on")]
    assert families.differs("login-text", "welcome", "private") == "welcome instead of private"
    assert marks(done(host, "login-text", "private").stdout) == ["begin 0", "done 0"]
    assert seen(host, "login-text") == [SeenSetting("private")]
    done(host, "login-text", str(families.original("login-text", "welcome")))
    assert issue.read_text() == "welcome\n"


def test_yums_proxy_is_one_line_of_its_configuration(host: Path) -> None:
    assert seen(host, "yum-proxy") == [Missing.ABSENT]
    config = put(host, "etc/yum.conf", "[main]\ncachedir=/var/cache/yum\nproxy = http://old:1\n")
    assert seen(host, "yum-proxy") == [SeenSetting("http://old:1")]
    assert marks(done(host, "yum-proxy", "http://10.0.0.9:3128").stdout) == ["begin 0", "done 0"]
    assert config.read_text() == "[main]\nproxy=http://10.0.0.9:3128\ncachedir=/var/cache/yum\n"
    assert seen(host, "yum-proxy") == [SeenSetting("http://10.0.0.9:3128")]
    done(host, "yum-proxy", "none")
    assert config.read_text() == "[main]\ncachedir=/var/cache/yum\n"
    assert seen(host, "yum-proxy") == [SeenSetting("none")]
    config.write_text("[main]\nproxy=\n")
    assert seen(host, "yum-proxy") == [SeenSetting("none")]


@pytest.fixture
def docker(host: Path) -> Iterator[Path]:
    """A docker that knows the images named in the file `images`, by name and id, and loads what archives say."""
    program(
        host / "bin",
        "docker",
        f"""echo "$*" >>{host}/calls
case $1 in
image) shift 4; found=0; for name do grep "^$name " {host}/images | cut -d' ' -f2 | grep . || found=1; done; exit $found ;;
load) cat "$3" >>{host}/images ;;
rmi) sed -i "\\#^$3 #d" {host}/images ;;
tag) grep -q " $2$" {host}/images && echo "$3 $2" >>{host}/images ;;
esac""",
    )
    (host / "images").write_text("")
    path = host / "root/var/run/docker.sock"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path is short
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)
        yield host


PAUSE, WEB = "image 10.0.0.1:5000/lab/pause:1", "image lab/web:1"


def test_an_image_is_loaded_from_the_archive_that_is_called_as_its_id(docker: Path) -> None:
    assert seen(docker, PAUSE, WEB) == [Missing.ABSENT] * 2
    put(docker, "var/lib/k8s-installer/bundle/images/aa.tar", "other:1 sha256:aa\n")
    assert marks(done(docker, PAUSE, "sha256:aa").stdout) == ["begin 0", "done 0"]
    assert seen(docker, PAUSE, WEB) == [SeenSetting("sha256:aa"), Missing.ABSENT]
    put(docker, "var/lib/k8s-installer/bundle/images/bb.tar", "lab/web:1 sha256:bb\n")
    done(docker, WEB, "sha256:bb")
    (docker / "calls").write_text("")
    assert seen(docker, PAUSE, WEB) == [SeenSetting("sha256:aa"), SeenSetting("sha256:bb")]
    assert len((docker / "calls").read_text().splitlines()) == 1  # for a second run costs no more


def test_an_image_that_was_loaded_loses_its_name_and_one_that_had_it_gets_it_back(docker: Path) -> None:
    put(docker, "var/lib/k8s-installer/bundle/images/aa.tar", "other:1 sha256:aa\n")
    done(docker, PAUSE, "sha256:aa")
    assert marks(done(docker, PAUSE, "absent").stdout) == ["begin 0", "done 0"]
    assert seen(docker, PAUSE) == [Missing.ABSENT]
    assert "rmi -f 10.0.0.1:5000/lab/pause:1" in (docker / "calls").read_text().splitlines()
    (docker / "images").write_text("sha256:01 sha256:01\nlab/web:1 sha256:02\n")
    (docker / "calls").write_text("")
    assert marks(done(docker, WEB, "sha256:01").stdout) == ["begin 0", "done 0"]
    assert not [line for line in (docker / "calls").read_text().splitlines() if line.startswith("load")]
    (docker / "root/var/run/docker.sock").unlink()
    (docker / "calls").unlink()
    assert marks(done(docker, PAUSE, "absent").stdout) == ["begin 0", "done 0"]
    assert not (docker / "calls").exists()


def test_an_archive_without_the_image_is_a_failure(docker: Path) -> None:
    put(docker, "var/lib/k8s-installer/bundle/images/aa.tar", "other:1 sha256:cc\n")
    assert marks(done(docker, PAUSE, "sha256:aa").stdout) == ["begin 0", "failed 0"]


def test_a_docker_that_hangs_is_asked_once(docker: Path) -> None:
    program(docker / "bin", "docker", f'echo "$*" >>{docker}/calls; exit 124')
    assert seen(docker, PAUSE, WEB) == [Missing.ABSENT] * 2
    assert len((docker / "calls").read_text().splitlines()) == 1


def test_where_docker_does_not_run_it_is_not_asked(docker: Path) -> None:
    (docker / "root/var/run/docker.sock").unlink()
    assert seen(docker, PAUSE) == [Missing.ABSENT]
    assert not (docker / "calls").exists()
