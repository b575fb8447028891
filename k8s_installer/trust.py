"""Whether the hosts trust the keys that are here: a plan never replaces what a running cluster rests on. Pure.

The look at every host sums each file that is wanted there, so nothing more is asked for this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from k8s_installer.desired.model import Desired
from k8s_installer.errors import InstallerError
from k8s_installer.pki.certificates import Flaw, same_keys
from k8s_installer.pki.leaves import ROOTS, Pki
from k8s_installer.resources import File, Ref, Seen, SeenFile

_SHOWN = 5  # hosts in a line; a large cluster has the same file on every host
REPLACE = (
    "apply --replace-keys replaces them: every component restarts with the new ones, tokens of service accounts become "
    "invalid, and Secrets that are encrypted in etcd can no longer be read"
)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file of a host with a key or CA that is not the one that is here: of which name, and the sum of its bytes."""

    ref: Ref
    name: str
    sha256: str


def foreign(desired: Desired, seen: Mapping[Ref, Seen], keys: Pki) -> list[Foreign]:
    """What the hosts have of roots (CAs, the key of tokens, that of Secrets) that differ from those that are here.

    A root that is to be made differs from whatever a host has. A CA whose key is the same is the same, renewed or
    with more of its chain. Whether a host's key of Secrets differs cannot be seen (it is in a file of other
    settings), so that counts where the one that is here was never used here before.
    """
    return list(_foreign(desired, seen, keys))


def _foreign(desired: Desired, seen: Mapping[Ref, Seen], keys: Pki) -> Iterator[Foreign]:
    for ref, wanted in desired.items():
        file, found = wanted.resource, seen.get(ref)
        if not isinstance(file, File) or not isinstance(found, SeenFile) or found.sha256 == file.sha256:
            continue
        for name in file.made_of:
            if name in ROOTS and (name in keys.pending or name in keys.strange or _differs(file, found, name)):
                yield Foreign(ref, name, found.sha256)


def _differs(file: File, found: SeenFile, name: str) -> bool:
    """Whether a host's file is of another key than ours; of a private key or an edited file nothing is known."""
    if not name.endswith((".crt", ".pub")) or found.content is None:
        return False
    try:
        return not same_keys(found.content, file.content)
    except Flaw:
        return name.endswith(".pub") and found.content.strip() != file.content.strip()


def refuse(found: list[Foreign], keys: Pki, renamed_from: str) -> None:
    """Stop where hosts rest on other keys than those that are here.

    Args:
        found: what hosts have.
        keys: what is here.
        renamed_from: the cluster beside this one whose keys the hosts have, if there is one.

    Raises:
        InstallerError: they do; it says which host has what, and how to go on.
    """
    if not found:
        return
    missing = any(item.name in keys.pending for item in found)
    words = "keys that are not on this machine" if missing else "other keys than this machine has"
    lines = _lines(found)
    if renamed_from:
        first = (
            f"they are those of cluster {renamed_from}, whose folder is beside this one's: name this one "
            f"{renamed_from} again. A running cluster cannot be renamed, etcd's members know it by its name"
        )
    else:
        first = (
            "get them from the masters: k8s-installer keys recover -i INVENTORY\n"
            "or copy the folder .k8s-installer from the machine that installed the cluster"
        )
        if not missing:
            first = f"move the folder pki away first, if it is not this cluster's; then {first}"
    raise InstallerError(
        "\n  ".join([f"the hosts run with {words}; nothing was changed:", *lines]), hint=f"{first}\n{REPLACE}"
    )


def _lines(found: list[Foreign]) -> list[str]:
    """One line for each different file: what it is, by which path and sum, and on which hosts."""
    hosts: dict[tuple[str, str, str], list[str]] = {}
    for item in found:
        hosts.setdefault((item.name, item.ref.name, item.sha256), []).append(item.ref.host)
    return [
        f"{name}, as {path} (sha256 {digest[:16]}), on {', '.join(names[:_SHOWN])}"
        + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        for (name, path, digest), names in hosts.items()
    ]
