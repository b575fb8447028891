"""What this machine must be to run a lab of containers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from k8s_installer.lab import cgroups

CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")
_FEATURES = {
    "br_netfilter": "/proc/sys/net/bridge/bridge-nf-call-iptables",
    "ip_tables": "/proc/net/ip_tables_names",
    "nf_conntrack": "/proc/sys/net/netfilter/nf_conntrack_max",
}
MODULES = (*_FEATURES, "overlay", "veth", "bridge", "iptable_nat", "iptable_filter", "iptable_mangle", "xt_conntrack",
           "xt_comment", "xt_mark", "xt_addrtype", "xt_MASQUERADE", "xt_statistic", "xt_recent", "ip_set")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """What was found out about a machine; a value, so that the verdict over it can be tested."""

    root: bool
    distribution: frozenset[str]
    architecture: str
    controllers: frozenset[str]
    overlay: bool


def look() -> Machine:
    """Find out about this machine."""
    return Machine(
        root=os.geteuid() == 0,
        distribution=_distribution(Path("/etc/os-release")),
        architecture=os.uname().machine,
        controllers=frozenset(cgroups.controllers()),
        overlay="overlay" in Path("/proc/filesystems").read_text(encoding="ascii").split(),
    )


def missing(machine: Machine) -> list[str]:
    """Return what the machine lacks, each as a phrase; empty when a lab of containers can run on it."""
    lacks: list[str] = []
    if not machine.root:
        lacks.append("root (run it with sudo)")
    if not machine.distribution & {"debian", "ubuntu"}:
        lacks.append("Debian or Ubuntu (the lab installs its tools with apt)")
    if machine.architecture != "x86_64":
        lacks.append(f"an x86_64 processor (this is {machine.architecture})")
    absent = [name for name in CONTROLLERS if name not in machine.controllers]
    if absent:
        lacks.append(
            f"cgroup version 1 controllers {', '.join(absent)}"
            " (kernel command line: systemd.unified_cgroup_hierarchy=0; Kubernetes before 1.19 does not support "
            "version 2)"
        )
    if not machine.overlay:
        lacks.append("the overlay file system (modprobe overlay)")
    return lacks


def unloaded() -> list[str]:
    """Return the modules worth loading first, where the kernel has modules at all.

    A host cannot load them into the kernel that it shares; a kernel with everything built in has none to load.
    """
    if not Path(f"/lib/modules/{os.uname().release}").is_dir():
        return []
    return list(MODULES)


def _distribution(path: Path) -> frozenset[str]:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return frozenset(f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split())
