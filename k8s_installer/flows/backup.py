"""`backup`: etcd's data, the cluster's keys and the inventory as one file that `restore` takes."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from k8s_installer import backup as file
from k8s_installer.backup import archive, etcd
from k8s_installer.backup.etcd import DamagedError
from k8s_installer.backup.manifest import Manifest, is_name
from k8s_installer.backup.sealed import UnsealError
from k8s_installer.errors import CommandFailed, HostError, HostsError, InputError, InstallerError
from k8s_installer.flows import resolve
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.session import Session, opened
from k8s_installer.host import snapshot
from k8s_installer.host.snapshot import Holds
from k8s_installer.inventory import Cluster
from k8s_installer.model.resources import Gate
from k8s_installer.pki import ROOTS
from k8s_installer.planning.etcd.restoring import Member, members
from k8s_installer.profiles import Profile
from k8s_installer.transport import Transport
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.answers import understood
from k8s_installer.untrusted.userfile import UnreadableError

_ASK_SECONDS = 60.0
_LARGEST = 1 << 30  # bytes of API v2's answer, which is read into memory
_IDLE_SECONDS = 300.0  # etcd writes a snapshot of gigabytes before the first byte comes

Passphrase = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Source:
    """Who gives etcd's data: a member, and what it has."""

    member: Member
    holds: Holds


def backup(inputs: Inputs, target: Path, passphrase: Passphrase | None, reporter: Reporter) -> Manifest:
    """Write a backup, and read it back; what it says of itself.

    Args:
        inputs: the files that the command is about.
        target: the file to write; it is there whole, or as it was before.
        passphrase: gives what it is sealed with; it is not sealed where this is None.
        reporter: receives notes and progress.

    Raises:
        InputError: the file cannot be made, or keys of the cluster are not on this machine.
        InstallerError: no member of etcd answers, or what it gave is damaged.
    """
    phrase = passphrase() if passphrase is not None else None
    with opened(inputs, reporter, download=False, opens=False) as session:
        own = _own(inputs.inventory, session.cluster, session.profile)
        with archive.target(target) as sink, _unnamed(target) as v3, _unnamed(target) as v2:
            asked = members(resolve.desire(session.cluster, session.profile, inputs.templates, None).desired)
            source, nodes = _fetched(session, _sources(session, asked, reporter), v3, v2, reporter)
            data = {file.V3: v3, **({file.V2: v2} if nodes else {})}
            parts = [file.Part(name, io.BytesIO(content)) for name, content in own.items()]
            parts += [file.Part(name, content) for name, content in data.items()]
            made = _manifest(session.cluster, source, nodes, parts)
            with reporter.working(f"writing {target}"):
                file.write(sink, made, parts, phrase)
            with reporter.working(f"reading {target} back"):
                _require_readable(sink, phrase)
    return made


def _manifest(cluster: Cluster, source: Source, nodes: int, parts: Sequence[file.Part]) -> Manifest:
    return Manifest(
        cluster=cluster.name,
        version=cluster.version,
        created=datetime.now(UTC),
        member=source.member.host,
        etcd=source.holds.version,
        revision=source.holds.revision,
        keys=source.holds.keys,
        keys_v2=nodes,
        files=tuple(map(archive.entry, parts)),
    )


def _own(inventory: Path, cluster: Cluster, profile: Profile) -> dict[str, bytes]:
    """The cluster's files on this machine: the inventory, what is allocated, and the keys.

    Raises:
        InputError: keys that the cluster cannot do without are not here.
    """
    lacking = [name for name in ROOTS if name in resolve.present_keys(cluster, profile).pending]
    if lacking:
        raise InputError(
            f"keys of the cluster are not on this machine ({', '.join(lacking)}): a backup without them is of no use",
            hint="get them from the masters: k8s-installer keys recover -i INVENTORY",
        )
    folder = resolve.pki_folder(cluster)
    keys = {f"{file.KEYS}{path.relative_to(folder).as_posix()}": path for path in sorted(folder.rglob("*"))}
    paths = {
        file.INVENTORY: inventory,
        file.ALLOCATIONS: resolve.state_folder(cluster) / resolve.RECORD,
        **{name: path for name, path in keys.items() if is_name(name)},
    }
    try:
        return {name: userfile.content(path) for name, path in paths.items() if path.is_file()}
    except UnreadableError as error:
        raise InputError(f"cannot read {folder}: {error}") from None


@contextmanager
def _unnamed(target: Path) -> Iterator[BinaryIO]:
    """A file on the target's disk that nobody else sees, and that is gone however this ends."""
    with tempfile.TemporaryFile(dir=target.resolve().parent) as unnamed:
        yield unnamed


def _sources(session: Session, asked: Mapping[str, Member], reporter: Reporter) -> list[Source]:
    """The members that can give their data: those that answer with the quorum, by name.

    Raises:
        InstallerError: none can.
    """
    answers = session.ask(asked.keys(), lambda way: _holds(way, asked[way.host].gate))
    able = {host: found for host, found in answers.items() if isinstance(found, Holds)}
    silent = [found for found in answers.values() if isinstance(found, HostError)]
    if not able:
        words = HostsError(silent).message
        raise InstallerError(
            f"no member of etcd can give a snapshot:\n{words}",
            hint="k8s-installer status -i INVENTORY says how etcd is; if its quorum is lost: docs/backup.md",
        )
    for error in silent:
        reporter.warn(f"another member is asked: {error.message}")
    return [Source(asked[host], able[host]) for host in sorted(able)]


def _holds(way: Transport, gate: Gate) -> Holds:
    result = way.run(snapshot.holds_script(gate), timeout=_ASK_SECONDS)
    return understood(way.host, lambda: snapshot.holds(result.stdout))


def _fetched(
    session: Session, sources: Sequence[Source], v3: BinaryIO, v2: BinaryIO, reporter: Reporter
) -> tuple[Source, int]:
    """Get both APIs' data into these files from the first of these members that gives it; how many keys the older has.

    Raises:
        CommandFailed: none of them gives it.
    """
    *others, last = sources
    for source in others:
        try:
            return source, _given(session, source.member, v3, v2, reporter)
        except HostError as error:  # such as one whose disk has no room for a snapshot
            reporter.warn(f"another member is asked: {error.message}")
            emptied(v3, v2)
    return last, _given(session, last.member, v3, v2, reporter)


def _given(session: Session, member: Member, v3: BinaryIO, v2: BinaryIO, reporter: Reporter) -> int:
    """Get both APIs' data of a member into these files; how many keys the older one has."""
    fetch(session, member, snapshot.save_script(member.gate, member.data), v3, reporter)
    fetch(session, member, snapshot.keys_script(member.gate), v2, reporter)
    v2.seek(0)
    answer = v2.read(_LARGEST + 1)
    if len(answer) > _LARGEST:
        raise InstallerError(f"{member.host}: its answer with the keys of etcd's API v2 is over {_LARGEST >> 20:,} MB")
    try:
        return len(etcd.keys(answer)) if answer else 0
    except DamagedError as error:
        raise InstallerError(f"{member.host}: {error}") from None


def emptied(*files: BinaryIO) -> None:
    """Take back what a member gave that did not give all."""
    for one in files:
        one.seek(0)
        one.truncate()


def fetch(session: Session, member: Member, script: str, target: BinaryIO, reporter: Reporter) -> None:
    """Read a member's data into a file.

    Raises:
        CommandFailed: it gives none.
    """
    way = session.through(session.connections.lines[member.host])
    with reporter.working(f"reading etcd's data from {member.host}") as working:

        def tell(count: int) -> None:
            working(f"reading etcd's data from {member.host}: {count / 1e6:.1f} MB")

        result = way.download(script, target, idle=_IDLE_SECONDS, on_saved=tell)
    if result.status != 0:
        raise CommandFailed(member.host, "reading etcd's data", result.status, "", result.stderr)


def _require_readable(sink: BinaryIO, phrase: bytes | None) -> None:
    """Read back what was written, to its last byte.

    Raises:
        InstallerError: it is not what was written.
    """
    sink.flush()
    try:
        archive.checked(sink, lambda: phrase or b"")
    except (DamagedError, UnsealError) as error:
        raise InstallerError(f"the backup that was written cannot be used: {error}", hint="check the disk") from None
