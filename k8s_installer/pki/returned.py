"""What hosts gave back, beside what the folder has: which files are new, and which stay as they are. Pure.

A file in the folder may be the only copy of somebody's key, so it stays in any case. Where roots (CAs, the keys of
tokens and Secrets) are not those of the hosts, nothing that hosts have fits, and nothing is taken; a certificate of a
program that differs costs itself alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from k8s_installer.pki import certificates, encryption, rotation
from k8s_installer.pki.certificates import Flaw, Locked
from k8s_installer.pki.leaves import AUTHORITIES, ENCRYPTION, ROOTS, TOKENS, Leaf, root_of
from k8s_installer.pki.standing import encryption_flaw

_ENDINGS = ("crt", "key")


def others(here: Mapping[str, bytes], found: Mapping[str, bytes]) -> tuple[str, ...]:
    """The roots in a folder that are not those of the hosts; another form of the same key is none of them."""
    return tuple(name for name in ROOTS if name in here and not _same_root(name, here[name], found))


def _same_root(name: str, content: bytes, found: Mapping[str, bytes]) -> bool:
    stem = name.removesuffix(".key")
    other = next((part for part in (name, f"{stem}.crt", f"{stem}.pub") if part in found), None)
    if other is None or content == found[other]:
        return True
    try:
        return not keys_of(name, content).isdisjoint(keys_of(other, found[other]))
    except Locked:  # a passphrase that was added here: its certificate is compared
        return True
    except Flaw:
        return False


@dataclass(frozen=True, slots=True)
class Beside:
    """A backup's keys, as they fit beside the local ones.

    `found` is what fits; `changed` are local files with the backup's keys after their own, and `notes` say so.
    """

    found: Mapping[str, bytes]
    changed: Mapping[str, bytes]
    notes: tuple[str, ...]


def fitted(here: Mapping[str, bytes], found: Mapping[str, bytes], wanted: Mapping[str, Leaf]) -> Beside:
    """What a backup has for a folder whose roots may have been replaced since, or before: the local ones are used.

    etcd's data needs no CA. Its Secrets are read, and its tokens accepted, with the backup's keys, so these are added
    after the local ones.

    Raises:
        Flaw: the backup's keys of Secrets cannot be used beside the local ones.
    """
    other = {root_of(name) for name in others(here, found)}
    fit = {name: content for name, content in found.items() if root_of(name) not in other}
    foreign = [f"{leaf}.{ending}" for leaf, about in wanted.items() if about.issuer in other for ending in _ENDINGS]
    notes = [f"{ca}.crt differs from the backup's: the local one stays" for ca in AUTHORITIES if ca in other]
    changed: dict[str, bytes] = {}
    if ENCRYPTION in here and ENCRYPTION in found:
        changed |= with_readers(here[ENCRYPTION], found[ENCRYPTION])
    if ENCRYPTION in changed:
        notes.append(note_of(ENCRYPTION))
    public = f"{TOKENS}.pub"
    if public in here and public in found:
        accepted, theirs = (certificates.public_keys(files[public]) for files in (here, found))
        more = [key for key in theirs if key not in accepted]
        if more:
            changed[public] = b"".join((*accepted, *more))
            notes.append(note_of(public))
    return Beside({name: text for name, text in fit.items() if name not in foreign}, changed, tuple(notes))


def note_of(name: str) -> str:
    """What is to be known of a file to which keys of a backup were added."""
    root, words = (
        ("encryption", "Secrets in it can be read") if name == ENCRYPTION else (TOKENS, "its tokens are valid")
    )
    return (
        f"{name} was replaced after this backup was made, and has its older keys again, so that {words}. To drop these "
        f"when the restore is done: certs rotate {root} add, then use, then drop"
    )


def with_readers(own: bytes, others: bytes) -> dict[str, bytes]:
    """`encryption.key` with other keys after its own; nothing where it has them all.

    Raises:
        Flaw: the others cannot be used, or one has the name of one of its own.
    """
    flaw = encryption_flaw(others)
    if flaw:
        raise Flaw(f"the older one {flaw}")
    known = encryption.keys(own)
    more = [key for key in dict.fromkeys(encryption.keys(others)) if key not in known]
    if not {key.name for key in known}.isdisjoint(key.name for key in more):
        raise Flaw("both have a key of the same name, so Secrets of the older one cannot be read")
    return {ENCRYPTION: "".join(key.line() for key in (*known, *more)).encode()} if more else {}


def keys_of(name: str, content: bytes) -> set[bytes]:
    """By what a root is known: its public keys, or the key of Secrets itself."""
    if name == ENCRYPTION:
        return {key.secret.encode() for key in encryption.keys(content)}
    if name.endswith(".pub"):
        return {key.strip() for key in certificates.public_keys(content)}
    if name.endswith(".key"):
        return {certificates.public_pem(certificates.read_key(content)).strip()}
    return {certificates.public_pem(one).strip() for one in certificates.read_certificates(content)}


def missing(
    here: Mapping[str, bytes], found: Mapping[str, bytes], wanted: Mapping[str, Leaf], whose: str = "the hosts'"
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The files that the folder lacks, and in words what hosts have that is not taken.

    Args:
        here: the files of the folder, whose roots are those of the hosts.
        found: those of the hosts.
        wanted: the certificates that the cluster needs.
        whose: where they are from, for messages.
    """
    new = {name: content for name, content in found.items() if name in ROOTS and name not in here}
    for root in rotation.ALL:  # a rotation that is under way goes on only where its files are those of that moment
        if all(here.get(name, found.get(name)) == found.get(name) for name in rotation.about(root)):
            new |= {name: found[name] for name in rotation.beside(root) if name in found and name not in here}
    notes: list[str] = []
    for leaf in wanted:
        pair = {name: found[name] for name in (f"{leaf}.crt", f"{leaf}.key") if name in found}
        kept = [name for name in pair if name in here and here[name] != pair[name]]
        if kept:
            notes.append(f"{kept[0]} already exists here and differs from {whose} file: the local one stays")
        else:
            new |= {name: content for name, content in pair.items() if name not in here}
    return new, tuple(notes)
