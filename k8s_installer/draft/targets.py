"""Hosts as people type them, `[USER@]HOST[:PORT]`, where HOST is an IPv4 address or a DNS name. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from k8s_installer.errors import InputError

_USER = re.compile(r"[^\s@\x00-\x1f\x7f-\x9f]{1,128}")
_NUMBERS = re.compile(r"[0-9.]+")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([-a-z0-9_]*[a-z0-9])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9])?)*", re.IGNORECASE)
_PORT = re.compile(r"[0-9]{1,5}")
_PORTS = 65535
_HINT = "a host is [USER@]HOST[:PORT], such as 10.0.0.11, root@10.0.0.11:2222 or node1.example.com"


@dataclass(frozen=True, slots=True)
class Target:
    """One host as it was typed. `address` is its IPv4 address; empty where `host` is a name not looked up yet."""

    host: str
    user: str | None = None
    port: int | None = None
    address: str = ""


def words(text: str) -> list[str]:
    """The hosts in a text, separated by blanks or lines; `#` begins a comment."""
    return [word for line in text.splitlines() for word in line.partition("#")[0].split()]


def targets(typed: Sequence[str]) -> tuple[Target, ...]:
    """Read what was typed.

    Raises:
        InputError: there is nothing, or something is no host; every mistake at once, a line each.
    """
    if not typed:
        raise InputError("no hosts: name at least one", hint=_HINT)
    found, wrong = [], []
    for word in typed:
        try:
            found.append(_target(word))
        except ValueError as error:
            wrong.append(f"{word}: {error}")
    if wrong:
        raise InputError("\n".join(wrong), hint=_HINT)
    return tuple(found)


def distinct(found: Sequence[Target]) -> None:
    """See that no two targets have the same address.

    Raises:
        InputError: some have; every pair at once.
    """
    first: dict[str, Target] = {}
    wrong = []
    for target in found:
        other = first.setdefault(target.address, target)
        if other is not target:
            names = {f"{one.host}:{one.port}" if one.port else one.host for one in (other, target)}
            said = f" ({' and '.join(sorted(names))})" if len(names) > 1 else ""
            wrong.append(f"{target.address} is given twice{said}")
    if wrong:
        hint = "each host needs an address of its own, at which the other hosts reach it"
        raise InputError("\n".join(dict.fromkeys(wrong)), hint=hint)


def _target(word: str) -> Target:
    """Read one host; a ValueError says what is wrong with it."""
    user, at, rest = word.rpartition("@")
    if at and not _USER.fullmatch(user):
        raise ValueError("the user name before @ is missing, or no name")
    if rest.startswith("[") or rest.count(":") > 1:
        raise ValueError("IPv6 is not supported: use the host's IPv4 address")
    host, colon, port = rest.partition(":")
    if colon and not (_PORT.fullmatch(port) and 1 <= int(port) <= _PORTS):
        raise ValueError(f"the port must be a number from 1 to {_PORTS}")
    address = _address(host)
    return Target(host, user if at else None, int(port) if colon else None, address)


def _address(host: str) -> str:
    """The address, if that is what was typed; empty for a name."""
    if not _NUMBERS.fullmatch(host):
        if not _NAME.fullmatch(host):
            raise ValueError("is neither an IPv4 address nor a host name")
        return ""
    try:
        return str(IPv4Address(host))
    except AddressValueError:
        raise ValueError("is not an IPv4 address: four numbers from 0 to 255") from None
