"""Backups that members make by themselves: from the inventory to the timer on the host, and away again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from k8s_installer import inventory, profiles
from k8s_installer.desired import Desired, desire
from k8s_installer.errors import InventoryError
from k8s_installer.host import backups, families
from k8s_installer.host.backups import Schedule
from k8s_installer.model.resources import Kind, Ref, SeenSetting, Setting
from k8s_installer.render import Renderer
from tests.unit.clusters import placeholder
from tests.unit.test_host_settings import done, run, seen
from tests.unit.test_perform import program

PKI = "/etc/etcd/pki"
DAILY = Schedule(
    "daily", "7", "/var/lib/etcd-backups", "lab", "1.20.2", "m1", "https://127.0.0.1:2379", f"{PKI}/ca.crt",
    f"{PKI}/healthcheck.crt", f"{PKI}/healthcheck.key",
)  # fmt: skip
PROGRAM = "root/usr/local/sbin/etcd-backup"


def wanted(settings: str, host: str = "", version: str = "1.20.2", security: str = "tls") -> Desired:
    text = (
        f'cluster: {{name: lab, version: "{version}", network: none, security: {security}}}\nhost_settings: {settings}\n'
        f"hosts:\n  m1: {{address: 10.0.0.1, roles: [etcd, master]{host}}}\n  m2: {{address: 10.0.0.2, roles: [etcd]}}\n"
        "  m3: {address: 10.0.0.3, roles: [etcd]}\n"
        "  n1: {address: 10.0.0.9, roles: [node]}\n"
    )
    lab = inventory.parse(text, Path("/srv/inventory.yaml"))
    return desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())


def schedules(found: Desired) -> dict[str, str]:
    return {
        ref.host: item.resource.value
        for ref, item in found.items()
        if ref.name == backups.NAME and isinstance(item.resource, Setting)
    }


def test_each_member_has_a_timer_where_the_inventory_asks_for_it_and_asks_its_etcd_as_the_gate_does() -> None:
    assert schedules(wanted("{}")) == {}
    assert schedules(wanted("{etcd_backups: {schedule: daily}}")) == {
        host: str(DAILY._replace(host=host)) for host in ("m1", "m2", "m3")
    }
    found = wanted("{}", ", host_settings: {etcd_backups: {schedule: '02:30', keep: 3, folder: /srv/b}}")
    assert schedules(found) == {"m1": str(DAILY._replace(at="*-*-*_02:30:00", keep="3", folder="/srv/b"))}
    (item,) = (item for ref, item in found.items() if ref.name == backups.NAME)
    assert item.after == (Ref("m1", Kind.GATE, "etcd is healthy"),)
    plain = wanted("{etcd_backups: {schedule: weekly}}", version="1.5.2", security="insecure")
    assert schedules(plain)["m2"].rpartition("|")[0].endswith("|m2|http://127.0.0.1:2379|||")


@pytest.mark.parametrize(
    "bad",
    [
        "{schedule: often}",
        "{schedule: '24:00'}",
        "{keep: 3}",
        "{schedule: daily, keep: 0}",
        "{schedule: daily, folder: a b}",
    ],
)
def test_what_is_no_schedule_is_refused(bad: str) -> None:
    with pytest.raises(InventoryError):
        wanted(f"{{etcd_backups: {bad}}}")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A systemd that knows which timers are on."""
    (tmp_path / "bin").mkdir()
    state = tmp_path / "on"
    program(
        tmp_path / "bin",
        "systemctl",
        f'case "$*" in *enable\\ *|*restart*) touch {state} ;; disable*|stop*) rm -f {state} ;; -q*) [ -e {state} ] ;; esac',
    )
    return tmp_path


def test_a_timer_is_made_seen_and_removed_and_backups_stay(host: Path) -> None:
    assert seen(host, backups.NAME) == [SeenSetting("none")]
    assert done(host, backups.NAME, str(DAILY)).returncode == 0
    assert seen(host, backups.NAME) == [SeenSetting(str(DAILY))]
    assert (host / PROGRAM).stat().st_mode & 0o777 == 0o755
    timer = host / "root/etc/systemd/system/etcd-backup.timer"
    assert "OnCalendar=daily\n" in timer.read_text()
    assert run(host, f"sh -n {host / PROGRAM}").returncode == 0
    (host / "on").unlink()
    assert seen(host, backups.NAME) == [SeenSetting("off")]
    assert done(host, backups.NAME, "none").returncode == 0
    assert seen(host, backups.NAME) == [SeenSetting("none")]
    assert not timer.exists()


def test_differences_and_what_is_done_about_them_are_said() -> None:
    value = str(DAILY)
    assert families.differs(backups.NAME, value, value) == ""
    assert (
        families.differs(backups.NAME, "none", value)
        == families.differs(backups.NAME, None, value)
        == "there is no timer"
    )
    assert families.differs(backups.NAME, f"off now, {value} at boot", value) == "its timer does not run"
    assert families.differs(backups.NAME, value.replace("|7|", "|8|"), value) == "its settings differ"
    older = f"{value.rpartition('|')[0]}|01234567"
    assert families.differs(backups.NAME, older, value) == "its script is of another version of k8s-installer"
    assert families.differs(backups.NAME, value, "none") == "the inventory does not ask for it any more"
    assert families.words(backups.NAME, value) == "back up etcd to /var/lib/etcd-backups, daily, and keep 7 files"
    assert families.words(backups.NAME, "none") == "stop backing up etcd"
    assert families.original(backups.NAME, None) == "none"


def backs_up(host: Path, folder: Path, name: str = "m1", keep: str = "2", free: str = "900") -> str:
    """Run the program of a member whose etcd has 300 MB; what it says."""
    tools = host / "bin"
    program(
        tools, "curl", """case "$*" in *%{http_code}*) printf 404 ;; *) echo '{"revision":"5","count":"2"}' ;; esac"""
    )
    program(
        tools,
        "etcdctl",
        """case "$*" in
*status*) echo '[{"Status":{"dbSize":314572800,"dbSizeInUse":1}}]' ;; *"snapshot save"*) echo data >etcd/v3.db ;; esac""",
    )
    program(tools, "df", f"printf 'head\\nfs 1000 100 {free} 10%% /\\n'")
    program(tools, "sync", ":")
    value = DAILY._replace(folder=str(folder), keep=keep, host=name)
    assert done(host, backups.NAME, str(value)).returncode == 0
    return run(host, str(host / PROGRAM)).stderr


def test_only_a_member_s_own_oldest_files_are_deleted_and_never_the_one_just_made(host: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    others = {
        "lab-before-upgrade.backup", "lab-m1-before.backup", "lab-prod-20250101T000000Z.backup",
        "lab-m10-20250101T000000Z.backup", "lab-m2-20250101T000000Z.backup", "lab-m1-20250101T000000Z.backup.old",
    }  # fmt: skip
    own = ["lab-m1-20250101T000000Z.backup", "lab-m1-20250102T000000Z.backup", "lab-m1-20990101T000000Z.backup"]
    for name in (*others, *own):
        (folder / name).touch()
    assert backs_up(host, folder) == ""
    left = {path.name for path in folder.iterdir()} - others
    assert len(left) == 2
    assert "lab-m1-20990101T000000Z.backup" in left, "by its name it is the newest"
    assert not left <= set(own), "the new one is there, although the clock was once ahead"
    assert backs_up(host, folder, keep="1") == ""
    (new,) = {path.name for path in folder.iterdir()} - others
    assert new not in own
    assert backs_up(host, folder, name="m2") == ""
    assert others < {path.name for path in folder.iterdir()}


def test_without_room_for_it_there_is_no_backup_and_what_a_killed_one_left_is_removed(
    host: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "small"
    killed, running = folder / ".new.abcdef", folder / ".new.ghijkl"
    for work in (killed, running):
        work.mkdir(parents=True)
        (work / "v3.db").touch()
    os.utime(killed, (time.time() - 3 * 3600,) * 2)
    words = f"no room for a backup in {folder}: 699 MB are free, 700 are needed\n"
    assert backs_up(host, folder, free="699") == words
    assert list(folder.iterdir()) == [running]
    assert backs_up(host, folder, free="700") == ""
    assert len(list(folder.iterdir())) == 2
