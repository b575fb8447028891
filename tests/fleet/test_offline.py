"""A bundle on hosts that reach nothing: made, cut off halfway, applied, a second time, damaged. In order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from k8s_installer.lab import debian
from k8s_installer.lab.server import servers
from tests.fleet.conftest import EVERY, Cluster, installer, made_cluster, running_lab
from tests.fleet.releases import NEXT, OWN, RELEASES, repository
from tests.fleet.wire import heard

pytestmark = pytest.mark.fleet

LAB = "toffline"
# Packages of the lab require what its hosts have of themselves, and the lab's repository has not.
ASSUMED = [
    word for name in ("/bin/sh", "shadow-utils", "iptables", "conntrack-tools", "socat") for word in ("--assume", name)
]
CUT_AT = 20_000_000
IMAGES = ("lab/pause:1", "lab/web:1")


@dataclass
class Offline:
    """A cluster without a network, its bundle, and what was heard where it could have left."""

    cluster: Cluster
    lab: dict[str, Any]
    bundle: Path
    made: dict[str, Any]
    packets: list[bytes]

    def apply(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.cluster.run("apply", "--yes", "--bundle", str(self.bundle), "-o", "json", *arguments)


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offline]:
    with (
        running_lab(LAB, "--masters", "1", "--nodes", "1", "--offline") as lab,
        pytest.MonkeyPatch.context() as patch,
        heard(f"lab-{LAB}", lab["network"].replace(".0/24", ".2")) as packets,
    ):
        folder = tmp_path_factory.mktemp("offline")
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        cluster = made_cluster(lab, folder)
        bundle = folder / "lab.bundle"
        yield Offline(cluster, lab, bundle, created(cluster, lab, bundle), packets)
    shutil.rmtree(folder)


def created(cluster: Cluster, lab: dict[str, Any], bundle: Path) -> dict[str, Any]:
    """A bundle from a repository and a registry on this machine, which the hosts do not reach."""
    started = servers("127.0.0.1", Path(lab["packages"]), Path(lab["images"]), (0, 0))
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in started]
    for thread in threads:
        thread.start()
    try:
        repository, registry = (f"http://127.0.0.1:{server.server_port}" for server in started)
        done = cluster.run(
            "bundle", "create", "-o", str(bundle), "--repo", repository, "--registry", registry, *ASSUMED,
            "--output-format", "json",
        )  # fmt: skip
    finally:
        for server, thread in zip(started, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def sizes(made: dict[str, Any], *names: str) -> int:
    """How many bytes the packages and images of these names have."""
    files = [*made["rpms"], *made["images"]]
    return sum(file["size"] for file in files if file["name"].startswith(names))


def counters() -> dict[str, str]:
    """What the namespace of the lab's bridge has seen, sent and passed on of IP."""
    argv = ["ip", "netns", "exec", f"lab-{LAB}", "cat", "/proc/net/snmp"]
    lines = [
        line.split() for line in subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    ]
    names, values = (line for line in lines if line[0] == "Ip:")
    found = dict(zip(names, values, strict=True))
    return {name: found[name] for name in ("InReceives", "ForwDatagrams", "OutRequests", "InDelivers")}


def test_the_bundle_has_what_each_role_needs_and_no_more(offline: Offline) -> None:
    names = sorted(rpm["name"].split("/")[1].rsplit("-", 2)[0] for rpm in offline.made["rpms"])
    assert names == ["docker", "etcd", "kubernetes-client", "kubernetes-master", "kubernetes-node"]
    assert [image["references"] for image in offline.made["images"]] == [["lab/pause:1"], ["lab/web:1"]]
    done = installer("bundle", "verify", str(offline.bundle), "-i", str(offline.cluster.inventory))
    assert done.returncode == 0, done.stderr
    assert "every file matches the manifest" in done.stderr


def test_a_damaged_bundle_is_refused_before_any_host_is_asked(offline: Offline) -> None:
    damaged = offline.cluster.folder / "damaged.bundle"
    shutil.copy(offline.bundle, damaged)
    with damaged.open("r+b") as stream:
        stream.seek(offline.bundle.stat().st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, 1)
        stream.write(bytes([byte[0] ^ 1]))
    unreachable = offline.cluster.text.replace(offline.cluster.addresses["m1"], "192.0.2.1")
    for done in (
        installer("bundle", "verify", str(damaged)),
        offline.cluster.run("apply", "--yes", "--bundle", str(damaged), text=unreachable),
    ):
        assert done.returncode == 2
        assert "is damaged: the content of " in done.stderr
    damaged.unlink()


def test_a_bundle_that_lacks_something_is_refused_before_any_host_is_asked(offline: Offline) -> None:
    text = offline.cluster.text.replace(offline.cluster.addresses["m1"], "192.0.2.1")
    text = text.replace('version: "1.20.2"', 'version: "1.20.15"').replace("lab/web:1", "lab/web:2")
    done = offline.cluster.run("plan", "--bundle", str(offline.bundle), text=text)
    assert done.returncode == 2
    assert "no package kubernetes-master 1.20.15 (available: 1.20.2)" in done.stderr
    assert "no image lab/web:2" in done.stderr
    done = offline.cluster.run("plan", text=text)
    assert done.returncode == 2
    assert "repos: bundle: no bundle is set" in done.stderr


def test_an_upload_that_is_cut_off_is_gone_on_with_and_the_cluster_is_proven_with_pods(offline: Offline) -> None:
    seen = counters()
    argv = [sys.executable, "-m", "k8s_installer", "apply", "--yes", "-i", str(offline.cluster.inventory)]
    first = subprocess.Popen(
        [*argv, "--bundle", str(offline.bundle)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        came = "du -sb /var/lib/k8s-installer/incoming 2>/dev/null | cut -f1"
        offline.cluster.on("n1", f'n=0; while s=$({came}); [ "${{s:-0}}" -lt {CUT_AT} ] && [ $n -lt 1500 ]; do '
                           "n=$((n + 1)); sleep 0.02; done; [ $n -lt 1500 ]")  # fmt: skip
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    assert "kubernetes" not in offline.cluster.on("n1", "rpm -qa")
    done = offline.apply()
    assert done.returncode == 0, done.stderr
    offline.cluster = replace(offline.cluster, bootstrap=done)
    data = json.loads(done.stdout)
    assert data["verify"]["passed"]
    assert any("every pod answers" in check["name"] for check in data["verify"]["checks"])
    packages = [rpm["name"] for rpm in offline.made["rpms"]]
    on_node = sizes(offline.made, "images/", *(name for name in packages if "docker" in name or "-node" in name))
    on_node += sizes(offline.made, *(name for name in packages if "-client" in name))
    assert 0 < data["sent_bytes"]["n1"] <= on_node - CUT_AT
    assert counters() == seen
    assert offline.packets == []


def test_the_hosts_have_no_way_out(offline: Offline) -> None:
    for host in offline.cluster.addresses:
        assert "default" not in offline.cluster.on(host, "ip route")
        assert offline.cluster.on(host, "ls /etc/yum.repos.d") == "k8s-installer.repo\n"


@pytest.mark.runs(version="1.20.2", source="bundle", network="routes", security="tls")
def test_a_second_run_changes_nothing_and_sends_none(offline: Offline) -> None:
    before = offline.cluster.processes()
    done = offline.apply()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"changes": [], "interrupted": False, "sent_bytes": {}}
    assert offline.cluster.processes() == before
    named = offline.cluster.text.replace("repos: bundle ", f"repos: {{bundle: {offline.bundle.name}}} ")
    assert named != offline.cluster.text
    assert offline.cluster.run("plan", text=named).returncode == 0


def test_what_a_host_has_lost_of_a_bundle_comes_back_from_its_own_disk(offline: Offline) -> None:
    offline.cluster.on("n1", "docker rmi -f lab/web:1 && rpm -e --nodeps kubernetes-client")
    done = offline.apply("--no-verify", "--no-preflight")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["sent_bytes"] == {}
    did = {(change["host"], change["action"], change["name"]) for change in data["changes"]}
    assert {("n1", "install", "kubernetes-client"), ("n1", "set", "image lab/web:1")} <= did
    assert "lab/web:1" in offline.cluster.on("n1", "docker images --format '{{.Repository}}:{{.Tag}}'")


def signed(path: Path) -> str:
    """Sign a package as a distribution does, with a key of our own; its public half."""
    debian.install(debian.packages_missing(["gpg", "gpg-agent", "rpm"]), lambda _: None)
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "GNUPGHOME": home}

        def run(*argv: str) -> str:
            done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        run("gpg", "--batch", "--passphrase", "", "--quick-generate-key", "lab", "rsa2048", "sign", "never")
        options = (f"_gpg_path {home}", "_gpg_name lab", "__gpg /usr/bin/gpg")
        run("rpmsign", *(word for option in options for word in ("--define", option)), "--addsign", str(path))
        key = run("gpg", "--armor", "--export", "lab")
        run("gpgconf", "--kill", "gpg-agent")
    return key


@pytest.fixture(scope="module")
def other(offline: Offline) -> tuple[Path, str, dict[str, Any]]:
    """A bundle from a folder of files, as people bring them, with one signed package in it; the key, and what is in it."""
    folder = offline.cluster.folder / "files"
    folder.mkdir()
    for path in Path(offline.lab["packages"]).glob("*.rpm"):
        if "client" not in path.name:
            (folder / path.name).symlink_to(path)
        else:
            key = signed(Path(shutil.copy(path, folder)))
    offline.cluster.on("n1", f"docker save {' '.join(IMAGES)} | gzip -1 >/tmp/images.tar.gz")
    with (folder / "images.tar.gz").open("wb") as target:
        options = ["-i", offline.cluster.key, "-o", f"UserKnownHostsFile={offline.cluster.known_hosts}"]
        argv = ["ssh", *options, f"root@{offline.cluster.addresses['n1']}", "cat /tmp/images.tar.gz"]
        subprocess.run(argv, stdout=target, check=True)
    bundle = offline.cluster.folder / "other.bundle"
    done = offline.cluster.run(
        "bundle", "create", "-o", str(bundle), "--from", str(folder), *ASSUMED, "--output-format", "json"
    )
    assert done.returncode == 0, done.stderr
    return bundle, key, json.loads(done.stdout)


def test_a_folder_of_files_makes_a_bundle_that_is_as_good(
    offline: Offline, other: tuple[Path, str, dict[str, Any]]
) -> None:
    _, _, made = other
    names = [rpm["name"] for rpm in made["rpms"]]
    assert names == [rpm["name"] for rpm in offline.made["rpms"]]
    assert [name for name, rpm in zip(names, made["rpms"], strict=True) if rpm["signed"]] == [
        name for name in names if "client" in name
    ]
    assert [(image["id"], image["references"]) for image in made["images"]] == [
        (image["id"], image["references"]) for image in offline.made["images"]
    ]


def test_a_signed_package_is_installed_where_the_host_has_its_key_alone(
    offline: Offline, other: tuple[Path, str, dict[str, Any]]
) -> None:
    bundle, key, _ = other
    offline.cluster.on("n1", "rpm -e --nodeps kubernetes-client")
    arguments = ("--yes", "--bundle", str(bundle), "--no-preflight", "--limit", "n1", "-o", "json")
    refused = offline.cluster.run("apply", *arguments)
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["sent_bytes"]["n1"] > CUT_AT / 2
    assert "kubernetes-client" not in offline.cluster.on("n1", "rpm -qa")
    place = "/etc/pki/rpm-gpg/RPM-GPG-KEY-CentOS-7"
    offline.cluster.on("n1", f"mkdir -p {Path(place).parent}; cat >{place} <<'KEY'\n{key}KEY")
    done = offline.cluster.run("apply", *arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sent_bytes"] == {}
    assert "Key ID" in offline.cluster.on("n1", "rpm -q --qf '%{RSAHEADER:pgpsig}' kubernetes-client")


@pytest.mark.skipif(not EVERY, reason="takes minutes: make test-all")
def test_a_bundle_of_the_next_version_upgrades_hosts_that_reach_nothing(
    offline: Offline, other: tuple[Path, str, dict[str, Any]], tmp_path: Path
) -> None:
    assert other[0].exists()
    files = tmp_path / "files"
    files.mkdir()
    packages = repository(tmp_path / "next", NEXT, {"kubernetes": RELEASES[:1]}).glob("*.rpm")
    others = (path for path in (offline.cluster.folder / "files").iterdir() if "kubernetes" not in path.name)
    for path in (*packages, *others):
        (files / path.name).symlink_to(path.resolve())
    text, bundle = offline.cluster.text.replace(OWN, NEXT), tmp_path / "next.bundle"
    made = offline.cluster.run("bundle", "create", "-o", str(bundle), "--from", str(files), *ASSUMED, text=text)
    assert made.returncode == 0, made.stderr
    done = offline.cluster.run("apply", "--yes", "--bundle", str(bundle), text=text)
    assert done.returncode == 0, done.stderr
    assert offline.cluster.run("plan", "--bundle", str(bundle), text=text).returncode == 0
    for host, role in (("m1", "master"), ("n1", "node")):
        assert (
            offline.cluster.on(host, f"rpm -q kubernetes-{role}") == f"kubernetes-{role}-{NEXT}-{RELEASES[0]}.x86_64\n"
        )


def test_nothing_has_left_the_bridge_in_all_this_time_and_what_does_is_heard(offline: Offline) -> None:
    assert offline.packets == []
    assert counters()["ForwDatagrams"] == "0"
    nobody = offline.lab["network"].replace(".0/24", ".99")
    link = Path(f"/sys/class/net/lab-{LAB}/address").read_text().strip()
    offline.cluster.on(
        "n1", f"ip neigh add {nobody} lladdr {link} dev eth0; ping -c 1 -W 1 {nobody}; ip neigh del {nobody} dev eth0"
    )
    assert len(offline.packets) == 1
