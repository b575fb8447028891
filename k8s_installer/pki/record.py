"""What this program made in a PKI's folder: tells its own files from those that somebody put there. Pure.

`record.json` beside the keys has the SHA-256 of every key and certificate that was made here or recovered from hosts.
A sum says nothing of a key. The record is written before the files and again after them: a run that was cut off is
known by the names that it was writing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from k8s_installer.pki.certificates import Flaw

FILE = "record.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Record:
    """Sums of what was made, by name, the oldest first; names that a run is writing; keys known not to be here."""

    made: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    writing: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()

    def has(self, name: str, content: bytes) -> bool:
        """Whether these bytes were made here under this name."""
        return digest(content) in self.made.get(name, ())

    def adding(self, files: Mapping[str, bytes]) -> Record:
        """With these files as its own."""
        sums = {name: digest(content) for name, content in files.items()}
        added = {name: (*(old for old in self.made.get(name, ()) if old != new), new) for name, new in sums.items()}
        return Record({**self.made, **added}, self.writing, self.without - files.keys())

    def during(self, names: Iterable[str]) -> Record:
        """While these names are written; none: what was begun is done."""
        return Record(self.made, frozenset(names), self.without)

    def lacking(self, names: Iterable[str]) -> Record:
        """With these keys known not to be here."""
        return Record(self.made, self.writing, self.without | frozenset(names))


def digest(content: bytes) -> str:
    """The sum by which a file is known."""
    return hashlib.sha256(content).hexdigest()


def dump(record: Record) -> bytes:
    """The text of the record."""
    data = {
        "format": _FORMAT,
        "made": dict(sorted(record.made.items())),
        "writing": sorted(record.writing),
        "without": sorted(record.without),
    }
    return (json.dumps(data, indent=1) + "\n").encode()


def load(text: bytes) -> Record:
    """Read a record.

    Raises:
        Flaw: it is none, or that of a newer program.
    """
    try:
        data = json.loads(text)
        if data["format"] != _FORMAT:
            raise Flaw(f"is of format {data['format']}; this program reads {_FORMAT}")
        made = {str(name): tuple(map(str, sums)) for name, sums in data["made"].items()}
        return Record(made, frozenset(map(str, data["writing"])), frozenset(map(str, data["without"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, Flaw):
            raise
        raise Flaw("cannot be read: it is damaged or cut off") from None
