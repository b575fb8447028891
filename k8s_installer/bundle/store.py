"""Files by their sums in the user's cache: what a download leaves, what a bundle is taken apart into.

A file that is there is whole. What nobody has used for a month goes.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from platformdirs import user_cache_path

from k8s_installer.errors import InputError, InstallerError

Say = Callable[[str], None]
OnBytes = Callable[[int], None]

_CHUNK = 1 << 20
_SECONDS = 30.0  # in which a server must say something
_TRIES = 4  # a download that breaks off is resumed
_UNUSED_SECONDS = 30 * 86400.0
_PARTIAL, _NOT_SATISFIABLE = 206, 416
HINT = "run it again: finished downloads are kept, others resume"


def nothing(_: object) -> None:
    """Say nothing."""


class Readable(Protocol):
    """What can be read in pieces."""

    def read(self, count: int, /) -> bytes:
        """So many bytes, or fewer; none at the end."""


class Store:
    """A folder of files by their sums."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or user_cache_path("k8s-installer") / "bundle"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for old in self.folder.iterdir():
                if old.is_file() and old.stat().st_mtime < time.time() - _UNUSED_SECONDS:
                    old.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"cannot keep files in {self.folder}: {error.strerror}") from None

    def path(self, digest: tuple[str, str]) -> Path:
        """Where the file of this sum is, or would be."""
        return self.folder / "-".join(digest)

    def has(self, digest: tuple[str, str], size: int) -> bool:
        """Whether a file of this sum and size is there; that it is used is noted."""
        path = self.path(digest)
        if not path.is_file() or path.stat().st_size != size:
            return False
        path.touch()
        return True

    def take(self, stream: Readable, on_bytes: OnBytes = nothing) -> tuple[str, int]:
        """Keep what a stream has, whatever it is; its SHA-256 and size."""
        handle, name = tempfile.mkstemp(prefix=".", dir=self.folder)
        total = hashlib.sha256()
        try:
            with os.fdopen(handle, "wb") as copy:
                while piece := stream.read(_CHUNK):
                    copy.write(piece)
                    total.update(piece)
                    on_bytes(len(piece))
                size = copy.tell()
            Path(name).replace(self.path(("sha256", total.hexdigest())))
        finally:
            Path(name).unlink(missing_ok=True)
        return total.hexdigest(), size

    def fetch(
        self,
        url: str,
        digest: tuple[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        on_bytes: OnBytes = nothing,
        limit: int = 0,
    ) -> Path:
        """A file of a known sum, downloaded unless it is here; what broke off is resumed, also by a later run.

        Args:
            url: http, https or file.
            digest: an algorithm of hashlib's, and hexadecimal digits.
            headers: what to send along, but not to where a server sends us on.
            on_bytes: hears how many bytes have come, piece by piece.
            limit: how many bytes it has, where that is known.

        Raises:
            InstallerError: it cannot be had, or is another file.
        """
        path = self.path(digest)
        if path.is_file():
            path.touch()
            return path
        part = path.with_name(f"{path.name}.part")
        for attempt in range(_TRIES):
            try:
                _download(url, part, headers or {}, on_bytes)
                if not limit or part.stat().st_size >= limit:
                    break
            except InstallerError:
                raise
            except (OSError, http.client.HTTPException) as error:
                if attempt == _TRIES - 1 or isinstance(error, urllib.error.URLError):
                    raise _failed(url, error) from None
        with part.open("rb") as stream:
            came = hashlib.file_digest(stream, digest[0]).hexdigest()
        if came != digest[1]:
            part.unlink()
            raise InstallerError(
                f"{url} does not match its source: its {digest[0].upper()} is {came[:16]}, not {digest[1][:16]}",
                hint="something in between changed it, or the mirror is being updated: run it again, or use "
                "another mirror",
            )
        part.replace(path)
        return path


def read(url: str, headers: Mapping[str, str] | None = None, limit: int = 1 << 28) -> bytes:
    """A small file whose sum nobody knows: the beginning of a repository.

    Raises:
        InstallerError: it cannot be had.
    """
    try:
        with opened(url, headers or {}) as answer:
            data: bytes = answer.read(limit)
            return data
    except (OSError, http.client.HTTPException) as error:
        raise _failed(url, error) from None


def opened(url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
    """An answer to a request; the headers go to the first server alone, for tokens are not for the others."""
    request = urllib.request.Request(url)  # noqa: S310 - callers let http, https and file in
    for name, value in headers.items():
        request.add_unredirected_header(name, value)
    answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_SECONDS)  # noqa: S310
    return answer


def _download(url: str, part: Path, headers: Mapping[str, str], on_bytes: OnBytes) -> None:
    have = part.stat().st_size if part.exists() else 0
    asked = {**headers, "Range": f"bytes={have}-"} if have and not url.startswith("file:") else dict(headers)
    try:
        with opened(url, asked) as answer:
            goes_on = getattr(answer, "status", None) == _PARTIAL
            if goes_on:
                on_bytes(have)
            with part.open("ab" if goes_on else "wb") as target:
                while piece := answer.read(_CHUNK):
                    target.write(piece)
                    on_bytes(len(piece))
    except urllib.error.HTTPError as error:
        with error:
            if error.code == _NOT_SATISFIABLE:  # there is no more than what is here
                return
            raise _failed(url, error) from None


def _failed(url: str, error: Exception) -> InstallerError:
    reason = getattr(error, "reason", None) or error
    said = f"{error.code} {reason}" if isinstance(error, urllib.error.HTTPError) else reason
    return InstallerError(f"cannot download {url}: {said}", hint=HINT)


def counted(say: Say, what: str) -> OnBytes:
    """Tell how much of something has come."""
    came = [0]

    def on_bytes(count: int) -> None:
        came[0] += count
        say(f"{what}: {came[0] / 1e6:.0f} MB")

    return on_bytes
