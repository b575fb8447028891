"""Packages and sources from the Debian mirror that this machine's apt is configured with.

No mirror is named in this project: `mirror` reads the machine's own configuration. Downloads use lists and
caches of their own, so that the machine's package state is only touched by `install`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from k8s_installer.errors import LabError
from k8s_installer.lab.commands import Say, run

MIRROR_VARIABLE = "K8S_INSTALLER_DEBIAN_MIRROR"
_CODENAMES = frozenset({"buster", "bullseye", "bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable"})
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True, slots=True)
class Mirror:
    """A Debian archive, and the keyring that signs it."""

    uri: str
    keyring: Path


@dataclass(frozen=True, slots=True)
class Suite:
    """One line of an apt configuration: `kind` is deb or deb-src."""

    kind: str
    name: str


def mirror(apt_folder: Path = Path("/etc/apt")) -> Mirror:
    """Return the Debian mirror of this machine's apt configuration (deb822 or one-line style).

    An environment variable goes first: Ubuntu's own mirrors do not carry Debian.

    Raises:
        LabError: no Debian mirror is configured.
    """
    if chosen := os.environ.get(MIRROR_VARIABLE):
        return Mirror(chosen.rstrip("/"), _KEYRING)
    for uri, suites in configured(apt_folder):
        if any(suite.split("-")[0].split("/")[0] in _CODENAMES for suite in suites) and "security" not in uri:
            return Mirror(_plain(uri), _KEYRING)
    raise LabError(
        f"no Debian mirror in {apt_folder}/sources.list or {apt_folder}/sources.list.d",
        hint=f"set {MIRROR_VARIABLE} to the address of one",
    )


def configured(apt_folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield (URI, suites) of every binary source in an apt configuration, in the order of its files."""
    lists = sorted((apt_folder / "sources.list.d").glob("*.list"))
    for path in [apt_folder / "sources.list", *lists]:
        if path.is_file():
            yield from _one_line_sources(path.read_text(errors="replace"))
    for path in sorted((apt_folder / "sources.list.d").glob("*.sources")):
        yield from _deb822_sources(path.read_text(errors="replace"))


def _one_line_sources(text: str) -> Iterator[tuple[str, list[str]]]:
    for line in text.splitlines():
        words = line.split("#")[0].replace("[", " [ ").replace("]", " ] ").split()
        if "[" in words and "]" in words:
            words = words[: words.index("[")] + words[words.index("]") + 1 :]
        if len(words) > 2 and words[0] == "deb":  # noqa: PLR2004 - deb URI SUITE
            yield words[1], [words[2]]


def _deb822_sources(text: str) -> Iterator[tuple[str, list[str]]]:
    for stanza in text.split("\n\n"):
        fields: dict[str, list[str]] = {}
        for line in stanza.splitlines():
            name, colon, value = line.partition(":")
            if colon and not line.startswith(("#", " ", "\t")):
                fields[name.strip().lower()] = value.split()
        if "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]:
            for uri in fields.get("uris", []):
                yield uri, fields.get("suites", [])


def _plain(uri: str) -> str:
    """Resolve apt's `mirror+file:` (cloud images use it) to the first address of that file."""
    if uri.startswith("mirror+file:"):
        lines = Path(uri.removeprefix("mirror+file:")).read_text(encoding="utf-8").split()
        return next(line for line in lines if "://" in line).rstrip("/")
    return uri.rstrip("/")


def packages_missing(names: Iterable[str], status: Path = Path("/var/lib/dpkg/status")) -> list[str]:
    """Return those packages that this machine's dpkg does not have installed."""
    installed = {
        stanza.split("\n", 1)[0]
        for stanza in status.read_text(encoding="utf-8", errors="replace").split("Package: ")[1:]
        if "\nStatus: install ok installed" in stanza
    }
    return [name for name in names if name not in installed]


def install(names: Sequence[str], say: Say) -> None:
    """Install packages on this machine, waiting for another apt to end.

    The lists are refreshed only if the first try fails; a failing third-party source is not our matter.

    Raises:
        LabError: they could not be installed.
    """
    if not names:
        return
    say(f"installing on this machine: {' '.join(names)}")
    command = ["apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=600", "install", "--no-install-recommends", *names]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        run(command, env=env)
    except LabError:
        try:
            run(["apt-get", "-qq", "update"], env=env)
        finally:
            run(command, env=env)


@dataclass(frozen=True, slots=True)
class Archive:
    """Lists of the mirror in a folder of their own; made by `open_archive`."""

    folder: Path
    options: tuple[str, ...]

    def download(self, names: Sequence[str], into: Path) -> list[Path]:
        """Download binary packages (`name` or `name/suite`) and return the files.

        Raises:
            LabError: the mirror does not have one of them.
        """
        into.mkdir(parents=True, exist_ok=True)
        run(["apt-get", "-qq", *self.options, "download", *names], cwd=into)
        return sorted(into.glob("*.deb"))

    def source(self, name: str, into: Path) -> Path:
        """Download a source package and return its .dsc file.

        Raises:
            LabError: the mirror does not have it.
        """
        into.mkdir(parents=True, exist_ok=True)
        run(["apt-get", "-qq", *self.options, "source", "--download-only", name], cwd=into)
        return next(into.glob("*.dsc"))


def open_archive(folder: Path, suites: Sequence[Suite]) -> Archive:
    """Fetch the package lists of `suites` into `folder` and return what downloads from them.

    Raises:
        LabError: the mirror does not answer, or has no such suite.
    """
    origin = mirror()
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    sources = folder / "lab.sources"
    common = f"URIs: {origin.uri}\nComponents: main\nSigned-By: {origin.keyring}\n"
    stanzas = [f"Types: {suite.kind}\nSuites: {suite.name}\n{common}" for suite in suites]
    sources.write_text("\n".join(stanzas), encoding="utf-8")
    settings = {
        "Dir::State::Lists": f"{folder}/lists",
        "Dir::Cache": f"{folder}/cache",
        "Dir::Etc::sourcelist": f"{sources}",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Sandbox::User": "root",  # apt's own user cannot enter a folder below /root
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    archive = Archive(folder, tuple(word for name, value in settings.items() for word in ("-o", f"{name}={value}")))
    run(["apt-get", "-qq", *archive.options, "update"])
    return archive


def unpack(deb: Path, into: Path) -> None:
    """Unpack one binary package, running none of its scripts."""
    into.mkdir(parents=True, exist_ok=True)
    run(["dpkg", "-x", deb, into])


def bootstrap(folder: Path, suite: str, packages: Sequence[str]) -> None:
    """Make a minimal Debian root file system in the empty `folder`.

    Raises:
        LabError: debootstrap failed; the message has the end of its log.
    """
    origin = mirror()
    command = ["debootstrap", "--variant=minbase", f"--keyring={origin.keyring}", f"--include={','.join(packages)}"]
    try:
        run([*command, suite, folder, origin.uri])
    except LabError as error:
        log = folder / "debootstrap" / "debootstrap.log"
        tail = log.read_text(errors="replace").splitlines()[-10:] if log.exists() else []
        raise LabError("\n".join([error.message, *tail]), hint=shlex.join(command)) from error
