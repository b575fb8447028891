"""Everything that is known of a cluster as plain data: what `report -o json` prints, and what the page shows."""

from __future__ import annotations

from dataclasses import asdict

from k8s_installer.errors import InstallerError
from k8s_installer.report import certificates, preflight, status
from k8s_installer.report.connections import words
from k8s_installer.report.data import plan_data
from k8s_installer.report.known import Known, Live

WARN_DAYS = 30  # as `certs status` warns


def document(known: Known) -> dict[str, object]:
    """Stable names, times in ISO 8601 (UTC); without `status`, `plan` and `preflight` where no host was asked."""
    cluster, run = known.cluster, known.last_run
    return {
        "cluster": cluster.name,
        "version": cluster.version,
        "inventory": str(known.inventory),
        "made_at": known.made_at.isoformat(timespec="seconds"),
        "asked": known.live is not None,
        "hosts": [
            {"name": host.name, "address": host.address, "roles": sorted(map(str, host.roles))}
            for host in cluster.hosts
        ],
        "connections": [{**asdict(one), "words": words(one)} for one in known.connections],
        **(_live(known, known.live) if known.live else {}),
        "last_run": _error(run) if isinstance(run, InstallerError) else run and asdict(run),
        "certificates": certificates.data(known.certificates, WARN_DAYS) if cluster.security == "tls" else None,
        "hardening": [{**asdict(item), "verdict": str(item.verdict)} for item in known.judged],
    }


def _live(known: Known, live: Live) -> dict[str, object]:
    plan, found = live.plan, live.preflight
    return {
        "status": status.data(live.status),
        "plan": _error(plan) if isinstance(plan, InstallerError) else plan_data(known.cluster, plan),
        "preflight": _error(found) if isinstance(found, InstallerError) else preflight.data(found),
    }


def _error(error: InstallerError) -> dict[str, object]:
    return {"error": error.message, "hint": error.hint}
