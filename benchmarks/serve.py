"""The first process of a namespace of its own (mounts and processes): makes the hosts and serves each at its address.

`python serve.py COUNT PORT LOWER SEEDS CONFIG`. LOWER are the layers that all hosts share, as overlayfs takes them;
SEEDS is a folder with one for each host, by number, of what it has besides (or `-`). When this process dies, by
whatever signal, the kernel ends every process here and takes every mount away; the hosts' disks are in memory and go
with them.

Mounts are made by the system call itself: mount(8) reads the whole table of mounts each time, which thousands of
hosts make long.
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

_TOP = "/run/k8s-installer-bench"
_BIND = 4096  # MS_BIND
_LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Serve until this process is ended."""
    count, port, lower, seeds, config = sys.argv[1:]
    _mount("proc", "/proc", "proc")
    for folder in (_TOP, "/run/sshd"):
        Path(folder).mkdir(parents=True, exist_ok=True)
    _mount("bench", _TOP, "tmpfs", 0, "mode=755,size=80%,nr_inodes=0")
    servers = [_host(number, port, lower, seeds, config) for number in range(1, int(count) + 1)]
    for server in servers:
        server.wait()


def _host(number: int, port: str, lower: str, seeds: str, config: str) -> subprocess.Popen[bytes]:
    """Make one host and start its sshd; `hosts.address` counts in the same way."""
    own = f"{_TOP}/{number}"
    for name in ("root", "upper", "work"):
        Path(own, name).mkdir(parents=True)
    below = lower if seeds == "-" else f"{seeds}/{number}:{lower}"
    root = f"{own}/root"
    _mount("overlay", root, "overlay", 0, f"lowerdir={below},upperdir={own}/upper,workdir={own}/work")
    _mount("/proc", f"{root}/proc", "", _BIND)
    _mount("/dev", f"{root}/dev", "", _BIND)
    _mount("tmpfs", f"{root}/run", "tmpfs", 0, "mode=755")
    address = f"127.0.{1 + number // 255}.{number % 255}"
    options = ["-o", f"ListenAddress={address}:{port}", "-o", f"ChrootDirectory={root}"]
    return subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", config, *options], close_fds=False)


def _mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    words = [word.encode() for word in (source, target, kind)]
    if _LIBC.mount(*words, ctypes.c_ulong(flags), options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot mount {target}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
