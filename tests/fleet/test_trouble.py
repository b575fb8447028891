"""Host trouble: exit 1, one clear message, nothing half-written, and the way back. The cluster is left as it was."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.fleet.conftest import Cluster

pytestmark = pytest.mark.fleet


def settled(cluster: Cluster) -> None:
    """The cluster is what its inventory says, whatever a test did to it."""
    done = cluster.run("apply", "--yes", "--no-verify")
    assert done.returncode == 0, done.stderr
    assert cluster.run("plan").returncode == 0


def test_a_host_that_refuses_is_named_and_nothing_is_touched(cluster: Cluster) -> None:
    before = cluster.processes()
    text = cluster.text.replace("roles: [node]}", "roles: [node], ssh: {port: 2299}}", 1)
    done = cluster.run("apply", "--yes", text=text)
    assert done.returncode == 1
    assert "left out: n1: " in done.stderr
    assert "(port 2299) refuses connections" in done.stderr
    assert cluster.processes() == before


def test_a_wrong_host_key_is_refused(cluster: Cluster) -> None:
    master, node = cluster.addresses["m1"], cluster.addresses["n1"]
    lines = [line.split(maxsplit=1) for line in Path(cluster.known_hosts).read_text().splitlines()]
    wrong = cluster.folder / "wrong_hosts"
    kept = [f"{names} {key}" for names, key in lines if node not in names]
    swapped = [f"{node} {key}" for names, key in lines if master in names]
    wrong.write_text("\n".join([*kept, *swapped, ""]))
    done = cluster.run("apply", "--yes", text=cluster.text.replace(cluster.known_hosts, str(wrong)))
    assert done.returncode == 1
    assert "left out: n1: " in done.stderr
    assert "has a different host key" in done.stderr


def test_a_wrong_key_is_refused(cluster: Cluster) -> None:
    key = cluster.folder / "stranger"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    done = cluster.run("plan", text=cluster.text.replace(cluster.key, str(key)))
    assert done.returncode == 1
    assert "error: m1, n1, n2: " in done.stderr  # one error, for it is the same
    assert str(key) in done.stderr


def test_a_user_without_sudo_is_told_what_is_missing(cluster: Cluster) -> None:
    done = cluster.run("apply", "--yes", text=cluster.text.replace("user: root", "user: guest"))
    assert done.returncode == 1
    assert "sudo" in done.stderr
    assert "NOPASSWD" in done.stderr


def test_a_target_that_could_not_be_put_back_is_refused_by_the_plan(cluster: Cluster) -> None:
    """A link where the kube-proxy's file should be, and a folder where the kubelet's should be."""
    link, folder = "/etc/kubernetes/proxy", "/etc/kubernetes/kubelet"
    cluster.on("n1", f"mv {link} {link}.real && ln -s proxy.real {link}; mv {folder} {folder}.real && mkdir {folder}")
    before = cluster.processes()
    text = cluster.text.replace("conntrack-max-per-core: 0", "conntrack-max-per-core: 0, v: 4")
    try:
        for command in (["plan"], ["apply", "--yes"]):
            done = cluster.run(*command, text=text)
            assert done.returncode == 1, done.stdout
            assert f"error: n1: {folder} is a folder\n" in done.stderr
            assert f"error: n1: {link} is a symbolic link to proxy.real\n" in done.stderr
        assert cluster.processes() == before
        status = cluster.run("status")
        assert status.returncode == 3
        assert f"n1: file {link}: is a symbolic link" in status.stdout
    finally:
        cluster.on("n1", f"rm {link}; mv {link}.real {link}; rmdir {folder}; mv {folder}.real {folder}")
    settled(cluster)


def test_a_service_that_will_not_start_shows_its_own_words(cluster: Cluster) -> None:
    """Validation does not know which files a host has; kube-scheduler looks for this one when it starts."""
    text = f"{cluster.text}  kube-scheduler: {{args: {{policy-config-file: /nonexistent.json}}}}\n"
    pid = cluster.on("m1", "systemctl show -p MainPID kube-scheduler").strip().removeprefix("MainPID=")
    done = cluster.run("apply", "--yes", "--no-verify", text=text)
    assert done.returncode == 1
    assert f"kube-scheduler[{pid}]" not in done.stderr  # the one that ran well until then
    assert "missing policy config file /nonexistent.json" in done.stderr
    assert "--policy-config-file: (not set) → /nonexistent.json" in done.stdout
    assert "Next: " in done.stderr
    settled(cluster)


def test_a_repository_that_cannot_be_reached_is_told_in_yums_words(cluster: Cluster) -> None:
    repository = "/etc/yum.repos.d/lab.repo"
    cluster.on(
        "n2",
        f"rpm -e --nodeps kubernetes-client; cp {repository} /root/; sed -i 's/^baseurl=.*/baseurl=http:\\/\\/127.0.0.1:9\\//' {repository}; yum clean all",
    )
    try:
        before = cluster.run("apply", "--yes", "--no-verify")
        assert before.returncode == 1
        assert "n2: yum cannot read its repositories" in before.stderr
        assert "nothing was changed; fix the errors" in before.stderr
        done = cluster.run("apply", "--yes", "--no-verify", "--no-preflight")
        assert done.returncode == 1
        assert "n2: could not install package kubernetes-client" in done.stderr
        assert "Failed to download metadata for repo 'lab'" in done.stderr
    finally:
        cluster.on("n2", f"cp /root/lab.repo {repository}; yum clean all")
    settled(cluster)


def test_a_full_disk_keeps_the_old_bytes(cluster: Cluster) -> None:
    folder, path = "/etc/kubernetes/network", "/etc/kubernetes/network/routes"
    cluster.on(
        "n1",
        f"cp -a {folder} /root/network && mount -t tmpfs -o size=32k,mode=755 tmpfs {folder} && cp -a /root/network/. {folder}",
    )
    cluster.on("n1", f"dd if=/dev/zero of={folder}/filler bs=1k status=none 2>/dev/null; true")
    before = cluster.on("n1", f"sha256sum {path}")
    text = cluster.text.replace("roles: [node]}", "roles: [node], pod_subnet: 10.244.99.0/24}", 1)
    try:
        done = cluster.run("apply", "--yes", "--no-verify", text=text)
        assert done.returncode == 1
        assert f"n1: could not update {path}" in done.stderr
        assert "No space left on device" in done.stderr
        assert cluster.on("n1", f"sha256sum {path}") == before
        assert cluster.on("n1", f"find {folder} -name '.k8s-installer.*'") == ""
    finally:
        cluster.on("n1", f"umount {folder}")
    settled(cluster)
