"""One host as the engine sees it: what it has, what was done on it, how it is doing.

`Remote` is the seam between the engine and the world. `SshRemote` is the real one; the tests have a strict
fake, and one suite of contract tests runs against both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from k8s_installer.errors import CommandFailed, HostError, InstallerError, MalformedAnswer, TransportError
from k8s_installer.host import gates, observe, perform, statedir, upload
from k8s_installer.host.compression import Packed, Packer, plain
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.plan import Change
from k8s_installer.model.resources import Gate, Ref, Seen, UploadedFile
from k8s_installer.transport import OnSent, Transport
from k8s_installer.untrusted import answers
from k8s_installer.untrusted.answers import understood

# How many hosts are asked at the same time: more gain nothing, for Python encrypts for one at a time.
WORKERS = 16
OBSERVE_SECONDS = 60.0
GATE_SECONDS = 15.0
EVIDENCE_SECONDS = 20.0
# One yum transaction on a slow mirror, and a unit's start (90 s by default) for each of a host's services.
PERFORM_SECONDS = 1800.0
# In which a host may take no byte of an upload: while its disk writes what came before, and sums what an earlier left.
UPLOAD_IDLE_SECONDS = 120.0
# How often an upload says how far it is.
_SENT_SECONDS = 0.25
# A host unpacks some 150 MB in a second, and we compress as many: on a way that is nearly as fast, compressing gains
# nothing. Every upload is tried for so long; the buffers on the way hold some MB, which the measure takes for sent.
FAST = 40e6
TRIAL_SECONDS = 0.5
# For all hosts: each file is compressed once.
_PACKER = Packer()

OnReport = Callable[[perform.Report], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a script of changes: which are done, and if one failed, which and with what evidence."""

    done: frozenset[int]
    failed: int | None = None
    evidence: str = ""


class Remote(Protocol):
    """One host: asked, changed and watched.

    Every method raises TransportError where it cannot be asked, and MalformedAnswer where it says what is no answer.
    """

    @property
    def name(self) -> str:
        """The host's name in the inventory."""

    def observe(self, wanted: Sequence[DesiredResource]) -> Mapping[Ref, Seen]:
        """What the host has of these; one round trip, and nothing changes."""

    def perform(self, changes: Sequence[tuple[int, Change]], on_report: OnReport) -> Outcome:
        """Carry the changes out in order, until one fails; each begin and end is reported as it happens.

        What is large is sent before the first of them begins, which is reported with the bytes that are on their
        way; where that fails, nothing is begun.
        """

    def probe(self, gate: Gate, patience: int = 0, since: int = 0) -> gates.GateAnswer:
        """Ask a gate in one round trip: once, or again and again for so many seconds until it says yes.

        With `since` the answer has how often the unit's process ended in the last so many seconds.
        """

    def unit_state(self, unit: str, since: int = 0) -> gates.UnitState:
        """How a unit is doing, and how often its process ended in the last so many seconds."""

    def ask(self, gate: Gate, urls: Sequence[str]) -> Sequence[str]:
        """What these URLs answer to the gate's credentials, whatever their status."""

    def evidence(self, unit: str) -> str:
        """What the host says about a unit: its status and its last journal lines."""


def titled(words: str, script: str) -> str:
    """A script that begins with what it is for, by which the trace names it."""
    return f"# {words}\n{script}"


class SshRemote:
    """A host behind a `Transport`; `run` is the name under which it keeps what is replaced."""

    def __init__(
        self, transport: Transport, packer: Packer = _PACKER, memory: observe.HostCache | None = None, run: str = "0"
    ) -> None:
        self._transport, self._packer, self._run = transport, packer, run
        self.memory = memory  # of the last look; None where there was none
        self._slow = False  # the way there, so that compressing pays
        self._wire = 0  # bytes of files that went there

    @property
    def name(self) -> str:
        """The host's name in the inventory."""
        return self._transport.host

    def observe(self, wanted: Sequence[DesiredResource]) -> Mapping[Ref, Seen]:
        """See `Remote`; raises CommandFailed where the host cannot run the questions at all."""
        result = self._transport.run(
            titled("read what the host has", statedir.SETTLED + observe.script(wanted, self.memory)),
            timeout=OBSERVE_SECONDS,
        )
        if result.status != 0:
            raise CommandFailed(self.name, "looking at the host", result.status, result.stdout, result.stderr)
        last = answers.lines(result.stdout)[-1:]
        if last != [observe.END]:
            raise MalformedAnswer(self.name, f"it ends with {ascii(last[0][-80:]) if last else 'nothing'}")
        seen = understood(self.name, lambda: observe.parse(result.stdout, wanted, self.memory))
        self.memory = understood(self.name, lambda: observe.remember(result.stdout, self.memory))
        return seen

    def perform(self, changes: Sequence[tuple[int, Change]], on_report: OnReport) -> Outcome:
        """See `Remote`."""
        for index, file in perform.uploads(changes):
            words = self._upload(index, file, on_report)
            if words:
                on_report(perform.Report("failed", index))
                return Outcome(frozenset(), index, words)
        account = perform.Account(index for index, _ in changes)

        def read(line: str) -> None:
            report = understood(self.name, lambda: account.hear(line))
            if report is not None:
                on_report(report)

        self._transport.prepare()  # for the gate that mostly follows
        result = self._transport.run(
            titled(f"make {len(changes)} changes", perform.script(changes, self._run)),
            timeout=PERFORM_SECONDS,
            on_line=read,
        )
        if account.failed is not None:
            return Outcome(frozenset(account.done), account.failed, perform.evidence(result.stdout))
        if result.status != 0 or len(account.done) < len(changes):
            raise TransportError(
                self.name,
                f"the script of changes ended early (exit {result.status}): {result.stderr.strip()[-500:]}",
                hint="run `apply` again: it reads the hosts again and resumes",
            )
        return Outcome(frozenset(account.done))

    def _upload(self, index: int, file: UploadedFile, on_report: OnReport) -> str:
        """Stage a file on the host, unless it is there; why that cannot be, in words, or nothing."""

        def tell(sent: int) -> None:
            on_report(perform.Report("sent", index, sent))

        before = self._wire
        try:
            return self._stage(file, tell)
        except HostError:
            raise
        except InstallerError as error:  # the local file is not what is wanted
            return f"{error}\n{error.hint}"
        finally:
            if self._wire > before:
                on_report(perform.Report("uploaded", index, self._wire - before))

    def _stage(self, file: UploadedFile, tell: OnSent) -> str:
        shrinks = self._packer.shrinks(file)
        try:
            if not (shrinks and self._slow):
                return self._sent(file, plain(file), _Meter(file.size, file.size, tell, trial=shrinks))
        except _SlowError:
            self._slow = True
        packed = self._packer.gzipped(file)
        return self._sent(file, packed, _Meter(file.size, packed.size, tell))

    def _sent(self, file: UploadedFile, packed: Packed, meter: _Meter) -> str:
        script = upload.script(file, packed.size, packed=packed.gzip)
        try:
            result = self._transport.upload(script, packed.path, idle=UPLOAD_IDLE_SECONDS, on_sent=meter)
        finally:
            self._wire += meter.wire
        return upload.evidence(result.stdout, result.stderr) if result.status != 0 else ""

    def probe(self, gate: Gate, patience: int = 0, since: int = 0) -> gates.GateAnswer:
        """See `Remote`."""
        result = self._transport.run(
            titled(f"ask whether {gate.unit} is healthy", gates.script(gate, patience, since)),
            timeout=GATE_SECONDS + patience,
        )
        return understood(self.name, lambda: gates.judge(gate, result.stdout))

    def unit_state(self, unit: str, since: int = 0) -> gates.UnitState:
        """See `Remote`."""
        result = self._transport.run(gates.unit_script(unit, since, started=True), timeout=GATE_SECONDS)
        return understood(self.name, lambda: gates.unit_state(result.stdout))

    def ask(self, gate: Gate, urls: Sequence[str]) -> Sequence[str]:
        """See `Remote`."""
        result = self._transport.run(gates.answers_script(gate, urls), timeout=EVIDENCE_SECONDS)
        return understood(self.name, lambda: gates.answers(result.stdout))

    def evidence(self, unit: str) -> str:
        """See `Remote`."""
        return self._transport.run(perform.evidence_script(unit), timeout=EVIDENCE_SECONDS).stdout.strip()


class _SlowError(Exception):
    """The way to the host is so slow that a compressed copy is there sooner."""


class _Meter:
    """Hears how much of an upload is on its way: tells it now and then, in bytes of the file, and tries the way.

    With `trial` it raises _SlowError where the first moments are slow, unless most of the file is there already.
    """

    def __init__(self, size: int, coming: int, tell: OnSent, *, trial: bool = False) -> None:
        self._size, self._coming, self._tell, self._trial = size, coming, tell, trial
        self._first: tuple[float, int] | None = None
        self._told = 0.0
        self._last = 0

    @property
    def wire(self) -> int:
        """How many bytes were sent in this run, without resumed bytes."""
        return self._last - self._first[1] if self._first is not None else 0

    def __call__(self, sent: int) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now, sent
        self._last = sent
        began, offset = self._first
        if self._trial and now - began >= TRIAL_SECONDS:
            self._trial = False
            if offset < self._coming // 2 and sent - offset < FAST * (now - began):
                raise _SlowError
        if now - self._told >= _SENT_SECONDS or sent == self._coming:
            self._told = now
            self._tell(sent * self._size // max(self._coming, 1))
