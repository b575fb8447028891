"""Carries a plan out: as few scripts as the order allows, hosts side by side, gates polled until they hold.

A change is ready when all that it comes after is done. A host's script holds every change that is ready, or will be by
what stands in the same script, so the number of round trips follows from the edges of the plan alone.
"""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from k8s_installer.engine.remote import WORKERS, Remote
from k8s_installer.engine.worker import Finished, Inbox, work
from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import Gate
from k8s_installer.model.run import ENDED, Event, OnEvent, Run, State

Job = tuple[int, ...]  # positions in the plan, in its order: changes that are one host's script, or one gate


def apply(plan: Plan, remotes: Mapping[str, Remote], on_event: OnEvent, stop: threading.Event) -> Run:
    """Carry `plan` out; never raises for what a host does: the run's events report it.

    Args:
        plan: the changes and their order.
        remotes: a connected host for every host name in the plan.
        on_event: called from this thread for every event as it happens.
        stop: once it is set, what has begun is finished and nothing new begins.
    """
    scheduler = _Scheduler(plan, on_event, stop)
    pool = ThreadPoolExecutor(WORKERS)
    try:
        while scheduler.unfinished():
            for job in scheduler.next_jobs():
                pool.submit(work, job, plan, remotes, scheduler.inbox, stop)
            scheduler.receive()
    finally:
        # after a second Ctrl-C nobody waits: the workers end when their connections are closed
        pool.shutdown(wait=False, cancel_futures=True)
    return Run(tuple(scheduler.events), stop.is_set(), scheduler.sent)


@dataclass(slots=True)
class _Scheduler:
    """Where the run stands; only the thread that called `apply` touches it.

    After each step only those hosts are visited again on which it can have made something ready, so that the work
    grows with the plan and not with its square.
    """

    plan: Plan
    on_event: OnEvent
    stop: threading.Event
    inbox: Inbox = field(default_factory=queue.SimpleQueue)
    events: list[Event] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)  # bytes of uploads, by host
    states: list[State] = field(init=False)
    dependents: list[list[int]] = field(init=False)  # of each change: what waits for it to be done
    successors: dict[int, list[int]] = field(default_factory=dict)  # and what waits for it to end, done or not
    pending: dict[str, dict[int, None]] = field(default_factory=dict)  # by host: what has not ended, in order
    running: set[int] = field(default_factory=set)  # what the workers have; their states come by the inbox
    busy: set[str] = field(default_factory=set)  # hosts that a script runs on
    to_visit: dict[str, None] = field(init=False)  # hosts on which something may be ready
    blocked: list[tuple[int, str]] = field(default_factory=list)  # a heap: what can never be ready, and why

    def __post_init__(self) -> None:
        count = len(self.plan.changes)
        self.states = [State.WAITING] * count
        self.dependents = [[] for _ in range(count)]
        for index, earlier in enumerate(self.plan.after):
            self.pending.setdefault(self._host(index), {})[index] = None
            for other in earlier:
                self.dependents[other].append(index)
        for index, earlier in enumerate(self.plan.after_end):
            for other in earlier:
                self.successors.setdefault(other, []).append(index)
        self.to_visit = dict.fromkeys(self.pending)

    def unfinished(self) -> bool:
        return bool(self.running) or any(self.pending.values())

    def next_jobs(self) -> list[Job]:
        """What can begin now: one script for each host that has none, and every gate that is ready."""
        if self.stop.is_set():
            self._skip(self._not_begun(), "the run was stopped")
        self._skip_blocked()
        jobs = [job for host in self.to_visit for job in self._jobs_on(host)]
        self.to_visit.clear()
        if not self.running and self.unfinished():
            raise AssertionError(f"nothing can start, and these are waiting: {self._not_begun()}")
        return jobs

    def _jobs_on(self, host: str) -> Iterator[Job]:
        script: dict[int, None] = {}
        gates: list[int] = []
        for index in [index for index in self.pending[host] if index not in self.running]:
            if self._is_gate(index):
                gates += [index] if self._ready(index, ()) else []
            elif host not in self.busy and self._ready(index, script):
                script[index] = None
        if script:
            self.busy.add(host)
        for job in (tuple(script), *((gate,) for gate in gates)):
            if job:
                self.running.update(job)
                yield job

    def _ready(self, index: int, script: Iterable[int]) -> bool:
        """Whether a change can begin, at the latest when what stands in `script` is done."""
        after_end = self.plan.after_end[index] if self.plan.after_end else ()
        return all(self.states[other] is State.DONE or other in script for other in self.plan.after[index]) and all(
            self.states[other] in ENDED or other in script for other in after_end
        )

    def receive(self) -> None:
        """Take messages until a worker has ended."""
        while self.running:
            message = self.inbox.get()
            if isinstance(message, Finished):
                self._finish(message)
                return
            self._record(message)

    def _finish(self, message: Finished) -> None:
        self.running.difference_update(message.indices)
        if message.fault is not None:
            raise message.fault
        host = self._host(message.indices[0])
        self.to_visit[host] = None
        if not self._is_gate(message.indices[0]):
            self.busy.discard(host)
        if message.lost:
            self._skip(sorted(self.pending[host].keys() - self.running), f"{host} can no longer be reached")

    def _record(self, event: Event) -> None:
        if event.state is State.PROGRESS:
            self._pass_on(event)
            return
        index = event.index
        self.states[index] = event.state
        if event.state in ENDED:
            del self.pending[self._host(index)][index]
            self._visit(self.successors.get(index, ()))
        if event.state is State.DONE:
            self._visit(self.dependents[index])
        if event.state is State.FAILED:
            self._block(index, f"it depends on {self.plan.changes[index].ref}, which failed")
        if event.state is State.SKIPPED:
            self._block(index, event.detail)
        self.events.append(event)
        self.on_event(event)

    def _pass_on(self, event: Event) -> None:
        """Progress is for the screen; the bytes of an upload that ended are the run's count."""
        if event.sent:
            host = self._host(event.index)
            self.sent[host] = self.sent.get(host, 0) + event.sent
        else:
            self.on_event(event)

    def _visit(self, indices: Iterable[int]) -> None:
        self.to_visit.update((self._host(index), None) for index in indices)

    def _block(self, index: int, cause: str) -> None:
        for dependent in self.dependents[index]:
            heapq.heappush(self.blocked, (dependent, cause))

    def _skip_blocked(self) -> None:
        in_scripts = []  # of one that has not ended: it may come back as not begun
        while self.blocked:
            index, cause = heapq.heappop(self.blocked)
            if index in self.running:
                in_scripts.append((index, cause))
            elif index in self.pending[self._host(index)]:
                self._skip([index], cause)
        self.blocked = in_scripts

    def _skip(self, indices: list[int], cause: str) -> None:
        for index in indices:
            self._record(Event(index, State.SKIPPED, time.monotonic(), cause))

    def _not_begun(self) -> list[int]:
        return sorted(index for indices in self.pending.values() for index in indices if index not in self.running)

    def _host(self, index: int) -> str:
        return self.plan.changes[index].ref.host

    def _is_gate(self, index: int) -> bool:
        return isinstance(self.plan.changes[index].after, Gate)
