"""Whether the hosts trust the keys that are here: a plan never replaces what a running cluster rests on. Pure.

The look at every host sums each file that is wanted there, so nothing more is asked for this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from k8s_installer.errors import InstallerError, Lost, LostError, listed
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import File, Missing, Ref, Seen, SeenFile
from k8s_installer.pki import encryption
from k8s_installer.pki.certificates import (
    Flaw,
    accepts,
    public_keys,
    public_pem,
    read_any_authority,
    read_key,
    share_a_key,
)
from k8s_installer.pki.leaves import ENCRYPTION, ROOTS, Pki, root_of

_ROTATION = (
    "an encryption.yaml of the hosts has a key, key name or provider that the local one lacks, and "
    "Secrets may be written with it: see docs/keys.md for how to finish a rotation"
)
REPLACE = (
    "apply --replace-keys replaces them: every component restarts with the new ones, tokens of service accounts become "
    "invalid, and Secrets that are encrypted in etcd can no longer be read"
)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file of a host with a key or CA that is not the one that is here: of which name, and the sum of its bytes.

    A CA is `overlapping` where the file here has the host's CA, too, and another one signs.
    """

    ref: Ref
    name: str
    sha256: str
    overlapping: bool = False


def foreign(desired: Desired, seen: Mapping[Ref, Seen], keys: Pki) -> list[Foreign]:
    """What the hosts have of roots (CAs, the key of tokens, that of Secrets) that differ from those that are here.

    A root that is to be made differs from whatever a host has. A CA is the same if the host's file has the key that
    signs here, renewed or with more of its chain. Of a private key, and of a key inside a configuration, hosts show
    nothing: these count where the key that is here is not the one that hosts were given from here, unless the public
    half of it is.
    """
    return list(_foreign(desired, seen, keys))


def _foreign(desired: Desired, seen: Mapping[Ref, Seen], keys: Pki) -> Iterator[Foreign]:
    known: dict[str, set[bool]] = {}  # by root, what comparing says of hosts
    unsure: list[Foreign] = []
    for item, same in _compared(desired, seen, keys):
        if same is not None:
            known.setdefault(root_of(item.name), set()).add(same)
        if same is False or (same is None and item.name in keys.pending):
            yield item
        elif same is None and item.name in keys.strange:
            unsure.append(item)
    # the key of Secrets has no public half by which one host could speak for another
    yield from (item for item in unsure if item.name == ENCRYPTION or known.get(root_of(item.name)) != {True})


def shared(desired: Desired, seen: Mapping[Ref, Seen], keys: Pki) -> frozenset[str]:
    """The roots, by name, that hosts have as they are here."""
    return frozenset(item.name for item, same in _compared(desired, seen, keys) if same)


def _compared(desired: Desired, seen: Mapping[Ref, Seen], keys: Pki) -> Iterator[tuple[Foreign, bool | None]]:
    """Every file of a host with a root in it, and whether it is of the root that is here."""
    for ref, wanted in desired.items():
        file, found = wanted.resource, seen.get(ref)
        if isinstance(file, File) and isinstance(found, SeenFile):
            for name in file.made_of:
                if name in ROOTS:
                    same = _same(file, found, name, keys)
                    overlapping = same is False and name.endswith(".crt") and _overlap(file, found)
                    yield Foreign(ref, name, found.sha256, overlapping), same


def require_witness(roots: Desired, seen: Mapping[Ref, Seen], keys: Pki) -> None:
    """Stop where the keys that are here may not be the cluster's, and nobody who answered can say so.

    A master that has none of its files yet says nothing of the cluster. Where all that answered are such, one that did
    not answer may have the keys.

    Args:
        roots: the files of all masters that show whose keys the cluster has.
        seen: what hosts have; nothing of one that did not answer.
        keys: what is here.

    Raises:
        InstallerError: that is so.
    """
    doubtful = [name for name in ROOTS if name in keys.pending or name in keys.strange]
    answers = {ref: seen.get(ref, Missing.UNKNOWN) for ref in roots}
    silent = list(dict.fromkeys(ref.host for ref, found in answers.items() if found is Missing.UNKNOWN))
    if not doubtful or not silent or any(isinstance(found, SeenFile) for found in answers.values()):
        return
    what = "are not on this machine" if any(name in keys.pending for name in doubtful) else "were replaced here"
    raise InstallerError(
        f"keys of the cluster {what} ({', '.join(doubtful)}), no master that answered has any, and "
        f"{', '.join(silent)} did not answer: it may run with different ones",
        hint=f"try again when {' or '.join(silent)} answers, or remove it from the inventory if it is lost\n{REPLACE}",
    )


def _overlap(file: File, found: SeenFile) -> bool:
    return found.content is not None and share_a_key(found.content, file.content)


def _same(file: File, found: SeenFile, name: str, keys: Pki) -> bool | None:
    """Whether a host's file is of the key that is here; None of a private key or an edited file, which say nothing.

    A configuration with keys of Secrets is, if the wanted one has all that is in it but what no Secret is written with
    any more: Secrets stay readable.
    """
    if found.sha256 == file.sha256:
        return True
    if name == ENCRYPTION:
        return found.sealed <= encryption.sums(file.content) | keys.retired if found.sealed else None
    if found.content is None or not name.endswith((".crt", ".pub")):
        return None
    try:
        if name.endswith(".pub"):
            return public_pem(read_key(keys[f"{root_of(name)}.key"])) in public_keys(found.content)
        return accepts(found.content, read_any_authority(keys[name], keys.files.get(f"{root_of(name)}.key")))
    except Flaw:
        return None


def refuse(found: list[Foreign], keys: Pki, renamed_from: str) -> None:
    """Stop where hosts rest on other keys than those that are here.

    Args:
        found: what hosts have.
        keys: what is here.
        renamed_from: the cluster beside this one whose keys the hosts have, if there is one.

    Raises:
        InstallerError: they do; it says which host has what, and how to go on. It is a LostError where keys that hosts
            have are missing here.
    """
    if not found:
        return
    missing = any(item.name in keys.pending for item in found)
    words = "keys that are not on this machine" if missing else "keys that differ from this machine's"
    lines = _lines(found)
    if renamed_from:
        first = (
            f"they are those of cluster {renamed_from}, whose folder is beside this one: change the name back to "
            f"{renamed_from}. A running cluster cannot be renamed: etcd's members identify it by its name"
        )
    else:
        first = (
            "get them from the masters: k8s-installer keys recover -i INVENTORY\n"
            "or copy the folder .k8s-installer from the machine that installed the cluster"
        )
        if not missing:
            replaced = ", ".join(dict.fromkeys(item.name for item in found))
            first = (
                f"move the folder pki away first if it is another cluster's, or {replaced} alone if somebody replaced "
                f"it; then {first}"
            )
    overlapping = dict.fromkeys(item.name for item in found if item.overlapping)
    if overlapping and not missing and not renamed_from:
        first = _in_two_steps(overlapping)
    if not missing and any(item.name == ENCRYPTION for item in found):
        first = f"{first}\n{_ROTATION}"
    message = "\n  ".join([f"the hosts run with {words}; nothing was changed:", *lines])
    hint = f"{first}\n{REPLACE}"
    if missing:
        raise LostError(Lost.KEYS, dict.fromkeys(item.ref.host for item in found), message, hint=hint)
    raise InstallerError(message, hint=hint)


def _in_two_steps(certificates: Iterable[str]) -> str:
    keys = ", ".join(f"{root_of(name)}.key" for name in certificates)
    return (
        f"{', '.join(certificates)} here has the hosts' CA beside the signing one, which they do not trust yet. "
        f"Use two steps: put the old {keys} back and apply that to all hosts; then replace {keys}, and apply again"
    )


def _lines(found: list[Foreign]) -> list[str]:
    """One line for each different file: what it is, by which path and sum, and on which hosts."""
    hosts: dict[tuple[str, str, str], list[str]] = {}
    for item in found:
        hosts.setdefault((item.name, item.ref.name, item.sha256), []).append(item.ref.host)
    return [
        f"{name}, as {path} (sha256 {digest[:16]}), on {listed(names)}" for (name, path, digest), names in hosts.items()
    ]
