"""Items of the CIS benchmark, judged by what hosts have: the modes and owners of files, and what flags say. Pure.

What a host's files say is what counts, or what the inventory wants where no host was asked. A flag that is not set has
the default of this version's program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import yaml

from k8s_installer.errors import listed
from k8s_installer.model.desired import Desired, DesiredResource, by_host
from k8s_installer.model.resources import File, Kind, Missing, Ref, Seen, SeenFile
from k8s_installer.profiles import Profile
from k8s_installer.status.benchmark import FILES, FLAGS, FileRule, FlagRule

_FLAG = re.compile(r"""--([a-z0-9][a-z0-9-]*)(?:=([^\s"']*))?""")
_ETCD = re.compile(r'ETCD_([A-Z0-9_]+)="?(.*?)"?\s*')
_NAMED = 4  # files that are named as evidence


class Verdict(StrEnum):
    """What became of an item on a host."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    UNKNOWN = "unknown"  # the host did not show what would say it


@dataclass(frozen=True, slots=True)
class Judged:
    """One item on one host: its id in kube-bench, what it asks for, and what shows whether that is so."""

    id: str
    what: str
    host: str
    verdict: Verdict
    evidence: str


@dataclass(frozen=True, slots=True)
class _Host:
    """What is known of a host: whose each file is, how it is wanted, and how it is (None: nobody could say)."""

    name: str
    roles: frozenset[str]
    component: Mapping[str, str]
    wanted: Mapping[str, File]
    files: Mapping[str, File | SeenFile | None]
    contents: Mapping[str, bytes | None]


def judge(
    desired: Desired, profile: Profile, roles: Mapping[str, frozenset[str]], seen: Mapping[Ref, Seen] | None
) -> tuple[Judged, ...]:
    """Every item on every host that it is about, in the benchmark's order.

    Args:
        desired: what the inventory wants.
        profile: that of its version, with the components that the cluster has.
        roles: those of each host.
        seen: what hosts answered; None where nobody was asked, and what is wanted counts.
    """
    order = {name: place for place, name in enumerate(roles)}
    wanted = by_host(desired)
    hosts = [_host(name, own, wanted.get(name, ()), seen) for name, own in roles.items()]
    found = [item for host in hosts for rule in FILES if rule.role in host.roles for item in _of_files(rule, host)]
    for host in hosts:
        values = {name: _Values.of(name, profile, host) for name in dict.fromkeys(rule.component for rule in FLAGS)}
        found += [item for rule in FLAGS for item in _of_flag(rule, host, values[rule.component])]
    return tuple(sorted(_joined(found), key=lambda item: (_number(item.id), order[item.host])))


def _number(item: str) -> tuple[int, ...]:
    return tuple(map(int, item.split(".")))


def _joined(items: Sequence[Judged]) -> Iterator[Judged]:
    """Items that are about two flags as one: what fails stands for both."""
    worst = {Verdict.PASS: 0, Verdict.UNKNOWN: 1, Verdict.FAIL: 2}
    groups: dict[tuple[str, str], list[Judged]] = {}
    for item in items:
        groups.setdefault((item.id, item.host), []).append(item)
    yield from (max(group, key=lambda item: worst[item.verdict]) for group in groups.values())


def _host(
    name: str, roles: frozenset[str], wanted: Iterable[DesiredResource], seen: Mapping[Ref, Seen] | None
) -> _Host:
    items = {item.ref.name: item for item in wanted if item.ref.kind is Kind.FILE and not item.leaving}
    own = {path: item.resource for path, item in items.items() if isinstance(item.resource, File)}
    files: dict[str, File | SeenFile | None] = {}
    contents: dict[str, bytes | None] = {}
    for path, file in own.items():
        found = file if seen is None else seen.get(Ref(name, Kind.FILE, path), Missing.UNKNOWN)
        files[path] = found if isinstance(found, File | SeenFile) else None
        same = isinstance(found, File | SeenFile) and found.sha256 == file.sha256
        contents[path] = file.content if same else found.content if isinstance(found, SeenFile) else None
    return _Host(name, roles, {path: items[path].component for path in own}, own, files, contents)


def _of_files(rule: FileRule, host: _Host) -> Iterator[Judged]:
    paths = [path for path in host.files if re.fullmatch(rule.path, path)]
    wrong: list[str] = []
    unseen: list[str] = []
    for path in paths:
        file = host.files[path]
        if file is None:
            unseen.append(path)
        elif rule.owner and f"{file.owner}:{file.group}" != rule.owner:
            wrong.append(f"{path} is {file.owner}:{file.group}")
        elif rule.mode and file.mode & ~rule.mode:
            wrong.append(f"{path} is {file.mode:04o}")
    if wrong:
        yield Judged(rule.id, rule.what, host.name, Verdict.FAIL, listed(wrong, _NAMED))
    elif unseen:
        yield Judged(rule.id, rule.what, host.name, Verdict.UNKNOWN, f"not seen: {listed(unseen, _NAMED)}")
    elif paths:
        right = rule.owner or f"{rule.mode:04o} or stricter"
        yield Judged(rule.id, rule.what, host.name, Verdict.PASS, f"{right}: {listed(paths, _NAMED)}")


@dataclass(frozen=True, slots=True)
class _Values:
    """The flags and keys of a component on a host; `known` is whether all of its files were seen.

    `flags` is empty where the host does not have the component.
    """

    flags: Mapping[str, str]
    config: Mapping[str, object] | None
    defaults: Mapping[str, str]
    known: bool
    there: bool
    listed: frozenset[str]

    @classmethod
    def of(cls, name: str, profile: Profile, host: _Host) -> _Values:
        component = profile.components.get(name)
        own = [path for path, owner in host.component.items() if owner == name]
        if component is None or not own:
            return cls({}, None, {}, known=True, there=False, listed=frozenset())
        shared = [path for path in component.reads if path in host.wanted]
        plain = [path for path in (*shared, *own) if not host.wanted[path].secret]
        texts = {path: host.contents[path] for path in plain if not path.endswith((".crt", ".kubeconfig"))}
        flags: dict[str, str] = {}
        config: dict[str, object] | None = None
        for path, content in texts.items():
            text = (content or b"").decode(errors="replace")
            if path.endswith(".yaml"):
                config = _mapping(text)
            else:
                flags |= dict(_flags(text))
        accepted = profile.known_flags.get(name, {})
        defaults = {flag: known.default for flag, known in accepted.items() if known.default}
        known = all(content is not None for content in texts.values())
        return cls(flags, config, {} if config is not None else defaults, known, there=True, listed=frozenset(accepted))


def _mapping(text: str) -> dict[str, object]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _flags(text: str) -> Iterator[tuple[str, str]]:
    """What a file of variables hands to a program, and what etcd reads from variables of its own."""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if variable := _ETCD.fullmatch(line):
            yield variable[1].lower().replace("_", "-"), variable[2]
        yield from ((flag, value or "true") for flag, value in _FLAG.findall(line))


def _of_flag(rule: FlagRule, host: _Host, values: _Values) -> Iterator[Judged]:
    if not values.there:
        return
    if not values.known:
        evidence = f"not all files of {rule.component} were seen"
        yield Judged(rule.id, rule.what, host.name, Verdict.UNKNOWN, evidence)
        return
    names = rule.flag.split("|")
    flag = next((name for name in names if name in values.listed), names[0])
    found, evidence = _value(rule, flag, values)
    if found is None and values.listed and flag not in values.listed and not rule.key:
        return  # this version's program has nothing of the kind
    right = rule.unset if found is None and rule.must != "not be set" else _holds(rule, found)
    yield Judged(rule.id, rule.what, host.name, Verdict.PASS if right else Verdict.FAIL, evidence)


def _value(rule: FlagRule, flag: str, values: _Values) -> tuple[str | None, str]:
    """What a flag is, or the key that has taken its place; None where nothing says it. And how we know."""
    here: object = values.config
    for part in rule.key.split(".") if rule.key else ():
        here = here.get(part) if isinstance(here, Mapping) else None
    if rule.key and here is not None:
        text = ",".join(map(str, here)) if isinstance(here, list) else str(here)
        return text.lower() if isinstance(here, bool) else text, f"{rule.key}: {text}"
    if flag in values.flags:
        return values.flags[flag], f"--{flag}={values.flags[flag]}"
    default = values.defaults.get(flag)
    if default is not None and rule.must not in ("be set", "not be set"):
        return default.strip("[]"), f"--{flag} is not set; its default is {default}"
    return None, f"--{flag} is not set"


def _holds(rule: FlagRule, found: str | None) -> bool:
    items, wanted = set((found or "").split(",")), set(rule.value.split("|"))
    return {
        "be": found == rule.value,
        "not be": found != rule.value,
        "be set": bool(found),
        "not be set": not found,
        "have": bool(items & wanted),
        "not have": not items & wanted,
        "at least": (found or "").isdecimal() and int(found or 0) >= int(rule.value if rule.must == "at least" else 0),
    }[rule.must]
