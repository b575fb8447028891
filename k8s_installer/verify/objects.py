"""The objects that a verification makes, and what it reads in the answers.

Pure, and core/v1 alone: it means the same in 1.5.2 and in 1.20.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from k8s_installer.host.exits import advice
from k8s_installer.host.gates import UNREADY_TAINTS, node_words
from k8s_installer.host.pods import ready as is_ready
from k8s_installer.host.pods import words as why_unready
from k8s_installer.untrusted.answers import Json, at, objects, text

NAME = "web"
PORT = 80
_LONGEST = 2000  # characters of what an object says
_LAST_PORT = 65535
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
# What the controller counts pods by, and what only the Service asks for: a pod can leave the one without the other.
RUN, SERVING = "k8s-installer-verify", "serving"
# What pods exclude each other from a node by.
APART = "apart"


def namespace(name: str) -> Json:
    """The namespace that holds everything else."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service() -> Json:
    """The Service: every pod of the run that has the label `serving`, on an address and on a port of every node."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "labels": {RUN: NAME}},
        "spec": {
            "type": "NodePort",
            "selector": {RUN: NAME, SERVING: "yes"},
            "ports": [{"protocol": "TCP", "port": PORT, "targetPort": PORT}],
        },
    }


def controller(replicas: int, image: str) -> Json:
    """The ReplicationController of `replicas` pods; without an image the template is only stored."""
    container = {"name": NAME, "image": image or "none", "ports": [{"containerPort": PORT}]}
    return {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": NAME, "labels": {RUN: NAME}},
        "spec": {
            "replicas": replicas,
            "selector": {RUN: NAME},
            "template": {
                "metadata": {"labels": {RUN: NAME, SERVING: "yes"}},
                # A web server as process 1 may not hear SIGTERM, and nobody waits for this one. Without the
                # cluster's DNS, which need not be there, the kubelet complains about every pod that wants it.
                "spec": {"containers": [container], "dnsPolicy": "Default", "terminationGracePeriodSeconds": 1},
            },
        },
    }


def scaled(replicas: int, *, apart: bool) -> Json:
    """A merge patch of the controller: so many pods, and with `apart` each on a node of its own.

    By itself a scheduler only prefers to spread pods, and what other pods request can outweigh that. The one of 1.20
    does not even prefer it where nodes have no zone: its default constraints ignore nodes without that label. A
    version before 1.6 does not know the field; it spreads the pods of a Service.
    """
    term = {"labelSelector": {"matchLabels": {APART: "yes"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    template = {"metadata": {"labels": {APART: "yes"}}, "spec": {"affinity": affinity}}
    return {"spec": {"replicas": replicas, **({"template": template} if apart else {})}}


def anywhere() -> Json:
    """A merge patch of the controller: pods that it makes from now on may go to any node.

    One that takes the place of another would have to wait until that has ended, some ten seconds.
    """
    return {"spec": {"template": {"metadata": {"labels": {APART: None}}, "spec": {"affinity": None}}}}


def labels(changes: Mapping[str, str | None]) -> Json:
    """A merge patch that sets labels; None takes one away."""
    return {"metadata": {"labels": dict(changes)}}


def delete_at_once() -> Json:
    """The options of a deletion that does not wait for the pod's end."""
    return {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as the API shows it; `ready` is False from the moment it is being deleted, and `words` say why it is not.

    `container` is its container as the kubelet names it, `docker://ID`. `advice` says how its containers ended, if
    they do not run, and what to change.
    """

    name: str
    uid: str
    node: str
    ip: str
    ready: bool
    deleting: bool
    words: str = ""
    container: str = ""
    advice: tuple[str, ...] = ()


def pods(answer: Json) -> tuple[Pod, ...]:
    """The pods of a PodList, by name; what has no name that a pod can have is none."""
    found = map(_pod, objects(answer.get("items")))
    return tuple(sorted((pod for pod in found if _NAME.fullmatch(pod.name)), key=lambda pod: pod.name))


def _pod(item: Json) -> Pod:
    meta, status = at(item, "metadata"), at(item, "status")
    deleting = "deletionTimestamp" in meta
    return Pod(
        name=text(meta.get("name")),
        uid=text(meta.get("uid")),
        node=text(at(item, "spec").get("nodeName")),
        ip=_address(status.get("podIP")),
        ready=is_ready(item) and not deleting,
        deleting=deleting,
        container=next((text(one.get("containerID")) for one in objects(status.get("containerStatuses"))), ""),
        words=why_unready(item)[:_LONGEST],
        advice=advice([item]),
    )


def pod_evidence(seen: Sequence[Pod]) -> tuple[str, ...]:
    """One line for each pod that is not ready, and how its containers ended, with what to change."""
    lines = (line for pod in seen if not pod.ready for line in (pod.words, *pod.advice))
    return tuple(dict.fromkeys(lines))


def event_evidence(answer: Json, most: int = 8) -> tuple[str, ...]:
    """The last warnings of a namespace, oldest first; what was said of several objects is said once."""
    warnings = [item for item in objects(answer.get("items")) if item.get("type") == "Warning"]
    items = sorted(warnings, key=lambda item: text(item.get("lastTimestamp")))
    said = {
        (
            reason,
            message,
        ): f"event of {text(about.get('kind'))} {text(about.get('name'))}: {reason}: {message}"
        for about, reason, message in map(_event, items)
    }
    return tuple(said.values())[-most:]


def _event(item: Json) -> tuple[Json, str, str]:
    return at(item, "involvedObject"), text(item.get("reason")), " ".join(text(item.get("message")).split())[:_LONGEST]


def cluster_ip(service: Json) -> str:
    """The address of a Service; empty if it has none."""
    return _address(at(service, "spec").get("clusterIP"))


def node_port(service: Json) -> int:
    """The port of a Service on every node; 0 if it has none."""
    ports = [item.get("nodePort") for item in objects(at(service, "spec").get("ports"))]
    return next((port for port in ports if isinstance(port, int) and 0 < port <= _LAST_PORT), 0)


def named(answer: Json) -> list[str]:
    """The names of the objects in a list."""
    return [text(at(item, "metadata").get("name")) for item in objects(answer.get("items"))]


def _address(value: object) -> str:
    """An IPv4 address, which is put into URLs and commands; empty for anything else."""
    try:
        return str(IPv4Address(text(value)))
    except ValueError:
        return ""


def endpoints(answer: Json) -> frozenset[str]:
    """The addresses that an Endpoints object sends to."""
    addresses = (one for subset in objects(answer.get("subsets")) for one in objects(subset.get("addresses")))
    return frozenset(text(address.get("ip")) for address in addresses)


@dataclass(frozen=True, slots=True)
class Node:
    """A Node as the API shows it.

    `schedulable` says that a pod without wishes may go there, `settling` that it will in a moment: the node is ready,
    and has a taint from when it was not, which the controller-manager removes.
    """

    name: str
    ready: bool
    schedulable: bool
    version: str
    state: str
    settling: bool = False


def nodes(answer: Json) -> tuple[Node, ...]:
    """The nodes of a NodeList, by name."""
    return tuple(sorted(map(_node, objects(answer.get("items"))), key=lambda node: node.name))


def _node(item: Json) -> Node:
    status, spec = at(item, "status"), at(item, "spec")
    ready = is_ready(item)
    taints = [taint for taint in objects(spec.get("taints")) if taint.get("effect") in ("NoSchedule", "NoExecute")]
    return Node(
        name=text(at(item, "metadata").get("name")),
        ready=ready,
        schedulable=ready and not spec.get("unschedulable") and not taints,
        version=text(at(status, "nodeInfo").get("kubeletVersion")) or "unknown",
        state=node_words(item),
        settling=ready and any(taint.get("key") in UNREADY_TAINTS for taint in taints),
    )


def replicas_for(schedulable: int) -> int:
    """How many pods show that a cluster works: one for each node, at least two (one can die), at most four."""
    return min(max(schedulable, 2), 4)


def spread(seen: Iterable[Pod]) -> dict[str, list[str]]:
    """Which pods are on which node."""
    where: dict[str, list[str]] = {}
    for pod in seen:
        where.setdefault(pod.node, []).append(pod.name)
    return dict(sorted(where.items()))
