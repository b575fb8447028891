"""Keys that were recovered, and requests for certificates, as lines or as plain data: names and paths, no secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.text import Text

from k8s_installer.pki import certificates
from k8s_installer.pki.leaves import Leaf

_SHOWN = 3  # hosts that a line names; data has all


def recovered(hosts: Mapping[str, tuple[str, ...]]) -> Text:
    """For people: each file that was written, and hosts that have it."""
    return Text("\n".join(f"{name}  from {', '.join(its[:_SHOWN])}" for name, its in hosts.items()))


def recovered_data(folder: Path, hosts: Mapping[str, tuple[str, ...]], problems: tuple[str, ...]) -> dict[str, object]:
    """For programs: the same, and what is still wrong with the folder."""
    written = [{"file": str(folder / name), "hosts": list(its)} for name, its in hosts.items()]
    return {"written": written, "problems": list(problems)}


def requested(needed: Mapping[str, Leaf]) -> Text:
    """For people: each request, what its certificate must have, and who signs it."""
    lines = (
        f"{name}.csr  {certificates.described(leaf)}; signed by {leaf.issuer}.crt" for name, leaf in needed.items()
    )
    return Text("\n".join(lines))


def requested_data(folder: Path, needed: Mapping[str, Leaf]) -> dict[str, object]:
    """For programs: the same."""
    requests = [
        {
            "request": str(folder / f"{name}.csr"),
            "key": str(folder / f"{name}.key"),
            "needs": certificates.described(leaf),
            "signed_by": f"{leaf.issuer}.crt",
        }
        for name, leaf in needed.items()
    ]
    return {"requests": requests}
