"""`restore` up to the question: what is refused, what is left behind, and how one that was cut off is known."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from k8s_installer import backup, pki
from k8s_installer.backup import archive, sealed
from k8s_installer.backup.manifest import Manifest
from k8s_installer.cli.app import _status
from k8s_installer.engine.fleet import Connections, ObservedFleet
from k8s_installer.engine.remote import OnReport
from k8s_installer.engine.remote import Outcome as Done
from k8s_installer.errors import InputError, InstallerError, Lost, LostError
from k8s_installer.flows import resolve, restoredata, restoring
from k8s_installer.flows.apply import Options, apply
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.plan import plan
from k8s_installer.flows.restore import Source, check, restore
from k8s_installer.flows.status import look
from k8s_installer.host import perform
from k8s_installer.host.gates import GateAnswer, UnitState
from k8s_installer.host.snapshot import RUNS
from k8s_installer.model.desired import Desired
from k8s_installer.model.plan import Change
from k8s_installer.model.resources import Gate, Missing
from k8s_installer.model.rotation import Advance, Step
from k8s_installer.planning.turns import QUARTER
from k8s_installer.transport import OnSent, Result
from tests.unit.clusters import leaves
from tests.unit.test_backing_up import Member
from tests.unit.test_backup import snapshot
from tests.unit.test_flows import Fleet, Recorder
from tests.unit.test_flows import cluster as insecure

__all__ = ["insecure"]
PHRASE = b"correct horse"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "_COST", 2)


@dataclass
class Obedient:
    """A host that does all that it is told, and whose gates hold."""

    name: str
    log: list[str]

    def perform(self, changes: Sequence[tuple[int, Change]], on_report: OnReport) -> Done:
        for index, change in changes:
            for word in ("begin", "done"):
                on_report(perform.Report(word, index))
            upload = perform.upload_of(change)
            self.log.append(f"{change.action} {change.ref}" + (f" with {upload.source.name}" if upload else ""))
        return Done(frozenset(index for index, _ in changes))

    def probe(self, gate: Gate, patience: int = 0, since: int = 0) -> GateAnswer:
        self.log.append(f"wait {self.name}: {gate.unit}")
        return GateAnswer(holds=True, words="", unit=UnitState("active", 1))


@pytest.fixture
def cluster(insecure: Fleet, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """All runs as the inventory says, and nothing was restored."""

    def observe(connections: Connections, asked: Desired, *more: object) -> ObservedFleet:
        found = insecure.observe(connections, asked, *more)
        remotes: dict[str, Any] = {name: Obedient(name, insecure.recorder.heard) for name in ("m1", "n1")}
        return replace(
            found,
            remotes=remotes,
            seen={**found.seen, **{ref: Missing.ABSENT for ref in asked if "etcd-restored" in ref.name}},
        )

    monkeypatch.setattr("k8s_installer.engine.fleet.observe", observe)
    return insecure


def folder(cluster: Fleet) -> Path:
    return cluster.inputs.inventory.parent / ".k8s-installer/lab/restoring"


def made(
    path: Path,
    *,
    name: str = "lab",
    version: str = "1.5.2",
    phrase: bytes | None = None,
    more: dict[str, bytes] | None = None,
) -> Path:
    given = [backup.Part(one, io.BytesIO(content)) for one, content in {backup.V3: snapshot(), **(more or {})}.items()]
    about = Manifest(
        cluster=name, version=version, created=datetime(2026, 3, 1, tzinfo=UTC), member="m1", keys=12, keys_v2=3,
        files=tuple(map(archive.entry, given)),
    )  # fmt: skip
    with archive.target(path) as file:
        backup.write(file, about, given, phrase)
    return path


def restored(cluster: Fleet, path: Path, phrase: Callable[[], bytes] = lambda: PHRASE, **more: object) -> Outcome:
    options = replace(Options(cluster.inputs, verify=False, preflight=False, roll_back=False), **more)  # type: ignore[arg-type]
    return restore(options, cluster.recorder, Source(path), phrase)


def token(cluster: Fleet) -> str:
    found = re.findall(r"lab-[0-9a-f]{8}", (folder(cluster) / "begun").read_text())
    return str(found[0])


def test_the_plan_stops_replaces_and_starts_and_a_no_leaves_nothing_behind(cluster: Fleet, tmp_path: Path) -> None:
    v2 = b'{"node": {"dir": true, "nodes": [{"key": "/registry/a", "value": "x"}]}}'
    path = made(tmp_path / "lab.backup", more={backup.V2: v2})
    assert restored(cluster, path) is Outcome.FAILED
    (plan,) = (line for line in cluster.recorder.heard if line.startswith("plan "))
    steps = [step for step in plan.removeprefix("plan ").split(", ") if not step.startswith("wait")]
    assert steps == [
        "stop m1: unit kube-scheduler",
        "stop m1: unit kube-controller-manager",
        "stop m1: unit kube-apiserver",
        "stop m1: unit etcd",
        "set m1: setting etcd-restored /var/lib/etcd/default.etcd",
        "start m1: unit etcd",
        "set m1: setting etcd-keys http://127.0.0.1:2379",
        "start m1: unit kube-apiserver",
        "start m1: unit kube-controller-manager",
        "start m1: unit kube-scheduler",
        "restart n1: unit kubelet",
        "restart n1: unit kube-proxy",
    ]
    assert "say backup of lab from 2026-03-01 00:00:00 UTC: 12 keys, and 3 of API v2" in cluster.recorder.heard
    assert "ask Type the name of the cluster (lab) to replace etcd's data: " in cluster.recorder.heard
    assert cluster.recorder.heard[-2:] == ["say nothing was changed", "unlocked"]
    assert not folder(cluster).exists()


def test_it_is_carried_out_in_this_order_and_nothing_is_left_here(cluster: Fleet, tmp_path: Path) -> None:
    v2 = b'{"node": {"dir": true, "nodes": [{"key": "/registry/a", "value": "x"}]}}'
    path = made(tmp_path / "lab.backup", more={backup.V2: v2})
    assert restored(cluster, path, yes=True) is Outcome.DONE
    heard = cluster.recorder.heard
    steps = [
        "stop m1: unit etcd",
        "set m1: setting etcd-restored /var/lib/etcd/default.etcd with v3.db",
        "start m1: unit etcd",
    ]
    steps += [
        "wait m1: etcd",
        "set m1: setting etcd-keys http://127.0.0.1:2379 with v2.requests",
        "start m1: unit kube-apiserver",
    ]
    places = [heard.index(step) for step in [*steps, "restart n1: unit kubelet"]]
    assert places == sorted(places)
    assert not folder(cluster).exists()
    assert cluster.recorder.end is not None
    assert re.fullmatch(
        r"The data that was there before is kept on m1 in /var/lib/etcd/default.etcd/before-lab-[0-9a-f]{8}: remove it when nobody needs it\.",
        cluster.recorder.end.closing[0],
    )
    assert apply(Options(cluster.inputs, yes=True, verify=False), cluster.recorder) is Outcome.DONE


def test_one_that_was_cut_off_stops_other_commands_and_resumes_with_its_token(cluster: Fleet, tmp_path: Path) -> None:
    path, other = made(tmp_path / "lab.backup"), made(tmp_path / "other.backup", more={backup.V3: snapshot(512)})
    killed: list[object] = []

    def dies(wanted: resolve.Resolved) -> None:
        killed.append(wanted)
        raise KeyboardInterrupt

    def begun(source: Path) -> str:
        """Restore, and die when that is remembered and no host has changed."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("k8s_installer.flows.apply._note_use", lambda *_: dies(None))  # type: ignore[arg-type]
            with pytest.raises(KeyboardInterrupt):
                restored(cluster, source, yes=True)
        return token(cluster)

    first = begun(path)
    with pytest.raises(InstallerError) as caught:
        apply(Options(cluster.inputs, yes=True), cluster.recorder)
    assert caught.value.message == f"a restore from {path} did not finish; nothing was changed"
    assert f"k8s-installer restore {path} -i INVENTORY" in caught.value.hint
    assert begun(path) == first
    assert begun(other) != first
    cluster.recorder.reply = "no"
    assert restored(cluster, path) is Outcome.FAILED
    assert (folder(cluster) / "begun").exists()
    (folder(cluster) / "begun").write_text("{")
    with pytest.raises(InputError, match="it is damaged"):
        apply(Options(cluster.inputs, yes=True), cluster.recorder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "prod"}, "is a backup of the cluster prod, and the inventory is that of lab"),
        ({"version": "1.9.4"}, "was made with Kubernetes 1.9.4, and the inventory has 1.5.2"),
        ({"more": {backup.V2: b"{}"}}, "the keys of etcd's API v2 cannot be read"),
        ({"more": {backup.V3: snapshot()[:-1]}}, "it is cut off"),
    ],
)
def test_a_backup_that_does_not_fit_is_refused_and_nothing_is_left(
    cluster: Fleet, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    path = made(tmp_path / "lab.backup", **change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=words):
        restored(cluster, path)
    assert not folder(cluster).exists()
    assert cluster.recorder.heard[1:] in (
        [],
        ["say backup of lab from 2026-03-01 00:00:00 UTC: 12 keys, and 3 of API v2"],
    )


def test_another_name_or_pass_phrase_is_refused(cluster: Fleet, tmp_path: Path) -> None:
    path = made(tmp_path / "lab.backup", phrase=PHRASE)
    with pytest.raises(InputError, match="the inventory is that of the cluster lab"):
        restore(Options(cluster.inputs), cluster.recorder, Source(path), lambda: PHRASE, name="prod")
    with pytest.raises(InputError, match="the pass phrase is wrong"):
        restored(cluster, path, lambda: b"correct hose")
    assert not folder(cluster).exists()


TLS = """\
cluster: {name: lab, version: "1.20.2", network: none}
hosts:
  m1: {address: 10.0.0.1, roles: [etcd, master]}
  n1: {address: 10.0.0.21, roles: [node]}
"""


def test_an_old_unfinished_restore_adds_nothing_to_that_of_another_backup(cluster: Fleet, tmp_path: Path) -> None:
    folder(cluster).mkdir(parents=True)
    (folder(cluster) / "v2.json").write_bytes(
        b'{"node": {"dir": true, "nodes": [{"key": "/registry/a", "value": "x"}]}}'
    )
    assert restored(cluster, made(tmp_path / "lab.backup"), yes=True) is Outcome.DONE
    assert not [line for line in cluster.recorder.heard if "etcd-keys" in line]


def unfinished(cluster: Fleet, source: Source) -> restoring.Begun:
    """Restore, and die when that is remembered and no host has changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("k8s_installer.flows.apply._note_use", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            restore(sure(cluster), cluster.recorder, source, lambda: PHRASE)
    found = restoring.begun(resolve.checked(cluster.inputs.inventory)[0])
    assert found is not None
    return found


def sure(cluster: Fleet) -> Options:
    return Options(cluster.inputs, yes=True, verify=False, preflight=False, roll_back=False)


def test_another_restore_that_is_refused_or_declined_leaves_the_data_of_one_that_began(
    cluster: Fleet, tmp_path: Path
) -> None:
    path, other = made(tmp_path / "a b.backup"), made(tmp_path / "other.backup", more={backup.V3: snapshot(512)})
    v2 = b'{"node": {"dir": true, "nodes": [{"key": "/registry/a", "value": "x"}]}}'
    damaged = made(tmp_path / "damaged.backup", more={backup.V3: snapshot()[:-1], backup.V2: v2})
    began = unfinished(cluster, Source(path))
    assert began.source == f"'{path}'"
    cluster.recorder.reply = "no"
    assert restored(cluster, other) is Outcome.FAILED
    with pytest.raises(InputError):
        restored(cluster, damaged)
    assert restoring.begun(resolve.checked(cluster.inputs.inventory)[0]) == began
    assert [item.name for item in began.data.iterdir()] == ["v3.db"]
    assert (began.data / "v3.db").read_bytes() == snapshot()
    assert sorted(item.name for item in folder(cluster).iterdir()) == sorted(["begun", began.data.name])
    assert restored(cluster, other, yes=True) is Outcome.DONE
    assert not folder(cluster).exists()


def test_a_timers_backup_from_before_a_rotation_says_what_it_adds_and_what_is_to_be_done(
    cluster: Fleet, tmp_path: Path
) -> None:
    cluster.inputs.inventory.write_text(TLS)
    inventory, _ = resolve.checked(cluster.inputs.inventory)
    own, needed = resolve.pki_folder(inventory), leaves(inventory)
    pki.ensure(own, needed)
    for root in ("encryption", "sa"):
        for step in Step:
            pki.ensure(own, needed, advance=Advance(root, step))
        pki.end_rotation(own, root)
    before = (own / "encryption.key").read_bytes()
    path = made(tmp_path / "lab.backup", version="1.20.2")
    cluster.recorder.reply = "no"
    assert restored(cluster, path) is Outcome.FAILED
    warnings = [line for line in cluster.recorder.heard if line.startswith("warn ")]
    assert [
        word for line in warnings for word in ("certs rotate encryption add", "certs rotate sa add") if word in line
    ]
    assert (own / "encryption.key").read_bytes() == before
    assert restored(cluster, path, yes=True) is Outcome.DONE
    assert (own / "encryption.key").read_bytes() == before + (own / "encryption-old.key").read_bytes()


def test_restores_that_wait_for_an_answer_are_in_nobodys_way(cluster: Fleet, tmp_path: Path) -> None:
    inventory, _ = resolve.checked(cluster.inputs.inventory)
    left = folder(cluster) / "killed"
    left.mkdir(parents=True)
    (left / "v3.db").write_bytes(snapshot())
    with restoring.place(inventory) as first:
        assert not left.exists()
        (first / "v3.db").write_bytes(snapshot())
        with restoring.place(inventory) as second:
            (second / "v3.db").write_bytes(snapshot(512))
        assert not second.exists()
        asked = restoredata.restore_of(inventory, first)
        restoring.begin(inventory, asked, "lab.backup")
        with restoring.place(inventory) as third:
            (third / "v3.db").write_bytes(snapshot(512))
            restoring.begin(inventory, restoredata.restore_of(inventory, third), "other.backup")
        with pytest.raises(InputError, match="another restore began meanwhile"):
            restoring.begin(inventory, asked, "lab.backup")
    assert [item.name for item in third.iterdir()] == ["v3.db"]
    restoring.end(inventory)
    assert not folder(cluster).exists()


def test_an_error_before_the_first_change_leaves_no_unfinished_restore(
    cluster: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise InputError("cannot write a key")

    monkeypatch.setattr("k8s_installer.flows.apply._with_keys", refuses)
    with pytest.raises(InputError, match="cannot write a key"):
        restored(cluster, made(tmp_path / "lab.backup"), yes=True)
    assert not folder(cluster).exists()


@pytest.mark.parametrize(("broken", "ended"), [("n1: unit kubelet", True), ("m1: unit kube-scheduler", False)])
def test_a_node_that_fails_does_not_keep_a_restore_unfinished_and_a_master_does(
    cluster: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, *, ended: bool
) -> None:
    """By then the members have their data and clients write: nobody is asked to replace it once more."""
    obey = Obedient.perform

    def fails(self: Obedient, changes: Sequence[tuple[int, Change]], on_report: OnReport) -> Done:
        for index, change in changes:
            if str(change.ref) == broken:
                on_report(perform.Report("begin", index))
                on_report(perform.Report("failed", index))
                return Done(frozenset(), index, "no space left")
            obey(self, [(index, change)], on_report)
        return Done(frozenset(index for index, _ in changes))

    monkeypatch.setattr(Obedient, "perform", fails)
    assert restored(cluster, made(tmp_path / "lab.backup"), yes=True) is Outcome.FAILED
    assert (folder(cluster) / "begun").exists() is not ended
    assert any("the restore has ended; apply does the rest on n1" in line for line in cluster.recorder.heard) is ended


def test_an_unfinished_restore_is_named_before_what_hosts_have_lost_meanwhile(
    cluster: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two steps of it a member has no data: what a lost member needs is then the wrong advice."""
    unfinished(cluster, Source(made(tmp_path / "lab.backup")))

    def lost(*_: object) -> None:
        raise LostError(Lost.MEMBER, ["m1"], "this member has lost its data", hint="join it")

    monkeypatch.setattr("k8s_installer.flows.session.require_kept", lost)
    for run in (
        lambda: apply(sure(cluster), cluster.recorder),
        lambda: plan(cluster.inputs, cluster.recorder, QUARTER, replace_keys=False),
    ):
        with pytest.raises(InstallerError, match="did not finish"):
            run()
    monkeypatch.setattr("k8s_installer.flows.status._statuses", lambda *_: {})
    monkeypatch.setattr("k8s_installer.flows.status._with_placed", lambda _session, wanted, found: (wanted, found))
    look(cluster.inputs, cluster.recorder)
    assert [line for line in cluster.recorder.heard if line.startswith("error ") and "did not finish" in line]


@dataclass
class Giving(Member):
    """A member whose etcd runs, or whose file is all that is left of it."""

    running: bool = True
    file: bytes = b""
    copied: int = 0

    def download(self, script: str, target: BinaryIO, *, idle: float, on_saved: OnSent) -> Result:
        if not script.startswith("# copy"):
            self.status = 0 if self.running else 1
            return super().download(script, target, idle=idle, on_saved=on_saved)
        self.asked.append(script.splitlines()[0])
        target.write(self.file)
        return Result(self.copied, "", "etcd runs, or is about to\n" if self.copied else "")


@pytest.fixture
def member(cluster: Fleet, monkeypatch: pytest.MonkeyPatch) -> Giving:
    found = Giving("m1")

    @contextmanager
    def connecting(*_: object) -> Iterator[Connections]:
        with ThreadPoolExecutor(1) as pool:
            lines: dict[str, Any] = {"m1": found}
            yield Connections(pool, lines)

    monkeypatch.setattr("k8s_installer.engine.fleet.connecting", connecting)
    return found


def from_member(cluster: Fleet, host: str = "m1") -> Outcome:
    options = Options(cluster.inputs, yes=True, verify=False, preflight=False, roll_back=False)
    return restore(options, cluster.recorder, Source(member=host), lambda: PHRASE)


def test_a_member_is_asked_once_and_a_restore_that_was_cut_off_uses_what_it_gave(
    cluster: Fleet, member: Giving
) -> None:
    """When it resumes, the member's own data may be half replaced."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("k8s_installer.flows.apply._note_use", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            from_member(cluster)
    first, asked = token(cluster), list(member.asked)
    assert asked == ["# take a snapshot of etcd", "# read the keys of etcd's API v2"]
    member.running = False
    with pytest.raises(InstallerError, match="a restore from --from-member m1 did not finish"):
        apply(Options(cluster.inputs, yes=True), cluster.recorder)
    assert from_member(cluster) is Outcome.DONE
    assert member.asked == asked
    assert cluster.recorder.end is not None
    assert f"before-{first}" in cluster.recorder.end.closing[0]
    assert not folder(cluster).exists()


def test_the_file_of_a_member_that_does_not_run_is_copied_and_a_damaged_one_is_refused(
    cluster: Fleet, member: Giving
) -> None:
    member.running, member.file = False, snapshot()[:-40]
    with pytest.raises(InstallerError, match="m1: the file of etcd's data is cut off"):
        from_member(cluster)
    assert not folder(cluster).exists()
    member.copied = RUNS
    with pytest.raises(InstallerError, match="etcd runs, or is about to") as caught:
        from_member(cluster)
    assert caught.value.hint == "systemctl stop etcd on m1, then run this again"
    member.file, member.copied = snapshot()[:-32], 0
    assert from_member(cluster) is Outcome.DONE
    assert [line for line in cluster.recorder.heard if line.endswith("its file is copied instead")]
    with pytest.raises(InputError, match="--from-member n1: the members of etcd are m1"):
        from_member(cluster, "n1")


def test_keys_that_are_missing_here_come_back_and_others_are_refused(cluster: Fleet, tmp_path: Path) -> None:
    cluster.inputs.inventory.write_text(TLS)
    inventory, _ = resolve.checked(cluster.inputs.inventory)
    pki.ensure(tmp_path / "elsewhere", leaves(inventory))
    files = {
        path.relative_to(tmp_path / "elsewhere").as_posix(): path.read_bytes()
        for path in (tmp_path / "elsewhere").rglob("[!.]*.*")
    }
    given = {**{f"{backup.KEYS}{name}": content for name, content in files.items()}, backup.ALLOCATIONS: b""}
    path = made(tmp_path / "lab.backup", version="1.20.2", more=given)
    own = resolve.pki_folder(inventory)
    assert restored(cluster, path) is Outcome.FAILED  # the answer is no
    assert not [item for item in own.rglob("*") if item.is_file() and item.name != ".lock"]
    assert not (own.parent / resolve.RECORD).exists()
    assert restored(cluster, path, yes=True) is Outcome.DONE
    for name in ("ca.key", "sa.key", "encryption.key", "etcd-ca.key", "m1/apiserver.crt"):
        assert (own / name).read_bytes() == files[name]
    (own / "encryption.key").write_bytes(files["encryption.key"][::-1].strip() + b"\n")
    with pytest.raises(InputError, match=r"differ from the backup's: .*encryption\.key"):
        restored(cluster, path)


def test_a_backup_is_checked_and_unpacked_without_any_host(tmp_path: Path) -> None:
    path = made(
        tmp_path / "lab.backup",
        phrase=PHRASE,
        more={backup.INVENTORY: b"cluster: {}\n", backup.KEYS + "m1/a.key": b"k"},
    )
    found = check(path, lambda: PHRASE, tmp_path / "out", Recorder())
    assert (found.sealed, found.manifest.cluster) == (True, "lab")
    assert (tmp_path / "out/inventory.yaml").read_bytes() == b"cluster: {}\n"
    assert (tmp_path / "out/pki/m1/a.key").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "out/etcd").exists()
    with pytest.raises(InputError, match="exists already"):
        check(path, lambda: PHRASE, tmp_path / "out", Recorder())


def test_what_is_remembered_is_private(cluster: Fleet) -> None:
    inventory, _ = resolve.checked(cluster.inputs.inventory)
    with restoring.place(inventory) as place:
        (place / "v3.db").write_bytes(snapshot())
        restoring.begin(inventory, restoredata.restore_of(inventory, place), "lab.backup")
    assert folder(cluster).stat().st_mode & 0o777 == 0o700
    assert json.loads((folder(cluster) / "begun").read_text())["source"] == "lab.backup"
    restoring.end(inventory)
    restoring.require_none(inventory)


def test_bad_input_is_one_message_and_exit_code_2_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["k8s-installer", *words])
        return (_status(), *capsys.readouterr())

    monkeypatch.chdir(tmp_path)
    path, wrong, phrase = made(tmp_path / "lab.backup", phrase=PHRASE), tmp_path / "wrong", tmp_path / "phrase"
    wrong.write_bytes(b"correct hose\n")
    phrase.write_bytes(PHRASE + b"\n")
    whole = path.read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-1])
    (tmp_path / "flipped").write_bytes(whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])
    made(tmp_path / "foreign", name="prod", version="1.20.2")
    (tmp_path / "cluster.yaml").write_text(TLS)
    sure, given = "-i cluster.yaml --yes --name lab", "--passphrase-file phrase"
    cases = {
        f"restore lab.backup {sure} --passphrase-file wrong": "the pass phrase is wrong",
        f"restore cut {sure} {given}": "cut cannot be used",
        f"restore flipped {sure} {given}": "flipped cannot be used",
        f"restore foreign {sure}": "is a backup of the cluster prod",
        f"restore lab.backup -i cluster.yaml --yes --name prod {given}": "the inventory is that of the cluster lab",
        f"restore lab.backup -i cluster.yaml --yes {given}": "--yes needs --name",
        f"restore lab.backup {sure}": "there is no terminal to ask for the pass phrase on",
        "restore -i cluster.yaml": "restore needs a backup, or --from-member HOST",
        f"restore lab.backup --from-member m1 {sure}": "restore takes a backup or a member's data, not both",
        "restore lab.backup": "restore needs an inventory",
        f"restore --from-member m1 --check {sure}": "--check reads a backup, and --from-member changes the cluster",
        "restore none --check": "cannot read none: No such file or directory",
        "backup -i cluster.yaml -o json": "would write every secret of the cluster to a file named json",
        "backup -i cluster.yaml -o text": "would write every secret of the cluster to a file named text",
        "backup -i cluster.yaml -o x": "keys of the cluster are not on this machine",
        "backup -i cluster.yaml -o x --passphrase-file none": "cannot read none",
        "backup -i cluster.yaml -o x --encrypt": "there is no terminal to ask for the pass phrase on",
    }
    for words, expected in cases.items():
        status, out, err = typed(*words.split())
        assert (status, out) == (2, ""), (words, err)
        assert expected in " ".join(err.split()), (words, err)
        assert err.count("error: ") == 1
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / ".k8s-installer/lab/restoring").exists()
    status, out, err = typed(*f"restore lab.backup --check {given} -o json".split())
    assert status == 0, err
    assert (json.loads(out)["cluster"], json.loads(out)["sealed"]) == ("lab", True)
