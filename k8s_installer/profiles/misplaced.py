"""Flags that stand among the keys of an inventory: whose they are, and where they belong."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from k8s_installer.errors import InputError
from k8s_installer.inventory import Origin
from k8s_installer.profiles.load import load


def flag_hint(origin: Origin, path: tuple[str, ...]) -> str:
    """What to write instead of an unknown key that is a flag of the version's components; otherwise empty.

    Args:
        origin: the file, which has other errors, too, perhaps.
        path: the path of the key in it.
    """
    key, version, value = path[-1], origin.at(("cluster", "version")), origin.at(path)
    folder = Path(origin.file).absolute().parent
    whose: list[str] = []
    with suppress(InputError):  # another finding says what is wrong with the version or its profile
        profile = load(str(version), [folder / "profiles"], [folder / "components"])
        whose = [name for name, one in profile.components.items() if one.tunable and key in profile.accepted(name)]
    if not whose:
        return ""
    name = next((name for name in whose if name in path), whose[0])
    said = json.dumps(value) if isinstance(value, str | int | float) else "..."
    return f"{key} is a flag of {name}: components: {{{name}: {{args: {{{key}: {said}}}}}}}"
