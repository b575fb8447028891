"""From which version to which: what an upgrade must not skip, go back to or leave behind. Pure.

What counts is what hosts run. Which steps a version supports is data: `upgrades_from` and `removed_apis` of its
profile, `skew` of its kubelet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from k8s_installer.errors import InstallerError
from k8s_installer.host.versions import Answer, ApiObject
from k8s_installer.inventory import Cluster, Role
from k8s_installer.model.plan import REPLACED, Action, Plan
from k8s_installer.model.resources import Kind, Missing, Package, Ref, Seen, UploadedFile
from k8s_installer.planning.leaving import API, KUBELET
from k8s_installer.profiles import Profile
from k8s_installer.profiles.schema import RemovedApi

_NEW = REPLACED | {Action.INSTALL, Action.CREATE, Action.UPDATE}
_NAMED = 5  # hosts or objects that a message names; the rest is counted
_NOTHING = "nothing was changed"

Minor = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What a plan does to versions: the hosts that get another API server or kubelet, and what runs before it."""

    to: str
    masters: frozenset[str]
    nodes: frozenset[str]
    apiservers: Mapping[str, str]
    kubelets: Mapping[str, str]

    @property
    def changes_minor(self) -> bool:
        """Whether API servers of another minor version come."""
        return bool(self.masters) and any(minor(version) != minor(self.to) for version in self.apiservers.values())


def minor(version: str) -> Minor:
    """What a version is upgraded by: its first two numbers."""
    return tuple(int(part) for part in version.split(".")[:2])


def replaced(plan: Plan, component: str) -> frozenset[str]:
    """The hosts that get other programs of a component, or get them for the first time."""
    return frozenset(
        change.ref.host
        for change in plan.changes
        if change.component == component
        and change.action in _NEW
        and (isinstance(change.after, UploadedFile) or (isinstance(change.after, Package) and change.after.version))
    )


def asked(cluster: Cluster, seen: Mapping[Ref, Seen], plan: Plan) -> tuple[str, ...]:
    """The masters that say what runs: those that may have an API server; none where a plan replaces no programs."""
    if not (replaced(plan, API) or replaced(plan, KUBELET)):
        return ()
    masters = (host.name for host in cluster.having(Role.MASTER))
    return tuple(name for name in masters if seen.get(Ref(name, Kind.UNIT, API)) is not Missing.ABSENT)


def step(to: str, plan: Plan, found: Mapping[str, Answer]) -> Step:
    """What a plan does, with what masters have said.

    Args:
        to: the version that is wanted.
        plan: the changes.
        found: the answers by master.
    """
    kubelets: dict[str, str] = {}
    for answer in found.values():
        kubelets |= answer.kubelets
    apiservers = {master: answer.apiserver for master, answer in found.items() if answer.apiserver}
    return Step(to, replaced(plan, API), replaced(plan, KUBELET), apiservers, kubelets)


def require_step(step: Step, profile: Profile) -> None:
    """Stop where a version cannot be reached from what runs.

    Raises:
        InstallerError: it is an older minor version, skips one, or leaves a kubelet too far from an API server.
    """
    to = minor(step.to)
    if step.masters:
        _require_no_way_back(step, to)
        _require_no_leap(step, to, profile)
        _require_young_kubelets(step, to, profile)
    stay = {name: version for name, version in step.apiservers.items() if name not in step.masters}
    older = {name: version for name, version in stay.items() if minor(version) < to}
    if step.nodes and older:
        raise InstallerError(
            f"kubelets of Kubernetes {step.to} on {_some(sorted(step.nodes))} would be newer than the API server of "
            f"{_versions(older)}; {_NOTHING}",
            hint="masters come first: let --limit include them and --only kube-apiserver, or leave both out",
        )


def _require_no_way_back(step: Step, to: Minor) -> None:
    newer = {name: version for name, version in step.apiservers.items() if minor(version) > to}
    if newer:
        raise InstallerError(
            f"version {step.to} is older than what runs: {_versions(newer)}; {_NOTHING}",
            hint="an older minor version may not be able to read what a newer one has stored in etcd\n"
            f'keep the cluster as it is: version: "{next(iter(newer.values()))}" in the inventory',
        )


def _require_no_leap(step: Step, to: Minor, profile: Profile) -> None:
    known = {to, *map(minor, profile.upgrades_from)}
    others = {name: version for name, version in step.apiservers.items() if minor(version) not in known}
    if others:
        raise InstallerError(
            f"version {step.to} cannot be reached from what runs: {_versions(others)}; {_NOTHING}",
            hint=f"Kubernetes {_text(to)} upgrades from {' or '.join([*profile.upgrades_from, _text(to)])}: set these "
            "versions in the inventory one after the other, and apply each; a version without a profile needs one "
            "(docs/adding-a-version.md)\n"
            "or install a new cluster of that version, and move the workloads",
        )


def _require_young_kubelets(step: Step, to: Minor, profile: Profile) -> None:
    skew = profile.components[KUBELET].skew if KUBELET in profile.components else None
    oldest = (*to[:-1], to[-1] - skew) if skew is not None else ()
    old = {name: version for name, version in step.kubelets.items() if minor(version) < oldest}
    if old:
        raise InstallerError(
            f"an API server of Kubernetes {step.to} works with kubelets from {_text(oldest)} on, and these are older: "
            f"{_versions(old)}; {_NOTHING}",
            hint="upgrade these nodes to the version that the masters run now, or remove them, before the masters "
            "get another one",
        )


def require_apis(to: str, removed: Iterable[RemovedApi], found: Iterable[ApiObject]) -> None:
    """Stop where objects use an API that the new version does not have.

    Args:
        to: the version that is wanted.
        removed: the APIs that it does not have.
        found: the objects of these in the cluster.

    Raises:
        InstallerError: there are some; it names them.
    """
    objects = tuple(found)
    lines = [line for api in removed for line in _in_use(api, objects)]
    if lines:
        raise InstallerError(
            "\n".join([f"objects in the cluster use APIs that Kubernetes {to} does not have; {_NOTHING}:", *lines]),
            hint="apply manifests with the new API, or delete the objects; then try again",
        )


def _in_use(removed: RemovedApi, objects: Collection[ApiObject]) -> Iterator[str]:
    for resource, kind in removed.kinds.items():
        names = [
            one.name
            for one in objects
            if (one.api, one.resource) == (removed.api, resource) and (one.applied or not removed.moved_to)
        ]
        if names:
            use = f"use {removed.moved_to}" if removed.moved_to else "there is no such kind any more"
            yield f"  {kind} of {removed.api}: {_some(names)} ({use})"


def _text(version: Minor) -> str:
    return ".".join(map(str, version))


def _versions(found: Mapping[str, str]) -> str:
    return _some([f"{name} ({version})" for name, version in found.items()])


def _some(names: Collection[str]) -> str:
    first = list(names)[:_NAMED]
    return ", ".join([*first, *([f"{len(names) - _NAMED} more"] if len(names) > _NAMED else [])])
