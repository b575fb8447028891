"""`python -m tests.fuzz --seconds 600`: every target in turn, until the time is over; what is found is written down."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS, check

FOUND = Path(__file__).parent / "found"
_EXAMPLES = 400  # in one turn of a target


def turn(name: str, number: int) -> tuple[int, bytes | None]:
    """Run a target on so many inputs; how many they were, and the first that it does not stand."""
    count, last = 0, b""

    @seed(number)
    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(TARGETS[name].seeds))
    def one(data: bytes) -> None:
        nonlocal count, last
        count, last = count + 1, data
        check(name, data)

    try:
        one()
    except Exception:  # noqa: BLE001 - this is what we look for
        traceback.print_exc()
        return count, last
    return count, None


def main() -> int:
    """Fuzz, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", action="append", choices=sorted(TARGETS))
    asked = parser.parse_args()
    end, number = time.monotonic() + asked.seconds, asked.seed
    counts: dict[str, int] = {}
    broken: dict[str, Path] = {}
    names = asked.only or list(TARGETS)
    while time.monotonic() < end and len(broken) < len(names):
        for name in names:
            if name in broken or time.monotonic() >= end:
                continue
            count, found = turn(name, number)
            number += 1
            counts[name] = counts.get(name, 0) + count
            if found is not None:
                broken[name] = FOUND / f"{name.replace(' ', '-')}-{hashlib.sha256(found).hexdigest()[:8]}"
                broken[name].write_bytes(found)
    for name, count in counts.items():
        sys.stdout.write(f"{count:9,}  {name}  {broken.get(name, '')}\n")
    sys.stdout.write(f"{sum(counts.values()):9,}  in all, seed {asked.seed}, {len(broken)} found\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
