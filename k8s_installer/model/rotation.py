"""The steps in which a CA or key takes the place of another; `pki/rotation.py` says what each does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """The steps of a rotation, in their order."""

    ADD = "add"
    USE = "use"
    DROP = "drop"

    @property
    def before(self) -> Step | None:
        """The step that must have been made on all hosts."""
        steps = list(Step)
        position = steps.index(self)
        return steps[position - 1] if position else None

    @property
    def next(self) -> Step | None:
        """The step that may be made then."""
        return next((step for step in Step if step.before is self), None)


@dataclass(frozen=True, slots=True)
class Advance:
    """A step of the rotation of one CA or key that is to be made."""

    root: str
    step: Step
