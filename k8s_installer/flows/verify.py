"""`verify`: every gate asked once, every node looked at, then real pods; each result shown as it comes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from k8s_installer.engine.fleet import ObservedFleet, unhealthy
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import Resolved
from k8s_installer.flows.session import opened
from k8s_installer.model.desired import health_gates
from k8s_installer.model.resources import Gate
from k8s_installer.verify import Api, ApiAccess, CheckResult, OnCheck, Proof, Status, components, pods_run, workload

# A leader whose process has just restarted has its lease again when the old one has ended, after 15 s and a little. A
# kubelet says that its node is not ready until it has seen its docker, and says so again in ten seconds or more.
_PATIENCE = 60.0


def verify(inputs: Inputs, reporter: Reporter) -> Proof:
    """Prove the cluster as it is."""
    with opened(inputs, reporter) as session:
        wanted, seen = session.observe(session.resolve())
        seen.require_all()
        return prove(wanted, seen, reporter.check)


def prove(wanted: Resolved, fleet: ObservedFleet, on_check: OnCheck) -> Proof:
    """Ask gates, nodes and workload of a cluster whose every host is connected."""
    began = time.monotonic()
    results = _shown(_gates(wanted, fleet), on_check)
    if all(result.status is Status.PASSED for result in results):
        master = wanted.cluster.first_master.name
        api = Api(fleet.transports[master], _access(wanted, master))
        results += _shown([*components(api, wanted.cluster), pods_run(api)], on_check)
        results += workload(api, wanted.cluster, fleet.transports, on_check)
    return Proof(tuple(results), time.monotonic() - began)


def _shown(results: Sequence[CheckResult], on_check: OnCheck) -> list[CheckResult]:
    for result in results:
        on_check(result)
    return list(results)


def _gates(wanted: Resolved, fleet: ObservedFleet) -> list[CheckResult]:
    """One result for all gates that hold, and one for each that does not."""
    began = time.monotonic()
    sick = unhealthy(wanted.desired, fleet.remotes, _PATIENCE)
    seconds = time.monotonic() - began
    count = len(health_gates(wanted.desired.values()))
    failed = [CheckResult(Status.FAILED, f"{ref.host}: {ref.name}", f"failed: {words}", seconds) for ref, words in sick]
    return failed or [CheckResult(Status.PASSED, "health gates", f"all {count} passed", seconds)]


def _access(wanted: Resolved, master: str) -> ApiAccess:
    """How to reach the API on its own master: as the API server's gate does."""
    gate = next(
        item.resource
        for ref, item in wanted.desired.items()
        if ref.host == master and isinstance(item.resource, Gate) and item.resource.unit == "kube-apiserver"
    )
    url = urlsplit(gate.url)
    return ApiAccess(f"{url.scheme}://{url.netloc}", gate.ca, gate.cert, gate.key)
