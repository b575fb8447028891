"""Which keys a configuration of the encryption of Secrets has, by sums: no key leaves the host that is asked. Pure.

etcd has each Secret with the provider and the name of the key that encrypted it, so a configuration that lacks one of
these, or the key itself, cannot read it. The host finds them by awk, this machine by `sums`, and the two must agree.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

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
