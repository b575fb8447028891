"""What `bundle create` and `bundle verify` do."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

from k8s_installer import bundle
from k8s_installer.bundle import Manifest
from k8s_installer.bundle.manifest import dumped
from k8s_installer.cli.console import Exit, Output, print_json, stderr, stdout
from k8s_installer.errors import InputError
from k8s_installer.flows import resolve

_ADDRESS = re.compile(r"(https?|file)://\S+")


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """What a bundle is made of: an inventory, where to, and where from."""

    inventory: Path
    templates: Path | None
    target: Path
    repositories: tuple[str, ...]
    folder: Path | None
    assumed: tuple[str, ...]
    registry: str


def create(wanted: BundleRequest, output: Output) -> None:
    """Make a bundle and say what is in it."""
    wrong = [address for address in wanted.repositories if not _ADDRESS.fullmatch(address)]
    if wrong:
        raise InputError(f"--repo {wrong[0]}: must begin with https://, http:// or file://")
    cluster, profile = resolve.checked(wanted.inventory)
    # what is wanted of it is computed without a bundle: that one may be there from before, or not at all
    asked = resolve.desire(replace(cluster, bundle=None), profile, wanted.templates, None)
    sources = bundle.Sources(wanted.repositories, wanted.folder, wanted.assumed, wanted.registry)
    began = time.monotonic()
    with stderr().status("looking for what the inventory needs") as spinner:
        made = bundle.create(
            cluster, profile, asked.desired, sources, wanted.target, spinner.update, bundle.Store()
        )  # fmt: skip
    _show(wanted.target, made, output)
    stderr().print(
        f"made in {time.monotonic() - began:.1f} s    Next: k8s-installer apply -i {wanted.inventory} "
        f"--bundle {wanted.target}",
        markup=False,
        soft_wrap=True,
    )


def verify(path: Path, inventory: Path | None, templates: Path | None, output: Output) -> Exit:
    """Compare a bundle with its manifest, and with what an inventory needs."""
    with stderr().status("verifying") as spinner:
        cluster, profile = resolve.checked(inventory) if inventory is not None else (None, None)
        made = bundle.verify(path, spinner.update, cluster.bundle_sha256 if cluster is not None else "")
        if cluster is not None and profile is not None:
            resolve.desire(replace(cluster, bundle=str(path.absolute())), profile, templates, None)
    _show(path, made, output)
    stderr().print("every file is as it was made", markup=False)
    return Exit.DONE


def _sum(made: Manifest) -> str:
    """The sum that `repos: {bundle: FILE, sha256: SUM}` pins: all other sums are in what it is of."""
    return hashlib.sha256(dumped(made)).hexdigest()


def _show(path: Path, made: Manifest, output: Output) -> None:
    size = path.stat().st_size
    if output is Output.JSON:
        print_json({"file": str(path), "bytes": size, "manifest_sha256": _sum(made), **made.model_dump(mode="json")})
        return
    unsigned = sum(not rpm.signed for rpm in made.rpms)
    parts = [
        f"{path}: {size / 1e6:.1f} MB for {made.cluster}, Kubernetes {made.version}",
        f"  packages  {len(made.rpms)}, {sum(rpm.size for rpm in made.rpms) / 1e6:.1f} MB"
        + (f"; without a signature, for which yum will not ask: {unsigned}" if unsigned else ""),
        *(f"  image     {', '.join(image.references)}, {image.size / 1e6:.1f} MB" for image in made.images),
    ]
    parts.append(f"  manifest  SHA-256 {_sum(made)}")
    if made.programs is not None:
        parts.append(f"  programs  {made.programs.source}, {made.programs.size / 1e6:.1f} MB")
    if made.assumed:
        parts.append(f"  assumed   {', '.join(made.assumed)}: the hosts have it already")
    for line in parts:
        stdout().print(line, markup=False)
