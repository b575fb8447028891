"""What is in a backup, as lines or as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from k8s_installer.backup import INVENTORY, KEYS, Manifest


def lines(path: Path, made: Manifest, *, sealed: bool) -> Text:
    """For people: its size, and what is in it."""
    return Text("\n".join(_lines(path, made, sealed=sealed)))


def _lines(path: Path, made: Manifest, *, sealed: bool) -> Iterator[str]:
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    yield f"{path}: {size} of {made.cluster}, Kubernetes {made.version}, {made.created:%Y-%m-%d %H:%M:%S} UTC"
    yield f"  etcd       {made.keys:,} keys, revision {made.revision}, from {made.member}" + (
        f" (etcd {made.etcd})" if made.etcd else ""
    )
    if made.keys_v2:
        yield f"  API v2     {made.keys_v2:,} keys"
    names = [entry.name for entry in made.files]
    keys = sum(name.startswith(KEYS) for name in names)
    inventory = "the inventory and " if INVENTORY in names else ""
    yield f"  keys       {inventory}{keys} files of the cluster's keys and certificates"
    yield f"  protected  {'with a pass phrase' if sealed else 'by its mode alone: whoever has it has every secret'}"


def data(path: Path, made: Manifest, *, sealed: bool) -> dict[str, object]:
    """For programs: the manifest, and the file."""
    size = path.stat().st_size
    return {"file": str(path), "bytes": size, "sealed": sealed, **made.model_dump(mode="json")}
