"""A restore that has begun, as this machine remembers it: its data and its token, until it is done.

Each restore has a folder of its own beside the cluster's keys, so one that waits for an answer, or for the lock, is in
nobody's way. From the moment that hosts may have been changed `begun` names that folder: typed again the same restore
resumes with its token, and other commands that change the cluster say so first.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from k8s_installer.errors import InputError, InstallerError
from k8s_installer.flows.resolve import state_folder
from k8s_installer.inventory import Cluster
from k8s_installer.pki import keyfiles
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

if TYPE_CHECKING:
    from k8s_installer.planning.etcd.restoring import Restore


@dataclass(frozen=True, slots=True)
class Begun:
    """A restore that did not finish: its token, the sum of its snapshot, where its data came from, and where it is."""

    token: str
    sha256: str
    source: str
    data: Path


def folder(cluster: Cluster) -> Path:
    """Where restores keep what they need on this machine."""
    return state_folder(cluster) / "restoring"


def begun(cluster: Cluster) -> Begun | None:
    """The restore that did not finish; None if there is none.

    Raises:
        InputError: what is remembered of it cannot be read.
    """
    path = folder(cluster) / "begun"
    try:
        data = json.loads(userfile.content(path))
        place = path.with_name(Path(str(data["data"])).name)
        return Begun(str(data["token"]), str(data["sha256"]), str(data["source"]), place)
    except UnreadableError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return None
        raise InputError(f"cannot read {path}: {error}") from None
    except (ValueError, LookupError, TypeError):
        raise InputError(
            f"cannot read {path}: it is damaged", hint="remove it and restore the backup again, from its beginning"
        ) from None


def begin(cluster: Cluster, restore: Restore, source: str) -> None:
    """Remember a restore, before any host is changed; the data of one that did not finish goes.

    Args:
        cluster: the inventory; its lock is held.
        restore: the restore, whose data is in a folder that `place` gave, or that of one that did not finish.
        source: where the data came from, as words of the command line.

    Raises:
        InputError: that cannot be written, or another restore has taken this one's place.
    """
    path, place, old = folder(cluster) / "begun", restore.snapshot.source.parent, begun(cluster)
    if not restore.snapshot.source.exists():
        raise InputError("another restore began meanwhile; this one changed nothing", hint="run it again to replace it")
    data = {"token": restore.token, "sha256": restore.snapshot.sha256, "source": source, "data": place.name}
    try:
        keyfiles.write(path.parent, path.name, f"{json.dumps(data)}\n".encode())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    if old is not None and old.data != place:
        shutil.rmtree(old.data, ignore_errors=True)


def end(cluster: Cluster) -> None:
    """Forget the restore that began, and remove its data from this machine.

    Raises:
        InputError: it cannot be forgotten.
    """
    old, path = begun(cluster), folder(cluster) / "begun"
    if old is not None:
        try:
            path.unlink()
        except OSError as error:
            raise InputError(f"cannot remove {path}: {error.strerror}") from None
        shutil.rmtree(old.data, ignore_errors=True)
    with suppress(OSError):  # another restore waits for its answer
        folder(cluster).rmdir()


def require_none(cluster: Cluster) -> None:
    """Stop where a restore did not finish: hosts may have data of two clusters.

    Raises:
        InstallerError: one did not.
    """
    found = begun(cluster)
    if found is not None:
        raise InstallerError(
            f"a restore from {found.source} did not finish; nothing was changed",
            hint=f"finish it: k8s-installer restore {found.source} -i INVENTORY\n"
            f"or restore another backup; if etcd was repaired by hand, remove {folder(cluster)}",
        )


@contextmanager
def place(cluster: Cluster) -> Iterator[Path]:
    """A folder for the data of one restore, which goes unless that has begun; so do those that were left by a kill.

    Raises:
        InputError: it cannot be made.
    """
    root = folder(cluster)
    _sweep(root, begun(cluster))
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(dir=root))
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"cannot write {root}: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # the kernel ends it with the process, however that ends
        yield path
    finally:
        os.close(handle)
        if not has_begun(cluster, path):
            shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            root.rmdir()


def _sweep(root: Path, old: Begun | None) -> None:
    """Remove the folders that nobody holds, but for that of the restore which began."""
    for path in root.glob("*/"):
        if old is not None and path == old.data:
            continue
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


def has_begun(cluster: Cluster, data: Path) -> bool:
    """Whether the restore with its data in this folder is the one that began, and did not end."""
    with suppress(InputError):
        old = begun(cluster)
        return old is not None and old.data == data
    return False
