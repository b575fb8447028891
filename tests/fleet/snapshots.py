"""What a host is like: all that is to be the same after something was removed as before it was there."""

from __future__ import annotations

from tests.fleet.conftest import Cluster

# What may differ on a host that was installed and reset, and why.
MAY_DIFFER = (
    "/var/log/",  # what was done is logged: dnf's and rpm's logs, the journal
    "/var/cache/",  # of yum
    "/var/lib/rpm", "/var/lib/dnf", "/var/lib/yum", "/var/lib/systemd/",  # their own books
    "/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-",  # what shadow-utils keep of the version before
    "/etc/ld.so.cache",  # ldconfig's, of every rpm
    "/root/.bash_history", "/run/", "/tmp/",
    "/var/lib/docker",  # the lab brings the folder itself, and docker closes it to others
)  # fmt: skip
SNAPSHOT = r"""
find / -xdev \( -path /proc -o -path /sys -o -path /dev \) -prune -o -printf '%p %y %m %u:%g %l\n' | sort
find /etc /usr /root /opt -xdev -type f -print0 | sort -z | xargs -0 sha256sum | awk '{ print $2, $1 }'
rpm -qa | sed 's/^/package /' | sort
systemctl list-unit-files --no-legend --no-pager | awk '$2 != "transient" { print "unit", $1, $2 }' | sort
sed 's/^/user /' /etc/passwd /etc/group | sort
awk '{ print "mount", $2, $3 }' /proc/mounts | sort
iptables-save 2>/dev/null | awk '/^-/ || $2 == "-" { print "rule", $0 }' # and no tables, which stay loaded
ip -o link | awk '{ print "link", $2 }' | sort
ip route | sed 's/^/route /' | sort
"""


def snapshot(cluster: Cluster, host: str, *without: str) -> set[str]:
    """All that is to be the same on a host after something was removed as it was before, a line each.

    `without` are the beginnings of further paths that may differ.
    """
    lines = cluster.on(host, f"{{ {SNAPSHOT} }} 2>/dev/null").splitlines()
    return {line for line in lines if not line.startswith((*MAY_DIFFER, *without))}
