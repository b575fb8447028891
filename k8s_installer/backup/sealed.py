"""A stream encrypted with a pass phrase: nothing can be cut off, moved or changed in it without being noticed.

A header (the line MAGIC, a salt for scrypt, the first bytes of every nonce), then chunks of 64 KiB, each encrypted and
authenticated by ChaCha20-Poly1305 (RFC 8439) with the header. The nonce also has the chunk's number and whether it is
the last one: the STREAM construction, as age and Tink have it.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

MAGIC = b"k8s-installer backup, sealed 1\n"
CHUNK = 64 << 10  # bytes before they are encrypted
_SALT, _PREFIX, _TAG = 16, 7, 16
_COST = 1 << 17  # of scrypt: 128 MiB and a third of a second for each pass phrase that is tried


class UnsealError(Exception):
    """A stream cannot be decrypted; the text says why."""


class Sealing(io.RawIOBase):
    """Encrypts what is written to it; `close` ends the stream, and leaves `target` open."""

    def __init__(self, target: BinaryIO, passphrase: bytes) -> None:
        self._target = target
        self._head = MAGIC + os.urandom(_SALT + _PREFIX)
        self._cipher = _cipher(self._head, passphrase)
        self._rest = bytearray()
        self._count = 0
        target.write(self._head)

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Encrypt more; the last chunk is known at the end, so a full one waits for the next byte."""
        piece = bytes(data)
        self._rest += piece
        while len(self._rest) > CHUNK:
            self._put(bytes(self._rest[:CHUNK]), last=False)
            del self._rest[:CHUNK]
        return len(piece)

    def close(self) -> None:
        """Encrypt the rest as the last chunk."""
        if not self.closed:
            self._put(bytes(self._rest), last=True)
            super().close()

    def _put(self, chunk: bytes, *, last: bool) -> None:
        self._target.write(self._cipher.encrypt(_nonce(self._head, self._count, last=last), chunk, self._head))
        self._count += 1


class Unsealing(io.RawIOBase):
    """Decrypts `source`, which stands after its MAGIC; raises UnsealError where it was changed or cut off."""

    def __init__(self, source: BinaryIO, passphrase: bytes) -> None:
        self._source = source
        self._head = MAGIC + source.read(_SALT + _PREFIX)
        self._cipher = _cipher(self._head, passphrase)
        self._ahead = source.read(CHUNK + _TAG)
        self._rest = b""
        self._count = 0
        self._ended = False

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Decrypt the next chunk where the one before is used up."""
        view = memoryview(buffer).cast("B")
        while not self._rest and not self._ended:
            self._rest = self._next()
        taken = self._rest[: len(view)]
        view[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)

    def _next(self) -> bytes:
        chunk, self._ahead = self._ahead, self._source.read(CHUNK + _TAG)
        self._ended = not self._ahead
        try:
            opened = self._cipher.decrypt(_nonce(self._head, self._count, last=self._ended), chunk, self._head)
        except (InvalidTag, ValueError):
            words = "the pass phrase is wrong, or its beginning is damaged" if not self._count else _DAMAGED
            raise UnsealError(words) from None
        self._count += 1
        return opened


_DAMAGED = "it is damaged or cut off"


def _cipher(head: bytes, passphrase: bytes) -> ChaCha20Poly1305:
    salt = head[len(MAGIC) : len(MAGIC) + _SALT]
    return ChaCha20Poly1305(Scrypt(salt, 32, n=_COST, r=8, p=1).derive(passphrase))


def _nonce(head: bytes, count: int, *, last: bool) -> bytes:
    return head[len(MAGIC) + _SALT :].ljust(_PREFIX, b"\0") + count.to_bytes(4, "big") + bytes([last])
