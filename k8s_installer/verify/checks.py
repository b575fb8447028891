"""Checks: what was asked, how it ended, and what speaks for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from k8s_installer.errors import InstallerError


class Status(StrEnum):
    """How a check ended; what could not be checked is skipped, and never passed.

    A warning is about what users run on the cluster, which works.
    """

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check: `detail` says in one line what was found or why not, `evidence` is what to read after a failure."""

    status: Status
    name: str
    detail: str
    seconds: float = 0.0
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proof:
    """Every check of a cluster and its outcome, and how long the proof took in seconds."""

    results: tuple[CheckResult, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Nothing failed; what was skipped is not passed, but no failure either, and was shown."""
        return all(result.status is not Status.FAILED for result in self.results)


OnCheck = Callable[[CheckResult], None]

NO_IMAGE = "the inventory has no images.verify"  # the detail of all checks that need running pods

_NONE: tuple[str, ...] = ()


class Skip(Exception):  # noqa: N818 - not an error: the check cannot be made here
    """Raised by a check that cannot be made; the text is the reason."""


class Failure(Exception):  # noqa: N818 - caught here, and becomes a result
    """Raised by a check that does not hold."""

    def __init__(self, detail: str, evidence: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.detail, self.evidence = detail, evidence


@dataclass(frozen=True, slots=True)
class Series:
    """Checks that need each other: where one did not pass, those that need it are skipped with its reason."""

    on_check: OnCheck
    results: dict[str, CheckResult] = field(default_factory=dict)

    def check(self, name: str, ask: Callable[[], str], *, needs: tuple[str, ...] = ()) -> None:
        """Make a check; `ask` returns what was found, or raises Skip, Failure or an error of the way to a host."""
        began = time.monotonic()
        try:
            self._require(needs)
            status, detail, evidence = Status.PASSED, ask(), _NONE
        except Skip as skip:
            status, detail, evidence = Status.SKIPPED, str(skip), _NONE
        except Failure as failure:
            status, detail, evidence = Status.FAILED, failure.detail, failure.evidence
        except InstallerError as error:
            status, detail, evidence = Status.FAILED, error.message, (error.hint,) if error.hint else ()
        result = CheckResult(status, name, detail, time.monotonic() - began, evidence)
        self.results[name] = result
        self.on_check(result)

    def _require(self, needs: tuple[str, ...]) -> None:
        for need in needs:
            before = self.results[need]
            if before.status is Status.FAILED:
                raise Skip(f"because this check failed: {need}")
            if before.status is Status.SKIPPED:
                raise Skip(before.detail)
