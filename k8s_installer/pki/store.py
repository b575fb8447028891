"""The local folder of keys and certificates: read by every command, written by those that make or recover keys."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from k8s_installer.errors import InputError
from k8s_installer.model.rotation import Advance, Step
from k8s_installer.pki import certificates, encryption, issuing, record, rotation, standing, validity
from k8s_installer.pki.certificates import Authority, Flaw, Locked, Pair
from k8s_installer.pki.encryption import KEY_BYTES
from k8s_installer.pki.inherited import INHERITED, inherited
from k8s_installer.pki.keyfiles import (
    alone,
    files_of,
    in_words,
    read,
    read_record,
    reading,
    rotated,
    rotated_files,
    settle,
    write_all,
)
from k8s_installer.pki.leaves import AUTHORITIES, ENCRYPTION, ROOTS, TOKENS, Leaf, Pki, authorities, root_of
from k8s_installer.pki.record import Record
from k8s_installer.pki.standing import Standing, stand

_SUM = 12  # digits of a sum by which a key is known in the cluster
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
    with in_words(folder), reading(folder):
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
    with in_words(folder), alone(folder):
        at = _stand(folder, wanted, renewed, advance)
        if at.standing.pending or at.advanced:
            made = _made(folder, at.standing, wanted, ask)
            write_all(folder, {**at.advanced, **made}, at.record.adding(made))
            at = _stand(folder, wanted)
        else:
            with suppress(OSError):  # nothing is made, so a folder that cannot be written to is no error
                settle(folder, at.record, at.record.settled(at.standing.files))
        return at.pki(wanted)


def rotating(folder: Path, wanted: Mapping[str, Leaf], root: str) -> Step | None:
    """How far the rotation of a CA or key is; None if none is under way.

    Raises:
        InputError: the cluster has no such CA, or it cannot be rotated from here.
    """
    known = (*authorities(wanted), *rotation.KEYS)
    if root not in known:
        raise InputError(f"there is no {root} to rotate", hint=f"there are {', '.join(known)}")
    with in_words(folder), reading(folder):
        files = rotated(folder, root)
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
    with in_words(folder), reading(folder):
        for root in (*authorities(wanted), *rotation.KEYS):
            with suppress(Flaw, KeyError):
                at = rotation.step_of(rotated(folder, root), root)
                found |= {root: at} if at else {}
    return found


def end_rotation(folder: Path, root: str) -> None:
    """Remove what the folder has beside the usual files while a CA or key is rotated.

    Raises:
        InputError: the folder cannot be used.
    """
    with in_words(folder), alone(folder):
        for name in rotation.passing(root):
            (folder / name).unlink(missing_ok=True)


def require_ended(folder: Path, root: str) -> None:
    """Complete a last step that was interrupted; what was put there for a rotation to come stays.

    Raises:
        InputError: the folder cannot be used, or has lost the files of a rotation that is under way.
    """
    with in_words(folder), alone(folder), _flaws(folder, root):
        files = rotated(folder, root)
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
    with in_words(folder), reading(folder):
        files = files_of(folder, wanted)
        return standing.unsigned(folder, files, read_record(folder, files), wanted)


def issued(folder: Path, wanted: Mapping[str, Leaf]) -> dict[str, validity.Issued]:
    """The programs' certificates that the folder has; writes nothing.

    Raises:
        InputError: the folder cannot be used.
    """
    with in_words(folder), reading(folder):
        files = files_of(folder, wanted)
        return validity.issued(files, read_record(folder, files), wanted)


def certificates_in(folder: Path, wanted: Mapping[str, Leaf]) -> dict[str, bytes]:
    """The certificates that the folder has, by name, also expired ones and those of lost keys; writes nothing.

    Raises:
        InputError: the folder cannot be used.
    """
    with in_words(folder), reading(folder):
        files = files_of(folder, wanted)
        whole, _ = inherited(files, read_record(folder, files), wanted)
        return {name: content for name, content in whole.items() if name.endswith(".crt")}


def note_use(folder: Path, wanted: Mapping[str, Leaf], given: Collection[str]) -> None:
    """Record that hosts have the roots among these files; where nothing can be written, that is not known later.

    What no host has been seen with is not recorded: a key that was swapped here would pass for the hosts' own. This is
    also where a record becomes whole whose last write failed: what was being written is there.
    """
    if not wanted:
        return
    with suppress(OSError), alone(folder):
        files = files_of(folder, wanted)
        known = read_record(folder, files)
        roots = {root_of(name) for name in given if name in ROOTS}
        sums = standing.identities(folder, files, known, wanted)
        used = {root: digest for root, digest in sums.items() if root in roots}
        settle(folder, known, known.settled(files).using(used))


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
    files = files_of(folder, wanted)
    known = read_record(folder, files)
    advanced: Mapping[str, bytes] = {}
    if advance is not None:
        advanced, known = _advanced(folder, advance, known)
    keys = rotated_files(folder, rotation.KEYS)
    judged = stand(folder, {**files, **advanced}, known, wanted, renewed)
    return _At(judged, known, advanced, {**keys, **advanced})


def _advanced(folder: Path, advance: Advance, known: Record) -> tuple[Mapping[str, bytes], Record]:
    """What a step of a rotation writes, and the record with that."""
    root, files = advance.root, rotated(folder, advance.root)
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
