"""What differs between what is wanted of a resource and what was seen: its changes, each with its reason. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from k8s_installer.errors import InstallerError
from k8s_installer.host import families
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.plan import NO_RESTART, Action, Change
from k8s_installer.model.resources import (
    Absent,
    Backup,
    Data,
    File,
    Gate,
    Kind,
    Missing,
    NoLeftovers,
    NoPackage,
    Original,
    Package,
    Record,
    Ref,
    Seen,
    SeenFile,
    SeenLeftovers,
    SeenPackage,
    SeenSetting,
    SeenUnit,
    Setting,
    Unit,
    UploadedFile,
)
from k8s_installer.planning import equivalence, evr
from k8s_installer.planning.evr import Evr
from k8s_installer.planning.order import clearing

_CLEARS = frozenset({Action.START, Action.STOP, Action.RESTART})  # what makes a unit take away what others have made


def changes_of(
    wanted: DesiredResource, seen: Mapping[Ref, Seen], steps: Mapping[Ref, list[Change]]
) -> Iterator[Change]:
    """The changes of one resource, in their order; none where it is as wanted.

    Args:
        wanted: the resource.
        seen: what the hosts answered.
        steps: the changes of all that comes before it.

    Raises:
        InstallerError: it is unknown, and a plan over guesses is no plan.
    """
    ref, resource = wanted.ref, wanted.resource
    if isinstance(resource, Gate):
        if any(before in steps for before in wanted.after):
            yield as_change(wanted, Missing.ABSENT, Action.WAIT, "a step before it changes")
        return
    found = seen.get(ref, Missing.UNKNOWN)
    if found is Missing.UNKNOWN:
        raise InstallerError(f"{ref} is unknown: cannot plan before the host has answered for it")
    match resource:
        case File() | UploadedFile() | Backup():
            yield from _file(wanted, resource, found)
        case Package():
            yield from _package(wanted, resource, found)
        case Setting():
            yield from _setting(wanted, resource, found)
        case Unit():
            yield from _unit(wanted, resource, found, seen, steps)
        case Data():
            pass  # never changed: `members` says what it means
        case _:
            yield from _leaving(wanted, resource, found)


def as_change(wanted: DesiredResource, before: Seen, action: Action, reason: str) -> Change:
    """A change of one resource, with what is noted about it ahead of the reason."""
    reason = f"{wanted.note}: {reason}" if wanted.note else reason
    return Change(
        wanted.ref, action, wanted.component, before, wanted.resource, reason, wanted.turn, place=wanted.place
    )


def _package(wanted: DesiredResource, package: Package, found: Seen) -> Iterator[Change]:
    if not isinstance(found, SeenPackage):
        yield as_change(wanted, found, Action.INSTALL, "not installed")
    elif package.version:
        installed, asked = _installed(found, package), Evr.parse(package.version)
        order = evr.compare(installed, asked)
        if order:
            words = installed if asked.release else installed.version
            reason = f"version {words} is installed, should be {package.version}"
            yield as_change(wanted, found, Action.DOWNGRADE if order > 0 else Action.UPGRADE, reason)


def _installed(found: SeenPackage, package: Package) -> Evr:
    """What is compared of an installed version: its epoch only where one is asked for."""
    return Evr(found.epoch if ":" in package.version else "", found.version, found.release)


def _file(wanted: DesiredResource, file: File | UploadedFile | Backup, found: Seen) -> Iterator[Change]:
    kept = isinstance(file, Backup)
    if not isinstance(found, SeenFile):
        yield as_change(wanted, found, Action.RESTORE if kept else Action.CREATE, _why(file) or "missing")
    elif found.sha256 != file.sha256:
        new = file.content if isinstance(file, File) else found.kept
        if found.content is not None and new is not None and equivalence.same(wanted.ref.name, found.content, new):
            yield as_change(wanted, found, Action.REWRITE, "no restart: the settings are the same")
        elif kept:
            yield as_change(wanted, found, Action.RESTORE, "changed by that run")
        else:
            yield as_change(wanted, found, Action.UPDATE, _why(file) or "the content differs")
    elif (found.mode, found.owner, found.group) != (file.mode, file.owner, file.group):
        has = f"{found.mode:04o} {found.owner}:{found.group}"
        reason = f"{has} instead of {file.mode:04o} {file.owner}:{file.group}"
        yield as_change(wanted, found, Action.ATTRIBUTES, reason)


def _leaving(
    wanted: DesiredResource, resource: Absent | NoPackage | Original | NoLeftovers | Record, found: Seen
) -> Iterator[Change]:
    """What was placed on the host and is no longer wanted, or is to be recorded as placed."""
    if isinstance(resource, Absent):
        if found is not Missing.ABSENT:
            yield as_change(wanted, found, Action.REMOVE, "it should not exist")
    elif isinstance(resource, Record):
        adopts = as_change(wanted, found, Action.ADOPT, wanted.because)
        yield replace(adopts, records=resource.entries, forgets=resource.gone)
    elif isinstance(resource, NoPackage) and isinstance(found, SeenPackage):
        yield as_change(wanted, found, Action.UNINSTALL, wanted.because)
    elif isinstance(resource, NoLeftovers) and isinstance(found, SeenLeftovers) and found.names:
        yield as_change(wanted, found, Action.CLEAN, wanted.because)
    elif isinstance(resource, Original) and isinstance(found, SeenFile) and found.original != found.sha256:
        yield as_change(wanted, found, Action.RESTORE if found.original else Action.REMOVE, wanted.because)


def _why(file: File | UploadedFile | Backup) -> str:
    """Why a file has a key or certificate that is not created yet."""
    return f"{file.new}: {file.pending}" if isinstance(file, File) and file.pending else ""


def _setting(wanted: DesiredResource, setting: Setting, found: Seen) -> Iterator[Change]:
    value = found.value if isinstance(found, SeenSetting) else None
    reason = families.differs(wanted.ref.name, value, setting.value)
    if reason:
        yield as_change(wanted, found, Action.SET, reason)


def _unit(
    wanted: DesiredResource, unit: Unit, found: Seen, seen: Mapping[Ref, Seen], steps: Mapping[Ref, list[Change]]
) -> Iterator[Change]:
    state = found if isinstance(found, SeenUnit) else None
    if (state is not None and state.needs_reload) or _rewritten(wanted, unit.defined_by, steps):
        yield as_change(wanted, found, Action.RELOAD, "the unit's definition changes")
    if not (unit.active and unit.enabled):
        yield from _stopped(wanted, unit, found, _outdated(wanted, seen, steps) if unit.active else "")
        return
    if state is None or not state.is_active:
        yield as_change(wanted, found, Action.START, "no such unit yet" if state is None else _idle(state))
        return
    reason = _outdated(wanted, seen, steps)
    if reason:
        yield as_change(wanted, found, Action.RESTART, reason)
    elif not state.enabled:
        yield as_change(wanted, found, Action.ENABLE, "it would not start after a reboot")


def _stopped(wanted: DesiredResource, unit: Unit, found: Seen, outdated: str) -> Iterator[Change]:
    """A unit that should not run, or not start at a boot; one that the host does not have does neither."""
    restarts = isinstance(found, SeenUnit) and found.is_active and bool(outdated)
    if restarts:
        yield as_change(wanted, found, Action.RESTART, outdated)
    if isinstance(found, SeenUnit) and not unit.active and found.active not in ("inactive", "failed"):
        yield as_change(wanted, found, Action.STOP, wanted.because)
    elif isinstance(found, SeenUnit) and not unit.enabled and (found.enabled or restarts):
        yield as_change(wanted, found, Action.DISABLE, wanted.because)


def _idle(state: SeenUnit) -> str:
    return f"it is {state.active} ({state.sub})"


def inputs(wanted: DesiredResource) -> list[Ref]:
    """The packages and files whose change makes a unit restart; nothing of what is no unit."""
    unit, host = wanted.resource, wanted.ref.host
    runs, files = (unit.runs, (*unit.defined_by, *unit.reads)) if isinstance(unit, Unit) else ((), ())
    return [Ref(host, Kind.PACKAGE, package) for package in runs] + [Ref(host, Kind.FILE, path) for path in files]


def _rewritten(wanted: DesiredResource, paths: Iterable[str], steps: Mapping[Ref, list[Change]]) -> bool:
    refs = (Ref(wanted.ref.host, Kind.FILE, path) for path in paths)
    return any(change.action not in NO_RESTART for ref in refs for change in steps.get(ref, ()))


def _outdated(wanted: DesiredResource, seen: Mapping[Ref, Seen], steps: Mapping[Ref, list[Change]]) -> str:
    """Why the running process is not what its inputs say: one of them changes in this plan, or it is stale already."""
    changing = [
        ref.name
        for ref in inputs(wanted)
        if ref in steps and any(change.action not in NO_RESTART for change in steps[ref])
    ]
    if changing:
        return f"{_some(changing)} changes"
    cleared = [ref.name for ref in clearing(wanted, steps) if any(change.action in _CLEARS for change in steps[ref])]
    return f"{cleared[0]} clears its rules of iptables" if cleared else stale(wanted, seen)


def stale(wanted: DesiredResource, seen: Mapping[Ref, Seen]) -> str:
    """Why the process of a unit is older than what it reads or runs, in words; empty where it is not, or does not run.

    An earlier run was cut off between a change and its restart, or somebody edited and forgot. This is the one answer
    that plans and `status` go by.
    """
    unit, state = wanted.resource, seen.get(wanted.ref)
    if not isinstance(unit, Unit) or not isinstance(state, SeenUnit) or not state.is_active:
        return ""
    newer = [ref.name for ref in inputs(wanted) if _changed_at(seen.get(ref)) > state.started_at]
    if newer:
        return f"{_some(newer)} changed after it started"
    return "an interrupted run did not restart it" if state.due_at > state.started_at else ""


def _changed_at(found: Seen | None) -> float:
    if isinstance(found, SeenFile):
        return found.modified_at
    return found.installed_at if isinstance(found, SeenPackage) else 0.0


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"
