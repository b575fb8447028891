"""The inventory: one YAML file in, one frozen `Cluster` out, or every finding at once with file and line."""

from k8s_installer.inventory.allocations import Allocations, settle
from k8s_installer.inventory.allocations import read as read_allocations
from k8s_installer.inventory.cluster import (
    Addon,
    ApiKind,
    ArgValue,
    Cluster,
    Drain,
    Flannel,
    Host,
    HostSettings,
    Images,
    NodeSettings,
    Origin,
    Proxy,
    Role,
    Ssh,
    Taint,
    Tarball,
    Tuning,
)
from k8s_installer.inventory.load import load, parse

__all__ = [
    "Addon",
    "Allocations",
    "ApiKind",
    "ArgValue",
    "Cluster",
    "Drain",
    "Flannel",
    "Host",
    "HostSettings",
    "Images",
    "NodeSettings",
    "Origin",
    "Proxy",
    "Role",
    "Ssh",
    "Taint",
    "Tarball",
    "Tuning",
    "load",
    "parse",
    "read_allocations",
    "settle",
]
