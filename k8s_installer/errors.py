"""Everything that can go wrong, as one small tree.

    InstallerError
    ├── InputError          what the user gave is wrong; nothing was touched (exit 2)
    │   ├── InventoryError      the inventory, with every finding at once
    │   └── TemplateError       a template that cannot be rendered
    ├── HostError
    │   ├── TransportError      a host could not be asked: nothing is known about it
    │   ├── CommandFailed       a host was asked and said no
    │   ├── MalformedAnswer     a host was asked, and what it printed is no answer
    │   └── LockHeld, LockLost  the cluster's lock is somebody else's (defined in lease.py)
    ├── HostsError          several hosts have trouble: every message at once
    ├── LostError           what the cluster depends on is lost: what, where, and what brings it back
    ├── LimitError          this machine's limit of files or threads (defined in transport/limits.py)
    └── LabError            this machine cannot run the local hosts, or one of them failed

Library exceptions are translated where the library is called, so that no caller needs to know it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

_LONGEST = 2000  # characters of what is said about a host: it may have been the host's to say


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names for a sentence: the first ones, and how many there are beyond `most`.

    Example:
        >>> listed(["m1", "m2", "m3"], 2)
        'm1, m2 and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


class InstallerError(Exception):
    """The base of the tree; `hint` says what to do next, where something can be done."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong in a file the user wrote: where, what, and what was probably meant."""

    file: str
    line: int
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message}" + (f" ({self.suggestion})" if self.suggestion else "")


class InputError(InstallerError):
    """What the user gave is wrong; nothing was touched."""


class InventoryError(InputError):
    """The inventory is wrong: all findings at once, in the order of the file."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = tuple(findings)


class TemplateError(InputError):
    """A template cannot be rendered; the message names the template and the line."""


class HostError(InstallerError):
    """Something about one host; the message starts with its name."""

    def __init__(self, host: str, message: str, *, hint: str = "") -> None:
        shown = message if len(message) <= _LONGEST else f"{message[:_LONGEST]}..."
        super().__init__(f"{host}: {shown}", hint=hint)
        self.host = host


class TransportError(HostError):
    """The host could not be asked (no route, wrong host key, lost connection): nothing is known about it."""


class CommandFailed(HostError):  # noqa: N818 - the host's answer, not a fault of this program
    """The host was asked and said no; the full output is kept, the message is short."""

    def __init__(self, host: str, command: str, status: int, stdout: str, stderr: str, *, hint: str = "") -> None:
        words = (stderr.strip() or stdout.strip() or "no output").splitlines()[-1]
        super().__init__(host, f"{command}: exit {status}: {words}", hint=hint)
        self.command, self.status, self.stdout, self.stderr = command, status, stdout, stderr


class MalformedAnswer(HostError):  # noqa: N818 - the host's answer, not a fault of this program
    """The host was asked, and what it printed is no answer to it: nothing that it says is believed."""

    def __init__(self, host: str, words: str) -> None:
        super().__init__(
            host,
            f"its answer cannot be read: {words}",
            hint=f"log in to {host} and check what its commands print; it may be broken, or not the host you expect",
        )


class HostsError(InstallerError):
    """Hosts have trouble: one line each, with what to do about it."""

    def __init__(self, errors: list[HostError]) -> None:
        super().__init__("\n".join(f"{error}\n  {error.hint}" if error.hint else str(error) for error in errors))
        self.errors = tuple(errors)


class Lost(StrEnum):
    """What a cluster can lose that no plan brings back by itself."""

    MEMBER = "member"  # the data of a member of etcd, while the others have a quorum
    QUORUM = "quorum"
    DATA = "data"  # that of all members
    KEYS = "keys"  # those on this machine, while hosts have them


class LostError(InstallerError):
    """What a cluster depends on is lost: what, and on which hosts; each line of the hint is a way to bring it back."""

    def __init__(self, what: Lost, hosts: Iterable[str], message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.what, self.hosts = what, tuple(hosts)


class LabError(InstallerError):
    """This machine cannot run the lab's hosts, or one of them failed; the message says what is missing."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Ask for the nearest of the known words; empty where none is near."""
    close = difflib.get_close_matches(word, filter(None, known), n=1)
    return f"did you mean {close[0]}?" if close else ""
