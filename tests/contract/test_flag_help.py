"""What `explain` quotes of a program's help is what the real program says.

Needs the programs of the lab, as tests/contract/test_values.py does.
"""

from __future__ import annotations

import pytest

from k8s_installer.explain import texts
from tests.contract.programs import FOUND, PLACES, needs_programs
from tools.flag_help import asked

pytestmark = needs_programs


@pytest.mark.parametrize("name", PLACES)
def test_the_texts_are_those_of_the_program(name: str) -> None:
    program = FOUND[name]
    assert program is not None
    quoted = {flag: text for one in texts.load().helps if one.source for flag, text in one.flags.get(name, {}).items()}
    assert quoted == asked(program)
