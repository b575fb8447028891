"""Every inventory that a test reads is checked by its JSON Schema as well: what the models accept, the schema accepts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest
from jsonschema import Draft202012Validator

from k8s_installer.flows import schema
from k8s_installer.inventory.schema import InventoryModel

_MOST_HOSTS = 20  # more of them say nothing more


@cache
def validator() -> Draft202012Validator:
    return Draft202012Validator(schema.inventory())


@pytest.fixture(scope="session", autouse=True)
def every_inventory_that_is_read_agrees_with_its_schema() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InventoryModel, "model_validate", _checking(InventoryModel.model_validate))
        yield


def _checking(validate: Callable[..., InventoryModel]) -> Callable[..., InventoryModel]:
    def checked(data: object) -> InventoryModel:
        model = validate(data)
        if len(model.hosts) <= _MOST_HOSTS:
            wrong = [f"{error.json_path}: {error.message}" for error in validator().iter_errors(data)]
            assert not wrong, f"the schema refuses an inventory that is read: {wrong}"
        return model

    return checked
