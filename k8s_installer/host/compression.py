"""What travels of a large local file: itself or, where that helps, a compressed copy made once for all hosts."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from platformdirs import user_cache_path

from k8s_installer.errors import InstallerError
from k8s_installer.model.resources import UploadedFile

# Compressed for itself, so that all cores work; gzip reads one after the other as one file.
_BLOCK = 4 * 1024 * 1024
_SAMPLES = 8
_SAMPLE = 128 * 1024
# What shrinks less costs the host more time to unpack than the wire saves.
_WORTH_IT = 0.8
_GZIP = 31  # zlib's word for gzip's format; without a name and a time, so that the same bytes give the same copy
_UNUSED_SECONDS = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Packed:
    """What to send: a local file of so many bytes, and whether they are in gzip's format."""

    path: Path
    size: int
    gzip: bool


def plain(file: UploadedFile) -> Packed:
    """The file as it is."""
    return Packed(file.source, file.size, gzip=False)


class Packer:
    """Looks at each file once and compresses it once, however many hosts want it; for any number of threads."""

    def __init__(self, folder: Path | None = None) -> None:
        self._given = folder
        self._lock = threading.Lock()  # one at a time: compressing takes all cores
        self._plain: dict[str, bool] = {}  # by sum: whether it shrinks
        self._gzipped: dict[str, Packed] = {}

    def shrinks(self, file: UploadedFile) -> bool:
        """See that the local file is what is wanted; whether compressing it may be worth it.

        Raises:
            InstallerError: it cannot be read, or is another file than what is wanted.
        """
        with self._lock:
            if file.sha256 not in self._plain:
                with _opened(file) as source:
                    _require(file, hashlib.file_digest(source, "sha256").hexdigest())
                    self._plain[file.sha256] = _shrinks(source, file.size)
            return self._plain[file.sha256]

    def gzipped(self, file: UploadedFile) -> Packed:
        """The compressed copy; the file itself where there is no room for one.

        Raises:
            InstallerError: as `shrinks`.
        """
        cache = self._given or user_cache_path("k8s-installer") / "uploads"
        target = (file.source.parent / "packed" if file.secret else cache) / f"{file.sha256}.gz"
        with self._lock:
            if file.sha256 not in self._gzipped:
                with _opened(file) as source:
                    self._gzipped[file.sha256] = _gzipped(file, source, target)
            return self._gzipped[file.sha256]


@contextmanager
def _opened(file: UploadedFile) -> Iterator[BufferedReader]:
    try:
        with file.source.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            if size != file.size:
                raise InstallerError(f"{file.source} has {size} bytes, not {file.size}", hint=_HINT)
            yield source
    except OSError as error:
        raise InstallerError(f"cannot read {file.source}: {error.strerror}", hint=_HINT) from None


def _gzipped(file: UploadedFile, source: BufferedReader, target: Path) -> Packed:
    try:
        if target.exists():
            target.touch()
        else:
            _compress(file, source, target)
        return Packed(target, target.stat().st_size, gzip=True)
    except OSError:
        return plain(file)


def _compress(file: UploadedFile, source: BufferedReader, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    _clean(target.parent)
    digest = hashlib.sha256()
    handle, name = tempfile.mkstemp(dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as copy:
            for block in _members(source, digest.update):
                copy.write(block)
            copy.flush()
            os.fsync(handle)  # a copy that is there is whole
        _require(file, digest.hexdigest())
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


_HINT = "provide the file again; it must be the one that the plan was made with"


def _require(file: UploadedFile, sha256: str) -> None:
    if sha256 != file.sha256:
        raise InstallerError(
            f"{file.source} is a different file: its SHA-256 is {sha256[:16]}, not {file.sha256[:16]}", hint=_HINT
        )


def _shrinks(source: BufferedReader, size: int) -> bool:
    """Whether samples from all over the file get so much smaller that compressing it is worth it."""
    before = after = 0
    for number in range(_SAMPLES):
        source.seek(size * number // _SAMPLES)
        sample = source.read(_SAMPLE)
        before += len(sample)
        after += len(zlib.compress(sample, 1))
    return after < before * _WORTH_IT


def _members(source: BufferedReader, update: Callable[[bytes], None]) -> Iterator[bytes]:
    """The whole file as members of gzip's format; `update` gets its own bytes. A few blocks are in memory at once."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: deque[Future[bytes]] = deque()
        while block := source.read(_BLOCK):
            waiting.append(pool.submit(zlib.compress, block, 1, _GZIP))
            update(block)
            if len(waiting) > (os.cpu_count() or 1):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _clean(folder: Path) -> None:
    """Remove the copies that nobody has used for a week."""
    for old in folder.iterdir():
        if old.stat().st_mtime < time.time() - _UNUSED_SECONDS:
            old.unlink(missing_ok=True)
