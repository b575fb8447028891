"""Carries a plan out: as few scripts as the order allows, hosts side by side, gates polled until they hold.

A host's script holds every change whose predecessors are done or stand before it in the same script, so the
number of round trips follows from the edges of the plan alone.
"""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from k8s_installer.engine.remote import WORKERS, Remote
from k8s_installer.engine.waiting import wait
from k8s_installer.errors import InstallerError
from k8s_installer.host import yum
from k8s_installer.host.evidence import shortened
from k8s_installer.host.perform import Report
from k8s_installer.model.plan import Change, Plan
from k8s_installer.model.resources import Gate, Package, Unit, UploadedFile
from k8s_installer.model.run import ENDED, Event, OnEvent, Run, State

MB = 1_000_000


def apply(plan: Plan, remotes: Mapping[str, Remote], on_event: OnEvent, stop: threading.Event) -> Run:
    """Carry `plan` out; never raises for what a host does: the run's events report it.

    Args:
        plan: the changes and their order.
        remotes: a connected host for every host name in the plan.
        on_event: called from this thread for every event as it happens.
        stop: once it is set, what has begun is finished and nothing new begins.
    """
    course = _Scheduler(plan, on_event, stop)
    pool = ThreadPoolExecutor(WORKERS)
    try:
        while course.unfinished():
            for job in course.next_jobs():
                pool.submit(_work, job, plan, remotes, course.inbox)
            course.receive()
    finally:
        # after a second Ctrl-C nobody waits: the workers end when their connections are closed
        pool.shutdown(wait=False, cancel_futures=True)
    return Run(tuple(course.events), stop.is_set(), course.sent)


@dataclass(frozen=True, slots=True)
class _Finished:
    """A worker has ended. `lost` says that the host cannot be asked any more; `fault` is a fault of ours."""

    indices: tuple[int, ...]
    lost: bool = False
    fault: BaseException | None = None


_Inbox = queue.SimpleQueue[Event | _Finished]


@dataclass(slots=True)
class _Scheduler:
    """Where the run stands; only the thread that called `apply` touches it.

    After each step only those hosts are looked at again for which it can have changed something, so that the work
    grows with the plan and not with its square.
    """

    plan: Plan
    on_event: OnEvent
    stop: threading.Event
    inbox: _Inbox = field(default_factory=queue.SimpleQueue)
    events: list[Event] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    states: list[State] = field(init=False)
    followers: list[list[int]] = field(init=False)  # what waits for each change to be done
    later: dict[int, list[int]] = field(default_factory=dict)  # what waits for a change to end, well or not
    pending: dict[str, dict[int, None]] = field(init=False)  # by host, in order
    running: set[int] = field(default_factory=set)  # what the workers have; their states come by the inbox
    busy_hosts: set[str] = field(default_factory=set)  # hosts that a script runs on
    to_visit: dict[str, None] = field(init=False)  # hosts on which something may be able to begin
    blocked: list[tuple[int, str]] = field(default_factory=list)  # a heap: what cannot begin any more, and why

    def __post_init__(self) -> None:
        count = len(self.plan.changes)
        self.states = [State.WAITING] * count
        self.followers = [[] for _ in range(count)]
        self.pending = {}
        for index, before in enumerate(self.plan.after):
            self.pending.setdefault(self._host(index), {})[index] = None
            for other in before:
                self.followers[other].append(index)
        for index, before in enumerate(self.plan.behind):
            for other in before:
                self.later.setdefault(other, []).append(index)
        self.to_visit = dict.fromkeys(self.pending)

    def unfinished(self) -> bool:
        return bool(self.running) or any(self.pending.values())

    def next_jobs(self) -> list[tuple[int, ...]]:
        """What can begin now: one script for each idle host, and every gate whose time has come."""
        if self.stop.is_set():
            self._skip(self._waiting(), "the run was stopped")
        self._skip_blocked()
        jobs: list[tuple[int, ...]] = []
        for host in self.to_visit:
            jobs += self._jobs_on(host)
        self.to_visit.clear()
        if not self.running and self.unfinished():
            raise AssertionError(f"nothing can begin, and this waits: {self._waiting()}")
        return jobs

    def _jobs_on(self, host: str) -> Iterator[tuple[int, ...]]:
        script: set[int] = set()
        gates: list[int] = []
        for index in [index for index in self.pending[host] if index not in self.running]:
            if self._is_gate(index):
                gates += [index] if self._free(index, set()) else []
            elif host not in self.busy_hosts and self._free(index, script):
                script.add(index)
        if script:
            self.busy_hosts.add(host)
            yield self._take(tuple(sorted(script, key=self._place)))
        for index in gates:
            yield self._take((index,))

    def _take(self, job: tuple[int, ...]) -> tuple[int, ...]:
        self.running.update(job)
        return job

    def receive(self) -> None:
        """Take messages until a worker has ended."""
        while self.running:
            message = self.inbox.get()
            if isinstance(message, Event):
                self._record(message)
                continue
            self.running.difference_update(message.indices)
            if message.fault is not None:
                raise message.fault
            host = self._host(message.indices[0])
            self.to_visit[host] = None
            if not self._is_gate(message.indices[0]):
                self.busy_hosts.discard(host)
            if message.lost:
                self._skip(sorted(self.pending[host].keys() - self.running), f"{host} cannot be asked any more")
            return

    def _record(self, event: Event) -> None:
        if event.state is State.SENDING:
            host = self._host(event.index)
            if event.sent:
                self.sent[host] = self.sent.get(host, 0) + event.sent
            else:
                self.on_event(event)
            return
        index = event.index
        self.states[index] = event.state
        if event.state is not State.RUNNING:
            del self.pending[self._host(index)][index]
            self.to_visit.update((self._host(later), None) for later in self.later.get(index, ()))
        if event.state is State.DONE:
            self.to_visit.update((self._host(follower), None) for follower in self.followers[index])
        if event.state is State.FAILED:
            self._block(index, f"it comes after {self.plan.changes[index].ref}, which failed")
        if event.state is State.SKIPPED:
            self._block(index, event.detail)
        self.events.append(event)
        self.on_event(event)

    def _block(self, index: int, cause: str) -> None:
        for follower in self.followers[index]:
            heapq.heappush(self.blocked, (follower, cause))

    def _skip_blocked(self) -> None:
        held = []  # in a script that has not ended: it may come back as not begun
        while self.blocked:
            index, cause = heapq.heappop(self.blocked)
            if index in self.running:
                held.append((index, cause))
            elif index in self.pending[self._host(index)]:
                self._skip([index], cause)
        self.blocked = held

    def _skip(self, indices: list[int], cause: str) -> None:
        for index in indices:
            self._record(Event(index, State.SKIPPED, time.monotonic(), cause))

    def _waiting(self) -> list[int]:
        return sorted(index for indices in self.pending.values() for index in indices if index not in self.running)

    def _free(self, index: int, script: set[int]) -> bool:
        behind = self.plan.behind[index] if self.plan.behind else ()
        return all(self.states[before] is State.DONE or before in script for before in self.plan.after[index]) and all(
            self.states[before] in ENDED or before in script for before in behind
        )

    def _place(self, index: int) -> tuple[int, int]:
        """Packages stand first in a script, behind what they wait for: neighbours are one yum transaction."""
        if self._is_package(index):
            early = all(self.states[before] is State.DONE or self._leads(before) for before in self.plan.after[index])
            return 1 if early else 2, index
        return 0 if self._leads(index) else 2, index

    def _leads(self, index: int) -> bool:
        """Whether packages wait for this, and it for nothing: a file that says where they are."""
        awaited = not self._is_package(index) and any(map(self._is_package, self.followers[index]))
        return awaited and self._free(index, set())

    def _is_package(self, index: int) -> bool:
        return isinstance(self.plan.changes[index].after, Package)

    def _host(self, index: int) -> str:
        return self.plan.changes[index].ref.host

    def _is_gate(self, index: int) -> bool:
        return isinstance(self.plan.changes[index].after, Gate)


class Tell(Protocol):
    """Passes on what has become of a change."""

    def __call__(self, index: int, state: State, detail: str, sent: int = 0) -> None:
        """As the fields of an `Event`."""


def _work(indices: tuple[int, ...], plan: Plan, remotes: Mapping[str, Remote], inbox: _Inbox) -> None:
    """A worker's whole life: do the job, report every step, and never leave the caller without an answer."""
    changes = [(index, plan.changes[index]) for index in indices]
    left = list(indices)  # what has not ended
    begun: set[int] = set()

    def tell(index: int, state: State, detail: str, sent: int = 0) -> None:
        if state is State.RUNNING:
            begun.add(index)
        elif state is not State.SENDING:
            left.remove(index)
        inbox.put(Event(index, state, time.monotonic(), detail, sent))

    lost, fault = False, None
    try:
        index, change = changes[0]
        if isinstance(change.after, Gate):
            tell(index, State.RUNNING, "")
            asked = remotes[change.ref.host]
            words = wait(change.after, asked, remotes.get(change.after.unit_host, asked))
            tell(index, State.FAILED if words else State.DONE, words)
        else:
            _perform(changes, remotes[change.ref.host], tell)
    except InstallerError as error:
        lost = True
        tell(left[0], State.FAILED, "\n".join(filter(None, (str(error), error.hint))))
    except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for this one
        fault = error
    for index in [index for index in left if index in begun]:
        tell(index, State.SKIPPED, "it was in one transaction with what failed")
    inbox.put(_Finished(indices, lost, fault))


def _perform(changes: Sequence[tuple[int, Change]], remote: Remote, tell: Tell) -> None:
    states = {"begin": State.RUNNING, "done": State.DONE}

    sizes = {index: change.after.size for index, change in changes if isinstance(change.after, UploadedFile)}

    def read(report: Report) -> None:
        if report.word == "uploaded":
            tell(report.index, State.SENDING, "", report.sent)
        if report.word == "sent":
            tell(report.index, State.SENDING, f"{report.sent // MB} of {sizes[report.index] // MB} MB")
        if report.word in states:
            tell(report.index, states[report.word], "")

    outcome = remote.perform(changes, read)
    if outcome.failed is not None:
        tell(outcome.failed, State.FAILED, _explained(outcome.evidence, dict(changes)[outcome.failed]))


def _explained(evidence: str, change: Change) -> str:
    if isinstance(change.after, Unit):
        return shortened(evidence)
    hint = yum.hint(evidence) if isinstance(change.after, Package) else ""
    return f"{evidence}\nhint: {hint}" if hint else evidence
