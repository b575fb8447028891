"""The same wishes for Ansible: inventory, playbook, settings, and what its recap must say for a run to count."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.cluster import Login
from benchmarks.measure import BenchmarkError, Run
from benchmarks.wanted import HostWants

# As fast as ansible-core goes without another connection plugin: pipelining, connections that stay open, hosts that do
# not wait for each other, no facts, no search for Python, and one looping task of each kind, as each task costs a
# process on this side. dnf need not look at its repositories.
_SETTINGS = """\
[defaults]
stdout_callback = ansible.builtin.default
display_ok_hosts = False
display_skipped_hosts = False
host_key_checking = True
local_tmp = {folder}/tmp
[ssh_connection]
pipelining = True
ssh_args = -o ControlMaster=auto -o ControlPersist=60s
control_path_dir = {folder}/cp
"""
_PLAY = {
    "hosts": "all",
    "gather_facts": False,
    "strategy": "free",
    "tasks": [
        {
            "name": "packages",
            "ansible.builtin.dnf": {
                "name": "{{ packages }}", "state": "present", "cacheonly": True, "use_backend": "dnf4",
            },
        },
        {
            "name": "files",
            "ansible.builtin.copy": {
                "src": "{{ item.src }}", "dest": "{{ item.dest }}", "mode": "{{ item.mode }}",
                "owner": "{{ item.owner }}", "group": "{{ item.group }}",
            },
            "loop": "{{ files }}",
            "loop_control": {"label": "{{ item.dest }}"},
        },
        {
            "name": "services",
            "ansible.builtin.systemd_service": {"name": "{{ item }}", "state": "started", "enabled": True},
            "loop": "{{ services }}",
        },
    ],
}  # fmt: skip
_RECAP = re.compile(r"^(\S+) +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+) +skipped=(\d+)", re.MULTILINE)


def write(folder: Path, wants: Mapping[str, HostWants], login: Login) -> None:
    """Write ansible.cfg, inventory.json and playbook.json (JSON is YAML)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ansible.cfg").write_text(_SETTINGS.format(folder=folder), encoding="utf-8")
    hosts = {
        name: {
            "ansible_host": host.address,
            "files": host.data()["files"],
            "services": host.services,
            "packages": [f"{package}-{version}" if version else package for package, version in host.packages],
        }
        for name, host in wants.items()
    }
    reach = f"-o UserKnownHostsFile={login.known_hosts} -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
    variables = {
        "ansible_user": "root",
        "ansible_port": login.port,
        "ansible_ssh_private_key_file": str(login.key),
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_common_args": reach,
    }
    inventory = {"all": {"hosts": hosts, "vars": variables}}
    (folder / "inventory.json").write_text(json.dumps(inventory, indent=1), encoding="utf-8")
    (folder / "playbook.json").write_text(json.dumps([_PLAY], indent=1), encoding="utf-8")


def command(program: Path, forks: int) -> list[str]:
    """The command line, for the folder in which `write` wrote."""
    return [str(program), "-i", "inventory.json", "-f", str(forks), "playbook.json"]


def environment(folder: Path) -> dict[str, str]:
    """What keeps the settings and files of whoever runs this out of it."""
    return {"ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_HOME": str(folder / "home")}


def require_unchanged(run: Run, hosts: int) -> None:
    """Raise BenchmarkError unless the recap has every host, all three tasks done and nothing changed."""
    run.require(0)
    recap = {line[0]: tuple(int(word) for word in line[1:]) for line in _RECAP.findall(run.stdout)}
    wrong = {name: counts for name, counts in recap.items() if counts != (len(_TASKS), 0, 0, 0, 0)}
    if len(recap) != hosts or wrong:
        raise BenchmarkError(f"Ansible: a recap of {len(recap)} of {hosts} hosts; with changes or failures: {wrong}")


_TASKS = ("packages", "files", "services")
