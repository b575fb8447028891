"""What is inside is reached without the proxy: by yum, and by docker."""

from __future__ import annotations

import pytest

from k8s_installer import profiles
from k8s_installer.desired import desire
from k8s_installer.desired.proxies import lies_in
from k8s_installer.host.paths import CENTOS_REPOS as REPOS
from k8s_installer.inventory import Cluster, Proxy
from k8s_installer.model.resources import File, Kind, Ref
from k8s_installer.render import Renderer
from tests.unit.clusters import cluster, placeholder

PROXY = 'proxy: {{http: "http://proxy.example.com:3128", no_proxy: [{}]}}'


def text(lab: Cluster, host: str, path: str) -> str:
    wanted = desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())
    file = wanted[Ref(host, Kind.FILE, path)].resource
    assert isinstance(file, File)
    return file.content.decode()


def no_proxy(lab: Cluster, host: str = "n1") -> list[str]:
    (line,) = [line for line in text(lab, host, "/etc/sysconfig/docker").splitlines() if line.startswith("NO_PROXY=")]
    return line.removeprefix("NO_PROXY=").split(",")


@pytest.mark.parametrize(
    ("place", "covers"),
    [
        ("10.0.0.5", True),
        ("10.0.0.0/24", True),
        ("10.0.0.5:80", True),
        ("'*'", True),
        ("10.0.0.50", False),
        ("10.0.1.0/24", False),
        (".example.com", False),
        ("nonsense/24", False),
    ],
)
def test_a_mirror_that_no_proxy_covers_is_asked_without_the_proxy(place: str, *, covers: bool) -> None:
    more = "repos: {mirror: 'http://10.0.0.5/centos/7.9.2009'}\nhost_settings: {" + PROXY.format(place) + "}\n"
    repos = text(cluster(more=more), "n1", REPOS)
    assert repos.count("\nproxy=_none_\n") == (3 if covers else 0)
    assert repos.count("enabled=1\n") == 3


def test_a_host_without_a_proxy_has_no_word_of_one() -> None:
    lab = cluster(
        topology="\n  m1: {address: 10.77.0.11, roles: [etcd, master]}\n"
        "  n1: {address: 10.77.0.21, roles: [node], host_settings: {" + PROXY.format("10.0.0.5") + "}}\n",
        more="repos: {mirror: 'http://10.0.0.5/centos/7.9.2009'}\n",
    )
    assert ("_none_" in text(lab, "m1", REPOS), "_none_" in text(lab, "n1", REPOS)) == (False, True)


@pytest.mark.parametrize(
    ("place", "covers"),
    [
        ("example.com", True),
        (".example.com", True),
        ("*.example.com", True),
        ("ample.com", False),
        ("10.0.0.0/8", False),
    ],
)
def test_a_name_is_covered_by_its_domain(place: str, *, covers: bool) -> None:
    assert lies_in("http://mirror.Example.com/centos", Proxy("", "", (place,))) is covers


def test_docker_reaches_the_inventorys_own_without_the_proxy() -> None:
    docker = (
        "docker: {registry_mirrors: ['http://mirror.lan:5000', 'https://10.9.0.9', 'https://outside.example.com'],"
        " insecure_registries: ['registry.lan:5000', 10.99.0.0/16]}"
    )
    lab = cluster(more="host_settings: {" + PROXY.format("10.0.0.5, registry.lan") + f", {docker}}}\n")
    assert no_proxy(lab) == [
        "localhost", "127.0.0.1", "10.0.0.5", "registry.lan", "10.99.0.0/16", "mirror.lan", "10.9.0.9",
        "10.77.0.11", "10.77.0.21", "10.77.0.22", "m1", "n1", "n2", "10.244.0.0/16", "10.254.0.0/16",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("registry", "inside"),
    [
        ("gcr.io", False), ("gcr.io:443", False), ("quay.io:80", False), ("registry.example.com", False), ("8.8.8.8", False),
        ("registry.example.com:5000", True), ("10.0.0.7", True), ("10.0.0.7:443", True), ("registry", True),
        ("registry.corp", True), ("Registry.LAN", True),
    ],
)  # fmt: skip
def test_a_public_registry_is_reached_by_the_proxy_even_where_it_is_insecure(registry: str, *, inside: bool) -> None:
    """Behind a proxy that decrypts TLS, public registries have certificates that docker does not know."""
    docker = f"docker: {{insecure_registries: ['{registry}']}}"
    lab = cluster(more="host_settings: {" + PROXY.format("") + f", {docker}}}\n")
    assert (registry.partition(":")[0] in no_proxy(lab)) is inside
    mirror = f"docker: {{registry_mirrors: ['http://{registry}/']}}"
    lab = cluster(more="host_settings: {" + PROXY.format("") + f", {mirror}}}\n")
    assert (registry.partition(":")[0] in no_proxy(lab)) is inside


def test_a_registry_that_is_one_word_is_read_as_well_as_a_list() -> None:
    lab = cluster(
        more="host_settings: {"
        + PROXY.format("")
        + "}\ncomponents: {docker: {args: {insecure-registry: 'r.lan:5000'}}}\n"
    )
    assert no_proxy(lab)[:4] == ["localhost", "127.0.0.1", "r.lan", "10.77.0.11"]


def test_many_hosts_have_their_addresses_there() -> None:
    """docker 1.13 compares addresses as text: a network in the list would cover none of them."""
    nodes = "".join(
        f"\n  n{number}: {{address: 10.78.{number % 2}.{number + 1}, roles: [node]}}" for number in range(70)
    )
    lab = cluster(
        topology=f"\n  m1: {{address: 10.77.0.11, roles: [etcd, master]}}{nodes}\n",
        more="host_settings: {" + PROXY.format("") + "}\n",
    )
    places = no_proxy(lab)
    assert {host.address for host in lab.hosts} < set(places)
    assert places[73:] == ["10.244.0.0/16", "10.254.0.0/16"]


def test_registries_of_images_that_are_inside_are_reached_without_the_proxy() -> None:
    images = "images: {registry: 'registry.lan:5000/k8s', pause: 10.0.0.7/pause, verify: 'docker.io/library/web:1', dns: {coredns: 'coredns:1.8.0'}}"
    lab = cluster(more="host_settings: {" + PROXY.format("") + "}\n" + images + "\n")
    assert no_proxy(lab)[-4:] == ["10.244.0.0/16", "10.254.0.0/16", "registry.lan", "10.0.0.7"]
    plain = cluster(more="host_settings: {" + PROXY.format("") + "}\nimages: {registry: 10.0.0.7}\n")
    assert no_proxy(plain)[-1] == "10.0.0.7"
    public = "images: {registry: gcr.io/google_containers, pause: 'library/pause:3'}"
    outside = cluster(more="host_settings: {" + PROXY.format("") + "}\n" + public + "\n")
    assert no_proxy(outside)[-1] == "10.254.0.0/16"
