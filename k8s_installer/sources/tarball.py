"""Kubernetes' server programs out of upstream's tarball: fetched and taken out once, and kept under its SHA-256.

`<cache>/programs/<sha256>/` is whole if it is there: the programs, and `record.json` with their sums. While it is, the
tarball itself is not opened any more, and need not be downloaded.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from platformdirs import user_cache_path

from k8s_installer.errors import Finding, InputError, InventoryError
from k8s_installer.inventory import Cluster, Tarball
from k8s_installer.model.resources import UploadedFile
from k8s_installer.profiles import Profile
from k8s_installer.render import Renderer

FOLDER = "kubernetes/server/bin/"  # of the tarball
_TAG = ".docker_tag"  # beside a program of the control plane: the tag of its image, which is the version
_RECORD = "record.json"
_CHUNK = 1 << 20
_SECONDS = 30.0  # in which a server must say something
_MODE = 0o755
_MB = 1e6

Say = Callable[[str], None]


def nothing(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class _Record:
    """What a tarball had of what was looked for: each program's sum and size, and each tag that tells a version."""

    programs: Mapping[str, tuple[str, int]]
    tags: Mapping[str, str]


class _WrongError(Exception):
    """What is wrong with a tarball, in words that follow its name."""


def remote(cluster: Cluster) -> bool:
    """Whether the programs come from a tarball that is not on this machine."""
    return cluster.tarball is not None and cluster.tarball.path is None


def programs(
    cluster: Cluster, profile: Profile, say: Say = nothing, cache: Path | None = None
) -> dict[str, UploadedFile]:
    """The server programs of a cluster by name, on this machine; none where packages bring them.

    Args:
        cluster: a checked inventory.
        profile: that of its version.
        say: receives progress.
        cache: where programs are kept, instead of the user's cache folder.

    Raises:
        InventoryError: the tarball cannot be had, or is not what the inventory says.
        InputError: there is no room for the programs.
    """
    tarball = cluster.tarball
    if tarball is None or profile.source(cluster) != "tarball":
        return {}
    wanted = [program for component in profile.components.values() for program in component.programs]
    place = (cache or user_cache_path("k8s-installer") / "programs") / tarball.sha256
    where = tarball.path or tarball.url or upstream(cluster, profile)
    try:
        with _locked(place.parent):
            record = _kept(place)
            if record is None or not record.programs.keys() >= set(wanted):
                record = _taken(tarball, where, wanted, place, say)
        _require(record, wanted, cluster.version)
    except _WrongError as error:
        raise InventoryError([_finding(cluster, f"{where} {error}")]) from None
    except OSError as error:
        raise InputError(f"cannot store programs below {place.parent}: {error.strerror}") from None
    return {name: UploadedFile(place / name, *record.programs[name], _MODE) for name in wanted}


def upstream(cluster: Cluster, profile: Profile) -> str:
    """Where upstream has the tarball of a cluster's version."""
    return Renderer(sandboxed=True).text(profile.tarball, {"cluster": cluster}, cluster.name, where="tarball")


def _finding(cluster: Cluster, words: str) -> Finding:
    return cluster.origin.finding(("cluster", "tarball"), f"cluster.tarball: {words}")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone in a folder: two runs that start together take the programs out once."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _kept(place: Path) -> _Record | None:
    """What an earlier run has kept; None where it is not there, or not whole."""
    try:
        data = json.loads((place / _RECORD).read_text(encoding="utf-8"))
        known = {name: (str(sha256), int(size)) for name, (sha256, size) in data["programs"].items()}
        whole = all((place / name).stat().st_size == size for name, (_, size) in known.items())
        return _Record(known, data["tags"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _taken(tarball: Tarball, where: str, wanted: Collection[str], place: Path, say: Say) -> _Record:
    with tempfile.TemporaryDirectory(prefix=".", dir=place.parent) as work:
        archive = Path(tarball.path) if tarball.path else Path(work) / "archive"
        came = _read(archive, say) if tarball.path else _downloaded(where, archive, say)
        if came != tarball.sha256:
            raise _WrongError(f"is a different file: its SHA-256 is {came}, not {tarball.sha256}")
        folder = Path(work) / "programs"
        folder.mkdir()
        record = _extracted(archive, frozenset(wanted), folder, say)
        text = json.dumps({"programs": record.programs, "tags": record.tags}, indent=2)
        (folder / _RECORD).write_text(text, encoding="utf-8")
        if place.exists():
            shutil.rmtree(place)
        folder.rename(place)
    return record


def _read(archive: Path, say: Say) -> str:
    say(f"reading {archive.name}")
    try:
        with archive.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _WrongError(f"cannot be read: {error.strerror}") from None


def _downloaded(url: str, archive: Path, say: Say) -> str:
    """Download a file; its SHA-256."""
    # these take long to load, and most runs download nothing
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    name = url.rsplit("/", 1)[-1]
    total = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - the schema lets http and https in
            size = int(answer.headers.get("Content-Length") or 0)
            with archive.open("wb") as target:
                while piece := answer.read(_CHUNK):
                    target.write(piece)
                    total.update(piece)
                    say(f"downloading {name}: {target.tell() / _MB:.0f} of {size / _MB:.0f} MB")
    except urllib.error.HTTPError as error:
        with error:  # it is an answer, too, and holds a connection
            raise _WrongError(f"cannot be downloaded: {error}") from None
    except (OSError, HTTPException) as error:
        raise _WrongError(f"cannot be downloaded: {error}") from None
    return total.hexdigest()


def _extracted(archive: Path, wanted: Collection[str], folder: Path, say: Say) -> _Record:
    """Take out the wanted regular files, by names of ours: nothing in the archive says where anything goes."""
    import gzip  # see `_downloaded`
    import tarfile
    import zlib

    programs: dict[str, tuple[str, int]] = {}
    tags: dict[str, str] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                path = member.name.removeprefix("./")
                name = path.removeprefix(FOLDER)
                stream = tar.extractfile(member) if path.startswith(FOLDER) and member.isreg() else None
                if stream is None:
                    continue
                if name in wanted:
                    say(f"unpacking {name} from {archive.name}")
                    programs[name] = _copied(stream, folder / name)
                elif name.removesuffix(_TAG) in wanted:
                    tags[name.removesuffix(_TAG)] = stream.read(_CHUNK).decode(errors="replace").strip()
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _WrongError(f"is not a readable tarball: {error}") from None
    return _Record(programs, tags)


def _copied(source: IO[bytes], target: Path) -> tuple[str, int]:
    total = hashlib.sha256()
    with target.open("wb") as copy:
        while piece := source.read(_CHUNK):
            copy.write(piece)
            total.update(piece)
        return total.hexdigest(), copy.tell()


def _require(record: _Record, wanted: Collection[str], version: str) -> None:
    missing = [name for name in wanted if name not in record.programs]
    if missing:
        raise _WrongError(f"has no {', '.join(missing)} in {FOLDER}: it is not the server tarball")
    others = sorted({tag for tag in record.tags.values() if tag != f"v{version}"})
    if others:
        raise _WrongError(f"is of Kubernetes {others[0]}, not v{version}")
