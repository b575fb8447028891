"""Ctrl-C while a failed turn is undone, and what the journal keeps of that; hosts are fakes, signals are real."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from k8s_installer.cli.terminal import Terminal
from k8s_installer.engine.fleet import Connections, ObservedFleet
from k8s_installer.engine.remote import OnReport, Outcome
from k8s_installer.errors import InstallerError, TransportError
from k8s_installer.flows import apply, resolve
from k8s_installer.flows.apply import Options
from k8s_installer.flows.carry_out import carried_out as carry_out
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.interrupt import Stop, stop_on_ctrl_c
from k8s_installer.flows.locked import LockedSession
from k8s_installer.flows.outcome import Outcome as End
from k8s_installer.flows.plan import Planned
from k8s_installer.inventory import Allocations
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.run import Run
from k8s_installer.runs import journal
from k8s_installer.runs.trace import open_trace
from tests.fakes import FakeHost
from tests.unit.example import CONFIG
from tests.unit.test_history import A, B, X, ran, undone, update
from tests.unit.test_intent import TEXT
from tests.unit.test_plan import planned
from tests.unit.test_rollback import services


@dataclass
class Pressing(FakeHost):
    """A host on which somebody presses Ctrl-C, so many times, when it is about to get its old file back."""

    presses: int = 0

    def perform(self, changes: Sequence[tuple[int, Change]], on_report: OnReport) -> Outcome:
        if any(change.action is Action.RESTORE for _, change in changes):
            for _ in range(self.presses):
                os.kill(os.getpid(), signal.SIGINT)
                threading.Event().wait(0.2)  # one after the other
        return super().perform(changes, on_report)


def failing(presses: int) -> tuple[Pressing, Plan]:
    """A host and a plan of which the second service's gate does not hold."""
    fleet, _, new = services()
    old = fleet["m1"]
    host = Pressing(**{name: getattr(old, name) for name in FakeHost.__dataclass_fields__}, presses=presses)
    host.unhealthy.add("manager")
    return host, planned(new, {"m1": host})


def carried_out(folder: Path, host: Pressing, plan: Plan) -> list[tuple[Plan, Run]]:
    with journal.start(folder, {"cluster": "lab"}) as book:
        return carry_out(plan, {"m1": host}, book, threading.Event(), Terminal(folder), roll_back=True)[1]


@pytest.mark.parametrize("presses", [0, 1])
def test_a_way_back_is_done_to_its_end_and_written_down(
    tmp_path: Path, presses: int, capsys: pytest.CaptureFixture[str]
) -> None:
    host, plan = failing(presses)
    ((_, way),) = carried_out(tmp_path, host, plan)
    assert not way.skipped
    assert host.contents[CONFIG] == b"old"
    told = " ".join(capsys.readouterr().err.split())
    words = "rolling back masters m1: finishing this first, so that no service is left half changed"
    assert (words in told) == bool(presses)
    past = journal.last(tmp_path)
    assert past is not None
    lines = [(line["action"], line["name"], line["state"]) for line in past.lines if line["word"] == "undo"]
    assert lines[:2] == [("restore", CONFIG, "running"), ("restore", CONFIG, "done")]
    assert [line["word"] for line in past.lines][-2:] == ["rollback", "end"]


def test_a_second_ctrl_c_stops_the_way_back_at_once(tmp_path: Path) -> None:
    host, plan = failing(2)
    with pytest.raises(KeyboardInterrupt):
        carried_out(tmp_path, host, plan)
    past = journal.last(tmp_path)
    assert past is not None
    assert past.result.startswith("KeyboardInterrupt")


def test_a_journal_that_cannot_be_written_does_not_stop_the_way_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise InstallerError("cannot write the journal: No space left on device")

    monkeypatch.setattr(journal.Journal, "undo", full)
    host, plan = failing(0)
    carried_out(tmp_path, host, plan)
    assert host.contents[CONFIG] == b"old"


def test_ctrl_c_before_the_way_back_does_not_count_on_it(capsys: pytest.CaptureFixture[str]) -> None:
    with stop_on_ctrl_c(threading.Event(), Terminal(Path()).say) as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with stop.finishing("rolling back nodes n1"):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    told = " ".join(capsys.readouterr().err.split())
    assert "stopping after the steps in progress" in told
    assert "rolling back nodes n1: finishing this first" in told


def test_the_loss_of_the_lock_is_a_reason_to_stop() -> None:
    lost = threading.Event()
    stop = Stop(lost, lambda _: None)
    assert not stop.is_set()
    lost.set()
    assert stop.is_set()


@pytest.mark.parametrize(("away", "next_undone"), [([], ["1"]), (["n1"], ["2"])])
def test_a_rollback_that_finds_nothing_to_undo_says_so_and_the_next_goes_further_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], away: list[str], next_undone: list[str]
) -> None:
    """Run 2 failed, and its turn was undone at once; what a host has that is away is not known."""
    (tmp_path / "cluster.yaml").write_text(TEXT, encoding="utf-8")
    checked = resolve.checked(tmp_path / "cluster.yaml")
    wanted = replace(resolve.desire(*checked, None, None, Allocations()), desired={}, undoes=("2",))
    folder = resolve.state_folder(wanted.cluster) / "journal"
    ran(folder, "1", update(X, A))
    ran(folder, "2", update(X, B), end="failed")
    seen = ObservedFleet({}, {}, {}, {name: TransportError(name, "no answer") for name in away}, {})
    inputs = Inputs(tmp_path / "cluster.yaml")
    with open_trace(folder) as trace, ThreadPoolExecutor() as pool:
        terminal = Terminal(inputs.inventory)
        session = LockedSession(
            inputs, *checked, Connections(pool, {}), terminal, {}, trace=trace, lost=threading.Event()
        )
        result = apply._undone(session, Planned(wanted, seen, Plan((), ())), Options(inputs))
    assert result is (End.FAILED if away else End.DONE)
    assert capsys.readouterr().out == "Nothing to undo: the hosts are in the state before run 2.\n"
    assert undone(folder) == next_undone
