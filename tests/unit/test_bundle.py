"""A bundle from its sources to what each host gets of it, and everything that can be wrong on the way."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import resource
import shutil
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from k8s_installer import bundle, desired, inventory, preflight, profiles
from k8s_installer.bundle import Manifest, Sources, Store, images, manifest
from k8s_installer.bundle.create import insecure_registries
from k8s_installer.bundle.images import BadImageError, Image, Layer
from k8s_installer.bundle.registry import Registry
from k8s_installer.bundle.store import nothing, read
from k8s_installer.cli.terminal import Terminal
from k8s_installer.desired.bundled import FOLDER, ONLY, bundled
from k8s_installer.errors import InputError, InstallerError
from k8s_installer.flows import bundle as flow
from k8s_installer.flows import inputs, resolve
from k8s_installer.flows.inputs import Inputs
from k8s_installer.host.paths import BUNDLE_REPOS
from k8s_installer.inventory import Cluster, Tarball, Tuning
from k8s_installer.inventory.cluster import ArgValue
from k8s_installer.model.resources import File, Kind, Package, Ref, Setting, UploadedFile
from k8s_installer.render import Renderer
from k8s_installer.report import bundle as report
from k8s_installer.sources import tarball
from tests.unit.clusters import cluster as a_cluster
from tests.unit.repositories import Built, registry, repository, served, serving
from tests.unit.test_inventory import GOOD as INVENTORY
from tests.unit.test_tarball import GOOD, packed

PACKAGES = [
    Built("kubernetes-client", "1.20.2", signed=True),
    Built("kubernetes-master", "1.20.2", requires=["kubernetes-client EQ 1.20.2", "systemd"]),
    Built("kubernetes-node", "1.20.2", requires=["kubernetes-client EQ 1.20.2", "docker", "/opt/lib"]),
    Built("docker", "1.13.1"),
    Built("etcd", "3.3.11", signed=True),
    Built("etcd", "3.2.0"),
    Built("lib", files=["/opt/lib"]),
]
NAMES = {"pause": "lab/pause:1", "verify": "lab/web:1"}
MORE = "images: {pause: lab/pause:1, verify: lab/web:1}\n"


@dataclass(frozen=True)
class Place:
    """Sources on this machine, and a cluster that needs them."""

    folder: Path
    repository: str
    registry: str
    store: Store
    cluster: Cluster

    @property
    def file(self) -> Path:
        return self.folder / "lab.bundle"

    def sources(self, **changed: object) -> Sources:
        there = Sources((self.repository,), None, ("systemd",), self.registry)
        return replace(there, **changed)  # type: ignore[arg-type]

    def create(self, cluster: Cluster | None = None, **changed: object) -> Manifest:
        wanted = cluster or self.cluster
        profile = profiles.profile_of(wanted)
        asked = resolve.desire(replace(wanted, bundle=None), profile, None, None)
        return bundle.create(wanted, profile, asked.desired, self.sources(**changed), self.file, nothing, self.store)

    def wanted(self, cluster: Cluster | None = None) -> desired.Desired:
        named = replace(cluster or self.cluster, bundle=str(self.file))
        return resolve.desire(named, profiles.profile_of(named), None, None).desired


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    packages = repository(tmp_path / "packages", PACKAGES)
    with served(packages, registry(tmp_path / "images")) as (repositories, pictures):
        inventory = replace(a_cluster(more=MORE), folder=tmp_path)
        yield Place(tmp_path, repositories, pictures, Store(), inventory)


def refused(
    words: str, kind: type[InstallerError] = InputError
) -> AbstractContextManager[pytest.ExceptionInfo[InstallerError]]:
    return pytest.raises(kind, match=re.escape(words))


def test_a_bundle_has_what_the_inventory_needs_and_the_same_things_make_the_same_bytes(place: Place) -> None:
    made = place.create()
    assert [rpm.name.split("/")[1].partition("-1")[0] for rpm in made.rpms] == [
        "docker", "etcd-3.3.11", "kubernetes-client", "kubernetes-master", "kubernetes-node", "lib",
    ]  # fmt: skip
    assert [rpm.signed for rpm in made.rpms] == [False, True, True, False, False, False]
    assert [image.references for image in made.images] == [("lab/pause:1",), ("lab/web:1",)]
    assert bundle.verify(place.file) == made
    before = place.file.read_bytes()
    assert place.create() == made
    assert place.file.read_bytes() == before
    assert made.size < len(before)
    assert [path.name for path in place.folder.glob(".*")] == []


def test_a_host_gets_its_own_packages_and_a_node_its_images_too(place: Place) -> None:
    place.create()
    wanted = place.wanted()
    paths = {
        host: sorted(ref.name.removeprefix(f"{FOLDER}/") for ref in wanted if ref.host == host and FOLDER in ref.name)
        for host in ("m1", "n1")
    }
    assert [path for path in paths["m1"] if path.endswith(".rpm")] == [
        "rpms/signed/etcd-3.3.11-1.el7.x86_64.rpm", "rpms/signed/kubernetes-client-1.20.2-1.el7.x86_64.rpm",
        "rpms/unsigned/kubernetes-master-1.20.2-1.el7.x86_64.rpm",
    ]  # fmt: skip
    assert sum(path.startswith("images/") for path in paths["n1"]) == 2
    assert not any(path.startswith("images/") for path in paths["m1"])
    docker = wanted[Ref("n1", Kind.PACKAGE, "docker")]
    assert docker.resource == Package("docker", "", ONLY)
    assert set(docker.after) >= {Ref("n1", Kind.FILE, f"{FOLDER}/{path}") for path in paths["n1"] if "rpms" in path}
    image = wanted[Ref("n1", Kind.SETTING, "image lab/pause:1")]
    assert isinstance(image.resource, Setting)
    archive = Ref("n1", Kind.FILE, f"{FOLDER}/images/{image.resource.value.removeprefix('sha256:')}.tar")
    assert image.after == (Ref("n1", Kind.UNIT, "docker"), archive)
    assert image.ref in wanted[Ref("n1", Kind.UNIT, "kubelet")].after
    source = wanted[archive].resource
    assert isinstance(source, UploadedFile)
    assert hashlib.sha256(source.source.read_bytes()).hexdigest() == source.sha256
    repo = wanted[Ref("n1", Kind.FILE, BUNDLE_REPOS)].resource
    assert isinstance(repo, File)
    text = repo.content.decode()
    assert text.index("[k8s-installer-signed]") < text.index("gpgcheck=1") < text.index("[k8s-installer-unsigned]")
    assert text.count("gpgcheck=0") == 1
    assert repo == wanted[Ref("m1", Kind.FILE, BUNDLE_REPOS)].resource


def test_preflight_does_not_ask_yum_where_packages_come_from_a_bundle(place: Place) -> None:
    place.create()
    profile = profiles.profile_of(place.cluster)
    for wanted, asks in ((place.wanted(), False), (resolve.desire(place.cluster, profile, None, None).desired, True)):
        needs = preflight.needs(place.cluster, profile, wanted)["m1"]
        assert needs.asks_yum is asks
        assert ("&& :;" in preflight.script(needs)) is asks


def test_what_a_host_runs_is_all_that_is_added_to(place: Place) -> None:
    place.create()
    wanted = place.wanted()
    media = bundle.media(bundle.opened(place.file), place.cluster, profiles.profile_of(place.cluster), wanted)
    for kept in ({Kind.FILE}, {Kind.PACKAGE}, {Kind.UNIT}):
        some = {ref: item for ref, item in wanted.items() if ref.kind in kept and ref.name != "kubelet"}
        added = bundled(some, media, Renderer(), {}, "docker").keys() - some.keys()
        assert any(ref.name == BUNDLE_REPOS for ref in added) is (kept == {Kind.PACKAGE})
        assert any(ref.kind is Kind.SETTING for ref in added) is (kept == {Kind.UNIT})


def test_a_cluster_without_nodes_wants_no_image(place: Place) -> None:
    alone = replace(place.cluster, hosts=place.cluster.hosts[:1])
    assert place.create(alone).images == ()
    assert not any("image" in ref.name for ref in place.wanted(alone))


def test_a_bundle_is_taken_apart_once_and_again_when_it_is_another(place: Place) -> None:
    place.create()
    said: list[str] = []
    first = bundle.opened(place.file, said.append)
    assert said
    assert first.manifest == bundle.verify(place.file)
    count = len(said)
    bundle.opened(place.file, said.append)
    assert len(said) == count
    gone = first.file(first.manifest.rpms[0]).source
    gone.unlink()
    bundle.opened(place.file, said.append)
    assert len(said) > count
    assert gone.is_file()
    os.utime(place.file)
    count = len(said)
    bundle.opened(place.file, said.append)
    assert len(said) > count
    for note in first.store.folder.glob("opened-*"):
        note.write_text("{")
    bundle.opened(place.file)


def damaged(path: Path, change: Mapping[str, bytes | None], more: tuple[str, bytes] | None = None) -> None:
    """The archive with other members: None leaves one out."""
    with tarfile.open(path) as tar:
        members = [(one, change.get(one.name, tar.extractfile(one).read())) for one in tar]  # type: ignore[union-attr]
    with tarfile.open(path, "w") as tar:
        for member, data in members:
            if data is not None:
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        if more is not None:
            extra = tarfile.TarInfo(more[0])
            extra.size = len(more[1])
            tar.addfile(extra, io.BytesIO(more[1]))


def test_whatever_is_wrong_with_a_bundle_is_said_and_nothing_of_it_used(place: Place) -> None:
    made = place.create()
    whole, data = place.file.read_bytes(), manifest.dumped(made)
    name = made.rpms[0].name
    newer = data.replace(b'"format": 1', b'"format": 2').replace(b'"format":1', b'"format":2')
    assert newer != data
    cases: list[tuple[Mapping[str, bytes | None], tuple[str, bytes] | None, str]] = [
        ({name: b"x" * made.rpms[0].size}, None, f"the content of {name} was changed"),
        ({name: b"other"}, None, f"{name} has the wrong size"),
        ({name: None}, None, f"{name} is missing or truncated"),
        ({}, ("more", b""), "more does not belong in it"),
        ({manifest.NAME: data + b" "}, None, "manifest.json was changed"),
        ({manifest.NAME: None}, None, "it does not start with manifest.json"),
        ({manifest.NAME: newer, manifest.SUM: summed(newer)}, None, "cannot be read: format"),
    ]
    for change, more, words in cases:
        place.file.write_bytes(whole)
        damaged(place.file, change, more)
        for look in (bundle.verify, bundle.opened):
            with refused(words):
                look(place.file)
    place.file.write_bytes(whole[: len(whole) // 2])
    with refused("damaged"):
        bundle.verify(place.file)
    place.file.write_bytes(b"no archive" * 100)
    with refused("not a bundle, or is damaged"):
        bundle.verify(place.file)
    place.file.unlink()
    with refused("cannot read"):
        bundle.verify(place.file)
    with refused("cannot read the bundle"):
        bundle.opened(place.file)


def rewritten(place: Place, made: Manifest) -> None:
    """The bundle with another manifest, which has the sum that it should."""
    data = manifest.dumped(made)
    damaged(place.file, {manifest.NAME: data, manifest.SUM: summed(data)})


def test_a_bundle_that_is_huge_or_has_holes_is_refused_before_anything_is_written(place: Place) -> None:
    made = place.create()
    whole, first = place.file.read_bytes(), made.rpms[0]
    store = bundle.Store(place.folder / "another")
    huge = first.model_copy(update={"size": 1 << 50})
    rewritten(place, made.model_copy(update={"rpms": (huge, *made.rpms[1:])}))
    with refused("its files would have"):
        bundle.opened(place.file, store=store)
    place.file.write_bytes(whole)
    rewritten(place, made.model_copy(update={"rpms": (first, *made.rpms)}))
    with refused("lists a file twice"):
        bundle.opened(place.file, store=store)
    for name in ("../../etc/passwd", "/etc/passwd", "rpms/../x", "rpms/\n", "a" * 300):
        place.file.write_bytes(whole)
        rewritten(place, made.model_copy(update={"rpms": (first.model_copy(update={"name": name}), *made.rpms[1:])}))
        with refused("cannot be read: rpms.0.name"):
            bundle.opened(place.file, store=store)
    with tarfile.open(place.file, "w", format=tarfile.PAX_FORMAT) as tar:
        for headers in ({"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 50)}, {"comment": "x" * (1 << 20)}):
            member = tarfile.TarInfo(manifest.NAME)
            member.pax_headers = headers
            tar.addfile(member)
    with refused("is not a bundle, or is damaged"):
        bundle.opened(place.file, store=store)
    for kind in (tarfile.GNUTYPE_SPARSE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, b"?"):
        with tarfile.open(place.file, "w") as tar:
            member = tarfile.TarInfo(manifest.NAME)
            member.type = kind
            tar.addfile(member)
        with refused("is not a bundle"):
            bundle.opened(place.file, store=store)
    assert not [path for path in store.folder.iterdir() if not path.name.startswith("opened-")]
    with refused("cannot read /proc/self/mem"):  # a file whose first byte cannot be had
        bundle.verify(Path("/proc/self/mem"))
    place.file.unlink()
    os.mkfifo(place.file)
    with refused("it is not a file"):
        bundle.opened(place.file, store=store)


def test_without_room_for_its_files_nothing_of_a_bundle_is_written(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.create()
    store = bundle.Store(place.folder / "another")
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: shutil._ntuple_diskusage(10, 10, 0))
    with refused("no space for"):
        bundle.opened(place.file, store=store)
    assert not list(store.folder.iterdir())


def test_a_bundle_is_the_one_that_is_pinned(place: Place) -> None:
    made = place.create()
    sum_of_it = hashlib.sha256(manifest.dumped(made)).hexdigest()
    assert bundle.opened(place.file, pinned=sum_of_it).manifest == made
    assert bundle.verify(place.file, pinned=sum_of_it) == made
    for look in (bundle.verify, bundle.opened):
        with refused(f"is not the bundle of the inventory: the SHA-256 of its manifest is {sum_of_it}"):
            look(place.file, pinned="0" * 64)
    text = f"repos: {{bundle: lab.bundle, sha256: {sum_of_it}}}\n{INVENTORY}"
    assert inventory.parse(text, place.folder / "cluster.yaml").bundle_sha256 == sum_of_it
    with refused("is not a SHA-256"):
        inventory.parse(text.replace(sum_of_it, "abc"), place.folder / "cluster.yaml")


def summed(data: bytes) -> bytes:
    return f"{hashlib.sha256(data).hexdigest()}  {manifest.NAME}\n".encode()


def test_a_bundle_without_metadata_is_none_of_ours(place: Place) -> None:
    made = place.create()
    bare = made.model_copy(update={"repodata": ()})
    data = manifest.dumped(bare)
    damaged(
        place.file, {manifest.NAME: data, manifest.SUM: summed(data), **{entry.name: None for entry in made.repodata}}
    )
    with refused("it has no rpms/repodata/primary.xml.gz"):
        place.wanted()


def test_all_that_a_bundle_lacks_for_an_inventory_is_said_at_once(place: Place) -> None:
    place.create()
    more = "images: {pause: lab/pause:2, verify: lab/web@sha256:00}\n"
    other = replace(a_cluster("1.20.15", more=more, programs="tarball", topology="all-in-one"), folder=place.folder)
    with pytest.raises(InputError) as caught:
        place.wanted(other)
    lines = caught.value.message.splitlines()
    assert [line.partition("lab.bundle: ")[2] for line in lines] == [
        "it has no image lab/pause:2",
        "it has no image lab/web@sha256:00",
        "it lacks the inventory's server tarball 0123456789abcdef...",
        "no package conntrack-tools",
        "no package socat",
    ]
    with refused("no package kubernetes-client 1.20.15 (available: 1.20.2)"):
        place.wanted(replace(place.cluster, version="1.20.15"))


def test_all_that_the_sources_lack_is_said_at_once_and_nothing_is_written(place: Place) -> None:
    with pytest.raises(InputError) as caught:
        place.create(
            assumed=(), cluster=replace(place.cluster, images=replace(place.cluster.images, verify="a@sha256:0"))
        )
    assert caught.value.message.splitlines() == [
        "nothing provides systemd, which kubernetes-master-1.20.2-1.el7.x86_64 requires",
        "a@sha256:0 has a digest: a bundle needs a name with a tag",
    ]
    assert "--assume NAME" in caught.value.hint
    assert not place.file.exists()
    with refused("no package source"):
        place.create(repositories=())
    with refused("404", InstallerError):
        place.create(replace(place.cluster, repos=place.repository), repositories=())
    with refused("does not exist"):
        Place(place.folder / "none", "", "", place.store, place.cluster).create()
    place.file.mkdir()
    with refused("is a folder"):
        place.create()


def test_what_is_no_repository_is_said(place: Place) -> None:
    (place.folder / "packages/repodata/repomd.xml").write_text("<html>")
    with refused("is not a readable yum repository", InstallerError):
        place.create()


def test_a_folder_of_files_is_enough(place: Place) -> None:
    made = place.create()
    folder = place.folder / "packages"
    (folder / "broken.tar").write_bytes(b"x")
    with pytest.raises(InputError) as caught:
        place.create(folder=folder, repositories=(), registry="")
    assert caught.value.message.splitlines() == [
        f"{folder}/broken.tar: it cannot be read: file could not be opened successfully:",
        *caught.value.message.splitlines()[1:-2],
        f"no archive in {folder} has the image lab/pause:1",
        f"no archive in {folder} has the image lab/web:1",
    ]
    assert str(folder) in caught.value.hint
    store = bundle.opened(place.file).store
    for image in made.images:
        content = store.path(("sha256", image.sha256)).read_bytes()
        (folder / f"{image.id[7:12]}.tar.gz").write_bytes(gzip.compress(content))
    (folder / "kubernetes-server-linux-amd64.tar.gz").write_bytes(b"")
    again = place.create(folder=folder, repositories=(), registry="")
    assert [(image.id, image.references) for image in again.images] == [
        (image.id, image.references) for image in made.images
    ]
    assert again.rpms[0].source == str(folder / PACKAGES[3].file)


def test_images_that_are_in_the_folder_need_no_packages_there(place: Place) -> None:
    made = place.create()
    folder = place.folder / "archives"
    folder.mkdir()
    store = bundle.opened(place.file).store
    for image in made.images:
        (folder / f"{image.id[7:12]}.tar").write_bytes(store.path(("sha256", image.sha256)).read_bytes())
    assert place.create(folder=folder).rpms == made.rpms


def test_the_server_tarball_comes_along(place: Place) -> None:
    content = b"a tarball"
    digest = hashlib.sha256(content).hexdigest()
    path = place.folder / "server.tar.gz"
    path.write_bytes(content)
    base = a_cluster(programs="tarball", tarball=f"{{sha256: {digest}}}", more=MORE)
    named = replace(base, folder=place.folder, tarball=Tarball(str(path), None, digest))
    assumed = ("systemd", "conntrack-tools", "socat")
    made = place.create(named, assumed=assumed)
    assert made.programs is not None
    assert (made.programs.sha256, made.programs.source) == (digest, str(path))
    assert Path(bundle.opened(place.file).tarball(named) or "").read_bytes() == content
    assert bundle.opened(place.file).tarball(place.cluster) is None
    assert place.wanted(named)
    folder = place.folder / "packages"
    anywhere = replace(named, tarball=Tarball(None, None, digest))
    with refused(f"{folder} has no kubernetes-server-linux-amd64.tar.gz"):
        place.create(anywhere, assumed=assumed, folder=folder)
    (folder / "kubernetes-server-linux-amd64.tar.gz").write_bytes(content)
    with refused("no archive in"):
        place.create(anywhere, assumed=assumed, folder=folder)
    elsewhere = replace(
        named, tarball=Tarball(None, f"{place.repository}/kubernetes-server-linux-amd64.tar.gz", digest)
    )
    place.store.path(("sha256", digest)).unlink()
    assert place.create(elsewhere, assumed=assumed).programs is not None


def test_registries_without_tls_are_those_that_docker_is_told_of(place: Place) -> None:
    def told(value: ArgValue) -> frozenset[str]:
        host = replace(place.cluster.hosts[0], tuning={"docker": Tuning({"insecure-registry": value}, {})})
        made = replace(place.cluster, hosts=(host, place.cluster.hosts[1]))
        return insecure_registries(made, profiles.profile_of(made))

    assert told(("a:1", "b")) == {"a:1", "b"}
    assert told("a:1") == {"a:1"}
    assert told(None) == frozenset()


def test_one_image_under_two_names_is_one_archive(place: Place) -> None:
    for tag in ("1", "2"):
        source = place.folder / "images/lab/pause/manifests/1"
        (source.parent / tag).write_bytes(source.read_bytes())
    twice = replace(place.cluster, images=replace(place.cluster.images, verify="lab/pause:2"))
    (image,) = place.create(twice).images
    assert image.references == ("lab/pause:1", "lab/pause:2")
    wanted = place.wanted(twice)
    assert sum(ref.host == "n1" and "/images/" in ref.name for ref in wanted) == 1


def test_an_image_whose_layers_are_others_is_not_taken(place: Place) -> None:
    path = place.folder / "images/lab/pause/manifests/1"
    described = json.loads(path.read_bytes())
    web = json.loads((place.folder / "images/lab/web/manifests/1").read_bytes())
    path.write_text(json.dumps({**described, "layers": web["layers"]}))
    with refused("image lab/pause:1: its layer"):
        place.create()


def test_where_there_is_no_room_nothing_is_left(place: Place) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with refused("the bundle cannot be written: File too large", InstallerError):
            place.create()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not place.file.exists()
    assert list(place.folder.glob(".*")) == []


# images


def content(one: Layer) -> bytes:
    with one.open() as stream:
        return stream.read()


def layer(data: bytes, name: str = "layer") -> Layer:
    return Layer(name, len(data), lambda: io.BytesIO(data))


def config(*layers: bytes, **changed: object) -> bytes:
    diffs = [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers]
    return json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": diffs}, **changed}).encode()


def test_an_archive_is_read_as_it_was_written(tmp_path: Path) -> None:
    image = Image(config(b"one", b"two"), [layer(b"one"), layer(gzip.compress(b"two"))])
    images.write(image, ["b:1", "a:1"], tmp_path / "a.tar")
    with images.archive(tmp_path / "a.tar") as found:
        assert sorted(found) == ["a:1", "b:1"]
        assert found["a:1"].id == image.id
        assert gzip.decompress(content(found["a:1"].layers[1])) == b"two"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image(config(b"one"), [layer(b"two")]), "its layer layer is sha256:"),
        (Image(config(b"one"), []), "it has 0 layers, but its configuration lists 1"),
        (Image(config(architecture="arm64"), []), "it is for linux/arm64"),
        (Image(config(b"x"), [layer(b"\x28\xb5\x2f\xfd")]), "zstd"),
    ],
)
def test_an_image_that_docker_could_not_load_is_refused(image: Image, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match=words):
        images.write(image, ["a:1"], tmp_path / "a.tar")


def saved(path: Path, members: Mapping[str, bytes | str]) -> Path:
    """An archive with files, and links where there is a text."""
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(data, str):
                member.type, member.linkname = (tarfile.SYMTYPE, data) if data else (tarfile.DIRTYPE, "")
                tar.addfile(member)
            else:
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


def described(**changed: object) -> bytes:
    return json.dumps([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["b/layer.tar"], **changed}]).encode()


def test_a_fifo_is_no_archive_and_nobody_waits_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar")
    with (
        pytest.raises(BadImageError, match="it cannot be read: is a FIFO, not a file"),
        images.archive(tmp_path / "a.tar"),
    ):
        pass


def test_a_layer_that_is_there_twice_is_a_link_in_old_archives(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "a.tar",
        {
            "manifest.json": described(),
            "c.json": config(b"one"),
            "./x/layer.tar": b"one",
            "b/layer.tar": ".././x/layer.tar",
        },
    )
    with images.archive(path) as found:
        assert content(found["a:1"].layers[0]) == b"one"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"a": b""}, "it has no manifest.json"),
        ({"manifest.json": b"[" * 100_000}, "it cannot be read"),
        ({"manifest.json": b"[1]"}, "it cannot be read"),
        ({"manifest.json": b" " * ((16 << 20) + 1)}, "manifest.json has more than 16 MiB"),
        ({"manifest.json": b"{"}, "it cannot be read"),
        ({"manifest.json": described()}, "it cannot be read"),
        ({"manifest.json": described(), "c.json": ""}, "c.json is not a file"),
    ],
)
def test_what_is_no_archive_of_images_is_said(members: Mapping[str, bytes | str], words: str, tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match=words), images.archive(saved(tmp_path / "a.tar", members)):
        pass


def test_a_layer_that_is_no_file_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tar", {"manifest.json": described(RepoTags=None), "c.json": b"{}", "b/layer.tar": ""})
    with images.archive(path) as found:
        assert found == {}
    path = saved(tmp_path / "a.tar", {"manifest.json": described(), "c.json": b"{}", "b/layer.tar": ""})
    with images.archive(path) as found, pytest.raises(BadImageError, match="is not a file"):
        found["a:1"].layers[0].open()


def test_a_name_without_a_tag_means_latest() -> None:
    assert [images.full(name) for name in ("a", "a:1", "h:5000/a")] == ["a:latest", "a:1", "h:5000/a:latest"]


# registries


class Guarded(BaseHTTPRequestHandler):
    """A registry that gives a token, has its image behind a list of manifests, and says other things when asked to."""

    answers: ClassVar[dict[str, tuple[int, dict[str, str], bytes]]]
    asked: ClassVar[list[tuple[str, str]]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization", "")))
        status, headers, body = self.answers.get(self.path.partition("?")[0], (HTTPStatus.NOT_FOUND, {}, b""))
        if (
            self.path.startswith("/v2/")
            and self.headers.get("Authorization") != "Bearer t"
            and "/token" in self.answers
        ):
            realm = f'Bearer realm="http://{self.headers["Host"]}/token",service="s"'
            status, headers, body = HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": realm}, b""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        pass


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[Registry, type[Guarded]]]:
    handler = type("Handler", (Guarded,), {"answers": {}, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with serving([server]) as (address,):
        yield Registry(Store(tmp_path / "store"), address), handler


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def listed(handler: type[Guarded], **changed: object) -> None:
    """The answers of a registry with one image for two machines, and a token."""
    blob, conf = b"layer", config(b"layer")
    one = json.dumps(
        {
            "config": {"digest": digest(conf), "size": len(conf)},
            "layers": [{"digest": digest(blob), "size": len(blob)}],
            **changed,
        }
    ).encode()
    several = [
        {"digest": "sha256:00", "platform": {"os": "linux", "architecture": "arm64"}},
        {"digest": digest(one), "platform": {"os": "linux", "architecture": "amd64"}},
    ]
    handler.answers.update(
        {
            "/token": (200, {}, b'{"token": "t"}'),
            "/v2/a/b/manifests/1": (200, {}, json.dumps({"manifests": several}).encode()),
            f"/v2/a/b/manifests/{digest(one)}": (200, {}, one),
            f"/v2/a/b/blobs/{digest(conf)}": (200, {}, conf),
            f"/v2/a/b/blobs/{digest(blob)}": (200, {}, blob),
        }
    )


def test_an_image_is_pulled_with_a_token_for_this_machine_alone(guarded: tuple[Registry, type[Guarded]]) -> None:
    registry, handler = guarded
    listed(handler)
    image = registry.pull("a/b:1")
    assert content(image.layers[0]) == b"layer"
    assert [path for path, token in handler.asked if not token] == [
        "/v2/a/b/manifests/1", "/token?service=s&scope=repository%3Aa%2Fb%3Apull",
    ]  # fmt: skip
    registry.pull("a/b:1")
    assert sum("/blobs/" in path for path, _ in handler.asked) == 2


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"/token": (404, {}, b"")}, "gives no anonymous token for a/b"),
        ({"/token": (200, {}, b"{}")}, "gives no anonymous token for a/b"),
        ({"/v2/a/b/manifests/1": (404, {}, b"")}, "has no a/b 1 for anonymous users: it answers 404"),
        ({"/v2/a/b/manifests/1": (200, {}, b"<html>")}, "the answer is not a manifest"),
        ({"/v2/a/b/manifests/1": (200, {}, b'{"manifests": []}')}, "a/b:1 does not exist for linux/amd64"),
        ({"/v2/a/b/manifests/1": (200, {}, b'{"schemaVersion": 1}')}, "only in the format from before docker 1.10"),
    ],
)
def test_what_a_registry_refuses_is_said(
    guarded: tuple[Registry, type[Guarded]], answers: dict[str, tuple[int, dict[str, str], bytes]], words: str
) -> None:
    registry, handler = guarded
    listed(handler)
    handler.answers.update(answers)
    with refused(words, InstallerError):
        registry.pull("a/b:1")


def test_other_bytes_than_a_digest_says_are_refused(guarded: tuple[Registry, type[Guarded]]) -> None:
    registry, handler = guarded
    listed(handler)
    blob = f"/v2/a/b/blobs/{digest(b'layer')}"
    handler.answers[blob] = (200, {}, b"LAYER")
    with refused("does not match its source", InstallerError):
        registry.pull("a/b:1")
    (name,) = [path for path in handler.answers if "manifests/sha256" in path]
    handler.answers[name] = (200, {}, b"{}")
    with refused("is another", InstallerError):
        registry.pull("a/b:1")
    listed(handler, layers=[{"digest": "sha512:00", "size": 1}])
    with refused("a sha512 digest", InstallerError):
        registry.pull("a/b:1")


def test_a_registry_that_wants_a_password_or_does_not_answer_is_said(guarded: tuple[Registry, type[Guarded]]) -> None:
    registry, handler = guarded
    handler.answers["/v2/a/b/manifests/1"] = (401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")
    with refused("requires a password for a/b", InstallerError):
        registry.pull("a/b:1")
    with refused("cannot ask 127.0.0.1:1 for a", InstallerError):
        registry.pull("127.0.0.1:1/a:1")
    with refused("a:1 has no registry in its name"):
        Registry(registry.store).pull("a:1")
    assert registry._url("h:1", "a", "x") == "https://h:1/v2/a/x"


# downloads


class Broken(BaseHTTPRequestHandler):
    """Ends every answer after some bytes, and goes on where it is asked to."""

    content = b"0123456789" * 100
    honours = True
    ranges: ClassVar[list[str]]

    def do_GET(self) -> None:
        asked = re.fullmatch("bytes=([0-9]+)-", self.headers.get("Range", ""))
        self.ranges.append(self.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.honours else 0
        if start >= len(self.content):
            self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            return
        self.send_response(HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        self.wfile.write(self.content[start : start + 400])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        pass


@pytest.fixture
def broken() -> Iterator[tuple[str, type[Broken]]]:
    handler = type("Handler", (Broken,), {"ranges": []})
    with serving([ThreadingHTTPServer(("127.0.0.1", 0), handler)]) as (address,):
        yield f"{address}/file", handler


def fetch(store: Store, url: str, content: bytes = Broken.content) -> Path:
    return store.fetch(url, ("sha256", hashlib.sha256(content).hexdigest()), limit=len(content))


def test_a_download_that_breaks_off_is_gone_on_with(tmp_path: Path, broken: tuple[str, type[Broken]]) -> None:
    url, handler = broken
    assert fetch(Store(tmp_path), url).read_bytes() == Broken.content
    assert handler.ranges == ["", "bytes=400-", "bytes=800-"]
    assert fetch(Store(tmp_path), url).read_bytes() == Broken.content
    assert len(handler.ranges) == 3


def test_what_a_server_does_not_go_on_with_is_refused_in_the_end(
    tmp_path: Path, broken: tuple[str, type[Broken]]
) -> None:
    url, handler = broken
    handler.honours = False
    with refused("does not match its source", InstallerError):
        fetch(Store(tmp_path), url)
    assert len(handler.ranges) == 4
    assert list(tmp_path.iterdir()) == []


def test_an_address_where_nothing_is_is_said(tmp_path: Path) -> None:
    folder = repository(tmp_path / "repo", [Built("a")])
    with served(folder, folder) as (address, _), refused("404 File not found", InstallerError):
        fetch(Store(tmp_path / "store"), f"{address}/none")


def test_what_is_there_whole_but_was_not_summed_is_taken(tmp_path: Path, broken: tuple[str, type[Broken]]) -> None:
    store = Store(tmp_path)
    path = store.path(("sha256", hashlib.sha256(Broken.content).hexdigest()))
    path.with_name(f"{path.name}.part").write_bytes(Broken.content)
    assert fetch(store, broken[0]).read_bytes() == Broken.content


def test_what_cannot_be_had_is_said(tmp_path: Path) -> None:
    for words, url in (("refused", "http://127.0.0.1:1/x"), ("No such file", "file:///nonexistent")):
        with pytest.raises(InstallerError, match=words):
            fetch(Store(tmp_path), url)
        with pytest.raises(InstallerError, match=words):
            read(url)


def test_a_connection_that_is_reset_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def reset(url: str, *_: object) -> None:
        tries.append(url)
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr("k8s_installer.bundle.store.opened", reset)
    with pytest.raises(InstallerError, match="Connection reset by peer"):
        fetch(Store(tmp_path), "http://127.0.0.1:1/x")
    assert len(tries) == 4


def test_what_nobody_has_used_for_a_month_goes(tmp_path: Path) -> None:
    for name, age in (("old", 31), ("new", 29)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time.time() - age * 86400,) * 2)
    (tmp_path / "folder").mkdir()
    Store(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "new"]
    with refused("cannot keep files in"):
        Store(tmp_path / "new" / "x")


# commands


def checked(path: Path, bundle: Path | None = None, *, opens: bool = True) -> tuple[Cluster, profiles.Profile]:
    return inputs.read(Inputs(path, bundle=bundle), Terminal(path), opens=opens)


def inventory_file(place: Place, text: str) -> Path:
    path = place.folder / "cluster.yaml"
    hosts = "hosts:\n  m1: {address: 10.77.0.11, roles: [etcd, master]}\n  n1: {address: 10.77.0.21, roles: [node]}\n"
    path.write_text(f"{text}\n{MORE}{hosts}")
    return path


def test_the_commands_make_a_bundle_show_it_and_take_programs_from_it(
    place: Place,
) -> None:
    (place.folder / "server.tar.gz").touch()
    digest = packed(place.folder / "server.tar.gz", GOOD)
    text = f'cluster: {{name: lab, version: "1.20.2", programs: tarball, tarball: {{PLACEsha256: {digest}}}}}'
    path = inventory_file(place, text.replace("PLACE", "path: server.tar.gz, "))
    assumed = ("systemd", "conntrack-tools", "socat")
    asked = flow.BundleRequest(path, None, place.file, (place.repository,), None, assumed, place.registry)
    shown = report.lines(place.file, flow.create(asked, Terminal(path))).plain
    assert "2, " in shown  # etcd and docker come by yum in both cases
    assert "unsigned, not checked by yum: 1" in shown
    assert "programs  " in shown
    assert report.data(place.file, flow.verify(place.file, path, None, Terminal(path)))["cluster"] == "lab"
    (place.folder / "server.tar.gz").unlink()
    path = inventory_file(place, text.replace("PLACE", ""))  # upstream's, and nobody goes there
    cluster, profile = checked(path, place.file)
    kubelet = tarball.programs(cluster, profile)["kubelet"]
    assert kubelet.source.read_bytes() == GOOD["kubernetes/server/bin/kubelet"]


def test_a_bundle_of_packages_and_images_shows_no_more_than_that(place: Place) -> None:
    made = place.create().model_copy(update={"assumed": ()})
    words = [line.split()[0] for line in report.lines(place.file, made).plain.splitlines()[1:]]
    assert words == ["packages", "image", "image", "manifest"]


def test_a_bundle_that_is_not_named_or_not_enough_is_said_with_what_to_do(place: Place) -> None:
    place.create()
    base = 'cluster: {name: lab, version: "1.20.2"}\nrepos: '
    with refused("cluster.yaml:2: repos: bundle: no bundle is set (use --bundle FILE, or repos: {bundle: FILE}"):
        checked(inventory_file(place, base + "bundle"))
    assert checked(inventory_file(place, base + "bundle"), opens=False)[0].bundle == ""
    assert checked(inventory_file(place, base + "{bundle: lab.bundle}"))[0].bundle == str(place.file)
    assert checked(inventory_file(place, base + "as-is"))[0].bundle is None
    with refused("no package kubernetes-client 1.20.15 (available: 1.20.2)"):
        checked(inventory_file(place, base.replace("20.2", "20.15") + "bundle"), place.file)
    path = inventory_file(place, base + "bundle")
    with refused("--repo ftp://x: must begin with https://, http:// or file://"):
        flow.create(flow.BundleRequest(path, None, place.file, ("ftp://x",), None, (), ""), Terminal(path))
