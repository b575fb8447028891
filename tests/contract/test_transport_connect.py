"""Who is let in, who is believed, and what is said when it fails."""

from __future__ import annotations

import re
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from k8s_installer.errors import TransportError
from k8s_installer.inventory.cluster import Host
from k8s_installer.transport import connect
from tests.contract.sshd import Sshd, free_port, keygen, serve

pytestmark = pytest.mark.contract


def works(host: Host) -> bool:
    transport = connect(host)
    try:
        return transport.host == "h1" and transport.run("echo hello").stdout == "hello\n"
    finally:
        transport.close()


def refusal(host: Host) -> str:
    """The error and its hint, as somebody would read them; never the exception of a library."""
    with pytest.raises(TransportError) as caught:
        connect(host)
    assert caught.value.message.startswith("h1: ")
    assert caught.value.hint
    return f"{caught.value.message}\n{caught.value.hint}"


def test_an_unknown_host_is_refused_with_the_command_that_makes_it_known(sshd: Sshd, tmp_path: Path) -> None:
    empty = tmp_path / "known_hosts"
    empty.touch()
    said = refusal(sshd.host(known_hosts=empty))
    assert f"{empty} has no key for [127.0.0.1]:{sshd.port}" in said
    assert "it presents ssh-ed25519 SHA256:" in said
    command = re.search(r"ssh-keyscan .* >> \S+", said)
    assert command
    subprocess.run(command[0], shell=True, check=True, capture_output=True)  # noqa: S602 - the hint itself is tested
    assert works(sshd.host(known_hosts=empty))


def test_the_users_known_hosts_are_the_default_and_may_be_missing(sshd: Sshd) -> None:
    host = sshd.host()
    default = _with(host, known_hosts=None)
    assert "home/.ssh/known_hosts has no key" in refusal(default)
    folder = Path.home() / ".ssh"
    folder.mkdir()
    shutil.copy(sshd.known_hosts, folder / "known_hosts")
    assert works(default)


def test_a_changed_host_key_is_refused_in_every_mode(sshd: Sshd, tmp_path: Path) -> None:
    keygen(tmp_path / "other")
    other = (tmp_path / "other.pub").read_text()
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    for mode in ("strict", "accept-new"):
        said = refusal(sshd.host(known_hosts=known, host_keys=mode))
        assert "has a different host key" in said
        assert f"ssh-keygen -f {known} -R '[127.0.0.1]:{sshd.port}'" in said
    assert known.read_text() == f"[127.0.0.1]:{sshd.port} {other}"


def test_a_revoked_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(sshd.known_hosts.read_text() + f"@revoked * {sshd.public_key()}\n")
    assert "revoked" in refusal(sshd.host(known_hosts=known))


def test_a_host_known_by_its_rsa_key_alone_shows_that_one(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {sshd.public_key('rsa')}\n")
    assert works(sshd.host(known_hosts=known))


def test_hashed_entries_are_found(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    shutil.copy(sshd.known_hosts, known)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
    assert "127.0.0.1" not in known.read_text()
    assert works(sshd.host(known_hosts=known))


def test_accept_new_writes_the_key_down_once_for_its_owner_alone(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "new" / "known_hosts"
    for _ in range(2):
        assert works(sshd.host(known_hosts=known, host_keys="accept-new"))
    assert known.read_text() == f"[127.0.0.1]:{sshd.port} {sshd.public_key()}\n"
    assert stat.S_IMODE(known.stat().st_mode) == 0o600
    assert works(sshd.host(known_hosts=known, host_keys="strict"))


def test_accept_new_keeps_a_last_line_without_newline(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("10.0.0.1 ssh-ed25519 AAAA")
    assert works(sshd.host(known_hosts=known, host_keys="accept-new"))
    assert known.read_text().splitlines() == ["10.0.0.1 ssh-ed25519 AAAA", sshd.known_hosts.read_text().strip()]


def test_a_known_hosts_file_that_cannot_be_read_or_written_is_named(sshd: Sshd, tmp_path: Path) -> None:
    assert f"cannot read known hosts from {tmp_path}" in refusal(sshd.host(known_hosts=tmp_path))
    (tmp_path / "file").touch()
    nowhere = Path("/proc/none/known_hosts")
    assert "cannot add the host's key" in refusal(sshd.host(known_hosts=nowhere, host_keys="accept-new"))


def test_a_wrong_user_key_names_user_and_key(sshd: Sshd, tmp_path: Path) -> None:
    keygen(tmp_path / "stranger")
    said = refusal(sshd.host(key=tmp_path / "stranger"))
    assert f"rejects {sshd.user} with the key {tmp_path}/stranger" in said
    assert f"ssh-copy-id -i {tmp_path}/stranger -p {sshd.port} {sshd.user}@127.0.0.1" in said


def test_an_unknown_user_is_refused_by_name(sshd: Sshd) -> None:
    assert "rejects nobody-at-all" in refusal(sshd.host(user="nobody-at-all"))


def test_keys_that_are_no_keys(sshd: Sshd, tmp_path: Path) -> None:
    assert f"cannot read the key {tmp_path}/missing: No such file" in refusal(sshd.host(key=tmp_path / "missing"))
    assert f"cannot read the key {tmp_path}: Is a directory" in refusal(sshd.host(key=tmp_path))
    public = sshd.key.with_suffix(".pub")
    assert f"{public} is not a usable private key" in refusal(sshd.host(key=public))


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_every_kind_of_key_is_used(tmp_path: Path, sshd: Sshd, kind: str) -> None:
    keygen(tmp_path / "mine", kind)
    with (sshd.folder / "authorized_keys").open("a") as keys:
        keys.write((tmp_path / "mine.pub").read_text())
    assert works(sshd.host(key=tmp_path / "mine"))


def test_an_old_pem_key_is_used(tmp_path: Path, sshd: Sshd) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-m", "PEM", "-N", "", "-f", str(tmp_path / "pem")], check=True)
    with (sshd.folder / "authorized_keys").open("a") as keys:
        keys.write((tmp_path / "pem.pub").read_text())
    assert works(sshd.host(key=tmp_path / "pem"))


@contextmanager
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *keys: Path) -> Iterator[None]:
    address = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(address)], stdout=subprocess.DEVNULL)
    try:
        while not address.exists():
            time.sleep(0.01)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(address))
        for key in keys:
            subprocess.run(["ssh-add", "-q", str(key)], check=True)
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("form", [[], ["-m", "PEM"]])
def test_a_key_with_a_passphrase_needs_the_agent(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    keygen(tmp_path / "plain", "ecdsa")
    shutil.copy(tmp_path / "plain", tmp_path / "locked")
    change = ["ssh-keygen", "-q", "-p", *form, "-N", "secret", "-f", str(tmp_path / "locked")]
    subprocess.run(change, check=True, capture_output=True)
    with (sshd.folder / "authorized_keys").open("a") as keys:
        keys.write((tmp_path / "plain.pub").read_text())
    said = refusal(sshd.host(key=tmp_path / "locked"))
    assert f"{tmp_path}/locked has a passphrase" in said
    assert f"ssh-add {tmp_path}/locked" in said
    with agent(tmp_path, monkeypatch, tmp_path / "plain"):
        assert works(sshd.host(key=tmp_path / "locked"))


def test_without_a_key_in_the_inventory_the_agent_and_the_users_keys_are_tried(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = _with(sshd.host(), key=None)
    assert "every key of the SSH agent and of ~/.ssh" in refusal(host)
    with agent(tmp_path, monkeypatch, sshd.key):
        assert works(host)
    monkeypatch.delenv("SSH_AUTH_SOCK")
    folder = Path.home() / ".ssh"
    folder.mkdir()
    shutil.copy(sshd.key, folder / "id_ed25519")
    assert works(host)


def test_a_port_where_nobody_listens(sshd: Sshd) -> None:
    port = free_port()
    said = refusal(_with(sshd.host(), port=port))
    assert f"the host 127.0.0.1 (port {port}) refuses connections" in said


def test_a_host_that_does_not_answer_at_all(sshd: Sshd) -> None:
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        for _ in range(3):  # the kernel drops what comes to a full queue, as a firewall does
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        began = time.monotonic()
        said = refusal(sshd.host(port=full.getsockname()[1], timeout=0.3))
    assert "no answer from the host 127.0.0.1" in said
    assert "within 0.3 s" in said
    assert 0.25 < time.monotonic() - began < 1


def test_a_port_that_takes_connections_and_says_nothing(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert "does not answer as an SSH server" in refusal(sshd.host(port=silent.getsockname()[1], timeout=0.3))
        assert time.monotonic() - began < 1


def test_a_host_that_hangs_up(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rude:

        def take_and_drop() -> None:
            rude.accept()[0].close()

        hang_up = threading.Thread(target=take_and_drop)
        hang_up.start()
        assert "MaxStartups" in refusal(sshd.host(port=rude.getsockname()[1]))
        hang_up.join()


def test_files_and_variables_of_fabric_and_ssh_do_not_matter(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    stray = '{"user": "nobody", "port": 1, "run": {"warn": true}, "connect_kwargs": {"key_filename": "/none"}}'
    (Path.home() / ".fabric.json").write_text(stray)
    (Path.home() / ".invoke.json").write_text(stray)
    (Path.home() / ".ssh").mkdir()
    (Path.home() / ".ssh" / "config").write_text("Host *\n  Hostname 192.0.2.1\n  Port 1\n  ProxyCommand false\n")
    monkeypatch.setenv("FABRIC_USER", "nobody")
    monkeypatch.setenv("INVOKE_RUN_WARN", "1")
    assert works(sshd.host())


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Sshd]:
    """A second sshd that lets the same key in; the known hosts of `sshd.host` do not have it."""
    with serve(tmp_path / "gateway") as server:
        yield server


def _through(sshd: Sshd, gateway: Sshd, tmp_path: Path, *, known: bool = True, port: int | None = None) -> Host:
    with (gateway.folder / "authorized_keys").open("a") as keys:
        keys.write((sshd.folder / "user.pub").read_text())
    file = tmp_path / "known_hosts"
    file.write_text(sshd.known_hosts.read_text() + (gateway.known_hosts.read_text() if known else ""))
    return sshd.host(known_hosts=file, gateway=f"{gateway.user}@127.0.0.1:{gateway.port}", port=port)


def test_a_host_behind_a_gateway(sshd: Sshd, gateway: Sshd, tmp_path: Path) -> None:
    assert works(_through(sshd, gateway, tmp_path))
    log = (gateway.folder / "log").read_text()
    assert f"Accepted publickey for {gateway.user}" in log


def test_a_gateway_is_judged_as_strictly(sshd: Sshd, gateway: Sshd, tmp_path: Path) -> None:
    said = refusal(_through(sshd, gateway, tmp_path, known=False))
    assert "the gateway 127.0.0.1 is unknown" in said
    assert f"[127.0.0.1]:{gateway.port}" in said


def test_a_gateway_that_refuses_is_named(sshd: Sshd, gateway: Sshd, tmp_path: Path) -> None:
    host = _through(sshd, gateway, tmp_path)
    (gateway.folder / "authorized_keys").write_text("")
    assert f"the gateway 127.0.0.1 rejects {gateway.user}" in refusal(host)


def test_a_host_that_the_gateway_does_not_reach(sshd: Sshd, gateway: Sshd, tmp_path: Path) -> None:
    port = free_port()
    said = refusal(_through(sshd, gateway, tmp_path, port=port))
    assert f"the gateway 127.0.0.1 cannot reach the host 127.0.0.1 (port {port})" in said


@pytest.mark.parametrize("text", ["root@10.0.0.1:ssh", "root@", ":22"])
def test_a_gateway_that_is_none(sshd: Sshd, text: str) -> None:
    assert "is not USER@HOST:PORT" in refusal(sshd.host(gateway=text))


def test_a_gateway_by_a_name_that_nobody_knows(sshd: Sshd) -> None:
    assert "gateway.invalid cannot be resolved" in refusal(sshd.host(gateway="gateway.invalid"))


def test_connecting_costs_no_more_than_bare_paramiko_plus_a_little(sshd: Sshd) -> None:
    """Fabric's runner took five times as long as a channel; this keeps such a thing from coming back."""
    host = sshd.host()

    def ours() -> None:
        transport = connect(host)
        transport.run("true")
        transport.close()

    def bare() -> None:
        with paramiko.SSHClient() as client:
            client.load_host_keys(str(sshd.known_hosts))
            client.connect(
                "127.0.0.1", sshd.port, sshd.user, pkey=paramiko.PKey.from_path(sshd.key), allow_agent=False,
                look_for_keys=False,
            )  # fmt: skip
            client.exec_command("/bin/sh -c true")[1].channel.recv_exit_status()

    assert min(_seconds(ours) for _ in range(3)) < 2 * min(_seconds(bare) for _ in range(3))


def _seconds(work: object) -> float:
    assert callable(work)
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _with(host: Host, **changes: object) -> Host:
    return replace(host, ssh=replace(host.ssh, **changes))  # type: ignore[arg-type]


def test_nothing_stays_open(sshd: Sshd) -> None:
    def handles() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    works(sshd.host())
    before = handles()
    for _ in range(2):
        works(sshd.host())
        refusal(sshd.host(user="nobody-at-all"))
    time.sleep(0.3)  # Paramiko's threads close what they read from
    assert handles() <= before
