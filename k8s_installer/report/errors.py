"""Errors as people read them: what and where, and below it what to do; the same error of many hosts once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.text import Text

from k8s_installer.errors import HostError, HostsError, InstallerError
from k8s_installer.report.grouped import token
from k8s_installer.report.names import spans

_ADDRESS = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\w)")


def lines(error: InstallerError) -> Iterator[Text]:
    """The lines of an error: a mark ahead of each thing that is wrong, what to do in yellow."""
    together = _together(error.errors) if isinstance(error, HostsError) else error.message
    for line in [*together.splitlines(), *(f"  {line}" for line in error.hint.splitlines())]:
        yield Text(line, "yellow") if line.startswith("  ") else Text.assemble(("error: ", "bold red"), line)


def _together(errors: Sequence[HostError]) -> str:
    """The messages, each with what to do; hosts whose messages differ by their names and addresses alone share one."""
    alike: dict[str, list[HostError]] = {}
    for error in errors:
        alike.setdefault(_general(error), []).append(error)
    return "\n".join(
        f"{spans(error.host for error in found)}: {general if len(found) > 1 else _own(found[0])}"
        for general, found in alike.items()
    )


def _own(error: HostError) -> str:
    words = error.message.removeprefix(f"{error.host}: ")
    return "\n".join([words, *(f"  {line}" for line in error.hint.splitlines())])


def _general(error: HostError) -> str:
    return _ADDRESS.sub("<address>", token(error.host).sub("<name>", _own(error)))
