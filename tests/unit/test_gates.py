from __future__ import annotations

import json

import pytest

from k8s_installer.gates import judge, script
from k8s_installer.resources import Check, Gate

UNIT = "ActiveState=active\nSubState=running\nMainPID=812\n"


def gate(check: Check, ca: str = "", cert: str = "", key: str = "") -> Gate:
    return Gate("https://127.0.0.1:6443/readyz", check, "kube-apiserver", ca, cert, key)


def test_the_question_is_one_curl_and_one_systemctl() -> None:
    assert script(gate(Check.OK, ca="/pki/ca.crt", cert="/pki/a.crt", key="/pki/a.key")).splitlines() == [
        "curl -sS --noproxy '*' -m 5 -w '\\nstatus %{http_code}\\n' --cacert /pki/ca.crt --cert /pki/a.crt --key /pki/a.key https://127.0.0.1:6443/readyz 2>&1",
        "systemctl show -p ActiveState -p SubState -p MainPID kube-apiserver.service",
    ]


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
    def holds(started: str) -> bool:
        return judge(gate(Check.LEASE_HELD), f"{body}\nstatus 200\n{UNIT}{started}").holds

    assert holds(f"Started={RENEWED - 5}\n")
    assert not holds(f"Started={RENEWED + 5}\n")
    assert not holds("")


@pytest.mark.parametrize("body", ['{"spec": {"holderIdentity": ""}}', "{}", '{"metadata": {}}', "no JSON"])
def test_a_lease_that_nobody_has_is_not_held(body: str) -> None:
    assert not judge(gate(Check.LEASE_HELD), f"{body}\nstatus 200\n{UNIT}Started=1\n").holds


def test_a_lease_is_asked_for_with_the_start_of_the_process() -> None:
    assert "ps -o etimes=" in script(gate(Check.LEASE_HELD))
    assert "ps -o etimes=" not in script(gate(Check.OK))


def test_the_units_state_and_process_come_with_the_answer() -> None:
    answer = judge(gate(Check.OK), f"ok\nstatus 200\n{UNIT}")
    assert (answer.state, answer.pid) == ("active", 812)
    assert answer.words == "https://127.0.0.1:6443/readyz: ok (status 200)"


def test_a_node_that_is_not_ready_says_why() -> None:
    ready = {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "PLEG is not healthy"}
    answer = judge(gate(Check.NODE_READY), json.dumps({"status": {"conditions": [ready]}}) + f"\nstatus 200\n{UNIT}")
    assert answer.words.endswith("/readyz: Ready is False: KubeletNotReady: PLEG is not healthy (status 200)")


def test_no_connection_is_no_health() -> None:
    answer = judge(gate(Check.OK), "curl: (7) Failed to connect\n\nstatus 000\nActiveState=failed\nMainPID=0\n")
    assert (answer.holds, answer.state, answer.pid) == (False, "failed", 0)
    assert "Failed to connect" in answer.words


def test_no_output_at_all_is_no_health() -> None:
    answer = judge(gate(Check.OK), "")
    assert (answer.holds, answer.state, answer.pid) == (False, "unknown", 0)
    assert answer.words == "https://127.0.0.1:6443/readyz: no answer (status 000)"
