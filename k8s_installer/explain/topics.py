"""What can be explained, and which of it a word means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from k8s_installer.errors import InputError, did_you_mean, listed
from k8s_installer.explain.known import Known
from k8s_installer.explain.settings import flat
from k8s_installer.explain.texts import Text, Texts
from k8s_installer.model.resources import File, Kind
from k8s_installer.profiles import Profile

_NAMED = 4  # hosts that a line of the list has


class Sort(StrEnum):
    """The sorts of topics; a word of these in front of a name says which one is meant."""

    COMPONENT = "component"
    CONCEPT = "concept"
    HOST = "host"
    FILE = "file"
    FLAG = "flag"
    GUIDE = "guide"


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that can be explained; `here` is what the cluster has of it, empty if nothing is known of that."""

    sort: Sort
    name: str
    summary: str = ""
    aliases: tuple[str, ...] = ()
    here: str = ""


ORDER, KUBEADM = "order", "kubeadm"
_GUIDES = (
    Topic(Sort.GUIDE, ORDER, "why services start in this order"),
    Topic(Sort.GUIDE, KUBEADM, "this method beside kubeadm, step by step"),
)


def topics(texts: Texts, profile: Profile, known: Known | None) -> tuple[Topic, ...]:
    """All topics but flags: guides, components, concepts, and of a cluster its hosts and files.

    Args:
        texts: the explanations.
        profile: that of the cluster's version, or of the newest without one.
        known: the cluster; None without an inventory.
    """
    found = [*_GUIDES, *_components(texts, profile, known)]
    found += [_topic(Sort.CONCEPT, name, text) for name, text in texts.concepts.items()]
    if known is not None:
        found += [
            Topic(Sort.HOST, host.name, ", ".join(sorted(host.roles)), here=host.address)
            for host in known.cluster.hosts
        ]
        found += _files(known)
    return tuple(found)


def flag_names(profile: Profile) -> tuple[str, ...]:
    """Every flag that a component's programs accept, and every key of their configuration files."""
    names: dict[str, None] = {}
    for component in profile.components:
        names |= dict.fromkeys(profile.accepted(component))
        names |= dict.fromkeys(_keys(profile, component))
    return tuple(names)


def owners(profile: Profile, name: str) -> list[tuple[str, bool]]:
    """The components that have a flag, or a key, of this name; with each, whether it is a key."""
    flags = [(component, False) for component in profile.components if name in profile.accepted(component)]
    return flags + [(component, True) for component in profile.components if name in _keys(profile, component)]


def find(words: Sequence[str], everything: Sequence[Topic], flags: Sequence[str]) -> Topic:
    """The topic that words mean: NAME, or SORT NAME where several topics have that name.

    Args:
        words: as they were typed.
        everything: what `topics` gives.
        flags: what `flag_names` gives.

    Raises:
        InputError: nothing has this name; the hint is what may have been meant.
    """
    name = words[-1]
    named = len(words) == 2 and words[0] in list(Sort)  # noqa: PLR2004 - SORT NAME
    if len(words) > 1 and not named:
        raise InputError(
            f"explain takes one topic, or two words such as `host m1`; this is neither: {' '.join(words)}",
            hint=f"the sorts of topics are {', '.join(Sort)}",
        )
    sorts = [Sort(words[0])] if named else list(Sort)
    bare = name.lstrip("-").partition("=")[0]
    if not name.startswith("-"):
        for topic in everything:
            if topic.sort in sorts and name.lower() in (topic.name.lower(), *topic.aliases):
                return topic
    if Sort.FLAG in sorts and bare in flags:
        return Topic(Sort.FLAG, bare)
    raise InputError(
        f"nothing to explain is called {name}",
        hint=_hint(name, bare, [one for one in everything if one.sort in sorts], flags),
    )


def _hint(name: str, bare: str, everything: Iterable[Topic], flags: Sequence[str]) -> str:
    words = [one for topic in everything for one in (topic.name, *topic.aliases)]
    near = did_you_mean(name.lower(), words) if not name.startswith("-") else ""
    flag = "" if near else did_you_mean(bare, flags)
    if not near and not flag and {topic.sort for topic in everything} == {Sort.HOST}:
        return f"the inventory has {', '.join(words)}"
    return near or flag or "k8s-installer explain lists what there is; files and hosts need -i INVENTORY"


def _components(texts: Texts, profile: Profile, known: Known | None) -> Iterator[Topic]:
    for name in dict.fromkeys([*profile.components, *texts.components]):
        text = texts.components.get(name)
        spec = profile.components.get(name)
        summary = text.summary if text else spec.why if spec else ""
        here = ""
        if known is not None:
            hosts = [host.name for host in known.hosts(name)]
            here = f"on {listed(hosts, _NAMED)}" if hosts else "not in this cluster"
        yield Topic(Sort.COMPONENT, name, summary, text.aliases if text else (), here)


def _topic(sort: Sort, name: str, text: Text) -> Topic:
    return Topic(sort, name, text.summary, text.aliases)


def _files(known: Known) -> Iterator[Topic]:
    paths: dict[str, list[str]] = {}
    why: dict[str, str] = {}
    for ref, item in known.desired.items():
        if ref.kind is Kind.FILE and isinstance(item.resource, File):
            paths.setdefault(ref.name, []).append(ref.host)
            why.setdefault(ref.name, item.because)
    yield from (
        Topic(Sort.FILE, path, why[path], here=f"on {listed(hosts, _NAMED)}") for path, hosts in sorted(paths.items())
    )


def _keys(profile: Profile, component: str) -> set[str]:
    schema = profile.config_schemas.get(component)
    return {*(".".join(path) for path, _ in flat(schema.keys)), *schema.values} if schema else set()
