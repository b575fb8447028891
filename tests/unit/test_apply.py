from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from k8s_installer import apply as engine
from k8s_installer.apply import Event, Run, State, apply
from k8s_installer.desired.model import Wanted
from k8s_installer.gates import Answer
from k8s_installer.plan import Plan
from k8s_installer.resources import File, Kind, Package, Ref
from tests.fakes import FakeHost
from tests.unit.example import CONFIG, DROP_IN, desired, hosts
from tests.unit.test_plan import planned


def run(plan: Plan, fleet: Mapping[str, FakeHost]) -> Run:
    return apply(plan, fleet, lambda event: None, threading.Event())


def outcome(plan: Plan, done: Run) -> dict[str, State]:
    return {f"{plan.changes[event.index].ref.name}": event.state for event in done.events}


def test_bare_hosts_become_what_is_wanted_and_stay_so() -> None:
    fleet = hosts()
    plan = planned(desired(), fleet)
    done = run(plan, fleet)
    assert set(outcome(plan, done).values()) == {State.DONE}
    assert not planned(desired(), fleet)


def test_a_host_gets_as_few_scripts_as_the_order_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = hosts()
    scripts: list[tuple[str, int]] = []
    real = FakeHost.perform

    def counted(self: FakeHost, changes: list, on_report: object) -> object:  # type: ignore[type-arg]
        scripts.append((self.name, len(changes)))
        return real(self, changes, on_report)  # type: ignore[arg-type]

    monkeypatch.setattr(FakeHost, "perform", counted)
    run(planned(desired(), fleet), fleet)
    # the master in one go; the node's package and file at once, its kubelet when the API server is ready
    assert sorted(scripts) == [("m1", 4), ("n1", 2), ("n1", 2)]


def test_what_comes_after_a_failure_is_skipped_with_the_cause_and_the_rest_goes_on() -> None:
    fleet = hosts()
    fleet["m1"].refuses["kube-apiserver"] = "unknown flag: --bogus"
    plan = planned(desired(), fleet)
    done = run(plan, fleet)
    states = outcome(plan, done)
    assert states["kube-apiserver"] is State.FAILED
    assert [event.detail for event in done.failures] == ["unknown flag: --bogus"]
    assert states[DROP_IN] is State.DONE
    assert states["kubelet"] is State.SKIPPED
    assert "start kubelet" not in fleet["n1"].log
    assert {event.detail for event in done.skipped} == {"it comes after m1: unit kube-apiserver, which failed"}


def test_independent_changes_of_a_failed_script_are_tried_again_without_it() -> None:
    fleet = hosts()
    fleet["m1"].refuses[CONFIG] = "No space left on device"
    plan = planned(desired(), fleet)
    states = outcome(plan, run(plan, fleet))
    assert states[CONFIG] is State.FAILED
    assert states["/etc/kubernetes/pki/apiserver.key"] is State.DONE


def test_a_transaction_that_fails_fails_whole_and_the_run_ends() -> None:
    """yum takes several packages at once: all have begun when one of them is not to be had."""
    fleet = hosts()
    fleet["m1"].refuses["etcd"] = "No package etcd available."
    packages = {
        Ref("m1", Kind.PACKAGE, name): Wanted(Ref("m1", Kind.PACKAGE, name), Package(name), "etcd", (), "a test")
        for name in ("kubernetes-client", "etcd", "docker")
    }
    behind = Ref("m1", Kind.FILE, "/etc/kubernetes/config")
    first = Ref("m1", Kind.PACKAGE, "kubernetes-client")
    plan = planned({**packages, behind: Wanted(behind, File(b""), "etcd", (first,), "a test")}, fleet)
    done = run(plan, fleet)
    assert outcome(plan, done) == {
        "kubernetes-client": State.SKIPPED, "etcd": State.FAILED, "docker": State.SKIPPED,
        "/etc/kubernetes/config": State.SKIPPED,
    }  # fmt: skip
    assert [event.detail for event in done.failures] == ["No package etcd available."]


def test_a_lost_host_is_not_asked_again_and_the_next_run_goes_on() -> None:
    fleet = hosts()
    fleet["m1"].cut_at = CONFIG
    plan = planned(desired(), fleet)
    done = run(plan, fleet)
    assert [event.detail for event in done.failures] == ["m1: the connection was lost"]
    assert {plan.changes[event.index].ref.name for event in done.skipped} >= {"kube-apiserver", "kubelet"}
    fleet["m1"].cut_at = ""
    again = planned(desired(), fleet)
    assert len(again.changes) < len(plan.changes)
    assert not run(again, fleet).failures
    assert not planned(desired(), fleet)


def test_a_gate_that_does_not_hold_in_time_fails_with_the_units_journal() -> None:
    fleet = hosts()
    plan = planned(desired(), fleet)
    fleet["m1"].refuses["kubelet"] = "the kubelet of another host is not asked here"
    done = run(plan, fleet)
    failure = done.failures[0]
    assert plan.changes[failure.index].ref.name == "node n1 is ready"
    assert failure.detail.startswith("not so within 0 s: https://127.0.0.1:6443/api/v1/nodes/n1: no answer")
    assert failure.detail.endswith("the journal of kubelet on n1")


def test_a_process_that_keeps_dying_is_not_waited_for() -> None:
    fleet = hosts()
    pids = iter(range(100, 200))

    def dying(gate: object) -> Answer:
        return Answer(holds=False, words="refused", state="activating", pid=next(pids))

    fleet["m1"].probe = dying  # type: ignore[method-assign]
    done = run(planned(desired(), fleet), fleet)
    assert done.failures[0].detail.startswith("not so: refused")
    assert next(pids) == 100 + engine.RESTARTS_TO_GIVE_UP + 1


def test_ctrl_c_finishes_what_has_begun_and_begins_nothing_new() -> None:
    fleet = hosts()
    plan = planned(desired(), fleet)

    stop = threading.Event()

    def interrupt(event: Event) -> None:
        if event.state is State.RUNNING and plan.changes[event.index].ref.name == CONFIG:
            stop.set()

    done = apply(plan, fleet, interrupt, stop)
    assert done.interrupted
    states = outcome(plan, done)
    assert states[CONFIG] is State.DONE
    assert states["kubelet"] is State.SKIPPED
    assert not run(planned(desired(), fleet), fleet).failures


def test_a_fault_of_the_program_is_raised_not_swallowed() -> None:
    fleet = hosts()
    fleet["m1"].units["kube-apiserver"] = "not a unit"  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        run(planned(desired(), hosts()), fleet)
