"""The local folder of keys and certificates: read by every command, written by those that make or recover keys."""

from __future__ import annotations

import base64
import errno
import fcntl
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from k8s_installer.errors import InputError
from k8s_installer.model.rotation import Advance, Step
from k8s_installer.pki import certificates, encryption, issuing, record, returned, rotation, standing, validity
from k8s_installer.pki.certificates import Authority, Flaw, Locked, Pair
from k8s_installer.pki.encryption import KEY_BYTES
from k8s_installer.pki.inherited import INHERITED, inherited
from k8s_installer.pki.leaves import AUTHORITIES, ENCRYPTION, ROOTS, TOKENS, Leaf, Pki, authorities, names, root_of
from k8s_installer.pki.record import Record
from k8s_installer.pki.standing import Standing, stand
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

_SUM = 12  # digits of a sum by which a key is known in the cluster
_LARGEST = 1 << 20  # bytes; a bundle of all public CAs has a quarter of that
_LOCK = os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO of that name is locked like a file, and nobody waits for its writer
Passphrase = Callable[[str], bytes]  # asks for that of a key, by the key's path


def nobody(path: str) -> bytes:
    """Answer for a passphrase where nobody is asked.

    Raises:
        InputError: always.
    """
    raise InputError(f"{path} has a passphrase", hint="this command does not ask for it")


def look(folder: Path, wanted: Mapping[str, Leaf], advance: Advance | None = None) -> Pki:
    """What the folder has for these certificates, with placeholders for what `apply` would make; writes nothing.

    Args:
        folder: where it is.
        wanted: the certificates that the cluster needs.
        advance: a step of a rotation, as if it had been made.

    Raises:
        InputError: the folder cannot be used, or a key is lost or damaged; everything at once.
    """
    if not wanted:
        return Pki({})
    with _told(folder), _reading(folder):
        at = _stand(folder, wanted, advance=advance)
    found = at.pki(wanted)
    if advance is None or advance.step is not Step.ADD:
        return found
    # what is made here is another one each time; and what stands in (`inherited`) is the same file
    new = set(at.advanced.values())
    pending = {name: rotation.ADDED for name, content in found.files.items() if content in new}
    return replace(found, pending={**pending, **found.pending})


def ensure(
    folder: Path,
    wanted: Mapping[str, Leaf],
    ask: Passphrase = nobody,
    renewed: Collection[str] = (),
    advance: Advance | None = None,
) -> Pki:
    """Load the PKI, making what is pending; a second call gives the same bytes.

    A certificate of ours that no longer fits the inventory (a host has another address) is issued again. What
    somebody put there, CAs, and the two keys without certificate are never replaced. The folder is 0700, its files
    0600. A run waits for another one that is writing, and completes what one that was cut off has begun.

    Args:
        folder: where it is.
        wanted: the certificates that the cluster needs.
        ask: for the passphrase of a CA's key, once for each that must sign.
        renewed: the certificates, by the names of their leaves, that are issued again with the keys that they have.
        advance: a step of a rotation, which is made.

    Raises:
        InputError: the folder cannot be used, a key is lost or damaged, or a passphrase cannot be asked for.
    """
    if not wanted:
        return Pki({})
    with _told(folder), _alone(folder):
        at = _stand(folder, wanted, renewed, advance)
        if at.standing.pending or at.advanced:
            made = _made(folder, at.standing, wanted, ask)
            _write_all(folder, {**at.advanced, **made}, at.record.adding(made))
            at = _stand(folder, wanted)
        else:
            with suppress(OSError):  # nothing is made, so a folder that cannot be written to is no error
                _settle(folder, at.record, at.record.settled(at.standing.files))
        return at.pki(wanted)


def rotating(folder: Path, wanted: Mapping[str, Leaf], root: str) -> Step | None:
    """How far the rotation of a CA or key is; None if none is under way.

    Raises:
        InputError: the cluster has no such CA, or it cannot be rotated from here.
    """
    known = (*authorities(wanted), *rotation.KEYS)
    if root not in known:
        raise InputError(f"there is no {root} to rotate", hint=f"there are {', '.join(known)}")
    with _told(folder), _reading(folder):
        files = _rotated(folder, root)
    lacking = [name for name in rotation.about(root) if name not in files and not name.endswith(".pub")]
    if lacking:
        hint = "get it from the cluster's hosts (k8s-installer keys recover -i INVENTORY) or from a backup"
        other = INHERITED.get(root)
        if other and f"{root}.crt" in lacking:
            hint = f"etcd's members have {other} for each other, too, if they were made before there was {root}"
        raise InputError(f"{folder / lacking[0]} is not on this machine", hint=hint)
    with _flaws(folder, root):
        return rotation.step_of(files, root)


@contextmanager
def _flaws(folder: Path, root: str) -> Iterator[None]:
    try:
        yield
    except Flaw as flaw:
        names = ", ".join((*rotation.about(root), *rotation.beside(root)))
        raise InputError(
            f"{root} cannot be rotated: one of {names} in {folder} {flaw}",
            hint="see docs/keys.md for changing a CA by hand",
        ) from None


def rotations(folder: Path, wanted: Mapping[str, Leaf]) -> dict[str, Step]:
    """The roots whose rotation is under way, each with the last step that was made; what cannot be read is left out.

    Raises:
        InputError: the folder cannot be used.
    """
    found: dict[str, Step] = {}
    with _told(folder), _reading(folder):
        for root in (*authorities(wanted), *rotation.KEYS):
            with suppress(Flaw, KeyError):
                at = rotation.step_of(_rotated(folder, root), root)
                found |= {root: at} if at else {}
    return found


def end_rotation(folder: Path, root: str) -> None:
    """Remove what the folder has beside the usual files while a CA or key is rotated.

    Raises:
        InputError: the folder cannot be used.
    """
    with _told(folder), _alone(folder):
        for name in rotation.passing(root):
            (folder / name).unlink(missing_ok=True)


def require_ended(folder: Path, root: str) -> None:
    """Complete a last step that was interrupted; what was put there for a rotation to come stays.

    Raises:
        InputError: the folder cannot be used, or has lost the files of a rotation that is under way.
    """
    with _told(folder), _alone(folder), _flaws(folder, root):
        files = _rotated(folder, root)
        count, name = rotation.accepted(files, root), rotation.accepting(root)
        following, *_, old = rotation.beside(root)
        if count > 1:
            raise InputError(
                f"{folder / name} has {count} {'keys' if root in rotation.KEYS else 'certificates'}, and {following} "
                "does not say which of them is the new one: nothing was dropped",
                hint=f"to resume it: put {', '.join(rotation.passing(root))} back from a backup, then try again\n"
                f"to drop all but a new one: k8s-installer certs rotate {root} add -i INVENTORY, then use, then drop",
            )
        if following not in files and old in files:  # the successor is the first that is removed
            for left in rotation.passing(root):
                (folder / left).unlink(missing_ok=True)


def unsigned(folder: Path, wanted: Mapping[str, Leaf]) -> Mapping[str, Leaf]:
    """The certificates that are needed and whose CA has its key elsewhere; writes nothing.

    Raises:
        InputError: the folder cannot be used.
    """
    with _told(folder), _reading(folder):
        files = _files(folder, wanted)
        return standing.unsigned(folder, files, read_record(folder, files), wanted)


def issued(folder: Path, wanted: Mapping[str, Leaf]) -> dict[str, validity.Issued]:
    """The programs' certificates that the folder has; writes nothing.

    Raises:
        InputError: the folder cannot be used.
    """
    with _told(folder), _reading(folder):
        files = _files(folder, wanted)
        return validity.issued(files, read_record(folder, files), wanted)


def certificates_in(folder: Path, wanted: Mapping[str, Leaf]) -> dict[str, bytes]:
    """The certificates that the folder has, by name, also expired ones and those of lost keys; writes nothing.

    Raises:
        InputError: the folder cannot be used.
    """
    with _told(folder), _reading(folder):
        files = _files(folder, wanted)
        whole, _ = inherited(files, read_record(folder, files), wanted)
        return {name: content for name, content in whole.items() if name.endswith(".crt")}


@dataclass(frozen=True, slots=True)
class Filled:
    """What became of a folder: names that were written, words about what was not, and what still keeps it from use."""

    written: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def fill(folder: Path, wanted: Mapping[str, Leaf], found: Mapping[str, bytes], whose: str = "the hosts'") -> Filled:
    """Put keys from elsewhere into the folder, where it has none of that name; what is there is never replaced.

    Those that look made by this program are recorded as such, and the rest as somebody's own. Keys of CAs that are not
    among them are from now on known not to be here.

    Args:
        folder: where it is.
        wanted: the certificates that the cluster needs.
        found: keys and certificates by name, which fit each other.
        whose: where they are from, for messages.

    Raises:
        InputError: a CA, or a key of tokens or Secrets, is there already and is another one; nothing was written.
    """
    with _told(folder), _alone(folder):
        usual = _files(folder, wanted)
        known = read_record(folder, usual)
        here = {**usual, **_all_rotated(folder)}
        other = returned.others(here, found)
        if other:
            hint = "move the folder away to recover all of it, or remove the files that are not this cluster's"
            names = ", ".join(str(folder / name) for name in other)
            raise InputError(f"these files exist here and differ from {whose}: {names}", hint=hint)
        return _take(folder, wanted, here, known, returned.Beside(found, {}, ()), whose)


def fill_from_backup(folder: Path, wanted: Mapping[str, Leaf], found: Mapping[str, bytes], created: datetime) -> Filled:
    """Put the keys of a backup into the folder, of which some may have been replaced since it was made.

    Local roots stay. Keys with which Secrets of the backup are written, or its tokens signed, are added to them. A
    backup without keys is of this cluster: what it may need of older keys is here, in `encryption-old.key`, or nowhere.

    Args:
        folder: where it is.
        wanted: the certificates that the cluster needs.
        found: keys and certificates by name; empty if the backup has none.
        created: when it was made.

    Raises:
        InputError: Secrets of the backup could not be read beside the local keys; nothing was written.
    """
    with _told(folder), _alone(folder):
        usual = _files(folder, wanted)
        known = read_record(folder, usual)
        here = {**usual, **_all_rotated(folder)}
        try:
            beside = returned.fitted(here, found, wanted) if found else _without_keys(folder, here, known, created)
        except Flaw as flaw:
            raise InputError(
                f"these files exist here and differ from the backup's: {folder / ENCRYPTION}: {flaw}",
                hint=f"if the cluster was installed again since: move {folder} away, to use the backup's keys alone, "
                "and restore to hosts that are new or were reset (k8s-installer reset -i INVENTORY)",
            ) from None
        if not found and not beside.changed:
            return Filled((), beside.notes, ())
        return _take(folder, wanted, here, known, beside, "the backup's")


def _without_keys(folder: Path, here: Mapping[str, bytes], known: Record, created: datetime) -> returned.Beside:
    """What a backup of this cluster needs that has no keys: older ones, where these were replaced after it."""
    changed: dict[str, bytes] = {}
    notes: list[str] = []
    old = here.get(rotation.beside(rotation.SECRETS)[-1], b"")
    if ENCRYPTION in here and old and _since(folder / ENCRYPTION, created):
        try:
            changed = returned.with_readers(here[ENCRYPTION], old)
        except Flaw as flaw:
            notes.append(f"the keys in encryption-old.key are not used: {flaw}")
    if changed:
        notes.append(returned.note_of(ENCRYPTION))
    if rotation.beside(TOKENS)[0] in known.made and _since(folder / f"{TOKENS}.key", created):
        notes.append(
            f"{TOKENS}.key was replaced after this backup was made, and the backup has no keys: the API server rejects "
            f"tokens of service accounts in it. When the restore is done: certs rotate {TOKENS} add, then use, which "
            "gives all of them new tokens; restart the pods that use the API; then drop"
        )
    return returned.Beside({}, changed, tuple(notes))


def _since(path: Path, created: datetime) -> bool:
    """Whether a file may have been written after this time."""
    return path.exists() and path.stat().st_mtime >= created.timestamp()


def _take(
    folder: Path,
    wanted: Mapping[str, Leaf],
    here: Mapping[str, bytes],
    known: Record,
    given: returned.Beside,
    whose: str,
) -> Filled:
    found = given.found
    new, notes = returned.missing(here, found, wanted, whose)
    mine = {name: content for name, content in given.changed.items() if known.has(name, here[name])}
    new |= given.changed
    whole = {**here, **new}
    lacking = [f"{ca}.key" for ca in AUTHORITIES if f"{ca}.crt" in whole and f"{ca}.key" not in whole]
    made = {name: content for name, content in record.made_here(whole).items() if name in new}
    own = known.adding({**made, **mine}).lacking(lacking)
    sums = standing.identities(folder, whole, own, wanted)
    used = {root_of(name) for name in found if name in ROOTS}
    if ENCRYPTION in given.changed and known.used.get(ENCRYPTION) == record.digest(here[ENCRYPTION].strip()):
        used.add(ENCRYPTION)  # hosts were given the keys that are its first ones
    own = own.using({root: total for root, total in sums.items() if root in used})
    _write_all(folder, new, own)
    return Filled(tuple(new), (*given.notes, *notes), standing.problems(folder, whole, own, wanted))


def note_use(folder: Path, wanted: Mapping[str, Leaf], given: Collection[str]) -> None:
    """Record that hosts have the roots among these files; where nothing can be written, that is not known later.

    What no host has been seen with is not recorded: a key that was swapped here would pass for the hosts' own. This is
    also where a record becomes whole whose last write failed: what was being written is there.
    """
    if not wanted:
        return
    with suppress(OSError), _alone(folder):
        files = _files(folder, wanted)
        known = read_record(folder, files)
        roots = {root_of(name) for name in given if name in ROOTS}
        sums = standing.identities(folder, files, known, wanted)
        used = {root: digest for root, digest in sums.items() if root in roots}
        _settle(folder, known, known.settled(files).using(used))


def _settle(folder: Path, known: Record, now: Record) -> None:
    if now != known:
        write(folder, record.FILE, record.dump(now))


def _files(folder: Path, wanted: Mapping[str, Leaf]) -> dict[str, bytes]:
    return {name: content for name in names(wanted) if (content := read(folder, name)) is not None}


@dataclass(frozen=True, slots=True)
class _At:
    """A folder, judged, with its record, and what a step of a rotation writes there, which is judged as if it had.

    `keys` are the files that the rotations of keys are about.
    """

    standing: Standing
    record: Record
    advanced: Mapping[str, bytes]
    keys: Mapping[str, bytes]

    def pki(self, wanted: Mapping[str, Leaf]) -> Pki:
        """What files are rendered with; see `Standing.pki`."""
        found = self.standing.pki(wanted)
        if found.pending.keys() & {ENCRYPTION, f"{TOKENS}.key"}:
            return found
        secrets, tokens = (rotation.step_of(self.keys, root) for root in rotation.KEYS)
        if secrets is Step.USE:
            found = replace(found, writes=encryption.keys(found[ENCRYPTION])[0].name)
        if secrets is Step.DROP:
            old = encryption.keys(self.keys.get(rotation.beside(rotation.SECRETS)[-1], b""))
            found = replace(found, retired=frozenset[str]().union(*(key.words() for key in old)))
        if tokens is Step.USE:
            signing = certificates.public_pem(certificates.read_key(found[f"{TOKENS}.key"]))
            found = replace(found, tokens=record.digest(signing)[:_SUM])
        return found


def _stand(
    folder: Path, wanted: Mapping[str, Leaf], renewed: Collection[str] = (), advance: Advance | None = None
) -> _At:
    files = _files(folder, wanted)
    known = read_record(folder, files)
    advanced: Mapping[str, bytes] = {}
    if advance is not None:
        advanced, known = _advanced(folder, advance, known)
    keys = _all_rotated(folder, rotation.KEYS)
    judged = stand(folder, {**files, **advanced}, known, wanted, renewed)
    return _At(judged, known, advanced, {**keys, **advanced})


def _advanced(folder: Path, advance: Advance, known: Record) -> tuple[Mapping[str, bytes], Record]:
    """What a step of a rotation writes, and the record with that."""
    root, files = advance.root, _rotated(folder, advance.root)
    successor = rotation.beside(root)[0]
    first = rotation.about(root)[0]
    own = known.has(first, files[first])
    try:
        new = rotation.changes(files, advance, own=own)
    except Flaw as flaw:
        raise InputError(f"{folder}: {flaw}", hint="docs/keys.md says how a CA is changed") from None
    # what somebody supplied to follow stays theirs
    mine = successor not in files or known.has(successor, files[successor])
    return new, known.adding(new) if mine else known


def _rotated(folder: Path, root: str) -> dict[str, bytes]:
    """The files that the rotation of a CA or key is about."""
    names = (*rotation.about(root), *rotation.beside(root))
    return {name: content for name in names if (content := read(folder, name)) is not None}


def _all_rotated(folder: Path, roots: Iterable[str] = rotation.ALL) -> dict[str, bytes]:
    return {name: content for root in roots for name, content in _rotated(folder, root).items()}


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

    def issue(name: str) -> dict[str, bytes]:
        leaf, had = new[name], found.files.get(f"{name}.key")  # that of a renewal stays, byte for byte
        pair = issuing.issue(authorities[leaf.issuer], leaf, certificates.read_key(had) if had is not None else None)
        return _pair(name, pair) if had is None else {f"{name}.crt": pair.certificate}

    # RSA keys take a tenth of a second each, and making them releases the interpreter's lock.
    with ThreadPoolExecutor() as pool:
        for files in pool.map(issue, new):
            made |= files
    return made


def _pair(name: str, pair: Pair) -> dict[str, bytes]:
    return {f"{name}.key": pair.key, f"{name}.crt": pair.certificate}


def _unlocked(folder: Path, name: str, ask: Passphrase) -> Authority:
    name = name if (folder / f"{name}.key").exists() else INHERITED[name]
    path = folder / f"{name}.key"
    certificate, key = (read(folder, f"{name}.{ending}") or b"" for ending in ("crt", "key"))
    try:
        return certificates.read_authority(certificate, key, ask(str(path)))
    except Locked:
        raise InputError(f"that is not the passphrase of {path}", hint="nothing was created or changed") from None
    except Flaw as flaw:
        raise InputError(f"{path.with_suffix('.crt')} {flaw}") from None


def _write_all(folder: Path, files: Mapping[str, bytes], own: Record) -> None:
    """Write files: the record first, so that a run that is cut off is known by what it was making."""
    write(folder, record.FILE, record.dump(own.during(name for name in files if own.has(name, files[name]))))
    for name, content in files.items():
        write(folder, name, content)
    write(folder, record.FILE, record.dump(own.during(())))


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot use the PKI folder {folder}: {error.strerror}: {error.filename}") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel ends it with the process, however that ends."""
    handle = -1
    with suppress(OSError):  # where nothing can be written nothing can be made, and reading needs no lock
        _folder(folder)
        handle = os.open(folder / ".lock", _LOCK | os.O_RDWR | os.O_CREAT, 0o600)
    yield from _flocked(handle, fcntl.LOCK_EX)


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
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
