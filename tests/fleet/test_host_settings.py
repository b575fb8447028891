"""All roles on one real host, without a pod network, and what else can be asked of a host itself. In order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from k8s_installer import inventory
from k8s_installer.engine.remote import SshRemote
from k8s_installer.host import families
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import Kind, Missing, Ref, Seen, SeenSetting, Setting
from k8s_installer.transport import connect
from tests.fleet.conftest import Cluster, made_cluster, running_lab

pytestmark = pytest.mark.fleet

# The lab's hosts cannot raise a limit beyond the 20000 of their own.
SETTINGS = """
host_settings:
  hosts_file: manage
  journald: persistent
  limit_nofile: 16384
  docker: {{registry_mirrors: ["http://{registry}"], insecure_registries: ["{registry}", 10.99.0.0/16], log: {{max_size: 20m}}}}
"""
OWN = "127.0.0.1 localhost localhost.localdomain\n10.0.0.9 another\n\n# the last line of a file\n"
VOLATILE = (
    "rm -rf /etc/systemd/journald.conf.d /var/log/journal; "
    "systemctl restart systemd-journald; test -e /run/log/journal/*/system.journal"
)
ACCOUNTS = "cat /etc/passwd /etc/group"
STORAGE = "grep ^Storage /etc/systemd/journald.conf.d/*"


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_lab("tsingle", "--masters", "1", "--nodes", "0") as lab:
        bare = made_cluster(lab, tmp_path_factory.mktemp("single"))
        insecure = next(line for line in bare.text.splitlines() if "insecure-registry" in line)
        registry = insecure.split('"')[1]
        text = bare.text.replace(insecure, "").replace("network: routes", "network: none")
        text = text.replace("[etcd, master]", "[etcd, master, node]") + SETTINGS.format(registry=registry)
        text = text.replace("components:\n", "components:\n  etcd: {args: {data-dir: /data/etcd}}\n", 1)
        bare.inventory.write_text(text)
        bare.on("m1", f"printf %s '{OWN}' >/etc/hosts; {VOLATILE}")
        yield replace(bare, text=text, bootstrap=bare.run("apply", "--yes"))


def hosts_of(cluster: Cluster) -> str:
    return (
        "# BEGIN k8s-installer: the hosts of its inventory\n"
        f"{cluster.addresses['m1']} m1\n"
        "# END k8s-installer\n"
    )  # fmt: skip


def changes(cluster: Cluster) -> list[tuple[str, str]]:
    done = cluster.run("plan", "-o", "json")
    assert done.returncode in (0, 3), done.stderr
    return [(change["action"], change["name"]) for change in json.loads(done.stdout)["changes"]]


@pytest.mark.runs(version="1.20.2", source="packages", network="none", security="tls")
def test_one_host_is_a_cluster_that_is_proven_with_pods(single: Cluster) -> None:
    done = single.bootstrap
    assert done is not None
    assert done.returncode == 0, done.stderr
    assert "✓ every pod answers through the Service on every node" in done.stderr


def test_a_host_has_what_was_asked_of_it(single: Cluster) -> None:
    assert single.on("m1", "cat /etc/hosts") == OWN + hosts_of(single)
    assert single.on("m1", "getent ahostsv4 m1").split()[0] == single.addresses["m1"]
    assert single.on("m1", "ls /var/log/journal/*/system.journal; ls /run/log/journal").count("system.journal") == 1
    assert single.on("m1", "stat -c '%U %a' /data/etcd; ls /data/etcd") == "etcd 700\nmember\n"
    for unit in ("etcd", "kube-apiserver", "docker", "kubelet"):
        limits = single.on("m1", f"cat /proc/$(systemctl show -p MainPID {unit} | cut -d= -f2)/limits")
        assert "Max open files            16384                16384" in limits, unit


def test_docker_has_its_registries_from_its_command_line_alone(single: Cluster) -> None:
    registry = json.loads(single.on("m1", "docker info --format '{{json .RegistryConfig}}'"))
    assert "10.99.0.0/16" in registry["InsecureRegistryCIDRs"]
    assert len(registry["Mirrors"]) == 1
    assert single.on("m1", "cat /etc/docker/daemon.json").strip() == "{}"
    single.on("m1", "docker create --name logs $(docker images -q | head -n 1) x")
    logs = json.loads(
        single.on("m1", "docker inspect --format '{{json .HostConfig.LogConfig}}' logs; docker rm logs >&2")
    )
    assert logs == {"Type": "json-file", "Config": {"max-size": "20m", "max-file": "3"}}
    assert single.on("m1", "iptables -S FORWARD").startswith("-P FORWARD ACCEPT\n")


def test_a_key_of_daemon_json_that_is_a_flag_too_is_found_before_docker_refuses_it(single: Cluster) -> None:
    twice = '{"debug": true, "log-opts": {"max-size": "1m"}}'
    said = single.on("m1", f"echo '{twice}' >/etc/docker/daemon.json; dockerd-current --log-opt=max-size=2m 2>&1; true")
    found = single.run("preflight")
    single.on("m1", "echo '{}' >/etc/docker/daemon.json")
    assert "specified both as a flag and in the configuration file: log-opts" in said
    assert found.returncode == 1
    assert "log-opts: docker does not start if a flag sets them too" in found.stdout
    assert single.run("preflight").returncode == 0


def test_a_second_run_changes_nothing(single: Cluster) -> None:
    before = single.processes()
    done = single.run("apply", "--yes", "--no-verify")
    assert (done.returncode, done.stdout) == (0, "No changes: every host matches the inventory.\n"), done.stderr
    assert single.processes() == before


def test_what_was_undone_by_hand_comes_back_without_a_restart_and_a_rollback_takes_it_away(single: Cluster) -> None:
    before = single.processes()
    single.on("m1", f"sed -i /BEGIN/,/END/d /etc/hosts; {VOLATILE}")
    journald = single.on("m1", "pidof systemd-journald")
    assert changes(single) == [("set", "hosts-file"), ("set", "journal")]
    assert single.run("apply", "--yes", "--no-verify").returncode == 0
    assert changes(single) == []
    assert single.on("m1", "cat /etc/hosts") == OWN + hosts_of(single)
    assert single.on("m1", STORAGE) == "Storage=persistent\n"
    done = single.run("rollback", "--yes")
    assert done.returncode == 0, done.stderr
    assert single.on("m1", "cat /etc/hosts") == OWN
    assert single.on("m1", STORAGE) == "Storage=volatile\n"
    assert single.run("apply", "--yes", "--no-verify").returncode == 0
    assert single.on("m1", STORAGE) == "Storage=persistent\n"
    assert single.processes() == before
    assert single.on("m1", "pidof systemd-journald") == journald


def test_a_setting_goes_back_to_what_was_there_before_it_was_set(single: Cluster) -> None:
    """By the real useradd, docker and journald: what was made is gone, and nothing else is."""
    before = single.on("m1", ACCOUNTS)
    known, other = single.on("m1", "docker images --no-trunc --format '{{.ID}} {{.Repository}}:{{.Tag}}'").split()[:2]
    journald = single.on("m1", "pidof systemd-journald")
    transport = connect(inventory.load(single.inventory).hosts[0])
    remote = SshRemote(transport)

    def asked(name: str) -> Seen:
        ref = Ref("m1", Kind.SETTING, name)
        return remote.observe([DesiredResource(ref, Setting(""), "host", (), "")])[ref]

    def is_set(name: str, value: str) -> Seen:
        change = Change(Ref("m1", Kind.SETTING, name), Action.SET, "host", Missing.ABSENT, Setting(value), "a test")
        outcome = remote.perform([(0, change)], lambda report: None)
        assert outcome.failed is None, outcome.evidence
        return asked(name)

    def back(name: str, found: Seen) -> Seen:
        value = families.original(name, found.value if isinstance(found, SeenSetting) else None)
        assert value is not None
        return is_set(name, value)

    try:
        assert is_set("user probe", "system") == SeenSetting("system")
        assert single.on("m1", "id -gn probe") == "probe\n"
        assert back("user probe", Missing.ABSENT) is Missing.ABSENT
        assert single.on("m1", ACCOUNTS) == before
        assert is_set("image probe:1", known) == SeenSetting(known)
        single.on("m1", "docker create --name user-of-it probe:1 x")
        assert back("image probe:1", Missing.ABSENT) is Missing.ABSENT
        assert (
            single.on("m1", "docker inspect --format '{{.Image}}' user-of-it; docker rm user-of-it >&2") == f"{known}\n"
        )
        assert asked(f"image {other}") == SeenSetting(known)
        assert isinstance(back("journal", SeenSetting("volatile")), SeenSetting)
        assert single.on("m1", "ls -d /etc/systemd/journald.conf.d 2>&1; true").startswith("ls: cannot access")
        assert single.on("m1", "pidof systemd-journald") == journald
        assert is_set("journal", "persistent") == SeenSetting("persistent")
    finally:
        transport.close()
