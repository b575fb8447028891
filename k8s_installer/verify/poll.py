"""Waiting for what takes a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_PAUSE_SECONDS = 0.2

T = TypeVar("T")


class Deadline:
    """So many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def pause(self) -> bool:
        """Wait a little; False, at once, where the time is over."""
        if time.monotonic() >= self._end:
            return False
        time.sleep(_PAUSE_SECONDS)
        return True


def until(seconds: float, look: Callable[[], T], good: Callable[[T], bool]) -> T:
    """Look until it is good or the seconds are over; what was seen last, good or not."""
    deadline = Deadline(seconds)
    while not good(seen := look()) and deadline.pause():
        pass
    return seen
