"""What etcd's file says of its cluster and of its folders: the settings that count at a start. Pure.

It is ETCD_NAME=VALUE, as systemd reads it. What is not there has etcd's default.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from k8s_installer.host.paths import ETCD_DATA

_DEFAULT_NAME, _DEFAULT_URL, _DEFAULT_TOKEN = "default", "http://localhost:2380", "etcd-cluster"
_FIRST_START = ("ETCD_INITIAL_CLUSTER", "ETCD_INITIAL_CLUSTER_STATE")  # what is read at the first start alone


@dataclass(frozen=True, slots=True)
class Start:
    """With what a member is started: NAME=PEER-URL of every member, the token, and whether it joins those that are."""

    members: frozenset[str]
    token: str
    joins: bool

    def makes(self, other: Start) -> bool:
        """Whether both make the same cluster: etcd derives its id from these two."""
        return (self.members, self.token) == (other.members, other.token)

    def only_tls_differs(self, other: Start) -> bool:
        """Whether both start the only member of a cluster, one with TLS and one without.

        Nobody reaches an only member as a peer, so it may keep the URL of its first start. One of the two may have the
        name and the token that etcd has by default: without TLS a single member is given no others.
        """
        if not len(self.members) == len(other.members) == 1:
            return False
        names, urls = zip(*(member.partition("=")[::2] for member in (*self.members, *other.members)), strict=True)
        secured = {url.startswith("https:") for url in urls}
        tokens = {self.token, other.token}
        return len(secured) > 1 and len({*names} - {_DEFAULT_NAME}) <= 1 and len(tokens - {_DEFAULT_TOKEN}) <= 1


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a member has its data, and where its write-ahead log (`*.wal`); absolute paths."""

    data: str
    log: str

    def __str__(self) -> str:
        """The folders as its flags name them: that of the log only where it is not below the other."""
        return self.data if self.log == _log_below(self.data) else f"{self.data} and {self.log}"


def start(config: bytes) -> Start:
    """With what this file starts a member."""
    said = environment(config)
    members = said.get("ETCD_INITIAL_CLUSTER") or f"{said.get('ETCD_NAME') or _DEFAULT_NAME}={_DEFAULT_URL}"
    return Start(
        frozenset(item.strip() for item in members.split(",") if item.strip()),
        said.get("ETCD_INITIAL_CLUSTER_TOKEN") or _DEFAULT_TOKEN,
        joins=said.get("ETCD_INITIAL_CLUSTER_STATE") == "existing",
    )


def itself(config: bytes) -> tuple[str, str]:
    """The name of the member that this file starts, and its URL for the others."""
    said = environment(config)
    return said.get("ETCD_NAME") or _DEFAULT_NAME, said.get("ETCD_INITIAL_ADVERTISE_PEER_URLS") or _DEFAULT_URL


def as_started(config: bytes, before: bytes) -> bytes:
    """The file with the members of another one: a member that has data has them in that, and does not read these."""
    said = environment(before)
    return _with(config, {name: said.get(name) for name in _FIRST_START})


def joining(config: bytes, members: Iterable[str]) -> bytes:
    """The file of a member that joins those that etcd has: NAME=URL of each, itself among them."""
    return _with(config, dict(zip(_FIRST_START, (",".join(members), "existing"), strict=True)))


def _with(config: bytes, values: Mapping[str, str | None]) -> bytes:
    """The file with these variables where they stand, or at its end; one that is None has no line."""
    lines: list[str] = []
    rest = dict(values)
    for line in config.decode(errors="surrogateescape").split("\n"):
        name = line.partition("=")[0].strip()
        if name not in values:
            lines.append(line)
        elif (value := rest.pop(name, None)) is not None:
            lines.append(f'{name}="{value}"')
    more = [f'{name}="{value}"' for name, value in rest.items() if value is not None]
    lines[-1:-1] = more  # ahead of the empty end of the last line
    return "\n".join(lines).encode(errors="surrogateescape")


def folders(config: bytes) -> Folders:
    """Where this file puts a member's data and its log."""
    said = environment(config)
    data = said.get("ETCD_DATA_DIR") or f"{said.get('ETCD_NAME') or _DEFAULT_NAME}.etcd"
    data, log = _absolute(data), said.get("ETCD_WAL_DIR")
    return Folders(data, _absolute(log) if log else _log_below(data))


def listens(config: bytes) -> tuple[str, ...]:
    """The URLs at which clients reach the member that this file starts."""
    urls = environment(config).get("ETCD_LISTEN_CLIENT_URLS", "").split(",")
    return tuple(url.strip() for url in urls if url.strip())


def environment(config: bytes) -> dict[str, str]:
    """The variables of an EnvironmentFile, of which the last one counts."""
    lines = [line.strip() for line in config.decode(errors="replace").split("\n")]
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith(("#", ";"))]
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def _absolute(folder: str) -> str:
    return posixpath.normpath(posixpath.join(ETCD_DATA, folder))


def _log_below(data: str) -> str:
    return posixpath.join(data, "member/wal")
