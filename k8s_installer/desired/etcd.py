"""Agreements about etcd alone: where it keeps its data, and that all members start as one cluster. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath as Path

from k8s_installer.desired.hostconfig import Breach, HostConfig
from k8s_installer.desired.values import TRUE
from k8s_installer.inventory import Role

# Folders of the system's, and all below them: etcd's are made its own, for it alone, on every start. /tmp and /var/tmp
# are emptied.
_SYSTEM = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr",
    "/tmp", "/var/cache", "/var/lock", "/var/log", "/var/run", "/var/spool", "/var/tmp",  # noqa: S108 - to be refused
)  # fmt: skip
_SHARED = frozenset(
    {"/", "/home", "/media", "/mnt", "/opt", "/srv", "/var", "/var/lib", "/var/opt"}
)  # one below is fine: CentOS 7's installer gives /home the most room
_STATE = "/var/lib"
# Whose /var/lib/NAME there is on a CentOS 7 host beside those of the profile's packages and units.
_STATES = frozenset({
    "NetworkManager", "alternatives", "authconfig", "calico", "chrony", "cloud", "cni", "containerd", "containers",
    "dbus", "dhclient", "docker-engine", "dockershim", "games", "initramfs", "k8s-installer", "kubelet", "logrotate",
    "machines", "misc", "mlocate", "nfs", "ntp", "os-prober", "plymouth", "polkit-1", "postfix", "rpcbind", "rpm",
    "rpm-state", "rsyslog", "selinux", "sss", "stateless", "systemd", "tuned", "yum",
})  # fmt: skip
_FOLDER = re.compile(r"(/[-\w.+@%:=]+)+/?")


def one_cluster(config: HostConfig) -> Iterator[Breach]:
    """Flags with which a member leaves the cluster of the others at its start."""
    if Role.ETCD not in config.host.roles:
        return
    if config.text("etcd", "force-new-cluster") in TRUE:
        message = "etcd's force-new-cluster splits every member into its own cluster at each start: writes are lost"
        yield Breach(config.path_of("etcd", "force-new-cluster"), message)
    if (proxy := config.text("etcd", "proxy")) not in ("", "off"):
        message = f"etcd's proxy {proxy} does not make the host a member: it stores nothing and has no vote"
        yield Breach(config.path_of("etcd", "proxy"), message, "leave it out, or remove the role etcd from the host")


def folders(config: HostConfig) -> Iterator[Breach]:
    """Folders of etcd's that it could not use, or that are not its own."""
    if Role.ETCD not in config.host.roles:
        return
    for flag in ("data-dir", "wal-dir"):
        value, path = config.configured("etcd", flag), config.path_of("etcd", flag)
        if value is None:
            if flag == "data-dir" and config.sets("etcd", flag):
                yield Breach(
                    path, "etcd's data-dir must be set: without it etcd would start empty, in a default folder"
                )
        elif not _FOLDER.fullmatch(str(value)) or {".", ".."} & {*str(value).split("/")}:
            yield Breach(path, f"etcd's {flag} must be an absolute path, not {value}")
        elif owner := _owner(config, Path(str(value))):
            yield Breach(path, f"etcd's {flag} {value} belongs to {owner}, and etcd would take it over")
        elif flag == "wal-dir":
            yield from _log(config, Path(str(value)))


def _log(config: HostConfig, log: Path) -> Iterator[Breach]:
    """The log's folder: etcd makes it beside where it belongs, LOG.tmp, and renames that to what must be empty."""
    path, data = config.path_of("etcd", "wal-dir"), Path(config.text("etcd", "data-dir"))
    apart = f"leave it out, and the log is in {data}/member/wal; or use a separate folder such as /wal/etcd"
    if data.is_relative_to(log):
        message = f"etcd's wal-dir {log} contains its data-dir, but must be empty when etcd first starts"
        yield Breach(path, message, apart)
    elif log == data / "member" or log.is_relative_to(data / "member" / "snap"):
        message = f"etcd's wal-dir {log} is a folder for etcd's data, but must contain only the log"
        yield Breach(path, message, apart)
    elif owner := _owner(config, log.parent):
        message = f"etcd creates its wal-dir itself and would take over {log.parent}, which belongs to {owner}"
        yield Breach(path, message, f"use {log}/wal")


def _owner(config: HostConfig, folder: Path) -> str:
    """Whose a folder is that cannot be etcd's; empty if it can."""
    if str(folder) in _SHARED or any(folder.is_relative_to(one) for one in _SYSTEM):
        return "the system"
    if folder.is_relative_to(_STATE) and (name := folder.parts[3]) in _STATES | _installed(config):
        return name
    for name, component in config.profile.on(config.host.roles).items():
        flags = (*component.folders, *component.data) if name != "etcd" else ()
        if any(theirs and folder.is_relative_to(theirs) for theirs in (config.text(name, flag) for flag in flags)):
            return name
    return ""


def _installed(config: HostConfig) -> frozenset[str]:
    """What is installed on hosts beside etcd, by the names that folders of /var/lib go by."""
    found = (
        {name, one.unit, *one.packages, *one.programs}
        for name, one in config.profile.components.items()
        if name != "etcd"
    )
    return frozenset().union(*found) - {"etcd"}
