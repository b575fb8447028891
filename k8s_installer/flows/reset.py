"""`reset`: an `apply` that wants nothing of hosts, so that what was placed on them leaves."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from k8s_installer.engine.lock import LockOutOfReach
from k8s_installer.errors import InputError
from k8s_installer.flows.apply import Options, apply
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.plan import Planned
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import RECORD, Resolved, pki_folder, state_folder
from k8s_installer.flows.session import opened
from k8s_installer.inventory import Host, Role
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import Kind, Missing, Ref, Seen, SeenLeftovers
from k8s_installer.planning import needed, records
from k8s_installer.planning.leaving import KUBELET
from k8s_installer.planning.select import chosen


def reset(options: Options, reporter: Reporter, *, host: str = "", name: str = "", data: bool = False) -> Outcome:
    """Remove everything that this program placed on the hosts of a cluster, and nothing else.

    Args:
        options: what the user asked for; a part is chosen by `host`.
        reporter: whom to tell.
        host: names of hosts, divided by commas; all where this is empty.
        name: the cluster's name, as the user gave it for consent; a person is asked for it where this is empty.
        data: whether data that cannot be made again goes, too, and where all hosts are reset, the cluster's keys.

    Raises:
        InputError: the name is not the cluster's, or there is no such host.
        InstallerError: a host does not answer, or too few masters for the lock, and none is to be skipped.
    """
    was: list[Resolved] = []

    def nothing(whole: Resolved) -> Resolved:
        cluster = whole.inventory
        if name and name != cluster.name:
            raise InputError(f"--name {name}: the inventory is that of the cluster {cluster.name}")
        was[:] = [whole]
        return _emptied(whole, host, data=data)

    def consent(reporter: Reporter, wanted: Resolved) -> bool:
        cluster = wanted.cluster.name
        return reporter.ask(f"Type the name of the cluster ({cluster}) to remove all this: ").strip() == cluster

    def closing(found: Planned) -> tuple[str, ...]:
        inventory = options.inputs.inventory
        data_lines = _data_stays(found, inventory, whole=not host)
        return (*data_lines, *_stays(found, whole=not host), _next(found.wanted, inventory, whole=not host))

    try:
        outcome = apply(options, reporter, nothing, consent, closing)
    except LockOutOfReach as error:
        error.hint += "\n--skip-unreachable resets the hosts that answer, without the lock on those masters"
        raise
    if outcome is Outcome.DONE and data and not host:
        _remove_keys(options, reporter, was[0])
    return outcome


def _emptied(whole: Resolved, names: str, *, data: bool) -> Resolved:
    """Nothing is wanted of these hosts, or of all; a master that stays deletes their Node objects.

    Raises:
        InputError: there is no such host.
    """
    cluster, part = whole.inventory, whole.cluster
    if names:
        known = chosen("--host", names, [one.name for one in cluster.everyone])
        part = replace(part, hosts=tuple(one for one in cluster.everyone if one.name in known), leaving=())
    gone = {one.name for one in part.everyone}
    stay = [one for one in cluster.hosts if one.name not in gone]
    beside = {item.ref: item for item in (records.question(one.name) for one in stay if Role.MASTER in one.roles)}
    if stay:
        beside |= needed.evidence(whole.whole, gone)
    nothing: Desired = {}  # one value: what differs from the whole is taken for a part
    return replace(
        whole,
        cluster=part,
        desired=nothing,
        whole=nothing,
        evidence={},
        roots={},
        beside=beside,
        resets=True,
        data=data,
        keys_to_delete="" if names or not data else str(pki_folder(cluster)),
    )


def _data_stays(found: Planned, inventory: Path, *, whole: bool) -> Iterator[str]:
    """Where data stays, and how it is removed: a line for each component, or for each way."""
    wanted, seen = found.wanted, found.seen.seen
    members = {(ref.host, item.component) for ref, item in wanted.beside.items() if ref.kind is Kind.DATA}
    having: dict[tuple[str, str, str], list[str]] = {}
    for ref, left in seen.items():
        if isinstance(left, SeenLeftovers) and left.stays:
            way = "before" if not _claims_data(ref, seen) else "member" if (ref.host, ref.name) in members else "reset"
            having.setdefault((ref.name, " ".join(left.stays), way), []).append(ref.host)
    for (name, folders, way), hosts in having.items():
        where = ", ".join(hosts)
        stays = f"{name}'s data stays on {where} ({folders})"
        part = () if whole else ("--host", ",".join(hosts))
        keys = " and the cluster's keys on this machine" if whole else ""
        reset_data = shlex.join(["k8s-installer", "reset", "-i", str(inventory), *part, "--data"])
        yield {
            "before": f"{stays}: it was there before.",
            "member": f"{stays}, with the users that it belongs to. Remove {where} from the members of {name} first "
            "(docs/etcd.md), then the folder there by hand.",
            "reset": f"{stays}, with the users that it belongs to. To remove it{keys}: {reset_data}",
        }[way]


def _claims_data(left: Ref, seen: Mapping[Ref, Seen]) -> bool:
    """Whether the host's record says that any of the data came with what was placed there."""
    recorded = (entry.leaves for entry in records.entries(seen, left.host) if entry.name == left.name)
    return any(leaves is not None and leaves.data_to_remove for leaves in recorded)


def _stays(found: Planned, *, whole: bool) -> Iterator[str]:
    """What else a reset leaves where it is, a line each."""
    wanted, seen = found.wanted, found.seen.seen
    names = [one.name for one in wanted.cluster.everyone]
    if whole and not wanted.data:
        yield f"The cluster's keys stay in {pki_folder(wanted.inventory)}."
    silent = [name for name in names if records.question(name).ref not in seen]
    if silent:
        yield f"{', '.join(silent)} could not be reached: once that is fixed, run the same reset again."
    masters = [ref for ref in wanted.beside if ref.kind is Kind.RECORD]
    if masters and not any(ref in seen for ref in masters):
        nodes = [one.name for one in wanted.cluster.everyone if _was_node(one, seen)]
        if nodes:
            yield f"No master answers, so Node objects stay: kubectl delete node {' '.join(nodes)}"


def _was_node(host: Host, seen: Mapping[Ref, Seen]) -> bool:
    """Whether a host is a node, or was one by its record."""
    return Role.NODE in host.roles or any(entry.component == KUBELET for entry in records.entries(seen, host.name))


def _next(wanted: Resolved, inventory: Path, *, whole: bool) -> str:
    again = f"k8s-installer apply -i {inventory}"
    names = ", ".join(one.name for one in wanted.cluster.everyone)
    return (
        f"Next: {again} installs the cluster again."
        if whole
        else f"Next: remove {names} from the inventory, or {again} installs what it wants there again."
    )


def _remove_keys(options: Options, reporter: Reporter, whole: Resolved) -> None:
    """Remove the cluster's keys here, unless etcd still has data that only they can read."""
    asked = {ref: item for ref, item in whole.desired.items() if ref.kind is Kind.DATA}
    with opened(options.inputs, reporter) as session:
        seen = session.look(asked, {ref.host for ref in asked}).seen
    left = [f"{ref.name} on {ref.host}" for ref in asked if seen.get(ref) is not Missing.ABSENT]
    if left:
        reporter.warn(
            f"the cluster's keys stay: etcd's data is still there, or could not be looked for: {', '.join(left)}"
        )
        return
    folder = pki_folder(whole.inventory)
    shutil.rmtree(folder, ignore_errors=True)
    reporter.say(f"deleted the cluster's keys in {folder}; files of `k8s-installer backup` still have them")
    (state_folder(whole.inventory) / RECORD).unlink(missing_ok=True)
