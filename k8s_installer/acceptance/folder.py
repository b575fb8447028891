"""The folder of tests: `suite` as it is, a file of tables for each host, and how SSH reaches them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import PurePosixPath

from k8s_installer.acceptance.model import HostTables
from k8s_installer.inventory import Cluster, Host
from k8s_installer.untrusted.visible import json_text

_SUITE = "suite"
_ALWAYS = ("conftest.py", "pytest.ini", "README.md")


def folder(cluster: Cluster, hosts: Sequence[HostTables]) -> dict[PurePosixPath, bytes]:
    """The bytes of every file, by its path in the folder; tables that no host has rows for have no tests.

    Args:
        cluster: the inventory: how its hosts are reached.
        hosts: what is checked.
    """
    used = sorted({name for one in hosts for name in one.tables})
    suite = resources.files("k8s_installer.acceptance") / _SUITE
    names = [*_ALWAYS, *(f"test_{name}.py" for name in used)]
    files = {PurePosixPath(name): (suite / name).read_bytes() for name in names}
    files[PurePosixPath("ssh_config")] = ssh_config(cluster).encode()
    for one in hosts:
        files[PurePosixPath("expected", f"{one.host}.json")] = _expected(one).encode()
    return files


def _expected(one: HostTables) -> str:
    """The tables of a host as JSON, with a line for each row."""
    lines = [f'  "sudo": {json.dumps(one.sudo)}']
    for name, rows in one.tables.items():
        inner = ",\n".join(f"    {json_text(asdict(row))}" for row in rows)
        lines.append(f'  "{name}": [\n{inner}\n  ]')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def ssh_config(cluster: Cluster) -> str:
    """How `ssh` reaches every host of a cluster: as this program does."""
    return "\n".join(line for host in cluster.hosts for line in _entry(host))


def _entry(host: Host) -> Iterator[str]:
    ssh = host.ssh
    common = [
        *([f"  IdentityFile {_quoted(ssh.key)}", "  IdentitiesOnly yes"] if ssh.key else []),
        *([f"  UserKnownHostsFile {_quoted(ssh.known_hosts)}"] if ssh.known_hosts else []),
        f"  StrictHostKeyChecking {'accept-new' if ssh.host_keys == 'accept-new' else 'yes'}",
        "  BatchMode yes",
        f"  ConnectTimeout {max(1, round(ssh.connect_timeout))}",
        "  ServerAliveInterval 5",
    ]
    yield from (f"Host {host.name}", f"  HostName {host.address}", f"  User {ssh.user}", f"  Port {ssh.port}", *common)
    if ssh.gateway is None:
        yield ""
        return
    name = f"gateway-of-{host.name}"
    login, at, rest = ssh.gateway.rpartition("@")
    address, _, port = rest.partition(":")
    yield from (f"  ProxyJump {name}", "", f"Host {name}", f"  HostName {address}")
    yield from (f"  User {login if at else ssh.user}", f"  Port {port or 22}", *common, "")


def _quoted(path: str) -> str:
    """A path in ssh_config, where % begins something that ssh fills in."""
    return '"' + path.replace("%", "%%") + '"'
