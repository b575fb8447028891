"""The pure part: requests built, answers judged. The JSON is what a real 1.20.2 answered (managedFields removed)."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from k8s_installer.errors import CommandFailed, TransportError
from k8s_installer.host.runtimes import DOCKER
from k8s_installer.transport import OnLine, Result
from k8s_installer.verify import Api, ApiAccess, CheckResult, HttpReply, Request, Status, api, health, objects, reach
from k8s_installer.verify.checks import Failure, Series, Skip
from k8s_installer.verify.objects import Node, Pod
from tests.fakes import NoUploads
from tests.unit.clusters import cluster

TLS = ApiAccess("https://127.0.0.1:6443", "/pki/ca.crt", "/pki/admin.crt", "/pki/admin.key")


def captured(name: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads((Path(__file__).parent / "verify" / f"{name}.json").read_text())


def run(script: str, folder: Path, curl: str) -> str:
    """What a script prints where `curl` is this shell script."""
    (folder / "curl").write_text(f"#!/bin/sh\n{curl}\n")
    (folder / "curl").chmod(0o755)
    shell = subprocess.run(
        ["/bin/sh", "-s"], input=script, text=True, capture_output=True, check=True, env={"PATH": f"{folder}:/usr/bin:/bin"}
    )  # fmt: skip
    return shell.stdout


# Requests and answers


def test_requests_reach_curl_word_by_word_and_bodies_by_stdin(tmp_path: Path) -> None:
    body = {"text": 'it\'s $HOME `id` \\ "quoted"\nEND-OF-BODY\n'}
    script = api.script(TLS, [Request("/a?b=c%3Dd&e"), Request("/p", "PATCH", body), Request("/q", "POST", body)])
    answers = api.parse(
        run(script, tmp_path, 'for word in "$@"; do printf "%s\\n" "$word"; done; cat; printf "\\n200"')
    )
    first, second, third = (answer.text.split("\n") for answer in answers)
    options = ["-sS", "--noproxy", "*", "-m", "10", "-A", "k8s-installer", "-X"]
    certificates = ["--cacert", "/pki/ca.crt", "--cert", "/pki/admin.crt", "--key", "/pki/admin.key"]
    assert first[:15] == [*options, "GET", "-w", "\\n%{http_code}", *certificates[:4]]
    assert first[15:18] == [*certificates[4:], "https://127.0.0.1:6443/a?b=c%3Dd&e"]
    assert "Content-Type: application/merge-patch+json" in second
    assert "Content-Type: application/json" in third
    assert json.loads(second[-2]) == body
    assert [answer.code for answer in answers] == [200, 200, 200]


def test_an_insecure_api_is_asked_without_certificates(tmp_path: Path) -> None:
    script = api.script(ApiAccess("http://127.0.0.1:8080"), [Request("/")])
    assert "--c" not in run(script, tmp_path, 'echo "$@"').replace("\n", "")
    assert "--c" not in script


def test_answers_are_codes_and_bodies() -> None:
    lines = [
        base64.b64encode(text).decode() for text in (b'{"kind": "Pod"}\n200', b"a\nb\n404", b"\n500", b"\xff\n200")
    ]
    ok, missing, empty, binary = api.parse("\n".join(lines) + "\n")
    assert (ok.code, ok.ok, ok.json) == (200, True, {"kind": "Pod"})
    assert (missing.code, missing.ok, missing.json, missing.words) == (404, False, {}, "a b (status 404)")
    assert empty.words == "no answer (status 500)"
    assert binary.text == "�"


def test_what_curl_says_is_the_answer_of_a_server_that_gave_none(tmp_path: Path) -> None:
    curl = "echo 'curl: (7) Failed connect to 127.0.0.1:6443; Connection refused' >&2; printf '\\n000'; exit 7"
    (answer,) = api.parse(run(api.script(TLS, [Request("/")]), tmp_path, curl))
    assert (answer.code, answer.ok) == (0, False)
    assert answer.words == "curl: (7) Failed connect to 127.0.0.1:6443; Connection refused"


def test_a_refusal_is_said_in_the_servers_words() -> None:
    status = {"kind": "Status", "message": 'namespaces "x" is forbidden', "code": 403}
    assert HttpReply(403, json.dumps(status)).words == 'namespaces "x" is forbidden (status 403)'
    assert HttpReply(200, "[1]").json == {}


def test_lines_that_are_no_answers_end_them() -> None:
    assert api.parse("AAAA!\n") == ()
    assert api.parse(base64.b64encode(b"x\n200").decode() + "\nthere is no curl\n") == (HttpReply(200, "x"),)
    assert api.parse("") == ()


class Master(NoUploads):
    """A transport that answers every script with the same result."""

    host = "m1"

    def __init__(self, result: Result) -> None:
        self.result = result

    def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
        return self.result

    def close(self) -> None:
        raise AssertionError("not ours to close")


def test_a_master_without_curl_is_an_error_and_no_answer() -> None:
    with pytest.raises(CommandFailed, match="m1: asking the API server: exit 127: there is no curl"):
        Api(Master(Result(127, "", "there is no curl\n")), TLS).ask(Request("/"))
    with pytest.raises(CommandFailed):
        Api(Master(Result(0, "", "")), TLS).ask(Request("/"))


# Objects


def test_the_service_asks_for_a_label_that_the_controller_does_not_need() -> None:
    made, wanted = objects.controller(2, "web:1"), objects.service()["spec"]["selector"]
    template = made["spec"]["template"]
    assert wanted.items() <= template["metadata"]["labels"].items()
    assert made["spec"]["selector"].items() < wanted.items()
    assert (made["spec"]["replicas"], template["spec"]["containers"][0]["image"]) == (2, "web:1")


def test_without_an_image_the_controller_is_still_a_valid_object() -> None:
    assert objects.controller(0, "")["spec"]["template"]["spec"]["containers"][0]["image"]


def test_labels_are_set_and_taken_away() -> None:
    assert objects.labels({"a": "b", "c": None}) == {"metadata": {"labels": {"a": "b", "c": None}}}
    assert objects.namespace("x")["metadata"] == {"name": "x"}


def test_pods_while_one_is_replaced() -> None:
    seen = objects.pods(captured("pods-one-deleted-1.20.2"))
    assert [(pod.deleting, pod.ready) for pod in seen if pod.deleting] == [(True, False)]
    assert sum(pod.ready for pod in seen) == 2
    assert all(pod.ip.startswith("10.244.") and pod.uid for pod in seen)
    assert objects.spread(pod for pod in seen if pod.ready).keys() == {"n1", "n2"}


def test_pods_that_do_not_run_say_why() -> None:
    seen = objects.pods(captured("pods-image-missing-1.20.2"))
    said = objects.pod_evidence(seen)
    assert len(said) == 2
    assert said[0].startswith("pod web-2r48x on n1 is Pending: ImagePullBackOff: Back-off pulling image ")
    assert said[0].endswith('"10.77.0.1:5000/lab/nothing:1"; containers with unready status: [web]')


def test_pods_that_are_hardly_there() -> None:
    bare = {"metadata": {"name": "a", "uid": "1"}, "spec": {}}
    ended = {
        "metadata": {"name": "b", "uid": "2"},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "containerStatuses": [{"state": {"terminated": {"reason": "Error"}}}, {}]},
    }
    first, second = objects.pods({"items": [ended, bare]})
    assert first == Pod("a", "1", "", "", False, False, "pod a is Unknown: not ready yet")
    assert objects.pod_evidence([first, second]) == (first.words, "pod b on n1 is Running: Error")
    assert objects.pods({"items": None}) == objects.pods({}) == ()


def test_warnings_of_a_namespace() -> None:
    said = objects.event_evidence(captured("events-image-missing-1.20.2"))
    assert "event of Pod web-9m85n: Failed: Error: ErrImagePull" in said
    assert any("unknown: the lab has no such image" in line for line in said)
    assert not any("Scheduled" in line for line in said)
    assert len(set(said)) == len(said) <= 8
    assert len(objects.event_evidence(captured("events-image-missing-1.20.2"), most=1)) == 1
    assert objects.event_evidence({}) == ()


def test_addresses_behind_a_service() -> None:
    assert len(objects.endpoints(captured("endpoints-after-relabel-1.20.2"))) == 1
    assert objects.endpoints({"subsets": [{"notReadyAddresses": [{"ip": "10.0.0.1"}]}]}) == frozenset()
    assert objects.endpoints({}) == frozenset()


def test_replicas_show_different_nodes_and_stay_few() -> None:
    assert [objects.replicas_for(nodes) for nodes in (1, 2, 3, 4, 100)] == [2, 2, 3, 4, 4]


# Nodes


def test_nodes_of_a_healthy_cluster() -> None:
    seen = objects.nodes(captured("nodes-1.20.2"))
    assert [(node.name, node.ready, node.schedulable, node.version) for node in seen] == [
        ("n1", True, True, "v1.20.2"),
        ("n2", True, True, "v1.20.2"),
    ]
    assert [result.status for result in health.judge(["n1", "n2"], seen, "1.20.2")] == [Status.PASSED] * 2


def test_nodes_that_take_no_pods() -> None:
    ready = {"conditions": [{"type": "OutOfDisk", "status": "False"}, {"type": "Ready", "status": "True"}]}
    lost = {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "gone"}]}
    seen = objects.nodes(
        {
            "items": [
                {"metadata": {"name": "cordoned"}, "spec": {"unschedulable": True}, "status": ready},
                {"metadata": {"name": "lost"}, "spec": {}, "status": lost},
                {"metadata": {"name": "new"}},
                {
                    "metadata": {"name": "preferred"},
                    "spec": {"taints": [{"effect": "PreferNoSchedule"}]},
                    "status": ready,
                },
                {"metadata": {"name": "tainted"}, "spec": {"taints": [{"effect": "NoSchedule"}]}, "status": ready},
            ]
        }
    )
    assert [node.name for node in seen if node.schedulable] == ["preferred"]
    assert seen[1].state == "Ready is Unknown: NodeStatusUnknown: gone"
    assert seen[2] == Node("new", ready=False, schedulable=False, version="unknown", state="Ready is Unknown")


def node(name: str, *, ready: bool = True, version: str = "v1.20.2") -> Node:
    return Node(name, ready, ready, version, "Ready is False (KubeletNotReady: cni)")


@pytest.mark.parametrize(
    ("seen", "status", "detail"),
    [
        ([node("n1")], Status.PASSED, "Ready, kubelet v1.20.2"),
        ([node("n1", version="v1.20.2-0.7.git269f928.el7")], Status.PASSED, "kubelet v1.20.2-"),
        ([node("n1", version="v1.20.2+abc")], Status.PASSED, "kubelet"),
        ([node("n1", version="v1.20.20")], Status.FAILED, "runs kubelet v1.20.20, but the inventory has 1.20.2"),
        ([node("n1", ready=False)], Status.FAILED, "KubeletNotReady: cni"),
        ([], Status.FAILED, "has not registered"),
    ],
)
def test_each_node_is_judged(seen: list[Node], status: Status, detail: str) -> None:
    (result,) = health.judge(["n1"], seen, "1.20.2")
    assert (result.name, result.status) == ("node n1", status)
    assert detail in result.detail


def test_a_node_that_the_inventory_does_not_know_is_reported() -> None:
    known, stranger = health.judge(["n1"], [node("n0"), node("n1")], "1.20.2")
    assert (known.status, stranger.status, stranger.name) == (Status.PASSED, Status.FAILED, "node n0")
    assert "kubectl delete node n0" in stranger.evidence[0]


def answering(code: int, body: str) -> Api:
    line = base64.b64encode(f"{body}\n{code:03}".encode()).decode()
    return Api(Master(Result(0, line + "\n", "")), TLS)


def test_components_are_the_api_and_every_node() -> None:
    nodes = json.dumps(captured("nodes-1.20.2"))
    results = health.components(answering(200, nodes), cluster())
    assert [(result.name, result.status) for result in results] == [
        ("API server of m1", Status.PASSED),
        ("node n1", Status.PASSED),
        ("node n2", Status.PASSED),
    ]


def test_an_api_that_does_not_answer_is_the_only_result() -> None:
    (refused,) = health.components(answering(403, '{"message": "forbidden"}'), cluster())
    assert (refused.status, refused.detail) == (Status.FAILED, "does not list the nodes: forbidden (status 403)")
    (broken,) = health.components(Api(Master(Result(1, "", "no sh")), TLS), cluster())
    assert (broken.status, broken.evidence) == (Status.FAILED, ())


def test_a_master_that_cannot_be_asked_is_the_only_result() -> None:
    class Lost(Master):
        def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
            raise TransportError("m1", "the connection was lost", hint="again")

    (lost,) = health.components(Api(Lost(Result(0, "", "")), TLS), cluster())
    assert (lost.detail, lost.evidence) == ("m1: the connection was lost", ("again",))


# Reach


def test_a_service_is_asked_until_a_request_fails(tmp_path: Path) -> None:
    log = tmp_path / "log"
    curl = f'echo x >>{log}; if [ $(grep -c x {log}) -gt 2 ]; then echo "curl: (7) no" >&2; exit 7; fi; echo web-$(grep -c x {log})'
    heard = reach.parse(run(reach.script("http://10.0.0.1:80/", 5), tmp_path, curl), ["web-1", "web-2", "web-3"])
    assert heard == reach.Heard(frozenset({"web-1", "web-2"}), "curl: (7) no")
    assert log.read_text() == "x\n" * 3


def test_a_service_is_asked_no_more_once_every_pod_has_answered(tmp_path: Path) -> None:
    log = tmp_path / "log"
    curl = f"echo x >>{log}; echo web-$(($(grep -c x {log}) / 2))"
    output = run(reach.script("http://10.0.0.1:80/", 9, awaited=["web-1", "web-2"]), tmp_path, curl)
    assert output.splitlines() == ["answer web-0", "answer web-1", "answer web-1", "answer web-2"]
    assert log.read_text() == "x\n" * 4


def test_every_request_counts(tmp_path: Path) -> None:
    output = run(reach.script("http://10.0.0.1:80/", 3), tmp_path, "printf 'I am\nweb-1\n'; head -c 500 /dev/zero")
    assert output.count("answer I am web-1") == 3
    assert max(map(len, output.splitlines())) < 310
    assert reach.parse(output + "\nnoise\n", ["web-1", "web-2"]) == reach.Heard(frozenset({"web-1"}))


# Checks


def test_a_series_skips_what_needs_something_that_did_not_pass() -> None:
    told: list[CheckResult] = []
    series = Series(told.append)

    def fail() -> str:
        raise Failure("no", ("look",))

    def skip() -> str:
        raise Skip("no image")

    def lose() -> str:
        raise TransportError("n1", "gone", hint="again")

    def refuse() -> str:
        raise CommandFailed("n1", "curl", 1, "", "")

    series.check("a", lambda: "fine")
    series.check("b", fail, needs=("a",))
    series.check("c", lambda: "never", needs=("a", "b"))
    series.check("d", skip)
    series.check("e", lambda: "never", needs=("d",))
    series.check("f", lose)
    series.check("g", refuse)
    assert [(result.name, result.status, result.detail, result.evidence) for result in told] == [
        ("a", Status.PASSED, "fine", ()),
        ("b", Status.FAILED, "no", ("look",)),
        ("c", Status.SKIPPED, "because this check failed: b", ()),
        ("d", Status.SKIPPED, "no image", ()),
        ("e", Status.SKIPPED, "no image", ()),
        ("f", Status.FAILED, "n1: gone", ("again",)),
        ("g", Status.FAILED, "n1: curl: exit 1: no output", ()),
    ]
    assert list(series.results.values()) == told


def test_what_is_asked_from_a_pod_is_asked_in_its_network(tmp_path: Path) -> None:
    """With a docker and an nsenter that say what they were given; the curl is the host's."""
    script = reach.script("http://10.0.0.1:80/", 1, DOCKER.process("c1"))
    assert 'nsenter -t "$pid" -n curl ' in script
    (tmp_path / "docker").write_text('#!/bin/sh\n[ "$*" = "inspect -f {{.State.Pid}} c1" ] && echo 4711\n')
    (tmp_path / "nsenter").write_text('#!/bin/sh\n[ "$1 $2 $3" = "-t 4711 -n" ] && shift 3 && exec "$@"\n')
    for name in ("docker", "nsenter"):
        (tmp_path / name).chmod(0o755)
    assert reach.parse(run(script, tmp_path, "echo I am web-1"), ["web-1"]).pods == {"web-1"}
    (tmp_path / "docker").write_text("#!/bin/sh\necho no such container >&2; exit 1\n")
    assert reach.parse(run(script, tmp_path, "echo I am web-1"), ["web-1"]).failure == "no such container"
