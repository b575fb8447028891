"""What a drain waits for, as the API has it: pods by name, and the budgets that keep them; and what kubectl said. Pure.

The drain itself is `kubectl drain`, which a master runs in the background (`drains.py`). kubectl names a pod that a
budget keeps, from 1.12 on, and never the budget: the API knows both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from k8s_installer.errors import listed
from k8s_installer.untrusted import answers as strictly
from k8s_installer.untrusted.answers import Json

_MIRROR = "kubernetes.io/config.mirror"  # a static pod, which the kubelet runs by itself
_CREATOR = "kubernetes.io/created-by"  # who made a pod, in JSON: 1.5 has no owner in pods of DaemonSets
_HEALTHY = ("currentHealthy", "desiredHealthy")
_BUDGETS = ("policy/v1", "policy/v1beta1")  # from 1.21, and from 1.5 to 1.24
_LONGER = "to allow more time: --drain-timeout SECONDS; to continue without these pods: --force"
_LINES = 12  # of evidence
# What kubectl says when it refuses a node, and what allows it. 1.20 has renamed the flag for local data.
_LOCAL_DATA = "to lose what these pods have in emptyDir volumes: cluster: {drain_local_data: delete}"
_ALLOWED = {
    "(use --ignore-daemonsets": "to leave the pods of DaemonSets where they are: cluster: {drain_daemonsets: ignore}",
    "(use --delete-local-data": _LOCAL_DATA,
    "(use --delete-emptydir-data": _LOCAL_DATA,
    "(use --force": "to delete pods that nothing recreates: --force",
}
_LATE = ("global timeout reached", "did not complete within", "timed out waiting")  # kubectl's words for its --timeout


def questions(url: str) -> tuple[str, ...]:
    """The URLs of the pods and of all budgets.

    Args:
        url: the list of the node's pods.
    """
    base = url.partition("/api/v1/")[0]
    return (url, *(f"{base}/apis/{version}/poddisruptionbudgets" for version in _BUDGETS))


def progress(texts: Sequence[str]) -> str:
    """Which pods are waited for, in one line; empty if there are none, or the API did not say.

    Args:
        texts: the answers to `questions`.
    """
    pods, budgets = _parsed(texts)
    return f"waiting for {listed([_with_budget(pod, budgets) for pod in pods])}" if pods else ""


def evidence(log: str, texts: Sequence[str], *, forced: bool = False) -> list[str]:
    """Why a node is not drained: what kubectl refuses, or each pod that is still there and what kubectl said last.

    Args:
        log: what kubectl said.
        texts: the answers to `questions`.
        forced: whether the run continues all the same.
    """
    said = [line for line in log.splitlines() if line.strip()]
    refused = {words: line for line in said for name, words in _ALLOWED.items() if name in line}
    if refused:
        return [*dict.fromkeys(refused.values()), *refused]
    pods, budgets = _parsed(texts)
    lines = [f"pod {_name(pod)} is still there{_why(pod, budgets)}" for pod in pods]
    if len(lines) > _LINES:
        lines[_LINES - 1 :] = [f"and {len(lines) - _LINES + 1} more pods"]
    last = [line for line in said[-1:] if not lines or not any(words in line for words in _LATE)]
    return [*lines, *last, *([] if forced else [_LONGER])]


def _parsed(texts: Sequence[str]) -> tuple[list[Json], list[Json]]:
    """The pods that a drain removes, and the budgets that allow no eviction now, each once."""
    found = [list(strictly.objects(strictly.json_object(text).get("items"))) for text in texts]
    pods, *lists = found or [[]]
    budgets = {_name(budget): budget for listed in lists for budget in listed if not _allows(budget)}
    return [pod for pod in pods if not _stays(pod)], list(budgets.values())


def _stays(pod: Json) -> bool:
    """Whether a drain leaves a pod where it is: the kubelet's own, and those of DaemonSets."""
    metadata = strictly.at(pod, "metadata")
    annotations = strictly.at(metadata, "annotations")
    creator = strictly.at(strictly.json_object(strictly.text(annotations.get(_CREATOR))), "reference")
    owners = [creator, *strictly.objects(metadata.get("ownerReferences"))]
    return _MIRROR in annotations or any(owner.get("kind") == "DaemonSet" for owner in owners)


def _allows(budget: Json) -> bool:
    return bool(strictly.at(budget, "status").get("disruptionsAllowed"))


def _with_budget(pod: Json, budgets: Sequence[Json]) -> str:
    kept = [strictly.text(strictly.at(budget, "metadata").get("name")) for budget in _keeping(pod, budgets)]
    return f"{_name(pod)} (budget {', '.join(kept)})" if kept else _name(pod)


def _why(pod: Json, budgets: Sequence[Json]) -> str:
    if "deletionTimestamp" in strictly.at(pod, "metadata"):
        return ": it is being deleted"
    kept = [
        f"the PodDisruptionBudget {_name(budget)} allows no eviction now ({_healthy(budget)})"
        for budget in _keeping(pod, budgets)
    ]
    return f": {'; '.join(kept)}" if kept else ""


def _healthy(budget: Json) -> str:
    status = strictly.at(budget, "status")
    has, needs = (count if isinstance(count := status.get(key), int) else 0 for key in _HEALTHY)
    return f"it has {has} healthy pods and needs {needs}"


def _keeping(pod: Json, budgets: Sequence[Json]) -> Iterator[Json]:
    """The budgets of the pod's namespace that select it."""
    metadata = strictly.at(pod, "metadata")
    labels = {key: strictly.text(value) for key, value in strictly.at(metadata, "labels").items()}
    for budget in budgets:
        same = strictly.at(budget, "metadata").get("namespace") == metadata.get("namespace")
        if same and _selects(strictly.at(budget, "spec", "selector"), labels):
            yield budget


def _selects(selector: Json, labels: Mapping[str, str]) -> bool:
    equal = all(labels.get(key) == value for key, value in strictly.at(selector, "matchLabels").items())
    return equal and all(_fits(rule, labels) for rule in strictly.objects(selector.get("matchExpressions")))


def _fits(rule: Json, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(strictly.text(rule.get("key"))), strictly.texts(rule.get("values"))
    match rule.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False


def _name(item: Json) -> str:
    metadata = strictly.at(item, "metadata")
    return f"{strictly.text(metadata.get('namespace'))}/{strictly.text(metadata.get('name'))}"
