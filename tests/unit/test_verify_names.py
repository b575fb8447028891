"""Names as a pod resolves them: what it says in its log, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from k8s_installer.inventory import Cluster
from k8s_installer.verify import CheckResult, HttpReply, Request, Status, names
from k8s_installer.verify.lifecycle import DROP, REMOVE, RUN
from k8s_installer.verify.resolving import DNS, OTHER, OUTSIDE, OWN
from tests.unit.clusters import cluster
from tests.unit.test_verify_workload import WITH_IMAGE, World, _missing, _ok, failed, prove, skipped

OUTSIDE_NAME = "mirror.example"
# As busybox 1.35 says it, on the lab.
BUSYBOX = "Server: 10.254.0.10\nAddress: 10.254.0.10:53\n\nName: {name}\nAddress: {address}\n\n*** Can't find {name}: No answer\n"
OLD_BUSYBOX = (
    "Server: 10.254.0.10\nAddress 1: 10.254.0.10 kube-dns.kube-system\n\nName: {name}\nAddress 1: {address} {name}\n"
)
BIND = "Server: 10.254.0.10\nAddress: 10.254.0.10#53\n\nName: {name}\nAddress: {address}\n"
NOTHING = "Server: 10.254.0.10\nAddress: 10.254.0.10:53\n\n** server can't find {name}: NXDOMAIN\n"


def said(name: str, address: str, form: str = BUSYBOX) -> str:
    lines = form.format(name=name, address=address).splitlines()
    return "\n".join([f"name {name}", *(f"said {line}" for line in lines)]) + "\n"


@pytest.mark.parametrize("form", [BUSYBOX, OLD_BUSYBOX, BIND])
def test_every_nslookup_is_understood(form: str) -> None:
    heard = names.parse(f"resolv\nresolv nameserver 10.254.0.10\nresolv search a b\n{said('x.y', '192.0.2.7', form)}")
    assert (heard.servers, heard.search, heard.able) == (("10.254.0.10",), ("a", "b"), True)
    assert heard.addresses == {"x.y": ("192.0.2.7",)}


def test_a_name_that_is_not_there_has_no_address_and_the_words_of_the_answer() -> None:
    heard = names.parse(said("x.y", "", NOTHING) + said("z", "192.0.2.7"))
    assert heard.addresses == {"x.y": (), "z": ("192.0.2.7",)}
    assert heard.words["x.y"].endswith("** server can't find x.y: NXDOMAIN")
    assert not names.parse("lacks nslookup\nanything else\n").able


@dataclass
class Named(World):
    """A world with a DNS, and a pod that asks it."""

    log: str = "resolv nameserver 10.254.0.10\nresolv search {namespace}.svc.cluster.local svc.cluster.local\n"
    outside: str = said(OUTSIDE_NAME, "192.0.2.7")
    status: str = (
        '{"status": {"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"exitCode": 0}}}]}}'
    )

    def routes(self) -> list[tuple[str, Callable[..., HttpReply]]]:
        space = r"/api/v1/namespaces/([^/]+)"
        more: list[tuple[str, Callable[..., HttpReply]]] = [
            (rf"POST {space}/pods", lambda _, _space: _missing() if "quota" in self.broken else _ok({})),
            (rf"GET {space}/pods/names", lambda _, _space: HttpReply(200, self.status)),
            (rf"GET {space}/pods/names/log", self.said),
            (rf"DELETE {space}/pods/names", lambda _, _space: _ok({})),
            (r"GET /api/v1/namespaces/default/services/kubernetes", lambda _: self.kubernetes()),
        ]
        return [*more, *World.routes(self)]

    def said(self, _: Request, namespace: str) -> HttpReply:
        own = said(f"web.{namespace}.svc.cluster.local", "10.254.0.9")
        other = said("kubernetes.default.svc.cluster.local", "10.254.0.1")
        return HttpReply(200, self.log.format(namespace=namespace) + own + other + self.outside)

    def kubernetes(self) -> HttpReply:
        return _missing() if "default" in self.broken else _ok({"spec": {"clusterIP": "10.254.0.1"}})


def with_dns(outside_name: str = OUTSIDE_NAME) -> Cluster:
    return replace(cluster(more=WITH_IMAGE), dns="coredns", outside_name=outside_name)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k8s_installer.verify.resolving._END_SECONDS", 0.01)


def proven(world: Named, inventory: Cluster | None = None) -> dict[str, CheckResult]:
    return prove(world, inventory or with_dns())


def test_a_cluster_whose_pods_resolve_names_passes_everything() -> None:
    world = Named()
    results = proven(world)
    assert {result.status for result in results.values()} == {Status.PASSED}
    assert list(results)[-6:] == [DROP, DNS, OWN, OTHER, OUTSIDE, REMOVE]
    assert results[DNS].detail.startswith("nameserver 10.254.0.10, search k8s-installer-verify-")
    assert results[OWN].detail.endswith(".svc.cluster.local is 10.254.0.9")
    assert results[OTHER].detail == "kubernetes.default.svc.cluster.local is 10.254.0.1"
    assert results[OUTSIDE].detail == "mirror.example is 192.0.2.7"
    assert any(request.method == "DELETE" and request.path.endswith("/pods/names") for request in world.asked)


def test_without_a_name_outside_that_check_alone_is_skipped() -> None:
    results = proven(Named(), with_dns(""))
    assert skipped(results) == [OUTSIDE]
    assert results[OUTSIDE].detail == "the inventory has no cluster.outside_name"


def test_names_that_do_not_resolve_fail_in_the_words_of_the_answer() -> None:
    results = proven(Named(outside=said(OUTSIDE_NAME, "", NOTHING)))
    assert failed(results) == [OUTSIDE]
    assert "server can't find mirror.example: NXDOMAIN" in results[OUTSIDE].detail
    results = proven(Named(outside=said("kubernetes.default.svc.cluster.local", "10.254.0.2")))
    assert failed(results) == [OTHER, OUTSIDE]
    assert results[OTHER].detail.startswith("kubernetes.default.svc.cluster.local should be 10.254.0.1: ")
    assert results[OUTSIDE].detail == "mirror.example: no answer"
    assert failed(proven(Named(broken=frozenset({"default"})))) == [OTHER]


def test_a_pod_that_has_another_nameserver_fails() -> None:
    results = proven(Named(log="resolv nameserver 192.0.2.1\n"))
    assert failed(results) == [DNS]
    assert results[DNS].detail.startswith(
        "its resolv.conf has 192.0.2.1, search nothing instead of 10.254.0.10, search "
    )
    assert skipped(results) == [OWN, OTHER, OUTSIDE]
    assert "has no nameserver" in proven(Named(log=""))[DNS].detail


@pytest.mark.parametrize(
    ("world", "words"),
    [
        (Named(status='{"status": {"phase": "Running"}}'), "the pod that resolves names failed: Running"),
        (Named(status="{}"), "the pod that resolves names failed: None"),
        (
            Named(
                status='{"status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}}'
            ),
            "the pod that resolves names failed: Pending ErrImagePull",
        ),
        (Named(broken=frozenset({"quota"})), "not found (status 404)"),
    ],
)
def test_a_pod_that_cannot_ask_fails_and_says_why(world: Named, words: str) -> None:
    results = proven(world)
    assert failed(results) == [DNS]
    assert results[DNS].detail.endswith(words)


def test_an_image_that_cannot_ask_proves_nothing() -> None:
    words = 'exec: \\"sh\\": executable file not found in $PATH'
    status = f'{{"status": {{"phase": "Failed", "containerStatuses": [{{"state": {{"terminated": {{"message": "{words}"}}}}}}]}}}}'
    for world in (Named(status=status), Named(log="lacks nslookup\n")):
        results = proven(world)
        assert skipped(results) == [DNS, OWN, OTHER, OUTSIDE]
        assert results[DNS].detail == "web:1 has no sh and nslookup"


def test_without_running_pods_no_names_are_asked_for() -> None:
    results = proven(Named(nodes=()))
    assert results[DNS].status is Status.SKIPPED
    assert results[RUN].detail == results[DNS].detail
