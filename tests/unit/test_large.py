"""A file that is uploaded, through everything that a file goes through."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from pathlib import Path

from k8s_installer.engine.scheduler import apply
from k8s_installer.host import observe
from k8s_installer.model.desired import Desired
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import Backup, Kind, Ref, SeenFile, UploadedFile
from k8s_installer.model.run import Event, Run, State
from k8s_installer.planning.planfile import differences, saved
from k8s_installer.planning.undo import failed_turns, undo
from k8s_installer.report import data, text, timing
from k8s_installer.report.diff import unified
from k8s_installer.runs import journal
from tests.fakes import FakeHost
from tests.unit.example import CONFIG, desired
from tests.unit.test_plan import converged, planned, words


def large(folder: Path, content: bytes = b"a program" * 1_000_000, mode: int = 0o755) -> UploadedFile:
    source = folder / "kubelet"
    source.write_bytes(content)
    return UploadedFile(source, hashlib.sha256(content).hexdigest(), len(content), mode)


def carried_out(plan: Plan, fleet: dict[str, FakeHost]) -> tuple[Run, list[Event]]:
    told: list[Event] = []
    return apply(plan, fleet, told.append, threading.Event()), told


def edited(folder: Path) -> tuple[Desired, Plan, dict[str, FakeHost]]:
    fleet, wanted = converged(), desired(config=large(folder))
    return wanted, planned(wanted, fleet), fleet


def test_it_is_planned_and_carried_out_like_a_file(tmp_path: Path) -> None:
    wanted, plan, fleet = edited(tmp_path)
    assert words(plan)[:2] == [f"m1 update {CONFIG}", "m1 restart kube-apiserver"]
    run, told = carried_out(plan, fleet)
    assert not run.failures
    assert fleet["m1"].contents[CONFIG] == b"a program" * 1_000_000
    assert not planned(wanted, fleet)
    assert [event.detail for event in told if event.state is State.PROGRESS] == ["0 of 9 MB", "9 of 9 MB"]
    assert State.PROGRESS not in {event.state for event in run.events}
    assert run.sent == {"m1": 9_000_000}
    assert data.run_data(plan, run)["sent_bytes"] == {"m1": 9_000_000}
    alone = Run((Event(0, State.RUNNING, 1.0), Event(0, State.DONE, 3.0)), interrupted=False)
    assert timing.waiting(plan, alone) == 0.0  # not the host's own work


def test_its_mode_alone_sends_nothing(tmp_path: Path) -> None:
    _, plan, fleet = edited(tmp_path)
    carried_out(plan, fleet)
    stricter = planned(desired(config=large(tmp_path, mode=0o700)), fleet)
    assert words(stricter) == [f"m1 attributes {CONFIG}"]
    _, told = carried_out(stricter, fleet)
    assert State.PROGRESS not in {event.state for event in told}


def test_a_source_that_is_another_file_fails_before_anything_begins(tmp_path: Path) -> None:
    _, plan, fleet = edited(tmp_path)
    (tmp_path / "kubelet").write_bytes(b"another")
    run, _ = carried_out(plan, fleet)
    assert [event.index for event in run.failures] == [0]
    assert "is a different file" in run.failures[0].detail
    assert len(run.skipped) == len(plan.changes) - 1


def test_a_failed_turn_gets_the_old_file_back(tmp_path: Path) -> None:
    fleet = converged()
    old = dict(fleet["m1"].contents)
    fleet["m1"].refuses["kube-apiserver"] = "unknown flag"
    plan = planned(desired(config=large(tmp_path)), fleet)
    run, _ = carried_out(plan, fleet)
    back = undo(plan, run, failed_turns(plan, run)[0])
    before = plan.changes[0].before
    assert isinstance(before, SeenFile)
    assert back.changes[0].after == Backup(before.sha256, before.mode, before.owner, before.group)
    fleet["m1"].refuses.clear()
    carried_out(back, fleet)
    assert fleet["m1"].contents == old


def test_a_saved_plan_and_a_journal_hold_its_sum_and_not_where_it_lies(tmp_path: Path) -> None:
    wanted, plan, _ = edited(tmp_path)
    file = large(tmp_path)
    kept = saved("lab", wanted, plan)
    assert f"-> {file.sha256[:16]} 0755 root:root" in kept.lines[0]
    moved = desired(config=dataclasses.replace(file, source=Path("/elsewhere")))
    assert differences(kept, saved("lab", moved, planned(moved, converged()))) == []
    another = desired(config=large(tmp_path, b"another"))
    assert differences(kept, saved("lab", another, planned(another, converged())))
    assert journal._facts(0, plan.changes[0])["after"] == {
        "sha256": file.sha256, "mode": "0755", "owner": "root", "group": "root",
    }  # fmt: skip


def test_it_is_asked_for_by_its_sum_and_never_shown(tmp_path: Path) -> None:
    wanted = desired(config=large(tmp_path))[Ref("m1", Kind.FILE, CONFIG)]
    asked = observe.script([wanted])
    assert f"-{large(tmp_path).sha256}  {CONFIG}" in asked  # a minus: its content is not asked for


def test_reports_say_how_much_is_sent_and_show_no_difference(tmp_path: Path) -> None:
    _, plan, _ = edited(tmp_path)
    assert text._note(plan.changes[0]) == "(the content differs; 9.0 MB to send)"
    assert unified(plan.changes[0]) == []
    mode = dataclasses.replace(plan.changes[0], action=Action.ATTRIBUTES, reason="0700 instead of 0755")
    assert "MB" not in text._note(mode)
    assert data._wanted(plan.changes[0]) == {
        "sha256": large(tmp_path).sha256, "mode": "0755", "owner": "root", "group": "root", "size": 9_000_000,
    }  # fmt: skip
