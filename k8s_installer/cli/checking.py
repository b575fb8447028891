"""What every command begins with: an inventory that is right, and the programs that it asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from k8s_installer import profiles
from k8s_installer.cli.console import print_note, stderr
from k8s_installer.errors import InventoryError
from k8s_installer.flows import resolve
from k8s_installer.inventory import Cluster
from k8s_installer.sources import tarball


def checked(
    inventory: Path, bundle: Path | None = None, *, download: bool = True, opens: bool = True
) -> tuple[Cluster, profiles.Profile]:
    """A checked inventory whose programs are on this machine: no host is asked for anything before that.

    People hear it where the profile is that of another patch version.

    Args:
        inventory: its file.
        bundle: the file from which packages, images and programs come, instead of the inventory's. It is verified, and
            taken apart into the user's cache.
        opens: whether the bundle is looked at; it need not be there otherwise.
        download: whether a tarball that is not here is fetched; it is left for later otherwise.

    Raises:
        InputError: anything is wrong with the inventory, or its tarball or bundle is not what it says.
    """
    cluster, profile = resolve.checked(inventory)
    print_note(profiles.note(cluster.version, profile))
    if opens:
        cluster = _with_bundle(cluster, profile, bundle)
    if cluster.tarball is not None and (download or not tarball.remote(cluster)):
        with stderr().status("looking for the programs") as spinner:
            tarball.programs(cluster, profile, spinner.update)
    return cluster, profile


def _with_bundle(cluster: Cluster, profile: profiles.Profile, given: Path | None) -> Cluster:
    """The cluster with its bundle, if it has one, opened and found to be enough, and its programs from there."""
    if given is not None:
        cluster = replace(cluster, bundle=str(given.absolute()))
    if cluster.bundle is None:
        return cluster
    if not cluster.bundle:
        message = "repos: bundle: no file is named"
        suggestion = "--bundle FILE, or repos: {bundle: FILE}; k8s-installer bundle create makes one"
        raise InventoryError([cluster.origin.finding(("repos",), message, suggestion)])
    from k8s_installer import bundle as bundles

    with stderr().status("looking at the bundle") as spinner:
        found = bundles.opened(Path(cluster.bundle), spinner.update, pinned=cluster.bundle_sha256)
        resolve.desire(cluster, profile, None, None)  # what it lacks shows before anybody is logged in to a host
    path = found.tarball(cluster)
    if cluster.tarball is None or path is None:
        return cluster
    return replace(cluster, tarball=replace(cluster.tarball, path=path, url=None))
