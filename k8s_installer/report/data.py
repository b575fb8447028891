"""Plans and runs as plain data for JSON: stable names, no secrets."""

from __future__ import annotations

from collections import Counter

from k8s_installer.errors import LostError
from k8s_installer.inventory import Cluster
from k8s_installer.model.plan import Change, Plan
from k8s_installer.model.resources import (
    Backup,
    File,
    Gate,
    SeenFile,
    SeenLeftovers,
    SeenPackage,
    SeenSetting,
    SeenUnit,
    Setting,
    UploadedFile,
)
from k8s_installer.model.run import Run, State
from k8s_installer.planning.undo import reversible
from k8s_installer.report.diff import unified


def plan_data(cluster: Cluster, plan: Plan) -> dict[str, object]:
    """A plan: what changes, where, in which order and why."""
    return {
        "cluster": cluster.name,
        "version": cluster.version,
        "changes": [
            _change(number, change, after)
            for number, (change, after) in enumerate(zip(plan.changes, plan.after, strict=True))
        ],
        "summary": summary(plan),
    }


def summary(plan: Plan) -> dict[str, int]:
    """How many changes there are of each action."""
    return dict(Counter(str(change.action) for change in plan.changes))


def loss_data(loss: LostError) -> dict[str, object]:
    """What a cluster has lost: what, on which hosts, and the ways to bring it back."""
    return {
        "what": str(loss.what),
        "hosts": list(loss.hosts),
        "message": loss.message,
        "ways": loss.hint.splitlines(),
    }


def run_data(plan: Plan, run: Run) -> dict[str, object]:
    """A run: the last state of every change, and the evidence of each failure and of what it continued without."""
    last = {event.index: event for event in run.events}
    return {
        "changes": [
            {"host": change.ref.host, "kind": change.ref.kind, "name": change.ref.name, "action": change.action,
             "state": last[number].state if number in last else State.WAITING,
             "detail": last[number].detail if number in last else ""}
            for number, change in enumerate(plan.changes)
        ],
        "interrupted": run.interrupted,
        "sent_bytes": dict(run.sent),
    }  # fmt: skip


def _change(number: int, change: Change, after: tuple[int, ...]) -> dict[str, object]:
    return {
        "number": number,
        "host": change.ref.host,
        "component": change.component,
        "kind": str(change.ref.kind),
        "name": change.ref.name,
        "action": str(change.action),
        "reason": change.reason,
        "reversible": reversible(change),
        "after": list(after),
        "diff": unified(change),
        "before": _before(change),
        "wanted": _wanted(change),
    }


def _before(change: Change) -> dict[str, object] | None:
    seen = change.before
    if isinstance(seen, SeenFile):
        return {"sha256": seen.sha256, "mode": f"{seen.mode:04o}", "owner": seen.owner, "group": seen.group}
    if isinstance(seen, SeenPackage):
        return {"version": seen.version, "release": seen.release}
    if isinstance(seen, SeenUnit):
        return {"active": seen.active, "sub": seen.sub, "enabled": seen.enabled, "pid": seen.pid}
    if isinstance(seen, SeenSetting):
        return {"value": seen.value}
    if isinstance(seen, SeenLeftovers):
        return {"names": list(seen.names), **({"stays": list(seen.stays)} if seen.stays else {})}
    return None


def _wanted(change: Change) -> dict[str, object] | None:
    wanted = change.after
    if isinstance(wanted, File | Backup):
        return {
            "sha256": wanted.sha256, "mode": f"{wanted.mode:04o}", "owner": wanted.owner,
            "group": wanted.group, "secret": wanted.secret,
        }  # fmt: skip
    if isinstance(wanted, UploadedFile):
        return {
            "sha256": wanted.sha256, "mode": f"{wanted.mode:04o}", "owner": wanted.owner,
            "group": wanted.group, "size": wanted.size,
        }  # fmt: skip
    if isinstance(wanted, Setting):
        return {"value": wanted.value}
    if isinstance(wanted, Gate):
        return {"url": wanted.url, "check": str(wanted.check), "deadline": wanted.deadline}
    return None
