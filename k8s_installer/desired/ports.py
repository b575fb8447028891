"""Ports that an inventory can move, as everything that must know them reads them. Pure."""

from __future__ import annotations

import re

from k8s_installer.desired.values import number
from k8s_installer.inventory import Cluster, Host, Role
from k8s_installer.profiles.flags import Flag

NODE_PORTS = (30000, 32767)  # the apiserver's own default
KUBELET = 10250
RANGE_FLAG = "service-node-port-range"
# Flags of all versions by which a program listens on a port.
LISTENING = (
    "port", "secure-port", "insecure-port", "healthz-port", "read-only-port", "cadvisor-port", "metrics-port",
    "metrics-bind-address", "listen-metrics-urls",
)  # fmt: skip
_LAST = 65535
_PORT = Flag(type="int32")


def node_ports(cluster: Cluster) -> tuple[int, int]:
    """The first and the last port of NodePort Services, as the first master's apiserver hands them out."""
    tuning = cluster.first_master.tuning.get("kube-apiserver")
    said = tuning.args.get(RANGE_FLAG) if tuning else None
    return (said is not None and read_range(str(said))) or NODE_PORTS


def kubelet_port(host: Host) -> int:
    """The port on which the apiserver reaches a node's kubelet; the node tells the apiserver."""
    tuning = host.tuning.get("kubelet")
    text = str(tuning.args.get("port") or tuning.config.get("port") or "") if tuning else ""
    return int(number(_PORT, text) or KUBELET)


def read_range(text: str) -> tuple[int, int] | None:
    """A range as the apiserver takes it, FIRST-LAST, FIRST+MORE or one port; None where it is none."""
    found = re.fullmatch(r"(\d{1,5})(?:([-+])(\d{1,5}))?", text.strip())
    if found is None:
        return None
    first = int(found[1])
    last = first if found[2] is None else int(found[3]) if found[2] == "-" else first + int(found[3])
    return (first, last) if 1 <= first <= last <= _LAST else None


def tuned_alike(cluster: Cluster) -> bool:
    """Whether all apiservers hand out the same ports."""
    said = [host.tuning.get("kube-apiserver") for host in cluster.having(Role.MASTER)]
    return len({str(tuning.args.get(RANGE_FLAG)) if tuning else "None" for tuning in said}) == 1
