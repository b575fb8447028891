"""The full trace of a run in one file: every script, its answer and its time, with nothing secret in it.

Secrets are kept out twice. Bytes that a script writes (base64) are replaced by their count and sum,
and whatever still looks like a key or a token, in scripts and in answers, is replaced by its kind.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from k8s_installer.errors import CommandFailed
from k8s_installer.runs.folder import private_file, prune, run_id
from k8s_installer.runs.redaction import redact
from k8s_installer.transport import OnLine, OnSent, Result, Transport
from k8s_installer.untrusted import answers
from k8s_installer.untrusted.visible import visible

KEPT_TRACES = 50
TITLE_CHARACTERS = 80
# What gets each record as it is written: its first line, and all of it.
OnRecord = Callable[[str, str], None]
# How a line ends after which `perform` writes bytes, up to a line that begins with the closing quote.
BYTES = "bytes '"

_HEARD_LINES, _HEARD_CHARACTERS = 1000, 1000  # of an answer that broke off: its last lines, and of each so much
_LONGEST = 1 << 20  # characters of one answer that are written out: its head and its tail


def readable(script: str) -> str:
    """A script as the trace shows it: bytes elided as `<N bytes, sha256 ...>`, secrets redacted."""
    return redact("\n".join(_elided(script.splitlines())))


def _elided(lines: list[str]) -> Iterator[str]:
    """The lines, where the bytes of a file are one line; those that have no end go to the end."""
    number = 0
    while number < len(lines):
        line = lines[number]
        yield line
        number += 1
        if line.endswith(BYTES):
            end = next((i for i in range(number, len(lines)) if lines[i].startswith("'")), len(lines))
            yield _sum(lines[number:end])
            number = end


def _decoded(body: list[str]) -> bytes | None:
    try:
        return base64.b64decode("".join(body), validate=True)
    except binascii.Error:
        return None


def _sum(body: list[str]) -> str:
    content = _decoded(body)
    if content is None:
        return f"<{len(body)} lines that are not base64>"
    return f"<{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}>"


class Trace:
    """The open file. Every method may be called from any thread; a record is never torn by another one.

    Args:
        path: where the file is.
        file: takes the records.
        on_record: takes them, too, as text.
    """

    def __init__(self, path: Path, file: BinaryIO, on_record: OnRecord | None = None) -> None:
        self.path, self._file, self._on_record = path, file, on_record
        self._lock = threading.Lock()
        self._count = 0
        self._scripts: dict[bytes, tuple[int, str]] = {}  # sum of a script -> the number of its text, and its title

    @property
    def run(self) -> str:
        """The run's name, for the journal beside it."""
        return self.path.stem

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.note(f"the run ends with {type(error).__name__}: {error}")
        self.close()

    def note(self, text: str) -> None:
        """Write words of our own: the command line, a decision, an error."""
        with self._lock:
            self._write(text)

    def begin(self, host: str, script: str) -> int:
        """Write that a script is sent to a host; the number by which `end` knows it.

        A gate asks the same again and again, so a script is written out once.
        """
        digest = hashlib.sha256(script.encode(errors="replace")).digest()
        with self._lock:
            self._count += 1
            number = self._count
            if digest in self._scripts:
                first, title = self._scripts[digest]
                self._write(f"{host} #{number} begins: {title} (the script of #{first})")
            else:
                shown = readable(script)
                title = _title(shown)
                self._scripts[digest] = number, title
                self._write(f"{host} #{number} begins: {title}", _quoted("|", shown))
        return number

    def end(self, number: int, host: str, words: str, result: tuple[str, str], seconds: float) -> None:
        """Write how script `number` ended: its exit status or error in `words`, and both of its outputs."""
        out, err = (redact(_bounded(text)) for text in result)
        with self._lock:
            self._write(f"{host} #{number} {words} after {seconds:.2f} s", _quoted("out|", out), _quoted("err|", err))

    def close(self) -> None:
        """Close the file; what is written after that is dropped."""
        with self._lock, suppress(OSError):
            self._file.close()

    def _write(self, title: str, *blocks: str) -> None:
        """Add one record. A full disk on this machine must not stop the work on the hosts."""
        first = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}Z {redact(title)}"
        text = f"{first}\n" + "".join(blocks)
        if self._on_record is not None:
            self._on_record(first, text)
        with suppress(OSError, ValueError):  # ValueError: the file is closed
            self._file.write(visible(text).encode())
            self._file.flush()


def _title(shown: str) -> str:
    """What a script is for: its first line, where scripts may have a comment."""
    first = next((line for line in shown.splitlines() if line.strip()), "")
    return first.removeprefix("#").strip()[:TITLE_CHARACTERS]


def _quoted(mark: str, text: str) -> str:
    """Lines after a mark, so that no output can be taken for a record of ours."""
    return "".join(f"    {mark} {line}\n" for line in answers.lines(text))


def _bounded(text: str) -> str:
    """The text; of a very long one the head and the tail, for a host must not fill this machine's disk."""
    half = _LONGEST // 2
    left_out = len(text) - 2 * half
    return text if left_out <= 0 else f"{text[:half]}\n<{left_out} characters left out>\n{text[-half:]}"


def unkept(on_record: OnRecord) -> Trace:
    """A trace that is in no file."""
    return Trace(Path(os.devnull), Path(os.devnull).open("ab"), on_record)


def open_trace(folder: Path, run: str = "", on_record: OnRecord | None = None) -> Trace:
    """Begin the trace `<run>.trace` in the journal's folder; the oldest are removed, fifty stay.

    Raises:
        InstallerError: the folder or the file cannot be made.
    """
    path = folder / f"{run or run_id()}.trace"
    file = private_file(folder, path.name)
    prune(folder, ".trace", KEPT_TRACES)
    return Trace(path, file, on_record)


class _Traced:
    def __init__(self, inner: Transport, trace: Trace) -> None:
        self._inner, self._trace = inner, trace

    @property
    def host(self) -> str:
        return self._inner.host

    def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
        # an answer that is cut off is not returned, and says how far the script came
        heard: deque[str] = deque(maxlen=_HEARD_LINES)

        def hear(line: str) -> None:
            heard.append(line[:_HEARD_CHARACTERS])
            if on_line is not None:
                on_line(line)

        return self._noted(script, heard, lambda: self._inner.run(script, timeout=timeout, on_line=hear))

    def upload(self, script: str, source: Path, *, idle: float = 60.0, on_sent: OnSent | None = None) -> Result:
        return self._noted(script, [], lambda: self._inner.upload(script, source, idle=idle, on_sent=on_sent))

    def download(self, script: str, target: BinaryIO, *, idle: float = 60.0, on_saved: OnSent | None = None) -> Result:
        return self._noted(script, [], lambda: self._inner.download(script, target, idle=idle, on_saved=on_saved))

    def prepare(self) -> None:
        self._inner.prepare()

    def close(self) -> None:
        self._inner.close()

    def _noted(self, script: str, heard: Iterable[str], talk: Callable[[], Result]) -> Result:
        number, began = self._trace.begin(self.host, script), time.monotonic()
        try:
            result = talk()
        except BaseException as error:
            outputs = (error.stdout, error.stderr) if isinstance(error, CommandFailed) else ("\n".join(heard), "")
            words = f"{type(error).__name__}: {error}"
            self._trace.end(number, self.host, words, outputs, time.monotonic() - began)
            raise
        outputs = (result.stdout, result.stderr)
        self._trace.end(number, self.host, f"exit {result.status}", outputs, time.monotonic() - began)
        return result


def traced(transport: Transport, trace: Trace) -> Transport:
    """The same transport, with every script and its answer written to the trace."""
    return _Traced(transport, trace)
