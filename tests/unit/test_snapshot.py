"""What members are asked for a backup, and what is shown of it."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from k8s_installer.backup.manifest import Entry, Manifest
from k8s_installer.host import families, perform, snapshot
from k8s_installer.host.restored import MadeOf
from k8s_installer.host.snapshot import Holds
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import Check, Gate, Kind, Missing, Ref, Setting, UploadedFile
from k8s_installer.report import backup as report
from k8s_installer.report.text import change_words
from k8s_installer.untrusted.answers import Malformed

PKI = "/etc/etcd/pki"
TLS = Gate(
    "https://127.0.0.1:2379/health", Check.ETCD_HEALTH, "etcd", f"{PKI}/ca.crt", f"{PKI}/hc.crt", f"{PKI}/hc.key"
)
PLAIN = Gate("http://127.0.0.1:2379/health", Check.ETCD_HEALTH, "etcd")


def test_a_member_is_asked_by_its_gates_files_or_by_none() -> None:
    saved = snapshot.save_script(TLS, "/srv/etcd")
    assert "etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt --cert=" in saved
    assert "du -sm /srv/etcd/member/snap" in saved
    assert "etcdctl --endpoints=http://127.0.0.1:2379 snapshot save" in snapshot.save_script(PLAIN, "/srv/etcd")
    assert "'http://127.0.0.1:2379/v2/keys/?recursive=true&quorum=true'" in snapshot.keys_script(PLAIN)
    assert "'http://127.0.0.1:2379/v2/keys/?recursive=true'" in snapshot.keys_script(PLAIN, quorum=False)
    assert "https://127.0.0.1:2379/version" in snapshot.holds_script(TLS)
    assert "exec cat /srv/etcd/member/snap/db" in snapshot.copy_script("etcd", "/srv/etcd", "/srv/wal")


@pytest.mark.parametrize(
    ("state", "log", "status", "said"),
    [
        ("inactive", "", 0, ""),
        ("failed", "", 0, ""),
        ("activating", "", snapshot.RUNS, "may change while it is copied"),  # it waits for its quorum
        ("active", "", snapshot.RUNS, "may change while it is copied"),
        ("", "", snapshot.RUNS, "may change while it is copied"),
        ("inactive", "/1/registry/pods", 1, "in etcd's API v2"),
    ],
)
def test_the_file_of_a_member_is_copied_only_while_it_is_stopped_and_has_all_objects(
    tmp_path: Path, state: str, log: str, status: int, said: str
) -> None:
    for folder in ("data/member/snap", "wal", "tools"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data/member/snap/db").write_text("database")
    (tmp_path / "wal/0.wal").write_text(log)
    systemctl = tmp_path / "tools/systemctl"
    systemctl.write_text(f'#!/bin/sh\n[ "$1" = show ] && echo ActiveState={state}\n')
    systemctl.chmod(0o755)
    script = snapshot.copy_script("etcd", str(tmp_path / "data"), str(tmp_path / "wal"))
    env = {"PATH": f"{tmp_path / 'tools'}:{os.environ['PATH']}"}
    done = subprocess.run(["/bin/sh"], input=script, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, "" if said else "database")
    assert said in done.stderr


def test_what_a_member_has_is_read_strictly() -> None:
    said = '{"header":{"cluster_id":"1","revision":"77"},"count":"1234"}\n{"etcdserver":"3.3.25"}\n'
    assert snapshot.holds(said) == Holds(77, 1234, "3.3.25")
    assert snapshot.holds('{"header":{"revision":"1"}}\n') == Holds(1, 0, "")
    for bad in ("", "curl: (7) refused", '{"error":"context deadline exceeded"}\n', '{"header":{"revision":"x"}}'):
        with pytest.raises(Malformed):
            snapshot.holds(bad)


def test_a_restored_member_is_a_setting_that_uses_an_upload() -> None:
    file = UploadedFile(Path("/tmp/v3.db"), "a" * 64, 4_200_000, 0o600, secret=True)
    made = MadeOf("lab-1", file.sha256, "m1", "https://10.0.0.1:2380", "m1=https://10.0.0.1:2380")
    change = Change(
        Ref("m1", Kind.SETTING, "etcd-restored /srv/etcd"),
        Action.SET,
        "etcd",
        Missing.ABSENT,
        Setting(str(made), file),
        "",
    )
    assert perform.upload_of(change) is file
    assert list(perform.uploads([(3, change)])) == [(3, file)]
    assert change_words(change) == "restore etcd's data in /srv/etcd from snapshot aaaaaaaaaaaa"
    assert MadeOf(*str(made).split("|")) == made
    name, value = change.ref.name, str(made)
    assert families.differs(name, value, value) == ""
    assert (
        families.differs(name, None, value)
        == families.differs(name, "other", value)
        == "the current data is kept in before-TOKEN"
    )
    assert families.one_way(name)
    assert families.original(name, "other") is None
    keys = "etcd-keys http://127.0.0.1:2379"
    assert families.words(keys, "lab-1|b") == "write the keys of etcd's API v2"
    assert families.differs(keys, None, "lab-1|b")
    assert families.original(keys, None) is None


def test_a_backup_is_shown_for_people_and_for_programs(tmp_path: Path) -> None:
    path = tmp_path / "lab.backup"
    path.write_bytes(b"0" * 1_500_000)
    files = tuple(Entry(name=name, sha256="a" * 64, size=1) for name in ("inventory.yaml", "pki/ca.crt", "etcd/v3.db"))
    made = Manifest(
        cluster="lab", version="1.20.2", created=datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC), member="m1", etcd="3.3.25",
        revision=77, keys=1234, keys_v2=5, files=files,
    )  # fmt: skip
    assert report.lines(path, made, sealed=False).plain.splitlines() == [
        f"{path}: 1.5 MB of lab, Kubernetes 1.20.2, 2026-03-01 04:05:06 UTC",
        "  etcd       1,234 keys, revision 77, from m1 (etcd 3.3.25)",
        "  API v2     5 keys",
        "  keys       the inventory and 1 files of the cluster's keys and certificates",
        "  protected  by its mode alone: whoever has it has every secret",
    ]
    bare = made.model_copy(update={"etcd": "", "keys_v2": 0, "files": files[1:]})
    assert [line.strip() for line in report.lines(path, bare, sealed=True).plain.splitlines()][1:] == [
        "etcd       1,234 keys, revision 77, from m1",
        "keys       1 files of the cluster's keys and certificates",
        "protected  with a pass phrase",
    ]
    data = report.data(path, made, sealed=True)
    assert (data["bytes"], data["sealed"], data["keys"], data["cluster"]) == (1_500_000, True, 1234, "lab")


def test_data_that_a_restore_made_before_is_kept_too_when_it_is_replaced_again(tmp_path: Path) -> None:
    """A first pass may have replaced it days ago, so that it has what clients have written since."""
    tools, data, log = tmp_path / "tools", tmp_path / "data", tmp_path / "wal"
    for folder in (tools, data / "member", log, data / "new-lab-0000/member", tmp_path / "incoming"):
        folder.mkdir(parents=True)
    (data / "member/db").write_text("old")
    (log / "0.wal").write_text("old")
    (tools / "systemctl").write_text(
        "#!/bin/sh\ncase $* in *ActiveState*) echo ActiveState=inactive ;; *) echo User=root ;; esac\n"
    )
    (tools / "etcdctl").write_text(
        '#!/bin/sh\nfor last do :; done\nmkdir -p "$last/member/wal"\n'
        'echo restored >"$last/member/db"\necho restored >"$last/member/wal/0.wal"\n'
    )
    (tools / "chown").write_text("#!/bin/sh\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    (tmp_path / "incoming/s").write_text("")
    made = MadeOf("lab-1111", "s", "m1", "http://m1", "m1=http://m1", str(log))
    change = Change(
        Ref("m1", Kind.SETTING, f"etcd-restored {data}"), Action.SET, "etcd", Missing.ABSENT, Setting(str(made)), ""
    )
    env = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "K8S_INSTALLER_INCOMING": str(tmp_path / "incoming"),
        "K8S_INSTALLER_KEPT": str(tmp_path / "kept"),
    }

    def restored() -> None:
        done = subprocess.run(
            ["/bin/sh"], input=perform.script([(0, change)]), env=env, capture_output=True, text=True, check=False
        )
        assert "done 0" in done.stdout, done

    restored()
    for number in (1, 2):
        (data / "member/db").write_text(f"week {number}")
        (log / "0.wal").write_text(f"week {number}")
        restored()
    aside = ("before-lab-1111", "before-lab-1111.1", "before-lab-1111.2")
    assert [(data / name / "db").read_text() for name in aside] == ["old", "week 1", "week 2"]
    assert [(log / name / "0.wal").read_text() for name in aside] == ["old", "week 1", "week 2"]
    assert (data / "member/db").read_text() == (log / "0.wal").read_text() == "restored\n"
    assert sorted(path.name for path in data.iterdir()) == [*aside, "member"]
