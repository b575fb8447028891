"""What `init` wrote: the hosts with their roles, what to know, and what to type next; or plain data."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from k8s_installer.draft import Draft


def lines(draft: Draft, path: Path | None) -> Iterator[str]:
    """For people: what the inventory says in short."""
    choices = draft.choices
    where = f"{path} written: " if path else ""
    yield f"{where}cluster {choices.name}, Kubernetes {choices.version}, network {choices.network}"
    widths = [max(len(host.name) for host in draft.hosts), max(len(host.address) for host in draft.hosts)]
    for host in draft.hosts:
        note = f"  {host.note}" if host.note else ""
        yield f"  {host.name:<{widths[0]}}  {host.address:<{widths[1]}}  {', '.join(host.roles):<18}{note}".rstrip()


def following(path: Path) -> Iterator[str]:
    """What to type next."""
    file = shlex.quote(str(path))
    yield "Next: read the file, which explains each setting; then"
    yield f"  k8s-installer preflight -i {file}    finds what would stop it"
    yield f"  k8s-installer apply -i {file}        shows the plan, asks, installs"


def data(draft: Draft, text: str) -> dict[str, object]:
    """For programs; `inventory` is the text of the file."""
    choices = draft.choices
    return {
        "cluster": {"name": choices.name, "version": choices.version, "network": choices.network},
        "hosts": [
            {"name": host.name, "address": host.address, "roles": list(host.roles), "note": host.note}
            for host in draft.hosts
        ],
        "warnings": list(draft.warnings),
        "inventory": text,
    }
