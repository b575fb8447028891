"""From a host of the inventory to a connection: keys, gateways, host keys, and words for all that fails."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import fabric
import paramiko
from paramiko.ssh_exception import NoValidConnectionsError

from k8s_installer.errors import TransportError
from k8s_installer.inventory.cluster import Host
from k8s_installer.transport.hostkeys import HostKeyCheck, key_algorithms
from k8s_installer.transport.limits import own_limit
from k8s_installer.transport.session import SshTransport, Transport

# Paramiko logs a traceback for every host that is not an SSH server; our errors say it in one line.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_KEEPALIVE_SECONDS = 5
# Unanswered for so long, keepalives included, a connection counts as lost.
_LOST_SECONDS = 15
# sshd of CentOS 7 looks up the name of who logs in, and a name server may be slow or away.
_AUTH_SECONDS = 30.0
# A configuration of Fabric's takes as long to make as a signature, and only one thread at a time may use it.
_OF_THREAD = threading.local()
# Paramiko's words where the other end said nothing, nonsense, or hung up before it showed its host key.
_SILENCE = ("banner", "No existing session", "Negotiation failed")


@dataclass(frozen=True, slots=True)
class _Hop:
    """One machine to log in to: the host itself, or the gateway before it."""

    host: str
    what: str
    user: str
    address: str
    port: int
    key: str | None
    timeout: float
    host_key: HostKeyCheck

    @property
    def place(self) -> str:
        return f"{self.what} (port {self.port})"


def connect(host: Host) -> Transport:
    """Log in to a host, through its gateway if it has one.

    Raises:
        TransportError: the host (or gateway) cannot be reached, is not the one we know, or refuses the login.
        LimitError: this machine lets us have no more connections.
    """
    target = _target(host)
    if host.ssh.gateway is None:
        connection = _open(target, None)
        return SshTransport(host.name, connection.client, shell(target.user), lambda: _hang_up(connection))
    hop = _gateway(target, host.ssh.gateway)
    gateway = _open(hop, None)

    def close() -> None:
        _hang_up(connection)
        _hang_up(gateway)

    try:
        connection = _open(target, _tunnel(gateway, hop, target))
    except BaseException:
        gateway.client.close()
        raise
    return SshTransport(host.name, connection.client, shell(target.user), close)


def _hang_up(connection: fabric.Connection) -> None:
    """Close a connection; its thread looks up at once where its socket is shut, and else a tenth of a second later."""
    transport = connection.client.get_transport()
    if transport is not None:
        with suppress(OSError):
            transport.sock.shutdown(socket.SHUT_RDWR)
    connection.client.close()


def shell(user: str) -> str:
    """The command that takes a script on its stdin and runs it as root."""
    return "/bin/sh -s" if user == "root" else "sudo -n -- /bin/sh -s"


def _target(host: Host) -> _Hop:
    ssh = host.ssh
    what = f"the host {host.address}"
    check = HostKeyCheck(
        host=host.name,
        what=what,
        address=host.address,
        port=ssh.port,
        file=Path(ssh.known_hosts).expanduser() if ssh.known_hosts else Path.home() / ".ssh" / "known_hosts",
        accept_new=ssh.host_keys == "accept-new",
    )
    return _Hop(host.name, what, ssh.user, host.address, ssh.port, ssh.key, ssh.connect_timeout, check)


def _gateway(target: _Hop, text: str) -> _Hop:
    """`[user@]host[:port]`, with the host's own user, key and strictness."""
    user, at, rest = text.rpartition("@")
    address, colon, port = rest.rpartition(":")
    if not colon:
        address, port = rest, str(paramiko.config.SSH_PORT)
    if not port.isdecimal() or not address:
        raise TransportError(
            target.host, f"ssh.gateway: {text} is not USER@HOST:PORT", hint="fix ssh.gateway in the inventory"
        )
    what = f"the gateway {address}"
    check = replace(target.host_key, what=what, address=address, port=int(port))
    return replace(target, what=what, user=user if at else target.user, address=address, port=int(port), host_key=check)


def _tunnel(gateway: fabric.Connection, hop: _Hop, target: _Hop) -> paramiko.Channel:
    try:
        channel: paramiko.Channel = gateway.client.get_transport().open_channel(
            "direct-tcpip", (target.address, target.port), ("", 0), timeout=target.timeout
        )
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise TransportError(
            target.host,
            f"{hop.what} cannot reach {target.place}: {error}",
            hint="check that the host is up, and that the gateway's sshd allows TCP forwarding",
        ) from None
    return channel


def _open(hop: _Hop, sock: paramiko.Channel | None) -> fabric.Connection:
    """Connect and log in; whatever fails is closed and said in words."""
    key = _load_key(hop)
    known = hop.host_key.known()

    def start(sock: Any, **kwargs: Any) -> paramiko.Transport:  # noqa: ANN401 - as Paramiko passes them
        transport = paramiko.Transport(sock, **kwargs)
        options = transport.get_security_options()
        # AES-GCM in one call for each packet, where CTR is followed by an HMAC: a fifth less time for an upload
        options.ciphers = sorted(options.ciphers, key=lambda name: "gcm" not in name)
        options.key_types = key_algorithms(known, tuple(options.key_types))
        transport.set_keepalive(_KEEPALIVE_SECONDS)
        _tune(sock)
        return transport

    options: dict[str, object] = {
        "pkey": key,
        "look_for_keys": hop.key is None,
        "allow_agent": True,
        # Not Fabric's connect_timeout: it makes 0 of half a second, and 0 means for ever.
        "timeout": hop.timeout,
        "banner_timeout": hop.timeout,
        "auth_timeout": max(hop.timeout, _AUTH_SECONDS),
        "transport_factory": start,
    }
    if sock is not None:
        options["sock"] = sock
    connection = fabric.Connection(hop.address, user=hop.user, port=hop.port, config=_config(), connect_kwargs=options)
    connection.client.set_missing_host_key_policy(hop.host_key)
    try:
        connection.open()
    except BaseException as error:
        connection.client.close()
        limit = own_limit(error)
        if limit is not None:
            raise limit from None
        if isinstance(error, OSError | EOFError | paramiko.SSHException):
            raise _explain(error, hop) from None
        raise
    return connection


def _config() -> fabric.Config:
    """This thread's configuration, without any file's settings."""
    if not hasattr(_OF_THREAD, "config"):
        _OF_THREAD.config = fabric.Config(lazy=True)
    config: fabric.Config = _OF_THREAD.config
    return config


def _tune(sock: object) -> None:
    """Send small packets at once (they cost 40 ms each otherwise), and let the kernel give up on a silent peer.

    Paramiko sends keepalives, but waits for no answer to them.
    """
    if not isinstance(sock, socket.socket):
        return  # a channel of the gateway's connection, which has its own
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LOST_SECONDS * 1000)


# One key opens all hosts as a rule, and to read an RSA key is to check its primes.
_read_key = lru_cache(maxsize=8)(paramiko.PKey.from_path)


def _load_key(hop: _Hop) -> paramiko.PKey | None:
    """The private key of the inventory; None where none is named, or where only the agent can use it."""
    if hop.key is None:
        return None
    try:
        return _read_key(hop.key)
    except TypeError:  # as cryptography says that a passphrase is missing
        return None
    except OSError as error:
        raise own_limit(error) or TransportError(
            hop.host,
            f"cannot read the key {hop.key}: {error.strerror}",
            hint="set ssh.key to the private key",
        ) from None
    except (ValueError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
        raise TransportError(
            hop.host,
            f"{hop.key} is not a usable private key: {str(error).partition('. ')[0]}",
            # Paramiko cannot read half of all ECDSA keys whose comment is empty.
            hint="ssh.key must be the private key, not the .pub file; ed25519, ECDSA and RSA keys work. "
            f"If ssh can use it, add a comment to it: ssh-keygen -c -C {hop.user} -f {hop.key}",
        ) from None


def _explain(error: Exception, hop: _Hop) -> TransportError:
    """Say what went wrong while connecting, and what to do about it."""
    if isinstance(error, NoValidConnectionsError):
        error = next(iter(error.errors.values()))
    login = isinstance(error, paramiko.AuthenticationException) or "No authentication methods" in str(error)
    message, hint = _refusal(hop) if login else _words(error, hop)
    return TransportError(hop.host, message, hint=hint)


def _words(error: Exception, hop: _Hop) -> tuple[str, str]:
    silence = (
        f"{hop.place} does not answer as an SSH server",
        "check that ssh.port is sshd's port, and that neither its MaxStartups nor a TCP wrapper rejects the connection",
    )
    match error:
        case TimeoutError():
            message = f"no answer from {hop.place} within {hop.timeout:g} s"
            hint = "check that the host is up and that no firewall drops the port"
        case socket.gaierror():
            message = f"{hop.address} cannot be resolved"
            hint = "use an IP address, or check /etc/hosts and the name server"
        case ConnectionRefusedError():
            message = f"{hop.place} refuses connections"
            hint = "check that sshd runs there, and that ssh.port is its port"
        case OSError(errno=errno.EHOSTUNREACH | errno.ENETUNREACH):
            message = f"there is no route to {hop.place}: {error.strerror}"
            hint = "check that the host is up, and this machine's routes"
        case paramiko.ssh_exception.IncompatiblePeer():
            message = f"{hop.place} and this machine have no SSH algorithm in common: {error}"
            hint = "sshd there is too old or too strict: check Ciphers, MACs and KexAlgorithms in its configuration"
        case EOFError() | ConnectionResetError():
            message, hint = silence
        case paramiko.SSHException() if any(words in str(error) for words in _SILENCE):
            message, hint = silence
        case _:
            message = f"cannot connect to {hop.place}: {str(error) or type(error).__name__}"
            hint = f"try: ssh -p {hop.port} {hop.user}@{hop.address}"
    return message, hint


def _refusal(hop: _Hop) -> tuple[str, str]:
    login = f"-p {hop.port} {hop.user}@{hop.address}"
    if hop.key is None:
        message = f"{hop.what} rejects {hop.user} with every key of the SSH agent and of ~/.ssh"
        hint = f"set ssh.key to the private key that it accepts, or authorize one: ssh-copy-id {login}"
    elif _load_key(hop) is None:
        message = f"{hop.key} has a passphrase, and {hop.what} accepts no key of the SSH agent for {hop.user}"
        hint = f"eval $(ssh-agent); ssh-add {hop.key}"
    else:
        message = f"{hop.what} rejects {hop.user} with the key {hop.key}"
        hint = f"authorize it: ssh-copy-id -i {hop.key} {login}"
    return message, hint
