"""A bundle that is there: verified, taken apart into the user's cache, and what of it each host gets."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from k8s_installer.bundle import images, manifest, repodata
from k8s_installer.bundle.closure import Closure, Offers, closure
from k8s_installer.bundle.create import packages_of
from k8s_installer.bundle.manifest import Entry, Manifest
from k8s_installer.bundle.repodata import Rpm
from k8s_installer.bundle.store import Say, Store, nothing
from k8s_installer.desired.bundled import Archive, Media, Repository
from k8s_installer.errors import InputError
from k8s_installer.inventory import Cluster, Role
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import UploadedFile
from k8s_installer.profiles import Profile

_LARGEST_MANIFEST = 64 << 20
_LARGEST_HEADER = 1 << 16  # bytes of a member's long name or attributes
_TYPES = (*tarfile.SUPPORTED_TYPES, tarfile.XHDTYPE, tarfile.XGLTYPE)
_MOST_ENTRIES = 20_000
_AGAIN = "copy it again, or create it again with k8s-installer bundle create"


class _Whole:
    """A member's bytes on their way, counted and summed."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.total, self.size = stream, hashlib.sha256(), 0

    def read(self, count: int) -> bytes:
        piece = self._stream.read(count)
        self.total.update(piece)
        self.size += len(piece)
        return piece


class _Member(tarfile.TarInfo):
    """A plain file of an archive: what says more of itself than it has, or is a sparse file, is none of ours.

    A header may announce names of gigabytes, which tarfile would read into memory, and a map of holes that makes
    terabytes of nothing.
    """

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError(f"{self.name} is a sparse file")
        if self.type not in _TYPES or (not self.isreg() and self.size > _LARGEST_HEADER):
            raise tarfile.ReadError(f"{self.name} is not a plain file")
        made: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]
        if made.issparse():
            raise tarfile.ReadError(f"{made.name} is a sparse file")
        return made


def verify(path: Path, say: Say = nothing, pinned: str = "") -> Manifest:
    """Read a whole bundle and compare every file of it with the manifest; nothing is written.

    Args:
        path: where it is.
        say: hears how far it is.
        pinned: the SHA-256 that its manifest must have; any, where this is empty.

    Raises:
        InputError: it cannot be read, is not as it was made, or is not the one that is pinned.
    """
    found, _ = _walked(path, None, say, pinned)
    return found


def _walked(path: Path, store: Store | None, say: Say, pinned: str) -> tuple[Manifest, str]:
    """Compare all, and with a store keep all; the manifest, and its sum."""
    size = _stamp(path)[2]
    try:
        with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:", tarinfo=_Member) as tar:
            made, digest = _head(tar, path)
            _require_pinned(path, digest, pinned)
            _require_moderate(path, made, size, store)
            left = {entry.name: entry for entry in made.entries()}
            done = 0
            while (member := tar.next()) is not None:
                source = tar.extractfile(member) if member.isreg() else None
                entry = left.pop(member.name, None)
                if entry is None or source is None:
                    raise InputError(f"{path} is damaged: {member.name} does not belong in it", hint=_AGAIN)
                if member.size != entry.size:
                    raise InputError(f"{path} is damaged: {entry.name} has the wrong size", hint=_AGAIN)
                say(f"verifying {path.name}: {done / 1e6:.0f} of {made.size / 1e6:.0f} MB")
                whole = _Whole(source)
                if store is None or store.has(("sha256", entry.sha256), entry.size):
                    while whole.read(1 << 20):
                        pass
                else:
                    store.take(whole)
                if (whole.total.hexdigest(), whole.size) != (entry.sha256, entry.size):
                    raise InputError(f"{path} is damaged: the content of {entry.name} was changed", hint=_AGAIN)
                done += entry.size
            if left:
                raise InputError(f"{path} is damaged: {next(iter(left))} is missing or truncated", hint=_AGAIN)
            return made, digest
    except (
        tarfile.TarError,
        ValueError,
        OverflowError,
        EOFError,
    ) as error:  # tarfile's words for numbers that are none
        raise InputError(f"{path} is not a bundle, or is damaged: {error}", hint=_AGAIN) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint="k8s-installer bundle create -o FILE") from None


def _head(tar: tarfile.TarFile, path: Path) -> tuple[Manifest, str]:
    """The manifest, which stands first, and its sum."""
    texts = []
    for name in (manifest.NAME, manifest.SUM):
        member = tar.next()
        stream = tar.extractfile(member) if member is not None and member.name == name and member.isreg() else None
        if stream is None:
            raise InputError(f"{path} is not a bundle: it does not start with {name}", hint=_AGAIN)
        texts.append(stream.read(_LARGEST_MANIFEST))
    digest = hashlib.sha256(texts[0]).hexdigest()
    if texts[1].decode(errors="replace") != f"{digest}  {manifest.NAME}\n":
        raise InputError(f"{path} is damaged: {manifest.NAME} was changed", hint=_AGAIN)
    return manifest.loaded(texts[0], str(path)), digest


def _require_pinned(path: Path, digest: str, pinned: str) -> None:
    if pinned and digest != pinned:
        raise InputError(
            f"{path} is not the bundle of the inventory: the SHA-256 of its manifest is {digest}, but "
            f"repos.sha256 is {pinned}",
            hint="one of the two was changed: get the bundle again from a source that you trust",
        )


def _require_moderate(path: Path, made: Manifest, size: int, store: Store | None) -> None:
    """Refuse what cannot be in a file of this size, or would fill this machine's disk, before any of it is written."""
    entries = list(made.entries())
    if len(entries) > _MOST_ENTRIES or len({entry.name for entry in entries}) < len(entries):
        raise InputError(f"{path} is damaged: its manifest lists a file twice, or more than {_MOST_ENTRIES:,}")
    if made.size > size:
        words = f"its files would have {made.size / 1e6:,.0f} MB, but it has {size / 1e6:,.0f}"
        raise InputError(f"{path} is damaged: {words}", hint=_AGAIN)
    if store is None:
        return
    new = sum(entry.size for entry in entries if not store.has(("sha256", entry.sha256), entry.size))
    free = shutil.disk_usage(store.folder).free
    if new > free:
        raise InputError(
            f"no space for {path} in {store.folder}: its files need {new / 1e6:,.0f} MB, but {free / 1e6:,.0f} are "
            "free",
            hint="free space, or set XDG_CACHE_HOME to a folder on a larger disk",
        )


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files are in the store: verified once, and again when its file is another."""

    path: Path
    manifest: Manifest
    store: Store

    def file(self, entry: Entry, mode: int = 0o644) -> UploadedFile:
        """One of its files."""
        return UploadedFile(self.store.path(("sha256", entry.sha256)), entry.sha256, entry.size, mode)

    def tarball(self, cluster: Cluster) -> str | None:
        """The path of the server programs' tarball, where the bundle has the one that the inventory names."""
        entry = self.manifest.programs
        if entry is None or cluster.tarball is None or entry.sha256 != cluster.tarball.sha256:
            return None
        return str(self.file(entry).source)


def opened(path: Path, say: Say = nothing, store: Store | None = None, *, pinned: str = "") -> Bundle:
    """Take a bundle apart into the store, unless that was done with this very file.

    Raises:
        InputError: it is none, is damaged, is not the one that is `pinned` (see `verify`), or there is no room for its
            files.
    """
    store = store or Store()
    note = store.folder / f"opened-{hashlib.sha256(str(path).encode()).hexdigest()}.json"
    stamp = _stamp(path)
    with suppress(OSError, ValueError, KeyError, TypeError, InputError):
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["stamp"] == stamp and pinned in ("", known["sum"]):
            found = manifest.loaded(known["manifest"].encode(), str(path))
            if all(store.has(("sha256", entry.sha256), entry.size) for entry in found.entries()):
                return Bundle(path, found, store)
    made, digest = _walked(path, store, say, pinned)
    text = json.dumps({"stamp": stamp, "sum": digest, "manifest": manifest.dumped(made).decode()})
    note.write_text(text, encoding="utf-8")
    return Bundle(path, made, store)


def _stamp(path: Path) -> list[int]:
    """What changes when a file does: nobody can set its ctime."""
    try:
        seen = path.stat()
    except OSError as error:
        hint = "k8s-installer bundle create -i INVENTORY -o FILE makes one"
        raise InputError(f"cannot read the bundle {path}: {error.strerror}", hint=hint) from None
    if not stat.S_ISREG(seen.st_mode):
        raise InputError(f"cannot read the bundle {path}: it is not a file")
    return [seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns]


def media(bundle: Bundle, cluster: Cluster, profile: Profile, desired: Desired) -> dict[str, Media]:
    """What each host gets of a bundle.

    Raises:
        InputError: the bundle lacks something that this inventory needs; every finding at once.
    """
    lacking: dict[str, None] = {}
    rpms = list(_rpms(bundle))
    offers = Offers.of(rpms, _paths(bundle, rpms))
    archives = list(_archives(bundle, cluster, profile, lacking))
    if cluster.tarball is not None and profile.source(cluster) == "tarball" and bundle.tarball(cluster) is None:
        lacking[f"it lacks the inventory's server tarball {cluster.tarball.sha256[:16]}..."] = None
    made: dict[frozenset[tuple[str, str]], tuple[Repository, ...]] = {}
    result: dict[str, Media] = {}
    for host, packages in packages_of(desired).items():
        key = frozenset((package.name, package.version) for package in packages)
        if key not in made:
            found = closure(packages, offers, bundle.manifest.assumed)
            lacking |= dict.fromkeys(found.lacking)
            made[key] = tuple(_repositories(bundle, found))
        result[host] = Media(made[key], tuple(archives) if host in _nodes(cluster) else ())
    if lacking:
        raise InputError(
            "\n".join(f"{bundle.path}: {words}" for words in lacking),
            hint="it was made for another inventory: k8s-installer bundle create -i INVENTORY -o FILE",
        )
    return result


def _nodes(cluster: Cluster) -> frozenset[str]:
    return frozenset(host.name for host in cluster.having(Role.NODE))


def _member(bundle: Bundle, name: str) -> bytes:
    entry = next((entry for entry in bundle.manifest.repodata if entry.name == name), None)
    if entry is None:
        raise InputError(f"{bundle.path} is not a bundle of this format: it has no {name}", hint=_AGAIN)
    return bundle.file(entry).source.read_bytes()


def _rpms(bundle: Bundle) -> Iterator[Rpm]:
    _, primary, lists = manifest.REPODATA
    rpms = list(repodata.primary(_member(bundle, primary), ""))
    sums = {rpm.sum[1] for rpm in rpms}
    texts = {pkgid: text for pkgid, text, _ in repodata.filelists(_member(bundle, lists), sums, ())}
    yield from repodata.with_filelists(rpms, texts)


def _paths(bundle: Bundle, rpms: Sequence[Rpm]) -> Mapping[str, Sequence[str]]:
    required = {item.name for rpm in rpms for item in rpm.requires if item.name.startswith("/")}
    lists = _member(bundle, manifest.REPODATA[2])
    return {pkgid: paths for pkgid, _, paths in repodata.filelists(lists, (), required) if paths}


def _repositories(bundle: Bundle, found: Closure) -> Iterator[Repository]:
    """What is signed and what is not, each a repository of its own: yum checks signatures by repository."""
    entries = {entry.name: entry for entry in bundle.manifest.rpms}
    for signed in (True, False):
        rpms = [rpm for rpm in found.rpms if entries[f"rpms/{rpm.file}"].signed is signed]
        if rpms:
            files = {rpm.file: bundle.file(entries[f"rpms/{rpm.file}"]) for rpm in rpms}
            yield Repository("signed" if signed else "unsigned", signed, files, repodata.written(rpms))


def _archives(bundle: Bundle, cluster: Cluster, profile: Profile, lacking: dict[str, None]) -> Iterator[Archive]:
    if not cluster.having(Role.NODE):
        return
    for name in images.images(cluster, profile):
        entry = next((one for one in bundle.manifest.images if _full(name) in one.references), None)
        if entry is None:
            lacking[f"it has no image {name}"] = None
        else:
            yield Archive(name, entry.id, bundle.file(entry))


def _full(name: str) -> str:
    try:
        return images.full(name)
    except images.BadImageError:
        return name
