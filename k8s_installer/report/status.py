"""A cluster's status: one table, what is not as wanted with who changed it, and what to type next; or plain data."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Group
from rich.text import Text

from k8s_installer.model.plan import Action
from k8s_installer.model.resources import Missing, SeenPackage, SeenUnit
from k8s_installer.report import columns
from k8s_installer.report.columns import shared
from k8s_installer.report.data import loss_data
from k8s_installer.report.names import spans
from k8s_installer.status import Certificate, ComponentStatus, Difference, Evidence, PackageStatus, Session, Status

EXPIRES_SOON = 30  # days
_HEADER = ("host", "component", "version", "state, since (UTC)", "files", "certificates", "health")
_MOST = 6  # differences shown of one component; a bare host has dozens, and `plan` shows them all
_APART = 12  # hosts that have their own rows; of more those that read the same share one
_BAD, _CARE = "bold red", "yellow"


def table(
    status: Status, inventory: Path, width: int | None = None, *, full: bool = False, quiet: bool = False
) -> Group:
    """For people: a row for each component of each host, then all that differs, then the next command.

    What is lost is not in it: there is no plan before that is back, and its error says what to type.

    The rows are lines of text, not a rich table: they keep their width in a pipe, where grep wants whole lines.

    Args:
        status: what was found.
        inventory: named in what to type next.
        width: the columns of the terminal; None where lines may have any length.
        full: whether each host has its own rows and lines, however many read the same.
        quiet: whether only what differs is shown.
    """
    rows, wrong = list(_rows(status)), list(_wrong(status))
    if not full and len({item.host for item in status.components}) > _APART:
        rows, wrong = shared(rows), _together(wrong)
    if quiet:
        return Group(*(line for block in wrong for line in block.lines()))
    lines = list(columns.lines(_HEADER, rows, width))
    if wrong:
        lines += [Text(), *(line for block in wrong for line in block.lines())]
    if status.losses:
        return Group(*lines)
    if wrong:
        lines += [Text(), *_next(status, inventory)]
    else:
        lines += [Text(), Text("Every host matches the inventory and is healthy.", "bold green")]
    return Group(*lines)


@dataclass(frozen=True, slots=True)
class _Block:
    """What is wrong on hosts: what is `said` in a style, more words, and lines below these."""

    hosts: tuple[str, ...]
    said: str
    words: str = ""
    style: str = _BAD
    below: tuple[str, ...] = ()

    def lines(self) -> Iterator[Text]:
        yield Text.assemble((f"{spans(self.hosts)}: {self.said}", self.style), self.words)
        yield from (Text(f"    {line}", _CARE) for line in self.below)


def _together(blocks: Iterable[_Block]) -> list[_Block]:
    """Those that differ in their hosts alone as one."""
    alike: dict[_Block, list[str]] = {}
    for block in blocks:
        alike.setdefault(replace(block, hosts=()), []).extend(block.hosts)
    return [replace(block, hosts=tuple(hosts)) for block, hosts in alike.items()]


def data(status: Status) -> dict[str, object]:
    """For programs: stable names, times in ISO 8601 (UTC), null for what is not known; no content of any file."""
    by_host: dict[str, list[ComponentStatus]] = {}
    for item in status.components:
        by_host.setdefault(item.host, []).append(item)
    return {
        "differs": status.differs,
        "losses": [loss_data(loss) for loss in status.losses],
        "hosts": [
            {
                "name": host,
                "error": str(status.unreachable[host]) if host in status.unreachable else None,
                "components": [_component(item) for item in items],
            }
            for host, items in by_host.items()
        ],
    }


def _rows(status: Status) -> Iterator[tuple[Text, ...]]:
    shown: set[str] = set()
    for item in status.components:
        if item.host not in status.unreachable:
            yield (
                Text(item.host), Text(item.component), _versions(item.packages), _state(item), _files(item),
                _life(item.certificate), _health(item),
            )  # fmt: skip
        elif item.host not in shown:
            shown.add(item.host)
            yield (Text(item.host), Text("-"), Text("-"), Text("unreachable", _BAD), Text("-"), Text("-"), Text("-"))


def _versions(packages: Sequence[PackageStatus]) -> Text:
    words = [_version(package) for package in packages]
    return Text(" ").join(words) if words else Text("-")


def _version(package: PackageStatus) -> Text:
    if not isinstance(package.found, SeenPackage):
        return Text("not installed" if package.found is Missing.ABSENT else "unknown", _BAD)
    if package.wanted not in ("", package.found.version):
        return Text(f"{package.found.version}, not {package.wanted}", _BAD)
    return Text(package.found.version)


def _state(item: ComponentStatus) -> Text:
    if item.unit is None:
        return Text("-")
    found = item.unit.found
    if not isinstance(found, SeenUnit):
        return Text("no such unit" if found is Missing.ABSENT else "unknown", _BAD)
    since = f" {_moment(found.started_at)}" if found.started_at else ""
    if not found.is_active:
        return Text(f"{found.active} ({found.sub}), last start{since or ' never'}", _BAD)
    text = Text(f"{'done (runs once)' if found.sub == 'exited' else found.sub}{since}")
    if item.unit.stale:
        text.append(", stale", _CARE)
    if item.leaves:
        text.append(", no longer wanted", _CARE)
    elif not found.enabled:
        text.append(", not enabled", _CARE)
    return text


def _files(item: ComponentStatus) -> Text:
    if not item.files:
        return Text("-")
    good = len(item.files) - len(item.out_of_line) - len(item.not_known)
    return Text(f"{good}/{len(item.files)}", _BAD if good < len(item.files) else "")


def _life(certificate: Certificate | None) -> Text:
    if certificate is None:
        return Text("-")
    if certificate.days < 0:
        return Text("expired", _BAD)
    return Text(f"{certificate.days} d", _CARE if certificate.days < EXPIRES_SOON else "")


def _health(item: ComponentStatus) -> Text:
    if not item.health:
        return Text("-")
    if all(health.holds for health in item.health):
        return Text("ok")
    return Text("bad" if any(health.holds is False for health in item.health) else "unknown", _BAD)


def _wrong(status: Status) -> Iterator[_Block]:
    for host, error in sorted(status.unreachable.items()):
        yield _Block((host,), str(error).removeprefix(f"{host}: "))
    bare = _bare(status)
    yield from (_Block((host,), "nothing is installed") for host in bare)
    for item in (one for one in status.components if one.host not in bare):
        if item.host not in status.unreachable:
            yield from _differences(item)
        for health in item.health:
            if not health.holds and health.asked_on not in status.unreachable:
                said = f"{health.name}: " + ("failed" if health.holds is False else "unknown")
                yield _Block((item.host,), said, f": {health.words}")
        if item.certificate is not None and item.certificate.days < EXPIRES_SOON:
            yield _expiring(item.host, item.certificate)


def _bare(status: Status) -> list[str]:
    """The hosts that have no package, unit or file of those that are wanted there."""
    hosts: dict[str, bool] = {}
    for item in status.components:
        created = {found.ref.name for found in item.differences if found.action is Action.CREATE}
        has = (
            any(isinstance(package.found, SeenPackage) for package in item.packages)
            or (item.unit is not None and isinstance(item.unit.found, SeenUnit))
            or not created.issuperset(item.files)
        )
        hosts[item.host] = hosts.get(item.host, bool(item.files)) and not has
    return [host for host, bare in hosts.items() if bare and host not in status.unreachable]


def _differences(item: ComponentStatus) -> Iterator[_Block]:
    for found in item.differences[:_MOST]:
        below = tuple(_evidence(found, found.evidence)) if found.evidence is not None else ()
        yield _Block((found.ref.host,), f"{found.ref.kind} {found.ref.name}: ", found.words, below=below)
    if len(item.differences) > _MOST:
        yield _Block((item.host,), f"{item.component}: {len(item.differences) - _MOST} more")


def _evidence(found: Difference, evidence: Evidence) -> Iterator[str]:
    if found.action is Action.CREATE:
        if evidence.changed_at:
            yield f"something in its folder was created or removed at {_moment(evidence.changed_at)} UTC"
    else:
        if found.action is not Action.ATTRIBUTES:
            it = "" if evidence.path == found.ref.name else f"{evidence.path}: "
            yield f"{it}modified at {_moment(evidence.modified_at)} UTC, owned by {evidence.owner}"
        # An inode that changed later: renamed into place, unpacked with its old time, or its mode was set.
        if evidence.changed_at - evidence.modified_at > 1 or found.action is Action.ATTRIBUTES:
            yield f"renamed, or its mode or owner changed, at {_moment(evidence.changed_at)} UTC"
    for session in evidence.sessions:
        ended = "and still is" if math.isinf(session.ended) else f"until {_moment(session.ended)} UTC"
        origin = f" from {session.origin}" if session.origin else ""
        yield f"{session.user} was logged in then{origin}, since {_moment(session.began)} UTC, {ended}"


def _expiring(host: str, certificate: Certificate) -> _Block:
    style, word = (_BAD, "expired") if certificate.days < 0 else (_CARE, "expires")
    return _Block((host,), f"{certificate.path}: ", f"it {word} at {_moment(certificate.expires_at)} UTC", style)


def _next(status: Status, inventory: Path) -> Iterator[Text]:
    if status.unreachable:
        # there is no plan without every host
        hints = dict.fromkeys(error.hint for error in status.unreachable.values() if error.hint)
        yield from (Text(f"Next: {hint}") for hint in hints)
        return
    if any(item.differences for item in status.components):
        yield Text(f"Next: k8s-installer plan -i {inventory}    (line by line, with what apply would change)")
        return
    for item in status.components:
        for unit in dict.fromkeys(health.unit for health in item.health if health.holds is False):
            yield Text(f"Next: journalctl -u {unit} on {item.host}")


def _component(item: ComponentStatus) -> dict[str, object]:
    certificate = item.certificate
    return {
        "name": item.component,
        "leaves": item.leaves,
        "packages": [
            {
                "name": package.name,
                "wanted": package.wanted or None,
                "found": package.found.version if isinstance(package.found, SeenPackage) else None,
                "state": _presence(package.found),
            }
            for package in item.packages
        ],
        "unit": _unit(item),
        "files": {
            "total": len(item.files),
            "out_of_line": list(item.out_of_line),
            "not_known": list(item.not_known),
        },
        "certificate": certificate
        and {"path": certificate.path, "expires": _iso(certificate.expires_at), "days": certificate.days},
        "health": [
            {"name": health.name, "asked_on": health.asked_on, "holds": health.holds, "words": health.words}
            for health in item.health
        ],
        "differences": [_difference(found) for found in item.differences],
    }


def _unit(item: ComponentStatus) -> dict[str, object] | None:
    if item.unit is None:
        return None
    unit: dict[str, object] = {"name": item.unit.name, "state": _presence(item.unit.found)}
    if isinstance(item.unit.found, SeenUnit):
        seen = item.unit.found
        unit |= {
            "active": seen.active, "sub": seen.sub, "since": _iso(seen.started_at), "enabled": seen.enabled,
            "stale": item.unit.stale,
        }  # fmt: skip
    return unit


def _difference(found: Difference) -> dict[str, object]:
    evidence = found.evidence
    return {
        "kind": str(found.ref.kind),
        "name": found.ref.name,
        "action": found.action and str(found.action),
        "reason": found.words,
        "evidence": evidence
        and {
            "path": evidence.path,
            "modified": _iso(evidence.modified_at),
            "changed": _iso(evidence.changed_at),
            "owner": evidence.owner or None,
            "sessions": [_session(session) for session in evidence.sessions],
        },
    }


def _session(session: Session) -> dict[str, object]:
    return {
        "user": session.user,
        "origin": session.origin or None,
        "began": _iso(session.began),
        "ended": None if math.isinf(session.ended) else _iso(session.ended),
    }


def _presence(found: object) -> str:
    return str(found.value) if isinstance(found, Missing) else "present"


def _moment(at: float) -> str:
    return f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%d %H:%M:%S}"


def _iso(at: float) -> str | None:
    """ISO 8601; None for the 0 that stands for no time."""
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="seconds") if at else None
