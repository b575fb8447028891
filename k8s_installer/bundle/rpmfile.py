"""What an RPM's own headers say of its signature. Pure.

A package is a lead of 96 bytes, a header of signatures and the header proper; `rpm -K` looks at the same tags.
"""

from __future__ import annotations

import struct

LEAD = 96
_LEAD_MAGIC, _HEADER_MAGIC = b"\xed\xab\xee\xdb", b"\x8e\xad\xe8\x01"
_INTRO = struct.Struct(">4s4xII")  # of a header: magic, number of entries, bytes of data
_ENTRY = struct.Struct(">IIII")  # tag, type, offset, count
# DSA and RSA over the header, PGP and GPG over header and payload
_SIGNATURES = frozenset({267, 268, 1002, 1005})
ENOUGH = 256 * 1024  # bytes from a package's beginning that hold its signatures


class NoRpmError(ValueError):
    """What was read is no RPM."""


def is_signed(start: bytes) -> bool:
    """Whether an RPM has a signature, by the first bytes of it; whose it is, yum finds out.

    Raises:
        NoRpmError: it is none.
    """
    if start[:4] != _LEAD_MAGIC or len(start) < LEAD + _INTRO.size:
        raise NoRpmError("it does not start like an RPM")
    magic, entries, _ = _INTRO.unpack_from(start, LEAD)
    first = LEAD + _INTRO.size
    if magic != _HEADER_MAGIC or len(start) < first + entries * _ENTRY.size:
        raise NoRpmError("it has no signature header")
    tags = {_ENTRY.unpack_from(start, first + number * _ENTRY.size)[0] for number in range(entries)}
    return bool(tags & _SIGNATURES)
