"""What puts flannel's network into its own etcd, with two real etcds on loopback: the cluster's, and flannel's."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from k8s_installer import pki, profiles
from k8s_installer.desired import desire
from k8s_installer.lab import rpms, state
from k8s_installer.model.resources import File, Kind, Ref
from k8s_installer.render import Renderer
from tests.contract.sshd import free_port
from tests.unit.clusters import cluster, leaves

pytestmark = pytest.mark.fleet

LAB = cluster(network="flannel")
SCRIPT = "/etc/kubernetes/network/flannel.sh"
SUBNETS = "/atomic.io/network/subnets"
CACHE = state.default_cache()
LEASES = {
    f"{SUBNETS}/10.244.{part}.0-24": json.dumps({"PublicIP": f"10.77.0.{part}", "BackendType": "vxlan"})
    for part in (11, 21, 22)
}


@dataclass(frozen=True)
class Etcds:
    """The cluster's etcd and flannel's, by port; `folder` has the keys as an etcd host has them, and the script."""

    folder: Path
    old: int
    own: int

    def ctl(self, api: str, port: int, *words: str, key: str = "") -> subprocess.CompletedProcess[str]:
        """Ask an etcd, with the key that a host has for it or with another one."""
        authority, own = ("flannel-ca", "flannel") if port == self.own else ("ca", "healthcheck")
        flags = ("ca-file", "cert-file", "key-file") if api == "2" else ("cacert", "cert", "key")
        paths = (f"{authority}.crt", f"{key or own}.crt", f"{key or own}.key")
        options = [f"--{flag}={self.folder / path}" for flag, path in zip(flags, paths, strict=True)]
        return self.run("etcdctl", f"--endpoints=https://127.0.0.1:{port}", *options, *words, api=api)

    def run(self, *words: str, api: str = "3") -> subprocess.CompletedProcess[str]:
        path = f"{rpms.payload(CACHE, lambda _: None)}/etcd-client/usr/bin:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "ETCDCTL_API": api}
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=90)

    def leases(self, api: str, port: int) -> dict[str, str]:
        """The subnets that an etcd has, by one of its APIs."""
        list_ = ("ls", SUBNETS) if api == "2" else ("get", "--prefix", "--keys-only", f"{SUBNETS}/")
        get = ("get",) if api == "2" else ("get", "--print-value-only")
        names = self.ctl(api, port, *list_).stdout.split()
        return {name: self.ctl(api, port, *get, name).stdout.strip() for name in names}


@contextmanager
def etcd(folder: Path, name: str, authority: str) -> Iterator[int]:
    client, peer = free_port(), free_port()
    flags = {
        "name": name,
        "data-dir": folder / f"{name}.etcd",
        "listen-client-urls": f"https://127.0.0.1:{client}",
        "advertise-client-urls": f"https://127.0.0.1:{client}",
        "listen-peer-urls": f"http://127.0.0.1:{peer}",
        "initial-advertise-peer-urls": f"http://127.0.0.1:{peer}",
        "initial-cluster": f"{name}=http://127.0.0.1:{peer}",
        "cert-file": folder / f"{name}.crt",
        "key-file": folder / f"{name}.key",
        "trusted-ca-file": folder / f"{authority}.crt",
        "client-cert-auth": "true",
        "enable-v2": "true",
    }
    program = rpms.payload(CACHE, lambda _: None) / "etcd-server/usr/bin/etcd"
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *(f"--{flag}={value}" for flag, value in flags.items())], stdout=log, stderr=log
        )
        try:
            yield client
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def etcds(tmp_path: Path) -> Iterator[Etcds]:
    made = pki.ensure(tmp_path / "pki", leaves(LAB))
    wanted = desire(LAB, profiles.profile_of(LAB), made, Renderer())
    for ref, item in wanted.items():
        if ref.host == "m1" and isinstance(item.resource, File) and ref.name.startswith("/etc/etcd/pki/"):
            (tmp_path / Path(ref.name).name).write_bytes(item.resource.content)
    script = wanted[Ref("m1", Kind.FILE, SCRIPT)].resource
    assert isinstance(script, File)
    with ExitStack() as stack:
        old, own = (
            stack.enter_context(etcd(tmp_path, name, authority))
            for name, authority in (("etcd", "ca"), ("flannel-etcd", "flannel-ca"))
        )
        found = Etcds(tmp_path, old, own)
        text = script.content.decode().replace("/etc/etcd/pki", str(tmp_path))
        (tmp_path / "flannel.sh").write_text(text.replace(":2379", f":{old}").replace(":2389", f":{own}"))
        for port in (old, own):
            answers(found, port)
        yield found


def answers(etcds: Etcds, port: int) -> None:
    deadline = time.monotonic() + 30
    while etcds.ctl("3", port, "endpoint", "health").returncode:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_clusters_subnets_move_into_flannels_own_etcd_once(etcds: Etcds) -> None:
    for name, value in LEASES.items():
        assert etcds.ctl("2", etcds.old, "set", "--ttl", "3600", name, value).returncode == 0
        assert etcds.ctl("3", etcds.old, "put", name, value).returncode == 0
    assert etcds.ctl("3", etcds.old, "put", "/registry/secrets/default/s", "secret").returncode == 0
    done = etcds.run("/bin/sh", str(etcds.folder / "flannel.sh"))
    assert done.returncode == 0, done.stderr
    for api in ("2", "3"):
        assert etcds.leases(api, etcds.own) == LEASES
    assert etcds.ctl("3", etcds.own, "get", "--prefix", "--keys-only", "/registry").stdout == ""
    network = json.loads(etcds.ctl("3", etcds.own, "get", "--print-value-only", "/atomic.io/network/config").stdout)
    assert network == {"Network": "10.244.0.0/16", "SubnetLen": 24, "Backend": {"Type": "vxlan"}}
    name = next(iter(LEASES))
    given = json.loads(etcds.ctl("3", etcds.own, "get", name, "-w", "json").stdout)["kvs"][0]
    lives = json.loads(etcds.ctl("3", etcds.own, "lease", "timetolive", f"{given['lease']:x}", "-w", "json").stdout)
    assert 86000 < lives["ttl"] <= 86400
    assert etcds.ctl("2", etcds.own, "rm", name).returncode == 0
    assert etcds.run("/bin/sh", str(etcds.folder / "flannel.sh")).returncode == 0
    assert name not in etcds.leases("2", etcds.own)


def test_the_key_that_nodes_have_opens_flannels_etcd_alone(etcds: Etcds) -> None:
    assert etcds.ctl("3", etcds.own, "get", "--prefix", "/").returncode == 0
    assert etcds.ctl("3", etcds.old, "get", "--prefix", "/").returncode == 0
    for api, words in (("2", ("ls", "/")), ("3", ("get", "--prefix", "/"))):
        assert etcds.ctl(api, etcds.old, *words, key="flannel").returncode != 0
        assert etcds.ctl(api, etcds.own, *words, key="healthcheck").returncode != 0


def test_a_new_cluster_has_no_subnets_to_move(etcds: Etcds) -> None:
    done = etcds.run("/bin/sh", str(etcds.folder / "flannel.sh"))
    assert done.returncode == 0, done.stderr
    assert etcds.leases("2", etcds.own) == etcds.leases("3", etcds.own) == {}
