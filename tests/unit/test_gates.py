from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from k8s_installer.host.gates import (
    GateAnswer,
    UnitState,
    answers,
    answers_script,
    judge,
    script,
    unit_script,
    unit_state,
)
from k8s_installer.model.resources import Check, Gate
from k8s_installer.untrusted.answers import Malformed

UNIT = "ActiveState=active\nSubState=running\nMainPID=812\n"


def gate(check: Check, ca: str = "", cert: str = "", key: str = "") -> Gate:
    return Gate("https://127.0.0.1:6443/readyz", check, "kube-apiserver", ca, cert, key)


def test_the_question_is_one_curl_and_one_systemctl() -> None:
    text = script(gate(Check.OK, ca="/pki/ca.crt", cert="/pki/a.crt", key="/pki/a.key"))
    assert text.count("curl") == text.count("systemctl") == 1
    assert (
        "curl -sS --noproxy '*' -m 5 -w '\\nstatus %{http_code}\\n' "
        "--cacert /pki/ca.crt --cert /pki/a.crt --key /pki/a.key https://127.0.0.1:6443/readyz 2>&1" in text
    )
    assert text.endswith("systemctl show -p ActiveState -p SubState -p MainPID kube-apiserver.service\n")


@pytest.mark.parametrize(
    ("patience", "ready_at", "asked", "holds"),
    [(0, 1, 1, True), (0, 2, 1, False), (9, 1, 1, True), (9, 3, 3, True)],
)
def test_a_host_asks_itself_until_the_answer_comes(
    tmp_path: Path, patience: int, ready_at: int, asked: int, *, holds: bool
) -> None:
    """The real script, with a curl that gets an answer at its N-th call."""
    calls = tmp_path / "calls"
    stand_in = f'echo >>{calls}; [ $(wc -l <{calls}) -ge {ready_at} ] && printf "ok\\nstatus 200\\n" || printf "no\\nstatus 000\\n"'
    for name, body in (("curl", stand_in), ("systemctl", "echo MainPID=1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    question = gate(Check.OK)
    done = subprocess.run(
        ["/bin/sh"], input=script(question, patience), env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer = judge(question, done.stdout)
    assert (answer.holds, answer.unit.pid) == (holds, 1)
    assert len(calls.read_text()) == asked


def test_how_often_a_unit_ended_is_asked_of_its_journal_where_waiting_goes_on(tmp_path: Path) -> None:
    journal = "Main process exited, code=exited\nmain process exited, code=killed\nStarted\n"
    for name, body in (
        (
            "systemctl",
            f'echo "$*" >{tmp_path}/asked; printf "ActiveState=activating\\nSubState=auto-restart\\nMainPID=0\\n"',
        ),
        ("journalctl", f'echo "$*" >>{tmp_path}/asked; printf "%s" "{journal}"'),
        ("curl", "exit 7"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)

    def said(text: str) -> str:
        env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        return subprocess.run(["/bin/sh"], input=text, env=env, capture_output=True, text=True, check=True).stdout

    assert unit_state(said(unit_script("kubelet", 9))) == UnitState("activating", 0, exits=2)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[1] == "--no-pager -q -o cat --since -9s -u kubelet"
    assert unit_state(said(unit_script("kubelet"))) == UnitState("activating", 0)
    assert judge(gate(Check.OK), said(script(gate(Check.OK), 0, 9))).unit == UnitState("activating", 0, exits=2)
    assert judge(gate(Check.OK), said(script(gate(Check.OK)))).unit.exits == 0
    assert unit_state("MainPID=x\nExits=\n") == UnitState("unknown", 0)


def test_other_answers_are_evidence_whatever_is_in_them(tmp_path: Path) -> None:
    body = 'case $* in *one*) printf "a\\n--- the next answer\\n\\nb" ;; *two*) exit 7 ;; *) echo c; esac'
    (tmp_path / "curl").write_text(f"#!/bin/sh\n{body}\n")
    (tmp_path / "curl").chmod(0o755)
    text = answers_script(
        gate(Check.POD_READY, "/ca", "/c", "/k"), ["https://h/one", "https://h/two&x=1", "https://h/3"]
    )
    assert text.count("--cacert /ca --cert /c --key /k") == 3
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["/bin/sh"], input=text, env=env, capture_output=True, text=True, check=True)
    assert answers(done.stdout) == ["a\n--- the next answer\n\nb", "", "c"]
    assert answers("|no question\nnothing\n") == []


def test_a_gate_for_pods_has_how_they_are_doing_and_what_to_ask_further() -> None:
    waiting = {"name": "c", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    body = json.dumps(
        {"kind": "PodList", "items": [{"metadata": {"name": "a"}, "status": {"containerStatuses": [waiting]}}]}
    )
    question = Gate("https://h/api/v1/namespaces/kube-system/pods?x", Check.POD_READY, "cm")
    answer = judge(question, f"{body}\nstatus 200\n{UNIT}")
    assert answer.pods is not None
    assert (answer.pods.in_vain, max(answer.pods.exits.values())) == (True, 2)
    assert [url.partition("/pods/")[2].partition("?")[0] for url in answer.questions] == ["a/log"]
    for other in (judge(question, f"no\nstatus 500\n{UNIT}"), judge(gate(Check.OK), f"{body}\nstatus 200\n{UNIT}")):
        assert (other.pods, other.questions) == (None, ())


@pytest.mark.parametrize(
    ("check", "body", "status", "holds"),
    [
        (Check.OK, "ok", 200, True),
        (Check.OK, "[-]poststarthook/rbac/bootstrap-roles failed: reason withheld", 500, False),
        (Check.OK, "ok", 500, False),
        (Check.ANSWERS, "<html>", 200, True),
        (Check.ETCD_HEALTH, '{"health": "true"}', 200, True),  # etcd 3.3
        (Check.ETCD_HEALTH, '{"health": true}', 200, True),
        (Check.ETCD_HEALTH, '{"health": "false"}', 200, False),
        (Check.ETCD_HEALTH, "[1]", 200, False),
        (Check.ETCD_HEALTH, "no JSON", 200, False),
        (Check.NODE_READY, '{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}', 200, True),
        (Check.NODE_READY, '{"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}', 200, False),
        (Check.NODE_READY, '{"status": {}}', 200, False),
        (Check.NODE_READY, '{"kind": "Status"}', 200, False),
    ],
)
def test_an_answer_is_judged_by_its_status_and_its_body(check: Check, body: str, status: int, *, holds: bool) -> None:
    assert judge(gate(check), f"{body}\nstatus {status}\n{UNIT}").holds is holds


LEASE = '{"spec": {"holderIdentity": "m1_abc", "renewTime": "2026-11-23T03:00:10.123456Z"}}'
OLD_LEASE = json.dumps(
    {
        "metadata": {
            "annotations": {
                "control-plane.alpha.kubernetes.io/leader": '{"holderIdentity": "m1", "renewTime": "2026-11-23T03:00:10Z"}'
            }
        }
    }
)
RENEWED = 1795402810


@pytest.mark.parametrize("body", [LEASE, OLD_LEASE])
def test_a_lease_is_held_if_it_was_renewed_since_the_process_started(body: str) -> None:
    def holds(times: str, unit: str = UNIT) -> bool:
        return judge(gate(Check.LEASE_HELD), f"{body}\nstatus 200\n{unit}{times}").holds

    assert holds(started(RENEWED - 0.5))
    assert not holds(started(RENEWED + 0.5))
    assert not holds("")
    # another master renews it, and this one's process is gone
    assert not holds(started(RENEWED - 0.5), "ActiveState=activating\nMainPID=0\n")


def started(at: float, up: float = 500.25) -> str:
    """What a host says of a process that started at this time (Unix seconds), so long after it booted."""
    return f"ExecMainStartTimestampMonotonic={up * 1e6:.0f}\nClock={at + 30:.9f} {up + 30:.2f}\n"


@pytest.mark.parametrize("body", ['{"spec": {"holderIdentity": ""}}', "{}", '{"metadata": {}}', "no JSON"])
def test_a_lease_that_nobody_has_is_not_held(body: str) -> None:
    assert not judge(gate(Check.LEASE_HELD), f"{body}\nstatus 200\n{UNIT}{started(1.0)}").holds


def test_a_lease_is_asked_for_with_the_start_of_the_process() -> None:
    assert "-p ExecMainStartTimestampMonotonic kube-apiserver.service" in script(gate(Check.LEASE_HELD))
    assert "Monotonic" not in script(gate(Check.OK))


def test_the_start_of_a_process_is_known_to_the_hundredth_of_a_second(tmp_path: Path) -> None:
    """The real script beside a process of this machine, which systemd would have started with it."""
    began = time.clock_gettime(time.CLOCK_MONOTONIC)
    (tmp_path / "systemctl").write_text(
        f"#!/bin/sh\necho MainPID=7; echo ExecMainStartTimestampMonotonic={began * 1e6:.0f}\n"
    )
    (tmp_path / "systemctl").chmod(0o755)
    before = time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - began)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    asked = unit_script("kubelet", started=True)
    done = subprocess.run(["/bin/sh"], input=asked, env=env, capture_output=True, text=True, check=True)
    found = unit_state(done.stdout)
    assert before - 0.001 <= found.started < before + 5  # never early; late only by the start of `date`
    assert unit_state(done.stdout.replace("MainPID=7", "MainPID=0")).started == 0.0


@pytest.mark.parametrize("times", ["Clock=1", "Clock=x 1\nExecMainStartTimestampMonotonic=1", "Clock=1 1"])
def test_a_start_that_is_no_time_is_malformed(times: str) -> None:
    with pytest.raises(Malformed):
        unit_state(f"MainPID=7\n{times}\n")


def test_the_units_state_and_process_come_with_the_answer() -> None:
    answer = judge(gate(Check.OK), f"ok\nstatus 200\n{UNIT}")
    assert (answer.unit.state, answer.unit.pid) == ("active", 812)
    assert answer.words == "https://127.0.0.1:6443/readyz: ok (status 200)"


def test_a_node_that_is_not_ready_says_why() -> None:
    ready = {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "PLEG is not healthy"}
    answer = judge(gate(Check.NODE_READY), json.dumps({"status": {"conditions": [ready]}}) + f"\nstatus 200\n{UNIT}")
    assert answer.words.endswith("/readyz: Ready is False: KubeletNotReady: PLEG is not healthy (status 200)")


def test_no_connection_is_no_health() -> None:
    answer = judge(gate(Check.OK), "curl: (7) Failed to connect\n\nstatus 000\nActiveState=failed\nMainPID=0\n")
    assert (answer.holds, answer.unit.state, answer.unit.pid) == (False, "failed", 0)
    assert "Failed to connect" in answer.words


def test_no_output_at_all_is_no_health() -> None:
    answer = judge(gate(Check.OK), "")
    assert (answer.holds, answer.unit.state, answer.unit.pid) == (False, "unknown", 0)
    assert answer.words == "https://127.0.0.1:6443/readyz: no answer (status 000)"


def listed(name: str) -> str:
    return (Path(__file__).parent / f"verify/{name}.json").read_text()


def pods(body: str) -> tuple[bool, str]:
    answer = judge(gate(Check.POD_READY), f"{body}\nstatus 200\n{UNIT}")
    return answer.holds, answer.words.removeprefix("https://127.0.0.1:6443/readyz: ")


def test_one_ready_pod_is_enough_and_why_others_are_not_is_told() -> None:
    holds, words = pods(listed("pods-one-deleted-1.20.2"))
    assert holds, words
    holds, words = pods(listed("pods-image-missing-1.20.2"))
    assert not holds
    assert words.startswith("pod web-")
    assert "ImagePullBackOff: Back-off pulling image" in words
    assert pods('{"kind": "PodList", "items": []}') == (False, "ready pods: 0 (status 200)")
    assert pods('{"kind": "PodList", "items": [{"metadata": {"name": "a"}}]}') == (
        False,
        "pod a is Unknown: not ready yet (status 200)",
    )
    assert pods('{"kind": "Status", "items": 3}')[0] is False
    ready = '{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}'
    assert pods(f'{{"kind": "PodList", "items": [{ready}]}}') == (True, "ready pods: 1 (status 200)")


MEMBERS = ("m1=https://10.0.0.1:2380", "m2=https://10.0.0.2:2380")


def members(*members: str, cluster: str = "14841639068965178418") -> str:
    """etcd's answer, as its gateway writes it."""
    listed = [
        {"ID": str(number), "name": name, "peerURLs": [url], "clientURLs": []}
        for number, (name, _, url) in enumerate(member.partition("=") for member in members)
    ]
    return json.dumps({"header": {"cluster_id": cluster, "member_id": "1", "raft_term": "2"}, "members": listed})


def of_etcd(*lines: str, expects: tuple[str, ...] = MEMBERS, status: int = 200) -> tuple[bool, str]:
    asked = Gate("https://127.0.0.1:2379", Check.ETCD_MEMBERS, "etcd", expects=expects)
    answer = judge(asked, "\n".join(lines) + f"\nstatus {status}\n{UNIT}")
    return answer.holds, answer.words.removeprefix("https://127.0.0.1:2379: ")


def test_etcd_has_the_members_of_the_inventory_and_all_are_in_one_cluster() -> None:
    both = members(*MEMBERS)
    assert of_etcd(both, both, both) == (
        True,
        f"etcd has these members, in one cluster: {MEMBERS[0]}, {MEMBERS[1]} (status 200)",
    )
    # one that does not answer has a gate of its own
    assert of_etcd("404 page not found", "", both)[0]


def test_an_only_member_keeps_the_url_of_its_first_start() -> None:
    made_without_tls = members("m1=http://localhost:2380")
    assert of_etcd(made_without_tls, expects=("m1=https://10.0.0.1:2380",))[0]
    assert of_etcd(made_without_tls, expects=("m2=https://10.0.0.1:2380",))[1].startswith("not in its member list: m2;")
    two = members("m1=http://localhost:2380", "m9=http://10.0.0.9:2380")
    assert not of_etcd(two, expects=("m1=https://10.0.0.1:2380",))[0]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([members(MEMBERS[0])], f"not in its member list: {MEMBERS[1]}"),
        ([members(*MEMBERS, "m9=http://10.0.0.9:2380")], "a member, but not in the inventory: m9=http://10.0.0.9:2380"),
        ([members(MEMBERS[0], "=https://10.0.0.2:2380")], f"not in its member list: {MEMBERS[1]}; a member, but not"),
        ([members(*MEMBERS, cluster="7"), members(*MEMBERS)], "2 separate clusters: 14841639068965178418, 7"),
        ([json.dumps({"error": "not found", "code": 5})], "etcd does not list its members"),
        (['{"header": {}}'], f"not in its member list: {MEMBERS[0]}, {MEMBERS[1]}"),
        (['{"header": {}, "members": [{}, 3]}'], "not in its member list"),
        (["no JSON"], "no JSON"),
    ],
)
def test_members_that_differ_are_named(answers: list[str], words: str) -> None:
    holds, said = of_etcd(*answers)
    assert not holds
    assert said.startswith(words)


def test_an_etcd_that_does_not_answer_lists_nothing() -> None:
    assert of_etcd("curl: (7) Failed to connect", status=0) == (False, "curl: (7) Failed to connect (status 0)")
    assert of_etcd("", status=0)[1] == "no answer (status 0)"


@pytest.mark.parametrize(("version", "prefix"), [("3.2", "v3alpha"), ("3.3", "v3beta"), ("3.5", "v3")])
def test_etcd_is_asked_under_the_prefix_that_its_version_knows(tmp_path: Path, version: str, prefix: str) -> None:
    """The real script, with a curl that plays that etcd: other prefixes are not found."""
    stand_in = f"""for url; do case $url in
      */10.0.0.*{prefix}/cluster/member/list) echo '{members(*MEMBERS)}' ;;
      https://127.0.0.1:2379/{prefix}/cluster/member/list) printf '%s\\nstatus 200\\n' '{members(*MEMBERS)}' ;;
      https://127.0.0.1*) printf '404 page not found\\nstatus 404\\n' ;;
      https://10*) echo '{members(*MEMBERS)}' ;;
    esac; done"""
    for name, body in (("curl", stand_in), ("systemctl", "echo MainPID=1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    for expects in (MEMBERS, MEMBERS[:1]):
        question = Gate("https://127.0.0.1:2379", Check.ETCD_MEMBERS, "etcd", expects=expects)
        done = subprocess.run(
            ["/bin/sh"], input=script(question), env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert judge(question, done.stdout).holds == (expects == MEMBERS), (version, done.stdout)
        assert ("https://10.0.0.2:2379/$api" in script(question)) == (expects == MEMBERS)


def test_a_node_says_when_its_kubelet_last_reported() -> None:
    def reported(condition: dict[str, str]) -> float:
        body = json.dumps({"status": {"conditions": [{"type": "Ready", "status": "True", **condition}]}})
        return judge(gate(Check.NODE_READY), f"{body}\nstatus 200\n{UNIT}").reported_at

    assert reported({"lastHeartbeatTime": "2026-11-26T04:00:00Z"}) == 1795665600.0
    assert (reported({}), reported({"lastHeartbeatTime": "soon"})) == (0.0, 0.0)
    assert unit_state(f"MainPID=7\nActiveState=active\n{started(1795665600.25)}").started == pytest.approx(
        1795665600.25
    )


@pytest.mark.parametrize("key", ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"])
def test_a_node_that_no_pod_comes_to_yet_is_not_ready(key: str) -> None:
    def asked(*taints: object) -> GateAnswer:
        conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
        body = json.dumps({"status": {"conditions": conditions}, "spec": {"taints": list(taints)}})
        return judge(gate(Check.NODE_READY), f"{body}\nstatus 200\n{UNIT}")

    kept_off = asked({"key": key, "effect": "NoSchedule"})
    assert not kept_off.holds
    assert f"the controller-manager has not yet removed the taint {key}" in kept_off.words
    # what ordinary pods tolerate, and what is the site's own
    assert asked({"key": key, "effect": "NoExecute"}, {"key": "dedicated", "effect": "NoSchedule"}, 7).holds
