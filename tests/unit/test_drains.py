"""Drains: what a master's shell does with the real scripts and a kubectl that is a stand-in, and what the API says."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import threading
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from k8s_installer.engine import waiting
from k8s_installer.engine.scheduler import apply
from k8s_installer.engine.waiting import wait
from k8s_installer.host import evictions, families
from k8s_installer.host.gates import GateAnswer, judge, script
from k8s_installer.host.perform import evidence
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import Check, Gate, Kind, Missing, Ref, SeenSetting
from k8s_installer.model.run import Event, State
from k8s_installer.report.progress import Lines
from tests.unit.test_host_settings import done, run, seen
from tests.unit.test_perform import marks, program
from tests.unit.test_waiting import RUNS, Clock, Host

URL = "https://127.0.0.1:6443/api/v1/pods?fieldSelector=spec.nodeName%3Dn1"
GATE = Gate(URL, Check.DRAINED, "kubelet", unit_host="n1", deadline=330, expects=("n1",))
FLAGS = "timeout=300s,ignore-daemonsets"
REFUSED = "error: cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): kube-system/logs"

# A kubectl whose cluster is the folder `nodes`: a Node is a file with its unschedulable and our annotation. A drain
# takes until the file `drains` is there; one that is refused has its words in `refuses`.
KUBECTL = """\
echo "$*" >>{folder}/said
[ ! -f {folder}/down ] || {{ echo 'The connection to the server was refused' >&2; exit 1; }}
shift 2
case $1 in
  get) echo 'N U A'; for node in {folder}/nodes/*; do [ ! -f "$node" ] || echo "${{node##*/}}   $(cat "$node")"; done ;;
  patch) case $5 in *'drained":"true"'*'unschedulable":true'*) echo 'true true' >{folder}/nodes/$3 ;;
      *'drained":null'*'unschedulable":false'*) echo 'false <none>' >{folder}/nodes/$3 ;; *) exit 9 ;; esac ;;
  delete) rm -f {folder}/nodes/$3 ;;
  drain) [ ! -f {folder}/refuses ] || {{ cat {folder}/refuses; exit 1; }}
    echo "evicting pod default/web-1"
    until [ -f {folder}/drains ]; do sleep 0.05; done
    echo "node/$2 drained" ;;
esac
"""


def cluster_in(folder: Path) -> None:
    """Make a master of a folder, whose cluster has two nodes."""
    for name in ("bin", "nodes", "root"):
        (folder / name).mkdir()
    program(folder / "bin", "kubectl", KUBECTL.format(folder=folder))
    program(folder / "bin", "systemctl", "echo ActiveState=active")
    (folder / "nodes/n1").write_text("<none> <none>\n")
    (folder / "nodes/n10").write_text("true <none>\n")


@pytest.fixture
def master(tmp_path: Path) -> Path:
    cluster_in(tmp_path)
    return tmp_path


def drained(folder: Path, node: str = "n1", value: str = FLAGS) -> str:
    """Have a node drained; what went wrong, or nothing."""
    result = done(folder, f"drained {node}", value)
    return evidence(result.stdout) if marks(result.stdout)[-1] == "failed 0" else ""


def released(folder: Path, node: str = "n1") -> str:
    result = done(folder, f"schedulable {node}", "released")
    return evidence(result.stdout) if marks(result.stdout)[-1] == "failed 0" else ""


def asked(folder: Path, *, until_over: bool = False) -> GateAnswer:
    """The gate's answer by its real script, which is asked again until the drain has ended if that is waited for."""
    end = time.monotonic() + 20
    while True:
        answer = judge(GATE, run(folder, script(GATE)).stdout)
        if not until_over or answer.holds or answer.over:
            return answer
        assert time.monotonic() < end, answer
        time.sleep(0.05)


def node(folder: Path, name: str = "n1") -> str:
    return (folder / "nodes" / name).read_text().strip()


def calls(folder: Path) -> list[str]:
    return (folder / "said").read_text().splitlines()


def test_a_node_is_cordoned_and_marked_in_one_request_and_drains_in_the_background(master: Path) -> None:
    assert seen(master, "drained n1", "schedulable n1") == [SeenSetting("released")] * 2
    assert not (master / "said").exists()  # a master that drains none is asked by no process
    assert drained(master) == ""
    assert node(master) == "true true"
    assert len([line for line in calls(master) if " patch " in line]) == 1
    assert seen(master, "drained n1", "schedulable n1") == [SeenSetting("drained")] * 2
    answer = asked(master)
    assert (answer.holds, answer.over, answer.log) == (False, False, "evicting pod default/web-1")
    (master / "drains").touch()
    assert asked(master, until_over=True).holds
    assert calls(master)[-1] == "-s http://127.0.0.1:8080 drain n1 --timeout=300s --ignore-daemonsets"
    assert released(master) == ""
    assert node(master) == "false <none>"
    assert seen(master, "drained n1", "schedulable n1") == [SeenSetting("released")] * 2


def test_a_node_that_somebody_else_has_cordoned_stays_so(master: Path) -> None:
    (master / "nodes/n1").write_text("true <none>\n")
    (master / "drains").touch()
    assert drained(master) == ""
    assert asked(master, until_over=True).holds
    assert released(master) == ""
    assert node(master) == "true <none>"
    assert not [line for line in calls(master) if " patch " in line]
    assert seen(master, "schedulable n1") == [SeenSetting("released")]


def test_a_drain_of_a_run_that_died_ends_when_its_node_is_given_back(master: Path) -> None:
    assert drained(master) == ""
    pid = int((master / "root/var/lib/k8s-installer/drains/n1/pid").read_text())
    assert Path(f"/proc/{pid}").exists()
    assert released(master) == ""
    assert not Path(f"/proc/{pid}").exists()
    assert node(master) == "false <none>"


def test_a_drain_that_is_typed_again_takes_the_place_of_the_first_and_the_node_is_still_ours(master: Path) -> None:
    assert drained(master) == ""
    assert drained(master, value="timeout=9s,force") == ""
    assert node(master) == "true true"
    (master / "drains").touch()
    assert asked(master, until_over=True).holds
    assert calls(master)[-1].endswith("drain n1 --timeout=9s --force")
    assert drained(master, value="released") == ""
    assert node(master) == "false <none>"


def test_a_node_that_is_not_there_has_nothing_to_drain(master: Path) -> None:
    (master / "nodes/n1").unlink()
    assert drained(master) == ""
    assert asked(master).holds
    assert released(master) == ""
    assert not [line for line in calls(master) if " drain " in line]


def test_a_node_that_is_deleted_needs_no_giving_back(master: Path) -> None:
    (master / "drains").touch()
    assert drained(master) == ""
    assert asked(master, until_over=True).holds
    assert marks(done(master, "node n1", "absent").stdout)[-1] == "done 0"
    assert seen(master, "schedulable n1") == [SeenSetting("released")]


def test_what_kubectl_refuses_is_said_with_what_allows_it(master: Path) -> None:
    (master / "refuses").write_text(f"Flag --delete-local-data has been deprecated\n{REFUSED}\n")
    assert drained(master) == ""
    answer = asked(master, until_over=True)
    assert answer.over
    assert answer.words == "node n1 is not drained"
    ignore = "to leave the pods of DaemonSets where they are: cluster: {drain_daemonsets: ignore}"
    assert evictions.evidence(answer.log, [items(pod("web-1"))]) == [REFUSED, ignore]


def test_a_drain_whose_process_is_gone_was_cut_off(master: Path) -> None:
    assert drained(master) == ""
    subprocess.run(
        ["kill", "-9", (master / "root/var/lib/k8s-installer/drains/n1/pid").read_text().strip()], check=True
    )
    (master / "drains").touch()
    answer = asked(master, until_over=True)
    assert (answer.holds, answer.over) == (False, True)


@pytest.mark.parametrize("does", [drained, released])
def test_an_api_that_does_not_answer_is_said(master: Path, does: Callable[[Path], str]) -> None:
    (master / "down").touch()
    assert does(master) == "The connection to the server was refused"


def test_in_words() -> None:
    assert families.words("drained n1", "timeout=300s") == "cordon and drain node n1 within 300s"
    assert families.words("drained n1", f"{FLAGS},force") == (
        "cordon and drain node n1 within 300s, --ignore-daemonsets, --force"
    )
    for name in ("drained n1", "schedulable n1"):
        assert families.words(name, "released") == "uncordon node n1"
        assert not families.one_way(name)
    assert families.differs("schedulable n1", "drained", "released") == "a run drained it and did not finish"
    assert families.differs("schedulable n1", "released", "released") == ""
    assert families.differs("schedulable n1", None, "released") == ""


def pod(name: str, *, labels: dict[str, str] | None = None, owner: str = "ReplicaSet", **metadata: object) -> object:
    return {
        "metadata": {
            "namespace": "default", "name": name, "labels": labels or {"app": "web"},
            "ownerReferences": [{"kind": owner}], **metadata,
        }
    }  # fmt: skip


def budget(name: str, selector: object, allowed: int = 0, namespace: str = "default") -> object:
    status = {"disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2}
    return {"metadata": {"namespace": namespace, "name": name}, "spec": {"selector": selector}, "status": status}


def items(*found: object) -> str:
    return json.dumps({"items": list(found)})


WEB = {"matchLabels": {"app": "web"}}
OLD_DAEMONSET = '{"kind": "SerializedReference", "reference": {"kind": "DaemonSet", "name": "logs"}}'  # as 1.5 has it
LATE = 'error: error when evicting pods/"web-1" -n "default": global timeout reached: 5m0s'
LATE_IN_1_5 = "There are pending pods when an error occurred: ...\npod/web-1\nerror: Drain did not complete within 5m0s"
LONGER = "to allow more time: --drain-timeout SECONDS; to continue without these pods: --force"
NOT_FOUND = '{"kind": "Status", "code": 404}'


def test_the_pods_that_are_waited_for_are_named_with_the_budgets_that_keep_them() -> None:
    assert evictions.questions(URL) == (
        URL,
        "https://127.0.0.1:6443/apis/policy/v1/poddisruptionbudgets",
        "https://127.0.0.1:6443/apis/policy/v1beta1/poddisruptionbudgets",
    )
    pods = items(
        pod("web-1"),
        pod("other", labels={"app": "other"}),
        pod("gone", labels={"app": "other"}, deletionTimestamp="2026-01-01T00:00:00Z"),
        pod("logs", owner="DaemonSet"),
        pod("old-logs", owner="", annotations={"kubernetes.io/created-by": OLD_DAEMONSET}),
        pod("static", annotations={"kubernetes.io/config.mirror": "x"}),
    )
    budgets = items(budget("web", WEB), budget("free", WEB, allowed=1), budget("far", WEB, namespace="far"))
    texts = [pods, NOT_FOUND, budgets]
    assert evictions.progress(texts) == "waiting for default/web-1 (budget web), default/other, default/gone"
    lines = [
        "pod default/web-1 is still there: the PodDisruptionBudget default/web allows no eviction now (it has 2 healthy pods and needs 2)",
        "pod default/other is still there",
        "pod default/gone is still there: it is being deleted",
    ]
    assert evictions.evidence(LATE, texts) == [*lines, LONGER]
    assert evictions.evidence("evicting\nerror: it has two budgets\n", texts) == [
        *lines,
        "error: it has two budgets",
        LONGER,
    ]
    assert evictions.evidence(LATE_IN_1_5, texts) == [*lines, LONGER]
    assert evictions.evidence(LATE, []) == [LATE, LONGER]
    assert evictions.evidence("", []) == [LONGER]
    many = [items(*(pod(f"p{number}") for number in range(15)))]
    assert evictions.progress(many).endswith("default/p4 and 10 more")
    assert evictions.evidence(LATE, many)[-3:] == ["pod default/p10 is still there", "and 4 more pods", LONGER]


@pytest.mark.parametrize(
    ("rule", "selects"),
    [
        ({"key": "app", "operator": "In", "values": ["web", "db"]}, True),
        ({"key": "app", "operator": "In", "values": ["db"]}, False),
        ({"key": "app", "operator": "NotIn", "values": ["db"]}, True),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "tier", "operator": "Exists"}, False),
        ({"key": "tier", "operator": "DoesNotExist"}, True),
        ({"key": "app", "operator": "Like"}, False),
    ],
)
def test_a_budget_selects_by_expressions_too(rule: object, *, selects: bool) -> None:
    texts = [items(pod("web-1")), items(budget("web", {"matchExpressions": [rule]}))]
    assert ("budget web" in evictions.progress(texts)) == selects


@pytest.mark.parametrize(
    "texts", [[], [""], ["[]"], ["null", "x"], ['{"items": 1}'], ['{"items": [{}, 1]}', '{"items": [{}]}']]
)
def test_what_is_no_answer_is_no_trouble(texts: list[str]) -> None:
    evictions.progress(texts)
    evictions.evidence("", texts)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


WAITS = GateAnswer(
    False, "node n1 is not drained", RUNS, questions=evictions.questions(URL), log=f"evicting pod web-1\n{LATE}"
)


def test_what_a_drain_waits_for_is_told_now_and_then(clock: Clock) -> None:
    told: list[str] = []
    m1 = Host("m1", time=clock, answers=lambda at: GateAnswer(True, "", RUNS) if at > 60 else WAITS)
    m1.said = [items(pod("web-1")), NOT_FOUND, items(budget("web", WEB))]
    assert wait(GATE, m1, Host("n1", time=clock), told.append) == ""
    assert told == ["waiting for default/web-1 (budget web)"] * 9  # in a minute, each after five seconds at least


def test_a_drain_that_times_out_says_which_pod_and_which_budget(clock: Clock) -> None:
    m1 = Host("m1", time=clock, answers=lambda _: WAITS)
    m1.said = [items(pod("web-1")), NOT_FOUND, items(budget("web", WEB))]
    assert wait(GATE, m1, Host("n1", time=clock)).splitlines() == [
        "did not pass within 330 s: node n1 is not drained",
        "pod default/web-1 is still there: the PodDisruptionBudget default/web allows no eviction now (it has 2 healthy pods and needs 2)",
        LONGER,
    ]


def test_nobody_waits_for_a_drain_after_ctrl_c(clock: Clock) -> None:
    stop = threading.Event()
    stop.set()
    m1 = Host("m1", time=clock, answers=lambda _: WAITS)
    words = wait(GATE, m1, Host("n1", time=clock), stop=stop)
    assert words.startswith("stopped on request: node n1 is not drained")


def test_what_is_waited_for_is_shown_and_is_no_event_of_the_run(clock: Clock) -> None:
    m1 = Host("m1", time=clock, answers=lambda at: GateAnswer(True, "", RUNS) if at > 20 else WAITS)
    m1.said = [items(pod("web-1"))]
    change = Change(
        Ref("m1", Kind.GATE, "node n1 is drained"), Action.WAIT, "kube-apiserver", Missing.ABSENT, GATE, "a test"
    )
    plan = Plan((change,), ((),))
    heard: list[Event] = []
    run = apply(plan, {"m1": m1, "n1": Host("n1", time=clock)}, heard.append, threading.Event())
    assert [event.state for event in heard] == [State.RUNNING, *[State.PROGRESS] * 3, State.DONE]
    assert [event.state for event in run.events] == [State.RUNNING, State.DONE]
    console = Console(file=StringIO(), width=200)
    lines = Lines(plan, console, now=lambda: dt.datetime(2026, 11, 27, 3, 15, 7, tzinfo=dt.UTC))
    for event in heard:
        lines.take(event)
    assert isinstance(console.file, StringIO)
    first, *_ = console.file.getvalue().splitlines()
    assert first == "03:15:07 m1: wait until node n1 is drained: waiting for default/web-1"
