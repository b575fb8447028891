"""What a unit's status and journal say, shortened to what a person needs: the line that failed, and its reason. Pure.

The whole text is in the run's trace. What is left out: what systemd says of every unit, what programs say when all is
well, what is said again, and the middle of lines that are longer than a screen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from k8s_installer.host import yum
from k8s_installer.model.resources import Package, Resource, Unit

MOST_LINES = 25
_LEAST = 6  # lines of the errors, and of the journal's end, that nothing else takes the place of
LONGEST = 240  # characters of a line

LATE = "did not pass"  # how the detail of a gate begins that was waited for until its deadline
HINT = "hint: "  # how a line of a failure's detail begins that says what to do

ERRORS, END = "--- errors in its journal", "--- end of its journal"

_IS_HINT = re.compile(rf"{HINT}|to (?:allow|lose|leave|delete) [^:]+: ")  # the latter of a drain
_HEAD = re.compile(r"^\w{3} [ \d]\d [\d:]{8} \S+ ([^\s\[]+)(?:\[\d+\])?: ")  # of journald: time, host, program
_KLOG = re.compile(r"([IWEF])\d{4} [\d:.]+\s+\d+ (\S+:\d+\] )")
_TIME = re.compile(r"time=\"?[-\dT:.+Z]+\"? ?")
# What systemctl status says of a unit besides how it ended.
_STATUS = re.compile(
    r"\s*(?:[\u25cf\u00d7\u25cb\u21bb*] |Loaded:|Drop-In:|[├└]─|[`|]-|Docs:|Until:|Tasks:|Memory:|CPU:|CGroup:|Trigger"
    r"|Main PID: \d+ \([^=]*\)$|Process: .*status=0/SUCCESS\))"
)
# What is no trouble: information, systemd at its work, and the pages of usage after a wrong flag.
_CALM = re.compile(
    r"(?:^|: )I\d{4} |level=(?:info|debug)|: (?:Start|Stopp)(?:ing|ed) |: Scheduled restart|: Consumed |^\s+-"
    r"|hold-?off time|^-- |: Unit \S+ entered failed state|: Triggering|: Usage:|: Flag --\S+ has been deprecated"
    # the dump of a program's goroutines
    r"|: goroutine \d+ \[|: created by \S+/|\.go:\d+ \+0x|\s\S+\.go:\d+$|(?:^|: )\S+\((?:0x[^:]*|\.\.\.)\)$"
    r"|: [\w.*/()-]+\.func\d+\(\)$"
)
# What is no reason to end: a warning (information is calm), and what journald says of itself.
_NO_REASON = re.compile(_HEAD.pattern + r"W\d{4} |^\w{3} [ \d]\d [\d:]{8} \S+ systemd(?:-journald)?\[")
_FATAL = re.compile(_HEAD.pattern + r"(?:F\d{4} |panic: )")
_SUPPRESSED = re.compile(r"Suppressed (\d+) messages from (\S+)\.service")
_STATUS_CODE = re.compile(r"code=exited, status=(\d+)")
# A flag at the start of a message is a line of those pages; in "Error: --flag invalid" it is what failed.
_USAGE = re.compile(_HEAD.pattern + r"\s*-")


def shortened(text: str, most: int = MOST_LINES) -> str:
    """The text of `perform`'s `evidence` with at most so many lines, headings included."""
    status, errors, ends = _sections(text.splitlines())
    told = [line for line in status if line.strip() and not _STATUS.match(line)]
    complaints = _unsaid([line for line in errors if not _calm(line)], ())
    last = _unsaid([line for line in ends if not _calm(line)], complaints)
    if not complaints and not last:
        last = _unsaid(ends, ())
    sections = [(heading, found) for heading, found in ((ERRORS, complaints), (END, last)) if found]
    # a status of many lines leaves room for why: it begins with the state, and much of the rest is of little use
    lines = told[: max(1, most - _needed(sections))]
    while sections:
        heading, found = sections.pop(0)
        room = most - len(lines) - 1 - _needed(sections)
        lines += [heading, *found[-room:]] if room > 0 else []
    return "\n".join(map(clipped, lines))


def explained(text: str, resource: Resource) -> str:
    """What a failed change of this resource printed, for people: a unit's shortened, yum's with what to do about it."""
    if isinstance(resource, Unit):
        return shortened(text)
    hint = yum.hint(text) if isinstance(resource, Package) else ""
    return f"{text}\n{HINT}{hint}" if hint else text


class Why(NamedTuple):
    """A failure's detail, in parts: the one line that says why, what to do about it, and the evidence for it."""

    cause: str
    hints: tuple[str, ...]
    evidence: tuple[str, ...]


def why(detail: str) -> Why:
    """Read what an event says of a failure: the words of a unit, of yum, of a gate, or of an error.

    The cause of a unit's failure is the first error in its journal, or else what its program said last; of yum's the
    line that is known to mean something, of others the first line. A unit that only took too long may have complained
    of something else. Where the cause is all, there is no evidence.
    """
    lines = [line for line in detail.splitlines() if line.strip()]
    told = tuple(line for line in lines if not _IS_HINT.match(line))
    hints = tuple(line.removeprefix(HINT) for line in lines if _IS_HINT.match(line))
    trouble = yum.classify(detail) if hints else None
    cause = (trouble.line(detail) if trouble else "") or next(iter(told), "")
    if not cause.startswith(LATE):
        cause = _complaint(told) or cause
    if (left_out := _SUPPRESSED.search(detail)) and not any(map(_FATAL.match, told)):
        hints = (*hints, _suppressed(*left_out.groups()))
    return Why(cause.strip(), hints, told if len(told) > 1 else ())


def exited(text: str, unit: str, times: int) -> str:
    """How often a unit's process has ended, and with which status by what systemd says of it; empty if it has not."""
    status = _STATUS_CODE.search(text)
    ended = f" has exited {times} time{'s' * (times != 1)}"
    return f"{unit}{ended}{f' (status {status[1]})' if status else ''}" if times else ""


def _suppressed(count: str, unit: str) -> str:
    return (
        f"journald left out {count} messages of {unit}, perhaps the reason; to see all: RateLimitInterval=0 in "
        f"/etc/systemd/journald.conf, systemctl restart systemd-journald {unit}, journalctl -u {unit}"
    )


def _complaint(lines: Sequence[str]) -> str:
    """Why a program ended, or the first error of a unit's journal; where none is there, the first of its last lines.

    Warnings and what systemd and journald say are never it.
    """
    _, complaints, last = _sections(lines)
    fatal = [line for line in complaints if _FATAL.match(line)][-1:]
    own = [line for line in (*complaints, *filter(_HEAD.match, last)) if not _NO_REASON.match(line)]
    return next((_message(line) for line in (*fatal, *own)), "")


def _message(line: str) -> str:
    """A line of the journal without its time, its host, and where in the program it was written."""
    return _TIME.sub("", _KLOG.sub("", _HEAD.sub(r"\1: ", line))).strip()


def _needed(sections: Iterable[tuple[str, Sequence[str]]]) -> int:
    """How many lines these sections take at least, headings included."""
    return sum(1 + min(len(found), _LEAST) for _, found in sections)


def _calm(line: str) -> bool:
    return bool(_CALM.search(line) or _USAGE.match(line))


def clipped(line: str) -> str:
    """A line without its middle where it is too long: what failed stands at its start, and why at its end."""
    if len(line) <= LONGEST:
        return line.rstrip()
    half = (LONGEST - 5) // 2
    return f"{line[:half].rstrip()} ... {line.rstrip()[-half:].lstrip()}"


def _sections(lines: Sequence[str]) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    end = lines.index(END) if END in lines else len(lines)
    errors = lines.index(ERRORS) if ERRORS in lines else end
    return lines[:errors], lines[errors + 1 : end], lines[end + 1 :]


def _unsaid(lines: Sequence[str], said: Iterable[str]) -> list[str]:
    """The lines that say something new, each where it was said last."""
    known = {_meaning(line) for line in said}
    found: list[str] = []
    for line in reversed(lines):
        meaning = _meaning(line)
        if meaning not in known:
            known.add(meaning)
            found.append(line)
    return found[::-1]


def _meaning(line: str) -> str:
    """A line without what changes each time it is said."""
    return _TIME.sub("", _KLOG.sub(r"\1 \2", _HEAD.sub(r"\1: ", line))).strip()
