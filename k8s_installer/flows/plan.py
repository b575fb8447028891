"""`plan`: look at every host, and work out what would change. `apply` makes the same plan."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from k8s_installer.engine.fleet import ObservedFleet
from k8s_installer.errors import InputError, InstallerError
from k8s_installer.flows.guards import (
    require_installed,
    require_left,
    require_members,
    require_own_keys,
    require_settled,
)
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.output import write
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import Resolved
from k8s_installer.flows.restoring import require_none
from k8s_installer.flows.session import Session, opened
from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import Ref
from k8s_installer.planning import planfile
from k8s_installer.planning.etcd.quorum import require_quorum
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.order import require_ahead
from k8s_installer.planning.records import recording
from k8s_installer.planning.renewal import serving_nobody
from k8s_installer.planning.turns import Batch
from k8s_installer.report.data import plan_data
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

_LARGEST_PLAN = 1 << 28  # bytes of a saved plan


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan: from what hosts have to what is wanted of them."""

    wanted: Resolved
    seen: ObservedFleet
    plan: Plan


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan that was saved, and the file that it is in."""

    path: Path
    plan: planfile.Saved


def plan(inputs: Inputs, reporter: Reporter, batch: Batch, *, replace_keys: bool) -> Planned:
    """Observe every host and make the plan. No key is made: what would be is shown as that."""
    with opened(inputs, reporter) as session:
        require_none(session.cluster)
        wanted, seen = session.observe(session.resolve())
        seen.require_all()
        return planned(session, wanted, seen, batch, replace_keys=replace_keys)


def planned(session: Session, wanted: Resolved, seen: ObservedFleet, batch: Batch, *, replace_keys: bool) -> Planned:
    """The plan that makes hosts what is wanted of them.

    Raises:
        InstallerError: it would cost keys that hosts rest on, etcd's data or quorum, the last master, or rights that
            programs need; or its version cannot be reached from what runs.
    """
    if wanted.resets:
        require_left(wanted, seen)
    if wanted.renews is not None:
        require_installed(wanted, seen.seen)
    if wanted.advance is not None:
        require_settled(wanted, seen)
    if not replace_keys:
        require_own_keys(wanted, seen.seen)
    require_members(session, wanted, seen)
    if wanted.renews is None:  # who has a certificate stays, so nobody needs other rights than before
        require_ahead(wanted.whole, seen.seen, wanted.desired)
    made = made_of(wanted, seen, batch)
    require_quorum(wanted.whole, seen.seen, made)
    if made:
        from k8s_installer.flows.versions import require_versions  # most plans change nothing

        require_versions(session, wanted, seen, made)
    return Planned(wanted, seen, made)


def made_of(wanted: Resolved, seen: ObservedFleet, batch: Batch) -> Plan:
    """The plan for what is wanted, with what hosts record of it; ahead of a restore what stops for that."""
    if wanted.restores is None:
        made = make_plan(wanted.desired, seen.seen, batch, idle=idle_in(wanted, seen))
        return recording(made, wanted.desired, seen.seen, wanted.cluster.name)
    from k8s_installer.planning.etcd import restoring  # no other command needs it

    stops, made = restoring.plan(wanted.desired, wanted.restores, seen.seen, batch)
    return restoring.joined(stops, recording(made, wanted.desired, seen.seen, wanted.cluster.name))


def idle_in(wanted: Resolved, seen: ObservedFleet) -> frozenset[Ref]:
    """The units that serve nobody now."""
    return serving_nobody(wanted.desired, seen.seen, dt.datetime.now(dt.UTC))


def save(path: Path, found: Planned) -> None:
    """Save a plan as sums, for `apply FILE`.

    Raises:
        InputError: the file cannot be written.
    """
    write(path, planfile.dump(_saved(found), plan_data(found.wanted.cluster, found.plan)).encode())


def load(path: Path) -> SavedPlan:
    """Read a plan that `save` wrote.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return SavedPlan(path, planfile.load(userfile.text(path, _LARGEST_PLAN), str(path)))
    except UnreadableError as error:
        raise InputError(f"cannot read {path}: {error}") from None


def require_same(old: SavedPlan, found: Planned) -> None:
    """Stop where a plan is not the one that was saved.

    Raises:
        InstallerError: that is stale.
    """
    moved = planfile.differences(old.plan, _saved(found))
    if moved:
        raise InstallerError(
            "\n  ".join([f"{old.path}: the plan is stale; nothing was changed:", *moved]),
            hint=f"review what changed, then save the plan again: k8s-installer plan -i INVENTORY -o {old.path}",
        )


def _saved(found: Planned) -> planfile.Saved:
    return planfile.saved(found.wanted.cluster.name, found.wanted.desired, found.plan)
