"""Proving a cluster: every gate asked once, every node looked at, then real pods; each result shown as it comes."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from rich.text import Text

from k8s_installer.cli.console import Exit, Output, print_json, stderr
from k8s_installer.cli.looking import Asked, connected, observed
from k8s_installer.engine.fleet import ObservedFleet, unhealthy
from k8s_installer.flows.resolve import Resolved
from k8s_installer.model.resources import Gate, Kind
from k8s_installer.verify import Api, ApiAccess, CheckResult, Status, components, workload

_MARKS = {Status.PASSED: ("✓", "green"), Status.FAILED: ("✗", "red"), Status.SKIPPED: ("-", "yellow")}
# A leader whose process has just restarted has its lease again when the old one has ended, after 15 s and a little. A
# kubelet says that its node is not ready until it has seen its docker, and says so again in ten seconds or more.
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Proof:
    """Every check and its outcome, and how long the proof took in seconds."""

    results: tuple[CheckResult, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Nothing failed; what was skipped is not passed, but no failure either, and was shown."""
        return all(result.status is not Status.FAILED for result in self.results)

    def data(self) -> dict[str, object]:
        """For JSON."""
        return {"passed": self.passed, "seconds": self.seconds, "checks": [asdict(result) for result in self.results]}


def verify(asked: Asked, output: Output) -> Exit:
    """Prove the cluster as it is."""
    with connected(asked) as (resolve, connections):
        wanted, seen = observed(resolve(None), resolve, connections)
        seen.require_all()
        proof = prove(wanted, seen)
    if output is Output.JSON:
        print_json(proof.data())
    return Exit.DONE if proof.passed else Exit.FAILED


def prove(intent: Resolved, fleet: ObservedFleet) -> Proof:
    """Ask gates, nodes and workload of a cluster whose every host is connected."""
    began = time.monotonic()
    results = list(_gates(intent, fleet))
    _show(results)
    if all(result.status is Status.PASSED for result in results):
        master = intent.cluster.first_master.name
        api = Api(fleet.transports[master], _access(intent, master))
        nodes = components(api, intent.cluster)
        _show(nodes)
        results += nodes
        results += workload(api, intent.cluster, fleet.transports, lambda result: _show([result]))
    return Proof(tuple(results), time.monotonic() - began)


def _gates(intent: Resolved, fleet: ObservedFleet) -> list[CheckResult]:
    """One result for all gates that hold, and one for each that does not."""
    began = time.monotonic()
    sick = unhealthy(intent.desired, fleet.remotes, _PATIENCE)
    seconds = time.monotonic() - began
    count = sum(ref.kind is Kind.GATE for ref in intent.desired)
    failed = [CheckResult(Status.FAILED, f"{ref.host}: {ref.name}", f"not so: {words}", seconds) for ref, words in sick]
    return failed or [CheckResult(Status.PASSED, "health gates", f"all {count} hold", seconds)]


def _access(intent: Resolved, master: str) -> ApiAccess:
    """How to reach the API on its own master: as the API server's gate does."""
    gate = next(
        wanted.resource
        for ref, wanted in intent.desired.items()
        if ref.host == master and isinstance(wanted.resource, Gate) and wanted.resource.unit == "kube-apiserver"
    )
    url = urlsplit(gate.url)
    return ApiAccess(f"{url.scheme}://{url.netloc}", gate.ca, gate.cert, gate.key)


def _show(results: list[CheckResult] | tuple[CheckResult, ...]) -> None:
    for result in results:
        mark, style = _MARKS[result.status]
        line = Text.assemble((f"{mark} ", style), result.name, (f"  {result.detail}  {result.seconds:.1f} s", "dim"))
        stderr().print(line, soft_wrap=True)
        for evidence in result.evidence:
            stderr().print(f"    {evidence}", style="red", markup=False, soft_wrap=True)
