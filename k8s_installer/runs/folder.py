"""The folder of a cluster's runs on this machine: private files, named by run, the oldest of which go."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from k8s_installer.errors import InstallerError


def run_id(now: datetime | None = None) -> str:
    """A new name for a run; names sort by time: `20260102-120310-123456-a1b2c3` (UTC, microseconds, random)."""
    return f"{now or datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{secrets.token_hex(3)}"


def private_file(folder: Path, name: str) -> BinaryIO:
    """Create a file that only its owner can read (0600), in a folder that only its owner can enter (0700).

    Raises:
        InstallerError: it cannot be made there, or it is there already.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.fdopen(os.open(folder / name, flags, 0o600), "ab")
        directory = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)  # the name is as safe as the lines
        finally:
            os.close(directory)
    except OSError as error:
        raise InstallerError(
            f"cannot keep a record of this run: {error.strerror}: {error.filename or folder}",
            hint=f"{folder} must be a writable folder",
        ) from None
    return file


def prune(folder: Path, ending: str, keep: int) -> None:
    """Remove the oldest files with this ending, until `keep` are left; a file that stays is no harm."""
    for path in sorted(folder.glob(f"*{ending}"), reverse=True)[keep:]:
        with suppress(OSError):
            path.unlink()
