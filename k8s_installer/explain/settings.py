"""Flags and keys of configuration files: what each is, its value on every host, and which line says so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from k8s_installer.desired.files import flags as flags_on
from k8s_installer.desired.flags import config
from k8s_installer.desired.values import FORMS, as_text
from k8s_installer.explain.known import Key, Known, Place
from k8s_installer.explain.texts import Help, Texts
from k8s_installer.inventory import Host, Tuning
from k8s_installer.profiles import Component, Profile, Style
from k8s_installer.profiles.flags import Flag

_UNTUNED = Tuning({}, {})
_COMPUTED = "{{"
_NODES = {"register-with-taints": "taints"}  # flags that follow from what an inventory wants of nodes
_DOCKER = {  # from `host_settings.docker`
    "registry-mirror": "registry_mirrors",
    "insecure-registry": "insecure_registries",
    "storage-driver": "storage_driver",
    "log-opt": "log",
}


class Source(StrEnum):
    """Who decides a value."""

    INVENTORY = "inventory"
    PROFILE = "profile"  # a component's own file, or what the profile of the version says of it
    PROGRAM = "default"  # nobody: it is the program's own


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from. `template` is what it is computed from, if it differs between clusters or hosts."""

    source: Source
    place: Place | None = None
    template: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """A value, the hosts that have it, and where it comes from; None is a default that the inventory removes."""

    text: str | None
    hosts: tuple[str, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Setting:
    """A flag of a component, or a key of its configuration file.

    `key` is the key that stands for the flag there. `kind` and `limits` are in words; `default` is the program's own,
    empty where its list of flags does not say it. `fixed` ones cannot be set by an inventory.
    """

    component: str
    name: str
    values: tuple[Value, ...]
    kind: str = ""
    default: str = ""
    limits: tuple[str, ...] = ()
    help: Help | None = None
    key: str = ""
    fixed: bool = False
    deprecated: bool = False
    is_key: bool = False


def in_use(known: Known, name: str) -> list[Setting]:
    """The flags and keys that a component of the cluster is started with, or that the inventory removes."""
    names: dict[tuple[str, bool], None] = {}
    for host in known.hosts(name):
        tuning = host.tuning.get(name, _UNTUNED)
        names |= dict.fromkeys((flag, False) for flag in (*_flags(known, name, host), *tuning.args))
        names |= dict.fromkeys((key, True) for key in _keys(known, name, host))
    return [setting(known, name, one, is_key=is_key) for one, is_key in names]


def setting(known: Known, component: str, name: str, *, is_key: bool = False, host: str = "") -> Setting:
    """A flag or key with its value on each host that has the component, or on one of them."""
    about = general(known.profile, known.texts, component, name, is_key=is_key)
    found: dict[tuple[str | None, Origin], list[str]] = defaultdict(list)
    for one in known.hosts(component):
        if host in ("", one.name):
            found[_value(known, component, one, about)].append(one.name)
    values = tuple(Value(text, tuple(hosts), origin) for (text, origin), hosts in found.items())
    return replace(about, values=values)


def general(profile: Profile, texts: Texts, component: str, name: str, *, is_key: bool = False) -> Setting:
    """What is known of a flag or key without a cluster."""
    spec, schema = profile.components[component], profile.config_schemas.get(component)
    same = _flag_of(profile, component, name) if is_key else name
    flag = profile.accepted(component).get(name)
    if is_key and schema:
        flag = schema.values.get(name)
    return Setting(
        component,
        name,
        (),
        kind=_kind(flag) if flag else "",
        default=flag.default if flag and flag.default not in ("<nil>", "[]") else "",
        limits=tuple(_limits(flag)) if flag else (),
        help=texts.help(_program(spec, component, name), same, profile.version),
        key="" if is_key or not schema else schema.flags.get(name, ""),
        fixed=name in spec.fixed,
        deprecated=bool(flag and flag.deprecated and not is_key),
        is_key=is_key,
    )


def _program(component: Component, name: str, flag: str) -> str:
    """The program whose help says what a flag is: of a shared variable the first that reads it."""
    for variable, programs in component.accepted_by.items():
        if flag in component.variables.get(variable, ()):
            return programs[0]
    return "etcd" if component.style is Style.ETCD else name


def _flag_of(profile: Profile, component: str, key: str) -> str:
    schema = profile.config_schemas.get(component)
    return next((flag for flag, own in schema.flags.items() if own == key), key) if schema else key


def _kind(flag: Flag) -> str:
    form = FORMS.get(flag.type)
    words = "one of a list" if flag.one_of and not form else form.what if form else "text"
    several = {"split": "; several, divided by commas", "repeated": "; may be given several times", "once": ""}
    return f"{words} ({flag.type}){several[flag.given]}"


def _limits(flag: Flag) -> Iterator[str]:
    if flag.one_of:
        yield f"one of {', '.join(flag.one_of)}"
    for word, limit in (("at least", flag.min), ("at most", flag.max), ("more than", flag.above)):
        if limit is not None:
            yield f"{word} {limit:g}"
    if flag.keys:
        yield f"keys: {', '.join(flag.keys)}"
    for item, need in flag.needs.items():
        yield f"{'it' if item == '*' else item} needs {need}"
    if flag.excludes:
        yield f"not together with {', '.join(flag.excludes)}"
    for other, times in flag.exceeds.items():
        yield f"more than {'' if times == 1 else f'{times:g} times '}{other}"
    for other, times in flag.at_least.items():
        yield f"at least {'' if times == 1 else f'{times:g} times '}{other}"
    if flag.required:
        yield "required"


def _value(known: Known, component: str, host: Host, about: Setting) -> tuple[str | None, Origin]:
    """The value on one host, and where it comes from; a flag wins over its key, as in the program."""
    flags, keys = _flags(known, component, host), _keys(known, component, host)
    if not about.is_key and about.name in flags:
        return _words(flags[about.name]), _origin(known, component, host, about.name)
    key = about.name if about.is_key else about.key
    if key in keys:
        return _words(keys[key].value), _origin_of_key(known, component, host, keys[key].path)
    removed = _in_inventory(known, component, host, about.name) if not about.is_key else None
    if removed:
        return None, Origin(Source.INVENTORY, removed)
    return about.default, Origin(Source.PROGRAM)


def _words(value: object) -> str:
    values = value if isinstance(value, tuple | list) else (value,)
    return ",".join(as_text(one) if isinstance(one, str | int | float) else str(one) for one in values)


def _flags(known: Known, component: str, host: Host) -> Mapping[str, object]:
    """The flags of a component on a host; each is asked for as often as there are flags, and made once."""
    made = known.flags.get((component, host.name))
    if made is None:
        made = flags_on(known.source, component, host, known.context(host))
        known.flags[component, host.name] = made
    return made


def _keys(known: Known, component: str, host: Host) -> Mapping[str, Key]:
    """The keys of a component's configuration file on a host, inner ones after dots, made once."""
    made = known.keys.get((component, host.name))
    if made is None:
        spec, tuning = known.profile.components[component], host.tuning.get(component, _UNTUNED)
        whole = config(spec.config, tuning.config, lambda text, where: known.text(text, host, where))
        made = {".".join(path): Key(path, value) for path, value in flat(whole)}
        known.keys[component, host.name] = made
    return made


def flat(config: Mapping[str, object], before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """The scalars and lists of a configuration, each with the keys that lead to it."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, (*before, key))
        else:
            yield (*before, key), value


def _in_inventory(known: Known, component: str, host: Host, flag: str) -> Place | None:
    """The line of the inventory that sets a flag on a host: the host's own first."""
    tails: list[tuple[str, ...]] = [("components", component, "args", flag)]
    if component == "docker" and flag in _DOCKER:
        tails.append(("host_settings", "docker", _DOCKER[flag]))
    paths: list[tuple[str, ...]] = [("hosts", host.name, *tail) for tail in tails] + tails
    if flag in _NODES:
        paths += [("hosts", host.name, _NODES[flag]), ("nodes", _NODES[flag])]
    return next((place for path in paths if (place := known.said(*path))), None)


def _origin(known: Known, component: str, host: Host, flag: str) -> Origin:
    place = _in_inventory(known, component, host, flag)
    if place:
        return Origin(Source.INVENTORY, place)
    sets = known.profile.components[component].flags
    cluster = known.cluster
    groups = [("routes", sets.routes)] if cluster.network == "routes" else []
    groups += [(cluster.security, sets.tls if cluster.security == "tls" else sets.insecure), ("always", sets.always)]
    group, said = next((name, group[flag]) for name, group in groups if flag in group)
    place = known.in_profile("components", component, "flags", group, flag)
    return Origin(Source.PROFILE, place, _template(said))


def _origin_of_key(known: Known, component: str, host: Host, path: tuple[str, ...]) -> Origin:
    inner = ("components", component, "config", *path)
    place = known.said("hosts", host.name, *inner) or known.said(*inner)
    if place:
        return Origin(Source.INVENTORY, place)
    said: object = known.profile.components[component].config
    for part in path:
        said = said.get(part) if isinstance(said, Mapping) else said
    return Origin(Source.PROFILE, known.in_profile(*inner), _template(said))


def _template(said: object) -> str:
    words = _words(said)
    return words if _COMPUTED in words or "{%" in words else ""
