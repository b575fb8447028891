"""The man page, in groff's macros of man(7)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from k8s_installer import __version__
from tools.reference.commands import PROGRAM, Command, Option, shared

_EXITS = [
    ("0", "Done, or nothing to do."),
    ("1", "Failed."),
    ("2", "Wrong usage or invalid input."),
    ("3", "Changes are pending (plan, status, certs status)."),
    ("130", "Stopped by Ctrl-C."),
]
_ENVIRONMENT = [
    ("K8S_INSTALLER_INVENTORY", "The inventory, where there is no -i."),
    ("NO_COLOR", "If it is set, output has no colours."),
]
_FILES = [
    (".k8s-installer/CLUSTER/pki", "The cluster's keys and certificates, beside the inventory. Keep them private."),
    (".k8s-installer/CLUSTER/journal", "What the last runs did, step by step."),
    ("addons/, components/, profiles/, templates/", "Folders beside the inventory that add to what the package has."),
]


def page(commands: Sequence[Command], written: str) -> str:
    """The text of the page."""
    alone, everywhere = shared()
    lines = [
        f'.\\" {written}',
        f'.TH K8S\\-INSTALLER 1 "" "{PROGRAM} {__version__}" "User Commands"',
        ".SH NAME",
        f"{_text(PROGRAM)} \\- installs Kubernetes component by component, from packages, over SSH",
        ".SH SYNOPSIS",
        f".B {_text(PROGRAM)}",
        ".I COMMAND",
        "[OPTIONS] [ARGUMENTS]",
        ".SH DESCRIPTION",
        "Installs Kubernetes as systemd units you can read, on CentOS 7 hosts that need only sshd and yum.",
        "One inventory describes a cluster; \\fBapply\\fR makes the hosts what it says, and after an edit changes only",
        "what the edit affects.",
        ".SH OPTIONS",
        *_options(alone),
        ".PP",
        "Every command has these as well:",
        *_options(everywhere),
        ".SH COMMANDS",
    ]
    for one in commands:
        if not one.group:
            lines += _command(one)
    for title, rows in (("EXIT STATUS", _EXITS), ("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES)):
        lines.append(f".SH {title}")
        for term, text in rows:
            lines += [".TP", f".B {_text(term)}", _text(text)]
    return "\n".join(lines) + "\n"


def _command(one: Command) -> Iterator[str]:
    yield f".SS {_text(one.name)}"
    yield f".B {_text(one.usage)}"
    yield ".PP"
    yield from _paragraphs(one.help)
    yield from _options([*one.arguments, *one.options])
    for note in one.notes:
        yield ".PP"
        yield _marked(note)


def _options(options: Sequence[Option]) -> Iterator[str]:
    for option in options:
        default = f" Default: {option.default}." if option.default else " Required." if option.required else ""
        yield ".TP"
        yield f".B {_text(option.written)}"
        yield _marked(option.help + default) or "\\&"


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        yield _marked(paragraph)


def _marked(text: str) -> str:
    """A paragraph on one line, with what stands between backticks in bold."""
    pieces = re.split(r"`([^`]*)`", " ".join(text.split()))
    return _safe("".join(f"\\fB{_escaped(one)}\\fR" if odd % 2 else _escaped(one) for odd, one in enumerate(pieces)))


def _text(text: str) -> str:
    return _safe(_escaped(" ".join(text.split())))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


def _safe(line: str) -> str:
    """A line that groff does not take for a request."""
    return f"\\&{line}" if line.startswith((".", "'")) else line
