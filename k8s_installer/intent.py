"""From an inventory file to what is wanted: joins the inventory, its profile, the keys and the templates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from k8s_installer import desired, inventory, pki, profiles, render, tarball
from k8s_installer.desired.bundled import bundled
from k8s_installer.desired.context import of_cluster
from k8s_installer.desired.model import Desired
from k8s_installer.errors import InputError, InventoryError
from k8s_installer.inventory import Cluster

Keys = Callable[[Cluster], pki.Pki]


@dataclass(frozen=True, slots=True)
class Intent:
    """What the user asked for, resolved: the cluster, its version's profile, and every wanted resource."""

    cluster: Cluster
    profile: profiles.Profile
    desired: Desired


def state_folder(cluster: Cluster) -> Path:
    """Where a cluster's keys and journals are kept on this machine: beside its inventory."""
    return cluster.folder / ".k8s-installer" / cluster.name


def checked(path: Path) -> tuple[Cluster, profiles.Profile]:
    """Read and check an inventory and find the profile of its version; touches nothing.

    Raises:
        InventoryError: anything is wrong with it, its version or its flags; every finding at once.
    """
    cluster = inventory.load(path)
    profile = profiles.profile_of(cluster)
    findings = desired.check(cluster, profile)
    if findings:
        raise InventoryError(sorted(findings))
    return cluster, profile


def resolve(path: Path, templates: Path | None, keys: Keys | None) -> Intent:
    """Read an inventory and work out everything it wants; see `checked` and `desire`."""
    return desire(*checked(path), templates, keys)


def desire(cluster: Cluster, profile: profiles.Profile, templates: Path | None, keys: Keys | None) -> Intent:
    """Work out everything that a checked inventory wants.

    Args:
        cluster: the inventory.
        profile: that of its version.
        templates: a folder whose templates come before the packaged ones; `templates/` beside the inventory
            is used where this is None.
        keys: gives the cluster's keys; None leaves placeholders in their place, and in that of programs.

    Raises:
        InputError, TemplateError: what the user wrote is wrong; nothing was touched.
    """
    if templates is not None and not templates.is_dir():
        raise InputError(f"--templates: there is no folder {templates}")
    own = templates or cluster.folder / "templates"
    renderer = render.Renderer([own] if own.is_dir() else [])
    programs = tarball.programs(cluster, profile) if keys else desired.PLACEHOLDERS
    # Rendered before any key is made, for a template's mistake must show first; but with the keys that are there
    # already, which in every run but the first are all, and then what was rendered stands.
    there = pki.present(_pki_folder(cluster), cluster) if keys else pki.placeholder(cluster)
    wanted = desired.desire(cluster, profile, there, renderer, programs)
    real = keys(cluster) if keys else there
    if real != there:
        wanted = desired.desire(cluster, profile, real, renderer, programs)
    if cluster.bundle:
        from k8s_installer import bundle  # most have none, and its metadata and checks take long to load

        media = bundle.media(bundle.opened(Path(cluster.bundle)), cluster, profile, wanted)
        wanted = bundled(wanted, media, renderer, of_cluster(cluster, profile))
    return Intent(cluster, profile, wanted)


def real_keys(cluster: Cluster) -> pki.Pki:
    """The cluster's keys from its local folder, made there where they do not exist yet."""
    return pki.ensure(_pki_folder(cluster), cluster)


def _pki_folder(cluster: Cluster) -> Path:
    return state_folder(cluster) / "pki"
