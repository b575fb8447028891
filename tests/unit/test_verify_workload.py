"""A whole workload against an API server, a controller and a Service in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from k8s_installer.cli.terminal import Terminal
from k8s_installer.errors import TransportError
from k8s_installer.inventory import Cluster
from k8s_installer.transport import OnLine, Result, Transport
from k8s_installer.verify import Api, ApiAccess, CheckResult, HttpReply, Proof, Request, Status, poll, workload
from k8s_installer.verify.lifecycle import (
    ACROSS,
    DROP,
    HEAL,
    LABEL,
    MAKE,
    NODE_PORT,
    PROXY,
    REACH,
    REMOVE,
    RUN,
    SERVICE,
    SPREAD,
)
from tests.fakes import NoUploads
from tests.unit.clusters import cluster

READY = {"conditions": [{"type": "Ready", "status": "True"}]}


@dataclass
class World:
    """Just enough of a cluster: objects by path, pods that are made and placed at once, and what is broken in it."""

    nodes: tuple[str, ...] = ("n1", "n2")
    broken: frozenset[str] = frozenset()
    namespaces: set[str] = field(default_factory=set)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    replicas: int = 0
    apart: bool = False
    settling: int = 0  # how many more times n1 shows a taint that is about to go
    made: int = 0
    asked: list[Request] = field(default_factory=list)

    def serving(self) -> list[str]:
        if "label" in self.broken:
            return sorted(self.pods)
        return sorted(name for name, pod in self.pods.items() if pod["metadata"]["labels"].get("serving") == "yes")

    def scale(self) -> None:
        while len(self.pods) < self.replicas:
            self.made += 1
            name = f"web-{self.made:05}"
            alone = "spread" in self.broken or ("load" in self.broken and not self.apart)
            node = self.nodes[0 if alone else self.made % len(self.nodes)]
            self.pods[name] = {
                "metadata": {"name": name, "uid": f"uid-{self.made}", "labels": {"serving": "yes"}},
                "spec": {"nodeName": node},
                "status": {
                    "phase": "Pending" if "pods" in self.broken else "Running",
                    "podIP": f"10.1.0.{self.made}",
                    "containerStatuses": [
                        {"containerID": f"{'cri-o' if 'engine' in self.broken else 'docker'}://c{self.made}"}
                    ],
                    **({} if "pods" in self.broken else READY),
                },
            }
        while len(self.pods) > self.replicas:
            self.pods.popitem()

    def answer(self, request: Request) -> HttpReply:
        self.asked.append(request)
        for pattern, handle in self.routes():
            found = re.fullmatch(pattern, f"{request.method} {request.path}")
            if found:
                return handle(request, *found.groups())
        raise AssertionError(f"nobody told this API server about {request}")

    def routes(self) -> list[tuple[str, Callable[..., HttpReply]]]:
        space = r"/api/v1/namespaces/(?:[^/]+)"
        return [
            (r"GET /api/v1/nodes", lambda _: self.node_list()),
            (r"POST /api/v1/namespaces", self.make_namespace),
            (r"DELETE /api/v1/namespaces/([^/]+)", self.delete_namespace),
            (r"GET /api/v1/namespaces/([^/]+)", lambda _, name: _ok({}) if name in self.namespaces else _missing()),
            (rf"GET {space}/serviceaccounts/default", lambda _: _missing() if "accounts" in self.broken else _ok({})),
            (rf"POST {space}/services", lambda _: _ok({"spec": {"clusterIP": "10.254.0.9"}})),
            (
                rf"GET {space}/services/web",
                lambda _: _ok({"spec": {"clusterIP": "10.254.0.9", "ports": [{"nodePort": 30080}]}}),
            ),
            (rf"GET {space}/services/web/proxy/", lambda _: self.proxy()),
            (rf"(?:POST|GET) {space}/replicationcontrollers(?:/web)?", lambda _: self.controller()),
            (rf"GET {space}/replicationcontrollers\?.*", lambda _: _list([{"metadata": {"name": self.found()}}])),
            (rf"PATCH {space}/replicationcontrollers/web", self.patch_controller),
            (rf"GET {space}/pods\?.*", lambda _: _list(list(self.pods.values()))),
            (rf"DELETE {space}/pods/(.*)", self.delete_pod),
            (rf"DELETE {space}/pods\?.*", self.delete_pods),
            (rf"PATCH {space}/pods/(.*)", self.patch_pod),
            (rf"GET {space}/endpoints/web", lambda _: self.endpoints()),
            (rf"GET {space}/events", lambda _: _list([])),
        ]

    def node_list(self) -> HttpReply:
        if "nodes" in self.broken:
            return HttpReply(500, "no")
        self.settling -= 1
        taints = [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}] if self.settling >= 0 else []
        tainted = {"n1": {"spec": {"taints": taints}}}
        return _list([{"metadata": {"name": name}, "status": READY, **tainted.get(name, {})} for name in self.nodes])

    def make_namespace(self, request: Request) -> HttpReply:
        assert request.body
        metadata = request.body["metadata"]
        assert isinstance(metadata, dict)
        if "forbidden" in self.broken:
            return HttpReply(403, '{"message": "forbidden"}')
        self.namespaces.add(metadata["name"])
        return _ok({})

    def delete_namespace(self, _: Request, name: str) -> HttpReply:
        if "undeletable" in self.broken:
            return HttpReply(500, "no")
        if name not in self.namespaces:
            return _missing()
        if "sticky" not in self.broken:
            self.namespaces.remove(name)
        return _ok({})

    def controller(self) -> HttpReply:
        return _ok({"status": {} if "controller" in self.broken else {"observedGeneration": 1}})

    def found(self) -> str:
        return "other" if "selector" in self.broken else "web"

    def patch_controller(self, request: Request) -> HttpReply:
        assert request.body
        if not self.namespaces:
            return _missing()
        spec = request.body.get("spec")
        if isinstance(spec, dict):
            self.replicas = spec.get("replicas", self.replicas)
            if "template" in spec:
                self.apart = self.excludes(spec["template"])
            self.scale()
        return _ok({})

    def excludes(self, template: dict[str, Any]) -> bool:
        """Whether pods of this template exclude each other from a node."""
        if template["spec"]["affinity"] is None:
            return False
        (term,) = template["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        return bool(term["labelSelector"]["matchLabels"] == template["metadata"]["labels"])

    def delete_pod(self, _: Request, name: str) -> HttpReply:
        if "heal" not in self.broken:
            del self.pods[name]
            self.scale()
        return _ok({})

    def delete_pods(self, request: Request) -> HttpReply:
        assert request.body == {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        self.pods.clear()
        self.scale()
        return _ok({})

    def patch_pod(self, request: Request, name: str) -> HttpReply:
        assert request.body == {"metadata": {"labels": {"serving": "no"}}}
        self.pods[name]["metadata"]["labels"]["serving"] = "no"
        if "evicted" in self.broken:
            del self.pods[name]
            self.scale()
        return _ok({})

    def endpoints(self) -> HttpReply:
        names = self.serving() if "endpoints" not in self.broken else list(self.pods)
        return _ok({"subsets": [{"addresses": [{"ip": self.pods[name]["status"]["podIP"]} for name in names]}]})

    def proxy(self) -> HttpReply:
        if "proxy" in self.broken:
            return HttpReply(503, '{"message": "dial tcp 10.1.0.1:80: i/o timeout"}')
        return HttpReply(200, " ".join(self.serving()))


def _ok(body: dict[str, Any]) -> HttpReply:
    return HttpReply(200, json.dumps(body))


def _list(items: list[dict[str, Any]]) -> HttpReply:
    return _ok({"items": items})


def _missing() -> HttpReply:
    return HttpReply(404, '{"message": "not found"}')


@dataclass
class Machine(NoUploads):
    """A host that reaches the Service of a world, or does not."""

    host: str
    world: World

    def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
        if "docker inspect" in script:
            return self.from_a_pod(script)
        if ":30080/" in script:
            other = {"n1": "10.77.0.22", "n2": "10.77.0.21"}[self.host]
            assert f"http://{other}:30080/" in script
        else:
            assert "http://10.254.0.9:80/" in script
        if f"lost {self.host}" in self.world.broken:
            raise TransportError(self.host, "the connection was lost")
        if f"ports {self.host}" in self.world.broken and ":30080/" in script:
            return Result(0, "failure curl: (7) refused\n", "")
        if f"routes {self.host}" in self.world.broken:
            return Result(0, "failure curl: (28) timed out\n", "")
        if "silent" in self.world.broken:
            return Result(0, "answer somebody else\n", "")
        return Result(0, "".join(f"answer {name}\n" for name in self.world.serving()), "")

    def from_a_pod(self, script: str) -> Result:
        """Pods reach each other, in both directions, by their own addresses."""
        asks = [name for name, pod in self.world.pods.items() if f"}}}}' c{int(name[4:])} " in script]
        asked = [name for name, pod in self.world.pods.items() if f"http://{pod['status']['podIP']}:80/" in script]
        assert len(asks) == len(asked) == 1
        assert self.world.pods[asks[0]]["spec"]["nodeName"] == self.host
        assert self.world.pods[asked[0]]["spec"]["nodeName"] != self.host
        if f"overlay {self.host}" in self.world.broken:
            return Result(0, "failure curl: (28) timed out\n", "")
        return Result(0, f"answer {asked[0]}\n", "")

    def close(self) -> None:
        raise AssertionError("not ours to close")


class WorldApi(Api):
    def __init__(self, world: World) -> None:
        super().__init__(Machine("m1", world), ApiAccess("http://127.0.0.1:8080"))
        self.world = world

    def ask(self, *requests: Request) -> tuple[HttpReply, ...]:
        return tuple(map(self.world.answer, requests))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll, "_PAUSE_SECONDS", 0.0)
    for name in ("OBJECT", "START", "ROUTE", "HEAL", "REMOVE"):
        monkeypatch.setattr(f"k8s_installer.verify.lifecycle._{name}_SECONDS", 0.01)
    monkeypatch.setattr("k8s_installer.verify.lifecycle._SETTLE_SECONDS", 0.2)


WITH_IMAGE = "images: {verify: 'web:1'}\n"


def prove(
    world: World, inventory: Cluster | None = None, machines: tuple[str, ...] = ("n1", "n2")
) -> dict[str, CheckResult]:
    told: list[CheckResult] = []
    transports: dict[str, Transport] = {name: Machine(name, world) for name in machines}
    results = workload(WorldApi(world), inventory or cluster(more=WITH_IMAGE), transports, told.append)
    assert list(results) == told
    return {result.name: result for result in results}


def failed(results: dict[str, CheckResult]) -> list[str]:
    return [name for name, result in results.items() if result.status is Status.FAILED]


def skipped(results: dict[str, CheckResult]) -> list[str]:
    return [name for name, result in results.items() if result.status is Status.SKIPPED]


def test_a_cluster_that_works_passes_everything_and_keeps_nothing() -> None:
    world = World()
    results = prove(world)
    assert {result.status for result in results.values()} == {Status.PASSED}
    assert results[RUN].detail == "2 of web:1: web-00001 on n2, web-00002 on n1"
    assert results[HEAL].detail == "web-00001 by web-00003 on n2"
    assert not world.namespaces
    methods = [(request.method, request.path.split("/")[5:6]) for request in world.asked]
    assert methods.index(("POST", ["services"])) < methods.index(("POST", ["replicationcontrollers"]))


def test_without_an_image_what_needs_pods_is_skipped_and_the_rest_is_proven() -> None:
    results = prove(World(), cluster())
    assert skipped(results) == [RUN, SPREAD, REACH, NODE_PORT, ACROSS, PROXY, HEAL, DROP]
    assert {results[name].detail for name in skipped(results)} == {"the inventory has no images.verify"}
    assert not failed(results)


def test_checks_without_an_image_are_one_warning_and_not_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(Path("cluster.yaml"))
    proof = Proof(tuple(prove(World(), cluster()).values()), 1.0)
    for result in proof.results:
        terminal.check(result)
    terminal.proven(proof)
    said = capsys.readouterr().err
    assert "the inventory has no images.verify" not in said
    assert LABEL in said
    assert said.splitlines()[-1].startswith("warning: no pod was run (8 checks skipped), so it is not known whether")
    terminal.proven(Proof(tuple(prove(World()).values()), 1.0))
    assert not capsys.readouterr().err


def test_one_node_cannot_show_different_nodes() -> None:
    results = prove(World(nodes=("n1",)))
    assert skipped(results) == [SPREAD, ACROSS]
    assert results[SPREAD].detail == "only n1 accepts pods"
    assert not failed(results)


def test_pods_are_apart_also_where_the_scheduler_would_put_them_on_one_node() -> None:
    """n2 has the DNS's pods, so that its score is below that of n1 with one pod more."""
    results = prove(World(broken=frozenset({"load"})))
    assert {result.status for result in results.values()} == {Status.PASSED}
    assert results[SPREAD].detail == "n1: web-00002; n2: web-00001"
    # what takes the place of one may go to the node of the other, which it need not outwait
    assert results[HEAL].detail == "web-00001 by web-00003 on n1"


def test_the_pods_of_a_single_node_do_not_exclude_each_other() -> None:
    world = World(nodes=("n1",))
    prove(world)
    patches = [request.body for request in world.asked if request.method == "PATCH" and request.body]
    assert {"spec": {"replicas": 2}} in patches


def test_a_node_that_takes_pods_in_a_moment_is_waited_for() -> None:
    results = prove(World(settling=2))
    assert {result.status for result in results.values()} == {Status.PASSED}
    never = prove(World(settling=10**9))
    assert skipped(never) == [SPREAD, ACROSS]
    assert never[SPREAD].detail == "only n2 accepts pods"


def test_a_pod_of_another_engine_is_not_entered() -> None:
    results = prove(World(broken=frozenset({"engine"})))
    assert skipped(results) == [ACROSS]
    assert not failed(results)


def test_no_node_at_all() -> None:
    results = prove(World(nodes=()))
    assert skipped(results) == [RUN, SPREAD, REACH, NODE_PORT, ACROSS, PROXY, HEAL, DROP]
    assert results[DROP].detail == "no node accepts pods"


@pytest.mark.parametrize(
    ("broken", "check", "words"),
    [
        ("forbidden", MAKE, "POST /api/v1/namespaces: forbidden (status 403)"),
        ("accounts", MAKE, "no ServiceAccount: not found"),
        ("controller", "a ReplicationController is processed", "has not processed it"),
        ("selector", LABEL, "does not find the object"),
        ("nodes", RUN, "GET /api/v1/nodes: no (status 500)"),
        ("pods", RUN, "0 of 2 pods are ready"),
        ("spread", SPREAD, "n1, n2 accept pods, but all are on n1: web-00001, web-00002"),
        ("routes n2", REACH, "n2: no answer from web-00001, web-00002: curl: (28) timed out"),
        ("lost n2", REACH, "n2: n2: the connection was lost"),
        ("silent", REACH, "n1: no answer from web-00001, web-00002; n2"),
        ("ports n1", NODE_PORT, "n1: no answer from web-00001, web-00002: curl: (7) refused"),
        ("overlay n2", ACROSS, "web-00001 on n2: no answer from web-00002: curl: (28) timed out"),
        ("proxy", PROXY, "no answer from web-00001, web-00002"),
        ("heal", HEAL, "web-00001 was deleted 0.01 s ago and is still there"),
        ("label", DROP, "is still among the endpoints"),
        ("endpoints", DROP, "is still among the endpoints"),
        ("evicted", DROP, "no longer runs"),
        ("sticky", REMOVE, "is still "),
        ("undeletable", REMOVE, "was not deleted: no (status 500)"),
    ],
)
def test_what_is_broken_is_what_fails_and_everything_is_removed(broken: str, check: str, words: str) -> None:
    world = World(broken=frozenset({broken}))
    results = prove(world)
    assert failed(results) == [check]
    assert words in results[check].detail
    assert results[REMOVE].status is not Status.SKIPPED
    assert not world.namespaces or check == REMOVE


def test_what_could_not_be_proven_after_a_failure_is_skipped() -> None:
    results = prove(World(broken=frozenset({"pods"})))
    assert skipped(results) == [SPREAD, REACH, NODE_PORT, ACROSS, PROXY, HEAL, DROP]
    assert results[DROP].detail == f"because this check failed: {REACH}" or RUN in results[DROP].detail
    assert any("pod web-00001 on n2 is Pending" in line for line in results[RUN].evidence)


def test_a_node_without_a_connection_fails_by_name() -> None:
    results = prove(World(), machines=("n1",))
    assert "n2: no connection to the host" in results[REACH].detail


def test_a_route_that_still_leads_to_the_relabelled_pod_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(world, "endpoints", lambda: _ok({"subsets": []}))
    stale: list[str] = []

    def serving() -> list[str]:
        stale[:] = stale or sorted(world.pods)
        return sorted({*world.pods, *stale})

    monkeypatch.setattr(world, "serving", serving)
    assert "still answers" in prove(world)[DROP].detail


def test_a_service_that_loses_all_its_pods_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    def empty_after_relabel(request: Request, name: str) -> HttpReply:
        world.broken = frozenset({"silent"})
        return World.patch_pod(world, request, name)

    monkeypatch.setattr(world, "patch_pod", empty_after_relabel)
    assert "no pod answers" in prove(world)[DROP].detail


def test_an_api_that_fails_midway_is_a_failure_and_no_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    real = world.answer

    def answer(request: Request) -> HttpReply:
        return HttpReply(0, "curl: (7)") if request.method == "GET" and "/pods?" in request.path else real(request)

    monkeypatch.setattr(world, "answer", answer)
    results = prove(world)
    assert results[RUN].detail == "the API server does not list the pods: curl: (7)"


def test_pods_go_while_the_namespace_is_left_alone_by_the_controller_manager() -> None:
    world = World()
    prove(world)
    deleted, scaled, emptied, seen = [f"{one.method} {one.path}" for one in world.asked[-4:]]
    assert re.fullmatch("DELETE /api/v1/namespaces/[-a-z0-9]+", deleted)
    space = deleted.removeprefix("DELETE ")
    assert scaled == f"PATCH {space}/replicationcontrollers/web"
    assert emptied == f"DELETE {space}/pods?labelSelector=k8s-installer-verify%3Dweb"
    assert seen == f"GET {space}"


def test_an_interrupt_removes_the_namespace_and_goes_on_being_one() -> None:
    world = World()

    def interrupt(result: CheckResult) -> None:
        if result.name == SERVICE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workload(WorldApi(world), cluster(more=WITH_IMAGE), {}, interrupt)
    assert not world.namespaces
    assert world.asked[-1].method == "DELETE"


def test_an_interrupt_on_a_lost_master_is_still_the_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    api = WorldApi(world)

    def lose(*_: Request) -> tuple[HttpReply, ...]:
        raise TransportError("m1", "gone")

    def interrupt(_: CheckResult) -> None:
        monkeypatch.setattr(api, "ask", lose)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workload(api, cluster(), {}, interrupt)


def test_a_master_that_is_lost_is_said_once_for_each_check_that_needed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    api = WorldApi(World())

    def lose(*_: Request) -> tuple[HttpReply, ...]:
        raise TransportError("m1", "gone", hint="again")

    monkeypatch.setattr(api, "ask", lose)
    results = workload(api, cluster(), {}, lambda _: None)
    assert [result.name for result in results if result.status is Status.FAILED] == [MAKE, REMOVE]
