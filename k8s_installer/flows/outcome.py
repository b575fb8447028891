"""How a flow ends; the command line turns it into an exit code."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a command ended."""

    DONE = "done"
    PENDING = "pending"  # hosts differ from the inventory
    FAILED = "failed"
