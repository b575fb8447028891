"""A restore that has begun, as this machine remembers it: its data and its token, until it is done.

They are in a folder beside the cluster's keys. From the moment that hosts may have been changed the folder has the
token: typed again the same restore resumes with it, and other commands that change the cluster say so first.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from k8s_installer.backup.etcd import DamagedError, keys, requests
from k8s_installer.errors import InputError, InstallerError
from k8s_installer.flows.resolve import state_folder
from k8s_installer.inventory import Cluster
from k8s_installer.model.resources import UploadedFile
from k8s_installer.planning.etcd.restoring import Restore
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Begun:
    """A restore that did not finish: its token, the sum of its snapshot, and where the data came from."""

    token: str
    sha256: str
    source: str


def folder(cluster: Cluster) -> Path:
    """Where a restore keeps what it needs on this machine."""
    return state_folder(cluster) / "restoring"


def begun(cluster: Cluster) -> Begun | None:
    """The restore that did not finish; None if there is none.

    Raises:
        InputError: what is remembered of it cannot be read.
    """
    path = folder(cluster) / "begun"
    try:
        data = json.loads(userfile.content(path))
        return Begun(str(data["token"]), str(data["sha256"]), str(data["source"]))
    except UnreadableError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return None
        raise InputError(f"cannot read {path}: {error}") from None
    except (ValueError, LookupError, TypeError):
        raise InputError(
            f"cannot read {path}: it is damaged", hint="remove it and restore the backup again, from its beginning"
        ) from None


def begin(cluster: Cluster, restore: Restore, source: str) -> None:
    """Remember a restore, before any host is changed.

    Raises:
        InputError: that cannot be written.
    """
    path = folder(cluster) / "begun"
    data = {"token": restore.token, "sha256": restore.snapshot.sha256, "source": source}
    new = path.with_suffix(".new")
    try:
        new.write_text(json.dumps(data) + "\n", encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def end(cluster: Cluster) -> None:
    """Forget it, and remove its data from this machine."""
    shutil.rmtree(folder(cluster), ignore_errors=True)


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
    """A folder for the data of a restore, which goes unless the restore has begun.

    Raises:
        InputError: it cannot be made.
    """
    path = folder(cluster)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    try:
        yield path
    finally:
        if not (path / "begun").exists():
            end(cluster)


def restore_of(cluster: Cluster, data: Path) -> Restore:
    """What the data in a folder restores: with the token of the restore of the same data that did not finish, if any.

    Raises:
        InputError: the data cannot be used.
    """
    snapshot = _uploaded(data / "v3.db")
    old = begun(cluster)
    token = old.token if old is not None and old.sha256 == snapshot.sha256 else ""
    return Restore(token or f"{cluster.name}-{secrets.token_hex(4)}", snapshot, _keys(data))


def has_data_of(cluster: Cluster, source: str) -> bool:
    """Whether a restore from this source did not finish, and its data is here, whole.

    Raises:
        InputError: what is remembered of it cannot be read.
    """
    old, path = begun(cluster), folder(cluster) / "v3.db"
    return old is not None and old.source == source and path.exists() and _uploaded(path).sha256 == old.sha256


def _keys(data: Path) -> UploadedFile | None:
    """The requests that write the keys of API v2, if there are any."""
    path = data / "v2.json"
    if not path.exists():
        return None
    target = data / "v2.requests"
    try:
        content = requests(keys(path.read_bytes()))
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
    except DamagedError as error:
        raise InputError(f"the backup cannot be used: {error}") from None
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from None
    return _uploaded(target)


def _uploaded(path: Path) -> UploadedFile:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return UploadedFile(path, digest.hexdigest(), size, 0o600, secret=True)
