"""What pytest found, read from the JUnit file that it writes. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a test ended; an error is a test that could not be carried out."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


_BY_TAG = {"failure": Status.FAILED, "error": Status.ERROR, "skipped": Status.SKIPPED}


@dataclass(frozen=True, slots=True)
class Result:
    """One test: the host (empty for none), the file of tests without `test_`, its name, and what it said.

    `message` has a line that says what is wrong, and mostly one each for what was expected and found; empty where it
    passed.
    """

    host: str
    subject: str
    name: str
    status: Status
    seconds: float
    message: str

    @property
    def bad(self) -> bool:
        """Whether it failed, or could not be carried out."""
        return self.status in (Status.FAILED, Status.ERROR)


@dataclass(frozen=True, slots=True)
class Results:
    """All tests of a run in their order, and how long it took."""

    results: tuple[Result, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong, and something was looked at."""
        return not self.of(Status.FAILED, Status.ERROR) and bool(self.of(Status.PASSED))

    def of(self, *status: Status) -> list[Result]:
        """Those that ended so."""
        return [result for result in self.results if result.status in status]


def read(junit: bytes, seconds: float) -> Results:
    """The results in a JUnit file of pytest's.

    Args:
        junit: the file; pytest escapes what hosts say in it.
        seconds: how long the run took.

    Raises:
        ValueError: it is not such a file.
    """
    try:
        root = ET.fromstring(junit)  # noqa: S314 - written by pytest on this machine
    except ET.ParseError as error:
        raise ValueError(str(error)) from None
    return Results(tuple(_results(root)), seconds)


def _results(root: ET.Element) -> Iterator[Result]:
    for case in root.iter("testcase"):
        status, message = Status.PASSED, ""
        for tag, other in _BY_TAG.items():
            said = case.find(tag)
            if said is not None:
                status, message = other, _message(said)
        subject = case.get("classname", "").rpartition(".")[2].removeprefix("test_")
        host = case.find("properties/property[@name='host']")
        yield Result(
            host="" if host is None else host.get("value", ""),
            subject=subject,
            name=case.get("name", "").removeprefix("test_"),
            status=status,
            seconds=float(case.get("time", "0")),
            message=message,
        )


def _message(said: ET.Element) -> str:
    """What a test said; of one that could not be loaded or begun, the last line of its traceback that is an error."""
    message, text = said.get("message", ""), said.text or ""
    if message == "collection failure" or message.startswith("failed on "):
        errors = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
        return errors[-1] if errors else text.strip()
    return message.removeprefix("Failed: ")
