"""A bundle that is there: verified, taken apart into the user's cache, and what of it each host gets."""

from __future__ import annotations

import hashlib
import json
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
from k8s_installer.desired.model import Desired
from k8s_installer.errors import InputError
from k8s_installer.inventory import Cluster, Role
from k8s_installer.profiles import Profile
from k8s_installer.resources import Large

_LARGEST_MANIFEST = 64 << 20
_ANEW = "copy it again, or make it anew: k8s-installer bundle create"


class _Whole:
    """A member's bytes on their way, counted and summed."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.total, self.size = stream, hashlib.sha256(), 0

    def read(self, count: int) -> bytes:
        piece = self._stream.read(count)
        self.total.update(piece)
        self.size += len(piece)
        return piece


def verify(path: Path, say: Say = nothing) -> Manifest:
    """Read a whole bundle and compare every file of it with the manifest; nothing is written.

    Raises:
        InputError: it cannot be read, or is not as it was made.
    """
    found, _ = _walked(path, None, say)
    return found


def _walked(path: Path, store: Store | None, say: Say) -> tuple[Manifest, str]:
    """Compare all, and with a store keep all; the manifest, and its sum."""
    try:
        with path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            made, digest = _head(tar, path)
            left = {entry.name: entry for entry in made.entries()}
            done = 0
            while (member := tar.next()) is not None:
                source = tar.extractfile(member) if member.isreg() else None
                entry = left.pop(member.name, None)
                if entry is None or source is None:
                    raise InputError(f"{path} is damaged: it has a {member.name} that it should not have", hint=_ANEW)
                say(f"verifying {path.name}: {done / 1e6:.0f} of {made.size / 1e6:.0f} MB")
                whole = _Whole(source)
                if store is None or store.has(("sha256", entry.sha256), entry.size):
                    while whole.read(1 << 20):
                        pass
                else:
                    store.take(whole)
                if (whole.total.hexdigest(), whole.size) != (entry.sha256, entry.size):
                    raise InputError(
                        f"{path} is damaged: {entry.name} has other bytes than it was made with", hint=_ANEW
                    )
                done += entry.size
            if left:
                raise InputError(f"{path} is damaged: {next(iter(left))} is not there, or cut off", hint=_ANEW)
            return made, digest
    except tarfile.TarError as error:
        raise InputError(f"{path} is no bundle, or is damaged: {error}", hint=_ANEW) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint="k8s-installer bundle create -o FILE") from None


def _head(tar: tarfile.TarFile, path: Path) -> tuple[Manifest, str]:
    """The manifest, which stands first, and its sum."""
    texts = []
    for name in (manifest.NAME, manifest.SUM):
        member = tar.next()
        stream = tar.extractfile(member) if member is not None and member.name == name else None
        if stream is None:
            raise InputError(f"{path} is no bundle: it does not begin with {name}", hint=_ANEW)
        texts.append(stream.read(_LARGEST_MANIFEST))
    digest = hashlib.sha256(texts[0]).hexdigest()
    if texts[1].decode(errors="replace") != f"{digest}  {manifest.NAME}\n":
        raise InputError(f"{path} is damaged: {manifest.NAME} has other bytes than it was made with", hint=_ANEW)
    return manifest.loaded(texts[0], str(path)), digest


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files are in the store: verified once, and again when its file is another."""

    path: Path
    manifest: Manifest
    store: Store

    def file(self, entry: Entry, mode: int = 0o644) -> Large:
        """One of its files."""
        return Large(self.store.path(("sha256", entry.sha256)), entry.sha256, entry.size, mode)

    def tarball(self, cluster: Cluster) -> str | None:
        """The path of the server programs' tarball, where the bundle has the one that the inventory names."""
        entry = self.manifest.programs
        if entry is None or cluster.tarball is None or entry.sha256 != cluster.tarball.sha256:
            return None
        return str(self.file(entry).source)


def opened(path: Path, say: Say = nothing, store: Store | None = None) -> Bundle:
    """Take a bundle apart into the store, unless that was done with this very file.

    Raises:
        InputError: it is none, is damaged, or there is no room for its files.
    """
    store = store or Store()
    note = store.folder / f"opened-{hashlib.sha256(str(path).encode()).hexdigest()}.json"
    stamp = _stamp(path)
    with suppress(OSError, ValueError, KeyError, TypeError, InputError):
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["stamp"] == stamp:
            found = manifest.loaded(known["manifest"].encode(), str(path))
            if all(store.has(("sha256", entry.sha256), entry.size) for entry in found.entries()):
                return Bundle(path, found, store)
    made, _ = _walked(path, store, say)
    text = json.dumps({"stamp": stamp, "manifest": manifest.dumped(made).decode()})
    note.write_text(text, encoding="utf-8")
    return Bundle(path, made, store)


def _stamp(path: Path) -> list[int]:
    """What changes when a file does: nobody can set its ctime."""
    try:
        seen = path.stat()
    except OSError as error:
        hint = "k8s-installer bundle create -i INVENTORY -o FILE makes one"
        raise InputError(f"cannot read the bundle {path}: {error.strerror}", hint=hint) from None
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
        lacking[f"it has not the server tarball {cluster.tarball.sha256[:16]}... of the inventory"] = None
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
        raise InputError(f"{bundle.path} is no bundle of this format: it has no {name}", hint=_ANEW)
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
