"""Certificates that were issued long ago, or end soon: what tests of renewals begin with."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from k8s_installer.desired.certificates import leaves
from k8s_installer.flows.resolve import checked, pki_folder
from k8s_installer.pki import issuing, store


def age(inventory: Path, left: dt.timedelta, only: str = "") -> None:
    """Issue the programs' certificates of a cluster again (those with `only` in the name), so that so much is left.

    They are as this program would have made them five years earlier.
    """
    cluster, profile = checked(inventory)
    needed = leaves(cluster, profile)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(issuing, "LEAF_LIFE", left)
        patched.setattr(issuing, "EARLIER", dt.timedelta(days=1825) - left)
        store.ensure(pki_folder(cluster), needed, renewed=[name for name in needed if only in name])
