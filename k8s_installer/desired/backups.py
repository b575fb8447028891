"""Backups that etcd's members make by themselves, where the inventory asks for them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from k8s_installer.host.backups import NAME, Schedule
from k8s_installer.inventory import Cluster, Role
from k8s_installer.model.desired import Desired, DesiredResource
from k8s_installer.model.resources import Check, Gate, Kind, Ref, Setting

_BECAUSE = "etcd's data is lost with its disks; each member keeps files that restore takes."
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}")


def backups(cluster: Cluster, wanted: Desired) -> Iterator[DesiredResource]:
    """The timer of each member that is to have one; it asks etcd as the gate of its health does."""
    for host in cluster.having(Role.ETCD):
        asked = host.settings.etcd_backups
        if asked is not None:
            item, gate = _gate(wanted, host.name)
            at = f"*-*-*_{asked.schedule}:00" if _TIME.fullmatch(asked.schedule) else asked.schedule
            made = Schedule(
                at, str(asked.keep), asked.folder, cluster.name, cluster.version, host.name,
                gate.url.removesuffix("/health"), gate.ca, gate.cert, gate.key,
            )  # fmt: skip
            yield DesiredResource(
                Ref(host.name, Kind.SETTING, NAME), Setting(str(made)), item.component, (item.ref,), _BECAUSE, item.turn
            )


def _gate(wanted: Desired, host: str) -> tuple[DesiredResource, Gate]:
    return next(
        (item, item.resource)
        for ref, item in wanted.items()
        if ref.host == host
        and isinstance(item.resource, Gate)
        and item.resource.unit == "etcd"
        and item.resource.check is Check.ETCD_HEALTH
    )
