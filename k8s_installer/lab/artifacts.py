"""Results that are expensive to make, kept by the digest of what they were made from.

`<cache>/artifacts/<stage>-<digest>/` is complete if it exists: it is made in a sibling folder and renamed at
the end, so a crash leaves no half of one; a lock per artefact lets two labs that start together make it once.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

DIGEST_LENGTH = 16
_CHUNK = 1 << 20


def data_folder() -> Path:
    """Return the folder of the lab's data files (spec files, units, wrappers); the package is never zipped."""
    return Path(str(files("k8s_installer.lab"))) / "data"


def digest_of(inputs: Iterable[str]) -> str:
    """Return a short digest of texts, in which neither order nor boundaries can be confused.

    >>> digest_of(["ab", "c"]) == digest_of(["a", "bc"])
    False
    """
    total = hashlib.sha256()
    for text in inputs:
        data = text.encode()
        total.update(f"{len(data)}:".encode())
        total.update(data)
    return total.hexdigest()[:DIGEST_LENGTH]


def digest_of_files(folder: Path) -> str:
    """Return a digest of every file below `folder`: relative name, mode's executable bit, content or target."""
    words: list[str] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if "__pycache__" in path.parts:
            continue
        if path.is_symlink():
            words += ["link", name, str(path.readlink())]
        elif path.is_file():
            words += ["file", name, str(path.stat().st_mode & 0o111 != 0), digest_of_file(path)]
    return digest_of(words)


def digest_of_file(path: Path) -> str:
    """Return the sha256 of one file's content, read in pieces (programs have 100 MB)."""
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            total.update(piece)
    return total.hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` (made if absent) across processes; waits for as long as it takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def artifact(cache: Path, stage: str, inputs: Iterable[str], make: Callable[[Path], None]) -> Path:
    """Return the folder of an artefact, making it first if it is not there.

    Args:
        cache: the user's cache folder of this project.
        stage: the readable part of its name.
        inputs: everything that decides its content; another digest is another artefact.
        make: fills the empty folder that it is given; whatever it raises leaves no artefact behind.
    """
    folder = cache / "artifacts"
    name = f"{stage}-{digest_of(inputs)}"
    target = folder / name
    if target.is_dir():
        return target
    with locked(cache / "locks" / name):
        if target.is_dir():
            return target
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f".{name}.*"):  # of a run that was killed: the lock says nobody is at it
            shutil.rmtree(leftover)
        temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=folder))
        temporary.chmod(0o755)
        try:
            make(temporary)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        temporary.rename(target)
    return target
