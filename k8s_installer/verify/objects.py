"""The objects that a verification makes, and what it reads in the answers.

Pure, and core/v1 alone: it means the same in 1.5.2 and in 1.20.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

NAME = "web"
PORT = 80
# What the controller counts pods by, and what only the Service asks for: a pod can leave the one without the other.
RUN, SERVING = "k8s-installer-verify", "serving"


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


def labels(changes: Mapping[str, str | None]) -> Json:
    """A merge patch that sets labels; None takes one away."""
    return {"metadata": {"labels": dict(changes)}}


def delete_at_once() -> Json:
    """The options of a deletion that does not wait for the pod's end."""
    return {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as the API shows it; `ready` is False from the moment it is being deleted.

    `container` is its container as the kubelet names it, `docker://ID`.
    """

    name: str
    uid: str
    node: str
    ip: str
    ready: bool
    deleting: bool
    state: str
    container: str = ""


def pods(answer: Json) -> tuple[Pod, ...]:
    """The pods of a PodList, by name."""
    return tuple(sorted(map(_pod, answer.get("items") or []), key=lambda pod: pod.name))


def _pod(item: Json) -> Pod:
    meta, status = item["metadata"], item.get("status") or {}
    deleting = "deletionTimestamp" in meta
    running = status.get("phase") == "Running" and _condition(status, "Ready") == "True"
    return Pod(
        name=meta["name"],
        uid=meta["uid"],
        node=item["spec"].get("nodeName") or "",
        ip=status.get("podIP") or "",
        ready=running and not deleting,
        deleting=deleting,
        container=next((one.get("containerID") or "" for one in status.get("containerStatuses") or []), ""),
        state="being deleted" if deleting else ", ".join([status.get("phase") or "Unknown", *_troubles(status)]),
    )


def _condition(status: Json, kind: str) -> str:
    found = (item["status"] for item in status.get("conditions") or [] if item["type"] == kind)
    return next(found, "Unknown")


def _troubles(status: Json) -> list[str]:
    """Why a pod does not run: conditions that do not hold, and what its containers wait for or ended with."""
    said = [
        f"{item['type']} is {item['status']}" + _because(item)
        for item in status.get("conditions") or []
        if item["status"] != "True" and item["type"] != "ContainersReady"  # says what Ready says
    ]
    for container in status.get("containerStatuses") or []:
        for kind in ("waiting", "terminated"):
            state = (container.get("state") or {}).get(kind)
            if state is not None:
                said.append(f"container {kind}{_because(state)}")
    return said


def _because(item: Json) -> str:
    words = ": ".join(str(item[key]) for key in ("reason", "message") if item.get(key))
    return f" ({words})" if words else ""


def pod_evidence(seen: Sequence[Pod]) -> tuple[str, ...]:
    """One line for each pod that is not ready."""
    return tuple(f"pod {pod.name} on {pod.node or 'no node yet'}: {pod.state}" for pod in seen if not pod.ready)


def event_evidence(answer: Json, most: int = 8) -> tuple[str, ...]:
    """The last warnings of a namespace, oldest first; what was said of several objects is said once."""
    warnings = [item for item in answer.get("items") or [] if item.get("type") == "Warning"]
    items = sorted(warnings, key=lambda item: str(item.get("lastTimestamp") or ""))
    said = {
        (item.get("reason"), item.get("message")): f"event of {item['involvedObject'].get('kind')}"
        f" {item['involvedObject'].get('name')}: {item.get('reason')}: {' '.join(str(item.get('message')).split())}"
        for item in items
    }
    return tuple(said.values())[-most:]


def endpoints(answer: Json) -> frozenset[str]:
    """The addresses that an Endpoints object sends to."""
    subsets = answer.get("subsets") or []
    return frozenset(address["ip"] for subset in subsets for address in subset.get("addresses") or [])


@dataclass(frozen=True, slots=True)
class Node:
    """A Node as the API shows it; `schedulable` where a pod without wishes may go."""

    name: str
    ready: bool
    schedulable: bool
    version: str
    state: str


def nodes(answer: Json) -> tuple[Node, ...]:
    """The nodes of a NodeList, by name."""
    return tuple(sorted(map(_node, answer.get("items") or []), key=lambda node: node.name))


def _node(item: Json) -> Node:
    status, spec = item.get("status") or {}, item.get("spec") or {}
    ready = _condition(status, "Ready") == "True"
    tainted = any(taint.get("effect") in {"NoSchedule", "NoExecute"} for taint in spec.get("taints") or [])
    said = [_because(one) for one in status.get("conditions") or [] if one["type"] == "Ready"]
    return Node(
        name=item["metadata"]["name"],
        ready=ready,
        schedulable=ready and not spec.get("unschedulable") and not tainted,
        version=str((status.get("nodeInfo") or {}).get("kubeletVersion") or "unknown"),
        state=f"Ready is {_condition(status, 'Ready')}{said[0] if said and not ready else ''}",
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
