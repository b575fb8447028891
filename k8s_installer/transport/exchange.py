"""What passes over one channel: bytes to a script's stdin, and both of its outputs as they come."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from threading import Event, Timer, current_thread
from typing import Any, BinaryIO

import paramiko

from k8s_installer.errors import InstallerError
from k8s_installer.untrusted import answers

OnLine = Callable[[str], None]
OnSent = Callable[[int], None]

# What Paramiko has for an exit status when the channel was closed without one.
NO_STATUS = -1
_CHUNK = 32 * 1024
# What Paramiko leaves of the other end's packet size: a longer piece would go as a full packet and a tiny one.
_PACKET_HEAD = 64
# How long a piece waits for a host that takes no more for now, before its outputs are looked at again.
_FEED_SECONDS = 0.01
# Of one output of one script, in bytes: the list of 3,000 nodes has fewer, and what a host prints is kept in memory.
LARGEST = 64 << 20
# Of a download, which goes to a file: etcd's data has 8 GiB at most.
LARGEST_DOWNLOAD = 16 << 30
# An upload that moves so many bytes has not stopped; one that is taken byte by byte would never end.
_PROGRESS = 64 * 1024
# Paramiko's writes and requests have no deadline: so long after ours the connection is cut under them.
_CUT_SECONDS = 2.0


class Deadline:
    """When we stop waiting; after it `cut` is called, which ends whatever hangs in Paramiko.

    Inside a `with` it watches. `extend` gives the other end the whole time again.
    """

    def __init__(self, seconds: float, cut: Callable[[], None]) -> None:
        self._seconds, self._cut = seconds, cut
        self._timer: Timer | None = None
        self._over = False
        self.extend()

    def extend(self) -> None:
        """The other end has moved: count from now on."""
        self._at = time.monotonic() + self._seconds

    @property
    def left(self) -> float:
        """Seconds, of which there are none or fewer when it has passed."""
        return self._at - time.monotonic()

    def __enter__(self) -> None:
        self._watch()

    def __exit__(self, *_: object) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def _watch(self) -> None:
        left = self.left + _CUT_SECONDS
        if self._over:
            return
        if left <= 0:
            self._cut()
            return
        self._timer = Timer(left, self._watch)
        self._timer.daemon = True
        self._timer.start()


class TooMuchError(Exception):
    """A script prints more than anybody asked for: more than `largest` bytes, or too many lines."""

    def __init__(self, largest: int = LARGEST) -> None:
        super().__init__()
        self.largest = largest


class Feed:
    """What goes to a script's stdin: its own text and, for an upload, the part of a file that it then asks for.

    A script asks with a line `send N`, where N is the offset; the stdin is closed after the last byte. Never
    more than one packet of the file is in memory.
    """

    def __init__(self, text: bytes, source: BinaryIO | None = None, on_sent: OnSent | None = None) -> None:
        self._stream: BinaryIO = io.BytesIO(text)
        self._rest: bytes = b""
        self._source, self._on_sent = source, on_sent
        self._sent = 0
        self._streaming = False
        self.taken = 0  # bytes of everything that the host has taken

    def ask(self, line: str) -> None:
        """Read a line of the script's output; only the first that asks counts."""
        asked = re.fullmatch("send ([0-9]{1,18})", line, re.ASCII)
        if asked and self._source is not None:
            self._sent = int(asked[1])
            self._source.seek(self._sent)
            self._stream, self._source, self._streaming = self._source, None, True
            self._tell()

    def piece(self, size: int) -> bytes:
        """What to send next, at most `size` bytes; none where there is nothing to send now.

        Raises:
            InstallerError: the file cannot be read.
        """
        if not self._rest:
            try:
                self._rest = self._stream.read(size)
            except OSError as error:
                raise InstallerError(f"cannot read the file to upload: {error.strerror}") from None
        return self._rest

    def took(self, count: int) -> None:
        """So many bytes of the piece are on their way."""
        self._rest = self._rest[count:]
        self.taken += count
        if self._streaming:
            self._sent += count
            self._tell()

    def drop(self) -> None:
        """The host takes no more."""
        self._stream, self._rest, self._source = io.BytesIO(), b"", None

    @property
    def waits(self) -> bool:
        """Whether the script may still ask for more."""
        return self._source is not None

    def _tell(self) -> None:
        if self._on_sent is not None:
            self._on_sent(self._sent)


def hold_close(channel: Any) -> list[paramiko.Message]:  # noqa: ANN401 - a channel, in parts that have no types
    """Hold back what Paramiko's thread answers when the host closes a channel: its user sends that, as the last.

    Paramiko makes a message under the channel's lock and sends it without, or a new key exchange could never end. So
    its thread may answer the host's close between the two, and our piece or end of the input arrives at a channel that
    the host has let go: sshd ends the whole connection then ("packet referred to nonexistent channel"). A script that
    ends before its input does, as each of ours, is such a host. Where one thread sends, nothing follows the close.
    """
    held: list[paramiko.Message] = []
    close = channel._close_internal  # noqa: SLF001

    def held_close() -> tuple[paramiko.Message | None, ...]:
        messages: tuple[paramiko.Message | None, ...] = close()
        if current_thread() is not channel.transport:
            return messages
        held.extend(message for message in messages if message is not None)
        return None, None

    channel._close_internal = held_close  # noqa: SLF001
    return held


def exchange(channel: paramiko.Channel, feed: Feed, deadline: Deadline, out: Lines, err: Lines, *, idle: bool) -> bool:
    """Feed a script and read both outputs until both are closed; False where the deadline came first.

    One loop does all three: a host that waits for us to read does not take more of the script. With `idle`
    the deadline is extended by every piece that the host takes or that is saved, and never by what it prints else.

    Raises:
        TooMuchError: the script prints more than anybody asked for.
        InstallerError: what is to be saved cannot be written.
    """
    channel.settimeout(_FEED_SECONDS)
    # Not `channel.fileno()`: closing that channel closes a pipe to which Paramiko's thread may just be writing, and
    # that ends the whole connection, or writes into whatever file has the number by then.
    moved = Event()
    channel.in_buffer.set_event(moved)
    channel.in_stderr_buffer.set_event(moved)
    is_open, waited, progress = True, feed.waits, 0
    while (left := deadline.left) > 0:
        ended = bool(channel.eof_received or channel.closed)
        piece = feed.piece(max(channel.out_max_packet_size - _PACKET_HEAD, 1)) if is_open else b""
        if is_open and not piece and not feed.waits:
            is_open, progress = False, 0
            channel.shutdown_write()
        fed = _send(channel, feed, piece)
        read = [
            _read(channel.recv_ready, channel.recv, out),
            _read(channel.recv_stderr_ready, channel.recv_stderr, err),
        ]
        if fed or any(read):
            if idle and (feed.taken + out.saved >= progress or waited != feed.waits):
                deadline.extend()
                waited, progress = feed.waits, feed.taken + out.saved + _PROGRESS
            continue
        if ended:
            return channel.status_event.wait(left)
        if not piece:  # a piece that was not taken has waited already
            moved.wait(left)
    return False


def _send(channel: paramiko.Channel, feed: Feed, piece: bytes) -> bool:
    """Send what the host takes of a piece now; whether anything has changed."""
    if not piece:
        return False
    try:
        count = channel.send(piece)
    except TimeoutError:
        return False
    except OSError:
        feed.drop()  # the host closed the channel: its exit status says why
        return True
    feed.took(count)
    return count > 0


def _read(ready: Callable[[], bool], receive: Callable[[int], bytes], into: Lines) -> bool:
    if not ready():
        return False
    into.feed(receive(_CHUNK))
    return True


class Lines:
    """One output: kept from the marker on (all of it, where no marker comes), and heard line by line."""

    def __init__(self, marker: bytes, on_line: OnLine | None) -> None:
        self.begun = False
        self.saved = 0  # bytes that are written elsewhere
        self._marker, self._on_line = marker, on_line
        self._kept = bytearray()  # one piece: a host that prints 30 million lines must not cost an object for each
        self._ended = 0  # offset after the last line that was read
        self._size, self._count = 0, 0

    @property
    def text(self) -> str:
        """All that was kept."""
        return self._kept.decode(errors="replace")

    def feed(self, data: bytes) -> None:
        """Take what was read.

        Raises:
            TooMuchError: there were more bytes or lines than anybody asks for.
        """
        self._size += len(data)
        if self._size > LARGEST:
            raise TooMuchError
        searched = len(self._kept)
        self._kept += data
        while (self._on_line or not self.begun) and (end := self._kept.find(b"\n", searched)) >= 0:
            self._take(bytes(self._kept[self._ended : end]), end + 1)
            searched = self._ended

    def finish(self) -> None:
        """Take the last line, if it has no end."""
        if (self._on_line or not self.begun) and self._ended < len(self._kept):
            self._take(bytes(self._kept[self._ended :]), len(self._kept))

    def _take(self, line: bytes, end: int) -> None:
        self._ended = end
        self._count += 1
        if self._count > answers.MOST_LINES:
            raise TooMuchError
        if not self.begun and line.endswith(self._marker):
            self.begun = True
            del self._kept[:end]
            self._ended = 0
        elif self._on_line and self.begun:
            self._on_line(line.decode(errors="replace"))


class Saved(Lines):
    """An output whose bytes after the marker are written to a file, as they are; `on_saved` hears how many."""

    def __init__(self, marker: bytes, target: BinaryIO, on_saved: OnSent | None) -> None:
        super().__init__(marker, None)
        self._target, self._on_saved = target, on_saved

    def feed(self, data: bytes) -> None:
        """Take what was read.

        Raises:
            TooMuchError: there were more bytes than anybody asks for.
            InstallerError: they cannot be written.
        """
        if not self.begun:
            super().feed(data)
            data = self._after_marker()
        self.saved += len(data)
        if self.saved > LARGEST_DOWNLOAD:
            raise TooMuchError(LARGEST_DOWNLOAD)
        try:
            self._target.write(data)
        except OSError as error:
            raise InstallerError(f"cannot write what a host sends: {error.strerror}") from None
        if self._on_saved is not None and data:
            self._on_saved(self.saved)

    def _after_marker(self) -> bytes:
        """What has come after the marker, if that has come; before it stands what a login shell printed."""
        if not self.begun:
            return b""
        data, self._kept = bytes(self._kept), bytearray()
        return data
