"""Programs out of a tarball: what is taken, what is refused, and what an earlier run has kept."""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from k8s_installer import inventory, profiles
from k8s_installer.errors import InputError, InventoryError
from k8s_installer.inventory import Cluster
from k8s_installer.model.resources import UploadedFile
from k8s_installer.profiles import Profile
from k8s_installer.sources import tarball
from tests.unit.clusters import SUM, TOPOLOGIES, cluster

NAMES = ("kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
GOOD = {
    **{f"kubernetes/server/bin/{name}": f"the program {name}".encode() for name in NAMES},
    "kubernetes/server/bin/kube-apiserver.docker_tag": b"v1.20.2\n",
    "kubernetes/server/bin/kube-apiserver.tar": b"an image",
    "kubernetes/LICENSES": b"words",
}
PROFILE = profiles.load("1.20.2")


def packed(path: Path, files: Mapping[str, bytes], *others: tarfile.TarInfo) -> str:
    """Write a tarball; its sum."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in others:
            tar.addfile(member)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def named(where: str, sha256: str, version: str = "1.20.2") -> Cluster:
    text = f'cluster: {{name: lab, version: "{version}", programs: tarball, tarball: {{{where}, sha256: {sha256}}}}}'
    return inventory.parse(f"{text}\nhosts:{TOPOLOGIES['all-in-one']}", Path("/srv/lab/inventory.yaml"))


def packaged(folder: Path, files: Mapping[str, bytes], *others: tarfile.TarInfo) -> Cluster:
    path = folder / "server.tar.gz"
    sha256 = packed(path, files, *others)
    return named(f"path: {path}", sha256)


def taken(lab: Cluster, folder: Path, profile: Profile = PROFILE) -> dict[str, UploadedFile]:
    return tarball.programs(lab, profile, cache=folder / "cache" / "programs")


def refused(lab: Cluster, folder: Path) -> str:
    """The one message with which a tarball is refused; nothing of it is kept."""
    with pytest.raises(InventoryError) as caught:
        taken(lab, folder)
    assert len(caught.value.findings) == 1
    return str(caught.value).removeprefix("/srv/lab/inventory.yaml:1: cluster.tarball: ")


def test_the_programs_are_taken_out_with_their_sums_and_nothing_else_is(tmp_path: Path) -> None:
    lab = packaged(tmp_path, GOOD)
    programs = taken(lab, tmp_path)
    assert tuple(programs) == NAMES
    kubelet = programs["kubelet"]
    assert kubelet.source.read_bytes() == b"the program kubelet"
    assert kubelet == UploadedFile(Path(), hashlib.sha256(b"the program kubelet").hexdigest(), 19, 0o755)
    assert lab.tarball is not None
    there = {path.name for path in (tmp_path / "cache/programs" / lab.tarball.sha256).iterdir()}
    assert there == {*NAMES, "record.json"}
    assert {path.name for path in (tmp_path / "cache/programs").iterdir()} == {lab.tarball.sha256, ".lock"}


def test_what_is_kept_is_used_without_the_tarball(tmp_path: Path) -> None:
    lab = packaged(tmp_path, GOOD)
    first = taken(lab, tmp_path)
    (tmp_path / "server.tar.gz").unlink()
    said: list[str] = []
    assert tarball.programs(lab, PROFILE, said.append, tmp_path / "cache/programs") == first
    assert said == []


@pytest.mark.parametrize("damage", ["a program is cut off", "a program is gone", "no record", "a record of others"])
def test_what_is_not_whole_is_taken_out_anew(tmp_path: Path, damage: str) -> None:
    lab = packaged(tmp_path, GOOD)
    kubelet = taken(lab, tmp_path)["kubelet"].source
    record = kubelet.with_name("record.json")
    if damage == "a program is cut off":
        kubelet.write_bytes(b"the")
    elif damage == "a program is gone":
        kubelet.unlink()
    elif damage == "no record":
        record.write_text("{", encoding="utf-8")
    else:
        record.write_text('{"programs": {}, "tags": {}}', encoding="utf-8")
    assert taken(lab, tmp_path)["kubelet"].source.read_bytes() == b"the program kubelet"


def test_packages_need_no_tarball(tmp_path: Path) -> None:
    assert taken(cluster(), tmp_path) == {}
    assert not (tmp_path / "cache").exists()


def test_another_file_is_refused_with_both_sums(tmp_path: Path) -> None:
    came = packed(tmp_path / "server.tar.gz", GOOD)
    words = refused(named(f"path: {tmp_path}/server.tar.gz", SUM), tmp_path)
    assert words == f"{tmp_path}/server.tar.gz is a different file: its SHA-256 is {came}, not {SUM}"


def test_a_tarball_without_a_program_is_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("kubernetes/server/bin/kubelet")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    files = {name: content for name, content in GOOD.items() if not name.endswith(("/kubelet", "/kube-proxy"))}
    lab = packaged(tmp_path, {**files, "../kubelet": b"x", "kubernetes/server/bin/../kube-proxy": b"x"}, link)
    assert refused(lab, tmp_path) == (
        f"{tmp_path}/server.tar.gz has no kubelet, kube-proxy in kubernetes/server/bin/: it is not the server tarball"
    )


def test_a_tarball_of_another_version_is_refused_where_it_tells_its_version(tmp_path: Path) -> None:
    lab = packaged(tmp_path, {**GOOD, "kubernetes/server/bin/kube-proxy.docker_tag": b"v1.20.15"})
    words = f"{tmp_path}/server.tar.gz is of Kubernetes v1.20.15, not v1.20.2"
    assert refused(lab, tmp_path) == words
    assert refused(lab, tmp_path) == words  # it is kept, and still refused
    silent = {name: content for name, content in GOOD.items() if not name.endswith("_tag")}
    assert taken(packaged(tmp_path, silent), tmp_path)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"no tarball", "not a gzip file"), (b"\x1f\x8b\x08\x00" + bytes(6) + b"\xff" * 40, "")],
)
def test_what_is_no_tarball_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "server.tar.gz"
    path.write_bytes(content)
    lab = named(f"path: {path}", hashlib.sha256(content).hexdigest())
    assert refused(lab, tmp_path).startswith(f"{path} is not a readable tarball: {why}")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    lab = packaged(tmp_path, GOOD)
    (tmp_path / "server.tar.gz").unlink()
    assert refused(lab, tmp_path) == f"{tmp_path}/server.tar.gz cannot be read: No such file or directory"


def test_where_nothing_can_be_kept_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(InputError, match=f"cannot store programs below {tmp_path}/cache/programs: Not a directory"):
        taken(packaged(tmp_path, GOOD), tmp_path)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has
        self.server.asked.append(self.path)  # type: ignore[attr-defined]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    (tmp_path / "www").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "www"))) as made:
        made.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_an_address_is_downloaded_once(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    sha256 = packed(tmp_path / "www/server.tar.gz", GOOD)
    lab = named(f"url: '{address(server)}/server.tar.gz'", sha256)
    said: list[str] = []
    first = tarball.programs(lab, PROFILE, said.append, tmp_path / "cache")
    assert first["kubelet"].source.read_bytes() == b"the program kubelet"
    assert said[0] == "downloading server.tar.gz: 0 of 0 MB"
    assert "unpacking kubelet from archive" in said
    assert tarball.programs(lab, PROFILE, cache=tmp_path / "cache") == first
    assert server.asked == ["/server.tar.gz"]  # type: ignore[attr-defined]
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {sha256, ".lock"}


def test_without_a_place_it_is_upstream_s(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    (tmp_path / "www/v1.20.2").mkdir()
    sha256 = packed(tmp_path / "www/v1.20.2/server.tar.gz", GOOD)
    lab = cluster(programs="tarball", tarball=f"{{sha256: {sha256}}}")
    elsewhere = PROFILE.model_copy(
        update={"tarball": PROFILE.tarball.replace("https://dl.k8s.io", address(server)).replace("kubernetes-", "")
                .replace("-linux-amd64", "")}
    )  # fmt: skip
    assert tuple(taken(lab, tmp_path, elsewhere)) == NAMES


def test_an_address_where_nobody_listens_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken_port:  # bound and never listened on
        taken_port.bind(("127.0.0.1", 0))
        words = refused(named(f"url: 'http://127.0.0.1:{taken_port.getsockname()[1]}/a'", SUM), tmp_path)
    assert words.endswith("/a cannot be downloaded: <urlopen error [Errno 111] Connection refused>")


def test_an_address_that_has_no_such_file_is_named(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    lab = named(f"url: '{address(server)}/none.tar.gz'", SUM)
    assert refused(lab, tmp_path) == (
        f"{address(server)}/none.tar.gz cannot be downloaded: HTTP Error 404: File not found"
    )
    assert [path.name for path in (tmp_path / "cache/programs").iterdir()] == [".lock"]


def test_only_a_file_is_on_this_machine() -> None:
    assert not tarball.remote(cluster())
    assert tarball.remote(cluster("1.9.4"))
    assert tarball.remote(named("url: 'https://host/a.tar.gz'", SUM))
    assert not tarball.remote(named("path: /etc/hostname", SUM))
