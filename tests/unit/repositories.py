"""A yum repository and an image registry as files, for tests that read, serve and damage them."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path

from k8s_installer.lab import images
from k8s_installer.lab.server import servers

_INTRO = struct.Struct(">4s4xII")


def rpm_file(*, signed: bool = False, content: bytes = b"") -> bytes:
    """The beginning of an RPM as rpmbuild and rpmsign write it, with something behind."""
    tags = [1000, 268] if signed else [1000]  # SIZE; RSA
    entries = b"".join(struct.pack(">IIII", tag, 4, 0, 1) for tag in tags)
    lead = b"\xed\xab\xee\xdb" + bytes(92)
    return lead + _INTRO.pack(b"\x8e\xad\xe8\x01", len(tags), 4) + entries + bytes(4) + content


@dataclass(frozen=True)
class Built:
    """A package for a repository of a test. Requirements and what it provides are names, or `NAME FLAG VERSION`."""

    name: str
    version: str = "1.0"
    requires: Sequence[str] = ()
    provides: Sequence[str] = ()
    files: Sequence[str] = ()
    epoch: str = "0"
    release: str = "1.el7"
    arch: str = "x86_64"
    signed: bool = False

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}-{self.release}.{self.arch}.rpm"

    @property
    def content(self) -> bytes:
        return rpm_file(signed=self.signed, content=self.file.encode())

    @property
    def sum(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def primary_xml(built: Sequence[Built]) -> str:
    """As createrepo_c 0.17 writes it."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" '
        f'packages="{len(built)}">\n' + "".join(map(_primary, built)) + "</metadata>\n"
    )


def _primary(one: Built) -> str:
    own = f"{one.name} EQ {one.version}"
    primaries = [path for path in one.files if path.startswith(("/etc/", "/usr/bin/"))]
    return f"""<package type="rpm">
  <name>{one.name}</name>
  <arch>{one.arch}</arch>
  <version epoch="{one.epoch}" ver="{one.version}" rel="{one.release}"/>
  <checksum type="sha256" pkgid="YES">{one.sum}</checksum>
  <summary>A &amp; B &lt;c&gt;</summary>
  <time file="1" build="1"/>
  <size package="{len(one.content)}" installed="1" archive="1"/>
  <location href="{one.file}"/>
  <format>
    <rpm:license>ASL 2.0</rpm:license>
    <rpm:header-range start="1" end="2"/>
    <rpm:provides>{"".join(map(_entry, [own, *one.provides]))}</rpm:provides>
    {f"<rpm:requires>{''.join(map(_entry, one.requires))}</rpm:requires>" if one.requires else ""}
    {"".join(f"<file>{path}</file>" for path in primaries)}
  </format>
</package>
"""


def _entry(text: str) -> str:
    name, _, rest = text.partition(" ")
    flags, _, version = rest.partition(" ")
    return (
        f'<rpm:entry name="{name}" flags="{flags}" epoch="0" ver="{version}"/>'
        if flags
        else f'<rpm:entry name="{name}"/>'
    )


def filelists_xml(built: Sequence[Built]) -> str:
    """As createrepo_c 0.17 writes it."""
    packages = "".join(
        f'<package pkgid="{one.sum}" name="{one.name}" arch="{one.arch}">\n'
        f'  <version epoch="{one.epoch}" ver="{one.version}" rel="{one.release}"/>\n'
        + "".join(f"  <file>{path}</file>\n" for path in one.files)
        + "</package>\n"
        for one in built
    )
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<filelists xmlns="http://linux.duke.edu/metadata/filelists" '
    return f'{head}packages="{len(built)}">\n{packages}</filelists>\n'


def repository(folder: Path, built: Sequence[Built]) -> Path:
    """A repository of these packages, as files."""
    (folder / "repodata").mkdir(parents=True)
    data = []
    for name, text in (("primary", primary_xml(built)), ("filelists", filelists_xml(built))):
        packed = gzip.compress(text.encode())
        (folder / f"repodata/{name}.xml.gz").write_bytes(packed)
        data.append(
            f'<data type="{name}"><checksum type="sha256">{hashlib.sha256(packed).hexdigest()}</checksum>'
            f'<location href="repodata/{name}.xml.gz"/><size>{len(packed)}</size></data>'
        )
    head = '<repomd xmlns="http://linux.duke.edu/metadata/repo">'
    (folder / "repodata/repomd.xml").write_text(f"{head}{''.join(data)}</repomd>")
    for one in built:
        (folder / one.file).write_bytes(one.content)
    return folder


def registry(folder: Path) -> Path:
    """The lab's two images, with other contents."""
    for name, content in (("lab/pause:1", b"a program"), ("lab/web:1", b"a server")):
        images.add_image(folder, name, images._layer({"program": content}), {"Entrypoint": ["/program"]})
    return folder


@contextmanager
def served(packages: Path, pictures: Path) -> Iterator[tuple[str, str]]:
    """The addresses of a repository's and a registry's server on loopback."""
    with serving(servers("127.0.0.1", packages, pictures, (0, 0))) as (first, second):
        yield first, second


@contextmanager
def serving(started: Sequence[ThreadingHTTPServer]) -> Iterator[tuple[str, ...]]:
    """The addresses of servers, which serve until the end of the `with`."""
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in started]
    for thread in threads:
        thread.start()
    try:
        yield tuple(f"http://127.0.0.1:{server.server_port}" for server in started)
    finally:
        for server, thread in zip(started, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
