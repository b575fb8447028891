"""What is in a bundle, as lines or as plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from k8s_installer.bundle import Manifest
from k8s_installer.bundle.manifest import dumped


def lines(path: Path, made: Manifest) -> Text:
    """For people: its size, and what is in it."""
    return Text("\n".join(_lines(path, made)))


def _lines(path: Path, made: Manifest) -> Iterator[str]:
    unsigned = sum(not rpm.signed for rpm in made.rpms)
    yield f"{path}: {path.stat().st_size / 1e6:.1f} MB for {made.cluster}, Kubernetes {made.version}"
    packages = f"  packages  {len(made.rpms)}, {sum(rpm.size for rpm in made.rpms) / 1e6:.1f} MB"
    yield packages + (f"; unsigned, not checked by yum: {unsigned}" if unsigned else "")
    for image in made.images:
        yield f"  image     {', '.join(image.references)}, {image.size / 1e6:.1f} MB"
    yield f"  manifest  SHA-256 {_sum(made)}"
    if made.programs is not None:
        yield f"  programs  {made.programs.source}, {made.programs.size / 1e6:.1f} MB"
    if made.assumed:
        yield f"  assumed   {', '.join(made.assumed)}: assumed to be on the hosts"


def data(path: Path, made: Manifest) -> dict[str, object]:
    """For programs: the manifest, and its sum."""
    size = path.stat().st_size
    return {"file": str(path), "bytes": size, "manifest_sha256": _sum(made), **made.model_dump(mode="json")}


def _sum(made: Manifest) -> str:
    """The sum that `repos: {bundle: FILE, sha256: SUM}` pins: all other sums are in what it is of."""
    return hashlib.sha256(dumped(made)).hexdigest()
