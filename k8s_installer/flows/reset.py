"""`reset`: an `apply` that wants nothing of hosts, so that what was placed on them leaves."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import replace

from k8s_installer.errors import InputError
from k8s_installer.flows.apply import Options, apply
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import RECORD, Resolved, pki_folder, state_folder
from k8s_installer.flows.session import opened
from k8s_installer.inventory import Cluster, Host, Role
from k8s_installer.model.resources import Kind, Missing
from k8s_installer.planning import placed
from k8s_installer.planning.select import chosen


def reset(options: Options, reporter: Reporter, *, host: str = "", name: str = "", data: bool = False) -> Outcome:
    """Remove everything that this program placed on the hosts of a cluster, and nothing else.

    Args:
        options: what the user asked for; a part is chosen by `host`.
        reporter: whom to tell.
        host: names of hosts, divided by commas; all where this is empty.
        name: the cluster's name, as the user gave it for consent; a person is asked for it where this is empty.
        data: whether the data of etcd goes, too, and where all hosts are reset, the cluster's keys.

    Raises:
        InputError: the name is not the cluster's, or there is no such host.
    """
    was: list[Resolved] = []

    def nothing(whole: Resolved) -> Resolved:
        cluster = whole.inventory
        if name and name != cluster.name:
            raise InputError(f"--name {name}: the inventory is that of the cluster {cluster.name}")
        names = chosen("--host", host, [one.name for one in cluster.everyone]) if host else None
        hosts = tuple(one for one in cluster.everyone if names is None or one.name in names)
        _require_members(cluster, hosts, data=data)
        was[:] = [whole]
        part = replace(whole.cluster, hosts=hosts, leaving=())
        # a master that stays deletes the Node objects of hosts that leave
        stay = [one.name for one in cluster.having(Role.MASTER) if one not in hosts]
        beside = {item.ref: item for item in map(placed.question, stay)}
        return replace(
            whole, cluster=part, desired={}, whole={}, evidence={}, roots={}, beside=beside, resets=True, data=data
        )

    def consent(reporter: Reporter, wanted: Resolved) -> bool:
        cluster = wanted.cluster.name
        return reporter.ask(f"Type the name of the cluster ({cluster}) to remove all this: ").strip() == cluster

    outcome = apply(options, reporter, nothing, consent)
    if outcome is Outcome.DONE and data and not host:
        _remove_keys(options, reporter, was[0])
    return outcome


def _require_members(cluster: Cluster, hosts: Collection[Host], *, data: bool) -> None:
    """Refuse to take from a cluster that stays what it cannot do without.

    Raises:
        InputError: etcd would lose its quorum, or the cluster its last master.
    """
    names = {one.name for one in hosts}
    if names >= {one.name for one in cluster.hosts}:
        return  # nothing stays
    members, masters = ({one.name for one in cluster.having(role)} for role in (Role.ETCD, Role.MASTER))
    lost = members & names
    if lost and (data or 2 * len(members - lost) <= len(members)):
        raise InputError(
            f"--host: {', '.join(sorted(lost))} of {len(members)} etcd members: the others would lose data or quorum",
            hint="reset all hosts; how members are removed from a cluster that stays: docs/etcd.md",
        )
    if masters <= names:
        raise InputError(
            "--host: no master would be left for the other hosts", hint="reset all hosts, or keep a master"
        )


def _remove_keys(options: Options, reporter: Reporter, whole: Resolved) -> None:
    """Remove the cluster's keys here, unless etcd still has data that only they can read."""
    asked = {ref: item for ref, item in whole.desired.items() if ref.kind is Kind.DATA}
    with opened(options.inputs, reporter) as session:
        seen = session.look(asked, {ref.host for ref in asked}).seen
    left = [f"{ref.name} on {ref.host}" for ref in asked if seen.get(ref) is not Missing.ABSENT]
    if left:
        reporter.warn(f"the cluster's keys stay: there is still data of etcd in {', '.join(left)}")
        return
    shutil.rmtree(pki_folder(whole.inventory), ignore_errors=True)
    (state_folder(whole.inventory) / RECORD).unlink(missing_ok=True)
