"""What every command begins with: an inventory that is right, and the programs that it asks for."""

from __future__ import annotations

from pathlib import Path

from k8s_installer import intent, profiles, tarball
from k8s_installer.cli.console import print_note, stderr
from k8s_installer.inventory import Cluster


def checked(inventory: Path, *, download: bool = True) -> tuple[Cluster, profiles.Profile]:
    """A checked inventory whose programs are on this machine: no host is asked for anything before that.

    People hear it where the profile is that of another patch version.

    Args:
        inventory: its file.
        download: whether a tarball that is not here is fetched; it is left for later otherwise.

    Raises:
        InputError: anything is wrong with the inventory, or its tarball is not what it says.
    """
    cluster, profile = intent.checked(inventory)
    print_note(profiles.note(cluster.version, profile))
    if cluster.tarball is not None and (download or not tarball.remote(cluster)):
        with stderr().status("looking for the programs") as spinner:
            tarball.programs(cluster, profile, spinner.update)
    return cluster, profile
