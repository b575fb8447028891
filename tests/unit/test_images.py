"""Which images a cluster runs with: upstream's registry or a mirror of it, and what the version of one changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from k8s_installer import inventory, profiles
from k8s_installer.bundle.images import images as bundled
from k8s_installer.desired import check, desire
from k8s_installer.errors import InventoryError
from k8s_installer.inventory import Cluster
from k8s_installer.lab.artifacts import data_folder
from k8s_installer.lab.gomodules import required
from k8s_installer.lab.images import COREDNS
from k8s_installer.model.resources import File, Kind, Ref
from k8s_installer.profiles import images
from k8s_installer.render import Renderer
from tests.unit.clusters import MODES, TOPOLOGIES, cluster, placeholder

DNS = [
    ("1.5.2", "kube-dns"),
    ("1.9.4", "kube-dns"),
    ("1.9.4", "coredns"),
    ("1.20.2", "kube-dns"),
    ("1.20.2", "coredns"),
]
# The words of a CoreDNS before 1.5 and of one after it, of which each refuses the other's.
OLD, NEW = {"proxy . /", "upstream /", "port: 8080}\n            periodSeconds"}, {"forward . /", "ready\n", "loop\n"}


def lab(said: str, version: str = "1.20.2", dns: str = "coredns") -> Cluster:
    made = cluster(version, topology="one-master-two-nodes", more=f"images: {said}\n")
    return replace(made, dns=dns)


def of(made: Cluster) -> tuple[str, ...]:
    return bundled(made, profiles.profile_of(made))


def manifest(made: Cluster) -> str:
    desired = desire(made, profiles.profile_of(made), placeholder(made), Renderer())
    file = desired[Ref("m1", Kind.FILE, "/etc/kubernetes/addons/cluster-dns.yaml")].resource
    assert isinstance(file, File)
    return file.content.decode()


@pytest.mark.parametrize(("version", "dns"), DNS)
def test_what_no_inventory_names_is_in_upstreams_registry_that_is_kept_or_in_a_mirror_of_it(
    version: str, dns: str
) -> None:
    usual = of(lab("{}", version, dns))
    assert len(usual) >= 2
    assert all(image.startswith("registry.k8s.io/") for image in usual)
    made = lab("{registry: 'r.example.com:5000/k8s'}", version, dns)
    assert of(made) == tuple(image.replace("registry.k8s.io", "r.example.com:5000/k8s") for image in usual)
    assert all(f"image: {image}" in manifest(made) for image in of(made)[1:])
    desired = desire(made, profiles.profile_of(made), placeholder(made), Renderer())
    files = [item.resource.content for item in desired.values() if isinstance(item.resource, File)]
    assert not [content for content in files if b"k8s.io/pause" in content or b"gcr.io" in content]
    assert [content for content in files if of(made)[0].encode() in content]


@pytest.mark.parametrize(("version", "security"), MODES)
def test_a_profile_names_no_registry_that_is_retired(version: str, security: str) -> None:
    del security
    profile = profiles.load(version)
    named = [profile.pause_image, *(image for spec in profile.dns.values() for image in spec.images.values())]
    assert all(image.startswith(f"{images.UPSTREAM}/") for image in named)


def test_what_an_inventory_names_stays_where_it_says() -> None:
    said = (
        "{registry: r.example.com, pause: 'mine:1', verify: 'web:2', dns: {coredns: 'other.example.com/coredns:1.8.0'}}"
    )
    assert of(lab(said)) == ("mine:1", "web:2", "other.example.com/coredns:1.8.0")


@pytest.mark.parametrize(
    ("image", "moved"),
    [
        ("registry.k8s.io/a/b:1", "m/a/b:1"),
        ("localhost/b:1", "m/b:1"),
        ("r:5000/b:1", "m/b:1"),
        ("coredns/coredns:1.0.6", "m/coredns/coredns:1.0.6"),
        ("busybox", "m/busybox"),
    ],
)
def test_an_image_of_a_users_own_profile_moves_with_its_path(image: str, moved: str) -> None:
    profile = profiles.load("1.20.2").model_copy(update={"pause_image": image})
    assert images.pause(lab("{registry: m}"), profile) == moved
    assert images.pause(lab("{registry: m/}"), profile) == moved
    assert images.pause(lab("{}"), profile) == image


@pytest.mark.parametrize("said", ["https://r.example.com", "/", "-r", "r/A B"])
def test_a_registry_that_is_none_is_a_finding(said: str) -> None:
    text = (
        f'cluster: {{name: lab, version: "1.20.2"}}\nhosts:{TOPOLOGIES["all-in-one"]}images: {{registry: "{said}"}}\n'
    )
    with pytest.raises(InventoryError, match=r"images\.registry: .* must be a registry such as"):
        inventory.parse(text, Path("i.yaml"))


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("coredns/coredns:1.0.6", (1, 0, 6)),
        ("r:5000/coredns:v1.8.7", (1, 8, 7)),
        ("r:5000/coredns:1.10.1-arm64@sha256:0f", (1, 10, 1)),
        ("coredns:1.6", (1, 6)),
        ("coredns:1", None),
        ("coredns:latest", None),
        ("coredns:2024-01-01", None),
        ("r:5000/coredns", None),
        ("coredns@sha256:0f", None),
    ],
)
def test_a_tag_says_a_version_or_none(reference: str, version: tuple[int, ...] | None) -> None:
    assert images.version(reference) == version


@pytest.mark.parametrize("version", ["1.9.4", "1.20.2"])
@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("'mine/coredns:1.0.6'", OLD),
        ("'mine/coredns:v1.4.0'", OLD),
        ("'mine/coredns:1.5.0'", NEW),
        ("'mine/coredns:v1.10.1'", NEW),
        ("{image: 'mine/coredns:stable', version: '1.3.1'}", OLD),
        ("{image: 'mine/coredns:1.0.6', version: 'v1.8.7'}", NEW),
    ],
)
def test_what_coredns_is_told_follows_the_version_of_its_image(version: str, said: str, words: set[str]) -> None:
    text = manifest(lab(f"{{dns: {{coredns: {said}}}}}", version))
    assert {word for word in OLD | NEW if word in text} == words
    assert text.count("\n    .:53 {\n") == 1


def test_each_versions_own_coredns_is_told_what_it_was() -> None:
    assert "proxy . /etc/resolv.conf" in manifest(lab("{}", "1.9.4"))
    assert "forward . /etc/resolv.conf" in manifest(lab("{}", "1.20.2"))


@pytest.mark.parametrize("image", ["mine/coredns:latest", "mine/coredns:1", "mine/coredns:0.9.10"])
def test_an_image_that_does_not_say_its_version_is_a_finding(image: str) -> None:
    made = lab(f"{{dns: {{coredns: '{image}'}}}}")
    assert [(finding.message, finding.suggestion) for finding in check(made, profiles.profile_of(made))] == [
        (
            f"images.dns.coredns: {image} has no version in its tag, or one older than 1.0",
            f'coredns: {{image: "{image}", version: "1.8.7"}} sets it, if that is its version',
        )
    ]
    assert check(replace(made, dns="kube-dns"), profiles.profile_of(made)) == []


def test_a_version_is_quoted_and_one() -> None:
    for said in ("1.10", "'latest'"):
        with pytest.raises(InventoryError, match=r"images\.dns\.coredns\.version"):
            lab(f"{{dns: {{coredns: {{image: a, version: {said}}}}}}}")


def test_the_labs_image_says_what_is_in_it() -> None:
    module = required(data_folder() / "go/coredns/go.mod", "github.com/coredns/coredns")
    assert f"v{COREDNS.rpartition(':')[2]}" == module
