"""The warning that certificates are about to end, from what was loaded anyway: no host is asked."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from k8s_installer.flows.reporter import Reporter
from k8s_installer.pki import ROOTS, Pki
from k8s_installer.pki.validity import ending

WARN_DAYS = 30  # as kubelets and most monitoring have it; a renewal takes minutes


def warn_of_ending(keys: Pki, inventory: Path, reporter: Reporter) -> None:
    """Say in one line that certificates of the local folder end soon or have ended, and what to type."""
    now = dt.datetime.now(dt.UTC)
    ends = ending(keys, now + dt.timedelta(days=WARN_DAYS))
    if not ends:
        return
    first, end = next(iter(ends.items()))
    when = f"{'ended' if end < now else 'ends'} on {end:%Y-%m-%d %H:%M} UTC"
    several = f"{len(ends)} certificates end within {WARN_DAYS} days, the first ({first}, {when})"
    authorities = [name for name in ends if name in ROOTS]
    hints = [f"k8s-installer certs renew -i {inventory}"] if len(authorities) < len(ends) else []
    if authorities:
        hints.append(f"{', '.join(authorities)} is of a CA, which certs renew does not issue again: docs/keys.md")
    reporter.warn(f"{several if len(ends) > 1 else f'{first} {when}'}: {'; '.join(hints)}")
