"""What must not be in a record: keys, tokens, passwords and other long random words, taken out of text."""

from __future__ import annotations

import re

_RANDOM = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")


# Each is linear in the text, whatever a host prints: no pattern can begin at every character of a long run.
_KEYS = (
    re.compile(r"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----.*?(?:-----END \1PRIVATE KEY-----|\Z)", re.DOTALL),
    # the tail of a key whose head was cut off: its last line is too short to look random
    re.compile(r"\S{0,80}\s{0,2}-----END [A-Z0-9 ]*PRIVATE KEY-----"),
)


# Each with words of which every match has one: to look for a word is quick, to ignore the case in a pattern is not.
_SECRETS = (
    (("authorization", "bearer"), re.compile(r"(?i)((?:authorization:\s*\w+|bearer)\s+)[^\s\"']+"), r"\1<secret>"),
    (
        ("key-data", "password"),
        re.compile(r"(?i)((?:key-data|password)\\?[\"']?\s*[:=]\s*\\?[\"']?)[^\s\"',}]+"),
        r"\1<secret>",
    ),
    # sixteen and more: "secret: not found" is a complaint and stays
    (
        ("token", "secret"),
        re.compile(r"(?i)((?:token|secret)\\?[\"']?\s*[:=]\s*\\?[\"']?)[^\s\"',}]{16,}"),
        r"\1<secret>",
    ),
    (("eyj",), re.compile(r"(?<![\w-])eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"), "<token>"),
)


def redact(text: str) -> str:
    """The text without private keys, tokens, passwords and other long random words.

    Sums in hexadecimal stay: they are no secrets, and what an answer is about is often known by them.
    """
    if "PRIVATE KEY-----" in text:
        for pattern in _KEYS:
            text = pattern.sub("<private key>", text)
    small = text.lower()
    for words, pattern, shown in _SECRETS:
        # beyond ASCII more letters count as the same: a long s, a dotless i
        if not small.isascii() or any(word in small for word in words):
            text = pattern.sub(shown, text)
    return _RANDOM.sub(_random, text)


def _random(match: re.Match[str]) -> str:
    word = match[0]
    mixed = word != word.lower() and word != word.upper()
    return f"<{len(word)} random characters>" if mixed else word
