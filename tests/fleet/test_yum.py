"""What a real yum says when it fails, and what we make of it; the lab's is dnf 4, whose words are libcurl's and rpm's."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s_installer import inventory
from k8s_installer.engine.remote import Outcome, SshRemote
from k8s_installer.host import yum
from k8s_installer.lab.rpms import build
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.plan import Action
from k8s_installer.model.resources import Kind, Package, Ref
from k8s_installer.planning.make import make_plan
from k8s_installer.transport import connect
from tests.fleet.conftest import Cluster, made_cluster, running_lab

pytestmark = pytest.mark.fleet

INSTALL = "yum clean all >/dev/null; timeout 60 yum -y install etcd"
REPOS = "/etc/yum.repos.d/*.repo"


def from_url(url: str) -> str:
    """Install from a repository elsewhere."""
    return f"sed -i 's#^baseurl=.*#baseurl={url}#' {REPOS}; {INSTALL}"


def in_room(size: str) -> str:
    """Install with little room for what is fetched."""
    return (
        f"yum clean all >/dev/null; mount -t tmpfs -o size={size} tmpfs /var/cache/dnf; timeout 60 yum -y install etcd"
    )


RPM_LOCKED = "f=open('/var/lib/rpm/.rpm.lock', 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); time.sleep(30)"
TROUBLES = {
    "package": "yum -y install kubernetes-master-9.9.9",
    "route": from_url("http://127.0.0.1:9/"),
    "route behind a gateway": f"ip route add unreachable 10.99.0.0/16; {from_url('http://10.99.0.1/')}",
    "name": from_url("http://no-such-host.invalid/"),
    "metadata": f"sed -i 's#^baseurl=.*#&nosuch/#' {REPOS}; {INSTALL}",
    "signature": f"sed -i s/gpgcheck=0/gpgcheck=1/ {REPOS}; {INSTALL}",
    "disk": in_room("1m"),
    "damaged": in_room("16k"),
    "locked": f'python3 -c "import fcntl, time; {RPM_LOCKED}" & sleep 1; {INSTALL}; kill $!',
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_lab("tyum", "--masters", "1", "--nodes", "0") as lab:
        made = made_cluster(lab, tmp_path_factory.mktemp("yum"))
        made.inventory.write_text(made.text.replace("[etcd, master]", "[etcd, master, node]"))
        yield made


@pytest.fixture
def host(bare: Cluster) -> Iterator[Cluster]:
    """A host whose repositories, mounts and routes are as before after the test."""
    bare.on("m1", "cp -a /etc/yum.repos.d /root/repos")
    yield bare
    bare.on(
        "m1",
        "rm -rf /etc/yum.repos.d; mv /root/repos /etc/yum.repos.d; ip route del unreachable 10.99.0.0/16 2>&1; "
        "umount /var/cache/dnf 2>&1; yum clean all >/dev/null; ! rpm -q etcd",
    )


@pytest.mark.parametrize("name", TROUBLES)
def test_a_failure_of_the_real_yum_is_told_from_others(host: Cluster, name: str) -> None:
    said = host.on("m1", f"{{ {TROUBLES[name]}; }} 2>&1; true")
    found = yum.classify(said)
    assert found is not None, said
    assert found.name == name.partition(" ")[0], said


SPEC = """\
Name: probe
Version: %{v}
Release: 1
Summary: Nothing
License: none
BuildArch: noarch
Requires: probe-libs = %{v}
%description
%{summary}
%package libs
Summary: Nothing
%description libs
%{summary}
%files
%files libs
"""


def test_a_downgrade_is_planned_as_one_and_carried_out_by_the_real_yum(host: Cluster, tmp_path: Path) -> None:
    """1.10 is newer than 1.9; two packages of which one requires the other's very version."""
    (tmp_path / "probe.spec").write_text(SPEC)
    (tmp_path / "repo").mkdir()
    for version in ("1.9", "1.10"):
        build(tmp_path / "probe.spec", tmp_path / "repo", {"v": version})
    subprocess.run(["createrepo_c", "--quiet", tmp_path / "repo"], check=True)
    packed = subprocess.run(["tar", "-C", tmp_path, "-cz", "repo"], capture_output=True, check=True).stdout
    place = "[probe]\nname=probe\nbaseurl=file:///root/repo\ngpgcheck=0\n"
    host.on("m1", f"base64 -d <<'END' | tar -C /root -xz\n{base64.encodebytes(packed).decode()}END")
    host.on("m1", f"printf '{place}' >/etc/yum.repos.d/probe.repo")
    transport = connect(inventory.load(host.inventory).hosts[0])
    remote = SshRemote(transport)

    def apply(version: str) -> tuple[list[Action], Outcome]:
        refs = [Ref("m1", Kind.PACKAGE, name) for name in ("probe", "probe-libs")]
        wanted = {ref: DesiredResource(ref, Package(ref.name, version), "host", (), "a test") for ref in refs}
        plan = make_plan(wanted, remote.observe(list(wanted.values())))
        actions = [change.action for change in plan.changes]
        return actions, remote.perform(list(enumerate(plan.changes)), lambda report: None)

    try:
        for version, action in (("1.10", Action.INSTALL), ("1.9", Action.DOWNGRADE), ("1.10", Action.UPGRADE)):
            actions, outcome = apply(version)
            assert actions == [action] * 2
            assert outcome.failed is None, outcome.evidence
            assert host.on("m1", "rpm -q --qf '%{VERSION} ' probe probe-libs") == f"{version} {version} "
        actions, outcome = apply("1.2")
        assert actions == [Action.DOWNGRADE] * 2
        assert outcome.failed is not None
        found = yum.classify(outcome.evidence)
        assert found is not None, outcome.evidence
        assert found.name == "package"
    finally:
        transport.close()
        host.on("m1", "rpm -e probe probe-libs; rm -r /root/repo")


def test_apply_says_what_to_do_and_puts_no_file_where_its_package_is_missing(host: Cluster) -> None:
    host.on("m1", f"sed -i 's#^baseurl=.*#baseurl=http://127.0.0.1:9/#' {REPOS}; yum clean all >/dev/null")
    done = host.run("apply", "--yes", "--no-preflight")
    assert done.returncode == 1
    assert "Error: Failed to download metadata for repo 'lab'" in done.stderr
    assert "`yum makecache` there shows why" in " ".join(done.stderr.split())
    assert host.on("m1", "rpm -qa 'etcd*' 'kubernetes*'; ls /etc/kubernetes | grep -v network; true") == ""
