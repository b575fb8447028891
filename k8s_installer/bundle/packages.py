"""Packages from yum repositories, on a server or on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from k8s_installer.bundle import repodata, rpmfile
from k8s_installer.bundle.closure import Closure, Offers, closure
from k8s_installer.bundle.repodata import BadMetadataError, Data, Rpm
from k8s_installer.bundle.store import Say, Store, read
from k8s_installer.errors import InstallerError
from k8s_installer.model.resources import Package

_AT_ONCE = 4  # downloads
_SUMS = frozenset({"sha1", "sha256", "sha512"})


@dataclass(frozen=True, slots=True)
class Had:
    """A package on this machine: what the repository says of it, its file and its sum, and whether it is signed."""

    rpm: Rpm
    path: Path
    sha256: str
    signed: bool


@dataclass(slots=True)
class Repositories:
    """Several repositories as one: the packages of all, and what their files' lists say."""

    store: Store
    rpms: list[Rpm] = field(default_factory=list)
    _lists: list[bytes] = field(default_factory=list)

    def add(self, base: str) -> None:
        """Read the metadata of the repository at an address (http, https or file).

        Raises:
            InstallerError: it cannot be had, or is none.
        """
        base = base.rstrip("/")
        try:
            named = repodata.repomd(read(f"{base}/repodata/repomd.xml"))
            self.rpms += repodata.primary(self._metadata(base, named["primary"]), base)
            self._lists.append(self._metadata(base, named["filelists"]))
        except BadMetadataError as error:
            raise InstallerError(f"{base} is not a readable yum repository: {error}") from None

    def closures(self, wanted: Iterable[Iterable[Package]], assumed: Sequence[str]) -> list[Closure]:
        """What each host's packages take; the packages have their lists of files."""
        required = {item.name for rpm in self.rpms for item in rpm.requires if item.name.startswith("/")}
        named = {path for rpm in self.rpms for path in rpm.paths}
        paths = self._paths(required - named)
        offers = Offers.of(self.rpms, paths)
        found = [closure(packages, offers, assumed) for packages in wanted]
        chosen = {rpm.sum[1] for one in found for rpm in one.rpms}
        texts = {pkgid: text for data in self._lists for pkgid, text, _ in repodata.filelists(data, chosen, ()) if text}
        return [Closure(tuple(repodata.with_filelists(one.rpms, texts)), one.lacking) for one in found]

    def _paths(self, required: set[str]) -> Mapping[str, list[str]]:
        """Which packages have files that primary does not name, and others require."""
        if not required:
            return {}
        return {
            pkgid: paths for data in self._lists for pkgid, _, paths in repodata.filelists(data, (), required) if paths
        }

    def _metadata(self, base: str, data: Data) -> bytes:
        if data.sum[0] not in _SUMS:
            raise BadMetadataError(f"its sums are {data.sum[0]}")
        return self.store.fetch(f"{base}/{data.location}", data.sum, limit=data.size).read_bytes()


def fetched(rpms: Sequence[Rpm], store: Store, say: Say) -> list[Had]:
    """The files of packages, several at a time; each compared with the sum that its repository has of it.

    Raises:
        InstallerError: one cannot be had, or is another file.
    """
    whole, lock, came = sum(rpm.size for rpm in rpms), Lock(), [0, 0]

    def on_bytes(count: int) -> None:
        with lock:
            came[0] += count
            say(f"packages: {came[1]} of {len(rpms)}, {came[0] / 1e6:.0f} of {whole / 1e6:.0f} MB")

    def fetch(rpm: Rpm) -> Had:
        path = store.fetch(f"{rpm.base}/{rpm.location}", rpm.sum, on_bytes=on_bytes, limit=rpm.size)
        with path.open("rb") as stream:
            try:
                signed = rpmfile.is_signed(stream.read(rpmfile.ENOUGH))
            except rpmfile.NoRpmError as error:
                raise InstallerError(f"{rpm.base}/{rpm.location} is not an RPM: {error}") from None
            stream.seek(0)
            sha256 = rpm.sum[1] if rpm.sum[0] == "sha256" else store.take(stream)[0]
        with lock:
            came[1] += 1
        return Had(rpm, store.path(("sha256", sha256)), sha256, signed)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(fetch, rpms))
