from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from k8s_installer.host import pods

URL = "https://127.0.0.1:6443/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns"
BASE = "https://127.0.0.1:6443/api/v1/namespaces/kube-system"


def listed(name: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads((Path(__file__).parent / f"verify/{name}.json").read_text())["items"]
    return items


def pod(*containers: dict[str, Any], uid: str = "1", **status: object) -> dict[str, Any]:
    return {
        "metadata": {"name": "a b", "uid": uid},
        "status": {"phase": "Running", "containerStatuses": list(containers), **status},
    }


ENDED = {"terminated": {"reason": "Error", "exitCode": 1}}


def container(
    state: dict[str, Any], restarts: int = 0, last: dict[str, Any] | None = None, **more: object
) -> dict[str, Any]:
    counted = {"ready": False, "restartCount": restarts, "state": state, "lastState": last or {}}
    return {"name": "c", **counted, **more}


WAITING = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}


@pytest.mark.parametrize(
    ("found", "ended", "in_vain"),
    [
        ([], 0, True),
        ([pod()], 0, False),
        ([{"metadata": {}}], 0, False),
        ([pod(container({"running": {}}))], 0, False),
        ([pod(container({"running": {}}, 2, ENDED))], 2, False),
        ([pod(container(WAITING, 1, ENDED))], 2, True),
        ([pod(container(ENDED))], 1, False),
        ([pod(container({"running": {}}, 3, ENDED, ready=True))], 3, False),
        ([pod(container({"running": {}}), container(WAITING, 3, ENDED, name="d"))], 4, True),
        ([pod(container(WAITING, 3, ENDED)), pod(container(ENDED), uid="2")], 1, False),
        ([pod(container(WAITING, 3, ENDED)), pod(uid="2")], 0, False),
        ([pod(container({"waiting": {"reason": "ContainerCreating"}}))], 0, False),
        ([pod(conditions=[{"type": "PodScheduled", "status": "False"}])], 0, True),
        ([pod(conditions=[{"type": "PodScheduled", "status": "True"}])], 0, False),
        ([pod(initContainerStatuses=[container(WAITING, 4, ENDED)])], 5, True),
        ([pod(container({"waiting": 3}, 1), conditions=3)], 1, False),
        ([pod({"restartCount": "x", "state": 3})], 0, False),
        ([pod(containerStatuses=7)], 0, False),
    ],
)
def test_how_often_pods_ended_and_whether_waiting_helps(
    found: list[dict[str, Any]], ended: int, *, in_vain: bool
) -> None:
    nothing = pods.standing([])
    assert (pods.ended_since(nothing, pods.standing(found)), pods.standing(found).in_vain) == (ended, in_vain)


def test_ends_are_counted_from_the_first_look() -> None:
    first = pods.standing(
        [pod(container({"running": {}}, 9, ENDED, ready=True), container(WAITING, 5, ENDED, name="d"))]
    )
    assert pods.ended_since(first, first) == 0
    again = [pod(container({"running": {}}, 11, ENDED), container(WAITING, 6, ENDED, name="d"))]
    assert pods.ended_since(first, pods.standing(again)) == 2
    assert pods.ended_since(first, pods.standing([*again, pod(container(WAITING, 3, ENDED), uid="new")])) == 2
    assert pods.ended_since(first, pods.standing([pod(container(WAITING, 2, ENDED), uid="new")])) == 3


def test_the_labs_pods_without_an_image_wait_in_vain() -> None:
    standing = pods.standing(listed("pods-image-missing-1.20.2"))
    assert (pods.ended_since(standing, standing), standing.in_vain) == (0, True)


def test_a_pod_says_what_it_waits_for_and_how_it_ended() -> None:
    assert pods.words(pod(container(WAITING, 1, ENDED))) == (
        "pod a b is Running: CrashLoopBackOff: back-off 10s; it exited with code 1, and was restarted 1 time"
    )
    unscheduled = pod(conditions=[{"type": "PodScheduled", "status": "False", "message": "no nodes"}], phase="Pending")
    assert pods.words({**unscheduled, "spec": {"nodeName": "n1"}}) == "pod a b on n1 is Pending: no nodes"
    assert pods.words(pod(container({"running": {}, "odd": 3}))) == "pod a b is Running: not ready yet"
    assert (
        pods.words({"metadata": {"name": "c", "deletionTimestamp": "now"}}) == "pod c is being deleted: not ready yet"
    )


def test_what_is_asked_is_the_log_of_what_ran() -> None:
    def asked(*found: dict[str, Any]) -> list[str]:
        return [question.removeprefix(BASE) for question in pods.questions(URL, found)]

    assert asked(pod(container(WAITING, 2, ENDED))) == ["/pods/a%20b/log?container=c&tailLines=8&limitBytes=8000"]
    assert asked(pod(container({"running": {}}, 2, ENDED))) == [
        "/pods/a%20b/log?container=c&tailLines=8&limitBytes=8000&previous=true"
    ]
    assert asked(pod(container({"running": {}}), container({"running": {}}, ready=True))) == [
        "/pods/a%20b/log?container=c&tailLines=8&limitBytes=8000"
    ]
    assert asked(pod(container({"waiting": {"reason": "ErrImagePull"}}))) == []
    assert asked(*[pod(container(WAITING, 2))] * 3) == asked(pod(container(WAITING, 2))) * 2
    assert asked() == ["/events?fieldSelector=reason%3DFailedCreate"]
    assert asked(pod(conditions=[{"type": "Ready", "status": "True"}])) == []


def test_answers_are_the_last_lines_of_logs_and_the_messages_of_events() -> None:
    log = "\n".join(f"line {number}" for number in range(9)) + "\n\n"
    events = json.dumps({"kind": "EventList", "items": [{"message": "forbidden"}, {"message": "forbidden"}, {}, 7]})
    status = json.dumps({"kind": "Status", "message": "previous terminated container not found"})
    gone = "unable to retrieve container logs for docker://5eae"
    assert pods.answers([log, log, events, status, "[1]", "", gone], 100) == [
        *(f"line {number}" for number in range(1, 9)),
        "forbidden",
        "[1]",
    ]


def test_of_many_logs_each_has_its_last_words() -> None:
    logs = ["\n".join(f"{name} {number}" for number in range(20)) for name in "abcdef"]
    assert pods.answers(logs, 24) == [f"{name} {number}" for name in "abcdef" for number in range(16, 20)]
    assert pods.answers(logs, 3) == ["a 19", "b 19", "c 19"]
    assert pods.answers([], 3) == []


def test_why_a_pod_is_not_created_is_asked_where_no_other_may_run() -> None:
    creating = pod(container({"waiting": {"reason": "ContainerCreating"}}), uid="7")
    url = f"{BASE}/events?fieldSelector=involvedObject.uid%3D7"
    assert pods.creation_questions(URL, [creating, pod(container(WAITING))]) == (url,)
    assert pods.creation_questions(URL, [creating] * 3) == (url, url)
    assert pods.creation_questions(URL, [creating, pod()]) == ()
    assert pods.creation_questions(URL, []) == ()


def test_why_a_pod_is_not_created_is_in_its_events() -> None:
    def said(message: str | None) -> str:
        event = {"reason": "FailedCreatePodSandBox", "message": message, "source": {"host": "n1"}}
        return json.dumps({"items": [7, {**event, "involvedObject": {"name": "a"}}]})

    assert pods.not_created([said("no network")]) == ("n1 cannot start pod a: no network",)
    assert pods.not_created([said(None)]) == ("n1 cannot start pod a: FailedCreatePodSandBox",)
    assert pods.not_created([said('image "pause": server gave HTTP response to HTTPS client')])[1:] == ()
    assert pods.not_created([said('image "r:5/pause": timeout')])[1:] == ()
    assert pods.not_created([said('image "r:5/p": server gave HTTP response to HTTPS client')])[1].endswith('["r:5"]}}')
    assert pods.not_created([said("no network"), "{}"]) == ()
    assert pods.not_created([]) == ()
