"""How containers ended: a program that left the foreground is told from one that failed or was killed."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from k8s_installer.host import exits
from k8s_installer.host.exits import How
from k8s_installer.transport import Result
from k8s_installer.verify import CheckResult, Status, running
from k8s_installer.verify.api import Api, ApiAccess
from tests.unit.test_verify import Master


def pod(
    terminated: dict[str, Any] | None,
    *,
    command: list[str] | None = None,
    image: str = "example/app:1",
    policy: str | None = None,
    state: dict[str, Any] | None = None,
    restarts: object = 3,
) -> dict[str, Any]:
    """A pod whose container ended before, and waits to be started again unless `state` says something else."""
    container = {"name": "web", "image": image, **({"command": command} if command else {})}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    status = {"name": "web", "restartCount": restarts, "state": waiting if state is None else state}
    return {
        "metadata": {"name": "shop", "namespace": "default"},
        "spec": {"nodeName": "n1", "containers": [container], **({"restartPolicy": policy} if policy else {})},
        "status": {"containerStatuses": [{**status, "lastState": {"terminated": terminated} if terminated else {}}]},
    }


def end(code: int, reason: str = "Error", seconds: int = 0) -> dict[str, Any]:
    times = {"startedAt": "2026-11-27T03:00:00Z", "finishedAt": f"2026-11-27T03:{seconds // 60:02}:{seconds % 60:02}Z"}
    return {"exitCode": code, "reason": reason, **times}


@pytest.mark.parametrize(
    ("terminated", "how", "words"),
    [
        (end(0, "Completed"), How.BACKGROUND, "ended with exit code 0 at once, and was restarted 3 times: its first"),
        (end(0, "Completed", 60), How.BACKGROUND, "ended with exit code 0 after 60 s"),
        (end(0, "Completed", 61), How.FINISHED, "its program ended by itself"),
        (end(1), How.FAILED, "its program failed"),
        (end(127, "ContainerCannotRun"), How.NO_PROGRAM, "its program is not there or cannot be executed"),
        (end(128, "StartError"), How.NO_PROGRAM, "its program is not there"),
        (end(126), How.NO_PROGRAM, "its program is not there"),
        (end(137, "OOMKilled", 5), How.MEMORY, "it needed more memory than its limit allows"),
        (end(137), How.KILLED, "it was killed by SIGKILL"),
        (end(139), How.CRASHED, "its program crashed (SIGSEGV)"),
        (end(192), How.KILLED, "it was killed by SIGRTMAX"),
        (end(160), How.KILLED, "it was killed by signal 32"),
        (end(255), How.FAILED, "its program failed"),
        ({"exitCode": 0}, How.BACKGROUND, "ended with exit code 0, and was restarted"),
        ({"exitCode": 0, "startedAt": "soon", "finishedAt": "x"}, How.BACKGROUND, "exit code 0, and"),
        (
            {"exitCode": 0, "startedAt": "2026-11-27", "finishedAt": "2026-11-27T03:00:00Z"},
            How.BACKGROUND,
            "code 0, and",
        ),
    ],
)
def test_the_exit_code_and_the_time_say_how_a_container_ended(terminated: dict[str, Any], how: How, words: str) -> None:
    (found,) = exits.ended(pod(terminated))
    assert found.how is how
    assert words in found.words
    assert found.advice


@pytest.mark.parametrize(
    ("command", "image", "advice"),
    [
        (["nginx"], "example/app:1", "nginx -g 'daemon off;'"),
        (None, "registry.example.com:5000/web/nginx:1.21@sha256:abc", "nginx -g 'daemon off;'"),
        (["/usr/sbin/httpd", "-k", "start"], "x", "httpd -DFOREGROUND (busybox: httpd -f)"),
        (["sh", "-c", "/usr/sbin/sshd; echo started"], "x", "sshd -D"),
        (["sh", "-c", "python app.py &"], "x", "remove the & at the end of the command"),
        (["sh", "-c", "a && b"], "x", "run the program in the foreground"),
        (["sh", "-c", "service apache2 start"], "x", "start the program itself and not its service"),
        (["/etc/init.d/postgresql", "start"], "x", "start the program itself and not its service"),
        (["/app/run"], "x", "run the program in the foreground"),
    ],
)
def test_what_to_change_follows_from_the_command_or_the_image(
    command: list[str] | None, image: str, advice: str
) -> None:
    (found,) = exits.ended(pod(end(0, "Completed"), command=command, image=image))
    assert advice in found.advice


def test_what_a_command_says_besides_is_not_repeated() -> None:
    lines = exits.advice([pod(end(0, "Completed"), command=["nginx", "--token=sesame"])])
    assert lines
    assert "sesame" not in " ".join(lines)


@pytest.mark.parametrize(
    "fine",
    [
        pod(None),
        pod(end(0), state={"running": {}}),
        pod(end(0), policy="Never"),
        pod(end(0), policy="OnFailure"),
        pod({"exitCode": "0"}),
        {},
        {"status": {"containerStatuses": 3}},
        7,
    ],
)
def test_what_runs_or_was_to_end_is_fine(fine: object) -> None:
    assert list(exits.ended(fine)) == []


def test_a_job_that_failed_is_told() -> None:
    (found,) = exits.ended(pod(None, policy="Never", state={"terminated": end(2)}, restarts="many"))
    assert (found.how, found.code, found.restarts) == (How.FAILED, 2, 0)


def test_pods_that_say_the_same_are_told_once() -> None:
    assert len(exits.advice([pod(end(0)), pod(end(0))])) == 2
    assert len(exits.advice([pod(end(code)) for code in range(129, 160)])) == 8


def test_what_failed_says_itself_why() -> None:
    assert exits.advice([pod(end(1))]) == ()


def test_real_pods_are_told_apart() -> None:
    """As Kubernetes 1.20.2 showed them: `httpd` and `sh -c "sleep &"` left the foreground, the others did not."""
    listed = json.loads((Path(__file__).parent / "verify/pods-ended-1.20.2.json").read_text())
    found = {pod["metadata"]["name"]: one.how for pod in listed["items"] for one in exits.ended(pod)}
    assert found == {
        "absent": How.NO_PROGRAM,
        "broken": How.FAILED,
        "daemon": How.BACKGROUND,
        "oom": How.MEMORY,
        "segv": How.CRASHED,
        "shell": How.BACKGROUND,
    }


# --- the check of verify


def asked(result: Result) -> CheckResult:
    return running.pods_run(Api(Master(result), ApiAccess("https://127.0.0.1:6443")))


def answer(body: str, code: int) -> Result:
    return Result(0, base64.b64encode(f"{body}\n{code}".encode()).decode() + "\n", "")


def test_what_the_api_does_not_say_is_skipped() -> None:
    assert asked(Result(127, "", "there is no curl")).status is Status.SKIPPED
    refused = asked(answer('{"message": "forbidden"}', 403))
    assert (refused.status, refused.detail) == (
        Status.SKIPPED,
        "the API server does not list the pods: forbidden (status 403)",
    )
    assert asked(answer(json.dumps({"items": [pod(end(0))]}), 200)).status is Status.WARNED


def test_a_cluster_whose_pods_run_passes() -> None:
    status, detail, evidence = running.judge({"items": [pod(None, state={"running": {}})]})
    assert (status, detail, evidence) == (Status.PASSED, "1 pod; no container has ended", ())
    assert running.judge({})[1] == "0 pods; no container has ended"


def test_a_pod_that_daemonises_is_a_warning_with_what_to_change() -> None:
    listed = {"metadata": {"continue": "x"}, "items": [pod(end(0, "Completed"), command=["nginx"])] * 8}
    status, detail, evidence = running.judge(listed)
    assert (status, detail) == (Status.WARNED, "the first 8 pods; containers that have ended: 8")
    assert evidence[0].startswith("default/shop on n1: container web ended with exit code 0 at once")
    assert evidence[1] == (
        "  a container lives as long as its first process: run it in the foreground: nginx -g 'daemon off;'"
    )
    assert evidence[-1] == "and 2 more"
    lone = pod(end(0))
    del lone["spec"]["nodeName"]
    assert running.judge({"items": [lone]})[2][0].startswith("default/shop: container")
