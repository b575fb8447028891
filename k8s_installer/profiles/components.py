"""Components: each has a file of its own, and a profile names those of its version and says what differs there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from k8s_installer.errors import InputError, did_you_mean
from k8s_installer.profiles import files
from k8s_installer.profiles.overriding import overridden

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Parts:
    """The components of a profile as plain data, and which file says what of them.

    `paths` are the components' own files, `over` is what the profile says of them.
    """

    profile: Path
    data: Mapping[str, object]
    paths: Mapping[str, Path]
    over: Mapping[str, object]

    def file(self, key: Sequence[object]) -> tuple[Path, tuple[str, ...]]:
        """The file that says a key of the profile, and the key as it is there."""
        match [str(part) for part in key]:
            case ["components", name, *inner] if name in self.paths and not _has(self.over.get(name, {}), inner):
                return self.paths[name], tuple(inner)
            case whole:
                return self.profile, tuple(whole)

    def place(self, key: Sequence[object]) -> str:
        """The same in words."""
        path, inner = self.file(key)
        return f"{path}: {'.'.join(inner)}"


def names(folder: Path) -> list[str]:
    """The components that have a file in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def parts(said: object, profile: Path, folders: Sequence[Path]) -> Parts:
    """The components that a profile names, and then those that only `folders` have.

    Args:
        said: what the profile says below `components`.
        profile: its file, for messages.
        folders: those of the user's; of each component the first file is used, the package's after all of them.

    Raises:
        InputError: a component has no file, or what is said of it does not fit it.
    """
    if not isinstance(said, Mapping):
        raise InputError(f"{profile}: components: must be a mapping", hint="NAME: {} uses a component unchanged")
    own = [name for folder in folders for name in names(folder)]
    known = [*own, *names(files.COMPONENTS)]
    for folder in folders:
        for path in folder.glob("*.y*ml"):
            if path.suffix != ".yaml" or not _NAME.fullmatch(path.stem):
                raise InputError(
                    f"{path}: a component's file is NAME.yaml, with lowercase letters, digits and '-' in the name"
                )
    data: dict[str, object] = {}
    paths: dict[str, Path] = {}
    for name in dict.fromkeys([*said, *own]):
        if name not in known:
            message = f"{profile}: components.{name}: no file {name}.yaml in {_listed(folders)}"
            raise InputError(message, hint=did_you_mean(name, known))
        paths[name] = files.first([*folders, files.COMPONENTS], f"{name}.yaml")
        data[name] = _overridden(
            files.parsed(paths[name], files.as_yaml), said.get(name, {}), f"{profile}: components.{name}"
        )
    return Parts(profile, data, paths, said)


def _overridden(base: Mapping[str, object], over: object, where: str) -> dict[str, object]:
    if not isinstance(over, Mapping):
        raise InputError(f"{where}: must be a mapping", hint="{} uses the component unchanged")
    try:
        return overridden(base, over)
    except ValueError as error:
        raise InputError(f"{where}.{error}") from None


def _listed(folders: Iterable[Path]) -> str:
    return " or ".join(map(str, (*folders, files.COMPONENTS)))


def _has(said: object, key: Sequence[str]) -> bool:
    """Whether a mapping says anything at a key, or at a key that leads to it and is no mapping."""
    for part in key:
        if not isinstance(said, Mapping):
            return True
        if part not in said:
            return False
        said = said[part]
    return True
