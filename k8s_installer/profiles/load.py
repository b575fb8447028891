"""From a version to its `Profile`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from k8s_installer.errors import InputError, InventoryError, did_you_mean
from k8s_installer.inventory import Cluster
from k8s_installer.model.graph import GraphError, ordered
from k8s_installer.profiles.components import Parts, parts
from k8s_installer.profiles.files import PROFILES, as_yaml, first, parsed
from k8s_installer.profiles.flags import Flag, merged
from k8s_installer.profiles.images import version as version_of
from k8s_installer.profiles.schema import Component, ConfigSchema, Profile

_OWN, _OWN_COMPONENTS = "profiles", "components"  # the folders beside an inventory
_M = TypeVar("_M", bound=BaseModel)
_VERSION = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}")


def available(folders: Sequence[Path] = ()) -> tuple[str, ...]:
    """The versions that have a profile, in `folders` or among the packaged ones, oldest first.

    Raises:
        InputError: a file's name is no version.
    """
    found = [path for folder in (*folders, PROFILES) for path in folder.glob("*.yaml")]
    for path in found:
        if not _VERSION.fullmatch(path.stem):
            raise InputError(f"{path}: a profile is named after its version with three numbers, such as 1.20.2.yaml")
    return tuple(sorted({path.stem for path in found}, key=_numbers))


def load(version: str, folders: Sequence[Path] = (), components: Sequence[Path] = ()) -> Profile:
    """The profile that serves a version: its own, or one of the same minor version, whose programs take the same flags.

    The profile and its flags are each read from the first of `folders` that has the file, else from the packaged ones,
    and its components from the first of `components`. Components that the profile does not name are added to it.

    Raises:
        InputError: there is none, and the message names those that there are; or what is there is no profile.
    """
    there = available(folders)
    served_by = serving(version, there)
    if not served_by:
        raise InputError(_unknown(version, there), hint=did_you_mean(version, there))
    return _read(served_by, [*folders, PROFILES], components)


def profile_of(cluster: Cluster) -> Profile:
    """The profile that serves the cluster's version; what is beside its inventory comes first.

    Raises:
        InventoryError: there is none; the finding names the line of `cluster.version`.
        InputError: what is there is no profile.
    """
    folders = [cluster.folder / _OWN]
    there = available(folders)
    if not serving(cluster.version, there):
        message, suggestion = _unknown(cluster.version, there), did_you_mean(cluster.version, there)
        raise InventoryError([cluster.origin.finding(("cluster", "version"), message, suggestion)])
    return load(cluster.version, folders, [cluster.folder / _OWN_COMPONENTS])


def parts_of(cluster: Cluster) -> Parts:
    """Which file says what of the components of a cluster's profile.

    Raises:
        InputError: as for `profile_of`.
    """
    folders = [cluster.folder / _OWN]
    version = serving(cluster.version, available(folders))
    path = first([*folders, PROFILES], f"{version}.yaml")
    return parts(parsed(path, as_yaml).get("components"), path, [cluster.folder / _OWN_COMPONENTS])


def has_own(cluster: Cluster) -> bool:
    """Whether there are profiles or components beside the inventory: what they say was not written by us."""
    return any((cluster.folder / name).is_dir() for name in (_OWN, _OWN_COMPONENTS))


def note(version: str, profile: Profile) -> str:
    """What to say where a profile serves a version that is not its own; empty where it is."""
    if version == profile.version:
        return ""
    minor = version.rpartition(".")[0]
    return f"Kubernetes {version} uses the profile of {minor} (its flags are {profile.version}'s)"


def serving(version: str, there: Sequence[str]) -> str:
    """The version whose profile serves `version`: the newest of its minor version that is not newer, or the oldest."""
    if not _VERSION.fullmatch(version):
        return ""
    wanted = _numbers(version)
    same = [other for other in there if _numbers(other)[:2] == wanted[:2]]
    older = [other for other in same if _numbers(other) <= wanted]
    return older[-1] if older else next(iter(same), "")


def _read(version: str, folders: Sequence[Path], components: Sequence[Path]) -> Profile:
    path = first(folders, f"{version}.yaml")
    said = parsed(path, as_yaml)
    known = _flags(f"flags/{version}", folders)
    for other in said["other_flags"] if isinstance(said.get("other_flags"), list) else ():
        known |= _flags(f"flags/{other}", folders)
    made = parts(said.get("components"), path, components)
    profile = _validated(Profile, {**said, "components": made.data, "known_flags": known}, made.place)
    wrong = [f"{made.place(key)}: {message}" for key, message in _wrong(profile, version)]
    if wrong:
        raise InputError("\n".join(wrong))
    profile = profile.linked()
    _require_order(profile, path)
    schemas = {
        name: _schema(f"schemas/{component.config_schema}", profile.known_flags.get(name, {}), folders)
        for name, component in profile.components.items()
        if component.config_schema
    }
    return profile.model_copy(update={"config_schemas": schemas})


def _require_order(profile: Profile, path: Path) -> None:
    """Raise InputError where components come after each other in a circle."""
    after = {name: (*one.after.here, *one.after.everywhere) for name, one in profile.components.items()}
    try:
        ordered(after, after)
    except GraphError as error:
        raise InputError(f"{path}: components: no order is possible: {error}") from None


def _validated(model: type[_M], data: Mapping[str, object], place: Callable[[Sequence[object]], str]) -> _M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError("\n".join(f"{place(detail['loc'])}: {detail['msg']}" for detail in error.errors())) from None


def _schema(name: str, known: Mapping[str, Flag], folders: Sequence[Path]) -> ConfigSchema:
    """What may stand in a configuration file; a value's word is the flag of the same program that takes the same.

    A flag that the program does not have (any more) says nothing of the key.
    """
    path = first(folders, f"{name}.yaml")
    values = parsed(path, as_yaml) if path.is_file() else {}
    specs = {key: known.get(value) if isinstance(value, str) else value for key, value in values.items()}
    schema = {
        "keys": parsed(first(folders, f"{name}.json"), json.loads),
        "values": {key: spec for key, spec in specs.items() if spec},
        "flags": {flag: key for key, flag in values.items() if isinstance(flag, str)},
    }
    return _validated(ConfigSchema, schema, lambda key: f"{path}: {'.'.join(map(str, key))}")


def _wrong(profile: Profile, version: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """What the shape of a profile does not say, by its key: that names are those of others, and flags known ones."""
    if profile.version != version:
        yield ("version",), f"is {profile.version}, but the file is named {version}"
    yield from _wrong_dns(profile)
    yield from _wrong_talks(profile)
    for name, component in profile.components.items():
        here = ("components", name)
        for key, other in _others(component):
            if other not in profile.components:
                yield (*here, key), f"there is no component {other}"
        for program in _programs(name, component):
            if program not in profile.known_flags:
                yield here, f"the flags of {program} are not in flags/{version}.json"
        known = profile.known_flags.get(name)
        for flag, _ in component.flags.every:
            if known is not None and flag not in known:
                yield (*here, "flags"), f"{name} has no flag {flag} in Kubernetes {version}"
        if component.gates and not component.unit:
            yield (*here, "gates"), "gates need a unit whose health they check"


def _wrong_dns(profile: Profile) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, spec in profile.dns.items():
        if spec.variants and version_of(spec.images.get(spec.versioned, "")) is None:
            yield ("dns", name), f"the tag of its image {spec.versioned} must have a version, for its variants"


def _wrong_talks(profile: Profile) -> Iterator[tuple[tuple[str, ...], str]]:
    known = {certificate for component in profile.components.values() for certificate in component.certificates}
    for name, component in profile.components.items():
        for key, talk in component.talks_to.items():
            for certificate in {talk.certificate, talk.served_with} - known - {""}:
                yield ("components", name, "talks_to", key), f"no component has a certificate {certificate}"


def _others(component: Component) -> Iterator[tuple[str, str]]:
    """The components that one names, each with the key under which it does."""
    for other in (*component.after.here, *component.after.everywhere, *component.after.installed):
        yield "after", other
    for other in component.before:
        yield "before", other
    for other in component.shown_by:
        yield "shown_by", other
    for gate in component.gates:
        for other in gate.follows:
            yield "gates.follows", other
    for key, talk in component.talks_to.items():
        if not talk.outside:
            yield f"talks_to.{key}", talk.to or key


def _programs(name: str, component: Component) -> Iterable[str]:
    """The programs whose flags decide what may stand in a component's variables."""
    if component.accepted_by:
        return dict.fromkeys(program for programs in component.accepted_by.values() for program in programs)
    return (name,) if component.programs and component.variables else ()


def _flags(name: str, folders: Sequence[Path]) -> dict[str, object]:
    """The flags of programs, from a list that they gave themselves, one made by hand, or both."""
    said, more = first(folders, f"{name}.json"), first(folders, f"{name}.yaml")
    if not more.is_file():
        return parsed(said, json.loads)
    return merged(parsed(said, json.loads) if said.is_file() else {}, parsed(more, as_yaml))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _unknown(version: str, there: Sequence[str]) -> str:
    return f"unknown Kubernetes version {version}: profiles exist for {', '.join(there)}"
