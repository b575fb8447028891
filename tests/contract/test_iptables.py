"""What programs leave in iptables goes, and everything else stays: with the real iptables, in a network of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from k8s_installer import profiles
from k8s_installer.host import leftovers
from k8s_installer.host.perform import script
from k8s_installer.lab.state import default_cache
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import Kind, Leaves, NoLeftovers, Ref, SeenLeftovers
from tests.unit.test_perform import marks, program

BASE = next(iter(sorted((default_cache() / "artifacts").glob("debian-*"))), None)
LIBRARIES = "usr/lib/x86_64-linux-gnu"
COMPONENTS = profiles.load("1.20.2").components

pytestmark = [
    pytest.mark.skipif(BASE is None, reason="there is no lab on this machine whose iptables could be used"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own is made by root"),
]

# As docker 1.13 and 20.10, the kubelet, kube-proxy, flannel 0.7.1 and 0.21.3 and our own unit write them.
PROGRAMS = """\
*nat
:DOCKER - [0:0]
:FLANNEL-POSTRTG - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-NPX46M4PTMTKRN6Y - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -m addrtype --src-type LOCAL -o docker0 -j MASQUERADE
-A POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 -j MASQUERADE
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A POSTROUTING -s 10.244.0.0/16 -d 10.244.0.0/16 -m comment --comment "flanneld masq" -j RETURN
-A POSTROUTING -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully
-A POSTROUTING ! -s 10.244.0.0/16 -d 10.244.1.0/24 -j RETURN
-A POSTROUTING ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE
-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.0.0/16 -m comment --comment "flanneld masq" -j RETURN
-A DOCKER -i docker0 -j RETURN
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-SERVICES -d 10.254.0.1/32 -p tcp -m comment --comment "default/kubernetes:https" -j KUBE-SVC-NPX46M4PTMTKRN6Y
-A KUBE-SVC-NPX46M4PTMTKRN6Y -j KUBE-MARK-MASQ
COMMIT
*filter
:DOCKER - [0:0]
:DOCKER-ISOLATION - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A FORWARD -s 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
-A FORWARD -d 10.244.0.0/16 -j ACCEPT
-A DOCKER-ISOLATION -j RETURN
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-USER -j RETURN
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
COMMIT
"""
USERS = """\
*nat
:DOCKER-MINE - [0:0]
-A POSTROUTING -s 192.168.7.0/24 ! -o docker0 -p tcp -m comment --comment "not DOCKER's: KUBE-SERVICES" -j MASQUERADE
-A DOCKER-MINE -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.9.9.9:80
COMMIT
*filter
:BEFORE-KUBE-SERVICES - [0:0]
[7:420] -A INPUT -i docker0 -p udp -m udp --dport 53 -m comment --comment "say \\"-j DOCKER\\"" -j ACCEPT
-A FORWARD -i docker0 -d 10.0.0.0/8 -j DROP
-A FORWARD -d 10.244.0.0/16 -p udp -j ACCEPT
-A FORWARD -s 10.244.0.0/16 -m comment --comment mine -j ACCEPT
-A FORWARD -j BEFORE-KUBE-SERVICES
COMMIT
"""


def leaves(*names: str) -> Leaves:
    components = [COMPONENTS[name] for name in names]
    specs = [spec for one in components for spec in (one.leaves, *(file.leaves for file in one.files.values()))]
    found = [spec for spec in specs if spec]
    return Leaves(
        "kubelet",
        chains=tuple(chain for spec in found for chain in spec.chains),
        rules=tuple(rule.replace("{{ cluster.pod_cidr }}", "10.244.0.0/16") for spec in found for rule in spec.rules),
    )


def in_a_network_of_its_own(folder: Path, commands: str) -> str:
    """What commands print there; they have iptables as the lab's hosts have it."""
    assert BASE is not None
    (folder / "bin").mkdir(exist_ok=True)
    for name in ("iptables", "ip6tables"):
        for verb in ("", "-save", "-restore"):
            real = f"{BASE}/usr/sbin/{name}-legacy{verb}"
            paths = f"LD_LIBRARY_PATH={BASE}/{LIBRARIES} XTABLES_LIBDIR={BASE}/{LIBRARIES}/xtables"
            program(folder / "bin", f"{name}{verb}", f'{paths} exec {real} "$@"')
    environment = {
        "PATH": f"{folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "K8S_INSTALLER_KEPT": f"{folder}/state/kept",
        "K8S_INSTALLER_ROOT": str(folder),
    }
    (folder / "proc").mkdir(exist_ok=True)
    (folder / "proc/mounts").touch()
    done = subprocess.run(
        ["unshare", "--net", "/bin/sh", "-s"],
        input=commands,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def loaded(text: str, *options: str) -> str:
    return f"iptables-restore --noflush {' '.join(options)} <<'EOF'\n{text}EOF\n"


SAVED = "iptables-save --counters | grep -v '^[#]'\n"


def test_what_programs_wrote_goes_and_rules_of_others_stay_with_their_counters(tmp_path: Path) -> None:
    wanted = leaves("docker", "kubelet", "kube-proxy", "flannel", "network")
    before = in_a_network_of_its_own(tmp_path, loaded(USERS, "--counters") + SAVED)
    assert "[7:420] -A INPUT -i docker0" in before
    change = Change(
        Ref("n1", Kind.LEFTOVERS, "kubelet"), Action.CLEAN, "kubelet", SeenLeftovers(("rules",)), NoLeftovers(wanted), "a test"
    )  # fmt: skip
    asked = f"root=\n{leftovers.questions([wanted])}"
    output = in_a_network_of_its_own(
        tmp_path,
        f"{loaded(USERS, '--counters')}{loaded(PROGRAMS)}({asked})\n({script([(0, change)])})\n({asked})\necho ---\n{SAVED}",
    )
    said, _, after = output.partition("---\n")
    assert [line for line in said.splitlines() if line.startswith("left ")] == ["left kubelet rules of iptables"]
    assert marks(said) == ["begin 0", "done 0"]
    assert after == before


def test_a_table_stays_whole_where_one_chain_cannot_go(tmp_path: Path) -> None:
    """Somebody has put in a jump after the look at the rules: the chain stays, and so does all else of its table."""
    (tmp_path / "late").mkdir()
    jump = "iptables -w -A INPUT -j DOCKER-USER"
    program(tmp_path / "late", "iptables-restore", f'{jump}; exec "{tmp_path}/bin/iptables-restore" "$@"')
    cleaning = f"root=$K8S_INSTALLER_ROOT\n{leftovers.CLEAN}{leftovers.cleaner(leaves('docker'))}"
    saved = "iptables-save -t filter | grep '^[:-]'\n"
    output = in_a_network_of_its_own(
        tmp_path,
        f"{loaded(PROGRAMS)}{saved}echo ---\n(PATH={tmp_path}/late:$PATH\n{cleaning}) 2>{tmp_path}/said && exit 9\n{saved}",
    )
    before, _, after = output.partition("---\n")
    assert set(after.splitlines()) - set(before.splitlines()) == {"-A INPUT -j DOCKER-USER"}
    assert set(before.splitlines()) - set(after.splitlines()) == set()
    assert "iptables-restore" in (tmp_path / "said").read_text()
