"""The session of a run that changes hosts: it holds the cluster's lock, and has a trace and a journal.

From there on, everything that hosts are sent and answer is in the run's trace.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

from k8s_installer.engine import lock
from k8s_installer.engine.owner import this_process
from k8s_installer.errors import InstallerError
from k8s_installer.flows import resolve
from k8s_installer.flows.resolve import Resolved
from k8s_installer.flows.session import Session
from k8s_installer.model.plan import Plan
from k8s_installer.report import data
from k8s_installer.runs import journal
from k8s_installer.runs.trace import Trace, open_trace, traced
from k8s_installer.transport import Transport


@dataclass(frozen=True, slots=True)
class LockedSession(Session):
    """The session of a run that changes hosts: with its trace, and `lost`, which is set when the lock is lost."""

    trace: Trace = field(kw_only=True)
    lost: threading.Event = field(kw_only=True)

    @property
    def run(self) -> str:
        """The run's name, which its trace, its journal and the hosts' backups have."""
        return self.trace.run

    def through(self, way: Transport) -> Transport:
        """A connection that writes everything sent and answered to the trace."""
        return traced(way, self.trace)

    def journal(self, wanted: Resolved, made: Plan, after_line: journal.OnLine = journal.nothing) -> journal.Journal:
        """Begin the journal of the run that carries out this plan; `with` closes it.

        Args:
            wanted: what the plan is made of.
            made: the plan.
            after_line: see `journal.start`.
        """
        owner = this_process()
        header = {
            "cluster": wanted.cluster.name,
            "version": wanted.cluster.version,
            "inventory": str(self.inputs.inventory),
            "owner": owner.name,
            "pid": owner.pid,
            "summary": data.summary(made),
            **({"undoes": list(wanted.undoes)} if wanted.undoes else {}),
        }
        folder = resolve.state_folder(wanted.cluster) / "journal"
        return journal.start(folder, header, after_line, run=self.run)


@contextmanager
def locked(session: Session, *, force: bool, skip: bool = False) -> Iterator[LockedSession]:
    """Hold the lock of a cluster that was opened with `locks`; an error that ends the run names its trace.

    It is taken before anything is looked at: nobody else's run can come between a plan and its changes.

    Args:
        session: an open session.
        force: take it from whoever has it, and without masters that do not answer.
        skip: take it without masters that do not answer, also where none does.
    """
    folder, on_record = resolve.state_folder(session.cluster) / "journal", session.reporter.on_record
    with open_trace(folder, on_record=on_record) as trace:
        try:
            ways = {name: traced(line, trace) for name, line in session.masters.items()}
            with lock.hold(ways, this_process(), force=force, skip=skip, say=session.reporter.alarm) as lost:
                opened = {one.name: getattr(session, one.name) for one in fields(Session)}
                yield LockedSession(**opened, trace=trace, lost=lost)
        except InstallerError as error:
            error.hint = "\n".join(filter(None, (error.hint, f"full trace: {trace.path}")))
            raise
