"""The names of the families and of what each can be, and how names and values are read. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from k8s_installer.host.statedir import STATE

SELINUX, SWAP, UNIT, USER, IMAGE = "selinux", "swap", "unit", "user", "image"
IMAGES = f"{STATE}/bundle/images"  # where archives of images are, each called as its id
PORT, SOURCE = "firewalld-port", "firewalld-source"
YUM_PROXY, HOSTS_FILE, JOURNAL = "yum-proxy", "hosts-file", "journal"
ADDONS, ADDON = "addons", "addon"
ON, OFF, OPEN, CLOSED, TRUSTED, OTHER, SYSTEM = "on", "off", "open", "closed", "trusted", "other", "system"
PERSISTENT, VOLATILE, NOTHING = "persistent", "volatile", "none"
ABSENT = "absent"  # what a question says where the host has no such thing
MARKER = "#k8s-installer# "  # before the lines of fstab that we switched off
# Around our lines of /etc/hosts. A first line without its last one is no block: what follows it is somebody's own.
BEGIN, END = "# BEGIN k8s-installer: the hosts of its inventory", "# END k8s-installer"
JOURNALD = "etc/systemd/journald.conf.d/90-k8s-installer.conf"


def states(text: str) -> tuple[str, str]:
    """What is so now, and from the next boot on."""
    now, _, boot = text.removesuffix(" at boot").partition(" now, ")
    return now, boot or now


def by_family(names: Iterable[str]) -> dict[str, list[str]]:
    """The subjects of each family."""
    found: dict[str, list[str]] = {}
    for name in names:
        family, _, subject = name.partition(" ")
        found.setdefault(family, []).append(subject)
    return found
