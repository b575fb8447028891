from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from k8s_installer import acceptance, desired, pki, profiles, render
from k8s_installer.acceptance import HostTables, Status
from k8s_installer.acceptance.folder import ssh_config
from k8s_installer.inventory import Cluster, settle
from k8s_installer.inventory.allocations import NONE
from tests.unit import clusters

MORE = """
host_settings: {hosts_file: manage, journald: persistent}
"""
OFF = """
  m1: {address: 10.77.0.11, roles: [etcd, master, node], host_settings: {firewall: disable}, labels: {disk: ssd},
       taints: ["dedicated=db:NoSchedule"], annotations: {example.com/a: b}}
"""


def tables(lab: Cluster, keys: pki.Pki | None = None) -> dict[str, HostTables]:
    profile = profiles.profile_of(lab)
    wanted = desired.desire(lab, profile, keys or clusters.placeholder(lab), render.Renderer([]))
    return {one.host: one for one in acceptance.tables(settle(lab, NONE).cluster, profile, wanted, 30)}


def rows(one: HostTables, table: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(row, name) for name in row.__slots__) for row in one.tables.get(table, ())]


def test_every_subject_of_a_master_and_of_a_node_has_rows() -> None:
    found = tables(clusters.cluster(more=MORE))
    assert rows(found["m1"], "packages") == [
        ("kubernetes-client", "1.20.2"), ("etcd", ""), ("kubernetes-master", "1.20.2"),
    ]  # fmt: skip
    assert rows(found["m1"], "users") == [("etcd",), ("kube",)]
    assert ("etcd", True, True) in rows(found["m1"], "units")
    assert rows(found["m1"], "ports") == [
        (2379, "etcd"), (2380, "etcd"), (6443, "kube-apiserver"),
        (10257, "kube-controller-manager"), (10259, "kube-scheduler"),
    ]  # fmt: skip
    assert rows(found["n1"], "ports") == [(10248, "kubelet"), (10250, "kubelet"), (10256, "kube-proxy")]
    assert rows(found["n1"], "programs") == [("kubelet", "v1.20.2"), ("kube-proxy", "v1.20.2")]
    assert ("net.bridge.bridge-nf-call-iptables", "1") in rows(found["n1"], "sysctls")
    assert ("br_netfilter",) in rows(found["n1"], "modules")
    assert ("memory",) in rows(found["n1"], "mounts")
    assert "mounts" not in found["m1"].tables
    assert rows(found["n1"], "services") == [("kubernetes", "https://10.254.0.1:443/version")]
    assert rows(found["n1"], "routes") == [("10.244.0.0/24", "n1", ""), ("10.244.1.0/24", "n2", "10.77.0.22")]
    assert rows(found["m1"], "addons") == [
        ("kubelet-api-admin.yaml", "/etc/kubernetes/addons/kubelet-api-admin.yaml"),
    ]  # fmt: skip


def test_names_in_the_hosts_file_are_settings_of_their_own_and_none_is_none() -> None:
    names = [row[0] for row in rows(tables(clusters.cluster(more=MORE))["n1"], "settings")]
    assert {"hosts-file m1", "hosts-file n2", "journal", "selinux", "swap"} <= set(names)
    assert "hosts-file" not in names


def test_without_routes_of_ours_none_is_tested() -> None:
    assert not any("routes" in one.tables for one in tables(clusters.cluster(network="flannel")).values())


def test_a_service_that_is_not_wanted_is_tested_to_be_off() -> None:
    found = tables(clusters.cluster(topology=OFF))["m1"]
    assert ("firewalld", False, False) in rows(found, "units")


def test_nodes_are_asked_for_on_the_first_master_with_what_the_inventory_wants() -> None:
    (node,) = rows(tables(clusters.cluster(topology=OFF))["m1"], "nodes")
    assert node[:2] == ("m1", "https://127.0.0.1:6443/api/v1/nodes/m1")
    assert node[2:5] == ({"disk": "ssd"}, {"example.com/a": "b"}, ("dedicated=db:NoSchedule",))


def test_the_programs_and_users_of_a_tarball_are_tested() -> None:
    found = tables(clusters.cluster(programs="tarball"))["m1"]
    assert rows(found, "users") == [("kube",), ("etcd",)]
    assert "/usr/bin/kube-apiserver" in [row[0] for row in rows(found, "files")]


def test_certificates_are_tested_by_what_they_say_where_they_are_known(tmp_path: Path) -> None:
    lab = clusters.cluster()
    made = tables(lab, pki.ensure(tmp_path / "pki", clusters.leaves(lab)))["m1"]
    known = {row[0]: row[1:] for row in rows(made, "certificates")}
    subject, issuer, names, days = known["/etc/kubernetes/pki/apiserver.crt"]
    assert (subject, issuer, days) == ("CN=kube-apiserver", "CN=kubernetes-ca", 30)
    assert {"DNS:m1", "IP:10.77.0.11", "IP:10.254.0.1", "DNS:kubernetes"} <= set(names)
    assert not [path for path in known if path.endswith(".key")]
    pending = tables(lab, pki.look(tmp_path / "none", clusters.leaves(lab)))["m1"]
    assert "certificates" not in pending.tables
    sums = {row[0]: row[1] for row in rows(pending, "files")}
    assert sums["/etc/kubernetes/pki/apiserver.key"] == ""
    assert len(sums["/etc/kubernetes/apiserver"]) == 64


def test_no_secret_is_in_the_files(tmp_path: Path) -> None:
    lab = clusters.cluster()
    keys = pki.ensure(tmp_path / "pki", clusters.leaves(lab))
    files = acceptance.folder(lab, list(tables(lab, keys).values()))
    written = b"".join(files.values())
    assert b"PRIVATE KEY" not in written
    assert keys["encryption.key"].strip() not in written


def test_ssh_reaches_hosts_as_this_program_does(tmp_path: Path) -> None:
    key, known = tmp_path / "100%", tmp_path / "known hosts"
    key.touch()
    known.touch()
    topology = f"""
  m1: {{address: 10.0.0.1, roles: [etcd, master], ssh: {{user: ops, port: 2222, key: "{key}"}}}}
  n1: {{address: 10.0.0.2, roles: [node], ssh: {{gateway: "jump@10.9.9.9:2200", host_keys: accept-new}}}}
  n2: {{address: 10.0.0.3, roles: [node], ssh: {{gateway: 10.9.9.8, known_hosts: "{known}"}}}}
"""
    text = ssh_config(clusters.cluster(topology=topology))
    m1, n1, gateway1, n2, gateway2 = text.strip().split("\n\n")
    assert m1.startswith("Host m1\n  HostName 10.0.0.1\n  User ops\n  Port 2222\n")
    assert f'  IdentityFile "{tmp_path}/100%%"\n  IdentitiesOnly yes\n' in m1
    assert "  StrictHostKeyChecking yes\n" in m1
    assert "  ProxyJump gateway-of-n1" in n1
    assert "  StrictHostKeyChecking accept-new\n" in n1
    assert gateway1.startswith("Host gateway-of-n1\n  HostName 10.9.9.9\n  User jump\n  Port 2200\n")
    assert f'  UserKnownHostsFile "{known}"\n' in n2
    assert gateway2.startswith("Host gateway-of-n2\n  HostName 10.9.9.8\n  User root\n  Port 22\n")


def written(folder: Path, lab: Cluster) -> Path:
    for path, content in acceptance.folder(lab, list(tables(lab).values())).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def run(folder: Path, *words: str, ssh: str = "exit 255") -> subprocess.CompletedProcess[str]:
    """Pytest on these files, with a program in the place of `ssh`."""
    stand_in = folder.parent / "bin" / "ssh"
    stand_in.parent.mkdir(exist_ok=True)
    stand_in.write_text(f"#!/bin/bash\n{ssh}\n")
    stand_in.chmod(0o755)
    env = {**os.environ, "PATH": f"{stand_in.parent}:{os.environ['PATH']}", "PYTEST_ADDOPTS": "-p no:xdist -p no:cov"}
    argv = [sys.executable, "-m", "pytest", "-q", "--color=no", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=env, cwd=folder)


def test_the_files_are_readable_tables_and_every_row_is_a_test(tmp_path: Path) -> None:
    lab = clusters.cluster("1.5.2", "insecure")
    folder = written(tmp_path / "infra", lab)
    said = json.loads((folder / "expected" / "m1.json").read_text())
    assert said["packages"][1] == {"package": "etcd", "version": ""}
    assert '\n    {"package": "etcd", "version": ""},\n' in (folder / "expected" / "m1.json").read_text()
    assert not (folder / "test_certificates.py").exists()  # an insecure cluster has none
    done = run(folder, "--collect-only")
    counted = {"files": 2, "packages": 2, "users": 2, "units": 3, "nodes": 5}
    expected = sum(
        len(found) * counted.get(name, 1) for one in tables(lab).values() for name, found in one.tables.items()
    )
    assert f"{expected} tests collected" in done.stdout, done.stdout + done.stderr


def test_a_host_that_cannot_be_reached_fails_all_its_tests_and_no_other(tmp_path: Path) -> None:
    folder = written(tmp_path / "infra", clusters.cluster())
    ssh = """case " $* " in *" n1 "*) echo "ssh: no route" >&2; exit 255 ;; esac
echo "br_netfilter present"; echo "overlay present"; echo "nf_conntrack missing"; echo end-of-answer"""
    junit = tmp_path / "junit.xml"
    done = run(folder, "test_modules.py", "--hosts", "n1,n2", "--junit-xml", str(junit), ssh=ssh)
    assert done.returncode == 1, done.stdout + done.stderr
    results = acceptance.read(junit.read_bytes(), 1.0)
    said = {(one.host, one.name, one.status): one.message for one in results.results}
    assert {host: status for host, _, status in said if host == "n1"} == {"n1": Status.ERROR}
    assert "n1 cannot be reached: ssh: no route" in said["n1", "is_present[n1 overlay]", Status.ERROR]
    assert said["n2", "is_present[n2 nf_conntrack]", Status.FAILED] == (
        "n2: module nf_conntrack: in the kernel\n  expected  present\n  found     missing"
    )
    assert ("n2", "is_present[n2 overlay]", Status.PASSED) in said
    assert not results.passed
    assert run(folder, "--hosts", "n9").returncode == 4


def test_a_host_whose_answer_is_cut_off_has_given_none(tmp_path: Path) -> None:
    folder = written(tmp_path / "infra", clusters.cluster())
    done = run(folder, "test_modules.py", "--hosts", "n1", ssh='echo "overlay present"; echo oops >&2')
    assert done.returncode == 1
    assert "n1 gives no answer: oops" in done.stdout
    done = run(folder, "test_modules.py", "--hosts", "n1", ssh='echo "overlay present more"; echo end-of-answer')
    assert "n1 gives an answer that cannot be read: " in done.stdout


def test_the_users_own_tests_run_on_all_hosts_or_on_those_they_name(tmp_path: Path) -> None:
    folder = written(tmp_path / "infra", clusters.cluster())
    own = tmp_path / "tests"
    own.mkdir()
    (own / "test_own.py").write_text("def test_one(host):\n    assert host.run('true').rc == 0\n")
    (own / "test_files.py").write_text("testinfra_hosts = ['m1']\ndef test_two(host):\n    assert not 'this'\n")
    (own / "test_here.py").write_text("def test_three():\n    pass\n")
    junit = tmp_path / "junit.xml"
    run(
        folder,
        "-c",
        "pytest.ini",
        "test_mounts.py",
        str(own),
        "-k",
        "one or two or three",
        "--junit-xml",
        str(junit),
        ssh="exit 0",
    )
    results = acceptance.read(junit.read_bytes(), 1.0).results
    own_results = [one for one in results if one.name.split("[")[0] in {"one", "two", "three"}]
    assert sorted((one.host, one.subject, one.status) for one in own_results) == [
        ("", "here", "passed"), ("m1", "files", "failed"), ("m1", "own", "passed"),
        ("n1", "own", "passed"), ("n2", "own", "passed"),
    ]  # fmt: skip


def test_a_junit_file_that_is_none_is_refused_and_of_an_error_its_last_line_counts() -> None:
    with pytest.raises(ValueError, match="syntax error"):
        acceptance.read(b"no xml", 0.0)
    text = """<testsuites><testsuite><testcase classname="" name="own.test_a"><error message="collection failure">
E   File "a.py"
E   SyntaxError: invalid syntax</error></testcase>
<testcase classname="a.test_b" name="test_c" time="0.5"><skipped message="why"/></testcase></testsuite></testsuites>"""
    broken, skipped = acceptance.read(text.encode(), 0.0).results
    assert (broken.message, broken.bad) == ("SyntaxError: invalid syntax", True)
    assert (skipped.subject, skipped.name, skipped.seconds, skipped.bad) == ("b", "c", 0.5, False)


def suite(name: str) -> ModuleType:
    """A file of tests as its readers get it."""
    path = Path(acceptance.__file__).parent / "suite" / f"test_{name}.py"
    spec = importlib.util.spec_from_file_location(f"suite_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class DifferenceError(AssertionError):
    """What `same` of a test was told, where it differs."""


def same(what: str, expected: object, found: object) -> None:
    if expected != found:
        raise DifferenceError(f"{what}: {expected} / {found}")


def failure(test: Callable[..., None], row: dict[str, Any], found: object) -> str:
    """What a test says; nothing if it passes, `skipped` if it asks for nothing."""
    try:
        test(row, found, same)
    except DifferenceError as error:
        return str(error)
    except pytest.skip.Exception:
        return "skipped"
    return ""


def test_of_a_packages_version_what_is_given_counts() -> None:
    module = suite("packages")
    found = module.read("etcd 0 3.3.11 2.el7\ndocker 2 1.13.1 209.el7\npackage kubernetes is not installed\n")
    versions = {
        "": "skipped",
        "1.13.1": "",
        "1.13.1-209.el7": "",
        "2:1.13.1": "",
        "2:1.13.1-209.el7": "",
        "1.13.2": "x",
    }
    said = {text: failure(module.test_version, {"package": "docker", "version": text}, found) for text in versions}
    assert {text: bool(words) and words != "skipped" for text, words in said.items()} == {
        text: words == "x" for text, words in versions.items()
    }
    assert failure(module.test_is_installed, {"package": "kubernetes"}, found) == "is installed: True / False"


def test_who_listens_is_the_unit_or_else_the_program() -> None:
    module = suite("ports")
    found = module.read(
        'LISTEN 0 128 10.0.0.1:2379 0.0.0.0:* users:(("etcd",pid=7,fd=5))\n'
        'LISTEN 0 128 [::]:6443 [::]:* users:(("python3",pid=9,fd=3),("python3",pid=10,fd=3))\n'
        "process 7 etcd\nprocess 9 -\nprocess 10 -\n"
    )
    assert failure(module.test_listens, {"port": 2379, "unit": "etcd"}, found) == ""
    words = failure(module.test_listens, {"port": 6443, "unit": "kube-apiserver"}, found)
    assert words == "who listens: kube-apiserver / python3"
    assert failure(module.test_listens, {"port": 1, "unit": "x"}, found) == "who listens: x / nobody"


def test_a_user_is_a_systems_and_cannot_log_in() -> None:
    module = suite("users")
    found = module.read("etcd:x:998:996::/:/sbin/nologin\nkube:x:1001:1001::/:/bin/bash\n")
    tests = (module.test_is_a_system_user, module.test_cannot_log_in)
    assert [failure(test, {"user": "etcd"}, found) for test in tests] == ["", ""]
    assert [failure(test, {"user": "kube"}, found) for test in tests] == [
        "user ID below 1000: True / False", "login shell: /sbin/nologin / /bin/bash",
    ]  # fmt: skip
    assert [failure(test, {"user": "x"}, found) for test in tests] == ["user ID below 1000: True / False", "skipped"]


def test_a_unit_that_is_to_be_off_may_be_missing() -> None:
    module = suite("units")
    found = module.read(
        "Id=a.service\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=yes\n\n"
        "Id=b.service\nActiveState=inactive\nUnitFileState=\nNeedDaemonReload=no\n"
    )
    on, off = {"unit": "a", "active": True, "enabled": True}, {"unit": "b", "active": False, "enabled": False}
    tests = (module.test_is_active, module.test_is_enabled, module.test_definition_is_loaded)
    assert [failure(test, on, found) for test in tests] == ["", "", "its file changed since systemd read it: no / yes"]
    assert [failure(test, off, found) for test in tests] == ["", "", ""]
    assert failure(module.test_is_enabled, {**off, "unit": "a"}, found) == "at boot: disabled / enabled"
    assert failure(module.test_is_active, {**on, "unit": "c"}, found) == "state: active / no such unit"


def test_settings_of_the_host_that_do_not_apply_are_skipped() -> None:
    module = suite("settings")
    found = module.read("selinux disabled\njournal volatile\nhosts-file m1 10.0.0.1\nhosts-file m1 10.0.0.9\n")

    def says(setting: str, value: str) -> str:
        return failure(module.test_value, {"setting": setting, "value": value}, found)

    assert says("selinux", "permissive") == ""
    assert says("selinux", "enforcing") == "value: enforcing / disabled"
    assert says("swap", "off") == "skipped"
    assert says("firewalld-port 1/tcp", "open") == "skipped"
    assert says("journal", "persistent") == "value: persistent / volatile"
    assert says("hosts-file m1", "10.0.0.1") == ""
    assert says("hosts-file n1", "10.0.0.2") == "value: 10.0.0.2 / none"


def health(check: str, body: str, now: float = 1000.0, *expects: str) -> str:
    module = suite("health")
    row = {
        "health": "it works",
        "url": "u",
        "check": check,
        "expects": list(expects),
        "ca": "/c",
        "cert": "",
        "key": "",
    }
    output = f"{now}\nit works\n" + "".join(f"  {line}\n" for line in body.splitlines())
    return failure(module.test_works, row, module.read(output))


MEMBERS = '{"members": [{"name": "e1", "peerURLs": ["https://1:2380"]}, {"peerURLs": ["https://2:2380"]}]}\nstatus 200'


def test_every_kind_of_health_has_its_answer_and_its_trouble() -> None:
    refused = "curl: (7) refused\n\nstatus 000"
    for check, good in {
        "ok": "ok\nstatus 200",
        "answers": "anything\nstatus 200",
        "etcd-health": '{"health": "true"}\nstatus 200',
        "pod-ready": '{"items": [{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}]}\nstatus 200',
        "lease-held": '{"spec": {"holderIdentity": "m1", "renewTime": "1970-01-01T00:16:30.000000Z"}}\nstatus 200',
    }.items():
        assert health(check, good) == "", check
        assert health(check, refused) != "", check
    members = ("e1=https://1:2380", "e2=https://2:2380")
    assert health("etcd-members", MEMBERS, 0.0, *members) == (
        "u: e1=https://1:2380, e2=https://2:2380 / e1=https://1:2380, not started=https://2:2380"
    )
    one = '{"members": [{"name": "e1", "peerURLs": ["http://localhost:2380"]}]}\nstatus 200'
    assert health("etcd-members", one, 0.0, members[0]) == ""
    assert health("lease-held", '{"spec": {}}\nstatus 200') == "u: a leader / no leader"
    late = '{"spec": {"holderIdentity": "m1", "renewTime": "1970-01-01T00:00:10Z"}}\nstatus 200'
    assert health("lease-held", late) == "u: a leader / m1, 990 s ago"
    old = {"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": late.splitlines()[0][9:-1]}}}
    assert health("lease-held", f"{json.dumps(old)}\nstatus 200", 20.0) == ""
    assert health("pod-ready", '{"items": [{}]}\nstatus 200') == "u: a ready pod / 1 pods, none of them ready"


def test_a_node_is_compared_with_what_it_should_have_alone() -> None:
    module = suite("nodes")
    node = {
        "kind": "Node",
        "metadata": {"labels": {"disk": "hdd", "theirs": "x"}, "annotations": {}},
        "spec": {"unschedulable": True, "taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]},
        "status": {"conditions": [{"type": "Ready", "status": "False", "message": "no docker"}]},
    }
    row = {"node": "n1", "labels": {"disk": "ssd"}, "annotations": {}, "taints": ["k=v:NoSchedule", "l:NoExecute"]}
    found = module.read(f"n1\n{json.dumps(node)}\nn2\ncurl: (7) refused\n")
    tests = (module.test_is_ready, module.test_takes_pods, module.test_labels, module.test_annotations)
    assert [failure(test, row, found) for test in (*tests, module.test_taints)] == [
        "state: ready / no docker",
        "scheduling: enabled / disabled (cordoned)",
        "labels: {'disk': 'ssd'} / {'disk': 'hdd'}",
        "",
        "taints: ['k=v:NoSchedule', 'l:NoExecute'] / ['k=v:NoSchedule']",
    ]
    other = {**row, "node": "n2"}
    assert {failure(test, other, found).partition(" / ")[2] for test in tests} == {"curl: (7) refused"}


def test_a_certificate_is_compared_by_its_words_and_its_end() -> None:
    module = suite("certificates")
    found = module.read(
        "file /a.crt\nsubject= CN=a,O=b\nissuer=CN=ca\nnotAfter=Jan  1 00:00:00 2020 GMT\n"
        "names=DNS:m1, IP Address:10.0.0.1\nfile /b.crt\n"
    )
    good = {"certificate": "/a.crt", "subject": "CN=a,O=b", "issuer": "CN=ca", "names": ["DNS:m1", "IP:10.0.0.1"]}
    for test in (module.test_subject, module.test_issuer, module.test_names):
        assert failure(test, good, found) == ""
        assert failure(test, {**good, "certificate": "/b.crt"}, found) != ""
    said = failure(module.test_days_left, {**good, "days": 30}, found)
    assert said.startswith("days left: at least 30 / -")
    assert said.endswith("(until Jan  1 00:00:00 2020 GMT)")
    missing = failure(module.test_days_left, {**good, "certificate": "/b.crt", "days": 30}, found)
    assert missing == "days left: at least 30 / no certificate"


def test_pods_are_behind_the_bridge_or_behind_a_route() -> None:
    module = suite("routes")
    found = module.read(
        "3: docker0    inet 10.244.0.1/24 scope global docker0\n10.244.1.0/24 via 10.77.0.22 dev eth0 proto 75\n"
    )
    here, there = {"pods": "10.244.0.0/24", "node": "n1", "via": ""}, {"pods": "10.244.1.0/24", "node": "n2"}
    test = module.test_pods_are_reached
    assert failure(test, here, found) == ""
    assert failure(test, {**there, "via": "10.77.0.22"}, found) == ""
    assert failure(test, {**there, "pods": "10.244.9.0/24", "via": "x"}, found) == "route to pods of n2: x / no route"
    assert failure(test, {**here, "pods": "10.244.9.0/24"}, found) != ""


def test_hosts_with_another_user_are_asked_by_sudo() -> None:
    topology = clusters.TOPOLOGIES["one-master-two-nodes"]
    lab = clusters.cluster(topology=topology, more="ssh: {user: ops}\n")
    assert all(one.sudo for one in tables(lab).values())
    assert not any(one.sudo for one in tables(replace(clusters.cluster())).values())
