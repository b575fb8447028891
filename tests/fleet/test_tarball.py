"""Programs from a tarball on real hosts: bootstrap, a second run, one program changed. In order."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import releases
from tests.fleet.conftest import Cluster, made_cluster, running_lab
from tests.fleet.releases import OWN

pytestmark = pytest.mark.fleet

MASTER = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODE = ("kubelet", "kube-proxy")
MORE = b"\0"  # after the end of a program: other bytes that run the same


def packed(path: Path, changed: str = "", version: str = OWN) -> str:
    """A tarball of the lab's programs in upstream's layout, one of them `changed`, or all of a version; its SHA-256."""
    made = releases.made() if version == OWN else releases.saying(path.with_suffix(".bin"), version)
    folder = path.with_suffix(".d") / "kubernetes/server/bin"
    folder.mkdir(parents=True)
    for name, source in made.items():
        if name == changed:
            (folder / name).write_bytes(source.read_bytes() + MORE)
        else:
            (folder / name).symlink_to(source)
        (folder / f"{name}.docker_tag").write_text(f"v{version}\n")
    with tarfile.open(path, "w:gz", compresslevel=0, dereference=True) as tar:
        tar.add(folder.parents[1], "kubernetes")
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def named(text: str, path: Path, sha256: str) -> str:
    """The lab's inventory with its programs from a tarball, and the cgroup driver that its docker's unit does not pass."""
    line = f"  programs: tarball\n  tarball: {{path: {path}, sha256: {sha256}}}\n"
    return text.replace("  pod_cidr:", f"{line}  pod_cidr:", 1) + "host_settings: {cgroup_driver: cgroupfs}\n"


@pytest.fixture(scope="module")
def lab() -> Iterator[dict[str, Any]]:
    with running_lab("ttarball", "--masters", "1", "--nodes", "1") as made:
        yield made


@pytest.fixture(scope="module")
def cluster(lab: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("tarball")
    bare = made_cluster(lab, folder)
    path = folder / "server.tar.gz"
    text = named(bare.text, path, packed(path))
    bare.inventory.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))  # 400 MB of programs that nobody wants again
        yield replace(bare, text=text, bootstrap=bare.run("apply", "--yes"))
    shutil.rmtree(folder)


def changes(cluster: Cluster, text: str) -> list[tuple[str, str, str]]:
    done = cluster.run("plan", "-o", "json", text=text)
    assert done.returncode in (0, 3), done.stderr
    return [(change["host"], change["action"], change["name"]) for change in json.loads(done.stdout)["changes"]]


@pytest.mark.runs(version="1.20.2", source="tarball", network="routes", security="tls")
def test_the_cluster_is_bootstrapped_and_proven_without_a_package_of_kubernetes(cluster: Cluster) -> None:
    done = cluster.bootstrap
    assert done is not None
    assert done.returncode == 0, done.stderr
    for host, names in (("m1", MASTER), ("n1", NODE)):
        assert "kubernetes" not in cluster.on(host, "rpm -qa")
        for name in names:
            assert cluster.on(host, f"systemctl show -p FragmentPath {name}") == (
                f"FragmentPath=/etc/systemd/system/{name}.service\n"
            )
    assert cluster.on("m1", "stat -c '%U %a' /run/kubernetes") == "kube 755\n"
    assert cluster.on("m1", "ps -o user= -C kube-apiserver").strip() == "kube"


def test_docker_and_the_kubelet_run_with_the_cgroup_driver_of_the_inventory(cluster: Cluster) -> None:
    assert cluster.on("n1", "docker info -f '{{.CgroupDriver}}' 2>/dev/null") == "cgroupfs\n"
    assert "native.cgroupdriver=systemd" in cluster.on("n1", "cat /usr/lib/systemd/system/docker.service")
    assert "native.cgroupdriver=systemd" not in cluster.on("n1", "tr '\\0' ' ' </proc/$(pidof dockerd-current)/cmdline")
    assert cluster.on("n1", "systemctl show -p NRestarts kubelet docker | sort -u").split() == ["NRestarts=0"]


def test_a_second_run_changes_nothing_and_does_not_open_the_tarball(cluster: Cluster) -> None:
    before = cluster.processes()
    done = cluster.run("apply", "--yes", "--no-verify")
    assert (done.returncode, done.stdout) == (0, "No changes: every host matches the inventory.\n"), done.stderr
    assert cluster.processes() == before


def test_a_program_that_changes_restarts_its_own_unit_alone(cluster: Cluster) -> None:
    path = cluster.folder / "changed.tar.gz"
    sha256 = packed(path, "kube-proxy")
    text = cluster.text.replace(str(cluster.folder / "server.tar.gz"), str(path))
    text = re.sub("sha256: [0-9a-f]+", f"sha256: {sha256}", text)
    assert changes(cluster, text) == [
        ("n1", "update", "/usr/bin/kube-proxy"),
        ("n1", "restart", "kube-proxy"),
        ("n1", "wait", "kube-proxy is healthy"),
    ]
    before = cluster.processes()
    assert cluster.run("apply", "--yes", "--no-verify", text=text).returncode == 0
    after = cluster.processes()
    assert {name for name in before if before[name] != after[name]} == {"n1 kube-proxy"}
    assert changes(cluster, text) == []


def test_what_is_wrong_with_a_tarball_is_said_before_any_host_is_asked(cluster: Cluster) -> None:
    path = cluster.folder / "server.tar.gz"
    text = re.sub("sha256: [0-9a-f]+", f"sha256: {'0f' * 32}", cluster.text)
    done = cluster.run("plan", text=text.replace(cluster.addresses["m1"], "192.0.2.1"))
    assert done.returncode == 2
    assert f"{path} is a different file: its SHA-256 is" in done.stderr


def test_packages_take_the_place_of_the_tarball_and_it_theirs(cluster: Cluster) -> None:
    """One apply each way, after which nothing is left to change, and of the other way there is nothing on the hosts."""
    line = next(line for line in cluster.text.splitlines() if line.startswith("  programs: tarball"))
    packages = cluster.text.replace(f"{line}\n", "").replace(
        next(line for line in cluster.text.splitlines() if line.startswith("  tarball:")) + "\n", ""
    )
    ours = "ls /etc/systemd/system/kube-*.service /etc/systemd/system/kubelet.service 2>/dev/null || true"
    for text, packaged in ((packages, True), (cluster.text, False)):
        done = cluster.run("apply", "--yes", text=text)
        assert done.returncode == 0, done.stdout + done.stderr
        again = cluster.run("plan", text=text)
        assert again.returncode == 0, again.stdout
        for host, package in (("m1", "kubernetes-master"), ("n1", "kubernetes-node")):
            assert ("not installed" in cluster.on(host, f"rpm -q {package} || true")) is not packaged
            assert (cluster.on(host, ours) == "") is packaged
            assert cluster.on(host, "find /etc/kubernetes /usr/bin -name '*.rpm*'") == ""


def test_another_patch_version_comes_by_an_edit_of_version_and_tarball(cluster: Cluster) -> None:
    """Killed on the way and typed again."""
    path = cluster.folder / "next.tar.gz"
    text = re.sub("sha256: [0-9a-f]+", f"sha256: {packed(path, version='1.20.3')}", cluster.text)
    text = text.replace(str(cluster.folder / "server.tar.gz"), str(path))
    assert "is of Kubernetes v1.20.3, not v1.20.2" in cluster.run("plan", text=text).stderr
    text = text.replace(OWN, "1.20.3")
    steps = changes(cluster, text)
    assert [host for host, action, _ in steps if action == "update"] == ["m1"] * 4 + ["n1"] * 3
    assert {name for host, action, name in steps if (host, action) == ("m1", "restart")} == set(MASTER)
    edited = cluster.folder / "edited.yaml"
    edited.write_text(text)
    argv = [sys.executable, "-m", "tests.fleet.crash", "9", str(edited)]
    died = subprocess.run(argv, capture_output=True, check=False, timeout=600, stdin=subprocess.DEVNULL)
    assert died.returncode == -signal.SIGKILL
    assert cluster.run("apply", "--yes", "--no-verify", text=text).returncode == 0
    assert changes(cluster, text) == []
    assert cluster.on("m1", "kubectl get --raw /version | grep gitVersion").strip() == '"gitVersion": "v1.20.3",'
    assert cluster.on("m1", "kubectl get node n1 -o jsonpath={.status.nodeInfo.kubeletVersion}") == "v1.20.3"
