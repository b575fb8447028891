"""What hosts gave back, beside what the folder has: which files are new, and which stay as they are. Pure.

A file in the folder may be the only copy of somebody's key, so it stays in any case. Where roots (CAs, the keys of
tokens and Secrets) are not those of the hosts, nothing that hosts have fits, and nothing is taken; a certificate of a
program that differs costs itself alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from k8s_installer.pki import certificates, encryption, rotation
from k8s_installer.pki.certificates import Flaw, Locked
from k8s_installer.pki.leaves import ENCRYPTION, ROOTS, Leaf


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
