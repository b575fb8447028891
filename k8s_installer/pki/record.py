"""What this program made in a PKI's folder: tells its own files from those that somebody put there. Pure.

`record.json` beside the keys has the SHA-256 of every key and certificate that was made here, or was recovered and
looks made here. A sum says nothing of a key. The record is written before the files and again after them: a run that
was cut off is known by the names that it was writing.

It also has the sums of the roots that hosts were given, whoever made them. A CA and the key of tokens are known by
their public halves there, so another form of the same key is the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from k8s_installer.pki import certificates
from k8s_installer.pki.certificates import Flaw
from k8s_installer.pki.leaves import ENCRYPTION, ROOTS, TOKENS

FILE = "record.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Record:
    """Sums of what was made, by name, the oldest first; names that a run is writing; keys known not to be here.

    `used` are the sums of the roots that hosts were last given, by the name of the CA, `sa`, or `encryption.key`.
    """

    made: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    writing: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    used: Mapping[str, str] = field(default_factory=dict)

    def has(self, name: str, content: bytes) -> bool:
        """Whether these bytes were made here under this name."""
        return digest(content) in self.made.get(name, ())

    def adding(self, files: Mapping[str, bytes]) -> Record:
        """With these files as its own."""
        sums = {name: digest(content) for name, content in files.items()}
        added = {name: (*(old for old in self.made.get(name, ()) if old != new), new) for name, new in sums.items()}
        return replace(self, made={**self.made, **added}, without=self.without - files.keys())

    def during(self, names: Iterable[str]) -> Record:
        """While these names are written; none: what was begun is done."""
        return replace(self, writing=frozenset(names))

    def settled(self, files: Iterable[str]) -> Record:
        """With these files as complete: each is renamed into place, so one that is there is no longer being written."""
        return replace(self, writing=self.writing - frozenset(files))

    def lacking(self, names: Iterable[str]) -> Record:
        """With these keys known not to be here."""
        return replace(self, without=self.without | frozenset(names))

    def using(self, sums: Mapping[str, str]) -> Record:
        """With these roots as what hosts were last given."""
        return replace(self, used={**self.used, **sums})


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
        "used": dict(sorted(record.used.items())),
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
            raise Flaw(f"has format {data['format']}; this version reads {_FORMAT}")
        made = {str(name): tuple(map(str, sums)) for name, sums in data["made"].items()}
        writing, without = (frozenset(map(str, data[key])) for key in ("writing", "without"))
        used = {str(name): str(digest) for name, digest in data.get("used", {}).items()}  # older records have none
        return Record(made, writing, without, used)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, Flaw):
            raise
        raise Flaw("cannot be read: it is damaged or truncated") from None


def adopted(files: Mapping[str, bytes]) -> Record:
    """The record of a folder that has none: what looks made here was, and with it all that was always made.

    Versions before there were records made the first CAs, the two keys and certificates together. So where there are
    certificates of programs none of these can be new; a CA of somebody else's may have its key elsewhere.
    """
    own = made_here(files)
    if not any(name.endswith(".crt") and name not in ROOTS for name in own):
        return Record().adding(own)
    own |= {name: files[name] for name in _KEYS if name in files}
    first = [
        f"{ca}.{ending}"
        for ca in _FIRST_AUTHORITIES
        for ending in ("crt", "key")
        if f"{ca}.crt" in own or f"{ca}.crt" not in files
    ]
    record = Record().adding(own)
    return replace(record, made={**dict.fromkeys((*first, f"{TOKENS}.key", ENCRYPTION), ()), **record.made})


def made_here(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The certificates that look like those of this program, with their keys; what somebody supplied does not."""
    own = [name[:-4] for name, pem in files.items() if name.endswith(".crt") and certificates.made_here(pem)]
    pairs = [f"{name}.{ending}" for name in own for ending in ("crt", "key")]
    return {name: files[name] for name in pairs if name in files}


_FIRST_AUTHORITIES = ("ca", "etcd-ca", "front-proxy-ca")
_KEYS = (f"{TOKENS}.key", f"{TOKENS}.pub", ENCRYPTION)
