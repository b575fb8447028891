"""The cluster that is measured: its inventory, and the one edit that changes one file on every host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

VERSION = "1.20.2"
# What the edit changes on every host: kube-proxy's flags, with its restart and its health.
COMPONENT, EDITED = "kube-proxy", "/etc/kubernetes/proxy"
_LEVELS = (1, 2)


@dataclass(frozen=True, slots=True)
class Login:
    """How all hosts are reached."""

    port: int
    key: Path
    known_hosts: Path


@dataclass(frozen=True, slots=True)
class Cluster:
    """An inventory file that the benchmark may edit."""

    inventory: Path
    texts: tuple[str, str]
    addresses: Mapping[str, str]
    login: Login

    def write(self, *, edited: bool) -> None:
        """Write the inventory, as it is or with the edit."""
        self.inventory.write_text(self.texts[edited], encoding="utf-8")


def local(folder: Path, addresses: Sequence[str], login: Login) -> Cluster:
    """A cluster of these addresses: all roles on the first, the others nodes.

    The first is a node as well, so that there is one file, kube-proxy's, that every host has and that one edit changes.
    """
    names = {f"h{number:04}": address for number, address in enumerate(addresses, start=1)}
    texts = (inventory_text(names, login, _LEVELS[0]), inventory_text(names, login, _LEVELS[1]))
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(folder / "cluster.yaml", texts, names, login)
    cluster.write(edited=False)
    return cluster


def inventory_text(names: Mapping[str, str], login: Login | None, level: int = 1) -> str:
    """An inventory of these hosts (name to address)."""
    first = next(iter(names))
    hosts = (
        f"  {name}: {{address: {address}, roles: [{'etcd, master, node' if name == first else 'node'}]}}"
        for name, address in names.items()
    )
    ssh = ""
    if login is not None:
        ssh = f"ssh: {{user: root, port: {login.port}, key: {login.key}, known_hosts: {login.known_hosts}}}\n"
    return f"""\
cluster:
  name: bench
  version: "{VERSION}"
  pod_cidr: 10.64.0.0/10        # a /24 for each of up to 16384 nodes
  service_cidr: 10.254.0.0/16
  network: routes
  security: tls
{ssh}components:
  {COMPONENT}: {{args: {{v: {level}}}}}
hosts:
""" + "\n".join((*hosts, ""))
