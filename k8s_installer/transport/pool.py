"""Connections to many hosts, of which a bounded number is open: the one idle longest is closed, and opened again later.

Each open connection has a thread of Paramiko's and a socket. A run over thousands of hosts works on some at a time, and
needs no more than those.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from k8s_installer.errors import InstallerError, TransportError
from k8s_installer.inventory.cluster import Host
from k8s_installer.transport.exchange import OnLine, OnSent
from k8s_installer.transport.session import Result, Transport

Dial = Callable[[Host], Transport]


class Pool:
    """Which connections are open, in the order of their last use; at most `most` while no more than that are in use."""

    def __init__(self, most: int, dial: Dial) -> None:
        self.most, self.dial = most, dial
        self._open: OrderedDict[str, Line] = OrderedDict()
        self._lock = threading.Lock()

    def line(self, host: Host) -> Line:
        """The way to a host, which is dialled at its first use."""
        return Line(host, self)

    def used(self, line: Line) -> None:
        """A connection was used; those that were idle longest are closed where there are too many."""
        closing: list[Transport] = []
        with self._lock:
            self._open[line.host] = line
            self._open.move_to_end(line.host)
            for name in list(self._open):
                if len(self._open) <= self.most:
                    break
                idle = self._open[name].let_go()
                if idle is not None:
                    closing.append(idle)
                    del self._open[name]
        for transport in closing:
            transport.close()


class Line:
    """A `Transport` to one host, whose connection comes and goes; a host that was not reached is not dialled again."""

    def __init__(self, host: Host, pool: Pool) -> None:
        self._host, self._pool = host, pool
        self._lock = threading.Lock()
        self._transport: Transport | None = None
        self._users = 0
        self._failure: InstallerError | None = None
        self._closed = False

    @property
    def host(self) -> str:
        """The host's name in the inventory."""
        return self._host.name

    def open(self) -> None:
        """Dial now, so that the first use need not wait; what fails is raised by that use."""
        with suppress(InstallerError), self._lent():
            pass

    def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
        """See `Transport.run`."""
        with self._lent() as transport:
            return transport.run(script, timeout=timeout, on_line=on_line)

    def upload(self, script: str, source: Path, *, idle: float = 60.0, on_sent: OnSent | None = None) -> Result:
        """See `Transport.upload`."""
        with self._lent() as transport:
            return transport.upload(script, source, idle=idle, on_sent=on_sent)

    def download(self, script: str, target: BinaryIO, *, idle: float = 60.0, on_saved: OnSent | None = None) -> Result:
        """See `Transport.download`."""
        with self._lent() as transport:
            return transport.download(script, target, idle=idle, on_saved=on_saved)

    def prepare(self) -> None:
        """See `Transport.prepare`; a connection that is made later has a shell by itself."""
        transport = self._transport
        if transport is not None:
            transport.prepare()

    def close(self) -> None:
        """See `Transport.close`; a connection that is being made is closed when it is there."""
        self._closed = True
        transport = self._transport
        if transport is not None:
            transport.close()

    def let_go(self) -> Transport | None:
        """The connection, to be closed by the caller, if nobody uses it."""
        if not self._lock.acquire(blocking=False):
            return None  # it is being dialled
        try:
            if self._users:
                return None
            transport, self._transport = self._transport, None
            return transport
        finally:
            self._lock.release()

    @contextmanager
    def _lent(self) -> Iterator[Transport]:
        with self._lock:
            transport = self._dialled()
            self._users += 1
        self._pool.used(self)
        try:
            yield transport
        finally:
            with self._lock:
                self._users -= 1

    def _dialled(self) -> Transport:
        if self._failure is not None:
            raise self._failure
        if self._transport is None and self._closed:
            raise TransportError(self.host, "the connection is closed", hint="run the same command again")
        if self._transport is None:
            try:
                transport = self._pool.dial(self._host)
            except InstallerError as error:
                self._failure = error
                raise
            self._transport = transport
            if self._closed:
                transport.close()
            else:
                transport.prepare()  # it was dialled for a script
        return self._transport
