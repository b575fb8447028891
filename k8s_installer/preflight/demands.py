"""What the components of a version demand of hosts before they are installed there: their `preflight:`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from k8s_installer.inventory import Role
from k8s_installer.preflight.tables import ROOM_MIB, Limit
from k8s_installer.profiles import Profile
from k8s_installer.profiles.pieces import RemainsSpec


@dataclass(frozen=True, slots=True)
class Demands:
    """By folder the `room` that is needed, and what `remains` of an earlier install would mean.

    `modules` of the kernel have the roles that need them, and why. `conflicts` are packages of other origins, each with
    the one of ours that it keeps out. `overlay` is where the file systems of containers are, and `runtime` the
    component that runs them. A folder of etcd is that of its package, whatever the inventory gives it.
    """

    room: Mapping[str, Limit]
    modules: Mapping[str, tuple[frozenset[Role], str]]
    conflicts: Mapping[str, str]
    remains: Mapping[str, RemainsSpec]
    overlay: str
    runtime: str

    @classmethod
    def of(cls, profile: Profile) -> Demands:
        """Those of all components of a profile, and the room that every host needs."""
        said = [(component.roles, component.preflight) for component in profile.components.values()]
        return cls(
            room=ROOM_MIB
            | {
                path: Limit(room.enough, room.least, roles, room.why)
                for roles, spec in said
                for path, room in spec.room.items()
            },
            modules={name: (roles, why) for roles, spec in said for name, why in spec.modules.items()},
            conflicts={other: ours for _, spec in said for ours, others in spec.conflicts.items() for other in others},
            remains={path: remains for _, spec in said for path, remains in spec.remains.items()},
            overlay=next((spec.overlay for _, spec in said if spec.overlay), ""),
            runtime=next((name for name, component in profile.components.items() if component.runtime), ""),
        )
