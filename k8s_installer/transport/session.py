"""Scripts on a connected host: one channel, one `/bin/sh -s`, both outputs read as they come."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore, Thread
from typing import Any, BinaryIO, Protocol

import paramiko

from k8s_installer.errors import CommandFailed, InstallerError, MalformedAnswer, TransportError
from k8s_installer.transport.exchange import (
    NO_STATUS,
    Deadline,
    Feed,
    Lines,
    OnLine,
    OnSent,
    Saved,
    TooMuchError,
    exchange,
    hold_close,
)
from k8s_installer.transport.limits import own_limit

# Scripts at once on one connection: sshd's MaxSessions is 10, and one that has just ended may count beside the next.
CHANNELS = 5
# What is opened ahead of its script may take so long; one that comes later opens its own.
_AHEAD_SECONDS = 60.0


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
            MalformedAnswer: it printed more than anybody asks for; how far it came is not known.
        """

    def upload(self, script: str, source: Path, *, idle: float = 60.0, on_sent: OnSent | None = None) -> Result:
        """Run a script as `run` does, which reads bytes of a local file from its stdin.

        The script writes a line `send N`, and then reads the bytes from offset N on to the end. One that does not
        ask gets none. `on_sent` gets the offset up to which the file is on its way, in the calling thread.

        Returns:
            as `run`.

        Raises:
            InstallerError: the file cannot be read.
            TransportError: the host took nothing for `idle` seconds, or the connection was lost.
            CommandFailed, MalformedAnswer: as `run`.
        """

    def download(self, script: str, target: BinaryIO, *, idle: float = 60.0, on_saved: OnSent | None = None) -> Result:
        """Run a script as `run` does, and write the bytes that it prints to a local file; `stdout` is empty then.

        `on_saved` gets how many bytes have come, in the calling thread.

        Returns:
            as `run`: whether all bytes have come, only the exit status says.

        Raises:
            InstallerError: the file cannot be written.
            TransportError: the host sent nothing for `idle` seconds, or the connection was lost.
            CommandFailed, MalformedAnswer: as `run`.
        """

    def prepare(self) -> None:
        """Open the shell of one more script; nobody waits for it, and what fails is opened again by that script.

        A script whose shell is open takes one round trip instead of three.
        """

    def close(self) -> None:
        """Let go of the connection; a script that runs in another thread ends with TransportError."""


def wrap(script: str, marker: str, stdin: str = "</dev/null") -> str:
    """The text for `/bin/sh -s`: the script as a function, called by a last line that counts only when whole.

    The markers on both outputs say that the script began, and part its output from what login shells and sudo
    have written before. With an empty `stdin` the script reads what is sent after that line once it has asked:
    before, dash would read it with the script.
    """
    return (
        f"k8s_installer_script() {{\n:\n{script}\n}}\n"
        "LC_ALL=C PATH=${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin; export LC_ALL PATH\n"
        f"{{ printf '%s\\n' {marker}; printf '%s\\n' {marker} >&2; k8s_installer_script {stdin}; exit; }}\n"
    )


@dataclass(frozen=True, slots=True)
class _Shell:
    """A channel on which a shell waits for its script, and what must be sent when it is let go (see `hold_close`)."""

    channel: paramiko.Channel
    held: list[paramiko.Message]

    @property
    def waits(self) -> bool:
        """Whether it can still take a script; a login shell that runs nothing has ended by itself."""
        return not (self.channel.eof_received or self.channel.closed)

    def close(self) -> None:
        """Let it go; nothing is sent to it after that."""
        sender: Any = self.channel.transport  # what sends a message has no types
        with suppress(OSError, EOFError, paramiko.SSHException):
            self.channel.close()
            for message in self.held:
                sender._send_user_message(message)  # noqa: SLF001 - as Paramiko's thread would have


@dataclass(frozen=True, slots=True)
class _Talk:
    """One script on its way: what it is in words, what goes in and out, and how long it (or its silence) may last."""

    what: str
    feed: Feed
    out: Lines
    err: Lines
    seconds: float
    idle: bool = False


class SshTransport:
    """A `Transport` over a connected client; `shell` is the command that takes scripts on its stdin."""

    def __init__(self, host: str, client: paramiko.SSHClient, shell: str, close: Callable[[], None]) -> None:
        self._host, self._client, self._shell, self._close = host, client, shell, close
        self._channels = BoundedSemaphore(CHANNELS)
        self._ahead: deque[Future[_Shell]] = deque()

    @property
    def host(self) -> str:
        """The host's name in the inventory."""
        return self._host

    def close(self) -> None:
        """Close the connection, and the gateway's."""
        self._close()

    def prepare(self) -> None:
        """See `Transport.prepare`."""
        ahead: Future[_Shell] = Future()
        self._ahead.append(ahead)

        def open_it() -> None:
            try:
                ahead.set_result(self._open(_AHEAD_SECONDS))
            except Exception as error:  # noqa: BLE001 - whatever it is, who takes it opens another one
                ahead.set_exception(error)

        Thread(target=open_it, name="prepare", daemon=True).start()

    def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
        """See `Transport.run`."""
        marker = secrets.token_hex(16)
        out, err = Lines(marker.encode(), on_line), Lines(marker.encode(), None)
        feed = Feed(wrap(script, marker).encode())
        return self._carry(_Talk("the script", feed, out, err, timeout))

    def upload(self, script: str, source: Path, *, idle: float = 60.0, on_sent: OnSent | None = None) -> Result:
        """See `Transport.upload`."""
        marker = secrets.token_hex(16)
        try:
            file = source.open("rb")
        except OSError as error:
            raise own_limit(error) or InstallerError(
                f"cannot read {source}: {error.strerror}", hint="check that it exists"
            ) from None
        with file:
            feed = Feed(wrap(script, marker, stdin="").encode(), file, on_sent)
            out, err = Lines(marker.encode(), feed.ask), Lines(marker.encode(), None)
            return self._carry(_Talk(f"the upload of {source.name}", feed, out, err, idle, idle=True))

    def download(self, script: str, target: BinaryIO, *, idle: float = 60.0, on_saved: OnSent | None = None) -> Result:
        """See `Transport.download`."""
        marker = secrets.token_hex(16)
        out, err = Saved(marker.encode(), target, on_saved), Lines(marker.encode(), None)
        return self._carry(_Talk("the download", Feed(wrap(script, marker).encode()), out, err, idle, idle=True))

    def _carry(self, talk: _Talk) -> Result:
        deadline = Deadline(talk.seconds, self._close)
        try:
            with deadline, self._channels:
                status = self._execute(talk, deadline)
        except (OSError, EOFError, RuntimeError, paramiko.SSHException) as error:
            limit = own_limit(error)
            if limit is not None:
                raise limit from None
            if isinstance(error, RuntimeError):
                raise  # a fault of ours
            if deadline.left > 0:
                raise self._lost(talk, str(error)) from None
            status = None
        except TooMuchError as error:
            raise MalformedAnswer(
                self._host, f"{talk.what} printed more than {error.largest >> 20} MiB, and was aborted"
            ) from None
        if status is None:
            raise self._timed_out(talk)
        if status == NO_STATUS:
            raise self._lost(talk, "")
        talk.out.finish()
        talk.err.finish()
        if not talk.out.begun:
            raise self._refused(status, talk.out.text, talk.err.text)
        return Result(status, talk.out.text, talk.err.text)

    def _execute(self, talk: _Talk, deadline: Deadline) -> int | None:
        """The exit status, NO_STATUS where there is none to come, None where the time is over."""
        shell = self._prepared(deadline) or self._open(deadline.left)
        try:
            ended = exchange(shell.channel, talk.feed, deadline, talk.out, talk.err, idle=talk.idle)
            return shell.channel.recv_exit_status() if ended else None
        finally:
            shell.close()

    def _prepared(self, deadline: Deadline) -> _Shell | None:
        """A shell that was opened ahead, if there is one and it waits for a script.

        One that was refused says nothing of the others: they may be why the host has no room for it.
        """
        while self._ahead:
            with suppress(Exception):  # it was not opened, or another thread has taken it: the next one
                shell = self._ahead.popleft().result(max(deadline.left, 0))
                if shell.waits:
                    return shell
                shell.close()
        return None

    def _open(self, seconds: float) -> _Shell:
        transport = self._client.get_transport()
        if transport is None:
            raise EOFError("the connection is closed")
        channel = transport.open_session(timeout=max(seconds, 0.001))
        shell = _Shell(channel, hold_close(channel))
        try:
            channel.exec_command(self._shell)
        except BaseException:
            shell.close()
            raise
        return shell

    def _timed_out(self, talk: _Talk) -> TransportError:
        did = (
            ("made no progress for" if talk.idle else "did not finish within")
            if talk.out.begun
            else "did not start within"
        )
        return TransportError(
            self._host,
            f"{talk.what} {did} {talk.seconds:g} s; how far it got is unknown",
            hint="check what the host is busy with; programs that a script leaves running must not keep its output "
            "open",
        )

    def _lost(self, talk: _Talk, reason: str) -> TransportError:
        why = f" ({reason})" if reason else ""
        return TransportError(
            self._host,
            f"the connection was lost before {talk.what} finished{why}; how far it got is unknown",
            hint="check that the host is up, then run the same command again: it reads the host's state again",
        )

    def _refused(self, status: int, stdout: str, stderr: str) -> CommandFailed:
        if self._shell.startswith("sudo") and "must have a tty" in stderr:
            hint = "sudo requires a terminal: set `Defaults:USER !requiretty` in /etc/sudoers.d for the login user"
        elif self._shell.startswith("sudo") and "sudo" in stderr:
            hint = "the login user needs passwordless sudo: set `USER ALL=(ALL) NOPASSWD: ALL` in /etc/sudoers.d"
        else:
            hint = "the user's login shell must run commands: check /etc/passwd, and ForceCommand of sshd"
        return CommandFailed(self._host, self._shell, status, stdout, stderr, hint=hint)
