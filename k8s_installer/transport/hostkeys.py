"""Is this the host we think it is? known_hosts files, read and judged as OpenSSH does, and appended to.

Paramiko's own reader is not used: it asks for the type of the first known key alone (a host known by an RSA
key is then taken for another one), knows neither patterns nor `@revoked`, and takes quadratic time.
"""

from __future__ import annotations

import base64
import fcntl
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import paramiko

from k8s_installer.errors import TransportError
from k8s_installer.transport.limits import own_limit
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

# The signature algorithms by which a host proves that it has an RSA key; all others are named as their key.
_RSA_SIGNATURES = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One key of a known_hosts file: `blob` is the key as SSH sends it."""

    type: str
    blob: bytes = b""
    revoked: bool = False


class UnknownHostError(TransportError):
    """known_hosts has no key for a host. `command` adds its keys; `key` is where the host has the one it presented."""

    def __init__(self, host: str, message: str, *, command: str, key: str) -> None:
        super().__init__(
            host,
            message,
            hint=f"if that is the host's key: {command} (or ssh.host_keys: accept-new in the inventory)",
        )
        self.command, self.key = command, key


def entry_name(address: str, port: int) -> str:
    """The name under which a known_hosts file knows a host."""
    return address if port == paramiko.config.SSH_PORT else f"[{address}]:{port}"


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """A known_hosts file, read once for all hosts: going through its lines for each would take quadratic time.

    `plain` has the keys of names that are written out; `patterns` are the other lines' names, hashed ones too.
    """

    plain: Mapping[str, tuple[KnownKey, ...]]
    patterns: tuple[tuple[str, KnownKey], ...]

    @classmethod
    def parse(cls, text: str) -> KnownHosts:
        """Read the text of a file; lines that cannot be read are passed over, as ssh does."""
        plain: dict[str, tuple[KnownKey, ...]] = {}
        patterns = []
        for line in text.splitlines():
            words = line.split()
            mark = words.pop(0) if words and words[0].startswith("@") else ""
            if len(words) < 3 or words[0].startswith("#") or mark not in {"", "@revoked"}:  # noqa: PLR2004 - names type key
                continue
            try:
                key = KnownKey(words[1], base64.b64decode(words[2], validate=True), revoked=bool(mark))
            except ValueError:  # not base64, or not even ASCII
                continue
            if set(words[0]) & set("*?!|"):
                patterns.append((words[0], key))
                continue
            for name in words[0].split(","):
                plain[name] = (*plain.get(name, ()), key)
        return cls(plain, tuple(patterns))

    def keys(self, name: str) -> tuple[KnownKey, ...]:
        """The keys by which a host is known."""
        return (*self.plain.get(name, ()), *(key for names, key in self.patterns if _matches(names, name)))


@lru_cache(maxsize=4)
def _read(file: Path, _inode: int, _size: int, _changed: int) -> KnownHosts:
    """The file as it is; whatever changes it changes one of the numbers, and so it is read again."""
    return KnownHosts.parse(userfile.content(file).decode(errors="replace"))


def _matches(patterns: str, name: str) -> bool:
    """Whether the first field of a line means `name`: patterns with `*` and `?`, `!` to exclude, or a hash."""
    if patterns.startswith("|1|"):
        return _hash_matches(patterns, name)
    matched = False
    for pattern in patterns.split(","):
        wanted = re.escape(pattern.removeprefix("!")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(wanted, name):
            if pattern.startswith("!"):
                return False
            matched = True
    return matched


def _hash_matches(field: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in field.split("|")[2:])
    except ValueError:  # not two parts, or not base64
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)


def key_algorithms(known: tuple[KnownKey, ...], offered: tuple[str, ...]) -> tuple[str, ...]:
    """`offered`, with those first whose keys are known: a host with several keys then shows one that we can check."""
    types = {key.type for key in known if not key.revoked}
    ours = [name for name in offered if name in types or ("ssh-rsa" in types and name in _RSA_SIGNATURES)]
    return (*ours, *(name for name in offered if name not in ours))


@dataclass(frozen=True, slots=True)
class HostKeyCheck(paramiko.MissingHostKeyPolicy):
    """Judges one host's key while connecting; Paramiko knows no keys itself and asks here every time.

    `host` is the inventory's name, `what` the machine in words ("the host 10.0.0.1").
    """

    host: str
    what: str
    address: str
    port: int
    file: Path
    accept_new: bool

    def known(self) -> tuple[KnownKey, ...]:
        """What the file has for this host; a file that is not there has nothing.

        Raises:
            TransportError: the file cannot be read.
        """
        try:
            now = self.file.stat()
            hosts = _read(self.file, now.st_ino, now.st_size, now.st_mtime_ns)
        except FileNotFoundError:
            return ()
        except (OSError, UnreadableError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise own_limit(error.__cause__ or error) or TransportError(
                self.host,
                f"cannot read known hosts from {self.file}: {reason}",
                hint="set ssh.known_hosts to use another file",
            ) from None
        return hosts.keys(entry_name(self.address, self.port))

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        """Accept the key, or raise TransportError: unknown, changed or revoked."""
        known = self.known()
        shown = KnownKey(key.get_name(), key.asbytes())
        if any(one.blob == shown.blob and one.revoked for one in known):
            raise TransportError(
                self.host,
                f"{self.what} presents a key that {self.file} marks as revoked: {_words(key)}",
                hint="give the host a new key: anyone who has the old one can impersonate it",
            )
        trusted = [one for one in known if not one.revoked]
        if shown in trusted:
            return
        if trusted:
            raise self._changed(key)
        if not self.accept_new:
            raise self._unknown(key)
        self._append(key)

    def _changed(self, key: paramiko.PKey) -> TransportError:
        name = entry_name(self.address, self.port)
        return TransportError(
            self.host,
            f"{self.what} has a different host key: it presents {_words(key)}, but {self.file} has another key for it",
            hint="this may be an attack. If the host was reinstalled, remove the old key: "
            f"ssh-keygen -f {self.file} -R '{name}'",
        )

    def _unknown(self, key: paramiko.PKey) -> UnknownHostError:
        port = "" if self.port == paramiko.config.SSH_PORT else f"-p {self.port} "
        return UnknownHostError(
            self.host,
            f"{self.what} is unknown: {self.file} has no key for {entry_name(self.address, self.port)}, "
            f"and it presents {_words(key)}",
            command=f"ssh-keyscan {port}{self.address} >> {self.file}",
            key=f"/etc/ssh/ssh_host_{key.get_name().removeprefix('ssh-').partition('-')[0]}_key.pub",
        )

    def _append(self, key: paramiko.PKey) -> None:
        """Add the key in one write under a lock, because all hosts of a cluster are met at the same time.

        Raises:
            TransportError: the file cannot be written.
        """
        line = f"{entry_name(self.address, self.port)} {key.get_name()} {key.get_base64()}\n".encode()
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                size = os.fstat(descriptor).st_size
                broken = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                os.write(descriptor, (b"\n" if broken else b"") + line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise own_limit(error) or TransportError(
                self.host,
                f"cannot add the host's key to {self.file}: {error.strerror}",
                hint="set ssh.known_hosts to use another file",
            ) from None


def _words(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"
