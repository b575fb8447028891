"""What flags of one program must have in common, as `profiles/flags/*.yaml` says it of each. Pure.

A program that finds such a fault ends at its start; what it says then is in tests/contract.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from k8s_installer.desired.hostconfig import Breach, HostConfig
from k8s_installer.desired.values import FALSE, TRUE, number
from k8s_installer.profiles.flags import Flag

_ANY, _NOT, _OR = "*", "!", " or "


def required(config: HostConfig) -> Iterator[Breach]:
    """Flags without which a program does not start."""
    for component, flag, spec in _related(config):
        if spec.required and config.effective(component, flag) is None and config.sets(component, flag):
            yield Breach(config.path_of(component, flag), f"{component}: {flag} must be set")


def needed(config: HostConfig) -> Iterator[Breach]:
    """Values that a program takes only beside another flag; a number that is the program's own default needs none."""
    for component, flag, spec in _related(config):
        for item in config.items(component, flag):
            for pattern, need in spec.needs.items():
                if _matches(spec, item, pattern) and not _met(config, component, need):
                    yield _needs(config, component, flag, "" if pattern == _ANY else f" {item}", need)
        yield from _keys_in(config, component, flag, spec)


def _keys_in(config: HostConfig, component: str, flag: str, spec: Flag) -> Iterator[Breach]:
    """Keys of a map that the map beside it does not have."""
    sign = config.known(component, spec.keys_in).sign
    there = {item.partition(sign)[0] for item in config.items(component, spec.keys_in)} if spec.keys_in else set()
    for item in config.items(component, flag) if spec.keys_in else []:
        key = item.partition(spec.sign)[0]
        if key not in there:
            name, beside = config.name(component, flag), config.name(component, spec.keys_in)
            message = f"{component}: {name} has {key}, but {beside} does not"
            yield Breach(config.path_of(component, flag, spec.keys_in), message, f"add {key} to {beside}")


def excluded(config: HostConfig) -> Iterator[Breach]:
    """Flags that a program does not take together."""
    for component, flag, spec in _related(config):
        for other in spec.excludes:
            if config.items(component, flag) and config.items(component, other):
                drop = next((one for one in (other, flag) if config.configured(component, one) is None), "")
                names = f"{config.name(component, flag)} and {config.name(component, other)}"
                fix = f"set {drop}: null" if drop else ""
                yield Breach(config.path_of(component, flag, other), f"{component}: {names} exclude each other", fix)


def ordered(config: HostConfig) -> Iterator[Breach]:
    """Numbers and durations that must be larger than others."""
    for component, flag, spec in _related(config):
        limits = [("more than", *limit) for limit in spec.exceeds.items()]
        limits += [("at least", *limit) for limit in spec.at_least.items()]
        for how, other, times in limits:
            value, least = config.number(component, flag), config.number(component, other)
            if value is None or least is None or value > times * least:
                continue
            if how == "at least" and value == times * least:
                continue
            names = config.name(component, flag), config.name(component, other)
            factor = "" if times == 1 else f"{times:g} times "
            message = (
                f"{component}: {names[0]} is {config.text(component, flag)}, and must be {how} "
                f"{factor}{names[1]} ({config.text(component, other)})"
            )
            yield Breach(config.path_of(component, flag, other), message, f"raise {names[0]}, or lower {names[1]}")


def repeated(config: HostConfig) -> Iterator[Breach]:
    """Items that a list has twice, or that two lists have that share none."""
    for component, flag, spec in _related(config):
        items = config.items(component, flag)
        for item, times in Counter(items).items():
            if spec.distinct and times > 1:
                yield Breach(config.path_of(component, flag), f"{component}: {flag} has {item} twice")
        both = [item for item in config.items(component, spec.disjoint) if item in items] if spec.disjoint else []
        if both:
            message = f"{component}: {flag} and {spec.disjoint} both have {', '.join(both)}"
            yield Breach(config.path_of(component, spec.disjoint, flag), message)


def _related(config: HostConfig) -> Iterator[tuple[str, str, Flag]]:
    """The settings that are related to others, of the components that the inventory tunes: component, name, Flag."""
    for component in config.host.tuning:
        if config.runs(component):
            for name, spec in config.profile.related.get(component, {}).items():
                yield component, name, spec


def _needs(config: HostConfig, component: str, flag: str, item: str, need: str) -> Breach:
    wanted = [_wanted(config, component, one) for one in need.split(_OR)]
    others = [one.lstrip(_NOT).partition("=")[0] for one in need.split(_OR)]
    name = config.name(component, flag)
    message = f"{component}: {name}{item} needs {_OR.join(words for words, _ in wanted)}"
    drop = f"{flag}: null" if config.configured(component, flag) is None else f"leave{item or f' {name}'} out"
    return Breach(config.path_of(component, flag, *others), message, f"{wanted[0][1]}, or {drop}")


def _wanted(config: HostConfig, component: str, need: str) -> tuple[str, str]:
    """What is needed in words, and what brings it about."""
    other, sign, values = need.lstrip(_NOT).partition("=")
    first, *more = (value.removesuffix(f"={_ANY}") for value in values.split("|"))
    beside = config.name(component, other)
    if need.startswith(_NOT):
        return f"{beside} without {first}", f"remove {first} from {beside}"
    if first:
        return f"{beside} {_OR.join([first, *more])}", f"set {beside}: {first}"
    return (f"{beside} to be empty", f"empty {beside}") if sign else (beside, f"set {beside}")


def _met(config: HostConfig, component: str, need: str) -> bool:
    """Whether one of several needs is there, or what must not be there is not."""
    if need.startswith(_NOT):
        return not _there(config, component, need.lstrip(_NOT))
    return any(_there(config, component, one) for one in need.split(_OR))


def _there(config: HostConfig, component: str, need: str) -> bool:
    """Whether what is needed is set: FLAG, or FLAG=VALUE|VALUE where one of the values is among its items."""
    other, sign, values = need.partition("=")
    items = config.items(component, other) or [config.text(component, other).strip("[]")]
    if not sign:
        return any(items)
    return any(_same(item, value) for item in items for value in values.split("|"))


def _same(item: str, value: str) -> bool:
    if value.endswith(_ANY):
        return item.startswith(value[:-1])
    name, _, word = item.partition("=")
    return item == value or (word in TRUE and value == f"{name}=true") or (word in FALSE and value == f"{name}=false")


def _matches(spec: Flag, item: str, pattern: str) -> bool:
    if pattern == _ANY:
        value = number(spec, item)
        return value is None or value != number(spec, spec.default)
    return item.startswith(pattern[:-1]) if pattern.endswith(_ANY) else item == pattern
