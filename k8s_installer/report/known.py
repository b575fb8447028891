"""What is known of a cluster, as values: what a report says."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from k8s_installer.desired.connections import Connection
from k8s_installer.errors import InstallerError
from k8s_installer.inventory import Cluster
from k8s_installer.model.plan import Plan
from k8s_installer.preflight import Preflight
from k8s_installer.report.timeline import Timeline
from k8s_installer.status import Status
from k8s_installer.status.certificates import CertificatesStatus
from k8s_installer.status.hardening import Judged


@dataclass(frozen=True, slots=True)
class Live:
    """What hosts were asked for; an error says why a part cannot be had. `picture` is the plan as SVG."""

    status: Status
    plan: Plan | InstallerError
    picture: str
    preflight: Preflight | InstallerError


@dataclass(frozen=True, slots=True)
class Known:
    """Everything; `live` is None where no host was asked. `picture` is the cluster as SVG, for a page."""

    cluster: Cluster
    inventory: Path
    made_at: dt.datetime
    connections: tuple[Connection, ...]
    picture: str
    judged: tuple[Judged, ...]
    certificates: CertificatesStatus
    last_run: Timeline | InstallerError | None
    live: Live | None
