"""What a cluster consists of: every node of the inventory is there and ready, and nobody else is."""

from __future__ import annotations

import time
from collections.abc import Sequence

from k8s_installer.errors import InstallerError
from k8s_installer.host.runtimes import RUNTIMES
from k8s_installer.inventory.cluster import Cluster, Role
from k8s_installer.verify.api import Api, Request
from k8s_installer.verify.checks import CheckResult, Status
from k8s_installer.verify.objects import Node, nodes


def components(api: Api, cluster: Cluster) -> tuple[CheckResult, ...]:
    """Whether the API server answers, and each node of the inventory is Ready.

    `componentstatuses` is not asked: in 1.20 it looks for ports that are rightly closed. etcd and the masters'
    own programs are asked by the gates.
    """
    began = time.monotonic()
    name = f"API server of {api.host}"
    try:
        (answer,) = api.ask(Request("/api/v1/nodes"))
    except InstallerError as error:
        hint = (error.hint,) if error.hint else ()
        return (CheckResult(Status.FAILED, name, error.message, time.monotonic() - began, hint),)
    seconds = time.monotonic() - began
    if not answer.ok:
        return (CheckResult(Status.FAILED, name, f"does not list the nodes: {answer.words}", seconds),)
    expected = [host.name for host in cluster.having(Role.NODE)]
    return (
        CheckResult(Status.PASSED, name, "lists the nodes", seconds),
        *judge(expected, nodes(answer.json), cluster.version),
    )


def judge(expected: Sequence[str], seen: Sequence[Node], version: str) -> tuple[CheckResult, ...]:
    """One result for each node that should be there, and one for each that should not."""
    by_name = {node.name: node for node in seen}
    results = [_judge_node(name, by_name.get(name), version) for name in expected]
    results += [
        CheckResult(
            Status.FAILED,
            f"node {node.name}",
            "is in the cluster, but not in the inventory",
            evidence=(f"if it is gone for good: kubectl delete node {node.name}",),
        )
        for node in seen
        if node.name not in expected
    ]
    return tuple(results)


def _judge_node(name: str, node: Node | None, version: str) -> CheckResult:
    check = f"node {name}"
    if node is None:
        look = f"on {name}: journalctl -u kubelet -n 50"
        return CheckResult(Status.FAILED, check, "has not registered with the API server", evidence=(look,))
    if not node.ready:
        look = f"on {name}: journalctl -u kubelet {' '.join(f'-u {name}' for name in RUNTIMES)} -n 50"
        return CheckResult(Status.FAILED, check, node.state, evidence=(look,))
    if node.version.removeprefix("v").split("-")[0].split("+")[0] != version:
        return CheckResult(Status.FAILED, check, f"runs kubelet {node.version}, but the inventory has {version}")
    return CheckResult(Status.PASSED, check, f"Ready, kubelet {node.version}")
