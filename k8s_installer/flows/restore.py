"""`restore`: an `apply` that also replaces etcd's data, by that of a backup or of one member."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from k8s_installer import backup as archive
from k8s_installer import pki
from k8s_installer.backup import Backup
from k8s_installer.backup.etcd import DamagedError, with_hash
from k8s_installer.desired.certificates import leaves
from k8s_installer.errors import CommandFailed, InputError, InstallerError
from k8s_installer.flows import resolve, restoredata, restoring
from k8s_installer.flows.apply import Around, Options, apply
from k8s_installer.flows.backup import emptied, fetch
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.output import PRIVATE, write
from k8s_installer.flows.plan import Planned
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import Resolved
from k8s_installer.flows.session import Session, opened
from k8s_installer.host import snapshot
from k8s_installer.inventory import Cluster, read_allocations
from k8s_installer.inventory.allocations import NONE
from k8s_installer.model.run import Run
from k8s_installer.planning.etcd.restoring import ETCD, Member, Restore, left, members, restored
from k8s_installer.profiles import Profile

Passphrase = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Source:
    """Where etcd's data comes from: the file of a backup, or a member that has it; one of the two is empty."""

    file: Path | None = None
    member: str = ""

    def __str__(self) -> str:
        """As it was given on the command line."""
        return f"--from-member {self.member}" if self.file is None else str(self.file)

    @property
    def typed(self) -> str:
        """As it can be typed in any folder."""
        return f"--from-member {self.member}" if self.file is None else shlex.quote(str(self.file.absolute()))


def restore(options: Options, reporter: Reporter, source: Source, passphrase: Passphrase, *, name: str = "") -> Outcome:
    """Replace etcd's data on all members of the inventory, and make the cluster what the inventory says.

    Args:
        options: the user's request.
        reporter: receives notes, the plan, progress and the result.
        source: where the data comes from.
        passphrase: gives the pass phrase of a backup that is sealed.
        name: the cluster's name, as the user gave it for consent; a person is asked for it where this is empty.

    Raises:
        InputError: the backup cannot be read, or is another cluster's; or the name is.
    """
    cluster, profile = resolve.checked(options.inputs.inventory)
    if name and name != cluster.name:
        raise InputError(f"--name {name}: the inventory is that of the cluster {cluster.name}")
    with restoring.place(cluster) as folder, ExitStack() as undo:
        rejects_tokens = False
        if source.file is not None:
            with reporter.working(f"reading {source}"):
                found = archive.read(source.file, passphrase, folder)
            _require_own(found, cluster, source)
            before = _own_files(cluster)
            try:
                rejects_tokens = _take_keys(found, cluster, profile, reporter)
            finally:
                undo.callback(_put_back, cluster, before, _own_files(cluster))
            _say(found, reporter)
        elif (data := restoredata.data_of(cluster, source.typed)) is not None:  # the member's own may be half replaced
            reporter.say(f"the data read from {source.member} for this restore is in {data}: it is used")
            folder = data  # noqa: PLW2901 - the other one stays empty, and goes
        else:
            _from_member(options, source.member, folder, reporter)
        asked = replace(restoredata.restore_of(cluster, folder), replaces_pods=not rejects_tokens)

        def begins() -> None:
            restoring.begin(cluster, asked, source.typed)
            undo.pop_all()

        outcome = _carried_out(cluster, options, reporter, asked, begins)
        if outcome is Outcome.DONE:  # also where nothing was to be changed any more
            undo.pop_all()
            restoring.end(cluster)
        return outcome


def _carried_out(
    cluster: Cluster, options: Options, reporter: Reporter, asked: Restore, begins: Callable[[], None]
) -> Outcome:
    def change(whole: Resolved) -> Resolved:
        wanted = restored(whole.desired, asked)
        return replace(whole, desired=wanted.desired, whole=wanted.desired, restores=wanted)

    def consent(reporter: Reporter, wanted: Resolved) -> bool:
        name = wanted.cluster.name
        return reporter.ask(f"Type the name of the cluster ({name}) to replace etcd's data: ").strip() == name

    def ends(found: Planned, run: Run) -> None:
        rest = left(found.plan, run)
        if rest is None:
            return
        restoring.end(cluster)
        if rest or found.seen.unreachable:
            reporter.warn(_rest(sorted({*rest, *found.seen.unreachable})))

    def closing(found: Planned) -> tuple[str, ...]:
        return _closing(found, asked)

    return apply(replace(options, around=Around(begins, ends)), reporter, change, consent, closing)


def _rest(hosts: Sequence[str]) -> str:
    return (
        f"etcd's data is restored, and the restore has ended; apply does the rest on {', '.join(hosts)}, where cached"
        " objects may be newer than the restored ones: systemctl restart kubelet kube-proxy, and then replace the pods"
        " of cluster DNS"
    )


def _closing(found: Planned, asked: Restore) -> tuple[str, ...]:
    """What stays, and what only people can do."""
    having = members(found.wanted.asked)
    folders = ", ".join(sorted({f"{member.data}/before-{asked.token}" for member in having.values()}))
    old = f"The data that was there before is kept on {', '.join(having)} in {folders}: remove it when nobody needs it."
    return (
        old,
        "Pods of your own that watch the API may miss changes: restart them.",
    )


def _require_own(found: Backup, cluster: Cluster, source: Source) -> None:
    """Stop where a backup is of another cluster or of another minor version.

    Raises:
        InputError: it is.
    """
    made = found.manifest
    if made.cluster != cluster.name:
        raise InputError(
            f"{source} is a backup of the cluster {made.cluster}, and the inventory is that of {cluster.name}",
            hint="use the inventory of that cluster; a cluster cannot be renamed by a restore",
        )
    if made.version.split(".")[:2] != cluster.version.split(".")[:2]:
        raise InputError(
            f"{source} was made with Kubernetes {made.version}, and the inventory has {cluster.version}",
            hint=f'set version: "{made.version}" in the inventory; upgrade after the restore',
        )


def _take_keys(found: Backup, cluster: Cluster, profile: Profile, reporter: Reporter) -> bool:
    """Put the keys of a backup into the local folder, where local ones stay; and what is allocated.

    Returns:
        Whether the API server will reject the tokens in the backup.

    Raises:
        InputError: Secrets in the backup could not be read beside those that are here.
    """
    if resolve.recorded(cluster) == NONE and archive.ALLOCATIONS in found.files:
        try:
            resolve.keep(cluster, read_allocations(found.files[archive.ALLOCATIONS].decode()))
        except ValueError as error:
            raise InputError(f"what is allocated cannot be read from the backup: {error}") from None
    needed = leaves(cluster, profile)
    if not needed:
        return False
    filled = pki.fill_from_backup(resolve.pki_folder(cluster), needed, found.keys, found.manifest.created)
    for note in filled.notes:
        reporter.warn(note)
    if filled.written:
        reporter.say(f"{len(filled.written)} keys and certificates written to {resolve.pki_folder(cluster)}")
    return filled.rejects_tokens


def _own_files(cluster: Cluster) -> dict[Path, bytes]:
    """What this machine has of the cluster's keys and allocations.

    Raises:
        InputError: it cannot be read.
    """
    paths = [resolve.state_folder(cluster) / resolve.RECORD, *resolve.pki_folder(cluster).rglob("*")]
    try:
        return {path: path.read_bytes() for path in paths if path.is_file()}
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from None


def _put_back(cluster: Cluster, before: Mapping[Path, bytes], after: Mapping[Path, bytes]) -> None:
    """Take out of the local folder what was taken from a backup whose restore did not begin.

    The plan needed it. Where another command has changed something there since, it may use these keys: all stays.
    """
    if _own_files(cluster) != after:
        return
    for path in after.keys() - before.keys():
        path.unlink(missing_ok=True)
    for path, content in before.items():
        if after.get(path) != content:
            write(path, content, PRIVATE)


def _say(found: Backup, reporter: Reporter) -> None:
    made = found.manifest
    keys = f"{made.keys:,} keys" + (f", and {made.keys_v2:,} of API v2" if made.keys_v2 else "")
    reporter.say(f"backup of {made.cluster} from {made.created:%Y-%m-%d %H:%M:%S} UTC: {keys}")


def _from_member(options: Options, host: str, folder: Path, reporter: Reporter) -> None:
    """Get the data of one member, whether or not the others answer: what it gives out, or its file.

    Raises:
        InputError: there is no such member.
        InstallerError: it gives nothing out.
    """
    with opened(options.inputs, reporter, download=False, opens=False) as session:
        asked = members(resolve.desire(session.cluster, session.profile, options.inputs.templates, None).desired)
        if host not in asked:
            raise InputError(f"--from-member {host}: the members of etcd are {', '.join(asked)}")
        with _private(folder / "v3.db") as v3, _private(folder / "v2.json") as v2:
            if not _given_out(session, asked[host], v3, v2, reporter):
                _copied(session, asked[host], v3, reporter)
            empty = not v2.tell()
    if empty:
        (folder / "v2.json").unlink()


def _private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w+b")


def _given_out(session: Session, member: Member, v3: BinaryIO, v2: BinaryIO, reporter: Reporter) -> bool:
    """Get what a member that runs gives out, without asking the others; whether it runs."""
    try:
        fetch(session, member, snapshot.save_script(member.gate, member.data), v3, reporter)
        fetch(session, member, snapshot.keys_script(member.gate, quorum=False), v2, reporter)
    except CommandFailed as error:
        reporter.warn(f"{error.message}: its file is copied instead")
        emptied(v3, v2)
        return False
    return True


def _copied(session: Session, member: Member, v3: BinaryIO, reporter: Reporter) -> None:
    try:
        fetch(session, member, snapshot.copy_script(ETCD, member.data, member.log), v3, reporter)
        with_hash(v3)
    except CommandFailed as error:
        hint = f"systemctl stop {ETCD} on {member.host}, then run this again" if error.status == snapshot.RUNS else ""
        raise InstallerError(error.message, hint=hint or "try another member, or restore a backup") from None
    except DamagedError as error:
        raise InstallerError(f"{member.host}: {error}", hint="try another member, or restore a backup") from None


def check(path: Path, passphrase: Passphrase, folder: Path | None, reporter: Reporter) -> Backup:
    """Read a whole backup; no host is asked. All but etcd's data is written to `folder`, if there is one.

    Raises:
        InputError: it cannot be used, or a file that is in it exists there already.
    """
    with reporter.working(f"reading {path}"):
        found = archive.read(path, passphrase)
    if folder is not None:
        there = [name for name in found.files if (folder / name).exists()]
        if there:
            raise InputError(f"{folder / there[0]} exists already", hint="unpack into an empty folder")
        for name, content in found.files.items():
            write(folder / name, content, PRIVATE)
    return found
