"""`reset`: an `apply` that wants nothing of hosts, so that what was placed on them leaves."""

from __future__ import annotations

import shutil
from dataclasses import replace

from k8s_installer.errors import InputError
from k8s_installer.flows.apply import Options, apply
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import RECORD, Resolved, pki_folder, state_folder
from k8s_installer.inventory import Cluster
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
    reset_cluster: list[Cluster] = []

    def nothing(whole: Resolved) -> Resolved:
        cluster = whole.inventory
        if name and name != cluster.name:
            raise InputError(f"--name {name}: the inventory is that of the cluster {cluster.name}")
        names = chosen("--host", host, [one.name for one in cluster.everyone]) if host else None
        hosts = tuple(one for one in cluster.everyone if names is None or one.name in names)
        reset_cluster[:] = [cluster]
        part = replace(whole.cluster, hosts=hosts, leaving=())
        return replace(whole, cluster=part, desired={}, whole={}, evidence={}, roots={}, data=data)

    def consent(reporter: Reporter, wanted: Resolved) -> bool:
        cluster = wanted.cluster.name
        return reporter.ask(f"Type the name of the cluster ({cluster}) to remove all this: ").strip() == cluster

    outcome = apply(options, reporter, nothing, consent)
    if outcome is Outcome.DONE and data and not host:
        for cluster in reset_cluster:
            shutil.rmtree(pki_folder(cluster), ignore_errors=True)
            (state_folder(cluster) / RECORD).unlink(missing_ok=True)
    return outcome
