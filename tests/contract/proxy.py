"""A wire that breaks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def cut_after(port: int, count: int) -> Iterator[int]:
    """A port that leads to `port` for one connection, until `count` bytes went there; then both ends are closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        worker = threading.Thread(target=_forward, args=(server, port, count))
        worker.start()
        yield server.getsockname()[1]
        worker.join()


def _forward(server: socket.socket, port: int, count: int) -> None:
    inside, _ = server.accept()
    with inside, socket.create_connection(("127.0.0.1", port)) as outside:
        back = threading.Thread(target=_copy, args=(outside, inside))
        back.start()
        _copy(inside, outside, count)
        for end in (inside, outside):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        back.join()


def _copy(source: socket.socket, target: socket.socket, count: int | None = None) -> None:
    with suppress(OSError):
        while (count is None or count > 0) and (data := source.recv(65536)):
            target.sendall(data)
            count = None if count is None else count - len(data)
