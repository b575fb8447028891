"""Calm words about something that may take long, for logs: nothing if it is quick, else a line now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_FIRST, _NEXT = 5.0, 15.0  # seconds until the first line, and between two others


@contextmanager
def slowly(
    words: str, say: Callable[[str], None], first: float = _FIRST, then: float = _NEXT
) -> Iterator[Callable[[str], None]]:
    """Say what goes on while the `with` lasts, if that is longer than `first` seconds, and again if it has changed.

    Args:
        words: what goes on; what this gives replaces them, from any thread.
        say: prints a line; called from a thread.
        first: seconds until the first line.
        then: seconds between two lines.
    """
    latest, over = [words], threading.Event()

    def watch() -> None:
        said, pause = "", first
        while not over.wait(pause):
            if latest[0] != said:
                said = latest[0]
                say(said)
            pause = then

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield lambda now: latest.__setitem__(0, now)
    finally:
        over.set()
        thread.join()
