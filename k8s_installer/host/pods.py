"""What the API's list of a controller's pods says of waiting for them, and what to ask when that is over. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from k8s_installer.host.evidence import HINT, clipped
from k8s_installer.host.exits import advice
from k8s_installer.untrusted.answers import json_object

# Why a container does not run where trying again rarely helps: its image, or what the manifest asks for.
_IN_VAIN = frozenset(
    {
        "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull",
        "ErrInspectImage", "RegistryUnavailable", "CreateContainerConfigError", "CreateContainerError",
        "RunContainerError",
    }
)  # fmt: skip
# What events say of a pod that gets no sandbox (a network, and a process of the pause image), and of one that has it.
_NO_SANDBOX, _PAST_SANDBOX = "FailedCreatePodSandBox", frozenset({"Pulling", "Pulled", "Created", "Started"})
_RPC = re.compile(r"^Failed to create pod sandbox: |rpc error: code = \w+ desc = ")
_NO_TLS = re.compile(r"first record does not look like a TLS handshake|server gave HTTP response to HTTPS client")
_REGISTRY = re.compile(r'image "([^/"]+)/')
_PODS_ASKED = 2
_LOG_LINES = 8
_LOG_BYTES = 8000
_NO_LOG = "unable to retrieve container logs"  # the kubelet's words in the place of a log that docker has cleared away

Pod = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """How pods are doing that are not ready: how often their containers have ended, and whether waiting helps.

    `exits` counts from each container's first start, by the pod's uid and the container's name. `in_vain` says that
    every one of the pods waits for what will hardly come, or that there are none. `advice` says how containers ended,
    and what to change.
    """

    exits: Mapping[tuple[str, str], int]
    in_vain: bool
    advice: tuple[str, ...] = ()


def ready(pod: Pod) -> bool:
    """Whether a pod, or a node, says that it is ready."""
    return any(item.get("status") == "True" for item in _conditions(pod, "Ready"))


def standing(pods: Sequence[Pod]) -> Standing:
    """What their statuses say of waiting for them."""
    exits = {(_uid(pod), name): count for pod in pods for name, count in _exits(pod)}
    return Standing(exits, all(_in_vain(pod) for pod in pods), advice(pod for pod in pods if not ready(pod)))


def ended_since(first: Standing, now: Standing) -> int:
    """How often every pod has ended at least since `first` was seen; what was not there then has no past."""
    by_pod: dict[str, int] = {}
    for (pod, container), count in now.exits.items():
        by_pod[pod] = max(by_pod.get(pod, 0), count - first.exits.get((pod, container), 0))
    return min(by_pod.values(), default=0)


def words(pod: Pod) -> str:
    """Why a pod is not ready, in one line: what its containers wait for or ended with, or else its phase."""
    status = _status(pod)
    phase = "being deleted" if "deletionTimestamp" in _part(pod, "metadata") else status.get("phase", "Unknown")
    said = [text for item in _containers(pod) for text in _ended(item)]
    unready = [str(item.get("message") or "") for item in _conditions(pod) if item.get("status") == "False"]
    told = "; ".join(dict.fromkeys(filter(None, [*said, *unready]))) or "not ready yet"
    return " ".join(f"pod {_name(pod)}{_where(pod)} is {phase}: {told}".split())


def questions(url: str, pods: Sequence[Pod]) -> tuple[str, ...]:
    """What to ask of the API for the pods' own words: their logs, or where there are no pods, why none can be made.

    Args:
        url: that of their list.
        pods: what it answered.
    """
    base = url.partition("/pods?")[0]
    unready = [pod for pod in pods if not ready(pod)]
    if not unready:
        return () if pods else (f"{base}/events?fieldSelector=reason%3DFailedCreate",)
    return tuple(_log(base, pod, item) for pod in unready[:_PODS_ASKED] for item in _containers(pod) if _logged(item))


def creation_questions(url: str, pods: Sequence[Pod]) -> tuple[str, ...]:
    """What to ask of the API for why pods are not created; nothing if one of the pods may yet run without that."""
    creating = [pod for pod in pods if _creating(pod)]
    if not all(_creating(pod) or _in_vain(pod) for pod in pods):
        return ()
    base = url.partition("/pods?")[0]
    uids = (quote(_uid(pod), errors="replace") for pod in creating[:_PODS_ASKED])
    return tuple(f"{base}/events?fieldSelector=involvedObject.uid%3D{uid}" for uid in uids)


def not_created(texts: Sequence[str]) -> tuple[str, ...]:
    """Why pods cannot be created, by what `creation_questions` got: the node, the pod and the error; then what to do.

    Nothing where one of the pods has no such event, or has come further since.
    """
    found: list[str] = []
    for text in texts:
        events = [item for item in json_object(text).get("items") or () if isinstance(item, dict)]
        failed = [item for item in events if item.get("reason") == _NO_SANDBOX]
        if not failed or any(item.get("reason") in _PAST_SANDBOX for item in events):
            return ()
        found.append(_sandbox_words(failed[-1]))
    hints = (_without_tls(words) for words in found)
    return tuple(dict.fromkeys(filter(None, [*found, *hints])))


def _sandbox_words(event: Mapping[str, Any]) -> str:
    node, name = _part(event, "source").get("host"), _part(event, "involvedObject").get("name")
    message = _RPC.sub("", str(event.get("message") or _NO_SANDBOX))
    return " ".join(f"{node} cannot start pod {name}: {message}".split())


def _without_tls(words: str) -> str:
    registry = _REGISTRY.search(words)
    if not registry or not _NO_TLS.search(words):
        return ""
    setting = f'host_settings: {{docker: {{insecure_registries: ["{registry[1]}"]}}}}'
    return f"{HINT}the registry does not use TLS; if that is intended, set {setting}"


def _creating(pod: Pod) -> bool:
    return any(_part(_state(item), "waiting").get("reason") == "ContainerCreating" for item in _containers(pod))


def answers(texts: Sequence[str], most: int) -> list[str]:
    """The last words in what `questions` got, a line each; nothing of an answer that says no more than no.

    Where that is more than `most` lines, each has its share of them: why a program ended is the last that it says.
    """
    lines: dict[str, None] = {}
    share = min(_LOG_LINES, max(1, most // max(len(texts), 1)))
    for text in texts:
        found = json_object(text)
        if isinstance(found.get("items"), list):
            events = [item for item in found["items"] if isinstance(item, dict)]
            lines |= dict.fromkeys(str(item.get("message") or "") for item in events)
        elif found.get("kind") != "Status":
            lines |= dict.fromkeys([line for line in text.splitlines() if line.strip()][-share:])
    said = [clipped(line) for line in lines if line.strip() and not line.startswith(_NO_LOG)]
    return said[:most]


def _log(base: str, pod: Pod, container: Mapping[str, Any]) -> str:
    # of one that does not run now the kubelet gives the last that it has; the one before may be gone already
    previous = "&previous=true" if _number(container, "restartCount") and "running" in _state(container) else ""
    name = quote(str(container.get("name")), errors="replace")
    asked = f"container={name}&tailLines={_LOG_LINES}&limitBytes={_LOG_BYTES}{previous}"
    return f"{base}/pods/{quote(_name(pod), errors='replace')}/log?{asked}"


def _logged(container: Mapping[str, Any]) -> bool:
    return not container.get("ready") and bool(_number(container, "restartCount") or "waiting" not in _state(container))


def _in_vain(pod: Pod) -> bool:
    reasons = {str(_part(_state(item), "waiting").get("reason")) for item in _containers(pod)}
    unscheduled = any(item.get("status") == "False" for item in _conditions(pod, "PodScheduled"))
    return unscheduled or bool(reasons & _IN_VAIN)


def _exits(pod: Pod) -> Iterator[tuple[str, int]]:
    """How often each container of a pod has ended; the pod itself, which has no name here, never has."""
    yield "", 0
    for item in _containers(pod):
        over = "running" not in _state(item) and _part(_part(item, "lastState"), "terminated")
        ended = bool(over or "terminated" in _state(item))
        yield str(item.get("name")), _number(item, "restartCount") + ended


def _ended(container: Mapping[str, Any]) -> Iterator[str]:
    for state in _state(container).values():
        reason = ": ".join(
            str(state[key]) for key in ("reason", "message") if isinstance(state, dict) and state.get(key)
        )
        if reason:
            yield reason
    last = _part(_part(container, "lastState"), "terminated")
    if last:
        code, times = last.get("exitCode"), _number(container, "restartCount")
        yield f"it exited with code {code}, and was restarted {times} time{'s' * (times != 1)}"


def _containers(pod: Pod) -> list[Mapping[str, Any]]:
    status = _status(pod)
    lists = [status.get("initContainerStatuses"), status.get("containerStatuses")]
    return [item for found in lists if isinstance(found, list) for item in found if isinstance(item, dict)]


def _conditions(pod: Pod, kind: str = "") -> Iterator[Mapping[str, Any]]:
    found = _status(pod).get("conditions")
    for item in found if isinstance(found, list) else ():
        if isinstance(item, dict) and kind in ("", item.get("type")):
            yield item


def _status(pod: Pod) -> Mapping[str, Any]:
    return _part(pod, "status")


def _state(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return _part(container, "state")


def _part(item: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = item.get(key)
    return found if isinstance(found, dict) else {}


def _number(item: Mapping[str, Any], key: str) -> int:
    found = item.get(key)
    return found if isinstance(found, int) else 0


def _uid(pod: Pod) -> str:
    return str(_part(pod, "metadata").get("uid"))


def _name(pod: Pod) -> str:
    return str(_part(pod, "metadata").get("name"))


def _where(pod: Pod) -> str:
    node = _part(pod, "spec").get("nodeName")
    return f" on {node}" if node else ""
