"""What every command that changes hosts gets from `apply`, told to a Reporter that is no terminal; hosts are fakes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from benchmarks.pure import answers
from k8s_installer.engine import fleet, lock, scheduler
from k8s_installer.engine.fleet import Connections, ObservedFleet
from k8s_installer.errors import InstallerError, LostError
from k8s_installer.flows.apply import Options, apply
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.plan import plan
from k8s_installer.flows.reporter import OnRecord, Reporter, RunResult, Say
from k8s_installer.flows.reset import reset
from k8s_installer.flows.resolve import Resolved
from k8s_installer.flows.rollback import roll_back
from k8s_installer.host.statedir import NOT_KEPT
from k8s_installer.model.desired import Desired, DesiredResource, by_host
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import (
    File,
    Gate,
    Kind,
    Missing,
    Original,
    Placed,
    Ref,
    Seen,
    SeenFile,
    SeenRecord,
    SeenUnit,
    Setting,
)
from k8s_installer.model.run import Event, OnEvent, Run, State
from k8s_installer.planning.turns import QUARTER
from k8s_installer.preflight import Preflight
from k8s_installer.runs import journal
from k8s_installer.verify import CheckResult
from tests.fakes import FakeHost

TEXT = """\
cluster: {name: lab, version: "1.5.2", network: none, security: insecure}
hosts:
  m1: {address: 10.0.0.1, roles: [etcd, master]}
  n1: {address: 10.0.0.21, roles: [node]}
"""
MOTD = Ref("n1", Kind.FILE, "/etc/motd")
GONE = "/etc/gone"
RECORD = Ref("n1", Kind.RECORD, "placed")


@dataclass
class Recorder:
    """A Reporter that writes down what it hears; `reply` is what a person answers."""

    reply: str = "y"
    heard: list[str] = field(default_factory=list)
    end: RunResult | None = None
    on_record: OnRecord | None = None

    def say(self, words: str) -> None:
        self.heard.append(f"say {words}")

    def warn(self, words: str) -> None:
        self.heard.append(f"warn {words}")

    def alarm(self, words: str) -> None:
        self.heard.append(f"alarm {words}")

    def result(self, line: str) -> None:
        self.heard.append(f"result {line}")

    def error(self, error: InstallerError) -> None:
        self.heard.append(f"error {error.message}")

    @contextmanager
    def working(self, words: str) -> Iterator[Say]:
        self.heard.append(f"working {words}")
        yield lambda _: None

    def ask(self, question: str) -> str:
        self.heard.append(f"ask {question}")
        return self.reply

    def passphrase(self, path: str) -> bytes:
        raise AssertionError(path)

    def preflight(self, found: Preflight) -> None:
        raise AssertionError(found)

    def plan(self, wanted: Resolved, plan: Plan) -> None:
        self.heard.append(f"plan {', '.join(f'{change.action} {change.ref}' for change in plan.changes)}")

    @contextmanager
    def progress(self, plan: Plan) -> Iterator[OnEvent]:
        def note(event: Event) -> None:
            self.heard.append(f"{event.state} {plan.changes[event.index].ref}")

        yield note

    def check(self, result: CheckResult) -> None:
        raise AssertionError(result)

    def ended(self, end: RunResult) -> None:
        self.end = end
        self.heard.append("ended")


@dataclass
class Fleet:
    """A cluster that is as wanted, but for a file on n1; what happens to its lock is told to `recorder`, too."""

    inputs: Inputs
    recorder: Recorder
    n1: FakeHost = field(default_factory=lambda: FakeHost("n1"))
    swept: tuple[str, ...] = ()

    @contextmanager
    def connecting(self, *_: object) -> Iterator[Connections]:
        with ThreadPoolExecutor(1) as pool:
            yield Connections(pool, {})

    @contextmanager
    def hold(self, *_: object, force: bool, skip: bool, say: Say) -> Iterator[threading.Event]:
        self.recorder.heard.append("locked by force" if force else "locked")
        yield threading.Event()
        self.recorder.heard.append("unlocked")

    def observe(self, _connections: Connections, asked: Desired, *_: object) -> ObservedFleet:
        seen: Mapping[Ref, Seen] = answers(
            {ref: item for ref, item in asked.items() if ref != MOTD and ref.name != GONE}
        )
        record = seen.get(RECORD)
        if isinstance(record, SeenRecord):
            seen = {**seen, RECORD: SeenRecord((*record.entries, *self.n1.record.values()))}
        if self.swept:
            return ObservedFleet({}, {"m1": FakeHost("m1"), "n1": self.n1}, {**seen, **dict(self.lost(asked))}, {}, {})
        motd = self.n1.observe([item for item in by_host(asked).get("n1", []) if item.ref == MOTD])
        remotes = {"m1": FakeHost("m1"), "n1": self.n1}
        return ObservedFleet({}, remotes, {**seen, **motd}, {}, {})

    def lost(self, asked: Desired) -> Iterator[tuple[Ref, Seen]]:
        """What there is of files that a run removed, and of the records, where hosts were swept since."""
        for ref in asked:
            swept = ref.host in self.swept
            if ref.name == GONE:
                yield ref, SeenFile("", 0, "", "", 0.0, obstacle=NOT_KEPT) if swept else Missing.ABSENT
            elif swept and ref.kind is Kind.RECORD:
                yield ref, Missing.ABSENT


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    (tmp_path / "cluster.yaml").write_text(TEXT, encoding="utf-8")
    found = Fleet(Inputs(tmp_path / "cluster.yaml"), Recorder())
    monkeypatch.setattr(fleet, "connecting", found.connecting)
    monkeypatch.setattr(fleet, "observe", found.observe)
    monkeypatch.setattr(lock, "hold", found.hold)
    return found


def greet(options: Options, reporter: Reporter) -> Outcome:
    """A verb: one file on n1 and nothing else, if a person types the cluster's name."""

    def change(whole: Resolved) -> Resolved:
        return replace(whole, desired={MOTD: DesiredResource(MOTD, File(b"hello\n"), "motd", (), "a greeting")})

    def consent(reporter: Reporter, wanted: Resolved) -> bool:
        return reporter.ask("Which cluster? ") == wanted.cluster.name

    return apply(options, reporter, change, consent)


def test_a_verb_is_a_change_of_what_is_wanted_and_a_question(cluster: Fleet) -> None:
    cluster.recorder.reply = "lab"
    assert greet(Options(cluster.inputs, verify=False), cluster.recorder) is Outcome.DONE
    assert cluster.n1.contents == {"/etc/motd": b"hello\n"}
    assert cluster.recorder.heard == [
        "locked",
        "working reading 0 hosts",
        "plan create n1: file /etc/motd",
        "ask Which cluster? ",
        "running n1: file /etc/motd",
        "done n1: file /etc/motd",
        "ended",
        "unlocked",
    ]
    end = cluster.recorder.end
    assert end is not None
    assert (end.changed, end.broken, end.proof) == (True, False, None)
    folder = cluster.inputs.inventory.parent / ".k8s-installer/lab/journal"
    past = journal.last(folder)
    assert past is not None
    assert (past.result, past.header["summary"], end.trace) == ("done", {"create": 1}, folder / f"{past.run}.trace")


def test_a_second_run_finds_nothing_to_change_and_asks_nobody(cluster: Fleet) -> None:
    cluster.recorder.reply = "lab"
    greet(Options(cluster.inputs, verify=False), cluster.recorder)
    cluster.recorder.heard.clear()
    assert greet(Options(cluster.inputs), cluster.recorder) is Outcome.DONE
    assert cluster.recorder.heard[2:] == ["plan ", "ended", "unlocked"]
    assert cluster.recorder.end is not None
    assert not cluster.recorder.end.changed


def test_what_is_not_agreed_to_is_not_done(cluster: Fleet) -> None:
    assert greet(Options(cluster.inputs), cluster.recorder) is Outcome.FAILED
    assert cluster.recorder.heard[3:] == ["ask Which cluster? ", "say nothing was changed", "unlocked"]
    assert cluster.n1.log == []
    assert journal.last(cluster.inputs.inventory.parent / ".k8s-installer/lab/journal") is None


def test_yes_asks_nobody(cluster: Fleet) -> None:
    options = Options(cluster.inputs, yes=True, verify=False, break_lock=True)
    assert greet(options, cluster.recorder) is Outcome.DONE
    assert "locked by force" in cluster.recorder.heard
    assert not [line for line in cluster.recorder.heard if line.startswith("ask")]


def test_a_change_that_fails_ends_as_failed_and_says_why(cluster: Fleet) -> None:
    cluster.n1.refuses["/etc/motd"] = "No space left on device"
    assert greet(Options(cluster.inputs, yes=True), cluster.recorder) is Outcome.FAILED
    end = cluster.recorder.end
    assert end is not None
    assert [event.detail for event in end.run.failures] == ["No space left on device"]
    assert end.broken


def test_an_error_of_a_locked_session_names_the_trace(cluster: Fleet) -> None:
    def change(_whole: Resolved) -> Resolved:
        raise InstallerError("there is nothing to undo", hint="look elsewhere")

    with pytest.raises(InstallerError) as caught:
        apply(Options(cluster.inputs), cluster.recorder, change)
    assert cluster.recorder.heard == ["locked"]
    (trace,) = (cluster.inputs.inventory.parent / ".k8s-installer/lab/journal").glob("*.trace")
    assert caught.value.hint == f"look elsewhere\nfull trace: {trace}"


VERBS = (
    lambda cluster: plan(cluster.inputs, cluster.recorder, QUARTER, replace_keys=False),
    lambda cluster: apply(Options(cluster.inputs, yes=True, verify=False), cluster.recorder),
    lambda cluster: reset(Options(cluster.inputs, yes=True, verify=False), cluster.recorder, name="lab"),
)


@pytest.mark.parametrize("verb", VERBS, ids=("plan", "apply", "reset"))
def test_a_host_of_another_cluster_is_left_alone(cluster: Fleet, verb: Callable[[Fleet], object]) -> None:
    cluster.n1.record[Kind.FILE, "/etc/x"] = Placed(Kind.FILE, "/etc/x", "kubelet", cluster="other")
    with pytest.raises(InstallerError, match="cluster other is installed on n1") as raised:
        verb(cluster)
    assert "change it back to other" in raised.value.hint
    assert cluster.n1.log == []


def left(folder: Path, *hosts: str) -> None:
    """The journal of a run that removed a file of ours from hosts."""
    there = SeenFile("1" * 64, 0o644, "root", "root", 1.0)
    with journal.start(folder, {"cluster": "lab"}, run="1") as book:
        for index, host in enumerate(hosts):
            ref, forgets = Ref(host, Kind.FILE, GONE), (Placed(Kind.FILE, GONE, "kubelet"),)
            step = Change(ref, Action.REMOVE, "kubelet", there, Original(), "", forgets=forgets)
            book.event(Event(index, State.DONE, 0.0), step)


def test_a_host_that_was_swept_is_no_part_of_a_rollback(cluster: Fleet) -> None:
    left(cluster.inputs.inventory.parent / ".k8s-installer/lab/journal", "m1", "n1")
    cluster.swept, cluster.recorder.reply = ("n1",), "n"
    options = Options(cluster.inputs, verify=False, preflight=False)
    assert roll_back(options, cluster.recorder) is Outcome.FAILED
    (warning,) = (words for words in cluster.recorder.heard if words.startswith("warn"))
    assert "a rollback cannot bring n1 back" in warning
    assert f"plan restore m1: file {GONE}" in cluster.recorder.heard
    cluster.swept = ("m1", "n1")
    with pytest.raises(InstallerError, match="a rollback cannot bring m1, n1 back") as raised:
        roll_back(options, cluster.recorder)
    assert "remove `state: absent`" in raised.value.hint


def upgraded(folder: Path, *versions: str) -> None:
    """The journals of runs with these versions in the inventory, each of which removed a file."""
    there = SeenFile("1" * 64, 0o644, "root", "root", 1.0)
    step = Change(Ref("n1", Kind.FILE, GONE), Action.REMOVE, "kubelet", there, Original(), "")
    for number, version in enumerate(versions, 1):
        with journal.start(folder, {"cluster": "lab", "version": version}, run=str(number)) as book:
            book.event(Event(0, State.DONE, 0.0), step)
            book.close("done")


@pytest.mark.parametrize(("before", "after", "goes"), [("1.19.9", "1.20.2", False), ("1.20.0", "1.20.2", True), ("1.21.0", "1.20.2", True)])  # fmt: skip
def test_a_rollback_does_not_lead_to_an_older_minor_version(
    cluster: Fleet, before: str, after: str, *, goes: bool
) -> None:
    upgraded(cluster.inputs.inventory.parent / ".k8s-installer/lab/journal", before, after)
    options = Options(cluster.inputs, verify=False, preflight=False)
    with pytest.raises(InstallerError) as raised:
        roll_back(options, cluster.recorder)
    words = f"run 2 upgraded the cluster from Kubernetes {before} to {after}: it is not rolled back"
    assert (words == raised.value.message, "restore a backup" in raised.value.hint) == (not goes, not goes)
    # where it goes the hosts are asked, and this one says nothing of the file
    assert (f"n1: file {GONE} is unknown" in raised.value.message) is goes


def test_a_run_that_changed_members_of_etcd_is_not_rolled_back(cluster: Fleet) -> None:
    name = "etcd-removed 7 https://127.0.0.1:2379"
    step = Change(Ref("m1", Kind.SETTING, name), Action.SET, "etcd", Missing.ABSENT, Setting("absent"), "")
    with journal.start(
        cluster.inputs.inventory.parent / ".k8s-installer/lab/journal", {"cluster": "lab"}, run="1"
    ) as book:
        book.event(Event(0, State.DONE, 0.0), step)
    with pytest.raises(InstallerError, match="run 1 changed etcd's members") as raised:
        roll_back(Options(cluster.inputs, verify=False, preflight=False), cluster.recorder)
    assert "edit the roles" in raised.value.hint


def test_a_plan_takes_no_lock_and_leaves_no_trace(cluster: Fleet) -> None:
    found = plan(cluster.inputs, cluster.recorder, QUARTER, replace_keys=False)
    assert not found.plan
    assert cluster.recorder.heard == ["working reading 0 hosts"]
    assert not (cluster.inputs.inventory.parent / ".k8s-installer/lab/journal").exists()


@pytest.mark.parametrize("state", [State.FAILED, State.DONE])
def test_what_restarted_a_moment_ago_is_awaited_before_anything_else_restarts(
    cluster: Fleet, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    """As after a run that died between a restart and its gate."""
    second = "  m2: {address: 10.0.0.2, roles: [master]}\n"
    cluster.inputs.inventory.write_text(TEXT + second, encoding="utf-8")
    young, stale = (Ref(host, Kind.UNIT, "kube-apiserver") for host in ("m1", "m2"))
    plans: list[Plan] = []

    def observe(connections: Connections, asked: Desired, *more: object) -> ObservedFleet:
        found = cluster.observe(connections, asked, *more)
        units = {ref: seen for ref in (young, stale) if isinstance(seen := found.seen[ref], SeenUnit)}
        changed = {young: replace(units[young], age=2.0), stale: replace(units[stale], due_at=1e12)}
        return replace(found, remotes={**found.remotes, "m2": FakeHost("m2")}, seen={**found.seen, **changed})

    def carry_out(made: Plan, *_: object) -> Run:
        plans.append(made)
        return Run(tuple(Event(index, state, 0.0) for index in range(len(made.changes))), interrupted=False)

    monkeypatch.setattr(fleet, "observe", observe)
    monkeypatch.setattr(scheduler, "apply", carry_out)
    options = Options(cluster.inputs, yes=True, verify=False, preflight=False, roll_back=False)
    assert apply(options, cluster.recorder) is (Outcome.FAILED if state is State.FAILED else Outcome.DONE)
    assert {(change.action, gate.unit) for change in plans[0].changes if isinstance(gate := change.after, Gate)} == {
        (Action.WAIT, "kube-apiserver")
    }
    assert len(plans) == (1 if state is State.FAILED else 2)
    assert "ended" in cluster.recorder.heard


def test_a_plan_stops_where_etcds_data_is_lost(cluster: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    def observe(connections: Connections, asked: Desired, *more: object) -> ObservedFleet:
        found = cluster.observe(connections, asked, *more)
        etcd = {ref: item.resource for ref, item in asked.items() if item.component == "etcd"}
        gone = {ref: Missing.ABSENT for ref in etcd if ref.kind is not Kind.GATE}
        return replace(found, seen={**found.seen, **gone})

    monkeypatch.setattr(fleet, "observe", observe)
    with pytest.raises(LostError, match="etcd's data is lost on all members") as raised:
        plan(cluster.inputs, cluster.recorder, QUARTER, replace_keys=False)
    assert raised.value.hosts == ("m1",)
    narrowed = Options(cluster.inputs, limit="n1", yes=True, verify=False, preflight=False)
    apply(narrowed, cluster.recorder)  # needs no etcd
    assert "ended" in cluster.recorder.heard
