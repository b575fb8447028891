"""Keys from elsewhere, put into a PKI folder: what hosts or people gave back, and what a backup has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from k8s_installer.errors import InputError
from k8s_installer.pki import record, returned, rotation, standing
from k8s_installer.pki.certificates import Flaw
from k8s_installer.pki.keyfiles import alone, files_of, in_words, read_record, rotated_files, write_all
from k8s_installer.pki.leaves import AUTHORITIES, ENCRYPTION, ROOTS, TOKENS, Leaf, root_of
from k8s_installer.pki.record import Record


@dataclass(frozen=True, slots=True)
class Filled:
    """What became of a folder: names that were written, words about what was not, and what still keeps it from use.

    `rejects_tokens` says that the API server will not accept the tokens of service accounts in a backup.
    """

    written: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    rejects_tokens: bool = False


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
    with in_words(folder), alone(folder):
        usual = files_of(folder, wanted)
        known = read_record(folder, usual)
        here = {**usual, **rotated_files(folder)}
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
    with in_words(folder), alone(folder):
        usual = files_of(folder, wanted)
        known = read_record(folder, usual)
        here = {**usual, **rotated_files(folder)}
        try:
            beside = returned.fitted(here, found, wanted) if found else _without_keys(folder, here, known, created)
        except Flaw as flaw:
            raise InputError(
                f"these files exist here and differ from the backup's: {folder / ENCRYPTION}: {flaw}",
                hint=f"if the cluster was installed again since: move {folder} away, to use the backup's keys alone, "
                "and restore to hosts that are new or were reset (k8s-installer reset -i INVENTORY)",
            ) from None
        rejects = not found and _rejects_tokens(folder, known, created)
        if not found and not beside.changed:
            return Filled((), beside.notes, (), rejects)
        return replace(_take(folder, wanted, here, known, beside, "the backup's"), rejects_tokens=rejects)


def _rejects_tokens(folder: Path, known: Record, created: datetime) -> bool:
    """Whether the key of tokens was replaced after a backup without keys was made."""
    return rotation.beside(TOKENS)[0] in known.made and _since(folder / f"{TOKENS}.key", created)


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
    if _rejects_tokens(folder, known, created):
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
    write_all(folder, new, own)
    return Filled(tuple(new), (*given.notes, *notes), standing.problems(folder, whole, own, wanted))
