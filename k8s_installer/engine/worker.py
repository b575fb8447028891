"""What a worker does: one script of changes on one host, or one gate, to its end. It reports every step."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from k8s_installer.engine.remote import Remote
from k8s_installer.engine.waiting import wait
from k8s_installer.errors import InstallerError
from k8s_installer.host.evidence import HINT, explained
from k8s_installer.host.perform import Report, upload_of
from k8s_installer.host.sequence import in_script_order
from k8s_installer.model.plan import Change, Plan
from k8s_installer.model.resources import Gate
from k8s_installer.model.run import Event, State

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Finished:
    """A worker has ended. `lost` says that the host cannot be asked any more; `fault` is a fault of ours."""

    indices: tuple[int, ...]
    lost: bool = False
    fault: BaseException | None = None


Inbox = queue.SimpleQueue[Event | Finished]


class Tell(Protocol):
    """Passes on what has become of a change."""

    def __call__(self, index: int, state: State, detail: str, sent: int = 0) -> None:
        """As the fields of an `Event`."""


def work(
    indices: tuple[int, ...], plan: Plan, remotes: Mapping[str, Remote], inbox: Inbox, stop: threading.Event
) -> None:
    """A worker's whole life: do the job, report every step, and never leave the scheduler without an answer.

    Args:
        indices: the changes of the job: some of one host, in any order, or one gate.
        plan: the plan that they are of.
        remotes: a connected host for every host name in the plan.
        inbox: gets an event for each step, and at the end `Finished`.
        stop: set when nothing new begins; a gate that may take many minutes is not waited for any longer then.
    """
    changes = [(index, plan.changes[index]) for index in in_script_order(plan, indices)]
    not_ended = [index for index, _ in changes]
    begun: set[int] = set()

    def tell(index: int, state: State, detail: str, sent: int = 0) -> None:
        if state is State.RUNNING:
            begun.add(index)
        elif state is not State.PROGRESS:
            not_ended.remove(index)
        inbox.put(Event(index, state, time.monotonic(), detail, sent))

    lost, fault = False, None
    try:
        index, change = changes[0]
        if isinstance(change.after, Gate):
            _wait(index, change.ref.host, change.after, remotes, tell, stop)
        else:
            _perform(changes, remotes[change.ref.host], tell)
    except InstallerError as error:
        lost = True
        hint = [f"{HINT}{error.hint}"] if error.hint else []
        tell(not_ended[0], State.FAILED, "\n".join([str(error), *hint]))
    except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for this one
        fault = error
    for index in [index for index in not_ended if index in begun]:
        tell(index, State.SKIPPED, "it was in the same yum transaction as the one that failed")
    inbox.put(Finished(indices, lost, fault))


def _wait(index: int, host: str, gate: Gate, remotes: Mapping[str, Remote], tell: Tell, stop: threading.Event) -> None:
    tell(index, State.RUNNING, "")
    asked = remotes[host]

    def progress(words: str) -> None:
        tell(index, State.PROGRESS, words)

    words = wait(gate, asked, remotes.get(gate.unit_host, asked), progress, stop)
    failed = bool(words) and (gate.required or stop.is_set())
    tell(index, State.FAILED if failed else State.DONE, words)


def _perform(changes: Sequence[tuple[int, Change]], remote: Remote, tell: Tell) -> None:
    states = {"begin": State.RUNNING, "done": State.DONE}
    sizes = {index: file.size for index, change in changes if (file := upload_of(change)) is not None}

    def read(report: Report) -> None:
        if report.word == "uploaded":
            tell(report.index, State.PROGRESS, "", report.sent)
        if report.word == "sent":
            tell(report.index, State.PROGRESS, f"{report.sent // MB} of {sizes[report.index] // MB} MB")
        if report.word == "part":
            tell(report.index, State.PROGRESS, report.words)
        if report.word in states:
            tell(report.index, states[report.word], "")

    outcome = remote.perform(changes, read)
    if outcome.failed is not None:
        failed = dict(changes)[outcome.failed]
        tell(outcome.failed, State.FAILED, explained(outcome.evidence, failed.after))
