"""How addresses are written that other programs read: of registries and of their mirrors. Pure.

Each function returns what it was given, without a last slash, or raises a ValueError that says what is right.
"""

from __future__ import annotations

import re
from ipaddress import ip_network

_HOST = re.compile(r"(\w([-.\w]*\w)?|\[[0-9a-fA-F:.]+\])(?::(\d{1,5}))?")
_PORTS = 65535


def registry(value: str) -> str:
    """A registry by its name and port, or a network of registries, as docker's `--insecure-registry` takes them."""
    if not (_is_network(value) if "/" in value else _is_host(value)):
        raise ValueError("must be a registry's name and port such as registry.example.com:5000, or a network")
    return value


def mirror(value: str) -> str:
    """The address of a registry's mirror, without a path: docker takes no other."""
    scheme, sign, host = value.rstrip("/").partition("://")
    if scheme not in ("http", "https") or not sign or not _is_host(host):
        raise ValueError("must be an address such as https://mirror.example.com, without a path: docker takes no other")
    return value.rstrip("/")


def _is_host(text: str) -> bool:
    """Whether it is a name or an address, an IPv6 one in brackets, with or without a port."""
    found = _HOST.fullmatch(text)
    return found is not None and int(found[3] or 0) <= _PORTS


def _is_network(text: str) -> bool:
    try:
        return bool(ip_network(text, strict=False))
    except ValueError:
        return False
