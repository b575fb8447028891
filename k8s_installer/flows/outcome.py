"""How a flow ends; the command line makes an exit code of it."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a command ended."""

    DONE = "done"
    PENDING = "pending"  # hosts differ from the inventory
    FAILED = "failed"
