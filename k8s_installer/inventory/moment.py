"""When an addon is applied: before the nodes start, or once every health gate holds. Pure.

A network for pods and a PodSecurityPolicy must be there before nodes can be ready and pods can be made; what needs pods
or names comes last. A manifest says which by its folder, `addons/early/`, or in its leading comment; where it says
nothing its objects decide.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

EARLY, LATE = "early", "late"
# Namespaces that the apiserver makes by itself.
SYSTEM_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})

_SAID = re.compile(r"#+\s*k8s-installer:\s*(.*?)\s*")
# Kinds that no node is needed for, and that nodes and pods may need.
_RULES = frozenset(
    {
        "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace", "PodSecurityPolicy",
        "PriorityClass", "Role", "RoleBinding", "ServiceAccount",
    }
)  # fmt: skip
# Kinds that send requests of the API to pods: without the pods those requests fail.
_CALLS = frozenset({"APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"})
_UNREADY = ("", "node.kubernetes.io/not-ready", "node.alpha.kubernetes.io/notReady")

Object = Mapping[str, Any]


def said(text: str) -> str | None:
    """What the leading comment of a manifest says of its moment, or None; it may be a word that nobody knows."""
    for line in text.splitlines():
        if line.strip() and not line.startswith(("#", "---")):
            return None
        match = _SAID.fullmatch(line)
        if match:
            return match[1]
    return None


def natural(objects: Sequence[Object], namespaces: Collection[str]) -> str:
    """The moment of a manifest that does not say any.

    It is early where it holds nothing but rules (RBAC, policies, namespaces, kinds), or a DaemonSet that runs on the
    host's network of nodes that are not ready: a network for pods is one. It is late in any case where it needs a
    namespace that is not there then, or sends requests of the API to pods.

    Args:
        objects: what the manifest holds.
        namespaces: those that are there when the early addons before it are applied.
    """
    kinds = {item["kind"] for item in objects}
    there = {*SYSTEM_NAMESPACES, *namespaces, *made(objects)}
    if kinds & _CALLS or not {item["metadata"].get("namespace") or "default" for item in objects} <= there:
        return LATE
    return EARLY if kinds <= _RULES or any(map(_serves_unready_nodes, objects)) else LATE


def made(objects: Sequence[Object]) -> Iterator[str]:
    """The namespaces that a manifest makes."""
    yield from (str(item["metadata"]["name"]) for item in objects if item["kind"] == "Namespace")


def _serves_unready_nodes(item: Object) -> bool:
    pod = _at(_at(_at(item, "spec"), "template"), "spec")
    tolerations = pod.get("tolerations")
    return (
        item["kind"] == "DaemonSet"
        and pod.get("hostNetwork") is True
        and isinstance(tolerations, list)
        and any(_tolerates(entry) for entry in tolerations if isinstance(entry, dict))
    )


def _tolerates(entry: Object) -> bool:
    """Whether a toleration is of nodes that are not ready, on which nothing is scheduled else."""
    known = (entry.get("key") or "") in _UNREADY and (entry.get("effect") or "NoSchedule") == "NoSchedule"
    return known and entry.get("operator") == "Exists"


def _at(item: Object, key: str) -> Object:
    found = item.get(key)
    return found if isinstance(found, dict) else {}
