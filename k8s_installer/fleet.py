"""All hosts at once: connect to them, ask them, let them go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from k8s_installer import status
from k8s_installer.desired.model import Desired, Wanted
from k8s_installer.errors import CommandFailed, HostError, HostsError, InstallerError
from k8s_installer.gates import Answer
from k8s_installer.inventory import Host
from k8s_installer.remote import Remote, SshRemote
from k8s_installer.resources import Gate, Ref, Seen
from k8s_installer.transport import Transport, connect

WORKERS = 16

OnHost = Callable[[str], None]
Dial = Callable[[Host], Transport]


@dataclass(frozen=True, slots=True)
class Fleet:
    """The hosts that answered, what they have, and why the others did not answer."""

    transports: Mapping[str, Transport]
    remotes: Mapping[str, Remote]
    seen: Mapping[Ref, Seen]
    unreachable: Mapping[str, HostError]

    def require_all(self) -> None:
        """Raise HostsError unless every host answered."""
        if self.unreachable:
            raise HostsError([error for _, error in sorted(self.unreachable.items())])


@contextmanager
def observed(hosts: Iterable[Host], desired: Desired, on_host: OnHost, dial: Dial = connect) -> Iterator[Fleet]:
    """Connect to every host and see what it has of `desired`: one connection and one script each.

    The connections stay open inside the `with` and are closed behind it.

    Args:
        hosts: whom to ask.
        desired: what to ask for; each host is asked for its own.
        on_host: called with a host's name when it has answered, from the threads that ask.
        dial: how to connect; a trace comes in here.
    """
    by_host = _by_host(desired)
    transports: dict[str, Transport] = {}
    remotes: dict[str, Remote] = {}
    seen: dict[Ref, Seen] = {}
    unreachable: dict[str, HostError] = {}

    def ask(host: Host) -> None:
        try:
            transports[host.name] = dial(host)
            remotes[host.name] = SshRemote(transports[host.name])
            seen.update(remotes[host.name].observe(by_host[host.name]))
        except HostError as error:
            unreachable[host.name] = error
        on_host(host.name)

    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(ask, hosts))
        yield Fleet(transports, remotes, seen, unreachable)
    finally:
        for transport in transports.values():
            transport.close()


def unhealthy(desired: Desired, remotes: Mapping[str, Remote]) -> list[tuple[Ref, str]]:
    """Ask every gate once; the gates that do not hold, each with the words of its answer."""
    asked: Sequence[tuple[Ref, Gate]] = [
        (ref, wanted.resource) for ref, wanted in desired.items() if isinstance(wanted.resource, Gate)
    ]

    def ask(item: tuple[Ref, Gate]) -> Answer | InstallerError:
        ref, gate = item
        try:
            return remotes[ref.host].probe(gate)
        except InstallerError as error:
            return error

    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(ask, asked))
    return [
        (ref, answer.words if isinstance(answer, Answer) else str(answer))
        for (ref, _), answer in zip(asked, answers, strict=True)
        if not (isinstance(answer, Answer) and answer.holds)
    ]


def statuses(hosts: Iterable[Host], desired: Desired, on_host: OnHost) -> Mapping[str, status.HostStatus | HostError]:
    """Ask every host how it is: one connection and one script each; an error stands for a host that did not answer."""
    by_host = _by_host(desired)

    def ask(host: Host) -> tuple[str, status.HostStatus | HostError]:
        try:
            return host.name, _status(host, by_host[host.name])
        except HostError as error:
            return host.name, error
        finally:
            on_host(host.name)

    with ThreadPoolExecutor(WORKERS) as pool:
        return dict(pool.map(ask, hosts))


def _by_host(desired: Desired) -> Mapping[str, list[Wanted]]:
    """What is wanted of each host; nothing of one that is not named."""
    by_host: dict[str, list[Wanted]] = defaultdict(list)
    for ref, wanted in desired.items():
        by_host[ref.host].append(wanted)
    return by_host


def _status(host: Host, wanted: list[Wanted]) -> status.HostStatus:
    transport = connect(host)
    try:
        result = transport.run(status.script(wanted), timeout=status.seconds(wanted))
    finally:
        transport.close()
    if result.status != 0:
        raise CommandFailed(host.name, "looking at the host", result.status, result.stdout, result.stderr)
    return status.parse(result.stdout, wanted)
