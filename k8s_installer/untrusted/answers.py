"""The words of hosts, read strictly. Pure.

A host is another machine's program: it may be broken, old, or somebody else's. Each reader here takes text and returns
a value of the type that its caller expects, or raises `Malformed`, and nothing else; whoever asked the host turns that
into an error with its name (`understood`). Parsers of answers use these readers alone for numbers, sums and JSON,
because Python's own have limits of their own: `int()` refuses more than 4,300 digits, `float()` knows infinity, and
JSON of a thousand brackets exhausts the stack.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from k8s_installer.errors import MalformedAnswer

T = TypeVar("T")
Json = dict[str, Any]

MOST_LINES = 1_000_000  # of one answer: each is an object in memory
_SHOWN = 80  # characters of a line in a message
_MOST_DIGITS = 18
_SECONDS = re.compile(r"-?[0-9]{1,11}(\.[0-9]{1,12})?")
_HEXADECIMAL = re.compile(r"[0-9a-f]{1,8}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Malformed(Exception):  # noqa: N818 - becomes an error where the host's name is known
    """What a host printed is not an answer to what it was asked."""

    def __init__(self, what: str, text: str) -> None:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        super().__init__(f"{what}: {shown!a}")


def understood(host: str, parse: Callable[[], T]) -> T:
    """What `parse` makes of a host's answer.

    Raises:
        MalformedAnswer: it raised `Malformed`.
    """
    try:
        return parse()
    except Malformed as error:
        raise MalformedAnswer(host, str(error)) from None


def lines(text: str) -> list[str]:
    """The lines of a text: a newline alone ends one, as for every program on a host (`splitlines` knows nine more)."""
    if text.count("\n") > MOST_LINES:
        raise Malformed(f"more than {MOST_LINES:,} lines", text)
    found = text.split("\n")
    return found[:-1] if found[-1] == "" else found


def words(line: str, count: int, what: str) -> list[str]:
    """The words of a line: exactly `count`, with one blank between; the last may have blanks itself."""
    found = line.split(" ", count - 1)
    if len(found) != count:
        raise Malformed(what, line)
    return found


def whole(text: str, what: str, digits: int = _MOST_DIGITS) -> int:
    """A number of at most so many digits."""
    if not (text.isascii() and text.isdigit() and len(text) <= digits):
        raise Malformed(what, text)
    return int(text)


def hexadecimal(text: str, what: str) -> int:
    """A number of at most 8 hexadecimal digits."""
    if not _HEXADECIMAL.fullmatch(text):
        raise Malformed(what, text)
    return int(text, 16)


def seconds(text: str, what: str) -> float:
    """A time (Unix) or a length of time, in seconds: within the years that a calendar has."""
    if not _SECONDS.fullmatch(text):
        raise Malformed(what, text)
    return float(text)


def is_sha256(text: str) -> bool:
    """Whether this is a SHA-256 in hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None


def from_base64(text: str, what: str) -> bytes:
    """The bytes that base64 stands for."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        raise Malformed(what, text) from None


def json_object(text: str) -> Json:
    """The object that a text is in JSON; an empty one if it is something else, or nested too deeply."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def at(value: object, *path: str) -> Json:
    """The object at a path inside JSON; an empty one if there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def objects(value: object) -> Iterator[Json]:
    """The objects of a list in JSON; none if it is no list."""
    yield from (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def text(value: object) -> str:
    """A string in JSON; an empty one for anything else."""
    return value if isinstance(value, str) else ""


def texts(value: object) -> list[str]:
    """The strings of a list in JSON; none if it is no list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
