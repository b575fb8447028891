"""One host as the engine sees it: what it has, what was done on it, how it is doing.

`Remote` is the seam between the engine and the world. `SshRemote` is the real one; the tests have a strict
fake, and one suite of contract tests runs against both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from k8s_installer import gates, observe, perform
from k8s_installer.desired.model import Wanted
from k8s_installer.errors import CommandFailed, TransportError
from k8s_installer.plan import Change
from k8s_installer.resources import Gate, Ref, Seen
from k8s_installer.transport import Transport

OBSERVE_SECONDS = 60.0
GATE_SECONDS = 15.0
EVIDENCE_SECONDS = 20.0
# One yum transaction on a slow mirror, and a unit's start (90 s by default) for each of a host's services.
PERFORM_SECONDS = 1800.0

OnReport = Callable[[perform.Report], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a script of changes: which are done, and if one failed, which and with what evidence."""

    done: frozenset[int]
    failed: int | None = None
    evidence: str = ""


class Remote(Protocol):
    """One host: asked, changed and watched. Every method raises TransportError where it cannot be asked."""

    @property
    def name(self) -> str:
        """The host's name in the inventory."""

    def observe(self, wanted: Sequence[Wanted]) -> Mapping[Ref, Seen]:
        """What the host has of these; one round trip, and nothing changes."""

    def perform(self, changes: Sequence[tuple[int, Change]], on_report: OnReport) -> Outcome:
        """Carry the changes out in order, until one fails; each begin and end is reported as it happens."""

    def probe(self, gate: Gate) -> gates.Answer:
        """Ask a gate once."""

    def evidence(self, unit: str) -> str:
        """What the host says about a unit: its status and its last journal lines."""


class SshRemote:
    """A host behind a `Transport`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def name(self) -> str:
        """The host's name in the inventory."""
        return self._transport.host

    def observe(self, wanted: Sequence[Wanted]) -> Mapping[Ref, Seen]:
        """See `Remote`; raises CommandFailed where the host cannot run the questions at all."""
        result = self._transport.run(observe.script(wanted), timeout=OBSERVE_SECONDS)
        if result.status != 0:
            raise CommandFailed(self.name, "looking at the host", result.status, result.stdout, result.stderr)
        return observe.parse(result.stdout, wanted)

    def perform(self, changes: Sequence[tuple[int, Change]], on_report: OnReport) -> Outcome:
        """See `Remote`."""
        done: set[int] = set()
        failed: list[int] = []

        def read(line: str) -> None:
            report = perform.report(line)
            if report is None:
                return
            if report.word == "done":
                done.add(report.index)
            if report.word == "failed":
                failed.append(report.index)
            on_report(report)

        result = self._transport.run(perform.script(changes), timeout=PERFORM_SECONDS, on_line=read)
        if failed:
            return Outcome(frozenset(done), failed[0], perform.evidence(result.stdout))
        if result.status != 0 or len(done) < len(changes):
            raise TransportError(
                self.name,
                f"the script of changes ended early (exit {result.status}): {result.stderr.strip()[-500:]}",
                hint="run `apply` again: it looks at what is there and goes on from it",
            )
        return Outcome(frozenset(done))

    def probe(self, gate: Gate) -> gates.Answer:
        """See `Remote`."""
        return gates.judge(gate, self._transport.run(gates.script(gate), timeout=GATE_SECONDS).stdout)

    def evidence(self, unit: str) -> str:
        """See `Remote`."""
        return self._transport.run(perform.evidence_script(unit), timeout=EVIDENCE_SECONDS).stdout.strip()
