"""Which keys a configuration of the encryption of Secrets has, by sums: no key leaves the host that is asked. Pure.

etcd has each Secret with the provider and the name of the key that encrypted it, so a configuration that lacks one of
these, or the key itself, cannot read it. The host finds them by awk, this machine by `sums`, and the two must agree.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_VALUES = ("name:", "secret:")
_PROVIDERS = ("aescbc:", "aesgcm:", "secretbox:", "kms:")
_MOST = 64  # words that a host sums, each by a process; a cluster in a rotation has eight

# YAML and JSON alike are split into words; comments and the marks of block scalars are none. A key is the input of
# sha256sum, and an argument of the shell's own printf alone.
SHELL = f"""\
sealed() {{
  LC_ALL=C awk '
    BEGIN {{ split("{" ".join(_VALUES)}", list); for (i in list) values[list[i]]
      split("{" ".join(_PROVIDERS)}", list); for (i in list) providers[list[i]] }}
    {{
      gsub(/["\\047]/, ""); gsub(/[][{{}},\\r]/, " "); gsub(/:/, ": ")
      for (i = 1; i <= NF && $i !~ /^#/; i++) {{
        if ($i ~ /^[|>]/) continue
        if (key != "") {{ print key $i; key = ""; found++ }}
        else if ($i in values) key = $i
        else if ($i in providers) {{ print $i; found++ }}
        if (found >= {_MOST}) exit
      }}
    }}' "$1" | while IFS= read -r word; do
    printf %s "$word" | sha256sum | {{ read -r sum rest; printf 'sealed %s %s\\n' "$1" "$sum"; }}
  done
}}
"""


KEY_BYTES = 32  # of a key for aescbc
FIRST = "key1"  # the name of a key that has none of its own
_NAME = re.compile(r"key[0-9]+")


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A key of Secrets, in base64, under the name that is stored with each Secret that it encrypts."""

    name: str
    secret: str = field(repr=False)

    def line(self) -> str:
        """The line of `encryption.key` that it is, with its end."""
        return f"{self.secret}\n" if self.name == FIRST else f"{self.name} {self.secret}\n"

    def words(self) -> frozenset[str]:
        """What `sums` finds of it in a configuration."""
        pieces = (f"name:{self.name}", f"secret:{self.secret}")
        return frozenset(hashlib.sha256(word.encode()).hexdigest() for word in pieces)


def keys(text: bytes) -> list[NamedKey]:
    """The keys of `encryption.key`, a line each: the first one writes, the others only read."""
    lines = (line.split() for line in text.decode(errors="replace").splitlines())
    return [NamedKey(words[0] if words[1:] else FIRST, words[-1]) for words in lines if words]


def own_name(name: object) -> str:
    """The name of a key that a configuration has, where this program gives such names; else that of the first."""
    return name if isinstance(name, str) and _NAME.fullmatch(name) else FIRST


def following(known: Iterable[NamedKey]) -> str:
    """The name of the next key: none that was there before."""
    return f"key{max((int(key.name[3:]) for key in known if _NAME.fullmatch(key.name)), default=1) + 1}"


def sums(config: bytes) -> frozenset[str]:
    """The SHA-256 of every provider, of every key's name, and of every key of a configuration."""
    return frozenset(hashlib.sha256(word).hexdigest() for word in _words(config))


def count(config: bytes) -> int:
    """How many different keys a configuration has."""
    return len({word for word in _words(config) if word.startswith(b"secret:")})


def _words(config: bytes) -> Iterator[bytes]:
    key = b""
    for word in _split(config):
        if key:
            yield key + word
            key = b""
        elif word.decode(errors="replace") in _VALUES:
            key = word
        elif word.decode(errors="replace") in _PROVIDERS:
            yield word


def _split(config: bytes) -> Iterator[bytes]:
    for line in config.split(b"\n"):
        plain = re.sub(rb"[][{},\r]", b" ", line.replace(b'"', b"").replace(b"'", b"")).replace(b":", b": ")
        for word in re.split(rb"[ \t]+", plain.strip(b" \t")):
            if word.startswith(b"#"):
                break
            if word and not word.startswith((b"|", b">")):
                yield word
