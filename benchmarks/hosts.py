"""Many hosts on one machine: an sshd for each address of 127.0.1.0/24, each locked into a root of its own.

A root is an overlay over the lab's base image (CentOS 7's ways, a real rpm and its database), with stand-ins for
systemctl, curl and kubectl, which cannot work in a chroot. All mounts are in a namespace that ends with its first
process, and that one ends with this one, so nothing is left behind by a kill -9 either.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.cluster import VERSION, Login
from benchmarks.measure import HERE, BenchmarkError
from benchmarks.seeds import Seeds
from k8s_installer.errors import LabError
from k8s_installer.lab.artifacts import data_folder
from k8s_installer.lab.base import TOOLS, base
from k8s_installer.lab.commands import run
from k8s_installer.lab.rpms import build
from k8s_installer.lab.state import default_cache

SSHD = Path("/usr/sbin/sshd")
MOST = 250 * 255
_STANDINS = HERE / "standins"
_NAMESPACE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private")
_PACKAGES = {"docker": "1.13.1", "etcd": "3.3.25"} | dict.fromkeys(
    ("kubernetes-client", "kubernetes-master", "kubernetes-node"), VERSION
)
_CONFIG = """\
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
PidFile none
UsePAM yes
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowTcpForwarding no
X11Forwarding no
MaxStartups 500
MaxSessions 20
LoginGraceTime 120
Subsystem sftp internal-sftp
"""


def address(number: int) -> str:
    """The address of the host with this number; `serve.py` counts in the same way."""
    return f"127.0.{1 + number // 255}.{number % 255}"


def require() -> None:
    """Raise BenchmarkError unless this machine can make hosts."""
    if os.geteuid() != 0:
        raise BenchmarkError("the benchmark's hosts need root (mounts, chroot): run it as root, or give --hosts ''")
    if not SSHD.exists():
        raise BenchmarkError(f"there is no {SSHD}: apt-get install openssh-server")
    missing = [name for name in (*TOOLS, "rpmbuild", "setpriv", "unshare", "taskset") if shutil.which(name) is None]
    if missing:
        raise BenchmarkError(f"not installed here: {', '.join(missing)}: apt-get install debootstrap rpm util-linux")


@contextmanager
def serving(
    folder: Path, count: int, also: Sequence[str] = (), seeded: Callable[[Login, Path], Seeds] | None = None
) -> Iterator[Login]:
    """Serve `count` bare hosts, each with the packages and units that a cluster's packages bring.

    Args:
        folder: an empty one, for what belongs to them.
        count: how many.
        also: more addresses by which they are known.
        seeded: makes what they have besides, from the way to log in and the layer that they share.
    """
    if not 0 < count <= MOST:
        raise BenchmarkError(f"{count} hosts: give a number from 1 to {MOST}")
    try:
        root = base(default_cache(), lambda _: None)
        layer = _layer(folder, root)
        login = _login(folder, [*(address(number) for number in range(1, count + 1)), *also])
    except LabError as error:
        raise BenchmarkError(f"cannot make the hosts: {error}") from None
    seeds = seeded(login, layer) if seeded else None
    lower = ":".join(str(part) for part in (*([seeds.common] if seeds else []), layer, root))
    config = folder / "sshd_config"
    config.write_text(_CONFIG.format(folder=folder), encoding="utf-8")
    server = subprocess.Popen(
        [*_NAMESPACE, "--pid", "--fork", "--kill-child", sys.executable, "-I", "-S", HERE / "serve.py",
         str(count), str(login.port), lower, seeds.own if seeds else "-", config],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    try:
        _await(server, count)
        yield login
    finally:
        server.kill()
        server.wait()


def _await(server: subprocess.Popen[str], count: int) -> None:
    """Read what the servers say until all listen, and leave a thread to read the rest, so that none is held up."""
    log = server.stderr
    if log is None:
        raise AssertionError("the servers' stderr is a pipe")
    said: deque[str] = deque(maxlen=20)
    listening = 0
    for line in log:
        said.append(line)
        listening += line.startswith("Server listening")
        if listening == count:
            threading.Thread(target=lambda: deque(log, maxlen=0), daemon=True).start()
            return
    raise BenchmarkError(f"the hosts' sshd did not start (exit {server.wait()}):\n{''.join(said)}")


def _login(folder: Path, addresses: Sequence[str]) -> Login:
    for name in ("host", "user"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "benchmark", "-f", folder / name])
    with socket.socket() as probe:
        probe.bind(("127.0.1.1", 0))
        port: int = probe.getsockname()[1]
    kind, key, *_ = (folder / "host.pub").read_text(encoding="ascii").split()
    lines = [f"[{one}]:{port} {kind} {key}\n" for one in addresses]
    (folder / "known_hosts").write_text("".join(lines), encoding="ascii")
    return Login(port, folder / "user", folder / "known_hosts")


def _layer(folder: Path, root: Path) -> Path:
    """What every host has over the base: the packages' files but programs, stand-ins, users, the RPM database."""
    layer = folder / "layer"
    for name in ("docker", "etcd", "kubernetes"):
        for part in ("etc", "usr/lib/systemd"):
            source = data_folder() / "rpms" / name / part
            if source.is_dir():
                shutil.copytree(source, layer / part, dirs_exist_ok=True)
    (layer / "etc/etcd/etcd.conf").unlink()  # a node has none, and so is not asked for etcd's members
    (layer / "usr/bin").mkdir(parents=True)
    for name in ("systemctl", "curl", "kubectl"):
        shutil.copy(_STANDINS / name, layer / "usr/bin" / name)
    state = layer / "var/lib/systemctl"
    state.mkdir(parents=True)
    (state / ".reloaded").touch()
    for path in [layer, *layer.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    packages = _packages(folder / "rpms")
    run([*_NAMESPACE, _STANDINS / "prepare", root, layer, folder / "prepare", folder / "root", packages])
    return layer


def _packages(folder: Path) -> Path:
    """RPMs with the names and versions of a cluster's, and nothing in them."""
    folder.mkdir()
    parts = [_part(name, version) for name, version in _PACKAGES.items()]
    spec = folder / "packages.spec"
    spec.write_text(_SPEC + "".join(parts), encoding="ascii")
    build(spec, folder, {})
    return folder


_SPEC = """\
Name: benchmark
Version: 1
Release: 1
Summary: Nothing
License: none
AutoReqProv: no
BuildArch: noarch
%description
%{summary}
"""


def _part(name: str, version: str) -> str:
    head = f"%package -n {name}\nVersion: {version}\nSummary: Nothing\n"
    return f"{head}%description -n {name}\n%{{summary}}\n%files -n {name}\n"
