"""How the components of one host are configured: by the inventory, over the profile. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from k8s_installer.desired.flags import config, effective
from k8s_installer.desired.values import as_text, number
from k8s_installer.inventory import Cluster, Host, Tuning
from k8s_installer.profiles import Profile
from k8s_installer.profiles.flags import Flag
from k8s_installer.profiles.pieces import FlagValue

TEMPLATE = "{{"  # in a default of the profile that is worked out for each host: it agrees by itself
UNTUNED = Tuning({}, {})
_UNKNOWN = Flag()


@dataclass(frozen=True, slots=True)
class Breach:
    """Where a configuration breaks a rule, how, and what to do where that is not the rule's own advice."""

    path: tuple[str, ...]
    message: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class HostConfig:
    """The settings of a host's components, by the names of their flags.

    Where a program has a flag and a key of its configuration file for one setting, the flag wins, as in the program.
    Keys that no flag stands for go by their own names, inner ones after a dot. Templates of the profile are not
    rendered.
    """

    cluster: Cluster
    profile: Profile
    host: Host
    _flags: dict[str, Mapping[str, FlagValue]] = field(default_factory=dict)
    _files: dict[str, Mapping[str, object]] = field(default_factory=dict)

    def runs(self, *components: str) -> bool:
        """Whether the host has these components."""
        there = self.profile.on(self.host.roles)
        return all(name in there for name in components)

    def known(self, component: str, flag: str) -> Flag:
        """What is known of a setting; a text where nothing is."""
        schema = self.profile.config_schemas.get(component)
        known = self.profile.known_flags.get(component, {}).get(flag)
        return known or (schema.values.get(flag) if schema else None) or _UNKNOWN

    def configured(self, component: str, flag: str) -> object:
        """What the inventory sets it to; None if it does not, or drops it with null."""
        tuning = self.host.tuning.get(component, UNTUNED)
        return tuning.args[flag] if flag in tuning.args else _inner(tuning.config, self.key(component, flag))

    def effective(self, component: str, flag: str) -> object:
        """What the program gets: the inventory's value or the profile's; None if it is left to the program."""
        if component not in self._flags:
            spec, tuning = self.profile.components[component], self.host.tuning.get(component, UNTUNED)
            self._flags[component] = effective(spec, tuning, self.cluster, _as_it_is)
            self._files[component] = config(spec.config, tuning.config, _as_it_is)
        flags = self._flags[component]
        return flags[flag] if flag in flags else _inner(self._files[component], self.key(component, flag))

    def text(self, component: str, flag: str) -> str:
        """What the program gets, or its own default, as one word."""
        value = self.effective(component, flag)
        return self.known(component, flag).default if value is None else ",".join(self.items(component, flag))

    def items(self, component: str, flag: str) -> list[str]:
        """What the program gets as a list, split where the program splits it; the pairs of a map are items."""
        value, spec = self.effective(component, flag), self.known(component, flag)
        if isinstance(value, Mapping):
            return [
                f"{key}{spec.sign}{as_text(inner)}"
                for key, inner in value.items()
                if isinstance(inner, str | int | float)
            ]
        values = value if isinstance(value, tuple | list) else [value]
        texts = [as_text(one) for one in values if isinstance(one, str | int | float)]
        return [item for text in texts for item in (text.split(",") if spec.given == "split" else [text]) if item]

    def number(self, component: str, flag: str) -> float | None:
        """What the program gets, or its own default, as a number, in seconds for a duration; None if it is none."""
        return number(self.known(component, flag), self.text(component, flag))

    def path_of(self, component: str, *flags: str) -> tuple[str, ...]:
        """Where the inventory sets the first of these that it sets: for the host, or else for all; or the host."""
        for flag in flags:
            for place in (("hosts", self.host.name, "components"), ("components",)):
                for inner in (("args", flag), ("config", *self.key(component, flag).split("."))):
                    if (*place, component, *inner) in self.cluster.origin.lines:
                        return (*place, component, *inner)
        return ("hosts", self.host.name)

    def sets(self, component: str, flag: str) -> bool:
        """Whether the inventory sets it, be it to null."""
        return self.path_of(component, flag) != ("hosts", self.host.name)

    def name(self, component: str, flag: str) -> str:
        """What the inventory calls it: the flag, or the key where it sets that."""
        return self.key(component, flag) if "config" in self.path_of(component, flag)[2:] else flag

    def key(self, component: str, flag: str) -> str:
        """The key of the component's configuration file that stands for a flag."""
        schema = self.profile.config_schemas.get(component)
        return schema.flags.get(flag, flag) if schema else flag


def _as_it_is(text: str, _where: str) -> str:
    return text


def _inner(file: Mapping[str, object], key: str) -> object:
    value: object = file
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
