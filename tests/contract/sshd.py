"""A real sshd on loopback with its own keys, for as long as a test needs it."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from k8s_installer.inventory.cluster import Host, Ssh

SSHD = Path("/usr/sbin/sshd")


@dataclass(frozen=True, slots=True)
class Sshd:
    """A running server: what it listens on, and which keys let one in."""

    folder: Path
    port: int
    pid: int
    user: str

    @property
    def key(self) -> Path:
        return self.folder / "user"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def public_key(self, kind: str = "ed25519") -> str:
        """`type base64` of the server's key."""
        return " ".join((self.folder / f"host_{kind}.pub").read_text().split()[:2])

    def host(
        self,
        *,
        key: Path | None = None,
        known_hosts: Path | None = None,
        host_keys: str = "strict",
        gateway: str | None = None,
        user: str | None = None,
        port: int | None = None,
        timeout: float = 5.0,
    ) -> Host:
        """The server as a host of an inventory; what is not said is right."""
        return Host(
            name="h1",
            address="127.0.0.1",
            roles=frozenset(),
            ssh=Ssh(
                user=user or self.user,
                port=port or self.port,
                key=str(key or self.key),
                known_hosts=str(known_hosts or self.known_hosts),
                host_keys=host_keys,
                gateway=gateway,
                connect_timeout=timeout,
            ),
            tuning={},
            pod_subnet=None,
        )


def keygen(path: Path, kind: str = "ed25519", passphrase: str = "") -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)], check=True)


@contextmanager
def serve(
    folder: Path, *lines: str, env: Sequence[str] = (), host_keys: Sequence[str] = ("ed25519",)
) -> Iterator[Sshd]:
    """Start sshd with its files in `folder` and more `lines` of configuration; stopped after the `with`."""
    if not SSHD.exists():
        raise AssertionError(f"these tests need a real {SSHD}: apt-get install openssh-server")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd locks itself up; it refuses to start without
    folder.mkdir(parents=True, exist_ok=True)
    for kind in host_keys:
        keygen(folder / f"host_{kind}", kind)
    keygen(folder / "user")
    (folder / "authorized_keys").write_bytes((folder / "user.pub").read_bytes())
    if os.getuid() != 0 and not env:
        env = [f"PATH={_sudo(folder)}:/usr/bin:/bin"]
    port = free_port()
    server = Sshd(folder, port, 0, getpass.getuser())
    server.known_hosts.write_text(f"[127.0.0.1]:{port} {server.public_key()}\n")
    config = folder / "sshd_config"
    config.write_text("\n".join([*_config(folder, port, env, host_keys), *lines]) + "\n")
    log = folder / "log"
    process = subprocess.Popen([SSHD, "-D", "-f", config, "-E", log])
    try:
        _await(port, process, log)
        yield Sshd(folder, port, process.pid, server.user)
    finally:
        process.terminate()
        process.wait()


def _sudo(folder: Path) -> Path:
    """A folder with a sudo that asks nobody: who runs the tests need not be allowed the real one."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "sudo"
    program.write_text('#!/bin/sh\nshift 2; exec "$@"\n')
    program.chmod(0o755)
    return program.parent


def _config(folder: Path, port: int, env: Sequence[str], host_keys: Sequence[str]) -> list[str]:
    return [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        *(f"HostKey {folder}/host_{kind}" for kind in host_keys),
        f"AuthorizedKeysFile {folder}/authorized_keys",
        "PidFile none",
        "UsePAM no",
        "UseDNS no",
        "StrictModes no",  # temporary folders lie below /tmp, which everybody may write
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "MaxStartups 100",
        f"SetEnv {' '.join(['HOME=' + str(folder), f'K8S_INSTALLER_KEPT={folder}/kept', f'K8S_INSTALLER_INCOMING={folder}/incoming', *env])}",  # sshd takes the first; nobody's ~/.bashrc has a part in this
        "LogLevel VERBOSE",
    ]


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError(f"sshd did not start:\n{log.read_text() if log.exists() else ''}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
