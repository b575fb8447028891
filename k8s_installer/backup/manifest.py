"""What a backup says of itself: whose it is, what etcd had, and every file in it with its sum. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

NAME = "manifest.json"
_LONGEST = 250  # characters of a name
# Each part begins with a letter or a digit, so that none leads up or out.
_NAME = r"^[A-Za-z0-9][-A-Za-z0-9._]*(/[A-Za-z0-9][-A-Za-z0-9._]*)*$"


def is_name(text: str) -> bool:
    """Whether a file of a backup can be called so."""
    return re.fullmatch(_NAME, text) is not None and len(text) <= _LONGEST


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Model):
    """One file of a backup: its name, its sum, its size in bytes."""

    name: str = Field(pattern=_NAME, max_length=_LONGEST)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class Manifest(_Model):
    """The whole of it: `member` is the host that gave etcd's data, `etcd` the version that runs there.

    `revision` and `keys` are of etcd's API v3, `keys_v2` is the number of keys of its API v2.
    """

    format: Literal[1] = 1
    cluster: str = Field(max_length=200)
    version: str = Field(max_length=50)
    created: datetime
    member: str = Field(max_length=253)
    etcd: str = Field(default="", max_length=50)
    revision: int = Field(default=0, ge=0)
    keys: int = Field(default=0, ge=0)
    keys_v2: int = Field(default=0, ge=0)
    files: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """How many bytes its files have."""
        return sum(entry.size for entry in self.files)


def dumped(manifest: Manifest) -> bytes:
    """The bytes of a manifest; the same one gives the same."""
    return (manifest.model_dump_json(indent=1) + "\n").encode()


def loaded(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        ValueError: it is none, or one that a newer version of this program made; the text says what is wrong.
    """
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise ValueError(f"its {NAME} cannot be read: {'.'.join(map(str, detail['loc']))}: {detail['msg']}") from None
