"""Ctrl-C: once lets what has begun end and begins nothing new; twice stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from k8s_installer.cli.console import stderr


class Stop(threading.Event):
    """Set by a first Ctrl-C, and by the loss of the cluster's lock."""

    def __init__(self, lost: threading.Event) -> None:
        super().__init__()
        self._lost = lost

    def is_set(self) -> bool:
        """Whether nothing new may begin."""
        return super().is_set() or self._lost.is_set()


@contextmanager
def stop_on_ctrl_c(lost: threading.Event) -> Iterator[Stop]:
    """Something that the first Ctrl-C sets, and `lost`; the second Ctrl-C raises KeyboardInterrupt."""
    stop = Stop(lost)
    pressed = threading.Event()

    def interrupted(_signal: int, _frame: FrameType | None) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()
        stop.set()
        stderr().print("stopping: what has begun is finished first; Ctrl-C again stops at once")

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
