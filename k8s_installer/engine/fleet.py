"""All hosts at once: connect to them, ask them, let them go."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from k8s_installer.engine.remote import WORKERS, Remote, SshRemote
from k8s_installer.errors import HostError, HostsError, InstallerError
from k8s_installer.host.gates import GateAnswer
from k8s_installer.host.observe import HostCache
from k8s_installer.inventory import Host
from k8s_installer.model.desired import Desired, by_host, health_gates
from k8s_installer.model.resources import Gate, Ref, Seen, SeenFile
from k8s_installer.transport import Line, Pool, Transport, connect, connections

_AGAIN = 1.0  # seconds between questions to a gate that did not hold
T = TypeVar("T")
OnHost = Callable[[str], None]
Through = Callable[[Transport], Transport]


@dataclass(frozen=True, slots=True)
class ObservedFleet:
    """The hosts that answered, what they have, and why the others did not answer."""

    transports: Mapping[str, Transport]
    remotes: Mapping[str, Remote]
    seen: Mapping[Ref, Seen]
    unreachable: Mapping[str, HostError]
    memories: Mapping[str, HostCache]

    def prepare(self, hosts: Iterable[str]) -> None:
        """Open a shell for the next script of each of these hosts; nobody waits for it."""
        for host in self.transports.keys() & set(hosts):
            self.transports[host].prepare()

    def require_all(self) -> None:
        """Raise HostsError unless every host answered."""
        if self.unreachable:
            raise HostsError([error for _, error in sorted(self.unreachable.items())])


@dataclass(frozen=True, slots=True)
class Connections:
    """Hosts that are being logged in to by a pool of threads, by name; what asks them runs in the same threads."""

    pool: ThreadPoolExecutor
    lines: Mapping[str, Line]


@contextmanager
def connecting(hosts: Iterable[Host], first: Collection[str] | None = None) -> Iterator[Connections]:
    """Begin to log in to as many hosts as may be connected at once; nobody waits for it.

    What is wanted can be worked out meanwhile. The connections are closed after the `with`.

    Args:
        hosts: who may be asked; one is logged in to when it is first asked at the latest.
        first: the names of those that will be asked for sure; all where this is None.
    """
    calls, pool = Pool(connections(), connect), ThreadPoolExecutor(WORKERS)
    lines = {host.name: calls.line(host) for host in hosts}
    names = lines.keys() if first is None else set(first)
    for line in islice((line for name, line in lines.items() if name in names), calls.most):
        pool.submit(line.open)
    try:
        yield Connections(pool, lines)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for line in lines.values():
            line.close()


def observe(
    connected: Connections,
    desired: Desired,
    on_host: OnHost,
    through: Through = lambda way: way,
    memories: Mapping[str, HostCache] | None = None,
    run: str = "0",
) -> ObservedFleet:
    """See what every host has of `desired`, by one script each.

    Args:
        connected: whom to ask.
        desired: what to ask for; each host is asked for its own.
        on_host: called with a host's name when it has answered, from the threads that ask.
        through: what every way to a host is put behind; a trace comes in here.
        memories: what is remembered of hosts, and need not be read again where it is the same.
        run: the name under which hosts keep what is replaced.
    """
    wanted = by_host(desired)
    remembered: dict[str, HostCache] = dict(memories or {})
    transports: dict[str, Transport] = {}
    remotes: dict[str, Remote] = {}
    seen: dict[Ref, Seen] = {}
    unreachable: dict[str, HostError] = {}
    contents: dict[bytes, bytes] = {}  # an old file that all hosts have is kept once

    def ask(name: str) -> None:
        try:
            transports[name] = through(connected.lines[name])
            remote = remotes[name] = SshRemote(transports[name], memory=remembered.get(name), run=run)
            for ref, found in remote.observe(wanted[name]).items():
                seen[ref] = _sharing(found, contents)
            if remote.memory is not None:
                remembered[name] = remote.memory
        except HostError as error:
            unreachable[name] = error
        on_host(name)

    list(connected.pool.map(ask, connected.lines))
    return ObservedFleet(transports, remotes, seen, unreachable, remembered)


def _sharing(found: Seen, contents: dict[bytes, bytes]) -> Seen:
    if isinstance(found, SeenFile) and found.content is not None:
        return replace(found, content=contents.setdefault(found.content, found.content))
    return found


def unhealthy(desired: Desired, remotes: Mapping[str, Remote], patience: float = 0.0) -> list[tuple[Ref, str]]:
    """Ask every gate; the gates that do not hold, each with the words of its answer.

    Args:
        desired: what has the gates.
        remotes: whom to ask.
        patience: for so many seconds those that do not hold are asked again.
    """
    until = time.monotonic() + patience
    gates: Sequence[tuple[Ref, Gate]] = health_gates(desired.values())

    def ask(item: tuple[Ref, Gate]) -> GateAnswer | InstallerError:
        ref, gate = item
        try:
            return remotes[ref.host].probe(gate)
        except InstallerError as error:
            return error

    with ThreadPoolExecutor(WORKERS) as pool:
        while True:
            answers = list(pool.map(ask, gates))
            sick = [
                (item, answer.words if isinstance(answer, GateAnswer) else str(answer))
                for item, answer in zip(gates, answers, strict=True)
                if not (isinstance(answer, GateAnswer) and answer.holds)
            ]
            if not sick or time.monotonic() >= until:
                return [(ref, words) for (ref, _), words in sick]
            gates = [item for item, _ in sick]
            time.sleep(_AGAIN)


def asked(hosts: Iterable[str], question: Callable[[str], T], on_host: OnHost) -> dict[str, T | HostError]:
    """Ask many hosts at once; an error stands for the answer of a host that gave none.

    Args:
        hosts: whom to ask, by name.
        question: asks one host, or raises a HostError.
        on_host: called with a host's name when it has answered, from the threads that ask.
    """

    def ask(name: str) -> tuple[str, T | HostError]:
        try:
            return name, question(name)
        except HostError as error:
            return name, error
        finally:
            on_host(name)

    with ThreadPoolExecutor(WORKERS) as pool:
        return dict(pool.map(ask, hosts))
