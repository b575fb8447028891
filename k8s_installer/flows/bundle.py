"""`bundle create` and `bundle verify`: all that an inventory needs as one file."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from k8s_installer import bundle
from k8s_installer.bundle import Manifest
from k8s_installer.errors import InputError
from k8s_installer.flows import resolve
from k8s_installer.flows.reporter import Reporter

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


def create(wanted: BundleRequest, reporter: Reporter) -> Manifest:
    """Make a bundle; what is in it.

    Raises:
        InputError: an address is none, or something that the inventory needs is not there.
    """
    wrong = [address for address in wanted.repositories if not _ADDRESS.fullmatch(address)]
    if wrong:
        raise InputError(f"--repo {wrong[0]}: must begin with https://, http:// or file://")
    cluster, profile = resolve.checked(wanted.inventory)
    # what is wanted of it is computed without a bundle: that one may be there from before, or not at all
    asked = resolve.desire(replace(cluster, bundle=None), profile, wanted.templates, None)
    sources = bundle.Sources(wanted.repositories, wanted.folder, wanted.assumed, wanted.registry)
    with reporter.working("resolving what the inventory needs") as working:
        return bundle.create(cluster, profile, asked.desired, sources, wanted.target, working, bundle.Store())


def verify(path: Path, inventory: Path | None, templates: Path | None, reporter: Reporter) -> Manifest:
    """Compare a bundle with its manifest, and with what an inventory needs; what is in it."""
    with reporter.working("verifying") as working:
        cluster, profile = resolve.checked(inventory) if inventory is not None else (None, None)
        made = bundle.verify(path, working, cluster.bundle_sha256 if cluster is not None else "")
        if cluster is not None and profile is not None:
            resolve.desire(replace(cluster, bundle=str(path.absolute())), profile, templates, None)
    return made
