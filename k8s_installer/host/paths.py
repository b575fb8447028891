"""Where things are on a CentOS 7 host. What this program keeps of its own is in `statedir`. Pure constants.

Scripts put `$root` in front of these where a test has a host's files in a folder.
"""

# SELinux: the kernel's mode (no such file: switched off at boot), and that of the next boot
SELINUX_ENFORCE = "/sys/fs/selinux/enforce"
SELINUX_CONFIG = "/etc/selinux/config"
RESTORECON = "/usr/sbin/restorecon"

SWAPS = "/proc/swaps"  # what is swapped to now, below a line of headings
FSTAB = "/etc/fstab"
CONTAINER = "/run/systemd/container"  # there where systemd runs in a container

HOSTS = "/etc/hosts"
MACHINE_ID = "/etc/machine-id"

YUM_CONF = "/etc/yum.conf"
YUM_PID = "/var/run/yum.pid"  # the process that holds yum's lock
# rpm's database: that of CentOS 7, and that of newer rpms, whose log holds what the database does not hold yet
RPM_DATABASES = ("/var/lib/rpm/Packages", "/var/lib/rpm/rpmdb.sqlite")
RPM_LOG = "/var/lib/rpm/rpmdb.sqlite-wal"

# journald: its configuration and our drop-in; where it writes, which is a folder for each machine id
JOURNALD_CONF = "/etc/systemd/journald.conf"
JOURNALD_DROP_INS = "/etc/systemd/journald.conf.d"
JOURNALD_DROP_IN = f"{JOURNALD_DROP_INS}/90-k8s-installer.conf"
JOURNAL_IN_MEMORY = "/run/log/journal"
JOURNAL_ON_DISK = "/var/log/journal"

DOCKER_SOCKET = "/var/run/docker.sock"

KUBECONFIG = "/root/.kube/config"  # an administrator's; there where the API asks for certificates
ADDONS = "/etc/kubernetes/addons"  # manifests of addons, on the first master
