from __future__ import annotations

import pytest

from tests.golden import plans
from tests.golden.cases import CASES, FOLDER, folder_of, rendered


@pytest.mark.parametrize("case", CASES, ids=lambda case: folder_of(*case))
def test_every_rendered_byte_is_the_one_that_was_read_and_committed(case: tuple[str, ...]) -> None:
    made = rendered(*case)
    folder = FOLDER / folder_of(*case)
    there = {str(path.relative_to(FOLDER)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert made.keys() == there.keys(), "python -m tests.golden writes them again"
    for name, content in made.items():
        assert content.decode() == there[name].decode(), name


@pytest.mark.parametrize("name", plans.PLANS)
def test_a_plan_of_forty_nodes_reads_as_it_was_read_and_committed(name: str) -> None:
    assert plans.shown(name) == (plans.FOLDER / f"{name}.txt").read_text()
