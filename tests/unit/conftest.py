"""Settings of all unit tests."""

from __future__ import annotations

from hypothesis import settings

# A machine that is busy with something else is slow, and no example is wrong because of it.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")

# pytest finds this fixture here
from tests.unit.agreeing import every_inventory_that_is_read_agrees_with_its_schema  # noqa: E402, F401
