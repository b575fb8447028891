from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from k8s_installer.engine import scheduler as engine
from k8s_installer.engine.scheduler import apply
from k8s_installer.engine.worker import Finished
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import File, Kind, Package, Ref, Resource
from k8s_installer.model.run import Event, Run, State
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
    assert {event.detail for event in done.skipped} == {"it depends on m1: unit kube-apiserver, which failed"}


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
        Ref("m1", Kind.PACKAGE, name): DesiredResource(
            Ref("m1", Kind.PACKAGE, name), Package(name), "etcd", (), "a test"
        )
        for name in ("kubernetes-client", "etcd", "docker")
    }
    behind = Ref("m1", Kind.FILE, "/etc/kubernetes/config")
    first = Ref("m1", Kind.PACKAGE, "kubernetes-client")
    plan = planned({**packages, behind: DesiredResource(behind, File(b""), "etcd", (first,), "a test")}, fleet)
    done = run(plan, fleet)
    assert outcome(plan, done) == {
        "kubernetes-client": State.SKIPPED, "etcd": State.FAILED, "docker": State.SKIPPED,
        "/etc/kubernetes/config": State.SKIPPED,
    }  # fmt: skip
    assert [event.detail.splitlines()[0] for event in done.failures] == ["No package etcd available."]


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
    assert failure.detail.startswith("did not pass within 0 s: https://127.0.0.1:6443/api/v1/nodes/n1: no answer")
    assert failure.detail.endswith("kubelet on n1:\nthe journal of kubelet on n1")


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


def test_a_plan_that_cannot_go_on_is_a_fault_of_ours_and_does_not_hang() -> None:
    plan = planned(desired(), hosts())
    with pytest.raises(AssertionError, match=r"nothing can start, and these are waiting: \[0, 1"):
        run(replace(plan, after=((0,), *((0,) for _ in plan.changes[1:]))), hosts())


def test_what_a_running_script_holds_is_skipped_when_it_comes_back() -> None:
    """A change fails in a script; another host's script ends before that one does; then it ends, too."""
    first, second, other = (Ref(host, Kind.FILE, path) for host, path in (("m1", "/a"), ("m1", "/b"), ("n1", "/c")))
    wanted = {
        first: DesiredResource(first, File(b""), "etcd", (), "a test"),
        second: DesiredResource(second, File(b""), "etcd", (first,), "a test"),
        other: DesiredResource(other, File(b""), "etcd", (), "a test"),
    }
    plan = planned(wanted, {"m1": FakeHost("m1"), "n1": FakeHost("n1")})
    scheduler = engine._Scheduler(plan, lambda event: None, threading.Event())
    m1, n1 = scheduler.next_jobs()
    scheduler.inbox.put(Event(m1[0], State.FAILED, 0.0))
    scheduler.inbox.put(Event(n1[0], State.DONE, 0.0))
    scheduler.inbox.put(Finished(n1))
    scheduler.receive()
    assert scheduler.next_jobs() == []
    scheduler.inbox.put(Finished(m1))
    scheduler.receive()
    assert scheduler.next_jobs() == []
    assert not scheduler.unfinished()
    assert [event.detail for event in scheduler.events if event.state is State.SKIPPED] == [
        "it depends on m1: file /a, which failed"
    ]


def test_the_schedulers_work_grows_with_the_plan_and_not_with_its_square(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    real = engine._Scheduler._ready

    def counted(self: engine._Scheduler, index: int, script: Iterable[int]) -> bool:
        nonlocal looks
        looks += 1
        return real(self, index, script)

    monkeypatch.setattr(engine._Scheduler, "_ready", counted)
    seen = []
    for count in (10, 20, 40):
        looks = 0
        refs = [Ref(f"n{host}", Kind.FILE, path) for host in range(count) for path in ("/a", "/b")]
        fleet = {ref.host: FakeHost(ref.host) for ref in refs}
        assert not run(
            planned({ref: DesiredResource(ref, File(b""), "etcd", (), "a test") for ref in refs}, fleet), fleet
        ).failures
        seen.append(looks / count)
    assert seen[0] == seen[1] == seen[2]


def test_a_failed_transaction_says_what_to_do() -> None:
    fleet = hosts()
    fleet["m1"].refuses["kubernetes-master"] = "No package kubernetes-master available."
    fleet["n1"].refuses["kubernetes-node"] = "words that nobody knows"
    done = run(planned(desired(), fleet), fleet)
    first, second = sorted(event.detail for event in done.failures)
    assert first.startswith("No package kubernetes-master available.\nhint: no repository of the host has this package")
    assert second == "words that nobody knows"


def test_what_packages_wait_for_leads_the_script_and_they_stay_one_transaction() -> None:
    """A package, a file behind it, and then the file that says where packages are: as three components would have it."""
    things: list[tuple[Kind, str, Resource]] = [
        (Kind.FILE, "/etc/yum.repos.d/CentOS-Base.repo", File(b"[base]\n")),
        (Kind.PACKAGE, "etcd", Package("etcd")),
        (Kind.FILE, "/etc/etcd/etcd.conf", File(b"")),
        (Kind.PACKAGE, "docker", Package("docker")),
        (Kind.PACKAGE, "late", Package("late")),
    ]
    repo, etcd, config, docker, other = (
        DesiredResource(Ref("m1", kind, name), resource, "a test", (), "a test") for kind, name, resource in things
    )
    items = [
        replace(etcd, after=(repo.ref,)), replace(config, after=(etcd.ref,)), repo,
        replace(docker, after=(repo.ref,)), replace(other, after=(config.ref,)),
    ]  # fmt: skip
    fleet = {"m1": FakeHost("m1")}
    assert not run(planned({item.ref: item for item in items}, fleet), fleet).failures
    assert [line.split()[1] for line in fleet["m1"].log] == [
        "/etc/yum.repos.d/CentOS-Base.repo", "etcd", "docker", "/etc/etcd/etcd.conf", "late",
    ]  # fmt: skip
