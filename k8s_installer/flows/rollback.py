"""`rollback`: an `apply` that wants what was there before the last run."""

from __future__ import annotations

from dataclasses import replace

from k8s_installer.errors import InstallerError
from k8s_installer.flows.apply import Options, apply
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import Resolved, state_folder
from k8s_installer.host import etcd, families
from k8s_installer.model.plan import REPLACED, Action
from k8s_installer.model.resources import Kind, Missing
from k8s_installer.planning import rollback
from k8s_installer.planning.versions import minor
from k8s_installer.runs import history, journal


def roll_back(options: Options, reporter: Reporter) -> Outcome:
    """Undo the last run, or finish undoing it: planned, asked for and carried out like everything else."""
    again = "Next: edit the inventory as well, or the next apply makes the same changes again."
    return apply(options, reporter, lambda whole: _before_last_run(whole, reporter), closing=lambda _found: (again,))


def _before_last_run(wanted: Resolved, reporter: Reporter) -> Resolved:
    """What was there before the last run that was not undone.

    Raises:
        InstallerError: there is no such run, or it set things up for the first time and so has nothing before it.
    """
    runs = tuple(journal.past(state_folder(wanted.cluster) / "journal"))
    undone = history.to_undo(runs)
    if not undone:
        raise InstallerError(
            "this cluster has no run to undo" if runs else "no run of this cluster is recorded on this machine",
            hint="the journal is beside the inventory, in .k8s-installer/CLUSTER/journal",
        )
    for run in undone:
        _require_something_before(run)
        _require_same_members(run)
    _require_same_minor(undone, runs)
    for change in (change for run in undone for change in run.touched()):
        if change.action in (Action.INSTALL, Action.CLEAN, *REPLACED) or (
            change.action is Action.SET
            and not change.forgets
            and (change.before is Missing.ABSENT or families.one_way(change.ref.name))
        ):
            reporter.warn(f"cannot be undone, so it stays: {change.action} of {change.ref}")
    if runs[0].undoes == tuple(run.run for run in undone):
        reporter.say(f"resuming rollback {runs[0].run}, which did not finish")
    past = history.before(undone)
    files = sum(item.ref.kind is Kind.FILE for item in past)
    settings = sum(item.ref.kind is Kind.SETTING for item in past)
    counts = f"{files} files, {settings} settings"
    if files + settings < len(past):
        counts += f", {len(past) - files - settings} services and packages"
    reporter.say(f"going back to the state before run {undone[-1].run}: {counts}")
    names = tuple(run.run for run in undone)
    return replace(wanted, desired=rollback.before(wanted.desired, past, wanted.profile.components), undoes=names)


def _require_something_before(run: journal.Past) -> None:
    first = next(history.first_starts(run), None)
    if first is not None:
        raise InstallerError(
            f"run {run.run} started {first.name} on {first.host}: nothing ran before it",
            hint="a first start cannot be rolled back",
        )


def _require_same_members(run: journal.Past) -> None:
    """Stop where a run changed etcd's members: one that has left has the data of no member any more.

    Raises:
        InstallerError: it did.
    """
    if any(change.ref.kind is Kind.SETTING and change.ref.name.split()[0] in etcd.CHANGES for change in run.touched()):
        raise InstallerError(
            f"run {run.run} changed etcd's members: it is not rolled back",
            hint="edit the roles in the inventory, and apply: members join and leave one at a time (docs/etcd.md)",
        )


def _require_same_minor(undone: tuple[journal.Past, ...], runs: tuple[journal.Past, ...]) -> None:
    """Stop where the way back leads to an older minor version of Kubernetes; a patch goes both ways.

    Raises:
        InstallerError: it does.
    """
    last, oldest = undone[0], undone[-1]
    earlier = next((run for run in runs if run.run < oldest.run), None)
    versions = [str(run.header.get("version", "")) for run in (last, earlier) if run is not None]
    if len(versions) > 1 and all(versions) and minor(versions[0]) > minor(versions[1]):
        raise InstallerError(
            f"run {oldest.run} upgraded the cluster from Kubernetes {versions[1]} to {versions[0]}: it is not rolled "
            "back",
            hint="an older minor version may not be able to read what a newer one has stored in etcd\n"
            "correct the inventory, and apply; or restore a backup from before the upgrade",
        )
