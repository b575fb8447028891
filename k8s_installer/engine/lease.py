"""A lease in a file on one master, renewed while a run lives; `lock.py` makes the cluster's lock of them.

The lease ends by itself when nobody renews it. Time is the master's alone: its uptime, which nobody can set, or
where it has booted since, its calendar. Nothing is compared with the clock of the machine that we run on. How long ago
the last renewal was, that machine counts by its own uptime, time asleep included: the lease runs out meanwhile.
"""

from __future__ import annotations

import re
import secrets
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from k8s_installer.engine.owner import Owner, is_dead
from k8s_installer.errors import CommandFailed, HostError
from k8s_installer.host.statedir import GUARDED, LEASE_SECONDS, LOCK_FORMAT, STATE
from k8s_installer.transport import Transport

FOLDER = STATE
ASK_SECONDS = 10.0
# Linux' monotonic clock stands still while a laptop sleeps, and the lease ends meanwhile. macOS' does not.
_UPTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
MARK = "::k8s-installer-lock::"

_BODY = f"""\
{GUARDED}\
say() {{ printf '%s\\n' "{MARK} $1 $now $its_since $its_until $its_pid ${{its_token:-none}} $its_who"; }}
write() {{
  printf '%s\\n' "$format $token $boot $((up + lease)) $1 $((now + lease)) $pid $who" |
    dd of="$lock.new" conv=fsync status=none && mv -T "$lock.new" "$lock" || exit 1
}}
"""
# Over a lock that is held only where it is the very one that was seen: who comes second finds another one.
_TAKE = """\
if [ "$held" = yes ] && [ "$its_token" != "$over" ]; then say held; exit 0; fi
write "$now"
say taken
"""
_OURS = '[ "$its_token" = "$token" ] || { say lost; exit 0; }\n'
_RENEW = _OURS + 'write "$its_since"\nsay renewed\n'
_RELEASE = _OURS + 'rm -f "$lock" || exit 1\nsay released\n'
_LONGEST_OWNER = 200  # characters; who holds a lock is a user, a machine, and a short sum
# Times of eleven digits reach to the year 5138: a calendar has words for them.
_ANSWER = re.compile(
    rf"^{MARK} (taken|held|renewed|released|lost)((?: [0-9]{{1,11}}){{4}}) ([0-9A-Za-z-]{{1,64}}) ?(.*)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds: how long a lease is, how often it is renewed, and after how long without it counts as lost.

    `give_up` is less than `lease`: the run must know before anybody else can take the lock.
    """

    lease: int = LEASE_SECONDS
    beat: float = 15.0
    give_up: float = 55.0


@dataclass(frozen=True, slots=True)
class Claim:
    """One lock wanted by one run; `token` tells it from an earlier one of the same owner."""

    folder: str
    token: str
    owner: Owner
    lease: int


@dataclass(frozen=True, slots=True)
class LockReply:
    """What the master said, and who had the lock when it was asked (Unix seconds of the master's calendar).

    `word` is taken, held, renewed, released or lost. `owner` is empty if nobody has it (`since` is 0) or if the file
    cannot be read. `token` tells this lock from any other, also of the same owner.
    """

    word: str
    now: int
    since: int
    until: int
    pid: int
    owner: str
    token: str = ""


class LockHeld(HostError):  # noqa: N818 - the host's answer, not a fault of this program
    """Somebody else changes this cluster now; nothing was touched."""

    def __init__(self, host: str, holder: LockReply) -> None:
        until = _clock(holder.until, holder.now)
        super().__init__(
            host,
            f"{_holder(holder)}, until {until} unless it is renewed",
            hint=f"wait for that run. If it is dead, its lock expires at {until}; "
            "to take it over now, if nothing else is running: --break-lock",
        )
        self.holder = holder


class LockLost(HostError):  # noqa: N818 - the host's answer, not a fault of this program
    """The lease on one master is not ours any more, or cannot be renewed.

    `rival` says that another run had it at two renewals in a row: it does not let go, as one does that is refused.
    """

    def __init__(self, host: str, message: str, *, hint: str = "", rival: bool = False) -> None:
        super().__init__(host, message, hint=hint)
        self.rival = rival


def take_script(claim: Claim, over: str = "") -> str:
    """Take the lock if it is free, has expired, or is the one with the token `over`. Says `taken` or `held`."""
    return _script("take the lock", claim, f"over={shlex.quote(over)}\n", _TAKE)


def renew_script(claim: Claim) -> str:
    """Make the lease full again if the lock is still ours, expired or not. Says `renewed` or `lost`."""
    return _script("renew the lock", claim, "", _RENEW)


def release_script(claim: Claim) -> str:
    """Remove the lock if it is still ours. Says `released` or `lost`."""
    return _script("release the lock", claim, "", _RELEASE)


def _script(what: str, claim: Claim, more: str, ending: str) -> str:
    who = " ".join("".join(c if c.isprintable() else " " for c in claim.owner.name).split()) or "somebody"
    return (
        f"# {what}\nformat={LOCK_FORMAT} token={claim.token} lease={claim.lease} pid={claim.owner.pid}\n"
        f"folder={shlex.quote(claim.folder)} who={shlex.quote(who)}\n{more}{_BODY}{ending}"
    )


def parse(output: str) -> LockReply | None:
    """Read what a script said; None where it said nothing of ours."""
    match = _ANSWER.search(output)
    if match is None:
        return None
    now, since, until, pid = (int(text) for text in match[2].split())
    owner = "".join(letter if letter.isprintable() else "?" for letter in match[4][:_LONGEST_OWNER])
    return LockReply(match[1], now, since, until, pid, owner, match[3])


def _holder(answer: LockReply) -> str:
    who = f"{answer.owner} (pid {answer.pid})" if answer.owner else "another run (the lock file is unreadable)"
    since = _clock(answer.since, answer.now)
    return f"{who} holds the lock since {since} UTC ({_age(answer.now - answer.since)} ago)"


def _clock(at: int, now: int) -> str:
    """A time of day, with its date where that is not today's."""
    moment, today = (datetime.fromtimestamp(seconds, UTC) for seconds in (at, now))
    return f"{moment:%H:%M:%S}" if moment.date() == today.date() else f"{moment:%Y-%m-%d %H:%M:%S}"


def _age(seconds: int) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{max(seconds, 0)} s"


def uptime() -> float:
    """How long this machine is up, in seconds, with the time that it was suspended."""
    return time.clock_gettime(_UPTIME)


def _ask(transport: Transport, what: str, script: str, timeout: float) -> LockReply:
    result = transport.run(script, timeout=timeout)
    answer = parse(result.stdout)
    if result.status != 0:
        raise CommandFailed(transport.host, what, result.status, result.stdout, result.stderr)
    if answer is None:
        raise HostError(
            transport.host,
            f"{what}: its answer cannot be read",
            hint=f"check {FOLDER}/lock on the host, and what its login shell prints",
        )
    return answer


OnLost = Callable[[LockLost], None]
OnBack = Callable[[str], None]
Look = Callable[[], None]


@contextmanager
def hold(
    transport: Transport,
    owner: Owner,
    *,
    force: bool,
    on_lost: OnLost,
    on_back: OnBack,
    folder: str = FOLDER,
    terms: Terms = Terms(),
) -> Iterator[Look]:
    """Hold the lock on one master inside the `with`: a thread renews it, and it is released whatever happens.

    Where it is lost, the thread tries to get it back. What this gives checks at once whether the lease was renewed in
    time, and calls `on_lost` if not: after a suspension the thread may wake up later than others.

    Args:
        transport: a connection to a master that nothing else uses: a long script must not hold a renewal up.
        owner: what others will read.
        force: take the lock from whoever has it at first; one who takes it at the same time keeps it.
        on_lost: called when the lock was taken away or cannot be renewed in time, and once more where it turns out
            that a rival keeps it; from the renewing thread, or from one that looks.
        on_back: called from there with the master's name when it is ours again.
        folder: where the lock is on the master; made with mode 0700.
        terms: the length of the lease, and how often it is renewed.

    Raises:
        LockHeld: somebody else has it; the message says who.
        TransportError, CommandFailed: the master cannot be asked, or cannot keep the lock.
    """
    claim = Claim(folder, secrets.token_hex(8), owner, terms.lease)
    asked = uptime()
    answer = _ask(transport, "taking the lock", take_script(claim), ASK_SECONDS)
    if answer.word == "held" and (force or is_dead(Owner(answer.owner, answer.pid), owner)):
        answer = _ask(transport, "taking the lock over", take_script(claim, answer.token), ASK_SECONDS)
    if answer.word == "held":
        raise LockHeld(transport.host, answer)
    transport.prepare()  # for the release
    ended = threading.Event()
    heart = _Heart(transport, claim, terms, on_lost, on_back, asked)
    thread = threading.Thread(target=heart.beat, args=(ended,), name="lock", daemon=True)
    thread.start()
    try:
        yield heart.look
    finally:
        ended.set()
        thread.join()
        # a master that cannot be asked now lets the lease end by itself; the run's own error is the one to see
        with suppress(HostError):
            transport.run(release_script(claim), timeout=ASK_SECONDS)


@dataclass(slots=True)
class _Heart:
    """Renews a lease, or gets a lost one back.

    `renewed` is when the last renewal that worked was sent, by our uptime: the master cannot have counted from an
    earlier moment. `rival` is the token of who had the lease at the last `looks`.
    """

    transport: Transport
    claim: Claim
    terms: Terms
    on_lost: OnLost
    on_back: OnBack
    renewed: float
    trouble: str = ""
    lost: bool = False
    rival: str = ""
    looks: int = 0
    looking: threading.Lock = field(default_factory=threading.Lock)

    def beat(self, ended: threading.Event) -> None:
        """Renew until `ended` is set."""
        while not ended.wait(self.terms.beat if self.lost else max(0.0, min(self.terms.beat, self._left()))):
            self._renew()

    def _left(self) -> float:
        return self.renewed + self.terms.give_up - uptime()

    def look(self) -> None:
        """Count the lease as lost where it was not renewed in time; any thread may ask."""
        with self.looking:
            if not self.lost and self._left() <= 0:
                trouble = self.trouble or "this machine was suspended, or too busy to renew it"
                self._lose(
                    f"the lock could not be renewed for {self.terms.give_up:g} s: {trouble}",
                    "no new steps were started; run `apply` again: it reads the hosts again and resumes",
                )

    def _renew(self) -> None:
        lost, left, sent = self.lost, self._left(), uptime()
        if not lost and left <= 0:
            self.look()
            return
        # a lost one is taken where it is free, or still ours
        script = take_script(self.claim, self.claim.token) if lost else renew_script(self.claim)
        try:
            answer = _ask(self.transport, "renewing the lock", script, ASK_SECONDS if lost else min(ASK_SECONDS, left))
        except Exception as error:  # noqa: BLE001 - whatever it is, the lease was not renewed
            self.trouble = str(error)
            return
        if answer.word in ("renewed", "taken"):
            self.renewed, self.trouble = sent, ""
            if self.lost:
                self.lost, self.rival = False, ""
                self.on_back(self.transport.host)
            return
        self._broken(answer)

    def _broken(self, answer: LockReply) -> None:
        rival = answer.token if answer.since else ""
        self.looks = self.looks + 1 if rival and rival == self.rival else 1
        self.rival = rival
        if not self.lost or self.looks == 2:  # noqa: PLR2004 - the second time in a row
            taken = _holder(answer) if rival else "nobody holds it any more"
            hint = "no new steps were started; check what the other run did, then run `apply` again"
            self._lose(f"the lock of this run was taken over: {taken}", hint)

    def _lose(self, words: str, hint: str) -> None:
        self.lost = True
        self.on_lost(LockLost(self.transport.host, words, hint=hint, rival=self.looks > 1))
