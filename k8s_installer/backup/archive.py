"""The file of a backup: a tar in gzip's format, sealed where there is a pass phrase; written whole, and read back."""

from __future__ import annotations

import fcntl
import glob
import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, NoReturn

from k8s_installer.backup.etcd import DamagedError, Snapshot
from k8s_installer.backup.manifest import NAME, Entry, Manifest, dumped, loaded
from k8s_installer.backup.sealed import MAGIC, Sealing, UnsealError, Unsealing
from k8s_installer.errors import InputError, InstallerError
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

V3, V2 = "etcd/v3.db", "etcd/v2.json"
INVENTORY, ALLOCATIONS, KEYS = "inventory.yaml", "allocations", "pki/"
_LARGEST = 16 << 20  # bytes of a part that is no data of etcd's
_MOST = 64 << 30  # bytes of all parts; etcd itself holds 8 GB at most
_PIECE = 1 << 20
_GZIP = b"\x1f\x8b"
_FULL = "if the disk is full, make room; nothing was changed"
_SPEED = 1  # of gzip: etcd's data shrinks to a fifth, and more effort gains little

Passphrase = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Part:
    """A file for a backup: its name there, and its bytes."""

    name: str
    source: BinaryIO


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup has: its manifest, and its files by name; etcd's data is only there where a folder was given."""

    manifest: Manifest
    files: Mapping[str, bytes]
    sealed: bool

    @property
    def keys(self) -> dict[str, bytes]:
        """The files of the folder of keys, by their names there."""
        return {name.removeprefix(KEYS): data for name, data in self.files.items() if name.startswith(KEYS)}


def entry(part: Part) -> Entry:
    """What the manifest says of a part."""
    digest, size = hashlib.sha256(), 0
    part.source.seek(0)
    while piece := part.source.read(_PIECE):
        digest.update(piece)
        size += len(piece)
    return Entry(name=part.name, sha256=digest.hexdigest(), size=size)


@contextmanager
def target(path: Path) -> Iterator[BinaryIO]:
    """A file beside `path`, readable by its owner alone, which takes its place when all of it was written.

    Where `path` is a link, the file it leads to is replaced. What a kill left beside it before is removed.

    Raises:
        InputError: it cannot be made.
        InstallerError: it cannot be written to its end.
    """
    try:
        real = Path(os.path.realpath(path))
        if real.is_dir():
            raise InputError(f"cannot write {path}: it is a folder")
        if real.exists() and not real.is_file():
            raise InputError(f"cannot write {path}: it is no regular file", hint="give the name of a file")
        _sweep(real)
        new = real.with_name(f".{real.name}.{os.getpid()}")
        file = os.fdopen(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w+b")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    try:
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)  # the kernel ends it with the process, however that ends
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(real)
    except OSError as error:
        raise InstallerError(f"cannot write {path}: {error.strerror}", hint=_FULL) from None
    finally:
        with suppress(OSError):
            new.unlink()


def _sweep(path: Path) -> None:
    """Remove what was left beside a backup by a process that was killed while it wrote it: it has every key."""
    for old in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if old.suffix[1:].isdecimal():
            with suppress(OSError), old.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                old.unlink()


def write(file: BinaryIO, manifest: Manifest, parts: Sequence[Part], passphrase: bytes | None = None) -> None:
    """Write a backup whose manifest has an entry for each of the parts, in their order.

    Args:
        file: where to.
        manifest: what it says of itself.
        parts: its files.
        passphrase: what it is sealed with; None leaves it readable by everybody who has the file.
    """
    sink: IO[bytes] = io.BufferedWriter(Sealing(file, passphrase), _PIECE) if passphrase is not None else file
    with (
        gzip.GzipFile(filename="", fileobj=sink, mode="wb", compresslevel=_SPEED, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for part in (Part(NAME, io.BytesIO(dumped(manifest))), *parts):
            about = tarfile.TarInfo(part.name)
            about.mode, about.mtime = 0o600, int(manifest.created.timestamp())
            about.size = part.source.seek(0, os.SEEK_END)
            part.source.seek(0)
            tar.addfile(about, part.source)
    if sink is not file:
        sink.close()


def read(path: Path, passphrase: Passphrase, folder: Path | None = None) -> Backup:
    """Read a whole backup, and compare all of it with its sums.

    Args:
        path: the file.
        passphrase: gives the pass phrase where it is sealed.
        folder: where etcd's data is written to, as `v3.db` and `v2.json`; it is only compared where this is None.

    Raises:
        InputError: it cannot be read, is no backup, is damaged, or the pass phrase is another one.
        InstallerError: what is in it cannot be written.
    """
    try:
        with userfile.opened(path) as file:
            return checked(file, passphrase, folder)
    except UnreadableError as error:
        raise InputError(f"cannot read {path}: {error}") from None
    except OSError as error:
        raise InstallerError(f"cannot read {path}, or write what is in it: {error.strerror}", hint=_FULL) from None
    except (UnsealError, DamagedError) as error:
        raise InputError(f"{path} cannot be used: {error}", hint="use another backup; nothing was changed") from None


def checked(file: BinaryIO, passphrase: Passphrase, folder: Path | None = None) -> Backup:
    """Read a backup from a file that is open; see `read`.

    Raises:
        UnsealError, DamagedError: it is no backup, is damaged, or the pass phrase is another one.
    """
    file.seek(0)
    begins = file.read(len(MAGIC))
    sealed = begins == MAGIC
    if not sealed and not begins.startswith(_GZIP):
        raise DamagedError("it is not a k8s-installer backup")
    file.seek(len(MAGIC) if sealed else 0)
    source: IO[bytes] = io.BufferedReader(Unsealing(file, passphrase()), _PIECE) if sealed else file
    try:
        with gzip.GzipFile(fileobj=source, mode="rb") as packed:
            found = _parts(packed, folder)
            _to_end(packed)
    # tarfile raises ValueError for numbers in extended headers
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError) as error:
        raise DamagedError(f"it is damaged or cut off ({error})") from None
    return Backup(*found, sealed=sealed)


def _parts(packed: gzip.GzipFile, folder: Path | None) -> tuple[Manifest, dict[str, bytes]]:
    with tarfile.open(fileobj=packed, mode="r|") as tar:
        members = iter(tar)
        manifest = _manifest(tar, next(members, None))
        expected = {entry.name: entry for entry in manifest.files}
        files: dict[str, bytes] = {}
        for member in members:
            about = expected.pop(member.name, None)
            source = _content(tar, member)
            if about is None or source is None:
                raise DamagedError(f"it has {member.name}, which its {NAME} does not name")
            if member.size != about.size:
                _differs(about)
            if member.name in (V3, V2):
                _data(about, source, folder)
            else:
                files[about.name] = _small(about, source)
    for name in expected:
        raise DamagedError(f"it is cut off: {name} is missing")
    return manifest, files


def _to_end(packed: gzip.GzipFile) -> None:
    """Read what follows the last part, up to where gzip has its own sum."""
    while packed.read(_PIECE):
        if packed.tell() > _MOST:
            raise DamagedError("it has more bytes than any backup")


def _manifest(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> Manifest:
    source = _content(tar, member) if member is not None and member.name == NAME else None
    if source is None:
        raise DamagedError(f"it is not a k8s-installer backup: its first file is not {NAME}")
    try:
        manifest = loaded(source.read(_LARGEST))
    except ValueError as error:
        raise DamagedError(str(error)) from None
    if V3 not in {entry.name for entry in manifest.files}:
        raise DamagedError("it contains no etcd data")
    if manifest.size > _MOST:
        raise DamagedError(f"its {NAME} names more bytes than any backup has")
    return manifest


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes] | None:
    """The bytes of a plain file; None of a link, a device, or a file with holes, which may be of any size."""
    return tar.extractfile(member) if member.isreg() and not member.issparse() else None


def _small(about: Entry, source: IO[bytes]) -> bytes:
    data = source.read(_LARGEST + 1)
    if len(data) > _LARGEST or hashlib.sha256(data).hexdigest() != about.sha256:
        _differs(about)
    return data


def _data(about: Entry, source: IO[bytes], folder: Path | None) -> None:
    """Compare data of etcd's, and write it to the folder, if there is one."""
    digest, snapshot = hashlib.sha256(), Snapshot()
    with _place(about, folder) as file:
        while piece := source.read(_PIECE):
            digest.update(piece)
            snapshot.update(piece)
            file.write(piece)
    if digest.hexdigest() != about.sha256:
        _differs(about)
    if about.name == V3:
        snapshot.require_whole()


def _place(about: Entry, folder: Path | None) -> BinaryIO:
    path = folder / Path(about.name).name if folder is not None else Path(os.devnull)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


def _differs(about: Entry) -> NoReturn:
    raise DamagedError(f"{about.name} in it does not match its sum: the file is damaged")
