"""One host of a lab: a systemd-nspawn container that boots systemd and sshd.

Its files are the shared root file system with a layer of its own on top. The layer is mounted in a mount
namespace that lives and dies with the container, so nothing is left mounted on this machine when it stops.
"""

from __future__ import annotations

import shutil
import socket
import time
import uuid
from pathlib import Path

from k8s_installer.errors import LabError
from k8s_installer.lab import cgroups
from k8s_installer.lab.base import USERS
from k8s_installer.lab.commands import run
from k8s_installer.lab.inventory import HOST_KEY_TYPES, KEY, KNOWN_HOSTS
from k8s_installer.lab.network import namespace_of
from k8s_installer.lab.processes import Process, alive, detach
from k8s_installer.lab.state import Host

TOOLS = ("systemd-container", "iproute2", "openssh-client", "util-linux", "mount")
_BOOT_SECONDS = 90
_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "0",
    "SYSTEMD_NSPAWN_LOCK": "0",  # its lock files would stay; the lab's own lock does for it
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",  # the rest of /proc/sys belongs to the whole machine
}
_RUN = 'mount -t overlay overlay -o "$1" "$2" || exit 1; shift 2; while "$@"; [ $? = 133 ]; do :; done'  # 133: reboot
_SETTLED = (
    'n=0; while s=$(systemctl is-system-running); [ "$s" != running ] && [ "$s" != degraded ]; do '
    'n=$((n + 1)); [ $n -gt 300 ] && { echo "$s" >&2; exit 1; }; sleep 0.2; done'
)


def prepare(folder: Path, host: Host, public_key: str, repository: str) -> None:
    """Write what is a host's own into its layer.

    Args:
        folder: the host's folder.
        host: its name.
        public_key: who may log in as root and as the lab's users.
        repository: the address of the yum repository; empty if there is none.
    """
    upper = folder / "upper"
    for name in ("upper/etc/ssh", "upper/etc/yum.repos.d", "upper/root", "upper/home", "work", "root", "docker"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (upper / "root").chmod(0o700)
    (upper / "etc/hostname").write_text(f"{host.name}\n", encoding="utf-8")
    (upper / "etc/hosts").write_text("127.0.0.1 localhost localhost.localdomain\n", encoding="utf-8")
    (upper / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n", encoding="utf-8")
    if repository:
        (upper / "etc/yum.repos.d/lab.repo").write_text(
            f"[lab]\nname=lab\nbaseurl={repository}\nenabled=1\ngpgcheck=0\n", encoding="utf-8"
        )
    for home, number in {"root": 0, **{f"home/{user}": number for user, number in USERS.items()}}.items():
        _authorize(upper / home, number, public_key)
    for kind in HOST_KEY_TYPES:
        size = ["-b", "2048"] if kind == "rsa" else []  # as CentOS 7 makes them, and quick
        key = upper / "etc/ssh" / f"ssh_host_{kind}_key"
        run(["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", f"root@{host.name}", "-f", key])


def public_keys(folder: Path) -> list[str]:
    """Return the public host keys that `prepare` made."""
    paths = (folder / "upper/etc/ssh" / f"ssh_host_{kind}_key.pub" for kind in HOST_KEY_TYPES)
    return [path.read_text(encoding="utf-8") for path in paths if path.exists()]


def boot(lab: str, folder: Path, host: Host, base: Path) -> Process:
    """Start the container of a prepared host and return its process, without waiting for it.

    Raises:
        LabError: it ended at once; the message has what it said.
    """
    layers = f"lowerdir={base},upperdir={folder}/upper,workdir={folder}/work"
    command = [
        *("unshare", "--mount", "--propagation", "private"),
        *("/bin/sh", "-c", _RUN, "run", layers, str(folder / "root")),
        *_nspawn(lab, folder, host),
    ]
    return detach(command, log=folder / "console.log", join=cgroups.make(lab, host.name), env=_ENVIRONMENT)


def _nspawn(lab: str, folder: Path, host: Host) -> list[str]:
    return [
        *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--settings=no", "--link-journal=no"),
        *("--capability=all", "--system-call-filter=@keyring bpf", "--resolv-conf=off", "--timezone=off"),
        f"--network-namespace-path=/run/netns/{namespace_of(lab, host.name)}",
        f"--directory={folder}/root",
        f"--machine=lab-{lab}.{host.name}",
        f"--hostname={host.name}",
        f"--bind={folder}/docker:/var/lib/docker",  # overlay, docker's too, cannot lie on overlay
        "--bind=/dev/kmsg",  # the kubelet watches it
    ]


def wait_ready(lab_folder: Path, host: Host) -> None:
    """Wait until sshd answers and systemd has started everything.

    Raises:
        LabError: that did not come to pass; the message has the end of the console.
    """
    folder = lab_folder / "hosts" / host.name
    deadline = time.monotonic() + _BOOT_SECONDS
    while not _answers(host.address):
        if not alive(host.process):
            raise LabError(f"{host.name} stopped while it booted: {_console(folder)}")
        if time.monotonic() > deadline:
            raise LabError(f"{host.name}: sshd does not answer after {_BOOT_SECONDS} s: {_console(folder)}")
        time.sleep(0.05)
    try:
        run([*ssh_command(lab_folder, host), _SETTLED], timeout=_BOOT_SECONDS)
    except LabError as error:
        raise LabError(f"{host.name} did not finish booting: {error.message}\n{_console(folder)}") from error


def ssh_command(lab_folder: Path, host: Host, user: str = "root") -> list[str]:
    """Return the command that logs in to a host; what is to be run goes after it."""
    options = {
        "IdentityFile": lab_folder / KEY,
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": lab_folder / KNOWN_HOSTS,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "LogLevel": "ERROR",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", "-F", "none", *words, f"{user}@{host.address}"]


def forget(lab: str, folder: Path) -> None:
    """Remove the files of a host that has stopped, and what nspawn keeps of it on this machine."""
    machine = f"lab-{lab}.{folder.name}"
    shutil.rmtree(Path("/run/systemd/nspawn/propagate") / machine, ignore_errors=True)
    shutil.rmtree(Path("/run/systemd/nspawn/unix-export") / machine, ignore_errors=True)
    shutil.rmtree(folder)


def _authorize(home: Path, number: int, public_key: str) -> None:
    ssh = home / ".ssh"
    ssh.mkdir(parents=True, exist_ok=True)
    (ssh / "authorized_keys").write_text(public_key, encoding="utf-8")
    home.chmod(0o700)
    ssh.chmod(0o700)
    for path in (home, ssh, ssh / "authorized_keys"):
        shutil.chown(path, number, number)
    (ssh / "authorized_keys").chmod(0o600)


def _answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _console(folder: Path, lines: int = 15) -> str:
    path = folder / "console.log"
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return "\n".join(text.splitlines()[-lines:]) or "its console is empty"
