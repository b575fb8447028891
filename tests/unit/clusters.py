"""Inventories that tests of several modules share, by topology."""

from __future__ import annotations

from pathlib import Path

from k8s_installer import inventory, pki, profiles
from k8s_installer.desired import certificates
from k8s_installer.inventory import Cluster
from k8s_installer.pki import Leaf, Pki

TOPOLOGIES = {
    "one-master-two-nodes": """
  m1: {address: 10.77.0.11, roles: [etcd, master]}
  n1: {address: 10.77.0.21, roles: [node]}
  n2: {address: 10.77.0.22, roles: [node]}
""",
    "all-in-one": """
  c1: {address: 10.77.0.11, roles: [etcd, master, node]}
""",
    "etcd-apart": """
  e1: {address: 10.77.0.1, roles: [etcd]}
  e2: {address: 10.77.0.2, roles: [etcd]}
  e3: {address: 10.77.0.3, roles: [etcd]}
  m1: {address: 10.77.0.11, roles: [master]}
  m2: {address: 10.77.0.12, roles: [master]}
  n1: {address: 10.77.0.21, roles: [node]}
""",
}
MODES = [("1.5.2", "insecure"), ("1.5.2", "tls"), ("1.9.4", "tls"), ("1.20.2", "tls")]
TARBALL_ONLY = ("1.9.4",)
SUM = "0123456789abcdef" * 4


def cluster(
    version: str = "1.20.2",
    security: str = "tls",
    topology: str = "one-master-two-nodes",
    *,
    network: str = "routes",
    more: str = "",
    programs: str = "",
    tarball: str | None = None,
) -> Cluster:
    """A cluster named lab; `more` is the YAML of further top-level keys, `tarball` that of `cluster.tarball`."""
    options = f'name: lab, version: "{version}", security: {security}, network: {network}'
    if programs:
        options += f", programs: {programs}"
    if tarball is None and (programs == "tarball" or version in TARBALL_ONLY):
        tarball = f"{{sha256: {SUM}}}"
    if tarball:
        options += f", tarball: {tarball}"
    text = f"cluster: {{{options}}}\nhosts:{TOPOLOGIES.get(topology, topology)}{more}"
    return inventory.parse(text, Path("/srv/lab/inventory.yaml"))


def leaves(lab: Cluster) -> dict[str, Leaf]:
    """The certificates of a cluster, by the profile of its version."""
    return certificates.leaves(lab, profiles.profile_of(lab))


def placeholder(lab: Cluster) -> Pki:
    """What stands for its keys and certificates."""
    return pki.placeholder(leaves(lab))
