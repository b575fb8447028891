"""Files that people wrote or were given: read whole, or refused in words and at once.

A path may lead anywhere: a FIFO that nobody writes to waits for ever, /dev/zero has no end, and a link may be a circle.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

LARGEST = 16 << 20  # bytes: an inventory of 5,000 hosts has one million

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class UnreadableError(Exception):
    """A file cannot be read; the text says why, without its name."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file, to be read.

    Raises:
        UnreadableError: it is not there, is no regular file, or cannot be opened.
    """
    try:
        # Opening a FIFO waits for a writer, unless asked not to; of a regular file this changes nothing.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error
    except ValueError as error:  # a path with a NUL byte
        raise UnreadableError(str(error)) from None
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise UnreadableError(f"is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(handle)


def content(path: Path, largest: int = LARGEST) -> bytes:
    """The bytes of a regular file.

    Raises:
        UnreadableError: it is not there, is no regular file, has more than `largest` bytes, or cannot be read.
    """
    with opened(path) as file:
        try:
            data = file.read(largest + 1)
        except OSError as error:
            raise UnreadableError(error.strerror or str(error)) from error
    if len(data) > largest:
        raise UnreadableError(f"has more than {largest >> 20} MiB")
    return data


def text(path: Path, largest: int = LARGEST) -> str:
    """The text of a regular file in UTF-8, with or without a byte order mark.

    Raises:
        UnreadableError: as for `content`, or it is not UTF-8.
    """
    try:
        return content(path, largest).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"not UTF-8 text: byte {error.start + 1} is {error.object[error.start]:#04x}") from None


def is_file(path: Path) -> bool:
    """Whether a regular file is there; not so if its path is too long, or none at all."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
