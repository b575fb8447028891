"""Waits for a gate: until it holds, or until it is plain that it will not, or its time is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from k8s_installer.engine.remote import Remote
from k8s_installer.errors import HostError
from k8s_installer.host import evictions, evidence, pods
from k8s_installer.host.gates import GateAnswer, UnitState
from k8s_installer.model.resources import Check, Gate

# A host asks itself for so long before it answers that a gate does not hold: waiting costs no round trips.
PATIENCE_SECONDS = 2
# Between two such answers, and so the pause where a body says no at once.
POLL_SECONDS = 0.25
# How often the host of a unit is asked about it, where the gate is asked on another one.
UNIT_SECONDS = 4.0
# A process or a container that comes and goes will not become healthy by waiting for the whole deadline.
EXITS_TO_GIVE_UP = 3
# In which a kubelet reports a change twice, by its default of ten seconds.
NEXT_REPORT_SECONDS = 20.0
# For so long an image may be away from its registry, or a pod find no node.
IN_VAIN_SECONDS = 20.0

# How often a gate that takes long says what it waits for.
PROGRESS_SECONDS = 5.0

_UNKNOWN = UnitState("unknown", 0)
OnProgress = Callable[[str], None]


def quietly(_words: str) -> None:
    """Tell nobody what is waited for."""


@dataclass(slots=True)
class _Watch:
    """What was seen while waiting for a gate; times are seconds of the monotonic clock."""

    began: float
    processes: set[int] = field(default_factory=set)
    in_vain_since: float | None = None
    asked_unit_at: float | None = None
    unit: UnitState = _UNKNOWN
    started: float = 0.0
    first: pods.Standing | None = None  # of the pods, as they were when they were first seen
    told_at: float = 0.0
    asked_events_at: float | None = None
    not_created: tuple[str, ...] = ()  # why its pods cannot be

    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def exits(self) -> int:
        """How often the unit's process has ended meanwhile, at least."""
        return max(self.unit.exits, len(self.processes) - 1)

    def hopeless(self, answer: GateAnswer) -> bool:
        """Whether waiting longer is in vain: its unit has failed, or comes and goes, or its pods cannot run."""
        self.processes |= {self.unit.pid} - {0}
        if answer.over or self.unit.state == "failed" or self.exits() >= EXITS_TO_GIVE_UP:
            return True
        if answer.pods is None:
            self.in_vain_since = None
            return False
        self.first = self.first or answer.pods
        ended = pods.ended_since(self.first, answer.pods)
        return self._stood(in_vain=answer.pods.in_vain or bool(self.not_created)) or ended >= EXITS_TO_GIVE_UP

    def _stood(self, *, in_vain: bool) -> bool:
        """Whether pods have waited long enough for what will hardly come."""
        now = time.monotonic()
        self.in_vain_since = (self.in_vain_since or now) if in_vain else None
        return self.in_vain_since is not None and now - self.in_vain_since >= IN_VAIN_SECONDS


def wait(
    gate: Gate,
    asked: Remote,
    witness: Remote,
    progress: OnProgress = quietly,
    stop: threading.Event | None = None,
) -> str:
    """Wait for a gate; return nothing if it holds, else why it does not, with evidence.

    Args:
        gate: what is asked.
        asked: the host that is asked.
        witness: the host on which the unit runs that the gate waits for; it may be the same.
        progress: called with what is waited for, now and then.
        stop: once it is set, a drain is not waited for any longer; other gates are.

    Raises:
        TransportError: the host that is asked cannot be asked.
    """
    watch = _Watch(time.monotonic())
    while True:
        answer = asked.probe(gate, PATIENCE_SECONDS, round(watch.elapsed()))
        if answer.holds and (gate.check is not Check.NODE_READY or _reported(gate, answer, witness, watch)):
            return ""
        watch.unit = answer.unit if witness is asked else _unit(gate, witness, watch)
        _ask_events(gate, answer, asked, watch)
        hopeless = watch.hopeless(answer)
        stopped = gate.check is Check.DRAINED and stop is not None and stop.is_set()
        if hopeless or stopped or watch.elapsed() > gate.deadline:
            late = f"given up after {watch.elapsed():.0f} s"
            if stopped:
                late = "stopped on request"
            elif not hopeless:
                late = f"{evidence.LATE} within {gate.deadline:.0f} s"
            if watch.not_created:  # what else pods and their controller say is no cause
                return "\n".join([f"{late}: {watch.not_created[0]}", *watch.not_created[1:]])
            words = f"{answer.words}: reported before {gate.unit} last started" if answer.holds else answer.words
            return "\n".join(
                [evidence.clipped(f"{late}: {words}"), *_own_words(gate, answer, asked, witness, watch.exits())]
            )
        _tell(gate, answer, asked, watch, progress)
        time.sleep(POLL_SECONDS)


def _ask_events(gate: Gate, answer: GateAnswer, asked: Remote, watch: _Watch) -> None:
    """Ask now and then why pods are not created; what cannot be asked is asked again."""
    now = time.monotonic()
    if not answer.creation_questions:
        watch.not_created = ()
    elif watch.asked_events_at is None or now - watch.asked_events_at >= UNIT_SECONDS:
        watch.asked_events_at = now
        try:
            watch.not_created = pods.not_created(asked.ask(gate, answer.creation_questions))
        except HostError:
            watch.not_created = ()


def _tell(gate: Gate, answer: GateAnswer, asked: Remote, watch: _Watch, progress: OnProgress) -> None:
    """Say now and then what the host answers, or which pods a drain waits for."""
    now = time.monotonic()
    if now - watch.told_at < PROGRESS_SECONDS:
        return
    watch.told_at = now
    drains = gate.check is Check.DRAINED
    words = evictions.progress(asked.ask(gate, answer.questions)) if drains else evidence.clipped(answer.words)
    if words:
        progress(words)


def _reported(gate: Gate, answer: GateAnswer, witness: Remote, watch: _Watch) -> bool:
    """Whether the kubelet that runs now has reported the node: until then the API has what the one before reported.

    The API cuts the time of a report to the second, so one of the second in which the process started can be either's
    and the next one decides; where none comes, nothing has changed since that one.
    """
    if not answer.reported_at or witness.name != gate.unit_host:
        return True
    latest = answer.reported_at + (1 if watch.elapsed() >= NEXT_REPORT_SECONDS else 0)
    if latest < watch.started:  # what was asked before may be an earlier process, never a later one
        return False
    try:
        watch.started = witness.unit_state(gate.unit).started
    except HostError:
        return False
    return 0 < watch.started <= latest


def _unit(gate: Gate, witness: Remote, watch: _Watch) -> UnitState:
    """How the unit is doing on a host of its own, which is asked now and then; unknown where it cannot be asked."""
    now = time.monotonic()
    if now - (watch.asked_unit_at or watch.began) < UNIT_SECONDS:
        return watch.unit
    watch.asked_unit_at = now
    try:
        return witness.unit_state(gate.unit, round(watch.elapsed()))
    except HostError:
        return _UNKNOWN


def _own_words(gate: Gate, answer: GateAnswer, asked: Remote, witness: Remote, exits: int) -> list[str]:
    """What the pods that a gate waits for said, or its unit and its journal."""
    try:
        texts = asked.ask(gate, answer.questions) if answer.questions else ()
        if gate.check is Check.DRAINED:
            return [*map(evidence.clipped, evictions.evidence(answer.log, texts, forced=not gate.required))]
        ends = [*map(evidence.clipped, answer.pods.advice)] if answer.pods else []
        if said := [*ends, *pods.answers(texts, evidence.MOST_LINES - 1 - len(ends))]:
            return said
        found = witness.evidence(gate.unit)
        text = evidence.shortened(found, evidence.MOST_LINES - 2)
        unit = f"{gate.unit} on {witness.name}"
        return [f"{evidence.exited(found, unit, exits) or unit}:", *text.splitlines()]
    except HostError as error:
        return [str(error)]
