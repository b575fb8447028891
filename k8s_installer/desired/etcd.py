"""Agreements about etcd alone: where it keeps its data, and that all members start as one cluster. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from k8s_installer.desired.hostconfig import Breach, HostConfig
from k8s_installer.desired.values import TRUE
from k8s_installer.inventory import Role

# etcd's folders are made its own, for it alone: 0700, on every start.
_NOT_ITS_OWN = frozenset({
    "bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc", "root", "run", "sbin", "srv",
    "sys", "tmp", "usr", "var", "etc/etcd", "etc/kubernetes", "var/cache", "var/lib", "var/log", "var/run", "var/spool",
    "var/tmp", "usr/bin", "usr/lib", "usr/local", "usr/share",
})  # fmt: skip
_FOLDER = re.compile(r"(/[-\w.+@%:=]+)+/?")


def one_cluster(config: HostConfig) -> Iterator[Breach]:
    """Flags with which a member leaves the cluster of the others at its start."""
    if Role.ETCD not in config.host.roles:
        return
    if config.text("etcd", "force-new-cluster") in TRUE:
        message = "etcd's force-new-cluster makes a cluster of its own of each member at every start: writes are lost"
        yield Breach(config.path_of("etcd", "force-new-cluster"), message)
    if (proxy := config.text("etcd", "proxy")) not in ("", "off"):
        message = f"etcd's proxy {proxy} makes no member of the host: it stores nothing and has no vote"
        yield Breach(config.path_of("etcd", "proxy"), message, "leave it out, or take the role etcd from the host")


def folders(config: HostConfig) -> Iterator[Breach]:
    """Folders of etcd's that it could not use, or that are not its own."""
    if Role.ETCD not in config.host.roles:
        return
    for flag in ("data-dir", "wal-dir"):
        value, path = config.configured("etcd", flag), config.path_of("etcd", flag)
        if value is None:
            if flag == "data-dir" and config.sets("etcd", flag):
                yield Breach(
                    path, "etcd's data-dir cannot be left out: etcd would start empty, in a folder of its own choice"
                )
        elif not _FOLDER.fullmatch(str(value)) or {".", ".."} & {*str(value).split("/")}:
            yield Breach(path, f"etcd's {flag} must be an absolute path, not {value}")
        elif str(value).strip("/") in _NOT_ITS_OWN:
            yield Breach(path, f"etcd's {flag} {value} is a folder of the system's, and would be made etcd's own")
