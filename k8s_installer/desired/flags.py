"""From a profile's flags and the inventory's to the variables of the packaged units. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from k8s_installer.desired.values import as_text
from k8s_installer.inventory import Cluster, Tuning
from k8s_installer.profiles import Component, Style
from k8s_installer.profiles.flags import Flag
from k8s_installer.profiles.pieces import FlagValue
from k8s_installer.profiles.schema import REST

Render = Callable[[str, str], str]  # (template, where it stands) -> text

_VARIABLE = re.compile(r"""([A-Z0-9_]+)=(["']?)(.*)\2""")


def variable(line: str) -> tuple[str, str] | None:
    """The name and the value of a line that sets a variable, without its quotes; None for every other line."""
    found = _VARIABLE.fullmatch(line.rstrip())
    return (found[1], found[3]) if found else None


def effective(component: Component, tuning: Tuning, cluster: Cluster, render: Render) -> dict[str, FlagValue]:
    """The flags of a component on one host: the profile's for this security and network, the inventory's over them.

    A default that renders to nothing is left out, and so is a flag that the inventory sets to null. A flag
    keeps its place in the line when the inventory changes its value, so that one line of one file changes.
    """
    flags: dict[str, FlagValue] = {}
    for name, value in component.flags.of(cluster).items():
        text = rendered(value, name, render)
        if text not in ("", ()) or name in tuning.args:
            flags[name] = text
    for name, wanted in tuning.args.items():
        if wanted is None:
            flags.pop(name, None)
        else:
            flags[name] = wanted
    return flags


def variables(component: Component, flags: Mapping[str, FlagValue], known: Mapping[str, Flag]) -> dict[str, list[str]]:
    """For each variable of the component's files, its words in the order of the profile.

    A list is one word with commas, or a word for each of its items where the program asks for that: `known` says it.

    Example:
        A component whose variables are `{KUBE_API_PORT: [port], KUBE_API_ARGS: ["*"]}` and whose flags are
        `{v: 2, port: 8080}` gives `{"KUBE_API_PORT": ["--port=8080"], "KUBE_API_ARGS": ["--v=2"]}`.
    """
    named = {flag for wanted in component.variables.values() for flag in wanted}
    result: dict[str, list[str]] = {}
    for variable, wanted in component.variables.items():
        chosen = [flag for flag in wanted if flag in flags]
        if REST in wanted:
            chosen += [flag for flag in flags if flag not in named]
        result[variable] = [word for flag in chosen for word in _words(component.style, flag, flags[flag], known)]
    return result


def config(defaults: Mapping[str, object], wanted: Mapping[str, object], render: Render) -> dict[str, object]:
    """A configuration file's keys, the inventory's merged over the profile's; null removes a key.

    A default that renders to nothing, or to a list of nothing, is left out.
    """
    result: dict[str, object] = {key: _nested(value, key, render) for key, value in defaults.items()}
    return _merged({key: value for key, value in result.items() if value not in ("", [])}, wanted)


def _merged(defaults: Mapping[str, object], wanted: Mapping[str, object]) -> dict[str, object]:
    result = dict(defaults)
    for key, value in wanted.items():
        inner = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = _merged(inner if isinstance(inner, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def _nested(value: object, where: str, render: Render) -> object:
    if isinstance(value, Mapping):
        return {key: _nested(inner, f"{where}.{key}", render) for key, inner in value.items()}
    if isinstance(value, list):
        items = [_nested(inner, where, render) for inner in value]
        return [item for item in items if item != ""]
    return render(value, f"config {where}") if isinstance(value, str) else value


def rendered(value: FlagValue, name: str, render: Render) -> FlagValue:
    """A default of a flag as one host has it; items of a list that render to nothing are left out."""
    where = f"flag {name}"
    if isinstance(value, tuple):
        items = [render(item, where) if isinstance(item, str) else item for item in value]
        return tuple(item for item in items if item != "")
    return render(value, where) if isinstance(value, str) else value


def _words(style: Style, flag: str, value: FlagValue, known: Mapping[str, Flag]) -> list[str]:
    items = value if isinstance(value, tuple) else (value,)
    texts = [as_text(item) for item in items]
    if style is Style.REPEATED or (flag in known and known[flag].given == "repeated"):
        return [f"--{flag}={text}" for text in texts]
    joined = ",".join(texts)
    if style is Style.ETCD:
        return [f'ETCD_{flag.upper().replace("-", "_")}="{joined}"']
    return [f"--{flag}={joined}"]
