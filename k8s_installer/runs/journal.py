"""What a run did, line by line as it happened: the memory that a rollback works from.

One file for each run, one JSON object for each line, each on disk before the run continues. It is never asked
whether something is done: that is judged by what is observed, and a run that died is continued by `apply`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from k8s_installer.errors import InstallerError
from k8s_installer.host import placed
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import (
    Backup,
    File,
    Kind,
    Missing,
    Package,
    Placed,
    Ref,
    Seen,
    SeenFile,
    SeenLeftovers,
    SeenPackage,
    SeenRecord,
    SeenSetting,
    SeenUnit,
    Setting,
    UploadedFile,
)
from k8s_installer.model.run import Event, State
from k8s_installer.runs.folder import private_file, prune, run_id
from k8s_installer.runs.redaction import redact
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.answers import Malformed
from k8s_installer.untrusted.userfile import UnreadableError
from k8s_installer.untrusted.visible import json_text

FORMAT = 1
KEPT_RUNS = 50
_LARGEST = 256 << 20  # bytes of a journal; a run of thousands of hosts writes less
DETAIL_CHARACTERS = 2000

OnLine = Callable[[int], None]


def nothing(line: int) -> None:
    """Do nothing when line number `line` is on disk."""


class Journal:
    """The open journal of one run; every method may be called from any thread.

    Every method raises InstallerError where the line cannot be put on disk: a run that cannot be undone must not
    continue.
    """

    def __init__(self, path: Path, file: BinaryIO, after_line: OnLine) -> None:
        self.path, self._file, self._after_line = path, file, after_line
        self._lock = threading.Lock()
        self._lines = 0

    @property
    def run(self) -> str:
        """The run's name."""
        return self.path.stem

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close("done")
            return
        with suppress(InstallerError):  # the error that ends the run is the one to see
            self.close(f"{type(error).__name__}: {error}")

    def write(self, word: str, **facts: object) -> None:
        """Add a line and wait until it is on disk.

        Args:
            word: what the line is about; `begin`, `plan`, `change` and `end` are the journal's own.
            facts: JSON values; every text in them is redacted.
        """
        self._add(word, _redacted(facts))

    def _add(self, word: str, facts: Mapping[str, object]) -> None:
        with self._lock:
            self._lines += 1
            line = {"line": self._lines, "time": datetime.now(UTC).isoformat(), "word": word, **facts}
            try:
                self._file.write(json_text(line).encode() + b"\n")
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                raise InstallerError(
                    f"cannot write the journal {self.path}: {error.strerror}",
                    hint="free space on this machine, then run `apply` again: it reads the hosts again",
                ) from None
            self._after_line(self._lines)

    def plan(self, changes: Sequence[Change]) -> None:
        """Write all that the run is about to do, in the plan's order, before any of it begins.

        A script runs on for a moment after its run has died, so a change can be done that no event reports.
        """
        self._add("plan", {"changes": [_facts(index, change) for index, change in enumerate(changes)]})

    def event(self, event: Event, change: Change) -> None:
        """Write that a change has reached a state; contents are written as sums."""
        detail = _shortened(redact(event.detail))
        self._add("change", {**_facts(event.index, change), "state": event.state, "detail": detail})

    def undo(self, event: Event, change: Change) -> None:
        """Write that a change of the way back has reached a state; it is no change of the run."""
        self._add(
            "undo", {**_facts(event.index, change), "state": event.state, "detail": _shortened(redact(event.detail))}
        )

    def close(self, result: str) -> None:
        """Write how the run ended and close the file; a second time does nothing."""
        if self._file.closed:
            return
        try:
            self._add("end", {"result": _shortened(redact(result))})
        finally:
            with suppress(OSError):
                self._file.close()


def start(folder: Path, header: Mapping[str, object], after_line: OnLine = nothing, *, run: str = "") -> Journal:
    """Begin the journal `<run>.jsonl`; the oldest are removed, fifty stay.

    Args:
        folder: the cluster's journals; made with mode 0700.
        header: what the first line says of the run: who, with which version, on what; JSON values.
        after_line: called with a line's number, from 1, when that line is safely on disk.
        run: the run's name, if it has one from its trace.

    Raises:
        InstallerError: the journal cannot be kept.
    """
    path = folder / f"{run or run_id()}.jsonl"
    journal = Journal(path, private_file(folder, path.name), after_line)
    journal.write("begin", format=FORMAT, header=dict(header))
    prune(folder, ".jsonl", KEPT_RUNS)
    return journal


@dataclass(frozen=True, slots=True)
class FileSum:
    """A file as a run left it."""

    sha256: str
    mode: int
    owner: str
    group: str


@dataclass(frozen=True, slots=True)
class PastChange:
    """One change of a past run: `before` is what the plan saw, `after` what it left (None where that is no file).

    `state` is the last that is known; WAITING is also what a died run says of a change that it had sent. `forgets` are
    the lines that it took out of the host's record.
    """

    index: int
    ref: Ref
    action: Action
    component: str
    before: Seen
    after: FileSum | None
    secret: bool
    state: State
    forgets: tuple[Placed, ...] = ()

    @property
    def done(self) -> bool:
        """Whether its end was reported; one that is not done may be done all the same, or in parts."""
        return self.state is State.DONE


@dataclass(frozen=True, slots=True)
class Past:
    """A run as its journal tells it: `lines` are all that were written whole, after the first."""

    run: str
    header: Mapping[str, Any]
    lines: tuple[Mapping[str, Any], ...]

    @property
    def events(self) -> tuple[Mapping[str, Any], ...]:
        """The lines of changes, as they happened."""
        return tuple(line for line in self.lines if line["word"] == "change")

    @property
    def ended(self) -> bool:
        """Whether the run lived to its end; one that did not may still run."""
        return any(line["word"] == "end" for line in self.lines)

    @property
    def result(self) -> str:
        """How it ended; empty where it did not."""
        return next((str(line.get("result")) for line in self.lines if line["word"] == "end"), "")

    def changes(self) -> tuple[PastChange, ...]:
        """Every change that the run planned, in the plan's order, with the last state known of it.

        Raises:
            InstallerError: a line says no change.
        """
        found: dict[int, PastChange] = {}
        try:
            for line in self.lines:
                if line["word"] == "plan":
                    found.update({int(facts["index"]): _past(facts, State.WAITING) for facts in line["changes"]})
                if line["word"] == "change":
                    found[int(line["index"])] = _past(line, State(line["state"]))
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError, Malformed):
            raise InstallerError(f"the journal of run {self.run} is damaged: a line has no change") from None
        return tuple(found[index] for index in sorted(found))

    def done_changes(self) -> tuple[PastChange, ...]:
        """What the run began, in the plan's order; whether its end was reported is `done`."""
        states = (State.RUNNING, State.DONE, State.FAILED)
        begun = {line.get("index") for line in self.events if line.get("state") in states}
        return tuple(change for change in self.changes() if change.index in begun)

    def touched(self) -> tuple[PastChange, ...]:
        """What it may have changed: of a run that died also what it had only sent, for hosts finish what they have."""
        return self.done_changes() if self.ended else self.changes()

    @property
    def undoes(self) -> tuple[str, ...]:
        """The names of the runs that it was to undo; empty if it is no rollback."""
        return tuple(map(str, self.header.get("undoes", ())))


def last(folder: Path) -> Past | None:
    """The newest run; None where there was none. Raises as `past`."""
    return next(past(folder), None)


def past(folder: Path) -> Iterator[Past]:
    """All runs of which a journal is kept, the newest first.

    A run that died in its first line had done nothing and is passed over.

    Raises:
        InstallerError: a journal cannot be read, or is of another format.
    """
    for path in sorted(folder.glob("*.jsonl"), reverse=True):
        try:
            lines = tuple(_whole_lines(userfile.content(path, _LARGEST)))
        except UnreadableError as error:
            raise InstallerError(f"cannot read the journal {path}: {error}") from None
        if not lines:
            continue
        head = lines[0]
        if not isinstance(head.get("header", {}), dict) or any("word" not in line for line in lines):
            raise InstallerError(f"the journal {path} is damaged: a line has no type")
        if head.get("format") != FORMAT:
            raise InstallerError(f"{path}: a journal of format {head.get('format')}; this version reads {FORMAT}")
        yield Past(path.stem, head.get("header", {}), lines[1:])


def _whole_lines(content: bytes) -> Iterator[Mapping[str, Any]]:
    """The lines up to the first that is torn: nothing was written after it."""
    for line in content.split(b"\n")[:-1]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(value, dict):
            return
        yield value


def _redacted(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _redacted(item) for key, item in value.items()}
    return [_redacted(item) for item in value] if isinstance(value, list | tuple) else value


def _shortened(text: str) -> str:
    """The text, or its first and last part: the cause stands first, the newest lines of a service last."""
    half = DETAIL_CHARACTERS // 2
    return text if len(text) <= DETAIL_CHARACTERS else f"{text[:half]}\n[...]\n{text[-half:]}"


def _facts(index: int, change: Change) -> dict[str, object]:
    wanted = change.after
    facts: dict[str, object] = {}
    if isinstance(wanted, Package):
        facts = {"version": wanted.version}
    elif isinstance(wanted, Setting):
        facts = {"value": wanted.value}
    return {
        "index": index,
        **change.ref._asdict(),
        "action": change.action,
        "component": change.component,
        "secret": getattr(wanted, "secret", False),
        "before": _before(change.before),
        "after": _sum(wanted) if isinstance(wanted, File | UploadedFile | Backup) else facts,
        **({"forgets": [placed.line(entry) for entry in change.forgets]} if change.forgets else {}),
    }


def _before(seen: Seen) -> object:
    if isinstance(seen, Missing):
        return seen.value
    if isinstance(seen, SeenRecord):
        return {}
    return {**_sum(seen), "modified_at": seen.modified_at} if isinstance(seen, SeenFile) else asdict(seen)


def _sum(file: File | UploadedFile | Backup | SeenFile) -> dict[str, object]:
    return {"sha256": file.sha256, "mode": f"{file.mode:04o}", "owner": file.owner, "group": file.group}


def _record() -> SeenRecord:
    """A record as the plan saw it; what was in it is nothing that anybody goes back to."""
    return SeenRecord(())


_SEEN: Mapping[Kind, Callable[..., Seen]] = {
    Kind.PACKAGE: SeenPackage,
    Kind.FILE: SeenFile,
    Kind.UNIT: SeenUnit,
    Kind.SETTING: SeenSetting,
    Kind.LEFTOVERS: SeenLeftovers,
    Kind.RECORD: _record,
}


def _past(facts: Mapping[str, Any], state: State) -> PastChange:
    kind, before, after = Kind(facts["kind"]), facts["before"], facts["after"]
    return PastChange(
        index=facts["index"],
        ref=Ref(facts["host"], kind, facts["name"]),
        action=Action(facts["action"]),
        component=facts["component"],
        before=Missing(before) if isinstance(before, str) else _SEEN[kind](**_moded(before)),
        after=FileSum(**_moded(after)) if "sha256" in after else None,
        secret=facts["secret"],
        state=state,
        forgets=placed.parse(facts.get("forgets", ())),
    )


def _moded(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: int(value, 8) if key == "mode" else value for key, value in facts.items()}
