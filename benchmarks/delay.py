"""A proxy on loopback that makes a near host far: every byte arrives later, in both directions.

netem would do it in the kernel, but not every machine that runs this has that module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Event

_CHUNK = 64 * 1024
_START_SECONDS = 10.0


@contextmanager
def far(ways: Sequence[tuple[str, str]], port: int, rtt: float) -> Iterator[None]:
    """Listen on the first address of each pair and pass all on to the second, on the same port.

    Args:
        ways: (address to listen on, address behind it), both on loopback.
        port: of all of them.
        rtt: what a round trip takes, in seconds; a new connection takes one, too.
    """
    processes = get_context("spawn")
    ready = processes.Event()
    proxy = processes.Process(target=_serve, args=(tuple(ways), port, rtt / 2, ready), daemon=True)
    proxy.start()
    try:
        if not ready.wait(_START_SECONDS):
            raise RuntimeError("the delaying proxy did not start")
        yield
    finally:
        proxy.terminate()
        proxy.join()


def _serve(ways: Sequence[tuple[str, str]], port: int, delay: float, ready: Event) -> None:
    asyncio.run(_listen(ways, port, delay, ready))


async def _listen(ways: Sequence[tuple[str, str]], port: int, delay: float, ready: Event) -> None:
    async with AsyncExitStack() as servers:
        for near, behind in ways:
            handle = partial(_connect, behind, port, delay)
            await servers.enter_async_context(await asyncio.start_server(handle, near, port))
        ready.set()
        await asyncio.Event().wait()


async def _connect(
    behind: str, port: int, delay: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await asyncio.sleep(2 * delay)  # the handshake of TCP
    far_reader, far_writer = await asyncio.open_connection(behind, port)
    await asyncio.gather(_pass(reader, far_writer, delay), _pass(far_reader, writer, delay))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Each piece has its own time to arrive: what follows does not wait until it has."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, piece = await under_way.get()
            await asyncio.sleep(max(due - loop.time(), 0))
            if not piece:
                return
            writer.write(piece)
            await writer.drain()

    async def collect() -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(_CHUNK):
                under_way.put_nowait((loop.time() + delay, piece))
        under_way.put_nowait((loop.time() + delay, b""))

    with suppress(ConnectionError):
        await asyncio.gather(collect(), deliver())
    writer.close()
