"""What is wanted against what the hosts answered, component by component. Pure.

What differs is judged by `make_plan` alone, so that `status` and `plan` never disagree.
"""

from __future__ import annotations

import dataclasses
import math
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from k8s_installer.errors import HostError
from k8s_installer.model.desired import Desired, DesiredResource, Place, health_gates
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import File, Gate, Kind, Missing, Package, Ref, Seen, SeenFile, Unit
from k8s_installer.pki.validity import end_of
from k8s_installer.planning.differences import inputs, stale
from k8s_installer.planning.make import make_plan, obstacle
from k8s_installer.status.model import (
    Certificate,
    ComponentStatus,
    Difference,
    Evidence,
    Health,
    HostStatus,
    PackageStatus,
    Session,
    Status,
    UnitStatus,
)

_DAY = 86400.0  # seconds
_NEVER = (0.0, 0.0)


def assess(desired: Desired, hosts: Mapping[str, HostStatus | HostError]) -> Status:
    """Compare what is wanted with what every host answered; an error stands for a host that could not be asked.

    A host that is in neither form is not known; so is what a host that answered could not say.
    """
    reached = {name: answer for name, answer in hosts.items() if isinstance(answer, HostStatus)}
    seen = {ref: found for answer in reached.values() for ref, found in answer.seen.items()}
    groups: dict[tuple[str, str], list[DesiredResource]] = {}
    for ref, wanted in desired.items():
        unit_host = wanted.resource.unit_host if isinstance(wanted.resource, Gate) else ""
        groups.setdefault((unit_host or ref.host, wanted.component), []).append(wanted)
    plan = make_plan(_known(desired, seen, reached), seen)
    by_ref: dict[Ref, list[Change]] = {}
    for change in plan.changes:
        by_ref.setdefault(change.ref, []).append(change)
    look = _Look(desired, reached, seen, by_ref)
    return Status(
        tuple(look.component(host, name, items) for (host, name), items in groups.items()),
        {name: answer for name, answer in hosts.items() if isinstance(answer, HostError)},
    )


@dataclass(frozen=True, slots=True)
class _Look:
    """All that a component's status is made from."""

    desired: Desired
    reached: Mapping[str, HostStatus]
    seen: Mapping[Ref, Seen]
    changes: Mapping[Ref, list[Change]]

    def component(self, host: str, name: str, items: Sequence[DesiredResource]) -> ComponentStatus:
        unit = next((item for item in items if isinstance(item.resource, Unit)), None)
        return ComponentStatus(
            host=host,
            component=name,
            packages=tuple(self._packages(host, items, unit)),
            unit=self._unit(unit) if unit else None,
            files=tuple(item.ref.name for item in items if item.ref.kind is Kind.FILE),
            certificate=min(self._certificates(items), key=lambda found: found.expires_at, default=None),
            health=tuple(self._health(ref, gate) for ref, gate in health_gates(items)),
            differences=tuple(found for item in items for found in self._differences(item)),
            leaves=all(item.leaving for item in items),
        )

    def _packages(
        self, host: str, items: Sequence[DesiredResource], unit: DesiredResource | None
    ) -> Iterator[PackageStatus]:
        """Those whose programs its unit runs, whosever they are; all of its own where it has no unit."""
        if unit and isinstance(unit.resource, Unit):
            refs = [Ref(host, Kind.PACKAGE, name) for name in unit.resource.runs]
        else:
            refs = [item.ref for item in items if item.ref.kind is Kind.PACKAGE]
        for ref in refs:
            package = self.desired[ref].resource
            version = package.version if isinstance(package, Package) else ""
            yield PackageStatus(ref.name, version, self._found(ref))

    def _unit(self, wanted: DesiredResource) -> UnitStatus:
        return UnitStatus(wanted.ref.name, self._found(wanted.ref), bool(stale(wanted, self.seen)))

    def _found(self, ref: Ref) -> Seen:
        return self.seen.get(ref, Missing.UNKNOWN)

    def _differences(self, wanted: DesiredResource) -> Iterator[Difference]:
        ref = wanted.ref
        if ref.kind is Kind.GATE or wanted.place is Place.OPENS:
            return
        if words := obstacle(ref, self._found(ref)):
            yield Difference(ref, wanted.component, Action.UPDATE, words)
        if self._found(ref) is Missing.UNKNOWN:
            yield Difference(ref, wanted.component, None, "unknown: the host did not answer this question")
        for change in self.changes.get(ref, ()):
            reason = change.reason
            if change.action is Action.RESTART:
                reason = stale(wanted, self.seen)
            if change.action is Action.RELOAD and not getattr(self._found(ref), "needs_reload", False):
                reason = ""
            if reason:  # else it is only what follows from the change of a file or package, which is shown itself
                evidence = None if wanted.leaving else self._evidence(wanted, change)  # nobody changed it
                yield Difference(ref, wanted.component, change.action, reason, evidence)

    def _evidence(self, wanted: DesiredResource, change: Change) -> Evidence | None:
        """Who changed a file; for a process that is older than what it reads, the newest file of those."""
        host = self.reached[wanted.ref.host]
        if change.action is Action.RESTART:
            found = {ref.name: self.seen.get(ref) for ref in inputs(wanted)}
            files = {path: file for path, file in found.items() if isinstance(file, SeenFile)}
            newest = max(files, key=lambda path: files[path].modified_at, default="")
            return _of_file(host, newest, files[newest], change.action) if newest else None
        path = wanted.ref.name
        if isinstance(change.before, SeenFile):
            return _of_file(host, path, change.before, change.action)
        if change.action is not Action.CREATE:
            return None
        folder = host.touched.get(posixpath.dirname(path), _NEVER)[0]
        return Evidence(path, 0.0, folder, "", _around(host, folder))

    def _certificates(self, items: Sequence[DesiredResource]) -> Iterator[Certificate]:
        """What is in line is known without asking for it; of what is not, the host showed its own bytes."""
        for item in items:
            file, found = item.resource, self._found(item.ref)
            if not isinstance(file, File) or file.secret or not isinstance(found, SeenFile):
                continue
            end = end_of(file.content if found.sha256 == file.sha256 else found.content or b"")
            if end is not None:
                days = math.floor((end.timestamp() - self.reached[item.ref.host].clock) / _DAY)
                yield Certificate(item.ref.name, end.timestamp(), days)

    def _health(self, ref: Ref, gate: Gate) -> Health:
        host = self.reached.get(ref.host)
        answer = host.answers.get(ref) if host else None
        if answer is None:
            return Health(ref.name, ref.host, gate.unit, None, f"{ref.host} could not be reached")
        return Health(ref.name, ref.host, gate.unit, answer.holds, answer.words)


def _known(desired: Desired, seen: Mapping[Ref, Seen], reached: Mapping[str, HostStatus]) -> Desired:
    """The states that a plan can be made of: the rest is shown as not known, and waits for nobody."""
    known = {
        ref
        for ref, wanted in desired.items()
        if ref.host in reached
        and wanted.place is not Place.OPENS
        and (ref.kind is Kind.GATE or seen.get(ref, Missing.UNKNOWN) is not Missing.UNKNOWN)
        and not obstacle(ref, seen.get(ref))
    }
    return {
        ref: dataclasses.replace(
            wanted, after=tuple(before for before in wanted.after if before in known), place=Place.WITHIN
        )
        for ref, wanted in desired.items()
        if ref in known
    }


def _of_file(host: HostStatus, path: str, file: SeenFile, action: Action) -> Evidence:
    changed = host.touched.get(path, _NEVER)[1]
    # setting a mode or an owner does not touch the mtime
    when = changed if action is Action.ATTRIBUTES else file.modified_at
    return Evidence(path, file.modified_at, changed, f"{file.owner}:{file.group}", _around(host, when))


def _around(host: HostStatus, when: float) -> tuple[Session, ...]:
    return tuple(session for session in host.sessions if session.began <= when < session.ended + 1)
