"""Backups that members make by themselves: from the inventory to the timer on the host, and away again."""

from __future__ import annotations

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
    assert schedules(plain)["m2"].endswith("|m2|http://127.0.0.1:2379|||")


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
    assert families.differs(backups.NAME, value.replace("|7|", "|8|"), value) == "it is made otherwise"
    assert families.differs(backups.NAME, value, "none") == "the inventory does not ask for it any more"
    assert families.words(backups.NAME, value) == "back up etcd to /var/lib/etcd-backups, daily, and keep 7 files"
    assert families.words(backups.NAME, "none") == "stop backing up etcd"
    assert families.original(backups.NAME, None) == "none"
