from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import (
    Backup,
    File,
    Kind,
    Leaves,
    Missing,
    NoPackage,
    Original,
    Placed,
    Record,
    Ref,
    SeenFile,
    SeenPackage,
    SeenSetting,
    SeenUnit,
    Setting,
    Unit,
)
from k8s_installer.model.run import Event, State
from k8s_installer.planning.rollback import PastFile, PastLeftovers, PastPackage, PastSetting, PastUnit
from k8s_installer.runs import journal
from k8s_installer.runs.history import before, first_starts, to_undo

A, B, C = "a" * 64, "b" * 64, "c" * 64
X, Y = (Ref("m1", Kind.FILE, name) for name in ("/x", "/y"))


def update(ref: Ref, old: str) -> Change:
    return Change(ref, Action.UPDATE, "k", SeenFile(old, 0o644, "root", "root", 1.0), File(b"new"), "an edit")


def ran(
    folder: Path, name: str, *changes: Change, end: str | None = "done", undoes: Sequence[str] = (), begun: int = 9
) -> None:
    """Write the journal of a run; without an end it died, when it had begun so many of its changes."""
    header = {"cluster": "lab", **({"undoes": list(undoes)} if undoes else {})}
    book = journal.start(folder, header, run=name)
    book.plan(changes)
    for index, change in list(enumerate(changes))[:begun]:
        book.event(Event(index, State.RUNNING, 0.0), change)
        book.event(Event(index, State.DONE, 0.0), change)
    if end is not None:
        book.close(end)
    book._file.close()


def undone(folder: Path) -> list[str]:
    return [run.run for run in to_undo(tuple(journal.past(folder)))]


def test_the_last_run_is_undone_whether_it_went_well_or_not(tmp_path: Path) -> None:
    assert undone(tmp_path) == []
    ran(tmp_path, "1", update(X, A))
    assert undone(tmp_path) == ["1"]
    ran(tmp_path, "2", update(X, B), end="failed")
    assert undone(tmp_path) == ["2"]
    ran(tmp_path, "3", update(X, B))
    assert undone(tmp_path) == ["3"]  # the second one failed and said so: what it left was seen by the third


@pytest.mark.parametrize("end", [None, "failed", "KeyboardInterrupt: "])
def test_a_rollback_that_did_not_finish_is_resumed(tmp_path: Path, end: str | None) -> None:
    ran(tmp_path, "1", update(X, A))
    ran(tmp_path, "2", update(X, B), end=end, undoes=["1"])
    assert undone(tmp_path) == ["1"]
    ran(tmp_path, "3", update(X, B), end=end, undoes=["1"])
    assert undone(tmp_path) == ["1"]


def test_a_rollback_after_a_rollback_goes_further_back_and_never_forward(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        ran(tmp_path, name, update(X, A))
    ran(tmp_path, "4", undoes=["3"])
    assert undone(tmp_path) == ["2"]
    ran(tmp_path, "5", undoes=["2"])
    ran(tmp_path, "6", update(X, A))  # forward again
    assert undone(tmp_path) == ["6"]
    ran(tmp_path, "7", undoes=["6"])
    assert undone(tmp_path) == ["1"]
    ran(tmp_path, "8", undoes=["1"])
    assert undone(tmp_path) == []


def test_runs_that_died_are_undone_with_the_one_that_did_the_rest(tmp_path: Path) -> None:
    ran(tmp_path, "0", update(X, C))
    ran(tmp_path, "1", update(X, A), update(Y, A), end=None, begun=1)
    ran(tmp_path, "2", update(Y, A), end=None, begun=0)
    ran(tmp_path, "3", update(Y, A))
    assert undone(tmp_path) == ["3", "2", "1"]


def test_a_rollback_that_broke_off_and_was_gone_over_is_undone_with_what_it_undid(tmp_path: Path) -> None:
    ran(tmp_path, "0", update(X, C))
    ran(tmp_path, "1", update(X, A), update(Y, A))
    ran(tmp_path, "2", update(X, B), end=None, undoes=["1"])
    ran(tmp_path, "3", update(X, A))
    assert undone(tmp_path) == ["3", "1"]
    ran(tmp_path, "4", update(X, A), undoes=["3", "1"])
    assert undone(tmp_path) == ["0"]


def test_what_was_there_before_is_what_the_oldest_of_them_saw(tmp_path: Path) -> None:
    swap = Ref("m1", Kind.SETTING, "swap")
    off = Change(swap, Action.SET, "k", SeenSetting("on"), Setting("off"), "an edit")
    running = SeenUnit("loaded", "active", "running", True, 1, 1.0, needs_reload=False)
    restart = Change(Ref("m1", Kind.UNIT, "k"), Action.RESTART, "k", running, Unit("k"), "an edit")
    ran(tmp_path, "1", update(X, A), restart, off, update(Y, A), end="failed", begun=3)
    ran(tmp_path, "2", update(X, B))
    runs = tuple(journal.past(tmp_path))
    assert set(before(runs)) == {PastFile(X, Backup(A, 0o644, "root", "root")), PastSetting(swap, "on")}
    assert before(runs[:1]) == (PastFile(X, Backup(B, 0o644, "root", "root")),)


def test_of_a_run_that_died_everything_that_it_had_sent_is_looked_at(tmp_path: Path) -> None:
    ran(tmp_path, "1", update(X, A), update(Y, A), end=None, begun=1)
    assert {item.ref for item in before(tuple(journal.past(tmp_path)))} == {X, Y}


@pytest.mark.parametrize(
    ("was", "first"),
    [
        (Missing.ABSENT, True),
        (SeenUnit("loaded", "inactive", "dead", False, 0, 0.0, needs_reload=False), True),  # as its package brings it
        (SeenUnit("loaded", "activating", "auto-restart", True, 0, 5.0, needs_reload=False), False),
        (SeenUnit("loaded", "failed", "failed", True, 0, 0.0, needs_reload=False), False),
        (SeenUnit("loaded", "inactive", "dead", False, 0, 5.0, needs_reload=False), False),  # somebody stopped it
    ],
    ids=["none", "bare", "sick", "failed", "stopped"],
)
def test_a_start_is_the_first_only_where_nothing_ran(tmp_path: Path, was: SeenUnit | Missing, *, first: bool) -> None:
    unit = Ref("n1", Kind.UNIT, "kubelet")
    start = Change(unit, Action.START, "k", was, Unit("kubelet"), "it is down")
    ran(tmp_path, "1", update(X, A), start)
    (run,) = journal.past(tmp_path)
    assert list(first_starts(run)) == ([unit] if first else [])


def test_a_rollback_that_had_nothing_to_do_is_done_and_the_next_goes_further_back(tmp_path: Path) -> None:
    """The run failed, and its turn was undone at once: the hosts are as they were before it."""
    ran(tmp_path, "1", update(X, A))
    ran(tmp_path, "2", update(X, B), end="failed")
    ran(tmp_path, "3", undoes=["2"])
    assert undone(tmp_path) == ["1"]


def test_what_a_run_stopped_uninstalled_or_removed_is_what_there_was(tmp_path: Path) -> None:
    unit, package = Ref("m1", Kind.UNIT, "kubelet"), Ref("m1", Kind.PACKAGE, "kubelet")
    running = SeenUnit("loaded", "active", "running", enabled=True, pid=7, started_at=5.0, needs_reload=False)
    stopped = Unit("kubelet", active=False, enabled=False)
    there = SeenFile(A, 0o600, "kube", "kube", 1.0)
    leaves = Placed(Kind.LEFTOVERS, "kubelet", "kubelet", leaves=Leaves("kubelet", ("/var/lib/kubelet",)))
    entries = tuple(
        Placed(ref.kind, ref.name, "kubelet", before="enabled", cluster="lab") for ref in (unit, package, X)
    )
    ran(
        tmp_path, "1",
        Change(Ref("m1", Kind.RECORD, "placed"), Action.ADOPT, "host", Missing.ABSENT, Record((), (leaves,)), "a test", forgets=(leaves,)),
        Change(unit, Action.STOP, "kubelet", running, stopped, "a test", forgets=(entries[0],)),
        Change(package, Action.UNINSTALL, "kubelet", SeenPackage("1.2", "3.el7", 1.0), NoPackage(), "a test", forgets=(entries[1],)),
        Change(X, Action.REMOVE, "kubelet", there, Original(secret=True), "a test", forgets=(entries[2],)),
    )  # fmt: skip
    past = before(list(journal.past(tmp_path)))
    assert [item.entry for item in past] == [leaves, *entries]
    assert past == (
        PastLeftovers(Ref("m1", Kind.LEFTOVERS, "kubelet"), leaves),
        PastUnit(unit, active=True, enabled=True, component="kubelet"),
        PastPackage(package, "1.2-3.el7", "kubelet"),
        PastFile(X, Backup(A, 0o600, "kube", "kube", secret=True), "kubelet", left=True),
    )
