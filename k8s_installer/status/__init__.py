"""What every host runs against what the inventory says, and how it is doing: one read-only script each. Pure."""

from k8s_installer.status.ask import parse, script, seconds
from k8s_installer.status.assess import assess
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

__all__ = [
    "Certificate",
    "ComponentStatus",
    "Difference",
    "Evidence",
    "Health",
    "HostStatus",
    "PackageStatus",
    "Session",
    "Status",
    "UnitStatus",
    "assess",
    "parse",
    "script",
    "seconds",
]
