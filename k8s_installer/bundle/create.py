"""Makes a bundle: everything that an inventory needs, computed from it, as one file. No host is asked."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from k8s_installer.bundle import images, manifest, repodata
from k8s_installer.bundle.folder import folder_repository
from k8s_installer.bundle.images import BadImageError
from k8s_installer.bundle.manifest import Entry, Manifest
from k8s_installer.bundle.packages import Had, Repositories, fetched
from k8s_installer.bundle.registry import Registry
from k8s_installer.bundle.repodata import Rpm
from k8s_installer.bundle.store import Say, Store, counted
from k8s_installer.desired.proxies import registries
from k8s_installer.errors import InputError, InstallerError
from k8s_installer.inventory import Cluster, Role
from k8s_installer.model.desired import Desired, by_host
from k8s_installer.model.resources import Package
from k8s_installer.profiles import Profile
from k8s_installer.sources import tarball

SERVER_TARBALL = "kubernetes-server-linux-amd64.tar.gz"
_ARCHIVES = ("*.tar", "*.tar.gz", "*.tgz")
_FOLDERS = ("os", "updates", "extras")  # of CentOS 7's archive and its copies


@dataclass(frozen=True, slots=True)
class Sources:
    """Where what is needed comes from.

    `repositories` take the place of the inventory's. With a `folder`, nothing but them is asked outside this machine.
    `assumed` are capabilities that the hosts have already, as patterns. `registry` has images whose names say none.
    """

    repositories: tuple[str, ...] = ()
    folder: Path | None = None
    assumed: tuple[str, ...] = ()
    registry: str = ""


@dataclass(frozen=True, slots=True)
class _Item:
    """A file for the bundle: what the manifest says of it, and where it is now."""

    entry: Entry
    path: Path


def create(
    cluster: Cluster, profile: Profile, desired: Desired, sources: Sources, target: Path, say: Say, store: Store
) -> Manifest:
    """Write the bundle of an inventory; `target` is there whole, or as it was before.

    Args:
        cluster: a checked inventory.
        profile: that of its version.
        desired: what it wants of every host; its files may be placeholders.
        sources: where things come from.
        target: the file to write.
        say: receives progress.
        store: keeps what is downloaded.

    Raises:
        InputError: these sources lack something; every finding at once.
        InstallerError: a source cannot be reached, or has other bytes than it says.
    """
    folder = target.absolute().parent
    if not folder.is_dir():
        raise InputError(f"cannot write the bundle: folder {folder} does not exist")
    if target.is_dir():
        raise InputError(f"cannot write the bundle: {target} is a folder", hint="give the name of a file")
    try:
        return _made(cluster, profile, desired, sources, target, say, store)
    except OSError as error:
        raise InstallerError(
            f"the bundle cannot be written: {error.strerror or error}",
            hint="free space, or write it elsewhere: -o FILE",
        ) from None


def _made(
    cluster: Cluster, profile: Profile, desired: Desired, sources: Sources, target: Path, say: Say, store: Store
) -> Manifest:
    lacking: list[str] = []
    with ExitStack() as stack:
        work = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.absolute().parent))
        )
        had = _packages(cluster, desired, sources, store, say, stack, lacking)
        metadata = list(_metadata([one.rpm for one in had], work))
        pictures = list(_images(cluster, profile, sources, store, say, work, lacking))
        programs = _programs(cluster, profile, sources, store, say, lacking)
        if lacking:
            raise InputError("\n".join(lacking), hint=_hint(sources))
        rpms = [_item_of_rpm(one, sources) for one in had]
        made = Manifest(
            cluster=cluster.name,
            version=cluster.version,
            assumed=sources.assumed,
            rpms=tuple(item.entry for item in rpms),
            repodata=tuple(item.entry for item in metadata),
            images=tuple(item.entry for item in pictures),
            programs=programs.entry if programs else None,
        )
        items = {item.entry.name: item for item in [*metadata, *rpms, *pictures, *([programs] if programs else [])]}
        say(f"writing {target.name}")
        part = work / "bundle"
        _write(made, [items[entry.name] for entry in made.entries()], part)
        part.replace(target)
    return made


def _hint(sources: Sources) -> str:
    if sources.folder is not None:
        return f"put what is missing into {sources.folder}, or use --assume NAME for what the hosts already have"
    return "add a --repo URL that has it, or use --assume NAME for what the hosts already have"


def packages_of(desired: Desired) -> dict[str, list[Package]]:
    """The packages of every host."""
    return {
        host: [item.resource for item in wanted if isinstance(item.resource, Package)]
        for host, wanted in by_host(desired).items()
    }


def _packages(
    cluster: Cluster, desired: Desired, sources: Sources, store: Store, say: Say, stack: ExitStack, lacking: list[str]
) -> list[Had]:
    repositories = Repositories(store)
    for address in _addresses(cluster, sources, stack):
        say(f"reading {address}")
        repositories.add(address)
    found = repositories.closures(packages_of(desired).values(), sources.assumed)
    lacking += dict.fromkeys(words for one in found for words in one.lacking)
    if lacking:  # nobody downloads a hundred packages for nothing
        return []
    rpms = {rpm.file: rpm for one in found for rpm in one.rpms}
    return fetched([rpms[name] for name in sorted(rpms)], store, say)


def _addresses(cluster: Cluster, sources: Sources, stack: ExitStack) -> list[str]:
    found = list(sources.repositories)
    if sources.folder is not None:
        if any(sources.folder.glob("*.rpm")) or (sources.folder / "repodata").is_dir():
            found.append(stack.enter_context(folder_repository(sources.folder)))
    elif not found and cluster.repos:
        found = [f"{cluster.repos}/{name}/x86_64" for name in _FOLDERS]
    if not found:
        raise InputError(
            "no package source: the inventory has no repository that this machine can read",
            hint="use --repo URL (repeatable), --from DIR with RPMs, or `repos: vault` in the inventory",
        )
    return found


def _item_of_rpm(had: Had, sources: Sources) -> _Item:
    given = sources.folder / had.rpm.file if sources.folder is not None else None
    source = str(given) if given is not None and given.is_file() else f"{had.rpm.base}/{had.rpm.location}"
    entry = manifest.Rpm(
        name=f"rpms/{had.rpm.file}", sha256=had.sha256, size=had.rpm.size,
        source=source, signed=had.signed,
    )  # fmt: skip
    return _Item(entry, had.path)


def _metadata(rpms: Sequence[Rpm], work: Path) -> Iterator[_Item]:
    for name, data in repodata.written(rpms).items():
        path = work / name.rpartition("/")[2]
        path.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        yield _Item(Entry(name=f"rpms/{name}", sha256=sha256, size=len(data), source="made for this bundle"), path)


def _images(
    cluster: Cluster, profile: Profile, sources: Sources, store: Store, say: Say, work: Path, lacking: list[str]
) -> Iterator[_Item]:
    """The images, one archive for each content, under all of its names."""
    wanted: list[str] = []
    for name in images.images(cluster, profile) if cluster.having(Role.NODE) else ():
        try:
            wanted.append(images.full(name))
        except BadImageError as error:
            lacking.append(str(error))
    pictures = _Pictures(work, lacking)
    if sources.folder is None:
        registry = Registry(store, sources.registry, insecure_registries(cluster, profile))
        for reference in wanted:
            image = registry.pull(reference, counted(say, f"image {reference}"))
            pictures.add(image, reference, f"the registry's {reference}")
    else:
        _from_folder(sources.folder, wanted, pictures, say)
    yield from pictures.items()


@dataclass(slots=True)
class _Pictures:
    """Images as they come: the names of each, and where it was, by its id."""

    work: Path
    lacking: list[str]
    by_id: dict[str, tuple[list[str], str]] = field(default_factory=dict)

    def add(self, image: images.Image, reference: str, source: str) -> None:
        names, first = self.by_id.get(image.id, ([], source))
        try:
            images.write(image, [*names, reference], self._path(image.id))
        except BadImageError as error:
            self.lacking.append(f"image {reference}: {error}")
        else:
            self.by_id[image.id] = [*names, reference], first

    def items(self) -> Iterator[_Item]:
        for identity, (names, source) in sorted(self.by_id.items(), key=lambda item: sorted(item[1][0])):
            path = self._path(identity)
            entry = manifest.Image(
                name=f"images/{path.name}", sha256=_sum(path), size=path.stat().st_size,
                source=source, references=tuple(sorted(names)), id=identity,
            )  # fmt: skip
            yield _Item(entry, path)

    def _path(self, identity: str) -> Path:
        return self.work / f"{identity.removeprefix('sha256:')}.tar"


def _from_folder(folder: Path, wanted: Sequence[str], pictures: _Pictures, say: Say) -> None:
    """What a folder's archives have of these images; each is written while its archive is open."""
    missing, broken = dict.fromkeys(wanted), []
    for path in sorted(path for pattern in _ARCHIVES for path in folder.glob(pattern)):
        if path.name == SERVER_TARBALL or not missing:
            continue
        say(f"reading {path.name}")
        try:
            with images.archive(path) as found:
                for reference in [name for name in missing if name in found]:
                    pictures.add(found[reference], reference, str(path))
                    del missing[reference]
        except BadImageError as error:
            broken.append(f"{path}: {error}")  # no matter, if all is found elsewhere
    pictures.lacking += broken if missing else ()
    pictures.lacking += (f"no archive in {folder} has the image {reference}" for reference in missing)


def _sum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def insecure_registries(cluster: Cluster, profile: Profile) -> frozenset[str]:
    """The registries that hosts are configured to ask without TLS, as far as they are named by host and port."""
    return frozenset(one for host in cluster.hosts for one in registries(host, profile, "registry"))


def _programs(
    cluster: Cluster, profile: Profile, sources: Sources, store: Store, say: Say, lacking: list[str]
) -> _Item | None:
    named = cluster.tarball
    if named is None or profile.source(cluster) != "tarball":
        return None
    digest = ("sha256", named.sha256)
    source = named.path or named.url or tarball.upstream(cluster, profile)
    if named.path is None and sources.folder is not None:
        source = str(sources.folder / SERVER_TARBALL)
        if not Path(source).is_file():
            lacking.append(f"{sources.folder} has no {SERVER_TARBALL}")
            return None
    url = source if "://" in source else Path(source).as_uri()
    path = store.fetch(url, digest, on_bytes=counted(say, SERVER_TARBALL))
    entry = Entry(name=f"programs/{SERVER_TARBALL}", sha256=named.sha256, size=path.stat().st_size, source=source)
    return _Item(entry, path)


def _write(made: Manifest, items: Sequence[_Item], target: Path) -> None:
    """The archive: the manifest, its sum, and then every file. The same files make the same bytes."""
    data = manifest.dumped(made)
    digest = f"{hashlib.sha256(data).hexdigest()}  {manifest.NAME}\n".encode()
    with target.open("wb") as stream:
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, content in ((manifest.NAME, data), (manifest.SUM, digest)):
                tar.addfile(_member(name, len(content)), io.BytesIO(content))
            for item in items:
                with item.path.open("rb") as source:
                    tar.addfile(_member(item.entry.name, item.entry.size), source)
        stream.flush()
        os.fsync(stream.fileno())


def _member(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry
