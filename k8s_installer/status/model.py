"""The status of a cluster as a value: what each host answered, and what each component makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from k8s_installer.errors import HostError, LostError
from k8s_installer.host.gates import GateAnswer
from k8s_installer.model.plan import Action
from k8s_installer.model.resources import Kind, Ref, Seen


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody at a terminal of the host, from an address (empty: its own console); Unix seconds."""

    user: str
    origin: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class HostStatus:
    """What one host answered; times are Unix seconds by its own clock.

    `touched` is (mtime, ctime) of each wanted file and its folder; `clock` is 0 where the answer was cut off.
    """

    seen: Mapping[Ref, Seen]
    answers: Mapping[Ref, GateAnswer]
    touched: Mapping[str, tuple[float, float]]
    sessions: tuple[Session, ...]
    clock: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who changed a file: when its bytes and its inode changed, whose it is, who was at a terminal then.

    Times are Unix seconds, 0 where they are not known. Of a file that is gone `changed_at` is its folder's.
    """

    path: str
    modified_at: float
    changed_at: float
    owner: str
    sessions: tuple[Session, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the inventory says; `action` is what the plan does about it (None: not known)."""

    ref: Ref
    component: str
    action: Action | None
    words: str
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class PackageStatus:
    """A package that a component brings or runs; an empty version means that any will do."""

    name: str
    wanted: str
    found: Seen


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """A service; `stale` says that a file it reads or a package it runs is newer than its process."""

    name: str
    found: Seen
    stale: bool


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate of a component that ends first: its file, its end in Unix seconds, days left by its host."""

    path: str
    expires_at: float
    days: int


@dataclass(frozen=True, slots=True)
class Health:
    """A gate's answer; `holds` is None where it could not be asked on `asked_on`."""

    name: str
    asked_on: str
    unit: str
    holds: bool | None
    words: str


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """One component on one host. `files` are all its files, `differences` what is not as wanted among all of it.

    One that `leaves` is no longer wanted on the host.
    """

    host: str
    component: str
    packages: tuple[PackageStatus, ...]
    unit: UnitStatus | None
    files: tuple[str, ...]
    certificate: Certificate | None
    health: tuple[Health, ...]
    differences: tuple[Difference, ...]
    leaves: bool = False

    @property
    def out_of_line(self) -> tuple[str, ...]:
        """The files that are not as wanted."""
        return tuple(found.ref.name for found in self.differences if found.ref.kind is Kind.FILE and found.action)

    @property
    def not_known(self) -> tuple[str, ...]:
        """The files that could not be looked at: neither in line nor out of it."""
        return tuple(found.ref.name for found in self.differences if found.ref.kind is Kind.FILE and not found.action)


@dataclass(frozen=True, slots=True)
class Status:
    """Every component of every host, why some hosts could not be asked, and what of the cluster is lost."""

    components: tuple[ComponentStatus, ...]
    unreachable: Mapping[str, HostError]
    losses: tuple[LostError, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything is not as the inventory says, or not known: bytes, versions, services, health, life."""
        return bool(self.unreachable or self.losses) or any(
            item.differences
            or not all(health.holds for health in item.health)
            or (item.certificate is not None and item.certificate.days < 0)
            for item in self.components
        )
