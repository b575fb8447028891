"""`report`: everything that is known of a cluster now, from one session with its hosts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from k8s_installer import pki
from k8s_installer.desired.certificates import leaves
from k8s_installer.desired.connections import connections
from k8s_installer.drawing import cluster as of_cluster
from k8s_installer.drawing import plan as of_plan
from k8s_installer.drawing import svg
from k8s_installer.errors import InstallerError
from k8s_installer.flows import preflight, resolve, status
from k8s_installer.flows.inputs import Inputs, read
from k8s_installer.flows.plan import planned
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import Resolved
from k8s_installer.flows.session import Session, opened
from k8s_installer.flows.status import Looked
from k8s_installer.model.desired import Desired
from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import File, Ref, Seen, SeenFile
from k8s_installer.planning.turns import QUARTER
from k8s_installer.report.known import Known, Live
from k8s_installer.report.timeline import Timeline, timeline
from k8s_installer.runs import journal
from k8s_installer.status import certificates, hardening
from k8s_installer.status.certificates import CertificatesStatus

T = TypeVar("T")


def report(inputs: Inputs, reporter: Reporter, *, offline: bool = False) -> Known:
    """Look at everything; what cannot be had is an error in its place.

    Args:
        inputs: the files that the command is about.
        reporter: receives notes and progress.
        offline: ask no host: what the inventory wants, the last run, and the certificates of the local folder.

    Raises:
        InputError: anything is wrong with what the user wrote.
    """
    if offline:
        cluster, profile = read(inputs, reporter, download=False, opens=False)
        return _known(resolve.desire(cluster, profile, inputs.templates, None), inputs, None, None)
    with opened(inputs, reporter) as session:
        looked = status.look_in(session)
        live = _live(session, looked)
    return _known(looked.wanted, inputs, looked.seen.seen, live)


def _live(session: Session, looked: Looked) -> Live:
    """One look at every host is enough for status, plan, certificates and hardening; preflight has its own script."""

    def made() -> Plan:
        looked.seen.require_all()
        return planned(session, looked.wanted, looked.seen, QUARTER, replace_keys=False).plan

    plan, picture = _or_error(made), ""
    if isinstance(plan, Plan) and plan:
        picture = svg(of_plan.drawing(looked.wanted.cluster, plan), "plan-picture", alone=False)
    return Live(looked.status, plan, picture, _or_error(lambda: preflight.check_in(session)))


def _or_error(what: Callable[[], T]) -> T | InstallerError:
    """A part of the report, or why it cannot be had."""
    try:
        return what()
    except InstallerError as error:
        return error


def _known(wanted: Resolved, inputs: Inputs, seen: Mapping[Ref, Seen] | None, live: Live | None) -> Known:
    cluster, profile = wanted.cluster, wanted.profile
    all_of_them = connections(cluster, profile)
    roles = {host.name: frozenset(map(str, host.roles)) for host in cluster.hosts}
    return Known(
        cluster=cluster,
        inventory=inputs.inventory,
        made_at=dt.datetime.now(dt.UTC),
        connections=all_of_them,
        picture=svg(of_cluster.drawing(cluster, profile, all_of_them), "cluster-picture", alone=False),
        judged=hardening.judge(wanted.desired, profile.fitting(cluster), roles, seen),
        certificates=_certificates(wanted, seen),
        last_run=_or_error(lambda: _last_run(wanted)),
        live=live,
    )


def _last_run(wanted: Resolved) -> Timeline | None:
    past = journal.last(resolve.state_folder(wanted.cluster) / "journal")
    return timeline(past) if past else None


def _certificates(wanted: Resolved, seen: Mapping[Ref, Seen] | None) -> CertificatesStatus:
    """Those of the hosts, and those that only the local folder has."""
    needed, folder = leaves(wanted.inventory, wanted.profile), resolve.pki_folder(wanted.inventory)
    hosts = [host.name for host in wanted.cluster.hosts] if seen is not None else []
    asked = certificates.asked(wanted.desired, hosts)
    here = pki.certificates_in(folder, needed)
    found = certificates.found(wanted.desired, asked, _with_content(asked, seen or {}), here, dt.datetime.now(dt.UTC))
    return replace(found, rotations=pki.rotations(folder, needed))


def _with_content(asked: Desired, seen: Mapping[Ref, Seen]) -> dict[Ref, Seen]:
    """What was seen, with the bytes of files that are as wanted: hosts show only others."""
    shown = {ref: seen[ref] for ref in asked if ref in seen}
    for ref, found in shown.items():
        file = asked[ref].resource
        if isinstance(file, File) and isinstance(found, SeenFile) and found.sha256 == file.sha256:
            shown[ref] = replace(found, content=file.content)
    return shown
