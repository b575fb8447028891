"""Real labs on this machine: needs root, and what `lab up` asks for. Each test's lab has a name of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from k8s_installer.errors import LabError
from k8s_installer.lab import cgroups, debian, fleet, hosts, inventory, network, programs, state
from k8s_installer.lab.artifacts import data_folder
from k8s_installer.lab.fleet import Status
from k8s_installer.lab.processes import identify, wait_gone
from k8s_installer.lab.state import Shape

NAME = "tlab"
SHAPE = Shape(masters=1, nodes=1, version=programs.BUILT_VERSION, programs=os.environ.get("LAB_PROGRAMS", ""))
REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.fleet


def say(line: str) -> None:
    print(line)  # noqa: T201 - shown by pytest when a test fails


def traces(name: str) -> dict[str, set[str]]:
    """Everything on this machine that bears a lab's name."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    links = json.loads(subprocess.check_output(["ip", "-j", "link"]))
    tops = cgroups.hierarchies()
    return {
        "mounts": {line for line in mounts if f"lab-{name}" in line or f"labs/{name}" in line},
        "links": {link["ifname"] for link in links if link["ifname"] == f"lab-{name}"},
        "namespaces": set(network.namespaces(name)),
        "control groups": {str(path) for top in tops for path in top.rglob(f"lab-{name}*")},
        "nspawn": {str(path) for path in Path("/run/systemd/nspawn").rglob(f"lab-{name}*")},
        "processes": {line for line in _command_lines() if f"lab-{name}." in line or f"labs/{name}/" in line},
        "files": {str(path) for path in [state.folder_of(state.default_cache(), name)] if path.exists()},
    }


def _command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue


NOTHING: dict[str, set[str]] = {key: set() for key in traces("no-such-lab")}


def machine_wide() -> dict[str, object]:
    """What a lab must leave as it is: all mounts, links, namespaces and groups, and this machine's settings."""
    settings = ["vm.overcommit_memory", "kernel.panic", "kernel.pid_max", "net.ipv4.ip_forward"]
    return {
        "mounts": _ours(line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()),
        "links": _ours(link["ifname"] for link in json.loads(subprocess.check_output(["ip", "-j", "link"]))),
        "namespaces": _ours(path.name for path in network.NAMESPACES.iterdir()),
        "groups": _ours(str(path) for top in cgroups.hierarchies() for path in top.iterdir() if path.is_dir()),
        "nspawn": _ours(map(str, Path("/run/systemd/nspawn").rglob("*"))),
        "settings": [Path("/proc/sys", *name.split(".")).read_text() for name in settings],
    }


def _ours(names: Iterable[str]) -> list[str]:
    """Leave out what belongs to labs that others run on this machine meanwhile."""
    return sorted(name for name in names if "lab-" not in name or f"lab-{NAME}" in name)


@pytest.fixture(scope="module")
def lab() -> Iterator[Status]:
    fleet.down(NAME, say)
    yield fleet.up(NAME, SHAPE, say)
    fleet.down(NAME, say)


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(lab: Status) -> Run:
    def on_host(host: str, command: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        assert lab.lab
        target = next(one for one in lab.lab.hosts if one.name == host)
        argv = [*hosts.ssh_command(lab.folder, target, user), command]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=180)

    return on_host


def test_a_lab_is_up_with_every_host_booted(lab: Status, run: Run) -> None:
    assert lab.condition == "running"
    assert lab.running == {"m1", "n1"}
    for host in ("m1", "n1"):
        done = run(
            host, "systemctl is-system-running; hostname; . /etc/os-release; echo $ID $VERSION_ID; ps -p 1 -o comm="
        )
        assert done.stdout.split("\n")[:4] == ["running", host, "centos 7", "systemd"]


def test_hosts_have_keys_control_groups_and_networks_of_their_own(run: Run) -> None:
    ask = "cat /etc/ssh/ssh_host_ed25519_key.pub /etc/machine-id; readlink /proc/1/ns/net /proc/1/ns/cgroup /proc/1/ns/mnt"
    one, other = (run(host, ask).stdout.splitlines() for host in ("m1", "n1"))
    assert len(one) == 5
    assert all(a != b for a, b in zip(one, other, strict=True))
    assert (
        run(
            "m1", "ping -c 1 -W 2 n1 >/dev/null 2>&1; ping -c 1 -W 2 $(echo $SSH_CONNECTION | cut -d' ' -f3)"
        ).returncode
        == 0
    )


def test_hosts_reach_each_other(lab: Status, run: Run) -> None:
    assert lab.lab
    for host in lab.lab.hosts:
        assert run("m1", f"ping -c 1 -W 2 {host.address}").returncode == 0


def test_a_second_up_has_nothing_to_do(lab: Status) -> None:
    lines: list[str] = []
    again = fleet.up(NAME, SHAPE, lines.append)
    assert again == lab
    assert lines == [f"lab {NAME} already runs: nothing to do"]


def test_another_shape_is_refused_while_it_runs(lab: Status) -> None:
    with pytest.raises(LabError, match="a different shape") as caught:
        fleet.up(NAME, Shape(1, 5, SHAPE.version, SHAPE.programs), say)
    assert f"lab down --name {NAME}" in caught.value.hint
    assert fleet.status(NAME) == lab


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("systemctl show --value -p Id dbus", "systemctl: unrecognized option '--value'"),
        ("journalctl --grep x", "journalctl: unrecognized option '--grep'"),
        ("curl --retry-connrefused http://127.0.0.1", "curl: option --retry-connrefused: is unknown"),
        ("ip -j addr", 'Option "-j" is unknown, try "ip -help".'),
        ("yum -y --best install etcd", "Command line error: no such option: --best"),
        ("/usr/bin/systemctl revert x", "Unknown operation 'revert'."),
        (("printf '[Service]\\nStateDirectory=x\\n' > /etc/systemd/system/x.service; systemctl daemon-reload;"
         " s=$?; rm /etc/systemd/system/x.service; exit $s"), "Unknown lvalue"),
    ],
)  # fmt: skip
def test_the_wrappers_refuse_what_centos_7_does_not_know(run: Run, command: str, answer: str) -> None:
    done = run("m1", command)
    assert done.returncode != 0
    assert answer in done.stderr


def test_a_host_has_the_programs_that_kubernetes_wants(run: Run) -> None:
    names = "logger ss curl iptables conntrack ipset socat ebtables nsenter mount tar flock rpm yum sudo sha256sum"
    assert run("n1", f"for name in {names}; do command -v $name >/dev/null || echo $name; done").stdout == ""
    assert run("n1", "command -v apt-get dnf").returncode != 0
    assert "legacy" in run("n1", "iptables --version").stdout


def test_sudo_is_as_the_user_has_it(run: Run) -> None:
    assert run("m1", "sudo -n id -u", "ops").stdout == "0\n"
    assert run("m1", "sudo -n id -u", "guest").returncode != 0


def test_modules_that_the_kernel_has_load_and_others_do_not(run: Run) -> None:
    assert run("n1", "modprobe br_netfilter && modprobe -a overlay nf_conntrack").returncode == 0
    assert run("n1", "modprobe nonsense").stderr == "modprobe: FATAL: Module nonsense not found.\n"


def test_settings_of_a_host_do_not_leak_to_the_machine(run: Run) -> None:
    before = machine_wide()["settings"]
    assert run("n1", "sysctl -w vm.overcommit_memory=1 kernel.panic=10 net.ipv4.ip_forward=1").returncode == 0
    assert run("n1", "sysctl -n vm.overcommit_memory kernel.panic net.ipv4.ip_forward").stdout.split() == [
        "1",
        "10",
        "1",
    ]
    assert machine_wide()["settings"] == before


def test_etcd_installs_by_yum_and_runs(run: Run) -> None:
    assert run("m1", "yum -y -q install etcd").returncode == 0
    assert run("m1", "rpm -q etcd").stdout.startswith("etcd-3.3.25-0.lab.el7")
    assert run("m1", "stat -c '%U %a' /var/lib/etcd").stdout == "etcd 755\n"
    assert run("m1", "systemctl is-enabled etcd").stdout == "disabled\n"
    assert run("m1", "systemctl start etcd && curl -s http://127.0.0.1:2379/version").stdout.startswith(
        '{"etcdserver":"3.3.25"'
    )


def test_an_edited_configuration_survives_a_reinstallation(run: Run) -> None:
    run("m1", "yum -y -q install etcd; echo '# mine' >> /etc/etcd/etcd.conf")
    assert run("m1", "yum -y -q reinstall etcd && tail -n 1 /etc/etcd/etcd.conf").stdout.endswith("# mine\n")


def test_a_node_installs_kubernetes_and_runs_images_of_the_labs_registry(lab: Status, run: Run) -> None:
    assert lab.lab
    assert run("n1", "yum -y -q install docker kubernetes").returncode == 0
    assert run("n1", "stat -c '%U %a' /run/kubernetes /usr/bin/kube-apiserver").stdout == "kube 755\nroot 754\n"
    assert SHAPE.version in run("n1", "kubelet --version").stdout
    registry = f"{network.gateway(lab.lab.number)}:5000"
    options = f"OPTIONS='--log-driver=json-file --insecure-registry={registry}'"
    assert run("n1", f'echo "{options}" > /etc/sysconfig/docker; systemctl start docker').returncode == 0
    assert "Cgroup Driver: systemd" in run("n1", "docker info").stdout
    assert run("n1", f"docker pull -q {registry}/lab/pause:1 && docker run -d {registry}/lab/pause:1").returncode == 0
    assert run("n1", f"docker run -d --name web --hostname told {registry}/lab/web:1").returncode == 0
    ask = "curl -s --retry 5 http://$(docker inspect -f '{{.NetworkSettings.IPAddress}}' web)/"
    assert run("n1", f"sleep 1; {ask}").stdout == "told\n"


def test_a_host_comes_back_from_a_reboot_with_its_files_and_without_its_packet_filter(lab: Status, run: Run) -> None:
    run(
        "m1",
        "touch /root/kept; iptables -N LEFT; ip route add 10.99.0.0/16 via $(ip route | sed -n 's/^default via //;s/ .*//p')",
    )
    boots = run("m1", "journalctl -q --no-pager _PID=1 | head -n 1; stat -c %Y /proc/1").stdout
    run("m1", "reboot")
    for _ in range(100):
        time.sleep(0.3)
        done = run("m1", "stat -c %Y /proc/1")
        if done.returncode == 0 and done.stdout not in boots:
            break
    assert run("m1", "ls /root/kept; iptables -S LEFT 2>&1 | grep -c LEFT; ip route").stdout.startswith("/root/kept\n")
    assert run("m1", "iptables -S LEFT").returncode != 0
    assert "10.99.0.0" not in run("m1", "ip route").stdout
    assert fleet.status(NAME).condition == "running"
    assert lab.folder.exists()


def test_two_labs_run_side_by_side_and_down_takes_one_and_leaves_nothing_of_it(lab: Status) -> None:
    before = machine_wide()
    other = fleet.up("tlab2", Shape(1, 0, SHAPE.version, SHAPE.programs), say)
    assert other.lab
    assert lab.lab
    assert other.lab.number != lab.lab.number
    assert traces("tlab2") != NOTHING
    assert fleet.down("tlab2", say)
    assert traces("tlab2") == NOTHING
    assert machine_wide() == before
    assert fleet.status(NAME).condition == "running"
    assert not fleet.down("tlab2", say)


def test_a_lab_whose_processes_are_gone_is_cleared_and_starts_anew() -> None:
    name, shape = "tlab3", Shape(1, 0, SHAPE.version, SHAPE.programs)
    try:
        found = fleet.up(name, shape, say)
        assert found.lab
        path = found.folder / inventory.INVENTORY
        path.write_text(path.read_text() + "# edited\n")
        victims = cgroups.processes(name)
        for process in victims:  # by number, each known to be the lab's
            if identify(process.pid) == process:
                os.kill(process.pid, signal.SIGKILL)
        assert wait_gone(victims, 10) == []
        assert fleet.status(name).condition == "stopped"
        lines: list[str] = []
        again = fleet.up(name, shape, lines.append)
        assert again.condition == "running"
        assert again.lab
        assert again.lab.number == found.lab.number
        assert f"removing what is left of an earlier lab {name}" in lines
        assert path.read_text().endswith("# edited\n")
        assert any("your edited" in line for line in lines)
    finally:
        fleet.down(name, say)
    assert traces(name) == NOTHING


def test_down_clears_what_has_no_record_any_more() -> None:
    name = "tlab4"
    network.make(name, network.free_number(network.numbers_in_use()), [])
    cgroups.make(name, "m1")
    assert fleet.remains(name, state.default_cache())
    assert fleet.down(name, say)
    assert traces(name) == NOTHING


def test_a_lab_that_fails_to_start_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LabError("no")

    monkeypatch.setattr(hosts, "wait_ready", fail)
    with pytest.raises(LabError, match="no"):
        fleet.up("tlab5", Shape(1, 0, SHAPE.version, SHAPE.programs), say)
    found = traces("tlab5")
    assert {key: value for key, value in found.items() if value and key != "files"} == {}
    fleet.down("tlab5", say)
    assert traces("tlab5") == NOTHING


@pytest.mark.parametrize("folder", [REPOSITORY, data_folder() / "vagrant"], ids=["top", "packaged"])
@pytest.mark.parametrize(
    ("settings", "valid"),
    [
        ({}, True),
        ({"LAB_MASTERS": "3", "LAB_NODES": "5"}, True),
        ({"LAB_MASTERS": "0"}, False),
        ({"LAB_VERSION": "1.20.2"}, False),
        ({"LAB_VERSION": "1.20.2", "LAB_REPOSITORY": "http://10.77.0.1/"}, True),
    ],
)
def test_the_vagrantfile_is_valid(tmp_path: Path, folder: Path, settings: dict[str, str], *, valid: bool) -> None:
    if shutil.which("vagrant") is None:
        debian.install(["vagrant"], say)
    env = {**os.environ, "VAGRANT_CWD": str(folder), "VAGRANT_DOTFILE_PATH": str(tmp_path / "dot"), **settings}
    # without a hypervisor on this machine there is no provider whose settings could be checked
    done = subprocess.run(
        ["vagrant", "validate", "--ignore-provider"], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) == valid, done.stdout + done.stderr
