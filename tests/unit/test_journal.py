from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from k8s_installer.engine.scheduler import apply
from k8s_installer.errors import InstallerError
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import (
    Absent,
    Backup,
    File,
    Gate,
    Kind,
    Missing,
    Package,
    Placed,
    Record,
    Ref,
    Resource,
    Seen,
    SeenFile,
    SeenPackage,
    SeenRecord,
    SeenSetting,
    SeenUnit,
    Setting,
    Unit,
)
from k8s_installer.model.run import Event, State
from k8s_installer.runs import journal
from k8s_installer.runs.journal import DETAIL_CHARACTERS, FileSum, Journal, Past, last, past, start
from tests.unit.example import CONFIG, KEY, desired, hosts
from tests.unit.test_plan import planned
from tests.unit.test_trace import ENCRYPTION, PEM

OLD = SeenFile("aa" * 32, 0o640, "kube", "kube", 1700000000.25, b"old secret content")
NEW = File(b"new secret content", 0o600, "etcd", "etcd", secret=True)


def change(after: Resource, before: Seen = Missing.ABSENT, action: Action = Action.UPDATE) -> Change:
    kinds = {Package: Kind.PACKAGE, Unit: Kind.UNIT, Gate: Kind.GATE, Setting: Kind.SETTING}
    return Change(Ref("m1", kinds.get(type(after), Kind.FILE), "/etc/x"), action, "etcd", before, after, "because")


def event(state: State, index: int = 0, detail: str = "") -> Event:
    return Event(index, state, 1.0, detail)


def lines(folder: Path) -> list[dict[str, Any]]:
    (file,) = folder.glob("*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def found(folder: Path) -> Past:
    newest = last(folder)
    assert newest is not None
    return newest


def test_a_run_is_told_from_its_first_line_to_its_end(tmp_path: Path) -> None:
    with start(tmp_path, {"who": "alice", "hosts": ["m1"]}, run="20260102-run") as written:
        written.write("lock", host="m1", seconds=60)
        written.event(event(State.RUNNING), change(NEW, OLD))
        written.event(event(State.DONE), change(NEW, OLD))
        written.close("done: 1 change")
    told = found(tmp_path)
    assert written.run == told.run == "20260102-run"
    assert told.header == {"who": "alice", "hosts": ["m1"]}
    assert [line["word"] for line in told.lines] == ["lock", "change", "change", "end"]
    assert [line["state"] for line in told.events] == ["running", "done"]
    assert (told.ended, told.result) == (True, "done: 1 change")
    assert [line["line"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5]


def test_a_change_is_written_as_sums_and_names(tmp_path: Path) -> None:
    with start(tmp_path, {}) as written:
        written.event(event(State.DONE, 3, "words"), change(NEW, OLD))
    line = lines(tmp_path)[1]
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "line": 2,
        "word": "change",
        "index": 3,
        "host": "m1",
        "kind": "file",
        "name": "/etc/x",
        "action": "update",
        "component": "etcd",
        "secret": True,
        "before": {"sha256": "aa" * 32, "mode": "0640", "owner": "kube", "group": "kube", "modified_at": 1700000000.25},
        "after": {"sha256": NEW.sha256, "mode": "0600", "owner": "etcd", "group": "etcd"},
        "state": "done",
        "detail": "words",
    }


def test_neither_content_nor_secrets_nor_keys_in_a_detail_reach_the_file(tmp_path: Path) -> None:
    with start(tmp_path, {"argv": [f"--token={ENCRYPTION}"], "more": {"key": (PEM, 1, None)}}) as written:
        written.event(event(State.FAILED, detail=f"it said\n{PEM}secret: {ENCRYPTION}"), change(NEW, OLD))
        written.write("note", text=PEM)
        written.close(f"failed: {PEM}")
    (file,) = tmp_path.glob("*.jsonl")
    text = file.read_text()
    assert "secret content" not in text
    assert ENCRYPTION not in text
    assert not any(line in text for line in PEM.split() if "-" not in line)
    assert found(tmp_path).header == {"argv": ["--token=<secret>"], "more": {"key": ["<private key>\n", 1, None]}}
    assert found(tmp_path).events[0]["detail"] == "it said\n<private key>\nsecret: <secret>"


def test_a_name_that_looks_random_is_kept_as_it_is(tmp_path: Path) -> None:
    path = "/" + "Abc/" * 20
    one = Change(Ref("m1", Kind.FILE, path), Action.CREATE, "x", Missing.ABSENT, NEW, "new")
    with start(tmp_path, {}) as written:
        written.event(event(State.DONE), one)
    assert found(tmp_path).changes()[0].ref == one.ref


def test_a_long_detail_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    with start(tmp_path, {}) as written:
        written.event(event(State.FAILED, detail="cause " + "x " * 5000 + " last line"), change(NEW))
    detail = found(tmp_path).events[0]["detail"]
    assert detail.startswith("cause x")
    assert detail.endswith("last line")
    assert "\n[...]\n" in detail
    assert len(detail) < DETAIL_CHARACTERS + 10


@pytest.mark.parametrize(
    ("before", "after", "action", "left"),
    [
        (OLD, NEW, Action.UPDATE, FileSum(NEW.sha256, 0o600, "etcd", "etcd")),
        (Missing.ABSENT, NEW, Action.CREATE, FileSum(NEW.sha256, 0o600, "etcd", "etcd")),
        (OLD, Backup("bb" * 32, 0o755, "root", "root"), Action.RESTORE, FileSum("bb" * 32, 0o755, "root", "root")),
        (OLD, Absent(), Action.REMOVE, None),
        (Missing.ABSENT, Package("etcd", "3.3"), Action.INSTALL, None),
        (SeenPackage("3.2", "1.el7", 1700000000.0), Package("etcd", "3.3"), Action.UPGRADE, None),
        (SeenUnit("loaded", "active", "running", True, 7, 1.5, False), Unit("etcd"), Action.RESTART, None),
        (SeenSetting("on"), Setting("off"), Action.SET, None),
        (Missing.UNKNOWN, Unit("etcd"), Action.START, None),
    ],
)
def test_what_was_there_before_a_change_comes_back_as_it_was_seen(
    tmp_path: Path, before: Seen, after: Resource, action: Action, left: FileSum | None
) -> None:
    one = change(after, before, action)
    with start(tmp_path, {}) as written:
        written.event(event(State.DONE, 4), one)
    (told,) = found(tmp_path).done_changes()
    expected = SeenFile(OLD.sha256, OLD.mode, OLD.owner, OLD.group, OLD.modified_at) if before is OLD else before
    assert (told.index, told.ref, told.action, told.component) == (4, one.ref, action, "etcd")
    assert (told.before, told.after, told.done) == (expected, left, True)
    assert told.secret == (after is NEW)


def test_a_host_that_is_adopted_is_a_line_without_its_record(tmp_path: Path) -> None:
    entry = Placed(Kind.FILE, "/etc/x", "etcd")
    ref = Ref("m1", Kind.RECORD, "placed")
    adopt = Change(ref, Action.ADOPT, "host", SeenRecord((entry,)), Record((entry,)), "1 file", records=(entry,))
    with start(tmp_path, {}) as written:
        written.event(event(State.DONE), adopt)
    assert [(item.ref, item.before) for item in found(tmp_path).changes()] == [(ref, SeenRecord(()))]


def test_lines_that_left_a_record_are_in_the_journal(tmp_path: Path) -> None:
    entry = Placed(Kind.SETTING, "swap", "host", before="on", cluster="lab")
    off = Change(
        Ref("m1", Kind.SETTING, "swap"), Action.SET, "host", SeenSetting("off"), Setting("on"), "", forgets=(entry,)
    )
    with start(tmp_path, {}) as written:
        written.plan([off])
    assert [item.forgets for item in found(tmp_path).changes()] == [(entry,)]
    (path,) = tmp_path.glob("*.jsonl")
    path.write_text(path.read_text().replace('\\"before\\":\\"on\\"', '\\"before\\":7'))
    with pytest.raises(InstallerError, match="is damaged"):
        found(tmp_path).changes()


def test_changes_are_told_in_the_plans_order_with_their_last_state(tmp_path: Path) -> None:
    with start(tmp_path, {}) as written:
        written.plan([change(NEW), change(NEW), change(NEW), change(NEW), change(NEW)])
        for index, state in [
            (2, State.RUNNING),
            (0, State.RUNNING),
            (0, State.DONE),
            (1, State.RUNNING),
            (1, State.FAILED),
            (3, State.SKIPPED),
        ]:
            written.event(event(state, index), change(NEW))
    told = found(tmp_path)
    states = [State.DONE, State.FAILED, State.RUNNING, State.SKIPPED, State.WAITING]
    assert [one.state for one in told.changes()] == states
    assert [(one.index, one.done) for one in told.done_changes()] == [(0, True), (1, False), (2, False)]


def test_a_whole_run_of_the_engine_can_be_told(tmp_path: Path) -> None:
    fleet = hosts()
    fleet["m1"].refuses["kube-apiserver"] = "unknown flag: --bogus"
    made: Plan = planned(desired(), fleet)
    with start(tmp_path, {}) as written:
        written.plan(made.changes)
        run = apply(made, fleet, lambda one: written.event(one, made.changes[one.index]), threading.Event())
    told = found(tmp_path)
    assert len(told.events) == len(run.events)
    assert {one.ref.name for one in told.done_changes() if one.done} >= {CONFIG, KEY}
    assert [one.ref.name for one in told.changes() if one.state is State.FAILED] == ["kube-apiserver"]


def test_a_run_without_a_word_of_its_own_ends_as_done_or_with_its_error(tmp_path: Path) -> None:
    with start(tmp_path, {}, run="1"):
        pass
    assert found(tmp_path).result == "done"
    with pytest.raises(InstallerError), start(tmp_path, {}, run="2"):
        raise InstallerError("m1: no such thing")
    assert found(tmp_path).result == "InstallerError: m1: no such thing"


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    written = start(tmp_path, {})
    written.close("first")
    written.close("second")
    assert found(tmp_path).result == "first"


def test_each_line_is_announced_when_it_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))

    def after(line: int) -> None:
        seen.append((line, len(lines(tmp_path))))
        (file,) = tmp_path.glob("*.jsonl")
        assert synced[-1] == file.stat().st_size

    with start(tmp_path, {}, after) as written:
        written.write("note")
    assert seen == [(1, 1), (2, 2), (3, 3)]


KILLED = """
import os, signal, sys
from pathlib import Path
from k8s_installer.runs.journal import start
last = int(sys.argv[2])
kill = lambda line: os.kill(os.getpid(), signal.SIGKILL) if line == last else None
with start(Path(sys.argv[1]), {"who": "alice"}, kill) as journal:
    journal.write("one")
    journal.write("two")
"""


@pytest.mark.parametrize("line", [1, 3, 4])
def test_a_run_that_is_killed_leaves_all_lines_up_to_that_moment(tmp_path: Path, line: int) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(line)], check=False)
    assert done.returncode == -signal.SIGKILL
    told = found(tmp_path)
    assert told.header == {"who": "alice"}
    assert [one["word"] for one in told.lines] == ["one", "two", "end"][: line - 1]
    assert (told.ended, told.result) == ((True, "done") if line == 4 else (False, ""))


@pytest.mark.parametrize(
    "tail", [b"", b'{"line": 3, "wor', b'{"line": 3}', b"\x00\x00\x00", b"\x00\n", b"[]\n", b"{\n{}\n"]
)
def test_a_torn_last_line_is_passed_over(tmp_path: Path, tail: bytes) -> None:
    with start(tmp_path, {"who": "alice"}) as written:
        written.write("note")
    whole = written.path.read_bytes().splitlines(keepends=True)
    written.path.write_bytes(b"".join(whole[:2]) + tail)
    told = found(tmp_path)
    assert [one["word"] for one in told.lines] == ["note"]
    assert not told.ended


def test_the_newest_run_is_told_first_and_one_that_died_in_its_first_line_not_at_all(tmp_path: Path) -> None:
    assert last(tmp_path / "nothing") is None
    for run in ("20260102-a", "20260101-b", "20260103-c"):
        start(tmp_path, {}, run=run).close("done")
    (tmp_path / "20260104-d.jsonl").write_text('{"line": 1, "word": "beg')
    (tmp_path / "20260105-e.jsonl").write_text("")
    (tmp_path / "20260106-f.trace").write_text("a trace is no journal\n")
    assert [one.run for one in past(tmp_path)] == ["20260103-c", "20260102-a", "20260101-b"]
    assert found(tmp_path).run == "20260103-c"


def test_fifty_runs_are_kept(tmp_path: Path) -> None:
    for n in range(60):
        (tmp_path / f"2020{n:02}.jsonl").touch()
    start(tmp_path, {}).close("done")
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert (len(kept), kept[0]) == (50, "202011.jsonl")


def test_a_journal_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "lab" / "journal"
    folder.mkdir(parents=True, mode=0o755)
    with start(folder, {}) as written:
        pass
    assert folder.stat().st_mode & 0o777 == 0o700
    assert written.path.stat().st_mode & 0o777 == 0o600


def test_a_journal_of_another_format_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text('{"line": 1, "word": "begin", "format": 2}\n')
    with pytest.raises(InstallerError, match=r"1\.jsonl: a journal of format 2; this version reads 1"):
        last(tmp_path)


def test_a_journal_that_cannot_be_read_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").mkdir()
    with pytest.raises(InstallerError, match=r"cannot read the journal .*1\.jsonl: is a directory, not a file"):
        last(tmp_path)


def full() -> Journal:
    return Journal(Path("/dev/full"), Path("/dev/full").open("ab"), journal.nothing)


def test_a_line_that_cannot_be_written_stops_the_run() -> None:
    with pytest.raises(InstallerError, match="cannot write the journal /dev/full: No space left on device") as caught:
        full().close("done")
    assert "run `apply` again" in caught.value.hint


def test_a_journal_that_cannot_be_written_does_not_hide_why_the_run_ended() -> None:
    with pytest.raises(KeyError), full():
        raise KeyError


def test_lines_of_many_threads_are_whole_and_numbered_in_order(tmp_path: Path) -> None:
    busy = threading.Lock()

    def after(line: int) -> None:
        assert busy.acquire(blocking=False), f"line {line} comes into another one"
        time.sleep(0.001)
        busy.release()

    with start(tmp_path, {}, after) as written:
        threads = [threading.Thread(target=written.write, args=("note",), kwargs={"by": n}) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [line["line"] for line in lines(tmp_path)] == list(range(1, 19))
    assert {line["by"] for line in lines(tmp_path)[1:-1]} == set(range(16))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "line",
    [
        {"word": "plan"},
        {"word": "plan", "changes": [7]},
        {"word": "change", "index": 0},
        {"word": "change", "index": "x", "state": "done"},
        {"word": "change", "index": 0, "state": "exploded"},
        {"word": "change", "index": 0, "state": "done", "kind": "file", "before": {"mode": "9"}, "after": {}},
    ],
)
def test_a_line_that_says_no_change_is_said(tmp_path: Path, line: dict[str, object]) -> None:
    start(tmp_path, {}, run="20260101-000000").close("done")
    (path,) = tmp_path.glob("*.jsonl")
    path.write_text(path.read_text() + json.dumps(line) + "\n")
    with pytest.raises(InstallerError, match=r"the journal of run 20260101-000000 is damaged"):
        next(past(tmp_path)).changes()


@pytest.mark.parametrize(
    "text", ['{"format": 1, "word": "begin", "header": 7}', '{"format": 1}', '{"word": "begin"}\n{}']
)
def test_a_journal_whose_lines_are_none_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.jsonl").write_text(text + "\n")
    with pytest.raises(InstallerError):
        next(past(tmp_path))
