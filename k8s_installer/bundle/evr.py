"""Versions of RPMs: epoch, version and release, and which of two is newer. Pure."""

from __future__ import annotations

import re
from functools import cmp_to_key
from typing import NamedTuple

_PART = re.compile(r"[0-9]+|[a-zA-Z]+|~")


class Evr(NamedTuple):
    """Epoch, version and release as they stand in a repository's metadata; an empty release is any."""

    epoch: str
    version: str
    release: str

    def __str__(self) -> str:
        return "-".join(filter(None, (self.version, self.release)))


def compare(one: Evr, other: Evr) -> int:
    """Less than 0, 0 or more: as rpm sorts them; where one has no release, that of the other does not count."""
    first = (int(one.epoch or 0) > int(other.epoch or 0)) - (int(one.epoch or 0) < int(other.epoch or 0))
    order = first or _compared(one.version, other.version)
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
        left, right = (int(mine), int(its)) if mine.isdigit() else (mine, its)
        if left != right:
            return 1 if left > right else -1
    if len(ours) == len(theirs):
        return 0
    longer, sign = (ours, 1) if len(ours) > len(theirs) else (theirs, -1)
    return -sign if longer[min(len(ours), len(theirs))] == "~" else sign
