"""Files that commands write for their user."""

from __future__ import annotations

import os
from pathlib import Path

from k8s_installer.errors import InputError

PUBLIC, PRIVATE = 0o644, 0o600


def write(path: Path, content: bytes, mode: int = PUBLIC) -> None:
    """Write a file of the user's, with its folders.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(handle, "wb") as target:
            if mode == PRIVATE:
                os.fchmod(handle, mode)  # a file that was there kept its mode
            target.write(content)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
