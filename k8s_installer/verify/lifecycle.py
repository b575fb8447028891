"""A workload from its first pod to its last: made, reached, hurt, healed and removed, in a namespace of its own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from k8s_installer.errors import InstallerError
from k8s_installer.host import runtimes
from k8s_installer.inventory.cluster import Cluster, Role
from k8s_installer.transport import Transport
from k8s_installer.untrusted.answers import at, text
from k8s_installer.verify import objects, reach, resolving
from k8s_installer.verify.api import Api, HttpReply, Request
from k8s_installer.verify.checks import NO_IMAGE, CheckResult, Failure, OnCheck, Series, Skip
from k8s_installer.verify.objects import NAME, Node, Pod
from k8s_installer.verify.poll import Deadline, until

_OBJECT_SECONDS = 30.0
_SETTLE_SECONDS = 30.0  # the controller-manager looks at the taints of nodes every five seconds
_START_SECONDS = 180.0  # the image comes from its registry first
# After an API server that was away, kube-proxy may wait for up to a minute before it asks for what is new (30 s and as
# much again at random; client-go 0.20, tools/cache/reflector.go).
_ROUTE_SECONDS = 90.0
_HEAL_SECONDS = 60.0
_REMOVE_SECONDS = 90.0
_HTTP_NOT_FOUND = 404
_MOST_PODS = 8  # two times what is asked for: one may be on its way in while another is on its way out

MAKE = "a namespace with its service account"
SERVICE = "a Service gets its address"
CONTROLLER = "a ReplicationController is processed"
LABEL = "an object is found by its changed label"
RUN = "the pods run"
SPREAD = "the pods run on different nodes"
REACH = "every pod answers through the Service on every node"
NODE_PORT = "every pod answers on a NodePort of every node"
ACROSS = "pods reach pods on other nodes"
PROXY = "every pod answers through the API server"
HEAL = "a deleted pod is replaced"
DROP = "a pod that loses its label leaves the Service"
REMOVE = "the test objects are removed"


def workload(
    api: Api, cluster: Cluster, transports: Mapping[str, Transport], on_check: OnCheck
) -> tuple[CheckResult, ...]:
    """Prove pods, a ReplicationController and a Service with real ones, and remove them.

    Args:
        api: the API server to work with.
        cluster: what the inventory says; `images.verify` is a web server that answers with its host name on
            port 80. Without one, all that needs running pods is skipped.
        transports: connections by the host's name; those of the nodes are used, one thread each.
        on_check: is called with each result as it is known.

    Returns:
        every result, in the order of the checks. Nothing is raised for a cluster that does not work.
    """
    series = Series(on_check)
    run = _Workload(api, cluster, transports, f"k8s-installer-verify-{secrets.token_hex(4)}")
    try:
        series.check(MAKE, run.make_namespace)
        series.check(SERVICE, run.make_service, needs=(MAKE,))
        series.check(CONTROLLER, run.make_controller, needs=(SERVICE,))
        series.check(LABEL, run.change_label, needs=(CONTROLLER,))
        series.check(RUN, run.await_pods, needs=(CONTROLLER,))
        series.check(SPREAD, run.see_spread, needs=(RUN,))
        series.check(REACH, run.reach_from_nodes, needs=(RUN,))
        series.check(NODE_PORT, run.reach_node_ports, needs=(REACH,))
        series.check(ACROSS, run.reach_each_other, needs=(SPREAD,))
        series.check(PROXY, run.reach_through_api, needs=(RUN,))
        series.check(HEAL, run.delete_a_pod, needs=(RUN,))
        series.check(DROP, run.relabel_a_pod, needs=(REACH, HEAL))
        if cluster.dns != "none":
            resolving.checks(series, api, cluster, run.namespace, needs=(RUN,))
    except BaseException:
        run.abandon()
        raise
    series.check(REMOVE, run.remove)
    return tuple(series.results.values())


@dataclass(frozen=True, slots=True)
class _Workload:
    """One run. Each method is a check: it returns what was found, or raises Failure or Skip."""

    api: Api
    cluster: Cluster
    transports: Mapping[str, Transport]
    namespace: str
    takers: list[str] = field(default_factory=list)  # the nodes that took pods when the pods were made

    def make_namespace(self) -> str:
        self._post("/api/v1/namespaces", objects.namespace(self.namespace))
        account = self._path("serviceaccounts/default")
        seen = until(_OBJECT_SECONDS, partial(self._get, account), lambda seen: seen.ok)
        if not seen.ok:
            # Pods are refused until it is there.
            look = ("on the masters: journalctl -u kube-controller-manager -n 50",)
            raise Failure(f"the controller-manager created no ServiceAccount: {seen.words}", look)
        return self.namespace

    def make_service(self) -> str:
        # Before the controller: the scheduler spreads the pods of a Service that is there.
        made = self._post(self._path("services"), objects.service())
        return f"{NAME} has {_cluster_ip(made)}, port {objects.PORT}"

    def make_controller(self) -> str:
        # No pods yet: how many there can be is another check's question.
        self._post(self._path("replicationcontrollers"), objects.controller(0, self.cluster.images.verify))
        path = self._path(f"replicationcontrollers/{NAME}")
        seen = until(_OBJECT_SECONDS, partial(self._get, path), _is_observed)
        if not _is_observed(seen):
            look = ("on the masters: journalctl -u kube-controller-manager -n 50",)
            raise Failure("the controller-manager has not processed it", look)
        return "the controller-manager has seen it"

    def change_label(self) -> str:
        path = self._path(f"replicationcontrollers/{NAME}")
        self._patch(path, objects.labels({"colour": "green"}))
        found = self._read(self._path("replicationcontrollers?labelSelector=colour%3Dgreen"))
        if objects.named(found.json) != [NAME]:
            raise Failure(f"the label colour=green was set, but does not find the object: {found.words}")
        return "colour=green finds it"

    def await_pods(self) -> str:
        if not self.cluster.images.verify:
            raise Skip(NO_IMAGE)
        nodes = until(_SETTLE_SECONDS, self._nodes, lambda seen: not any(node.settling for node in seen))
        self.takers.extend(node.name for node in nodes if node.schedulable)
        if not self.takers:
            raise Skip("no node accepts pods")
        count, path = objects.replicas_for(len(self.takers)), self._path(f"replicationcontrollers/{NAME}")
        self._patch(path, objects.scaled(count, apart=len(self.takers) > 1))
        pods = self._await(count, _START_SECONDS)
        self._patch(path, objects.anywhere())
        return f"{count} of {self.cluster.images.verify}: {_names(pods)}"

    def see_spread(self) -> str:
        if len(self.takers) == 1:
            raise Skip(f"only {self.takers[0]} accepts pods")
        where = objects.spread(self._pods())
        said = "; ".join(f"{node}: {', '.join(names)}" for node, names in where.items())
        if len(where) < 2:  # noqa: PLR2004
            raise Failure(f"{', '.join(self.takers)} accept pods, but all are on {said}", self._events())
        return said

    def reach_from_nodes(self) -> str:
        names = [pod.name for pod in self._pods()]
        return self._everywhere(lambda host: reach.all_heard(host, self._url(), names, Deadline(_ROUTE_SECONDS)))

    def reach_node_ports(self) -> str:
        """Every node asks the next one: with all of them every port is asked, and most from another host."""
        names = [pod.name for pod in self._pods()]
        port = objects.node_port(self._read(self._path(f"services/{NAME}")).json)
        if not port:
            raise Failure(f"the Service {NAME} has no port on the nodes")
        nodes = self.cluster.having(Role.NODE)
        following = {node.name: other.address for node, other in zip(nodes, (*nodes[1:], nodes[0]), strict=True)}

        def ask(host: Transport) -> str:
            return reach.all_heard(host, f"http://{following[host.host]}:{port}/", names, Deadline(_ROUTE_SECONDS))

        return f"{port}, {self._everywhere(ask)}"

    def reach_each_other(self) -> str:
        """A pod of every node that has one asks a pod of the next."""
        here = {pod.node: pod for pod in self._pods()}
        pods = tuple(here.values())
        processes = {}
        for pod in pods:
            found = runtimes.of_container(pod.container)
            if found is None:
                raise Skip(f"{pod.name} is not a container of {' or '.join(runtimes.RUNTIMES)}")
            processes[pod.node] = found[0].process(found[1])
        following = dict(zip(here, (*pods[1:], pods[0]), strict=True))

        def ask(host: Transport) -> str:
            other, process = following[host.host], processes[host.host]
            url = f"http://{other.ip}:{objects.PORT}/"
            return reach.all_heard(host, url, [other.name], Deadline(_ROUTE_SECONDS), process=process)

        wrong = reach.from_everywhere(list(here), self.transports, ask)
        if wrong:
            look = tuple(f"on {host}: ip route; ip -d link" for host in wrong)
            raise Failure("; ".join(f"{here[host].name} on {host}: {words}" for host, words in wrong.items()), look)
        return ", ".join(f"{pod.name} on {node} reaches {following[node].name}" for node, pod in here.items())

    def reach_through_api(self) -> str:
        missing = {pod.name for pod in self._pods()}
        request = Request(self._path(f"services/{NAME}/proxy/"))
        rounds, deadline = [request] * 4 * len(missing), Deadline(_ROUTE_SECONDS)
        while True:
            answers = self.api.ask(*rounds)
            missing -= {name for name in missing for answer in answers if answer.ok and name in answer.text}
            if not missing:
                return f"from {self.api.host}"
            if not deadline.pause():
                break
        refused = [answer.words for answer in answers if not answer.ok]
        look = "masters need routes to the pod networks: ip route"
        raise Failure(f"no answer from {', '.join(sorted(missing))}", (*refused[-1:], f"on {self.api.host}: {look}"))

    def delete_a_pod(self) -> str:
        before = self._pods()
        gone = before[0]
        self._change("DELETE", self._path(f"pods/{gone.name}"), None)
        after = self._await(len(before), _HEAL_SECONDS, without=gone.uid)
        new = [pod for pod in after if pod.uid not in {old.uid for old in before}]
        return f"{gone.name} by {_names(new)}"

    def relabel_a_pod(self) -> str:
        seen = self._pods()
        gone, stay = seen[0], [pod.name for pod in seen[1:]]
        self._patch(self._path(f"pods/{gone.name}"), objects.labels({objects.SERVING: "no"}))
        path = self._path(f"endpoints/{NAME}")
        left = until(_ROUTE_SECONDS, partial(self._get, path), lambda seen: _has_left(seen, gone))
        if not _has_left(left, gone):
            raise Failure(f"{gone.name} is still among the endpoints: {', '.join(objects.endpoints(left.json))}")
        self._everywhere(lambda host: reach.dropped(host, self._url(), gone.name, stay, Deadline(_ROUTE_SECONDS)))
        if gone.uid not in {pod.uid for pod in self._pods() if pod.ready}:
            raise Failure(f"{gone.name} no longer runs, but should only have left the Service")
        return f"{gone.name} keeps running without requests"

    def remove(self) -> str:
        """Delete the namespace, and the pods in the five seconds for which the controller-manager leaves it alone.

        If it finds pods then, it looks again only after a minute. Without grace their objects go at once, and the
        kubelets stop the containers in their own time.
        """
        path, controller = f"/api/v1/namespaces/{self.namespace}", self._path(f"replicationcontrollers/{NAME}")
        requests = (
            Request(path, "DELETE"),
            Request(controller, "PATCH", {"spec": {"replicas": 0}}),
            Request(self._pods_path, "DELETE", objects.delete_at_once()),
        )
        # Again and again, because what failed before may have been an API server that just restarts.
        asked = until(_OBJECT_SECONDS, lambda: self.api.ask(*requests)[0], lambda seen: seen.code != 0)
        if not asked.ok and not _is_gone(asked):
            raise Failure(f"namespace {self.namespace} was not deleted: {asked.words}", (self._by_hand,))
        left = until(_REMOVE_SECONDS, partial(self._get, path), _is_gone)
        if not _is_gone(left):
            phase = text(at(left.json, "status").get("phase"))
            raise Failure(f"namespace {self.namespace} is still {phase or left.words}", (self._by_hand,))
        return self.namespace

    def abandon(self) -> None:
        """Ask for the removal and do not wait, because somebody interrupted us."""
        try:
            self.api.ask(Request(f"/api/v1/namespaces/{self.namespace}", "DELETE"))
        except InstallerError:
            return  # what interrupted us is the news

    @property
    def _by_hand(self) -> str:
        return f"by hand: kubectl delete namespace {self.namespace}"

    def _path(self, rest: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/{rest}"

    def _get(self, path: str) -> HttpReply:
        return self.api.ask(Request(path))[0]

    def _post(self, path: str, body: Mapping[str, object]) -> HttpReply:
        return self._change("POST", path, body)

    def _patch(self, path: str, body: Mapping[str, object]) -> HttpReply:
        return self._change("PATCH", path, body)

    def _change(self, method: str, path: str, body: Mapping[str, object] | None) -> HttpReply:
        answer, *_ = self.api.ask(Request(path, method, body))
        if not answer.ok:
            raise Failure(f"{method} {path}: {answer.words}", self._events())
        return answer

    def _read(self, path: str) -> HttpReply:
        answer = self._get(path)
        if not answer.ok:
            raise Failure(f"GET {path}: {answer.words}")
        return answer

    def _url(self) -> str:
        return f"http://{_cluster_ip(self._read(self._path(f'services/{NAME}')))}:{objects.PORT}/"

    def _pods(self) -> tuple[Pod, ...]:
        found = _living(objects.pods(self._read(self._pods_path).json))
        if not 0 < len(found) <= _MOST_PODS:
            raise Failure(f"the API server lists {len(found)} pods of the ReplicationController {NAME}")
        return found

    @property
    def _pods_path(self) -> str:
        return self._path(f"pods?labelSelector={objects.RUN}%3D{NAME}")

    def _nodes(self) -> tuple[Node, ...]:
        return objects.nodes(self._read("/api/v1/nodes").json)

    def _await(self, count: int, seconds: float, without: str = "") -> tuple[Pod, ...]:
        """Wait for exactly so many pods, all ready, besides those being deleted; none has the uid `without`."""

        def good(answer: HttpReply) -> bool:
            seen = _living(objects.pods(answer.json))
            return answer.ok and len(seen) == count and all(pod.ready and pod.uid != without for pod in seen)

        answer = until(seconds, partial(self._get, self._pods_path), good)
        seen = objects.pods(answer.json)
        if good(answer):
            return _living(seen)
        if not answer.ok:
            raise Failure(f"the API server does not list the pods: {answer.words}")
        stuck = [pod.name for pod in _living(seen) if pod.uid == without]
        if stuck:
            raise Failure(f"{stuck[0]} was deleted {seconds:g} s ago and is still there", self._events())
        ready = sum(pod.ready for pod in seen)
        evidence = (*objects.pod_evidence(seen), *self._events())
        raise Failure(f"{ready} of {count} pods are ready after {seconds:g} s", evidence)

    def _events(self) -> tuple[str, ...]:
        return objects.event_evidence(self._get(self._path("events")).json)

    def _everywhere(self, ask: reach.Ask) -> str:
        hosts = [host.name for host in self.cluster.having(Role.NODE)]
        wrong = reach.from_everywhere(hosts, self.transports, ask)
        if wrong:
            look = tuple(f"on {host}: journalctl -u kube-proxy -n 50; ip route" for host in wrong)
            raise Failure("; ".join(f"{host}: {words}" for host, words in wrong.items()), look)
        return f"from {', '.join(hosts)}"


def _is_gone(answer: HttpReply) -> bool:
    return answer.code == _HTTP_NOT_FOUND


def _is_observed(answer: HttpReply) -> bool:
    return bool(at(answer.json, "status").get("observedGeneration"))


def _cluster_ip(service: HttpReply) -> str:
    found = objects.cluster_ip(service.json)
    if not found:
        raise Failure(f"the Service {NAME} has no address")
    return found


def _has_left(answer: HttpReply, pod: Pod) -> bool:
    return answer.ok and pod.ip not in objects.endpoints(answer.json)


def _living(pods: tuple[Pod, ...]) -> tuple[Pod, ...]:
    return tuple(pod for pod in pods if not pod.deleting)


def _names(pods: tuple[Pod, ...] | list[Pod]) -> str:
    return ", ".join(f"{pod.name} on {pod.node}" for pod in pods)
