"""A moment of fuzzing with the same input each time, and every case that longer runs have found."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.__main__ import FOUND
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS, check


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_is_read_is_understood_or_refused_in_words(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].run(seed)  # good input is understood

    @settings(
        max_examples=60,
        derandomize=True,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(TARGETS[name].seeds))
    def fuzz(data: bytes) -> None:
        check(name, data)

    fuzz()


@pytest.mark.parametrize("case", sorted(FOUND.iterdir()), ids=lambda case: case.name)
def test_what_was_found_once_stays_fixed(case: Path) -> None:
    check(case.name.rpartition("-")[0].replace("-", " "), case.read_bytes())
