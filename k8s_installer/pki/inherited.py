"""What a cluster made before etcd's peers had a CA of their own has in its place. Pure.

Running members trust one CA. One that was restarted with certificates of another would be refused by the rest and
refuse them, so an edit would stop at the first member, or lose the quorum. Such a cluster keeps one CA for clients and
peers: each file of the peers has the bytes of its counterpart, and nothing is made or written for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from k8s_installer.pki.leaves import Leaf
from k8s_installer.pki.record import Record

_PEERS, _PEER = "etcd-peer-ca", "/etcd-peer"
INHERITED = {_PEERS: "etcd-ca"}  # CAs that may be missing, and which stands in


def inherited(
    files: Mapping[str, bytes], record: Record, wanted: Mapping[str, Leaf]
) -> tuple[Mapping[str, bytes], Record]:
    """The files of a PKI with those that stand in, as if they had been made where their counterparts were.

    Nothing stands in where the peers' CA is another one or was lost, or where no member of etcd has a certificate yet.
    """
    peers = files.get(f"{_PEERS}.crt")
    own = f"{_PEERS}.crt" in record.made if peers is None else not _inherits(files)
    if own or not any(f"{source}.crt" in files for source in _members(wanted).values()):
        return files, record
    sources = _sources(wanted)
    stand_in = {name: files[source] for name, source in sources.items() if source in files and name not in files}
    made = {name: content for name, content in stand_in.items() if record.has(sources[name], content)}
    return {**files, **stand_in}, record.adding(made)


def without_copies(files: Mapping[str, bytes], wanted: Mapping[str, Leaf]) -> dict[str, bytes]:
    """The files that hosts of such a cluster gave back, without those that only stand in: they were never written."""
    sources = _sources(wanted) if _inherits(files) else {}
    return {name: content for name, content in files.items() if content != files.get(sources.get(name, ""))}


def source_of(name: str, files: Mapping[str, bytes]) -> str:
    """The pair of the folder that stands for a leaf: its own, or that of a member where it stands in for the peers'."""
    return name if f"{name}.crt" in files else name.removesuffix("-peer")


def _inherits(files: Mapping[str, bytes]) -> bool:
    return f"{_PEERS}.crt" in files and files[f"{_PEERS}.crt"] == files.get(f"{INHERITED[_PEERS]}.crt")


def _members(wanted: Mapping[str, Leaf]) -> dict[str, str]:
    return {name: name.removesuffix("-peer") for name in wanted if name.endswith(_PEER)}


def _sources(wanted: Mapping[str, Leaf]) -> dict[str, str]:
    """Each file that may be missing, with the one that stands in."""
    return {
        f"{name}.{ending}": f"{source}.{ending}"
        for name, source in (INHERITED | _members(wanted)).items()
        for ending in ("crt", "key")
    }
