"""Whether pods resolve names: inside the cluster by its DNS, and outside of it by what the hosts use."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from k8s_installer.inventory.cluster import Cluster
from k8s_installer.untrusted.answers import Json, at
from k8s_installer.verify import names, objects
from k8s_installer.verify.api import Api, HttpReply, Request
from k8s_installer.verify.checks import Failure, Series, Skip
from k8s_installer.verify.poll import until

_END_SECONDS = 180.0  # it asks for each name again and again, and may come to a node without the image

DNS = "a pod has the cluster's DNS"
OWN = "a pod resolves the name of a Service"
OTHER = "a pod resolves the name of a Service in another namespace"
OUTSIDE = "a pod resolves a name outside the cluster"


def checks(series: Series, api: Api, cluster: Cluster, namespace: str, *, needs: tuple[str, ...]) -> None:
    """Add the checks of names to a series.

    Args:
        series: it has the checks by which the namespace got its Service, and pods were seen to run.
        api: the API server to work with.
        cluster: what the inventory says; its DNS, and a name outside of it, are what is asked for.
        namespace: where the pod is made that asks.
        needs: those checks' names.
    """
    run = _Resolving(api, cluster, namespace)
    series.check(DNS, run.ask, needs=needs)
    series.check(OWN, run.own, needs=(DNS,))
    series.check(OTHER, run.other, needs=(DNS,))
    series.check(OUTSIDE, run.outside, needs=(DNS,))


@dataclass(frozen=True, slots=True)
class _Resolving:
    """One run. Each method is a check: it returns what was found, or raises Failure or Skip."""

    api: Api
    cluster: Cluster
    namespace: str
    heard: list[names.Heard] = field(default_factory=list)  # one, once the pod has asked

    def ask(self) -> str:
        status, log = self._log()
        heard, wrong = names.parse(log), names.why_not(status)
        if not heard.able or any(words in wrong for words in ("executable file not found", "no such file")):
            raise Skip(f"{self.cluster.images.verify} has no sh and nslookup")
        if status.get("phase") != "Succeeded":
            words = f"the pod that resolves names failed: {status.get('phase')} {wrong}"
            raise Failure(words.rstrip(), objects.event_evidence(self._get(self._path("events")).json))
        self.heard.append(heard)
        address, search = self.cluster.dns_address, f"{self.namespace}.svc.{self.cluster.dns_domain}"
        if heard.servers[:1] != (address,) or search not in heard.search:
            look = ("on its node: /etc/kubernetes/kubelet*, and whether the kubelet has read it",)
            has = f"{', '.join(heard.servers) or 'no nameserver'}, search {' '.join(heard.search) or 'nothing'}"
            raise Failure(f"its resolv.conf has {has} instead of {address}, search {search} ...", look)
        return f"nameserver {address}, search {search} ..."

    def own(self) -> str:
        return self._resolved(self._services()[0], self._path(f"services/{objects.NAME}"))

    def other(self) -> str:
        return self._resolved(self._services()[1], "/api/v1/namespaces/default/services/kubernetes")

    def outside(self) -> str:
        name, heard = self.cluster.outside_name, self.heard[0]
        if not name:
            raise Skip("the inventory has no cluster.outside_name")
        found = heard.addresses.get(name)
        if not found:
            look = "it uses the servers in its host's /etc/resolv.conf"
            raise Failure(f"{name}: {heard.words.get(name, 'no answer')}", (*self._logs(), look))
        return f"{name} is {', '.join(found)}"

    def _log(self) -> tuple[Json, str]:
        """Have a pod ask for the names; its status at the end, and what it said."""
        path = self._path(f"pods/{names.NAME}")
        wanted = [*self._services(), *filter(None, [self.cluster.outside_name])]
        request = Request(self._path("pods"), "POST", names.pod(self.cluster.images.verify, wanted))
        (made,) = self.api.ask(request)
        if not made.ok:
            raise Failure(f"POST {request.path}: {made.words}")
        seen = until(_END_SECONDS, partial(self._get, path), _has_ended)
        status = at(seen.json, "status")
        log = self._get(f"{path}/log").text if _has_ended(seen) else ""
        self.api.ask(Request(path, "DELETE", objects.delete_at_once()))
        return status, log

    def _services(self) -> tuple[str, str]:
        """The full names of a Service beside the pod, and of one in another namespace."""
        domain = self.cluster.dns_domain
        return f"{objects.NAME}.{self.namespace}.svc.{domain}", f"kubernetes.default.svc.{domain}"

    def _resolved(self, name: str, service: str) -> str:
        answer = self._get(service)
        if not answer.ok:
            raise Failure(f"GET {service}: {answer.words}")
        wanted, heard = objects.cluster_ip(answer.json), self.heard[0]
        if heard.addresses.get(name) != (wanted,):
            raise Failure(f"{name} should be {wanted}: {heard.words.get(name, 'no answer')}", self._logs())
        return f"{name} is {wanted}"

    def _logs(self) -> tuple[str, ...]:
        return (f"on {self.api.host}: kubectl -n kube-system logs -l k8s-app=kube-dns --tail 20",)

    def _get(self, path: str) -> HttpReply:
        return self.api.ask(Request(path))[0]

    def _path(self, rest: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/{rest}"


def _has_ended(answer: HttpReply) -> bool:
    return names.ended(at(answer.json, "status"))
