"""Scripts on a connected host: one channel, one `/bin/sh -s`, both outputs read as they come."""

from __future__ import annotations

import secrets
import select
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import BoundedSemaphore, Timer
from typing import Protocol

import paramiko

from k8s_installer.errors import CommandFailed, TransportError

OnLine = Callable[[str], None]

# Scripts at once on one connection: sshd's MaxSessions is 10, and a lock's heartbeat or a log in beside us counts.
CHANNELS = 6
_CHUNK = 32 * 1024
# How often the rest of a long script is offered again to a host that takes no more for now.
_FEED_SECONDS = 0.01
# Paramiko's writes and requests have no deadline: so long after ours the connection is cut under them.
_CUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Result:
    """What a script left: its exit status, and all that it wrote (UTF-8, with U+FFFD for what is not)."""

    status: int
    stdout: str
    stderr: str


class Transport(Protocol):
    """The way to one host; several threads may use it, and wait for each other where sshd takes no more."""

    @property
    def host(self) -> str:
        """The host's name in the inventory."""

    def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
        """Run a POSIX sh script as root, and wait for its end.

        The script finds LC_ALL=C, the sbin directories in PATH, and nothing on its stdin. `on_line` gets each
        line of stdout as it comes, in the calling thread. A script that does not arrive whole does nothing.

        Returns:
            the exit status, whatever it is, and the output.

        Raises:
            TransportError: no answer in `timeout` seconds, or the connection was lost; how far the script came
                is not known.
            CommandFailed: the host would not run the script (sudo or the login shell refused); nothing was done.
        """

    def close(self) -> None:
        """Let go of the connection; a script that runs in another thread ends with TransportError."""


def wrap(script: str, marker: str) -> str:
    """The text for `/bin/sh -s`: the script as a function, called by a last line that counts only when whole.

    The markers on both outputs say that the script began, and part its output from what login shells and sudo
    have written before.
    """
    return (
        f"k8s_installer_script() {{\n:\n{script}\n}}\n"
        "LC_ALL=C PATH=${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin; export LC_ALL PATH\n"
        f"{{ printf '%s\\n' {marker}; printf '%s\\n' {marker} >&2; k8s_installer_script </dev/null; exit; }}\n"
    )


class SshTransport:
    """A `Transport` over a connected client; `shell` is the command that takes scripts on its stdin."""

    def __init__(self, host: str, client: paramiko.SSHClient, shell: str, close: Callable[[], None]) -> None:
        self._host, self._client, self._shell, self._close = host, client, shell, close
        self._channels = BoundedSemaphore(CHANNELS)

    @property
    def host(self) -> str:
        """The host's name in the inventory."""
        return self._host

    def close(self) -> None:
        """Close the connection, and the gateway's."""
        self._close()

    def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
        """See `Transport.run`."""
        marker = secrets.token_hex(16)
        out, err = _Lines(marker.encode(), on_line), _Lines(marker.encode(), None)
        deadline = time.monotonic() + timeout
        cut = Timer(timeout + _CUT_SECONDS, self._close)
        cut.daemon = True
        cut.start()
        try:
            with self._channels:
                status = self._execute(wrap(script, marker).encode(), deadline, out, err)
        except (OSError, EOFError, paramiko.SSHException) as error:
            if time.monotonic() < deadline:
                raise self._lost(str(error)) from None
            status = None
        finally:
            cut.cancel()
        if status is None:
            raise self._timed_out(timeout, begun=out.begun)
        if status == _NO_STATUS:
            raise self._lost("")
        out.finish()
        err.finish()
        if not out.begun:
            raise self._refused(status, out.text, err.text)
        return Result(status, out.text, err.text)

    def _execute(self, data: bytes, deadline: float, out: _Lines, err: _Lines) -> int | None:
        """The exit status, _NO_STATUS where there is none to come, None where the time is over."""
        transport = self._client.get_transport()
        if transport is None:
            raise EOFError("the connection is closed")
        channel = transport.open_session(timeout=max(deadline - time.monotonic(), 0.001))
        try:
            channel.exec_command(self._shell)
            ended = _exchange(channel, data, deadline, out, err)
            return channel.recv_exit_status() if ended else None
        finally:
            with suppress(OSError, EOFError, paramiko.SSHException):
                channel.close()

    def _timed_out(self, timeout: float, *, begun: bool) -> TransportError:
        did = "did not end" if begun else "did not begin"
        return TransportError(
            self._host,
            f"the script {did} within {timeout:g} s; how far it came is not known",
            hint="look what the host is busy with; programs that a script leaves behind must not keep its output open",
        )

    def _lost(self, reason: str) -> TransportError:
        why = f" ({reason})" if reason else ""
        return TransportError(
            self._host,
            f"the connection was lost before the script ended{why}; how far it came is not known",
            hint="see that the host is up, then run the same command again: it looks at the host anew",
        )

    def _refused(self, status: int, stdout: str, stderr: str) -> CommandFailed:
        if self._shell.startswith("sudo") and "sudo" in stderr:
            hint = "the login user needs root without a password: `USER ALL=(ALL) NOPASSWD: ALL` in /etc/sudoers.d"
        else:
            hint = "the login shell of the user must run commands: see /etc/passwd, and ForceCommand of sshd"
        return CommandFailed(self._host, self._shell, status, stdout, stderr, hint=hint)


# What Paramiko has for an exit status when the channel was closed without one.
_NO_STATUS = -1


def _exchange(channel: paramiko.Channel, data: bytes, deadline: float, out: _Lines, err: _Lines) -> bool:
    """Feed the script and read both outputs until both are closed; False where the deadline came first.

    One loop does all three: a host that waits for us to read does not take more of the script.
    """
    channel.settimeout(0)
    events = select.poll()
    events.register(channel.fileno(), select.POLLIN)
    sent = 0
    while (left := deadline - time.monotonic()) > 0:
        ended = bool(channel.eof_received or channel.closed)
        fed = _feed(channel, data, sent)
        sent += fed
        read = [
            _read(channel.recv_ready, channel.recv, out),
            _read(channel.recv_stderr_ready, channel.recv_stderr, err),
        ]
        if fed or any(read):
            continue
        if ended:
            return channel.status_event.wait(left)
        events.poll(1000 * (min(left, _FEED_SECONDS) if sent < len(data) else left))
    return False


def _feed(channel: paramiko.Channel, data: bytes, sent: int) -> int:
    """Send what the host takes of the rest now; the number of bytes that need not be offered again."""
    piece = data[sent : sent + _CHUNK]
    if not piece:
        return 0
    try:
        count = channel.send(piece)
    except TimeoutError:
        return 0
    except OSError:
        return len(data) - sent  # the host closed the channel: its exit status says why
    if sent + count == len(data):
        channel.shutdown_write()
    return count


def _read(ready: Callable[[], bool], receive: Callable[[int], bytes], into: _Lines) -> bool:
    if not ready():
        return False
    into.feed(receive(_CHUNK))
    return True


class _Lines:
    """One output: cut into lines, and kept from the marker on (all of it, where no marker comes)."""

    def __init__(self, marker: bytes, on_line: OnLine | None) -> None:
        self.begun = False
        self._marker, self._on_line = marker, on_line
        self._open: list[bytes] = []
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def feed(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._take(b"".join([*self._open, line]), "\n")
            self._open = []
        if rest:
            self._open.append(rest)

    def finish(self) -> None:
        if self._open:
            self._take(b"".join(self._open), "")

    def _take(self, line: bytes, end: str) -> None:
        if not self.begun and line.endswith(self._marker):
            self.begun = True
            self._texts.clear()
            return
        text = line.decode(errors="replace")
        self._texts.append(text + end)
        if self._on_line and self.begun:
            self._on_line(text)
