"""Waiting for a gate: what ends it early, how often which host is asked, and whose words are the evidence."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from k8s_installer.engine import waiting
from k8s_installer.engine.waiting import wait
from k8s_installer.errors import TransportError
from k8s_installer.host.gates import GateAnswer, UnitState, judge
from k8s_installer.model.resources import Check, Gate
from tests.fakes import FakeHost

OWN = Gate("http://127.0.0.1:10248/healthz", Check.OK, "kubelet", deadline=60)
NODE = Gate("https://127.0.0.1:6443/api/v1/nodes/n1", Check.NODE_READY, "kubelet", unit_host="n1", deadline=60)
PODS = Gate(
    "https://127.0.0.1:6443/api/v1/namespaces/kube-system/pods?labelSelector=a", Check.POD_READY, "cm", deadline=180
)
RUNS = UnitState("active", 7)


@dataclass
class Clock:
    """Time that passes where somebody asks or sleeps, and nowhere else."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


@dataclass
class Host(FakeHost):
    """A host that answers as it is told, in the time that a real one takes."""

    time: Clock = field(default_factory=Clock)
    answers: Callable[[float], GateAnswer] = lambda _: GateAnswer(False, "refused", RUNS)
    unit: Callable[[float], UnitState] = lambda _: RUNS
    journal: str = ""
    said: Sequence[str] = ()
    probes: list[int] = field(default_factory=list)
    units_asked: list[tuple[float, int]] = field(default_factory=list)

    def probe(self, gate: Gate, patience: int = 0, since: int = 0) -> GateAnswer:
        self.probes.append(since)
        answer = self.answers(self.time.now - 1000)
        self.time.now += 0.1 if answer.holds else patience
        return answer

    def unit_state(self, unit: str, since: int = 0) -> UnitState:
        self.units_asked.append((self.time.now - 1000, since))
        return self.unit(self.time.now - 1000)

    def evidence(self, unit: str) -> str:
        return self.journal or super().evidence(unit)

    def ask(self, gate: Gate, urls: Sequence[str]) -> Sequence[str]:
        return self.said or super().ask(gate, urls)


@pytest.mark.parametrize(
    ("reports", "held_after"),
    [
        ([(0, 1599), (3, 1602)], 3),  # two seconds before it started, and then its own
        ([(0, 1600), (4, 1602)], 4),  # the second in which it started: it may be either's
        ([(0, 1600)], 20),  # and nothing has changed since, or there would have been another
        ([(0, 1601)], 0),
    ],
)
def test_a_node_is_not_ready_by_what_the_kubelet_before_this_one_reported(
    clock: Clock, reports: list[tuple[float, float]], held_after: float
) -> None:
    def says(elapsed: float) -> GateAnswer:
        return GateAnswer(True, "", RUNS, reported_at=[at for when, at in reports if when <= elapsed][-1])

    m1 = Host("m1", time=clock, answers=says)
    n1 = Host("n1", time=clock, unit=lambda _: UnitState("active", 7, started=1600.4))
    assert wait(NODE, m1, n1) == ""
    assert held_after <= clock.now - 1000 < held_after + 1
    assert [since for _, since in n1.units_asked].count(0) in (1, 2)  # the others are those about its ends


def test_a_kubelet_that_has_started_once_more_has_to_report_once_more(clock: Clock) -> None:
    """It reported, and ended before anybody asked: what counts is the process that runs when the answer is taken."""
    m1 = Host("m1", time=clock, answers=lambda at: GateAnswer(True, "", RUNS, reported_at=1605.0 if at < 8 else 1609.0))

    def unit(at: float) -> UnitState:
        return UnitState("activating", 0) if at < 2 else UnitState("active", 9, started=1607.2)

    n1 = Host("n1", time=clock, unit=unit)
    assert wait(NODE, m1, n1) == ""
    assert clock.now >= 1008


def test_a_node_whose_host_cannot_be_asked_for_its_kubelet_is_not_ready(clock: Clock) -> None:
    m1 = Host("m1", time=clock, answers=lambda _: GateAnswer(True, "Ready is True", RUNS, reported_at=1600.0))
    words = wait(NODE, m1, Host("n1", time=clock, unit=_cannot)).splitlines()
    assert words[0] == "did not pass within 60 s: Ready is True: reported before kubelet last started"


def test_where_nobody_can_ask_the_node_the_api_is_believed(clock: Clock) -> None:
    m1 = Host("m1", time=clock, answers=lambda _: GateAnswer(True, "", RUNS, reported_at=1600.0), unit=_cannot)
    assert wait(NODE, m1, m1) == ""


def _cannot(_: float) -> UnitState:
    raise TransportError("n1", "no route to host")


def test_what_holds_at_once_is_asked_once_and_nothing_else_is(clock: Clock) -> None:
    m1, n1 = Host("m1", time=clock, answers=lambda _: GateAnswer(True, "", RUNS)), Host("n1", time=clock)
    assert wait(NODE, m1, n1) == ""
    assert (m1.probes, n1.units_asked) == ([0], [])


def test_a_unit_of_another_host_that_comes_and_goes_is_not_waited_for(clock: Clock) -> None:
    """A kubelet whose process ends every three seconds: the master that is asked for the node runs on as it did."""
    m1 = Host("m1", time=clock)
    n1 = Host("n1", time=clock, unit=lambda at: UnitState("activating", 0, int(at // 3)), journal="bad flag")
    words = wait(NODE, m1, n1)
    assert words.splitlines() == ["given up after 13 s: refused", "kubelet on n1 has exited 4 times:", "bad flag"]
    assert [since for _, since in n1.units_asked] == [round(at) for at, _ in n1.units_asked]
    assert len(n1.units_asked) <= len(m1.probes) // 2


def test_a_unit_that_is_alive_on_another_host_is_waited_for_until_the_deadline(clock: Clock) -> None:
    m1, n1 = Host("m1", time=clock), Host("n1", time=clock)
    assert wait(NODE, m1, n1).startswith("did not pass within 60 s: refused\nkubelet on n1:\n")
    assert len(n1.units_asked) < 16


def test_a_unit_that_has_failed_is_not_waited_for(clock: Clock) -> None:
    n1 = Host("n1", time=clock, answers=lambda _: GateAnswer(False, "refused", UnitState("failed", 0)))
    assert wait(OWN, n1, n1).startswith("given up after 2 s: refused\n")
    assert n1.units_asked == []


@pytest.mark.parametrize(
    "unit",
    [lambda at: UnitState("activating", int(at) + 1), lambda at: UnitState("activating", 0, 3)],
    ids=["by its processes", "by its journal"],
)
def test_a_process_that_keeps_dying_is_not_waited_for(clock: Clock, unit: Callable[[float], UnitState]) -> None:
    n1 = Host("n1", time=clock, answers=lambda at: GateAnswer(False, "refused", unit(at)))
    assert wait(OWN, n1, n1).startswith("given up after ")
    assert clock.now < 1010


def test_a_unit_whose_host_cannot_be_asked_is_waited_for_and_the_end_says_so(clock: Clock) -> None:
    def lost(*_: object) -> UnitState:
        raise TransportError("n1", "the connection was lost")

    m1, n1 = Host("m1", time=clock), Host("n1", time=clock, unit=lost)
    n1.evidence = lost  # type: ignore[method-assign, assignment]
    assert wait(NODE, m1, n1) == "did not pass within 60 s: refused\nn1: the connection was lost"


def test_ends_of_long_ago_are_no_reason_to_give_up(clock: Clock) -> None:
    """A DNS that came and went while its node rebooted, days ago, and is not ready for a moment."""
    m1 = Host("m1", time=clock, answers=lambda at: GateAnswer(True, "", RUNS) if at > 30 else listed(pod(restarts=7)))
    assert wait(PODS, m1, m1) == ""


def pod(reason: str = "", restarts: int = 0, code: int = 1, **more: object) -> dict[str, object]:
    state = {"waiting": {"reason": reason, "message": "why"}} if reason else {"running": {}}
    last = {"terminated": {"exitCode": code}} if restarts else {}
    container = {"name": "coredns", "ready": False, "restartCount": restarts, "state": state, "lastState": last}
    status = {"phase": "Pending", "containerStatuses": [container], **more}
    return {"metadata": {"name": "dns-1", "uid": "1"}, "spec": {"nodeName": "n1"}, "status": status}


def listed(*pods: dict[str, object]) -> GateAnswer:
    return judge(PODS, json.dumps({"kind": "PodList", "items": pods}) + "\nstatus 200\nActiveState=active\nMainPID=7\n")


def test_a_container_that_comes_and_goes_is_not_waited_for_and_its_own_last_words_are_shown(clock: Clock) -> None:
    m1 = Host("m1", time=clock, said=["plugin/errors\n[FATAL] Unknown directive 'proxy'\n"])
    m1.answers = lambda at: listed(pod("CrashLoopBackOff", int(at // 5)))
    first, *rest = wait(PODS, m1, m1).splitlines()
    assert first.startswith("given up after 1")
    assert (
        "pod dns-1 on n1 is Pending: CrashLoopBackOff: why; it exited with code 1, and was restarted 2 times" in first
    )
    assert rest == ["plugin/errors", "[FATAL] Unknown directive 'proxy'"]


def test_a_program_that_leaves_the_foreground_is_told_from_one_that_fails(clock: Clock) -> None:
    m1 = Host("m1", time=clock, said=["started\n"])
    m1.answers = lambda at: listed(pod("CrashLoopBackOff", int(at // 5), code=0))
    _, ended, advice, *rest = wait(PODS, m1, m1).splitlines()
    assert ended.startswith("container coredns ended with exit code 0, and was restarted")
    assert ended.endswith(": its first process left the foreground, or had nothing to do")
    assert advice.startswith("a container lives as long as its first process: run the program in the foreground")
    assert rest == ["started"]


@pytest.mark.parametrize(
    "pods",
    [
        [pod("ImagePullBackOff")],
        [pod("CreateContainerConfigError"), pod("ErrImagePull")],
        [pod(conditions=[{"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}])],
        [],
    ],
)
def test_pods_that_cannot_run_are_given_twenty_seconds(clock: Clock, pods: list[dict[str, object]]) -> None:
    m1 = Host("m1", time=clock, answers=lambda _: listed(*pods))
    assert wait(PODS, m1, m1).startswith("given up after 2")
    assert 1020 < clock.now < 1026


SANDBOX = (
    'Failed to create pod sandbox: rpc error: code = Unknown desc = failed pulling image "10.77.1.1:5000/pause:3.2": Error '
    'response from daemon: Get "https://10.77.1.1:5000/v2/": tls: first record does not look like a TLS handshake'
)


def events(*reasons: str) -> str:
    common = {"message": SANDBOX, "source": {"host": "n1"}, "involvedObject": {"name": "dns-1"}}
    return json.dumps({"kind": "EventList", "items": [{"reason": reason, **common} for reason in reasons]})


def test_pods_whose_pause_image_cannot_be_pulled_are_given_up_on_with_the_node_and_the_setting(clock: Clock) -> None:
    m1 = Host("m1", time=clock, answers=lambda _: listed(pod("ContainerCreating")), journal="eight lines")
    m1.said = [events("Scheduled", "FailedCreatePodSandBox")]
    first, hint = wait(PODS, m1, m1).splitlines()
    assert first.startswith(
        'given up after 22 s: n1 cannot start pod dns-1: failed pulling image "10.77.1.1:5000/pause:3.2"'
    )
    assert hint.startswith("hint: the registry does not use TLS")
    assert hint.endswith('host_settings: {docker: {insecure_registries: ["10.77.1.1:5000"]}}')


@pytest.mark.parametrize("said", [("Scheduled",), ("FailedCreatePodSandBox", "Pulling")])
def test_a_pod_that_has_come_further_is_waited_for(clock: Clock, said: tuple[str, ...]) -> None:
    m1 = Host("m1", time=clock, answers=lambda _: listed(pod("ContainerCreating")), said=[events(*said)])
    assert wait(PODS, m1, m1).startswith("did not pass within 180 s: ")


def test_events_that_cannot_be_asked_for_are_no_reason_to_give_up(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: object) -> Sequence[str]:
        raise TransportError("m1", "no route to host")

    m1 = Host("m1", time=clock, answers=lambda _: listed(pod("ContainerCreating")))
    monkeypatch.setattr(m1, "ask", ask)
    assert wait(PODS, m1, m1).startswith("did not pass within 180 s: ")


@pytest.mark.parametrize("other", [pod(), pod("ContainerCreating")])
def test_one_pod_that_may_yet_run_is_waited_for(clock: Clock, other: dict[str, object]) -> None:
    m1 = Host("m1", time=clock, answers=lambda _: listed(pod("ImagePullBackOff"), other))
    assert wait(PODS, m1, m1).startswith("did not pass within 180 s: ")


def test_an_image_that_comes_late_is_waited_for_anew(clock: Clock) -> None:
    def answers(at: float) -> GateAnswer:
        return GateAnswer(True, "", RUNS) if at > 50 else listed(pod("ErrImagePull") if at % 20 < 15 else pod())

    m1 = Host("m1", time=clock, answers=answers)
    assert wait(PODS, m1, m1) == ""


def test_where_pods_say_nothing_their_controller_is_the_witness(clock: Clock) -> None:
    m1 = Host("m1", time=clock, answers=lambda _: listed(), journal="it cannot make them")
    m1.said = ['{"kind": "Status"}']
    assert wait(PODS, m1, m1).splitlines()[1:] == ["cm on m1:", "it cannot make them"]


def test_evidence_is_at_most_a_screen(clock: Clock) -> None:
    journal = "\n".join(["Active: failed", "--- end of its journal", *(f"line {number}" for number in range(100))])
    n1 = Host(
        "n1", time=clock, answers=lambda _: GateAnswer(False, "x" * 5000, UnitState("failed", 0)), journal=journal
    )
    lines = wait(OWN, n1, n1).splitlines()
    assert len(lines) == 25
    assert lines[-1] == "line 99"
    assert max(map(len, lines)) <= 240
    assert dataclasses.replace(OWN) == OWN
