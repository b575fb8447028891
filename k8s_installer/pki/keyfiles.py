"""The files of a PKI folder: read and written whole, by one run at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from k8s_installer.errors import InputError
from k8s_installer.pki import record, rotation
from k8s_installer.pki.certificates import Flaw
from k8s_installer.pki.leaves import Leaf, names
from k8s_installer.pki.record import Record
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

_LARGEST = 1 << 20  # bytes; a bundle of all public CAs has a quarter of that
_LOCK = os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO of that name is locked like a file, and nobody waits for its writer


def files_of(folder: Path, wanted: Mapping[str, Leaf]) -> dict[str, bytes]:
    """The files of the folder that a cluster with these certificates uses."""
    return {name: content for name in names(wanted) if (content := read(folder, name)) is not None}


def rotated(folder: Path, root: str) -> dict[str, bytes]:
    """The files that the rotation of a CA or key is about."""
    about = (*rotation.about(root), *rotation.beside(root))
    return {name: content for name in about if (content := read(folder, name)) is not None}


def rotated_files(folder: Path, roots: Iterable[str] = rotation.ALL) -> dict[str, bytes]:
    """The files that rotations of these CAs and keys are about."""
    return {name: content for root in roots for name, content in rotated(folder, root).items()}


def write_all(folder: Path, files: Mapping[str, bytes], own: Record) -> None:
    """Write files: the record first, so that a run that is cut off is known by what it was making."""
    write(folder, record.FILE, record.dump(own.during(name for name in files if own.has(name, files[name]))))
    for name, content in files.items():
        write(folder, name, content)
    write(folder, record.FILE, record.dump(own.during(())))


@contextmanager
def in_words(folder: Path) -> Iterator[None]:
    """Errors of the file system as InputError, which names the folder and the file."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot use the PKI folder {folder}: {error.strerror}: {error.filename}") from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel ends it with the process, however that ends."""
    handle = -1
    with suppress(OSError):  # where nothing can be written nothing can be made, and reading needs no lock
        _folder(folder)
        handle = os.open(folder / ".lock", _LOCK | os.O_RDWR | os.O_CREAT, 0o600)
    yield from _flocked(handle, fcntl.LOCK_EX)


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Wait for a run that is writing; where none ever was, there is nothing to wait for, and nothing is made."""
    handle = -1
    with suppress(OSError):
        handle = os.open(folder / ".lock", _LOCK | os.O_RDONLY)
    yield from _flocked(handle, fcntl.LOCK_SH)


def _flocked(handle: int, how: int) -> Iterator[None]:
    try:
        if handle >= 0:
            fcntl.flock(handle, how)
        yield
    finally:
        if handle >= 0:
            os.close(handle)


def read_record(folder: Path, files: Mapping[str, bytes]) -> Record:
    """The record of a folder, or what its files say themselves where it has none.

    Raises:
        InputError: it cannot be read.
    """
    text = read(folder, record.FILE)
    try:
        return record.load(text) if text is not None else record.adopted(files)
    except Flaw as flaw:
        hint = f"restore it from a backup, or remove it if {folder} is complete"
        raise InputError(f"{folder / record.FILE} {flaw}", hint=hint) from None


def read(folder: Path, name: str) -> bytes | None:
    """The bytes of a file; None if there is none. A link to nothing is an error: something was meant to be there.

    Raises:
        OSError: it cannot be read, or is no regular file of a moderate size.
    """
    path = folder / name
    try:
        return userfile.content(path, _LARGEST)
    except UnreadableError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise OSError(errno.EINVAL, str(error), str(path)) from None
        if path.is_symlink():
            raise OSError(errno.ENOENT, "a dangling link", str(path)) from None
        return None


def _folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def write(folder: Path, name: str, content: bytes) -> None:
    """Write beside the target and rename: no run ever reads half a file."""
    path = folder / name
    _folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def settle(folder: Path, known: Record, now: Record) -> None:
    """Write the record where it changes."""
    if now != known:
        write(folder, record.FILE, record.dump(now))
