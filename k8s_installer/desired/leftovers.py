"""What the programs of components leave on hosts, as their profile says and their flags choose. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache

from k8s_installer.host.placed import LEAST_DEPTH
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import Kind, Leaves, Ref
from k8s_installer.profiles import Component, Profile
from k8s_installer.profiles.pieces import FlagValue, LeavesSpec

_FOLDER = re.compile(r"(/[-\w.+@%:=]+)+/?")  # a word of a shell's command
Text = Callable[[str], str]  # of a template that names nothing of a host's own


def leaves(name: str, spec: LeavesSpec | None, text: Text) -> Leaves | None:
    """What programs leave, by the name of what brings it: a component, or the path of a file."""
    if spec is None:
        return None
    folders = (*spec.folders, *spec.data)
    rules = tuple(map(text, spec.rules))
    return Leaves(name, folders, spec.data, spec.links, spec.chains, rules, spec.routes, spec.units)


def folder_flags(component: Component) -> tuple[str, ...]:
    """The flags that choose where a component leaves something."""
    return (*component.data, *component.folders, *(component.leaves.below if component.leaves else ()))


def leaves_of_host(name: str, component: Component, text: Text, flags: Mapping[str, FlagValue]) -> Leaves | None:
    """What a component leaves on one host: also in the folders that its `folder_flags` there name.

    Programs own more than these if such a folder is part of every system, as /data may be: it has data, and stays.
    """
    left = leaves(name, component.leaves, text)
    if left is None or component.leaves is None or not (component.data or component.folders):
        return left
    words = {flag: str(flags[flag]) for flag in folder_flags(component) if flag in flags}
    given = {flag: posixpath.normpath(word) for flag, word in words.items() if _FOLDER.fullmatch(word)}
    own = [given[flag] for flag in (*component.data, *component.folders) if flag in given]
    data = [given[flag] for flag in component.data if flag in given]
    data += [
        f"{given[flag]}/{path}" for flag, paths in component.leaves.below.items() if flag in given for path in paths
    ]
    new = [path for path in dict.fromkeys(data) if not _within(path, left.data)]
    folders = [path for path in dict.fromkeys((*own, *new)) if not _within(path, left.folders) or path in new]
    return replace(
        left,
        folders=(*left.folders, *(path for path in folders if path.count("/") >= LEAST_DEPTH)),
        data=(*left.data, *new),
    )


def _within(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def leaves_of(profile: Profile, asked: Desired, text: Text) -> Callable[[str, str], Leaves | None]:
    """What gives what something leaves on a host: the host's name, and that of a component or the path of a file.

    Args:
        profile: all that the version knows, among it what the inventory does not have.
        asked: all that the inventory asks for; of what is not there, the profile alone says what it leaves.
        text: renders the profile's templates.
    """

    @cache
    def of_version(name: str) -> Leaves | None:
        if name in profile.components:
            return leaves(name, profile.components[name].leaves, text)
        files = (one.files[name] for one in profile.components.values() if name in one.files)
        return next((leaves(name, spec.leaves, text) for spec in files), None)

    def found(host: str, name: str) -> Leaves | None:
        component = profile.components.get(name)
        brought_by = [(Kind.FILE, name)]
        if component is not None:
            brought_by = [(Kind.UNIT, component.unit), *((Kind.PACKAGE, package) for package in component.packages)]
        resources = (item.resource for one in brought_by if (item := asked.get(Ref(host, *one))))
        own = (left for resource in resources if isinstance(left := getattr(resource, "leaves", None), Leaves))
        return next(own, None) or of_version(name)

    return found
