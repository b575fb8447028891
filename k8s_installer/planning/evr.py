"""Versions of RPMs: epoch, version and release, and which of two is newer. Pure."""

from __future__ import annotations

import re
from functools import cmp_to_key
from typing import NamedTuple

_PART = re.compile(r"[0-9]+|[a-zA-Z]+|~")  # of rpm 4.11, which does not know the caret


class Evr(NamedTuple):
    """Epoch, version and release as they stand in a repository's metadata; an empty release is any."""

    epoch: str
    version: str
    release: str

    def __str__(self) -> str:
        return "-".join(filter(None, (self.version, self.release)))

    @classmethod
    def parse(cls, text: str) -> Evr:
        """Read `[EPOCH:]VERSION[-RELEASE]`.

        >>> Evr.parse("2:1.13.1-209.git7d71120.el7")
        Evr(epoch='2', version='1.13.1', release='209.git7d71120.el7')
        """
        epoch, _, rest = text.rpartition(":")
        version, _, release = rest.partition("-")
        return cls(epoch, version, release)


def compare(one: Evr, other: Evr) -> int:
    """Less than 0, 0 or more: as rpm sorts them; where one has no release, that of the other does not count."""
    order = _numbers(one.epoch or "0", other.epoch or "0") or _compared(one.version, other.version)
    return order if order or not one.release or not other.release else _compared(one.release, other.release)


NEWER = cmp_to_key(compare)


def _compared(one: str, other: str) -> int:
    """As rpm's rpmvercmp.

    >>> _compared("1.10", "1.9"), _compared("1.0~rc1", "1.0"), _compared("2.el7_9", "2.el7"), _compared("a", "1")
    (1, -1, 1, -1)
    """
    ours, theirs = _PART.findall(one), _PART.findall(other)
    for mine, its in zip(ours, theirs, strict=False):
        if mine == its:
            continue
        if "~" in (mine, its):
            return -1 if mine == "~" else 1
        if mine.isdigit() != its.isdigit():
            return 1 if mine.isdigit() else -1
        order = _numbers(mine, its) if mine.isdigit() else (mine > its) - (mine < its)
        if order:
            return order
    if len(ours) == len(theirs):
        return 0
    longer, sign = (ours, 1) if len(ours) > len(theirs) else (theirs, -1)
    return -sign if longer[min(len(ours), len(theirs))] == "~" else sign


def _numbers(one: str, other: str) -> int:
    """Digits compared as numbers without being made into any: a host may answer with thousands of them."""
    left, right = ((len(text.lstrip("0")), text.lstrip("0")) for text in (one, other))
    return (left > right) - (left < right)
