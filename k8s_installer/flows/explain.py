"""`explain`: what a component, word, flag, file or host is, and what this cluster has of it. No host is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from k8s_installer import profiles
from k8s_installer.explain import texts
from k8s_installer.explain.answer import Explained, answer
from k8s_installer.explain.known import Known
from k8s_installer.flows import resolve


def explain(words: Sequence[str], inventory: Path | None, templates: Path | None) -> Explained:
    """Explain a topic, or list them all if no words are given.

    Args:
        words: NAME, or SORT NAME; see `topics.find`.
        inventory: the cluster; without it only what is true of every cluster.
        templates: a folder whose templates come before the packaged ones.

    Raises:
        InputError: the inventory is wrong, or nothing has this name.
    """
    said = texts.load()
    if inventory is None:
        return answer(words, said, profiles.load(profiles.available()[-1]), None)
    known = known_of(inventory, templates, said)
    return answer(words, said, known.profile, known)


def known_of(inventory: Path, templates: Path | None, said: texts.Texts) -> Known:
    """An inventory's cluster as explanations need it, with placeholders for keys. No host is asked."""
    wanted = resolve.resolve(inventory, templates, None)
    parts = profiles.parts_of(wanted.inventory)
    return Known.of(wanted.inventory, wanted.profile, wanted.whole, wanted.keys, wanted.given.allocations, parts, said)
