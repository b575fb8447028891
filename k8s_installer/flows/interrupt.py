"""Ctrl-C: once lets what has begun end and begins nothing new (a way back is finished); twice stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from k8s_installer.flows.reporter import Say


class Stop(threading.Event):
    """Set by a first Ctrl-C, and by the loss of the cluster's lock (`lost`)."""

    def __init__(self, lost: threading.Event, say: Say) -> None:
        super().__init__()
        self.lost, self._say = lost, say
        self._pressed = False
        self._finishing = ""

    def is_set(self) -> bool:
        """Whether nothing new may begin."""
        return super().is_set() or self.lost.is_set()

    def press(self, _signal: int, _frame: FrameType | None) -> None:
        """What Ctrl-C does; raises KeyboardInterrupt the second time."""
        if self._pressed:
            raise KeyboardInterrupt
        self._pressed = True
        if self._finishing:
            what = f"{self._finishing}: finishing this first, so that no service is left half changed"
            self._say(f"{what}; press Ctrl-C again to stop at once")
            return
        self.set()
        self._say("stopping after the steps in progress; press Ctrl-C again to stop at once")

    @contextmanager
    def finishing(self, what: str) -> Iterator[None]:
        """Inside, a first Ctrl-C says that `what` is finished first, whatever was pressed before."""
        self._pressed, self._finishing = False, what
        try:
            yield
        finally:
            self._finishing = ""


@contextmanager
def stop_on_ctrl_c(lost: threading.Event, say: Say) -> Iterator[Stop]:
    """Something that the first Ctrl-C sets, and `lost`; the second Ctrl-C raises KeyboardInterrupt."""
    stop = Stop(lost, say)
    before = signal.signal(signal.SIGINT, stop.press)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
