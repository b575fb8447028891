"""How addresses are written: of registries, their mirrors and images, and of a gateway for SSH. Pure.

Each function returns what it was given, a mirror without a last slash, or raises a ValueError that says what is right.
"""

from __future__ import annotations

import re
from ipaddress import ip_network

HOST = re.compile(r"(\w([-.\w]*\w)?|\[[0-9a-fA-F:.]+\])(?::(\d{1,5}))?")
GATEWAY = re.compile(r"(\S+@)?[A-Za-z0-9]([-.\w]*\w)?(?::(\d{1,5}))?")
ENDPOINT = re.compile(r"[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?:(\d{1,5})")
_PORTS = 65535
# Docker's grammar of references: a registry, a path in lower case, a tag, a digest.
_PATH = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_DOMAIN = r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?"
IMAGE = re.compile(
    rf"(?:{_DOMAIN}(?:\.{_DOMAIN})*(?::(?P<port>\d{{1,5}}))?/)?{_PATH}(?:/{_PATH})*"
    r"(?::\w[-.\w]{0,127})?(?:@sha256:[0-9a-f]+)?",
    re.ASCII,
)


def registry(value: str) -> str:
    """A registry by its name and port, or a network of registries, as docker's `--insecure-registry` takes them."""
    if not (_is_network(value) if "/" in value else _is_host(value)):
        raise ValueError("must be a registry's name and port such as registry.example.com:5000, or a network")
    return value


def mirror(value: str) -> str:
    """The address of a registry's mirror, without a path: docker accepts no other."""
    scheme, sign, host = value.rstrip("/").partition("://")
    if scheme not in ("http", "https") or not sign or not _is_host(host):
        raise ValueError(
            "must be an address such as https://mirror.example.com, without a path: docker accepts no other"
        )
    return value.rstrip("/")


def gateway(value: str) -> str:
    """The host that SSH goes through, as `[USER@]HOST[:PORT]`."""
    found = GATEWAY.fullmatch(value)
    if not found or not 1 <= int(found[3] or _PORTS) <= _PORTS:
        raise ValueError("must be USER@HOST:PORT; without USER and PORT they are the host's own, and 22")
    return value


def endpoint(value: str) -> str:
    """Where a program is reached, as `HOST:PORT`; HOST is an IPv4 address or a DNS name."""
    found = ENDPOINT.fullmatch(value)
    if not found or not 1 <= int(found[1]) <= _PORTS:
        raise ValueError("must be HOST:PORT such as 10.0.0.10:6443 or api.example.com:6443")
    return value


def image(value: str) -> str:
    """An image by its name, as docker takes it; an empty text is none."""
    found = IMAGE.fullmatch(value)
    if value and (not found or int(found["port"] or 0) > _PORTS):
        raise ValueError("must be an image such as registry.example.com:5000/pause:3.2, with a lowercase path")
    return value


def _is_host(text: str) -> bool:
    """Whether it is a name or an address, an IPv6 one in brackets, with or without a port."""
    found = HOST.fullmatch(text)
    return found is not None and int(found[3] or 0) <= _PORTS


def _is_network(text: str) -> bool:
    try:
        return bool(ip_network(text, strict=False))
    except ValueError:
        return False
