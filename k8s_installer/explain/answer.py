"""From a topic to what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from k8s_installer.errors import InputError
from k8s_installer.explain import components, concepts, files, hosts, kubeadm, order, settings
from k8s_installer.explain.known import Known
from k8s_installer.explain.texts import Texts
from k8s_installer.explain.topics import KUBEADM, Sort, Topic, find, flag_names, owners, topics
from k8s_installer.profiles import Profile

Found = (
    tuple[Topic, ...]
    | tuple[settings.Setting, ...]
    | tuple[order.Step, ...]
    | tuple[kubeadm.Beside, ...]
    | components.Component
    | concepts.Concept
    | files.ExplainedFile
    | hosts.ExplainedHost
)


@dataclass(frozen=True, slots=True)
class Explained:
    """What was found. Without a `topic` it is the list of all topics; without a `cluster` there was no inventory."""

    topic: Topic | None
    found: Found
    version: str
    cluster: str = ""


def answer(words: Sequence[str], texts: Texts, profile: Profile, known: Known | None) -> Explained:
    """Explain a topic, or list them all if no words are given.

    Args:
        words: NAME, or SORT NAME; see `topics.find`.
        texts: the explanations.
        profile: that of the cluster's version, or of the newest.
        known: the cluster; without it there is only what is true of every cluster.

    Raises:
        InputError: nothing has this name, or it means nothing without a cluster.
    """
    everything = topics(texts, profile, known)
    version, name = (profile.version, "") if known is None else (known.cluster.version, known.cluster.name)
    if not words:
        return Explained(None, everything, version, name)
    topic = find(words, everything, flag_names(profile))
    return Explained(topic, _found(topic, texts, profile, known), version, name)


def _found(topic: Topic, texts: Texts, profile: Profile, known: Known | None) -> Found:
    if topic.sort is Sort.CONCEPT:
        return concepts.explained(texts.concepts[topic.name], topic.name, known)
    if topic.sort is Sort.GUIDE and topic.name == KUBEADM:
        return kubeadm.beside(texts, known)
    return _anywhere(topic, texts, profile) if known is None else _of_cluster(topic, known)


def _anywhere(topic: Topic, texts: Texts, profile: Profile) -> Found:
    if topic.sort is Sort.COMPONENT:
        return components.general(texts, profile, topic.name)
    if topic.sort is Sort.FLAG:
        of = owners(profile, topic.name)
        return tuple(settings.general(profile, texts, one, topic.name, is_key=is_key) for one, is_key in of)
    raise InputError(f"{topic.name} depends on the cluster", hint="give its inventory: -i cluster.yaml")


def _of_cluster(topic: Topic, known: Known) -> Found:
    match topic.sort:
        case Sort.COMPONENT:
            return components.of_cluster(known, topic.name)
        case Sort.FLAG:
            of = owners(known.profile, topic.name)
            return tuple(settings.setting(known, one, topic.name, is_key=is_key) for one, is_key in of)
        case Sort.HOST:
            return hosts.explained(known, topic.name)
        case Sort.FILE:
            return files.explained(known, topic.name)
        case _:
            return tuple(order.order(known))
