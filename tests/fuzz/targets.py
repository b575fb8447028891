"""What is fuzzed, and what counts as standing it: a value or a word of ours within a second, and nothing else."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from tests.fuzz import files, hosts, keys

_SECONDS = 2.0  # of processor time, for one input on a slow machine


@dataclass(frozen=True, slots=True)
class Target:
    """A reader, the errors that it may raise, and good input for it."""

    run: hosts.Run
    allowed: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]


TARGETS = {name: Target(run, hosts.ALLOWED, tuple(seeds)) for name, (run, seeds) in hosts.TARGETS.items()}
TARGETS |= {
    name: Target(run, allowed, tuple(seeds))
    for name, (run, allowed, seeds) in {**files.TARGETS, **keys.TARGETS}.items()
}


def check(name: str, data: bytes) -> None:
    """Run a target on one input; raises whatever it must not raise."""
    target, began = TARGETS[name], time.process_time()
    with suppress(*target.allowed):
        target.run(data)
    took = time.process_time() - began
    assert took < _SECONDS, f"{took:.1f} s"
