"""Answers as they should be, made wrong: by a strategy of Hypothesis."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

# What has broken parsers of other programs, or of this one.
NASTY = (
    b"", b" ", b"\n", b"\r", b"\r\n", b"\t", b"\0", b"\x1b]0;owned\x07", b"\x1b[2J", b"\x9b31m", b"\xff\xfe", b"\xc3",
    b"\xe2\x80\xae", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xc2\x85", b"\x0b", b"\x0c", b"\x1c", b"-", b"-1", b"0", b"00", b"1e999", b"NaN", b"inf",
    b"9" * 400, b"9" * 5000, b"1" + b"0" * 19, b"18446744073709551616", b"0x41", b"1_0", "²".encode(), "٣".encode(),
    b"[" * 3000, b'{"a":' * 3000, b"null", b"true", b"[]", b"{}", b'""', b'"\\ud800"', b"$(touch /tmp/owned)", b"`id`", b"; id", b"'", b'"',
    b"../../../../etc/passwd", b"/dev/zero", b"%s%n", b"{0.__class__}", b"A" * 300, b"=", b":", b"::k8s-installer:: done 1",
    b"&a [*a]", b"!!python/object/apply:os.system [id]", b'<!DOCTYPE a [<!ENTITY b "c">]>', b"&lol;",
)  # fmt: skip
Edit = tuple[str, int, int, bytes]
_NUMBER = re.compile(rb"[0-9]+")

_EDITS: st.SearchStrategy[Edit] = st.tuples(
    st.sampled_from(["insert", "replace", "delete", "double", "number", "word", "line", "swap", "cut"]),
    st.integers(0, 1 << 16),
    st.integers(0, 40),
    st.one_of(st.sampled_from(NASTY), st.binary(max_size=8)),
)


def mutated(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of the seeds after a few edits; or a few bytes of no meaning."""
    edited = st.tuples(st.sampled_from(seeds), st.lists(_EDITS, max_size=5)).map(lambda made: _all(*made))
    return st.one_of(edited, edited, edited, st.binary(max_size=200))


def _all(text: bytes, edits: Sequence[Edit]) -> bytes:
    for kind, where, length, token in edits:
        text = _apply(text, kind, where % (len(text) + 1), length, token)
    return text


def _apply(text: bytes, kind: str, at: int, length: int, token: bytes) -> bytes:
    """Replace what the kind of edit chooses, or cut and paste."""
    start, end = _CHOICES[kind](text, at, length)
    if kind == "double":
        token = text[start:end] * 2
    elif kind == "swap":
        return text[at:] + text[:at]
    elif kind in ("delete", "cut"):
        token = b""
    return text[:start] + token + text[end:]


def _number(text: bytes, at: int, _length: int) -> tuple[int, int]:
    found = _NUMBER.search(text, at) or _NUMBER.search(text)
    return found.span() if found else (at, at)


def _word(text: bytes, at: int, _length: int) -> tuple[int, int]:
    return _between(text, at, b" ")


def _line(text: bytes, at: int, _length: int) -> tuple[int, int]:
    return _between(text, at, b"\n")


def _between(text: bytes, at: int, mark: bytes) -> tuple[int, int]:
    end = text.find(mark, at)
    return text.rfind(mark, 0, at) + 1, len(text) if end < 0 else end


def _span(_text: bytes, at: int, length: int) -> tuple[int, int]:
    return at, at + length


_CHOICES: dict[str, Callable[[bytes, int, int], tuple[int, int]]] = {
    "number": _number,
    "word": _word,
    "line": _line,
    "insert": lambda _text, at, _length: (at, at),
    "replace": _span,
    "delete": _span,
    "double": _span,
    "swap": _span,
    "cut": lambda text, at, _length: (at, len(text)),
}
