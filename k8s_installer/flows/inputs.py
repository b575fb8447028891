"""What every command begins with: an inventory that is right, and the programs that it asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from k8s_installer import profiles
from k8s_installer.errors import InventoryError
from k8s_installer.flows import resolve
from k8s_installer.flows.reporter import Reporter
from k8s_installer.inventory import Cluster
from k8s_installer.sources import tarball


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a command is about: the inventory, templates that come before the packaged ones, a bundle.

    The bundle is the one from which packages, images and programs come, instead of the inventory's. So is
    `drain_timeout`, the seconds that a node may take to drain; with `force` the node is changed all the same.
    """

    inventory: Path
    templates: Path | None = None
    bundle: Path | None = None
    drain_timeout: int | None = None
    force: bool = False


def read(
    inputs: Inputs, reporter: Reporter, *, download: bool = True, opens: bool = True
) -> tuple[Cluster, profiles.Profile]:
    """A checked inventory whose programs are on this machine: no host is asked for anything before that.

    A profile of another patch version is reported as a warning.

    Args:
        inputs: the files and options. A bundle is verified, and taken apart into the user's cache.
        reporter: receives notes and progress.
        download: whether a tarball that is not here is fetched; it is left for later otherwise.
        opens: whether the bundle is looked at; it need not be there otherwise.

    Raises:
        InputError: anything is wrong with the inventory, or its tarball or bundle is not what it says.
    """
    cluster, profile = resolve.checked(inputs.inventory)
    timeout = cluster.drain.timeout if inputs.drain_timeout is None else inputs.drain_timeout
    cluster = replace(cluster, drain=replace(cluster.drain, timeout=timeout, force=inputs.force))
    note = profiles.note(cluster.version, profile)
    if note:
        reporter.say(note)
    if opens:
        cluster = _with_bundle(cluster, profile, inputs.bundle, reporter)
    if cluster.tarball is not None and (download or not tarball.remote(cluster)):
        with reporter.working("getting the programs") as working:
            tarball.programs(cluster, profile, working)
    return cluster, profile


def _with_bundle(cluster: Cluster, profile: profiles.Profile, given: Path | None, reporter: Reporter) -> Cluster:
    """The cluster with its bundle, if it has one, opened and found to be enough, and its programs from there."""
    if given is not None:
        cluster = replace(cluster, bundle=str(given.absolute()))
    if cluster.bundle is None:
        return cluster
    if not cluster.bundle:
        message = "repos: bundle: no bundle is set"
        suggestion = "use --bundle FILE, or repos: {bundle: FILE}; k8s-installer bundle create makes one"
        raise InventoryError([cluster.origin.finding(("repos",), message, suggestion)])
    from k8s_installer import bundle as bundles

    with reporter.working("checking the bundle") as working:
        found = bundles.opened(Path(cluster.bundle), working, pinned=cluster.bundle_sha256)
        resolve.desire(cluster, profile, None, None)  # what it lacks shows before anybody is logged in to a host
    path = found.tarball(cluster)
    if cluster.tarball is None or path is None:
        return cluster
    return replace(cluster, tarball=replace(cluster.tarball, path=path, url=None))
