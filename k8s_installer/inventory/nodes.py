"""Labels, annotations and taints of nodes: what the API accepts, checked as it does, before any host is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from k8s_installer.inventory.cluster import NodeSettings, Origin, Role, Taint

if TYPE_CHECKING:
    from k8s_installer.errors import Finding
    from k8s_installer.inventory.schema import HostModel, InventoryModel, NodesModel

NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_PREFIX = 253
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
LARGEST_ANNOTATION = 96 * 1024  # bytes of one value in JSON: kubectl gets it as an argument; Linux allows 128 KiB
_ESCAPED = 5  # bytes that JSON needs more for a control character, a line break among them
LARGEST_ANNOTATIONS = 256 * 1024  # bytes of all of a node's, as the API counts them: keys and values

# The programs of the cluster set these, and set them again.
_KUBELETS = frozenset(
    {"kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os",
     "beta.kubernetes.io/arch"}
)  # fmt: skip
_CONDITIONS = frozenset(
    f"node.kubernetes.io/{name}"
    for name in (
        "not-ready", "unreachable", "unschedulable", "memory-pressure", "disk-pressure", "pid-pressure",
        "network-unavailable",
    )
)  # fmt: skip
_CONTROLLERS = frozenset({"node.alpha.kubernetes.io/ttl", "volumes.kubernetes.io/controller-managed-attach-detach"})
_TAINTS = "scheduler.alpha.kubernetes.io/taints"


def key(text: str) -> str:
    """The key of a label, an annotation or a taint: NAME or PREFIX/NAME.

    Raises:
        ValueError: the API would reject it.
    """
    prefix, slash, name = text.rpartition("/")
    if slash and (len(prefix) > _LONGEST_PREFIX or not PREFIX.fullmatch(prefix)):
        raise ValueError(f"has a prefix that is no DNS name: {prefix!r}; keys are NAME or example.com/NAME")
    if not NAME.fullmatch(name):
        raise ValueError(
            "is not a key: use at most 63 letters, digits, '-', '_' and '.', starting and ending with a letter or digit"
        )
    return text


def label_key(text: str) -> str:
    """The key of a label that is not a program's own."""
    if text in _KUBELETS:
        raise ValueError("is a label that each kubelet sets itself")
    return key(text)


def annotation_key(text: str) -> str:
    """The key of an annotation that is not a program's own."""
    if text == _TAINTS:
        raise ValueError("has the taints of Kubernetes 1.5: use `taints`, which sets them in every version")
    if text in _CONTROLLERS:
        raise ValueError("is an annotation that the cluster's programs set themselves")
    return key(text)


def text(value: object) -> object:
    """A text or null; what YAML reads as something else needs quotes."""
    if isinstance(value, bool | int | float):
        word = str(value).lower() if isinstance(value, bool) else value
        raise ValueError(f'must be quoted: write "{word}" with the quotes, or YAML reads it as a different type')  # noqa: TRY004 - pydantic's way
    return value


def label(value: str) -> str:
    """The value of a label or a taint.

    Raises:
        ValueError: the API would reject it.
    """
    if value and not NAME.fullmatch(value):
        raise ValueError(
            "must be empty or at most 63 letters, digits, '-', '_' and '.', starting and ending with a letter or digit"
        )
    return value


def annotation(value: str) -> str:
    """The value of an annotation: any text.

    Raises:
        ValueError: it is too large for kubectl, or no Unicode text.
    """
    in_json = len(value.encode(errors="surrogatepass")) + sum(value.count(letter) for letter in '"\\')
    if in_json + _ESCAPED * sum(letter < " " for letter in value) > LARGEST_ANNOTATION:
        raise ValueError(f"is larger than {LARGEST_ANNOTATION >> 10} KiB in JSON")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("has a character that an annotation cannot contain")
    return value


def taint(value: object) -> Taint:
    """`key=value:Effect` or `key:Effect`, as kubectl takes it.

    Raises:
        ValueError: the API would reject it.
    """
    if not isinstance(value, str):
        raise ValueError("must be text such as dedicated=db:NoSchedule")  # noqa: TRY004 - pydantic's way
    words, colon, effect = value.rpartition(":")
    if not colon or effect not in EFFECTS:
        raise ValueError(f"must end with an effect: {', '.join(f':{one}' for one in EFFECTS[:-1])} or :{EFFECTS[-1]}")
    name, _, rest = words.partition("=")
    if name in _CONDITIONS:
        raise ValueError(f"is a taint that the controller-manager sets and removes itself: {name}")
    try:
        return Taint(key(name), label(rest), effect)
    except ValueError as error:
        what = "key" if _wrong_key(name) else "value"
        raise ValueError(f"has a wrong {what}: {name if what == 'key' else rest!r} {error}") from None


def _wrong_key(name: str) -> bool:
    try:
        key(name)
    except ValueError:
        return True
    return False


def settings(shared: NodesModel, host: HostModel) -> NodeSettings:
    """What is wanted of one node: of all nodes, with its own over that. A null removes; a list replaces."""
    if Role.NODE not in host.roles:
        return NodeSettings()
    return NodeSettings(
        labels=_merged(shared.labels, host.labels),
        annotations=_merged(shared.annotations, host.annotations),
        taints=tuple(shared.taints or () if host.taints is None else host.taints),
    )


def _merged(shared: Mapping[str, str | None], own: Mapping[str, str | None]) -> Mapping[str, str]:
    return {name: value for name, value in {**shared, **own}.items() if value is not None}


def findings(model: InventoryModel, origin: Origin) -> Iterator[Finding]:
    """Settings of nodes for hosts that are none, taints that the API takes for one, and too many annotations."""
    yield from _twice(("nodes", "taints"), model.nodes.taints or [], origin)
    for name, host in model.hosts.items():
        said = [word for word in ("labels", "annotations", "taints") if getattr(host, word)]
        if said and Role.NODE not in host.roles:
            message = f"host {name} has {' and '.join(said)} but is not a node"
            yield origin.finding(("hosts", name, said[0]), message, "give it the role node, or leave them out")
        yield from _twice(("hosts", name, "taints"), host.taints or [], origin)
        wanted = settings(model.nodes, host).annotations
        if sum(len(key) + len(value.encode()) for key, value in wanted.items()) > LARGEST_ANNOTATIONS:
            message = f"host {name}: its annotations are larger than {LARGEST_ANNOTATIONS >> 10} KiB in all"
            yield origin.finding(("hosts", name, "annotations"), message)


def _twice(path: tuple[str, ...], taints: list[Taint], origin: Origin) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for one in taints:
        if (one.key, one.effect) in seen:
            message = f"two taints have the key {one.key} and the effect {one.effect}, and the API rejects both"
            yield origin.finding(path, message, "keep one of them")
        seen.add((one.key, one.effect))
