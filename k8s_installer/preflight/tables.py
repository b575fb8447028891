"""What preflight goes by on every host, as data: checks and their ids, limits, ports, programs; each with its reason.

What a component demands is in its own file, under `preflight:` (`demands.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from k8s_installer.inventory import Role

_ALL = frozenset(Role)
_ETCD, _MASTER, _NODE = frozenset({Role.ETCD}), frozenset({Role.MASTER}), frozenset({Role.NODE})


@dataclass(frozen=True, slots=True)
class Check:
    """What a finding with this id means, and what fixes it; `{}` names are filled in where it is found."""

    means: str
    fix: str


# The ids are an interface, like the exit codes: docs/preflight.md explains each. The order is that of what is shown.
CHECKS = {
    "unreachable": Check("the installer cannot log in to the host, or cannot run scripts as root", "{hint}"),
    "incomplete": Check(
        "the host did not answer every question", "check what the host is busy with, then run preflight again"
    ),
    "same-host": Check(
        "two hosts of the inventory are the same machine",
        "give each host of the inventory the address of its own machine",
    ),
    "os": Check(
        "the system is not CentOS 7 or a rebuild of RHEL 7",
        "use CentOS 7, RHEL 7 or a rebuild of it; others are not tested",
    ),
    "systemd": Check("systemd is too old", "yum -y update systemd; reboot"),
    "kernel": Check("the kernel is too old", "yum -y update kernel; reboot"),
    "module": Check(
        "the kernel lacks a module", "yum -y update kernel; reboot; then modprobe {module} shows what is wrong"
    ),
    "architecture": Check(
        "the packages are for a different architecture",
        "use an x86_64 host, or a repository with packages for {machine}",
    ),
    "tool": Check("a program that scripts or units run is missing", "yum -y install {packages}"),
    "address": Check(
        "the host does not have the address that the inventory gives it",
        "set hosts.{host}.address to one of its addresses (`ip -4 addr`), and use ssh.gateway to reach it if necessary",
    ),
    "overlap": Check(
        "the pod or Service network overlaps a network that the host is in",
        "choose another cluster.pod_cidr or cluster.service_cidr in the inventory",
    ),
    "clock": Check(
        "the clock differs from that of the other hosts",
        "yum -y install chrony; systemctl enable --now chronyd; chronyc -a makestep",
    ),
    "memory": Check("the host has too little memory", "give the host at least {wanted} MiB"),
    "cpu": Check("the host has too few CPUs", "give the host at least {wanted} CPUs"),
    "disk": Check("there is too little free space", "free or add space: du -xsh {path}/* | sort -h | tail"),
    "inodes": Check("there are too few free inodes", "remove small files: du -x --inodes {path} | sort -n | tail"),
    "xfs-ftype": Check(
        "docker's overlay driver does not work on this XFS",
        "mkfs.xfs -n ftype=1 on a disk of its own, mounted at /var/lib/docker; or storage_driver: devicemapper in"
        " host_settings.docker",
    ),
    "etcd-disk": Check(
        "the disk takes long to confirm a write",
        "put /var/lib/etcd on an SSD, or on a disk that nothing else writes to",
    ),
    "etcd-log": Check(
        "etcd cannot create its log in the folder that the inventory names",
        "set wal-dir to a new folder inside one that only etcd uses, such as {log}/wal",
    ),
    "port": Check("another program listens on a port that the cluster needs", "{stop}"),
    "link": Check(
        "a port cannot be reached from other hosts",
        "firewall-cmd --permanent --add-port={port}/tcp && firewall-cmd --reload on {host}; then check filters in"
        " between",
    ),
    "package": Check(
        "a package from another source conflicts", "yum -y remove {package}    (its data stays: see data)"
    ),
    "data": Check(
        "there is data of an earlier install",
        "mkdir {path}.old && mv {path}/* {path}.old/    (first umount what grep {path}/ /proc/mounts shows)",
    ),
    "unit-file": Check(
        "a unit file in /etc overrides the package's",
        "systemctl disable --now {unit}; rm {path}; systemctl daemon-reload",
    ),
    "engine": Check(
        "another container engine is running", "systemctl disable --now {unit}    (unless something needs it)"
    ),
    "daemon-json": Check(
        "/etc/docker/daemon.json sets options that docker's command line also sets",
        "remove these keys from /etc/docker/daemon.json; set them in host_settings.docker of the inventory",
    ),
    "yum": Check("yum cannot read its repositories", "{how}"),
    "no-package": Check(
        "no repository offers a package", "add a repository that has it to /etc/yum.repos.d; then yum clean all"
    ),
    "registry": Check("a registry that images come from cannot be asked", "{how}"),
    "registry-http": Check(
        "a registry speaks plain HTTP, which docker refuses",
        "host_settings: {{docker: {{insecure_registries: [{registries}]}}}}    (in the inventory; or give it TLS)",
    ),
    "image": Check(
        "an image does not exist in its registry",
        "set {key} in the inventory to an image that the registry has, or push this one there",
    ),
    "swap": Check("swap is on", "swapoff -a; and comment out the swap line of /etc/fstab"),
    "selinux": Check("SELinux is enforcing", "setenforce 0; and SELINUX=permissive in /etc/selinux/config"),
    "firewalld": Check(
        "firewalld is active", "systemctl disable --now firewalld    (or allow the ports and the pod network)"
    ),
    "hostname": Check("the host's name is not usable", "hostnamectl set-hostname {host}"),
    "resolve": Check(
        "the host cannot resolve its own name", "echo '{address} {hostname}' >>/etc/hosts"
    ),
    "name-server": Check("no name server answers", "set a nameserver that answers in /etc/resolv.conf"),
    "duplicate": Check(
        "two hosts share an identity that should be unique",
        "hostnamectl set-hostname NAME; or rm /etc/machine-id && systemd-machine-id-setup; then reboot",
    ),
}  # fmt: skip

OF_PODS = frozenset({"docker0", "flannel.1"})  # interfaces in the pod network: an install gave them that
SYSTEMS = frozenset({"centos", "rhel", "scientific", "ol"})  # ID of /etc/os-release: the same packages, rebuilt
SYSTEM_VERSION = "7"
SYSTEMD = 219  # CentOS 7's first; the units and the questions of `observe` are written for it
KERNEL = (3, 10)  # CentOS 7's first; docker's overlay2 and the kubelet's cgroups work from it on
MACHINE = "x86_64"  # what CentOS 7 extras has these packages for

CLOCK_WARNING = 2.0  # seconds: etcd's members complain about one, and the way to a busy host takes part of another
CLOCK_ERROR = 30.0  # seconds: new certificates are not valid yet, leases and tokens end too soon

OWN_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"  # what the API takes for a name


@dataclass(frozen=True, slots=True)
class Limit:
    """Below `error` an install fails, below `warning` it is tight; of hosts that have one of the roles.

    Of memory, a host needs what all its roles need together.
    """

    warning: int
    error: int
    roles: frozenset[Role]
    why: str


MEMORY_MIB = (
    Limit(500, 200, _ETCD, "etcd keeps all its keys in memory"),
    Limit(1200, 500, _MASTER, "kube-apiserver, kube-controller-manager and kube-scheduler: 400 to 600 MiB when idle"),
    Limit(700, 300, _NODE, "docker, the kubelet and kube-proxy take some 300 MiB before the first pod"),
)
CPUS = Limit(2, 1, _MASTER, "the apiserver alone keeps one busy while everything starts")
ROOM_MIB = {
    "/usr": Limit(1500, 700, _ALL, "a host's programs take up to 600 MiB, unpacked by yum"),
    "/var": Limit(2000, 500, _ALL, "yum's downloads, the RPM database, the journal, files kept for a rollback"),
    "/tmp": Limit(100, 10, _ALL, "yum's and rpm's temporary files"),  # noqa: S108 - a place, not a file
}
INODES = Limit(50_000, 5_000, _ALL, "the packages are a few thousand files, each image some thousands more")

# etcd asks for a disk that syncs in 10 ms; at 100 ms, its heartbeat, members lose their leader again and again.
SYNC_WARNING_MS, SYNC_ERROR_MS = 10.0, 100.0
SYNC_WRITES, SYNC_BYTES, SYNC_SECONDS = 40, 2300, 5  # as etcd's log writes; the seconds are 125 ms for each


# Units that others may fail to reach: the cluster comes up and pods run; only `kubectl logs` and `exec` do not work.
OPTIONAL = frozenset({"kubelet"})
PORT_FLAGS = frozenset({"port", "secure-port", "insecure-port", "healthz-port", "healthzPort"})
LINK_SECONDS = 2  # TCP sends a second SYN after one
LINKS_AT_ONCE = 64  # processes on the host; 300 filtered ports are known after ten seconds

IPVS_MODULES = ("ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh")  # of kube-proxy's mode ipvs, where it is asked for
# Programs that scripts and units run on every host, and the CentOS 7 packages that bring them.
TOOLS = {
    "awk": "gawk", "base64": "coreutils", "curl": "curl", "diff": "diffutils", "flock": "util-linux",
    "gzip": "gzip", "ip": "iproute", "mktemp": "coreutils", "modprobe": "kmod", "ps": "procps-ng", "rpm": "rpm",
    "sha256sum": "coreutils", "stat": "coreutils", "sysctl": "procps-ng", "systemctl": "systemd",
    "timeout": "coreutils", "yum": "yum",
}  # fmt: skip
# Programs that only preflight itself runs: without one it sees less.
OWN_TOOLS = {"bash": "bash", "getent": "glibc-common", "ss": "iproute"}

ENGINES = ("docker", "containerd", "crio")  # services that run containers, whoever installed them
FIREWALL = "firewalld"
OVERLAYS = frozenset({"overlay", "overlay2"})  # storage drivers that need an XFS with ftype=1
LOGINS = frozenset({"sshd", "ssh"})  # services that nobody is asked to stop

IMAGE_CONNECT_SECONDS, IMAGE_SECONDS = 3, 5  # for one question to a registry
IMAGE_WAITS = 6  # docker, the manifest, who refuses, plain HTTP, a token, the manifest again
YUM_SECONDS = 60  # metadata of all repositories on a slow mirror; what takes longer would stop an install, too
NAME_SECONDS = 5  # glibc asks the first name server again after five
