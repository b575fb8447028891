"""The data of a restore in its folder on this machine: etcd's snapshot, and the requests that write keys of API v2."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from k8s_installer.backup.etcd import DamagedError, keys, requests
from k8s_installer.errors import InputError
from k8s_installer.flows.restoring import begun
from k8s_installer.inventory import Cluster
from k8s_installer.model.resources import UploadedFile
from k8s_installer.pki import keyfiles
from k8s_installer.planning.etcd.restoring import Restore


def restore_of(cluster: Cluster, data: Path) -> Restore:
    """What the data in a folder restores: with the token of the restore of the same data that did not finish, if any.

    Raises:
        InputError: the data cannot be used.
    """
    snapshot = _uploaded(data / "v3.db")
    old = begun(cluster)
    token = old.token if old is not None and old.sha256 == snapshot.sha256 else ""
    return Restore(token or f"{cluster.name}-{secrets.token_hex(4)}", snapshot, _keys(data))


def data_of(cluster: Cluster, source: str) -> Path | None:
    """The data of a restore from this source that did not finish; None where there is none, or it is not whole.

    Raises:
        InputError: what is remembered of it cannot be read.
    """
    old = begun(cluster)
    if old is None or old.source != source or not (old.data / "v3.db").exists():
        return None
    return old.data if _uploaded(old.data / "v3.db").sha256 == old.sha256 else None


def _keys(data: Path) -> UploadedFile | None:
    """The requests that write the keys of API v2, if there are any."""
    path = data / "v2.json"
    if not path.exists():
        return None
    target = data / "v2.requests"
    try:
        # never in the place of one that is being uploaded
        keyfiles.write(data, target.name, requests(keys(path.read_bytes())))
    except DamagedError as error:
        raise InputError(f"the backup cannot be used: {error}") from None
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from None
    return _uploaded(target)


def _uploaded(path: Path) -> UploadedFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return UploadedFile(path, digest, file.tell(), 0o600, secret=True)
