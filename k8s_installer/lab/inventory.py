"""The inventory that a lab writes for `apply`, and the SSH files that it names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from k8s_installer.lab.commands import run
from k8s_installer.lab.images import COREDNS, PAUSE, WEB
from k8s_installer.lab.network import gateway
from k8s_installer.lab.server import REGISTRY_PORT
from k8s_installer.lab.state import Lab

INVENTORY, KNOWN_HOSTS, KEY = "inventory.yaml", "known_hosts", "id_ed25519"
HOST_KEY_TYPES = ("ed25519", "ecdsa", "rsa")


def inventory_text(lab: Lab, folder: Path) -> str:
    """Return the text of the inventory of a lab whose files are in `folder`."""
    members = lab.shape.masters if lab.shape.masters % 2 else lab.shape.masters - 1  # etcd wants an odd number
    lines = []
    for index, host in enumerate(lab.hosts):
        master = index < lab.shape.masters
        roles = ("etcd, master" if index < members else "master") if master else "node"
        lines.append(f"  {host.name}: {{address: {host.address}, roles: [{roles}]}}")
    registry = f"{gateway(lab.number)}:{REGISTRY_PORT}"
    images, components = (
        _IMAGES.format(registry=registry, pause=PAUSE, web=WEB, coredns=COREDNS),
        _COMPONENTS.format(registry=registry),
    )
    if lab.shape.offline:
        images, components = _OFFLINE.format(pause=PAUSE, web=WEB), _COMPONENTS.replace(_INSECURE, "")
        components = components.format()
    if lab.shape.version.rpartition(".")[0] in _OLD_KUBELETS:
        components = _CGROUPFS + components
    nspawn = lab.shape.driver == "nspawn"
    return _TEXT.format(
        name=lab.name,
        version=lab.shape.version,
        key=folder / KEY,
        known_hosts=folder / KNOWN_HOSTS,
        images=images if nspawn else "",
        hosts="\n".join(lines),
        components=components if nspawn else "",
    )


def digest(text: str) -> str:
    """Return what tells whether an inventory is still as the lab wrote it."""
    return hashlib.sha256(text.encode()).hexdigest()


def write_inventory(path: Path, text: str, written: str) -> bool:
    """Write the inventory unless the user edited it; return whether it was written.

    Args:
        path: where it goes.
        text: the new content.
        written: the digest of what the lab wrote there last, or empty.
    """
    if path.exists() and digest(path.read_text(encoding="utf-8")) not in {written, digest(text)}:
        return False
    path.write_text(text, encoding="utf-8")
    return True


def known_hosts_text(hosts: Sequence[tuple[str, str, Sequence[str]]]) -> str:
    """Return the text of a known_hosts file; each host is (name, address, public keys)."""
    lines = [
        f"{name},{address} {' '.join(key.split()[:2])}" for name, address, keys in hosts for key in keys if key.strip()
    ]
    return "\n".join(lines) + "\n"


def ensure_key(folder: Path) -> str:
    """Make the lab's SSH key unless it is there, and return its public half."""
    path = folder / KEY
    if not path.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab-{folder.name}", "-f", path])
    return path.with_suffix(".pub").read_text(encoding="utf-8")


_TEXT = """\
# The hosts of lab {name}. Edit it as you like: the lab does not write it again once you did.
cluster:
  name: "{name}"
  version: "{version}"
  pod_cidr: 10.244.0.0/16
  service_cidr: 10.254.0.0/16
  network: routes             # one layer-2 network: plain routes between the nodes' pod networks
  security: tls

ssh: {{user: root, key: {key}, known_hosts: {known_hosts}, host_keys: strict}}
{images}
hosts:
{hosts}
{components}"""

_IMAGES = """
images:                       # from the lab's own registry
  pause: {registry}/{pause}
  verify: {registry}/{web}
  dns: {{coredns: {registry}/{coredns}}}   # with `dns: coredns` below `cluster:`
"""

_OFFLINE = """
repos: bundle                 # the hosts reach no repository and no registry: --bundle FILE
images: {{pause: "{pause}", verify: "{web}"}}
"""

_INSECURE = """\
      insecure-registry: ["{registry}"]
"""
# The systemd driver of these kubelets needs systemd before 237, as CentOS 7 has it; the lab's hosts are newer.
_OLD_KUBELETS = ("1.9",)
_CGROUPFS = """
host_settings:
  cgroup_driver: cgroupfs     # with systemd this kubelet fails here: "Delegation not available for unit type"
"""
_COMPONENTS = f"""
components:
  docker:
    args:
{_INSECURE}\
      signature-verification: null   # the lab's docker 20.10 is not Red Hat's and has no such flag
  kube-proxy: {{{{args: {{{{conntrack-max-per-core: 0}}}}}}}}   # a container cannot write nf_conntrack_max
"""
