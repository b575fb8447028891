"""The local folder of keys and certificates: read by every command, written by those that make or recover keys."""

from __future__ import annotations

import base64
import errno
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from k8s_installer.errors import InputError
from k8s_installer.pki import certificates, issuing, record, standing
from k8s_installer.pki.certificates import Authority, Flaw, Locked, Pair
from k8s_installer.pki.inherited import INHERITED
from k8s_installer.pki.leaves import AUTHORITIES, ENCRYPTION, TOKENS, Leaf, Pki, names
from k8s_installer.pki.record import Record
from k8s_installer.pki.standing import KEY_BYTES, Standing, stand

Passphrase = Callable[[str], bytes]  # asks for that of a key, by the key's path


def nobody(path: str) -> bytes:
    """Answer for a pass phrase where nobody is asked.

    Raises:
        InputError: always.
    """
    raise InputError(f"{path} has a pass phrase", hint="this command does not ask for it")


def look(folder: Path, wanted: Mapping[str, Leaf]) -> Pki:
    """What the folder has for these certificates, with placeholders for what `apply` would make; writes nothing.

    Raises:
        InputError: the folder cannot be used, or a key is lost or damaged; everything at once.
    """
    if not wanted:
        return Pki({})
    with _told(folder), _reading(folder):
        return _stand(folder, wanted)[0].pki(wanted)


def ensure(folder: Path, wanted: Mapping[str, Leaf], ask: Passphrase = nobody) -> Pki:
    """Load the PKI, making what is pending; a second call gives the same bytes.

    A certificate of ours that no longer fits the inventory (a host has another address) is issued again. What
    somebody put there, CAs, and the two keys without certificate are never replaced. The folder is 0700, its files
    0600. A run waits for another one that is writing, and completes what one that was cut off has begun.

    Args:
        folder: where it is.
        wanted: the certificates that the cluster needs.
        ask: for the pass phrase of a CA's key, once for each that must sign.

    Raises:
        InputError: the folder cannot be used, a key is lost or damaged, or a pass phrase cannot be asked for.
    """
    if not wanted:
        return Pki({})
    with _told(folder), _alone(folder):
        found, known = _stand(folder, wanted)
        if found.pending:
            write_all(folder, _made(folder, found, wanted, ask), known)
            found, _ = _stand(folder, wanted)
        return found.pki(wanted)


def unsigned(folder: Path, wanted: Mapping[str, Leaf]) -> Mapping[str, Leaf]:
    """The certificates that are needed and whose CA has its key elsewhere; writes nothing.

    Raises:
        InputError: the folder cannot be used.
    """
    with _told(folder), _reading(folder):
        files = _files(folder, wanted)
        return standing.unsigned(folder, files, read_record(folder, files), wanted)


def fill(folder: Path, wanted: Mapping[str, Leaf], found: Mapping[str, bytes]) -> tuple[str, ...]:
    """Put keys that hosts gave into the folder, where it has none of that name; what is there is never replaced.

    Args:
        folder: where it is.
        wanted: the certificates that the cluster needs.
        found: keys and certificates by name, which fit each other.

    Returns:
        the names that were written; keys of CAs that no host has are from now on known not to be here.

    Raises:
        InputError: a file is there already and differs, or the whole cannot be used; nothing was written.
    """
    with _told(folder), _alone(folder):
        here = _files(folder, wanted)
        known = read_record(folder, here)
        other = [str(folder / name) for name in found if here.get(name, found[name]) != found[name]]
        if other:
            hint = "move the folder away to recover all of it, or remove the files that are not this cluster's"
            raise InputError(f"here already, and other than what the hosts have: {', '.join(other)}", hint=hint)
        new = {name: content for name, content in found.items() if name not in here}
        whole = {**here, **new}
        lacking = [f"{ca}.key" for ca in AUTHORITIES if f"{ca}.crt" in whole and f"{ca}.key" not in whole]
        own = known.adding(found).lacking(lacking)
        stand(folder, whole, own, wanted)
        write_all(folder, new, own)
        return tuple(new)


def _files(folder: Path, wanted: Mapping[str, Leaf]) -> dict[str, bytes]:
    return {name: content for name in names(wanted) if (content := read(folder, name)) is not None}


def _stand(folder: Path, wanted: Mapping[str, Leaf]) -> tuple[Standing, Record]:
    files = _files(folder, wanted)
    known = read_record(folder, files)
    return stand(folder, files, known, wanted), known


def _made(folder: Path, found: Standing, wanted: Mapping[str, Leaf], ask: Passphrase) -> dict[str, bytes]:
    """Everything that is pending, in memory: nothing is written before all of it is there."""
    made: dict[str, bytes] = {}
    authorities = dict(found.authorities)
    for name, common_name in AUTHORITIES.items():
        if f"{name}.crt" in found.pending:
            left = read(folder, f"{name}.key")  # by a run that was cut off
            key = certificates.read_key(left) if left is not None else None
            pair = issuing.self_signed(common_name, key) if key else issuing.new_authority(common_name)
            made |= _pair(name, pair)
            authorities[name] = certificates.read_authority(pair.certificate, pair.key)
    if f"{TOKENS}.key" in found.pending:
        key = issuing.new_rsa_key()
        made |= {f"{TOKENS}.key": certificates.private_pem(key), f"{TOKENS}.pub": certificates.public_pem(key)}
    if ENCRYPTION in found.pending:
        made[ENCRYPTION] = base64.b64encode(os.urandom(KEY_BYTES)) + b"\n"
    new = {name: leaf for name, leaf in wanted.items() if f"{name}.crt" in found.pending}
    for issuer in sorted({leaf.issuer for leaf in new.values()}):
        if authorities[issuer].key is None:
            authorities[issuer] = _unlocked(folder, issuer, ask)
    # RSA keys take a tenth of a second each, and making them releases the interpreter's lock.
    with ThreadPoolExecutor() as pool:
        pairs = pool.map(lambda leaf: issuing.issue(authorities[leaf.issuer], leaf), new.values())
        for name, pair in zip(new, pairs, strict=True):
            made |= _pair(name, pair)
    return made


def _pair(name: str, pair: Pair) -> dict[str, bytes]:
    return {f"{name}.key": pair.key, f"{name}.crt": pair.certificate}


def _unlocked(folder: Path, name: str, ask: Passphrase) -> Authority:
    name = name if (folder / f"{name}.crt").exists() else INHERITED[name]
    path = folder / f"{name}.key"
    certificate, key = (read(folder, f"{name}.{ending}") or b"" for ending in ("crt", "key"))
    try:
        return certificates.read_authority(certificate, key, ask(str(path)))
    except Locked:
        raise InputError(f"that is not the pass phrase of {path}", hint="nothing was made or changed") from None
    except Flaw as flaw:
        raise InputError(f"{path.with_suffix('.crt')} {flaw}") from None


def write_all(folder: Path, files: Mapping[str, bytes], known: Record) -> None:
    """Write files as made here: the record first, so that a run that is cut off is known by what it was writing."""
    own = known.adding(files)
    write(folder, record.FILE, record.dump(own.during(files)))
    for name, content in files.items():
        write(folder, name, content)
    write(folder, record.FILE, record.dump(own.during(())))


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"the PKI folder {folder} cannot be used: {error.strerror}: {error.filename}") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel ends it with the process, however that ends."""
    handle = -1
    with suppress(OSError):  # where nothing can be written nothing can be made, and reading needs no lock
        _folder(folder)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    yield from _flocked(handle, fcntl.LOCK_EX)


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Wait for a run that is writing; where none ever was, there is nothing to wait for, and nothing is made."""
    handle = -1
    with suppress(OSError):
        handle = os.open(folder / ".lock", os.O_RDONLY | os.O_CLOEXEC)
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
        return record.load(text) if text is not None else standing.adopted(files)
    except Flaw as flaw:
        hint = f"restore it from a backup, or remove it if {folder} is complete"
        raise InputError(f"{folder / record.FILE} {flaw}", hint=hint) from None


def read(folder: Path, name: str) -> bytes | None:
    """The bytes of a file; None if there is none. A link to nothing is an error: something was meant to be there."""
    path = folder / name
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if path.is_symlink():
            raise OSError(errno.ENOENT, "a link to what is not there", str(path)) from None
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
