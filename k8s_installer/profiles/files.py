"""Reading the files that profiles are made of: from a folder of the user's where it has one, else the package's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from k8s_installer.errors import InputError
from k8s_installer.inventory import source
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

_PACKAGE = Path(__file__).parents[1]
PROFILES, COMPONENTS = _PACKAGE / "profiles", _PACKAGE / "components"


def first(folders: Sequence[Path], name: str) -> Path:
    """The file of this name in the first folder that has it; in the first of all where none does."""
    return next((folder / name for folder in folders if (folder / name).is_file()), folders[0] / name)


def parsed(path: Path, parse: Callable[[str], object]) -> dict[str, Any]:
    """A file that holds a mapping.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    try:
        text = userfile.text(path)
        if parse is as_yaml and not path.is_relative_to(_PACKAGE):
            source.checked(text, str(path))
        data = parse(text)
    except UnreadableError as error:
        raise InputError(f"cannot read {path}: {error}") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: must be a mapping")
    return data


def as_yaml(text: str) -> object:
    """The value of a YAML document."""
    # ten times as quick, where libyaml is there
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(text, Loader=loader)  # noqa: S506 - a safe one
