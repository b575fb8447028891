"""The vocabulary: what a host can hold, what was seen of it, and the name by which each thing is known.

Desired resources (`Package`, `File`, `UploadedFile`, `Unit`, `Setting`, `Data`, `Gate`) say what the inventory asks
for. Seen ones (`SeenPackage`, `SeenFile`, `SeenUnit`, `SeenSetting`) say what a host answered. Where there is nothing
the answer is `Missing.ABSENT`; where the host could not be asked it is `Missing.UNKNOWN`, and the two are never mixed
up.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from pathlib import Path
from typing import NamedTuple, TypeGuard


class Kind(StrEnum):
    """The closed set of things that a plan can change, go by or wait for."""

    PACKAGE = "package"
    FILE = "file"
    UNIT = "unit"
    SETTING = "setting"
    DATA = "data"
    GATE = "gate"
    LEFTOVERS = "leftovers"
    RECORD = "record"


class Ref(NamedTuple):
    """The name of one resource: on which host, of what kind, called what (a file's name is its path).

    A tuple, for it is the key of every dictionary here: a dataclass hashes and compares in Python, six times as slow.
    """

    host: str
    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.host}: {self.kind} {self.name}"


class Missing(Enum):
    """Why there is nothing to show: the host has none, or the host could not be asked."""

    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Leaves:
    """What programs make on a host besides what was placed there, and leave when they end.

    `name` is that of the component, or the path of the file, that brings it. `folders` (and files) go with all that is
    in them, and what is mounted below them is unmounted first; those that were there before are somebody else's. `data`
    are those whose content cannot be made again: one that has folders or a log in it stays, also where it is below one
    of `folders`, unless it is one itself. Both may be patterns of a shell's. `links` are network interfaces, `routes`
    the protocols of routes, `units` what systemd runs for them. Of iptables, `chains` are names, which say whose a
    chain is: it goes with its rules and with the jumps to it. `rules` are other lines of iptables-save; those that were
    there before are somebody else's. Both are extended regular expressions, of the whole name and of the whole line.
    """

    name: str
    folders: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    @property
    def data_to_remove(self) -> tuple[str, ...]:
        """The data that is removed with the rest."""
        return tuple(path for path in self.data if path in self.folders)

    @property
    def data_that_stays(self) -> tuple[str, ...]:
        """The data that is spared."""
        return tuple(path for path in self.data if path not in self.folders)

    def without_data(self) -> Leaves:
        """The same, whose data stays."""
        return replace(self, folders=tuple(path for path in self.folders if path not in self.data))


@dataclass(frozen=True, slots=True)
class Package:
    """An installed RPM; an empty version means that any version will do.

    A version is `[EPOCH:]VERSION[-RELEASE]`; what it does not say may be any. `repo` is the pattern of the only
    repositories that it may come from; where it is empty, the host's own decide. `leaves` is what its programs leave.
    """

    name: str
    version: str = ""
    repo: str = ""
    leaves: Leaves | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class NoPackage:
    """An RPM that should not be installed. Where it is `in_use`, units go on with other programs under the same names.

    Its scripts, which would stop these units, are not run then.
    """

    in_use: bool = False


@dataclass(frozen=True, slots=True)
class File:
    """A file with these bytes, mode and owner. What is secret is never printed, diffed or saved in a plan.

    `made_of` names the keys and certificates of the PKI that are in it. Where one of these is not created yet `pending`
    says why it will be, and the content is a placeholder: such a file is planned, and never sent. `leaves` is what its
    readers make on the host because of it.
    """

    content: bytes = field(repr=False)
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    secret: bool = False
    made_of: tuple[str, ...] = field(default=(), repr=False, compare=False)
    pending: str = field(default="", repr=False, compare=False)
    leaves: Leaves | None = field(default=None, repr=False, compare=False)
    sha256: str = field(init=False, repr=False, compare=False)  # of the content, in hexadecimal

    def __post_init__(self) -> None:
        # once, and not whenever a host is compared: a file that all hosts share may have a line for each of them
        object.__setattr__(self, "sha256", hashlib.sha256(self.content).hexdigest())

    @property
    def new(self) -> str:
        """What a pending file will be, in words."""
        return "new certificate" if any(name.endswith(".crt") for name in self.made_of) else "new key"


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file whose bytes are too many for a plan: the local file `source` has them. It is never diffed.

    Two that say the same are equal wherever their bytes come from. No copy of a secret one is kept for other runs.
    """

    source: Path = field(repr=False, compare=False)
    sha256: str
    size: int
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    secret: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Backup:
    """A file as it was before a change: its host keeps those bytes, by their SHA-256, for a rollback."""

    sha256: str
    mode: int
    owner: str
    group: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Absent:
    """A path at which there should be nothing: what a rollback wants where a run made a file."""


@dataclass(frozen=True, slots=True)
class Original:
    """A path as it was before this program first wrote there: the host keeps those bytes; nothing if there were none.

    Where a package has brought a file of its own since, that stays. What is `secret` is never shown. `read_by` are
    units that have read the file, stay, and are no part of the plan: a later one restarts them.
    """

    secret: bool = False
    read_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd service that has read the files and runs the packages as they now are; or one that does not run.

    `defined_by` are paths of unit files and drop-ins (a change needs a daemon-reload), `reads` are paths of
    other files that the process reads at its start, `runs` are packages whose programs it runs. A change of
    any of the three is what makes a restart. One that is not wanted `active` is stopped, and one that is not wanted
    `enabled` does not start at a boot; a unit that the host does not have is both. `leaves` is what its program leaves.
    `cleared_by` are units that take away what this one has made when they start or stop: it restarts after them.
    """

    name: str
    defined_by: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    active: bool = True
    enabled: bool = True
    cleared_by: tuple[str, ...] = ()
    leaves: Leaves | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Setting:
    """A property of the host itself, now and from its next boot on; its name is FAMILY SUBJECT, or FAMILY alone.

    The families are a closed set: `host.families` says what each can be, how it is asked and how it is set. `uses` is a
    large file that setting it takes: it is staged on the host before, and the family removes it from there.
    """

    value: str
    uses: UploadedFile | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Data:
    """The folder of a write-ahead log, named by its path: looked at because starts depend on it, and never changed.

    It is seen where at least one segment of the log is in it; an empty folder is ABSENT. `unit` is the service whose
    data it is, `config` the path of the file that says with whom it was started. A service that was `added_later` may
    be younger than its clients: that one of them was started says nothing of it. `shown_by` are the components that
    start only in a cluster whose etcd answers, without asking etcd themselves.
    """

    unit: str
    config: str
    added_later: bool = False
    shown_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placed:
    """One thing that this program placed on a host, as the host's record has it.

    `component` is what it belongs to, and `group` whose turn it is in. Of a file `units` are those that read it or are
    defined by it, `sha256` is that of its bytes, and a `secret` one is never shown. `before` is what a setting was
    before it was first set, or how a unit was ("active enabled"; empty if there was none). What yum brought besides
    what it was asked for `came_with` those packages: dependencies, users. `leaves` is what a
    component's programs leave: only folders that were not there before. `cluster` is the cluster that it was placed
    for; a version that did not say so left it empty. `joined` says that `leaves` is the record's line joined with what
    is known now: it is written as it is, since what it leaves is there by now.
    """

    kind: Kind
    name: str
    component: str
    group: str = ""
    units: tuple[str, ...] = ()
    before: str = ""
    sha256: str = ""
    secret: bool = False
    came_with: tuple[str, ...] = ()
    leaves: Leaves | None = None
    cluster: str = ""
    joined: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Record:
    """The host's record of what was placed there has these entries, too: they were placed before there was a record.

    What is `gone` from the host without this program has no entry any more.
    """

    entries: tuple[Placed, ...] = ()
    gone: tuple[Placed, ...] = ()


@dataclass(frozen=True, slots=True)
class NoLeftovers:
    """Nothing is left of what programs made."""

    leaves: Leaves


class Check(StrEnum):
    """How the answer of a gate's URL is judged."""

    OK = "ok"  # the body is "ok": /healthz and /readyz of every Kubernetes program
    ANSWERS = "answers"  # any answer with status 200
    ETCD_HEALTH = "etcd-health"  # etcd's /health: {"health": "true"}
    ETCD_MEMBERS = "etcd-members"  # etcd's own list of its members is `expects`, and no member is in another cluster
    ETCD_AGREES = "etcd-agrees"  # all members of `expects` are in one cluster, and have the log that this one has
    NODE_READY = "node-ready"  # a Node object whose condition Ready is True
    POD_READY = "pod-ready"  # a list of pods, one of which is ready
    LEASE_HELD = "lease-held"  # a leader's lease that was renewed since this unit's process started
    LEASE_RENEWED = "lease-renewed"  # a leader's lease that is being renewed, by whichever process has it
    DRAINED = "drained"  # the drain of a node that this host runs has ended well


@dataclass(frozen=True, slots=True)
class Gate:
    """Real health, asked by curl on the host itself; polled until it holds or `deadline` seconds have passed.

    `unit` is the service whose status and journal are the evidence when the gate fails; it runs on
    `unit_host`, or where that is empty, on the gate's own host. `ca`, `cert` and `key` are paths on the gate's
    host; `key` is never read by us. `expects` is what the answer must list: for etcd, NAME=PEER-URL of each member.
    For a drain it is the node, and `url` has the list of the node's pods. A run continues after a gate that is not
    `required` and did not hold, and reports why it did not.
    """

    url: str
    check: Check
    unit: str
    ca: str = ""
    cert: str = ""
    key: str = ""
    unit_host: str = ""
    deadline: float = 60.0
    expects: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True, slots=True)
class SeenPackage:
    """An RPM as found: its version (%{VERSION}), release, time of installation (Unix seconds), and epoch if any."""

    version: str
    release: str
    installed_at: float
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file as found. `content` is there only when it differs from what was asked for and is not secret.

    So is `kept`, where the file is to come back: the bytes that the host kept of it. `original` is the sum of what was
    there before this program, where the host keeps that; there may be nothing at the path now (an empty sum).
    `obstacle` says why a change of it could not be undone ("is a symbolic link to ..."); it is empty if it could.
    An owner or group without a name is its number. `sealed` are sums of what a configuration of the encryption of
    Secrets has (`pki.encryption`), where it differs from what was asked for; `rendered` says that such a file has the
    header of this program.
    """

    sha256: str
    mode: int
    owner: str
    group: str
    modified_at: float
    content: bytes | None = field(default=None, repr=False)
    obstacle: str = ""
    kept: bytes | None = field(default=None, repr=False)
    original: str = ""
    sealed: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    rendered: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class SeenUnit:
    """A unit as systemd shows it; `started_at` is when its main process started (Unix seconds, 0 if never).

    `due_at` is when a run last changed something that it had read and that has no time to show for it (0 if never):
    a process that is older than that has to restart. `age` is how long ago it started, in seconds by the host's clock.
    """

    load: str
    active: str
    sub: str
    enabled: bool
    pid: int
    started_at: float
    needs_reload: bool
    due_at: float = 0.0
    age: float = field(default=math.inf, compare=False)

    @property
    def is_active(self) -> bool:
        """Whether systemd says that it runs: neither stopped, nor failed, nor on its way."""
        return self.active == "active"


def runs(unit: Seen | None) -> TypeGuard[SeenUnit]:
    """Whether a unit was seen running."""
    return isinstance(unit, SeenUnit) and unit.is_active


@dataclass(frozen=True, slots=True)
class SeenSetting:
    """A setting as found: one word, or `A now, B at boot` where the next boot would change it."""

    value: str


@dataclass(frozen=True, slots=True)
class SeenRecord:
    """What the host's record has."""

    entries: tuple[Placed, ...]


@dataclass(frozen=True, slots=True)
class SeenLeftovers:
    """What there is of what a component's programs leave: paths, interfaces, chains.

    `stays` are the folders of data that stays there, and `owners` the users and groups of all such data.
    """

    names: tuple[str, ...]
    owners: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()


Resource = (
    Package
    | NoPackage
    | File
    | UploadedFile
    | Backup
    | Absent
    | Original
    | Unit
    | Setting
    | Data
    | Gate
    | NoLeftovers
    | Record
)
Seen = SeenPackage | SeenFile | SeenUnit | SeenSetting | SeenRecord | SeenLeftovers | Missing
