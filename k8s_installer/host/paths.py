"""Where things are on a CentOS 7 host. What this program keeps of its own is in `statedir`. Pure.

Scripts put `$root` in front of these where a test has a host's files in a folder. Texts for people name paths as they
are.
"""

from __future__ import annotations

import re

# SELinux: the kernel's mode (no such file: switched off at boot), and that of the next boot
SELINUX_ENFORCE = "/sys/fs/selinux/enforce"
SELINUX_CONFIG = "/etc/selinux/config"
RESTORECON = "/usr/sbin/restorecon"

SWAPS = "/proc/swaps"  # what is swapped to now, below a line of headings
FSTAB = "/etc/fstab"
CONTAINER = "/run/systemd/container"  # there where systemd runs in a container

OS_RELEASE = "/etc/os-release"
MACHINE_ID = "/etc/machine-id"
BOOT_ID = "/proc/sys/kernel/random/boot_id"  # another one after each boot
PRODUCT_UUID = "/sys/class/dmi/id/product_uuid"  # of the machine; virtual machines that are copies may share it
HOSTS = "/etc/hosts"
RESOLV_CONF = "/etc/resolv.conf"

YUM_CONF = "/etc/yum.conf"
YUM_PID = "/var/run/yum.pid"  # the process that holds yum's lock
CENTOS_REPOS = "/etc/yum.repos.d/CentOS-Base.repo"
BUNDLE_REPOS = "/etc/yum.repos.d/k8s-installer.repo"
# rpm's database: that of CentOS 7, and that of newer rpms, whose log holds what the database does not hold yet
RPM_DATABASES = ("/var/lib/rpm/Packages", "/var/lib/rpm/rpmdb.sqlite")
RPM_LOG = "/var/lib/rpm/rpmdb.sqlite-wal"

BINARIES = "/usr/bin"  # where packages have programs, and so our units and people look for them
PACKAGED_UNITS = "/usr/lib/systemd/system"
UNITS = "/etc/systemd/system"  # unit files and drop-ins that take the place of the packages'
SYSCONFIG = "/etc/sysconfig"  # variables of services
SYSCTLS = "/etc/sysctl.d"

# journald: its configuration and our drop-in; where it writes, which is a folder for each machine id
JOURNALD_CONF = "/etc/systemd/journald.conf"
JOURNALD_DROP_INS = "/etc/systemd/journald.conf.d"
JOURNALD_DROP_IN = f"{JOURNALD_DROP_INS}/90-k8s-installer.conf"
JOURNAL_IN_MEMORY = "/run/log/journal"
JOURNAL_ON_DISK = "/var/log/journal"

DAEMON_JSON = "/etc/docker/daemon.json"  # where others configure docker; its flags are ours

ETCD_CONFIG = "/etc/etcd/etcd.conf"
ETCD_DATA = "/var/lib/etcd"  # also the working directory of the package's unit, and of that of flannel's etcd

KUBERNETES = "/etc/kubernetes"
ADDONS = f"{KUBERNETES}/addons"  # manifests of addons, on the first master
ROUTES = f"{KUBERNETES}/network/routes"  # lines of `SUBNET ADDRESS NAME`, of the profiles' routes.j2
KUBECONFIG = "/root/.kube/config"  # an administrator's; there where the API asks for certificates

_DEFINES = re.compile(r"/systemd/system/([^/]+?)(?:\.d/[^/]+)?$")


def unit_of(path: str) -> str:
    """The unit that a file at this path defines, or is a drop-in of; empty if it is neither. A service is its name."""
    unit = _DEFINES.search(path)
    return unit[1].removesuffix(".service") if unit else ""
