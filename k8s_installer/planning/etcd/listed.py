"""What running members say of their etcd: the list of its members, as `host.etcd` asks for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from k8s_installer.errors import InstallerError
from k8s_installer.host.etcd import LEARNERS
from k8s_installer.untrusted import answers

GUIDE = "docs/etcd.md"


@dataclass(frozen=True, slots=True)
class Listed:
    """A member in etcd's own list; one that has never started has no name. `id` is in decimal digits."""

    id: str
    name: str
    urls: tuple[str, ...]
    learner: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """An etcd as its own members report it: who is in the list, and whether a member can join as a learner."""

    members: tuple[Listed, ...]
    learners: bool


@dataclass(frozen=True, slots=True)
class _Answer:
    cluster: str
    index: int  # of the log, as far as this member has it
    view: View


def view(said: Mapping[str, str]) -> View | None:
    """What the members report together: the list of the one that has the most of the log.

    Args:
        said: by host, what it answered (`host.etcd`).

    Returns:
        None where no member lists any: etcd does not run, or these are learners.

    Raises:
        InstallerError: they are in separate clusters.
    """
    found = {host: answer for host, text in said.items() if (answer := _read(text)).view.members}
    clusters = {answer.cluster: host for host, answer in found.items()}
    if len(clusters) > 1:
        raise InstallerError(
            f"etcd runs in {len(clusters)} separate clusters, on {_listed(clusters.values())} and others: "
            "members of one are not in the list of the other; nothing was changed",
            hint=f"decide which one has the data that counts, and add the other members to it by hand: {GUIDE}",
        )
    return max(found.values(), key=lambda answer: answer.index).view if found else None


def lists(said: str) -> bool:
    """Whether who answered this lists the members; a learner does not."""
    return bool(_read(said).view.members)


def _read(text: str) -> _Answer:
    api, _, rest = text.partition("|")
    members, _, status = rest.partition("|{")
    listed, reported = answers.json_object(members), answers.json_object("{" + status)
    index = answers.text(reported.get("raftIndex"))
    return _Answer(
        answers.text(answers.at(listed, "header").get("cluster_id")),
        int(index) if index.isascii() and index.isdigit() and len(index) < 20 else 0,  # noqa: PLR2004 - 64 bits
        View(tuple(map(_member, answers.objects(listed.get("members")))), learners=api == LEARNERS),
    )


def _member(item: answers.Json) -> Listed:
    # those of a cluster's first start have names from the beginning, and URLs for clients only when they have started
    started = bool(answers.texts(item.get("clientURLs")))
    return Listed(
        answers.text(item.get("ID")),
        answers.text(item.get("name")) if started else "",
        tuple(sorted(answers.texts(item.get("peerURLs")))),
        item.get("isLearner") is True,
    )


def _listed(items: Iterable[str]) -> str:
    return ", ".join(sorted(items))
