"""Every rendered byte of every version and mode, for the two smallest topologies, as files to read and to diff.

`python -m tests.golden` writes them again; read the diff before you commit it. Keys and certificates are
placeholders, and `resources.txt` of a case is all that is no text of a template: packages, modes, owners, units,
gates and the whole order. A case of another network than `routes` has the files that differ from those of `routes`, one
of a bundle what differs from the same without it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from k8s_installer import profiles
from k8s_installer.desired import Desired, DesiredResource, desire
from k8s_installer.desired.bundled import Archive, Media, Repository, bundled
from k8s_installer.desired.context import of_cluster
from k8s_installer.model.resources import Absent, Data, File, Gate, Package, Setting, Unit, UploadedFile
from k8s_installer.render import Renderer
from tests.unit.clusters import MODES, cluster, placeholder

FOLDER = Path(__file__).parent / "cases"
# What an inventory can ask of the hosts themselves besides the defaults; the rest of this case is another one's.
HOSTS = ("1.5.2", "tls", "", "all-in-one-host")
MORE = """
repos: vault
host_settings: {time: chrony, firewall: disable, proxy: {http: "http://10.0.0.9:3128", no_proxy: [10.0.0.7]},
  hosts_file: manage, journald: persistent, limit_nofile: 65536, cgroup_driver: cgroupfs,
  docker: {registry_mirrors: ["http://10.0.0.9:5000"], insecure_registries: ["10.0.0.9:5000"], log: {max_size: 10m}}}
"""
USUAL = [
    (*mode, topology)
    for mode in [*((*mode, "") for mode in MODES), ("1.20.2", "tls", "tarball")]
    for topology in ("one-master-two-nodes", "all-in-one")
] + [HOSTS]
NETWORKS = [
    (version, security, programs, "all-in-one", network)
    for network in ("none", "flannel")
    for version, security, programs in [*((*mode, "") for mode in MODES), ("1.20.2", "tls", "tarball")]
] + [(version, "tls", "", "one-master-two-nodes", "flannel") for version in ("1.5.2", "1.20.2")]
# A cluster's DNS, by its program; of these cases only what it makes different is another one's.
DNS = [
    (version, security, "", f"one-master-two-nodes-{dns}")
    for version, security, dns in (
        ("1.5.2", "insecure", "kube-dns"),
        ("1.5.2", "tls", "kube-dns"),
        ("1.9.4", "tls", "coredns"),
        ("1.9.4", "tls", "kube-dns"),
        ("1.20.2", "tls", "coredns"),
        ("1.20.2", "tls", "kube-dns"),
    )
]
# Of these only what a bundle makes different.
BUNDLE = "bundle"
BUNDLES = [
    (version, security, BUNDLE, "all-in-one", network)
    for network in ("", "none", "flannel")
    for version, security in MODES
]
CASES: list[tuple[str, ...]] = [*USUAL, *NETWORKS, *DNS, *BUNDLES]


def folder_of(version: str, security: str, programs: str, topology: str, network: str = "") -> str:
    """The name of a case's folder; what is the default has no word in it."""
    return "-".join(filter(None, (version, security, programs, topology, network)))


def rendered(version: str, security: str, programs: str, topology: str, network: str = "") -> dict[str, bytes]:
    """The files of a case, by their path below `FOLDER`."""
    case = folder_of(version, security, programs, topology, network)
    if programs == BUNDLE:
        usual = _wanted(version, security, "", topology, network or "routes")
        made = _bundled(version, security, topology, network or "routes", usual)
        return _files(case, {ref: item for ref, item in made.items() if item != usual.get(ref)})
    if network:
        usual = _wanted(version, security, programs, topology, "routes")
        made = _wanted(version, security, programs, topology, network)
        same = _files(case, usual)
        return {path: content for path, content in _files(case, made).items() if content != same.get(path)}
    return _files(case, _wanted(version, security, programs, topology, "routes"))


def _wanted(version: str, security: str, programs: str, topology: str, network: str) -> Desired:
    more = MORE if (version, security, programs, topology) == HOSTS else ""
    name, _, dns = topology.removesuffix("-host").partition("-nodes-")
    hosts = f"{name}-nodes" if dns else name
    lab = cluster(version, security, hosts, network=network, more=more, programs=programs)
    lab = replace(lab, dns=dns or "none")
    wanted = desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())
    if more:
        return {ref: item for ref, item in wanted.items() if item.component in ("host", "docker")}
    if dns:
        of_dns = ("/addons/", "/kubelet", "/abac", "addon", "cluster DNS")
        return {ref: item for ref, item in wanted.items() if any(word in ref.name for word in of_dns)}
    return wanted


def _bundled(version: str, security: str, topology: str, network: str, wanted: Desired) -> Desired:
    """What is wanted, from a bundle of one package and one image."""
    lab = cluster(version, security, topology, network=network)
    package, image = (UploadedFile(Path(), sum_, 1) for sum_ in ("a" * 64, "b" * 64))
    repository = Repository("signed", True, {"a-package.rpm": package}, {"repodata/repomd.xml": b"<the metadata>"})
    content = Media((repository,), (Archive("an/image:1", f"sha256:{'c' * 64}", image),))
    media = {host.name: content for host in lab.hosts}
    profile = profiles.profile_of(lab)
    return bundled(wanted, media, Renderer(), of_cluster(lab, profile), profile.runtime)


def _files(case: str, wanted: Desired) -> dict[str, bytes]:
    result = {
        f"{case}/{ref.host}{ref.name}": item.resource.content
        for ref, item in wanted.items()
        if isinstance(item.resource, File) and not item.resource.content.startswith(b"<")
    }
    result[f"{case}/resources.txt"] = "\n\n".join(map(_described, wanted.values())).encode() + b"\n"
    return result


def _described(item: DesiredResource) -> str:
    lines = [f"{item.ref} ({item.component})", f"  because {item.because}"]
    resource = item.resource
    if isinstance(resource, File):
        lines.append(f"  {resource.mode:04o} {resource.owner}:{resource.group}{' secret' if resource.secret else ''}")
        if resource.content.startswith(b"<"):
            lines.append(f"  is {resource.content.decode().strip()}")
    elif isinstance(resource, UploadedFile):
        lines.append(f"  {resource.mode:04o} {resource.owner}:{resource.group}")
        lines.append(f"  is the program {resource.sha256}")
    elif isinstance(resource, Setting):
        lines.append(f"  is {resource.value}")
    elif isinstance(resource, Absent):
        lines.append("  is gone")
    elif isinstance(resource, Package):
        lines.append(f"  version {resource.version or 'any'}{f' from {resource.repo}' if resource.repo else ''}")
    elif isinstance(resource, Unit):
        lines += [f"  defined by {path}" for path in resource.defined_by]
        lines += [f"  reads {path}" for path in resource.reads]
        lines += [f"  runs {package}" for package in resource.runs]
    elif isinstance(resource, Data):
        lines.append(f"  is the data of {resource.unit}, started as {resource.config} says")
    elif isinstance(resource, Gate):
        lines.append(f"  asks {resource.url} for {resource.check}, {resource.deadline:.0f} s")
        lines.append(f"  with {resource.ca} {resource.cert} {resource.key}".rstrip())
        lines += [f"  expects {item}" for item in resource.expects]
        lines.append(f"  explained by {resource.unit} of {resource.unit_host or item.ref.host}")
    return "\n".join([*lines, *(f"  after {ref}" for ref in item.after)])
