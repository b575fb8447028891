"""What etcd gave: a snapshot of its data, whose own hash is compared here, and the keys of its API v2. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib.parse import quote

_HASH = 32  # bytes at the end of a snapshot: the SHA-256 of what is before, as `etcdctl snapshot save` writes it
_PAGE = 512  # bytes: a database is a multiple of it, so that a copy of the file alone is told from a snapshot
_PIECE = 1 << 20


class DamagedError(Exception):
    """What etcd gave cannot be restored; the text says why."""


class Snapshot:
    """A snapshot that passes by in pieces: whether it matches its own hash is known at the end."""

    def __init__(self) -> None:
        self._digest, self._tail, self._size = hashlib.sha256(), b"", 0

    def update(self, piece: bytes) -> None:
        """Take the next piece."""
        data = self._tail + piece
        self._digest.update(data[:-_HASH])
        self._tail = data[-_HASH:]
        self._size += len(piece)

    def require_whole(self) -> None:
        """Compare it with its hash.

        Raises:
            DamagedError: it has none, or another one.
        """
        if self._size <= _HASH or (self._size - _HASH) % _PAGE:
            raise DamagedError("the snapshot of etcd has no hash at its end: it is cut off")
        if self._digest.digest() != self._tail:
            raise DamagedError("the snapshot of etcd does not match the hash at its end")


def with_hash(database: BinaryIO) -> None:
    """Make a snapshot of a copy of etcd's database file, as etcd itself would.

    Raises:
        DamagedError: it is none.
    """
    digest, size = hashlib.sha256(), 0
    database.seek(0)
    while piece := database.read(_PIECE):
        digest.update(piece)
        size += len(piece)
    if not size or size % _PAGE:
        raise DamagedError("the file of etcd's data is cut off")
    database.write(digest.digest())


def keys(answer: bytes) -> list[dict[str, Any]]:
    """The nodes of etcd's API v2, from the answer to a recursive request: values, and folders that are empty.

    Raises:
        DamagedError: it is no such answer.
    """
    try:
        return list(_nodes(json.loads(answer)["node"]))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise DamagedError("the keys of etcd's API v2 cannot be read") from None


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    below = node.get("nodes", [])
    if node.get("dir") and (below or not node.get("key")):
        for child in below:
            yield from _nodes(child)
    else:
        yield {"key": str(node["key"]), **({"dir": True} if node.get("dir") else {"value": str(node["value"])}), **(
            {"ttl": int(node["ttl"])} if "ttl" in node else {}
        )}  # fmt: skip


def requests(nodes: list[dict[str, Any]]) -> bytes:
    """The nodes as a line each for a script that writes them: the path, and the form that is put there."""
    return b"".join(f"{quote(node['key'])} {_form(node)}\n".encode() for node in nodes)


def _form(node: dict[str, Any]) -> str:
    what = "dir=true" if node.get("dir") else f"value={quote(node['value'], safe='')}"
    return f"{what}&ttl={max(node['ttl'], 1)}" if "ttl" in node else what
