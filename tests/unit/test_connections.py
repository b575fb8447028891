"""Who talks to whom: compared with what hosts really get, in kubeconfigs, flags and certificates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from k8s_installer import inventory, profiles
from k8s_installer.desired import desire
from k8s_installer.desired.connections import EACH, UNVERIFIED, Connection, connections
from k8s_installer.errors import InputError
from k8s_installer.inventory import Cluster
from k8s_installer.model.resources import File, Gate
from k8s_installer.render import Renderer
from tests.unit.clusters import MODES, TOPOLOGIES, cluster, leaves, placeholder
from tests.unit.guide import write

EVERY = [
    cluster(*mode, topology, network=network)
    for mode in MODES
    for topology in ("all-in-one", "etcd-apart")
    for network in ("routes", "flannel", "none")
]
every_cluster = pytest.mark.parametrize(
    "lab", EVERY, ids=lambda lab: f"{lab.version}-{lab.security}-{lab.hosts[0].name}-{lab.network}"
)


def found(lab: Cluster, *, checks: bool = False) -> list[Connection]:
    return [one for one in connections(lab, profiles.profile_of(lab)) if one.check is checks]


def lines(some: list[Connection]) -> list[str]:
    return [
        f"{one.client.name}@{','.join(one.client.hosts)} -> {one.server.name}@{','.join(one.server.hosts)} "
        f"{one.port} {one.protocol}{' here' if one.here else ''}{f' via {one.via}' if one.via else ''} "
        f"{one.certificate.name if one.certificate else '-'}/{one.server_certificate.name if one.server_certificate else '-'}"
        for one in some
    ]


def only(some: list[Connection], client: str, server: str) -> Connection:
    (one,) = (one for one in some if (one.client.name, one.server.name) == (client, server))
    return one


def test_with_flannel_each_certificate_opens_its_own_etcd_alone() -> None:
    assert lines(found(cluster(topology="etcd-apart", network="flannel"))) == [
        "kubectl@m1,m2 -> kube-apiserver@m1,m2 6443/tcp https here admin/apiserver",
        "etcd@e1,e2,e3 -> etcd@e1,e2,e3 2380/tcp https etcd-peer/etcd-peer",
        "kube-apiserver@m1,m2 -> etcd@e1,e2,e3 2379/tcp https apiserver-etcd-client/etcd",
        "kube-apiserver@m1,m2 -> kubelet@n1 10250/tcp https apiserver-kubelet-client/kubelet",
        "kube-apiserver@m1,m2 -> pods that serve an API@  https front-proxy-client/-",
        "kube-controller-manager@m1,m2 -> kube-apiserver@m1,m2 6443/tcp https here controller-manager/apiserver",
        "kube-scheduler@m1,m2 -> kube-apiserver@m1,m2 6443/tcp https here scheduler/apiserver",
        "flannel-etcd@e1,e2,e3 -> flannel-etcd@e1,e2,e3 2390/tcp https flannel-etcd/flannel-etcd",
        "flannel-network@e1,e2,e3 -> flannel-etcd@e1,e2,e3 2389/tcp https here flannel-etcd-client/flannel-etcd",
        "flannel-network@e1,e2,e3 -> etcd@e1,e2,e3 2379/tcp https here etcd-healthcheck/etcd",
        "flannel@m1,m2,n1 -> flannel-etcd@e1,e2,e3 2389/tcp https flannel-etcd-client/flannel-etcd",
        "flannel@m1,m2,n1 -> flannel@m1,m2,n1 8472/udp vxlan -/-",
        "docker@n1 -> registry.k8s.io@  https -/-",
        "kubelet@n1 -> kube-apiserver@m1 6443/tcp https kubelet/apiserver",
        "kubelet@n1 -> docker@n1 /var/run/docker.sock unix here -/-",
        "kube-proxy@n1 -> kube-apiserver@m1 6443/tcp https proxy/apiserver",
        "pods@n1 -> kube-apiserver@m1,m2 6443/tcp https via 10.254.0.1:443 -/apiserver",
        "clients@ -> kube-proxy@n1 30000-32767/tcp  -/-",
        "clients@ -> kube-proxy@n1 30000-32767/udp  -/-",
    ]


def test_without_tls_everything_is_plain_but_for_kubelets_and_pods_whom_nobody_verifies() -> None:
    some = found(cluster("1.5.2", "insecure", "etcd-apart", network="flannel"))
    assert not any(one.certificate or one.server_certificate or one.ca_file for one in some)
    assert "kubelet@n1 -> kube-apiserver@m1 8080/tcp http -/-" in lines(some)
    assert "flannel@m1,m2,n1 -> etcd@e1,e2,e3 2379/tcp http -/-" in lines(some)
    assert "flannel-network@e1,e2,e3 -> etcd@e1,e2,e3 2379/tcp http here -/-" in lines(some)
    assert [one.client.name for one in some if one.protocol == "https"] == ["kube-apiserver", "docker", "pods"]


def test_one_member_or_one_host_has_no_peer() -> None:
    some = found(cluster(topology="all-in-one"))
    assert not [one for one in some if one.client.name == one.server.name]
    assert only(some, "kubelet", "kube-apiserver").here


def test_host_gw_has_no_port() -> None:
    text = f"cluster: {{name: lab, version: 1.20.2, network: flannel, flannel: {{backend: host-gw}}}}\nhosts:{TOPOLOGIES['one-master-two-nodes']}"
    lab = inventory.parse(text, Path("/srv/lab/inventory.yaml"))
    assert lines([only(found(lab), "flannel", "flannel")]) == ["flannel@m1,n1,n2 -> flannel@m1,n1,n2  ip -/-"]


def test_a_load_balancer_is_between_nodes_and_all_masters() -> None:
    text = f"cluster: {{name: lab, version: 1.20.2, api_endpoint: 'api.example.com:443'}}\nhosts:{TOPOLOGIES['etcd-apart']}"
    some = found(inventory.parse(text, Path("/srv/lab/inventory.yaml")))
    for client, certificate in (("kubelet", "kubelet"), ("kube-proxy", "proxy")):
        line = f"{client}@n1 -> kube-apiserver@m1,m2 6443/tcp https via api.example.com:443 {certificate}/apiserver"
        assert lines([only(some, client, "kube-apiserver")]) == [line]
    assert only(some, "kube-scheduler", "kube-apiserver").here


def test_kubelets_with_ports_of_their_own_are_reached_there() -> None:
    nodes = "\n  m1: {address: 10.0.0.1, roles: [etcd, master]}\n  n1: {address: 10.0.0.2, roles: [node]}"
    nodes += "\n  n2: {address: 10.0.0.3, roles: [node], components: {kubelet: {config: {port: 10350}}}}\n"
    some = [one for one in found(cluster(topology=nodes)) if one.server.name == "kubelet"]
    assert [(one.server.hosts, one.port) for one in some] == [(("n1",), "10250/tcp"), (("n2",), "10350/tcp")]


def test_images_come_from_the_registries_that_they_name(tmp_path: Path) -> None:
    (tmp_path / "addons").mkdir()
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "a", "image": "me/app"}]},
    }
    (tmp_path / "addons" / "a.yaml").write_text(yaml.dump(pod))
    text = f"cluster: {{name: lab, version: 1.20.2, dns: coredns}}\nimages: {{verify: 'localhost/echo:1'}}\nhosts:{TOPOLOGIES['all-in-one']}"
    (tmp_path / "cluster.yaml").write_text(text)
    (pulls,) = (one for one in found(inventory.load(tmp_path / "cluster.yaml")) if one.client.name == "docker")
    assert pulls.server.outside == "registry.k8s.io, localhost, docker.io"


@pytest.mark.parametrize(
    ("image", "insecure", "protocol"),
    [
        ("10.0.0.9:5000/echo:1", "'10.0.0.9:5000'", UNVERIFIED),
        ("10.0.0.9:5000/echo:1", "10.0.0.0/24", UNVERIFIED),
        ("10.0.0.9:5000/echo:1", "10.0.1.0/24, '10.0.0.9:5001'", "https"),
        ("reg.lan/echo:1", "10.0.0.0/24", "https"),
    ],
)
def test_an_insecure_registry_is_told_apart(image: str, insecure: str, protocol: str) -> None:
    text = f"cluster: {{name: lab, version: 1.20.2}}\nimages: {{pause: '{image}', verify: 'reg.lan/echo:2'}}\n"
    text += f"host_settings: {{docker: {{insecure_registries: [{insecure}]}}}}\nhosts:{TOPOLOGIES['all-in-one']}"
    pulls = [one for one in found(inventory.parse(text, Path("cluster.yaml"))) if one.client.name == "docker"]
    protocols = [one.protocol for one in pulls if image.partition("/")[0] in one.server.outside]
    assert protocols == [protocol]


def kubeconfigs(lab: Cluster) -> Iterator[tuple[str, str, str, str]]:
    """The host, component, server and certificate of every kubeconfig that hosts get."""
    for ref, item in desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer()).items():
        if isinstance(item.resource, File) and b"kind: Config\n" in item.resource.content:
            said = yaml.safe_load(item.resource.content)
            user = said["users"][0]["user"]
            yield ref.host, item.component, said["clusters"][0]["cluster"]["server"], user["client-certificate"]


@every_cluster
def test_kubeconfigs_say_the_same(lab: Cluster) -> None:
    some = {
        one.client.component: one
        for one in found(lab)
        if one.server.name == "kube-apiserver" and one.client.name != "pods"
    }
    addresses = {host.address: host.name for host in lab.hosts}
    for host, component, server, certificate in kubeconfigs(lab):
        address, port = server.removeprefix("https://").split(":")
        one = some[component]
        assert one.certificate is not None
        assert (f"{port}/tcp", certificate) == (one.port, one.certificate.file)
        assert one.ca_file == "/etc/kubernetes/pki/ca.crt"
        assert host in one.client.hosts
        assert addresses[address] in ([host] if one.here else one.server.hosts)


@every_cluster
def test_certificates_are_those_of_the_pki_and_lie_on_the_clients_hosts(lab: Cluster) -> None:
    known, wanted = leaves(lab), desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())
    paths = {(ref.host, ref.name) for ref in wanted}
    for one in connections(lab, profiles.profile_of(lab)):
        for shown, hosts in ((one.certificate, one.client.hosts), (one.server_certificate, one.server.hosts)):
            for host in hosts if shown else ():
                assert shown is not None
                leaf = known.get(f"{host}/{shown.name}") or known[shown.name]
                assert (leaf.user, leaf.group, leaf.issuer) == (shown.user.replace(EACH, host), shown.group, shown.ca)
                assert (host, shown.file) in paths
        if one.certificate:
            assert one.server_certificate is None or one.certificate.ca == one.server_certificate.ca
        assert not one.ca_file or {(host, one.ca_file) for host in one.client.hosts} <= paths


@every_cluster
def test_what_others_connect_to_are_the_ports_that_components_declare(lab: Cluster) -> None:
    """Each server that another host reaches is one whose port firewalld opens, for a role that the clients have."""
    profile = profiles.profile_of(lab).fitting(lab)
    for one in connections(lab, profiles.profile_of(lab)):
        if one.server.hosts and not one.here and one.port and not one.via:
            declared = {re.sub(r"\{\{.*\}\}", "", port) for port in profile.components[one.server.component].ports}
            assert any(one.port.endswith(port) for port in declared)


@every_cluster
def test_every_gate_is_a_health_check(lab: Cluster) -> None:
    wanted = desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer()).values()
    gates = {
        (item.component, item.resource.cert, re.sub(r".*:(\d+)/?.*", r"\1/tcp", item.resource.url))
        for item in wanted
        if isinstance(item.resource, Gate) and item.component != "addons"
    }
    some = found(lab, checks=True)
    assert {(one.client.component, one.certificate.file if one.certificate else "", one.port) for one in some} == gates
    assert all(one.client.name == "health checks" and one.why.endswith(".") for one in some)


def test_a_gateway_of_the_guide_stands_between_nodes_and_masters(tmp_path: Path) -> None:
    write("adding-a-component.md", tmp_path, below=("components/", "cluster.yaml"))
    some = found(inventory.load(tmp_path / "cluster.yaml"))
    assert lines([only(some, "kubelet", "kube-apiserver"), only(some, "api-gateway", "kube-apiserver")]) == [
        "kubelet@n1,n2 -> kube-apiserver@m1,m2,m3 6443/tcp https via 127.0.0.1:6444 kubelet/apiserver",
        "api-gateway@n1,n2 -> kube-apiserver@m1,m2,m3 6443/tcp tcp -/-",
    ]


OWN = "why: Ours.\nroles: [node]\n"


def own(folder: Path, text: str) -> Cluster:
    (folder / "components").mkdir()
    (folder / "components" / "mine.yaml").write_text(text)
    (folder / "cluster.yaml").write_text(
        f"cluster: {{name: lab, version: 1.20.2}}\nhosts:{TOPOLOGIES['one-master-two-nodes']}"
    )
    return inventory.load(folder / "cluster.yaml")


def test_an_own_component_says_whom_it_talks_to(tmp_path: Path) -> None:
    said = 'talks_to:\n  log server: {why: Sends logs., outside: "logs.{{ cluster.name }}", port: 514/udp, protocol: syslog}\n'
    said += "  mine: {why: Gossip.}\n  etcd: {why: Never., when: {roles: [master]}}\n"
    said += (
        "  kube-apiserver: {why: Lacks its certificate., certificate: flannel-etcd-client}\nports: {7946/tcp: [node]}\n"
    )
    said = said.replace("[node]}", "[node], \"{{ '9/tcp' if cluster.network == 'flannel' else '' }}\": []}")
    said += "certificates: {mine: {user: mine, names: [mine]}}\n"
    lab = own(tmp_path, OWN + said)
    mine = [one for one in found(lab) if one.client.component == "mine"]
    assert lines(mine) == [
        "mine@n1,n2 -> logs.lab@ 514/udp syslog -/-",
        "mine@n1,n2 -> mine@n1,n2 7946/tcp https -/mine",
        "mine@n1,n2 -> kube-apiserver@m1 6443/tcp https -/apiserver",
    ]
    assert mine[1].server_certificate is not None
    assert mine[1].server_certificate.file == ""


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("talks_to: {etc: {why: A.}}", "talks_to.etc: there is no component etc"),
        ("talks_to: {logs: {why: A., to: etc}}", "talks_to.logs: there is no component etc"),
        ("talks_to: {etcd: {why: A., certificate: nobody}}", "talks_to.etcd: no component has a certificate nobody"),
    ],
)
def test_names_of_others_are_checked(tmp_path: Path, said: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        profiles.profile_of(own(tmp_path, OWN + said))
    assert str(caught.value) == f"{tmp_path}/components/mine.yaml: {message}"
