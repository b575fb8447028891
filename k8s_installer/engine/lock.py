"""One run at a time: the cluster's lock, which is a lease on each of its masters.

On each master, because inventories change: a lock on "the first one" moves when masters are reordered, added or
removed, and then two runs would hold one each. Any two inventories that have a master in common meet there. It is
taken on one after the other in the order of their names, so that of two runs one gets all.

More than half of the masters are enough, at the start and while the run lives: two runs of one inventory still meet on
one of those. A master that cannot be reached at the start is passed over; a lease that is lost later is taken again
when its master is back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from k8s_installer.engine import lease
from k8s_installer.engine.lease import LockLost, Look
from k8s_installer.engine.owner import Owner
from k8s_installer.errors import HostsError, InstallerError, TransportError
from k8s_installer.transport import Transport

Say = Callable[[str], None]


class LockOutOfReach(InstallerError):  # noqa: N818 - the hosts' state, not a fault of this program
    """Half of the masters or more cannot be asked for the lock; nothing was touched."""

    def __init__(self, away: Sequence[TransportError], masters: int) -> None:
        there = masters - len(away)
        answer = f"{there or 'none'} of {masters} answer{'s' * (there == 1)}"
        names = ", ".join(error.host for error in away)
        hint = f"nothing was changed. Bring {names} back, or fix the network, then try again"
        if there:
            hint += (
                ". If that is not possible, and nobody else is changing this cluster: --break-lock takes the lock "
                f"without {names}"
            )
        super().__init__(
            "the cluster's lock cannot be taken: every run needs it on more than half of the "
            f"masters, but {answer}\n{HostsError(list(away)).message}",
            hint=hint,
        )


@contextmanager
def hold(
    ways: Mapping[str, Transport], owner: Owner, *, force: bool, skip: bool = False, say: Say
) -> Iterator[threading.Event]:
    """Hold the cluster's lock inside the `with`; the event that it gives is set when the lock is lost.

    It is lost with half of the leases or more, and with any that another run keeps: nothing new may begin then.
    `is_set` of the event looks at the leases' time as well.

    Args:
        ways: a connection to each master, by its name, that nothing else uses.
        owner: what others will read.
        force: take the leases from whoever has them, and skip masters that do not answer, but for the last one.
        skip: skip masters that do not answer, all of them if need be.
        say: called, also from other threads, with what becomes of a lease.

    Raises:
        LockHeld: somebody else has it on one of them.
        LockOutOfReach: half of the masters or more cannot be asked.
        CommandFailed: a master cannot keep it.
    """
    leases = _Leases(len(ways), say)
    away: list[TransportError] = []
    with ExitStack() as held:
        for name in sorted(ways):
            try:
                look = held.enter_context(
                    lease.hold(ways[name], owner, force=force, on_lost=leases.lost, on_back=leases.back)
                )
                leases.gone.looks.append(look)
            except TransportError as error:
                away.append(error)
        if 2 * len(away) >= len(ways) and not skip and not (force and len(away) < len(ways)):
            raise LockOutOfReach(away, len(ways))
        leases.begin(away, skipped=force or skip)
        yield leases.gone


class _Gone(threading.Event):
    """Set when the lock is lost; `looks` find the leases that have ended, whether or not their threads know it yet."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[Look] = []

    def is_set(self) -> bool:
        """Whether the lock is lost by now."""
        for look in self.looks:
            look()
        return super().is_set()


@dataclass(slots=True)
class _Leases:
    """On how many masters the lock is wanted, and where it is not held now; each lease has a thread that calls this.

    `over` is what `gone` says, without a look.
    """

    masters: int
    say: Say
    gone: _Gone = field(default_factory=_Gone)
    over: bool = False
    missing: set[str] = field(default_factory=set)
    changing: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, away: Sequence[TransportError], *, skipped: bool) -> None:
        """Start to count, when all masters were asked; with `skipped` those that are away are no part of the lock."""
        with self.changing:
            if skipped:
                self.masters -= len(away)
            else:
                self.missing.update(error.host for error in away)
            self.over = self.over or self._lacks()

    def lost(self, error: LockLost) -> None:
        """Hear that a lease was lost."""
        with self.changing:
            self.missing.add(error.host)
            if self.over:
                return
            self.over = self._lacks(rival=error.rival)
            held = f"{self.masters - len(self.missing)} of {self.masters} masters"
            what = "no new steps are started" if self.over else f"the run continues with {held}"
            self.say(f"{error.message}: {what}")

    def back(self, host: str) -> None:
        """Hear that a lease is ours again."""
        with self.changing:
            self.missing.discard(host)
            if not self.over:
                self.say(f"{host}: this run holds the lock again")

    def _lacks(self, *, rival: bool = False) -> bool:
        """Whether the lock is lost now; sets the event, which nothing clears."""
        if rival or 2 * len(self.missing) >= max(self.masters, 1):  # of none, none is missing
            self.gone.set()
            return True
        return False
