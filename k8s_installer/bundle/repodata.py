"""A yum repository's metadata: read from repomd, primary and filelists, and written for a part of its packages. Pure.

yum 3.4 goes by the prefixes that createrepo writes (`rpm:entry`), not by namespaces, so what is written has the same.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import IO
from xml.sax.saxutils import escape, quoteattr

from k8s_installer.planning.evr import Evr, compare

_BASE = "http://linux.duke.edu/metadata"
_COMMON, _RPM, _FILELISTS, _REPO = (f"{{{_BASE}/{name}}}" for name in ("common", "rpm", "filelists", "repo"))
_ARCHITECTURES = frozenset({"x86_64", "noarch"})
_ANY = Evr("", "", "")
_TESTS = {"EQ": (0,), "GE": (0, 1), "LE": (-1, 0), "GT": (1,), "LT": (-1,)}
MEMBERS = ("primary", "filelists")


class BadMetadataError(ValueError):
    """What was read is no metadata of a yum repository; the message says why."""


@dataclass(frozen=True, slots=True)
class Data:
    """A file of metadata as repomd.xml names it; `sum` is an algorithm and hexadecimal digits."""

    location: str
    sum: tuple[str, str]
    size: int


@dataclass(frozen=True, slots=True)
class Capability:
    """What a package provides or requires: a name or a path, and where a version counts, how (EQ, GE ...) and which."""

    name: str
    flags: str = ""
    evr: Evr = _ANY

    def __str__(self) -> str:
        signs = {"EQ": "=", "GE": ">=", "LE": "<=", "GT": ">", "LT": "<"}
        return f"{self.name} {signs[self.flags]} {self.evr}" if self.flags else self.name


@dataclass(frozen=True, slots=True)
class Rpm:
    """A package of a repository. `base` is the address of its repository, `xml` and `filelist` its own elements.

    `paths` are the files that primary names; `filelist` is empty until it is looked for.
    """

    name: str
    arch: str
    evr: Evr
    sum: tuple[str, str]
    size: int
    location: str
    provides: tuple[Capability, ...] = ()
    requires: tuple[Capability, ...] = ()
    paths: frozenset[str] = frozenset()
    base: str = ""
    xml: str = field(default="", repr=False)
    filelist: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.name}-{self.evr}.{self.arch}"

    @property
    def file(self) -> str:
        """The name of its file."""
        return self.location.rpartition("/")[2]


def repomd(data: bytes) -> dict[str, Data]:
    """The files that a repository's repomd.xml names, by their type.

    Raises:
        BadMetadataError: it is none.
    """
    root = _parsed(data)
    found = {}
    for item in root.iter(f"{_REPO}data"):
        location, checksum = item.find(f"{_REPO}location"), item.find(f"{_REPO}checksum")
        if location is not None and checksum is not None:
            size = item.findtext(f"{_REPO}size") or "0"
            found[item.get("type", "")] = Data(location.get("href", ""), _sum(checksum), int(size))
    missing = [name for name in MEMBERS if name not in found]
    if missing:
        raise BadMetadataError(f"repomd.xml names no {' and no '.join(missing)}")
    return found


def primary(data: bytes, base: str) -> Iterator[Rpm]:
    """The packages of a repository for x86_64, from its primary.xml, compressed or not; `base` is its address.

    Raises:
        BadMetadataError: it is none.
    """
    for element in _packages(_opened(data), _COMMON):
        if element.findtext(f"{_COMMON}arch") in _ARCHITECTURES:
            yield _rpm(element, base)


def filelists(data: bytes, wanted: Collection[str], paths: Collection[str]) -> Iterator[tuple[str, str, list[str]]]:
    """What filelists.xml says, by the packages' sums: of `wanted` ones their elements, of all which `paths` they have.

    Raises:
        BadMetadataError: it is none.
    """
    for element in _packages(_opened(data), _FILELISTS):
        pkgid = element.get("pkgid", "")
        has = [item.text for item in element.iter(f"{_FILELISTS}file") if item.text in paths]
        text = _text(element) if pkgid in wanted else ""
        if has or text:
            yield pkgid, text, [path for path in has if path]


def written(rpms: Iterable[Rpm]) -> dict[str, bytes]:
    """The metadata of a repository of these packages: files by name, each package beside the folder `repodata`.

    The same packages make the same bytes.
    """
    several = sorted(rpms, key=lambda rpm: rpm.file)
    texts = {
        "primary": [replace_location(rpm.xml, rpm.file) for rpm in several],
        "filelists": [rpm.filelist for rpm in several],
    }
    spaces = {"primary": f'xmlns="{_BASE}/common" xmlns:rpm="{_BASE}/rpm"', "filelists": f'xmlns="{_BASE}/filelists"'}
    roots = {"primary": "metadata", "filelists": "filelists"}
    result: dict[str, bytes] = {}
    entries = []
    for name in MEMBERS:
        body = "\n".join(texts[name])
        root = roots[name]
        text = f'{_XML}<{root} {spaces[name]} packages="{len(several)}">\n{body}\n</{root}>\n'
        packed = gzip.compress(text.encode(), 6, mtime=0)
        result[f"repodata/{name}.xml.gz"] = packed
        entries.append(_entry(name, packed, text.encode()))
    head = f'{_XML}<repomd xmlns="{_BASE}/repo" xmlns:rpm="{_BASE}/rpm">\n'
    result["repodata/repomd.xml"] = f"{head}<revision>1</revision>\n{''.join(entries)}</repomd>\n".encode()
    return result


def replace_location(xml: str, file: str) -> str:
    """The element of a package that lies beside its repository's metadata."""
    start = xml.index("<location ")
    end = xml.index(">", start) + 1
    return f"{xml[:start]}<location href={quoteattr(file)}/>{xml[end:]}"


def holds(provided: Capability, required: Capability) -> bool:
    """Whether what a package provides is what another requires, by name and version."""
    if provided.name != required.name:
        return False
    if not required.flags or provided.flags != "EQ":  # a range that is provided: CentOS 7 has none
        return True
    return compare(provided.evr, required.evr) in _TESTS[required.flags]


_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


def _entry(name: str, packed: bytes, text: bytes) -> str:
    return (
        f'<data type="{name}">\n<checksum type="sha256">{hashlib.sha256(packed).hexdigest()}</checksum>\n'
        f'<open-checksum type="sha256">{hashlib.sha256(text).hexdigest()}</open-checksum>\n'
        f'<location href="repodata/{name}.xml.gz"/>\n<timestamp>1</timestamp>\n'
        f"<size>{len(packed)}</size>\n<open-size>{len(text)}</open-size>\n</data>\n"
    )


def _parsed(data: bytes) -> ET.Element:
    try:
        return ET.fromstring(data)  # noqa: S314 - expat of today expands no entities without bound
    except ET.ParseError as error:
        raise BadMetadataError(f"it is not XML: {error}") from None


def _opened(data: bytes) -> IO[bytes]:
    if data[:2] == b"\x1f\x8b":
        return io.BufferedReader(gzip.GzipFile(fileobj=io.BytesIO(data)))
    if data.lstrip()[:1] != b"<":
        raise BadMetadataError("it is neither XML nor gzip: use createrepo_c --general-compress-type=gz")
    return io.BytesIO(data)


def _packages(stream: IO[bytes], space: str) -> Iterator[ET.Element]:
    """The elements of packages, one after the other, so that ten thousand are never in memory at once."""
    try:
        root = None
        for event, element in ET.iterparse(stream, ("start", "end")):  # noqa: S314 - as above
            if root is None:
                root = element
            if event == "end" and element.tag == f"{space}package":
                yield element
                root.clear()
    except (ET.ParseError, OSError, EOFError) as error:
        raise BadMetadataError(f"it cannot be read: {error}") from None


def _rpm(element: ET.Element, base: str) -> Rpm:
    try:
        version, checksum = _one(element, "version"), _one(element, "checksum")
        location, form = _one(element, "location"), _one(element, "format")
        return Rpm(
            name=element.findtext(f"{_COMMON}name") or "",
            arch=element.findtext(f"{_COMMON}arch") or "",
            evr=_evr(version),
            sum=_sum(checksum),
            size=int(_one(element, "size").get("package", "0")),
            location=location.attrib["href"],
            provides=_capabilities(form, "provides"),
            requires=_capabilities(form, "requires"),
            paths=frozenset(item.text or "" for item in form.iter(f"{_COMMON}file")),
            base=location.get("{http://www.w3.org/XML/1998/namespace}base", base),
            xml=_text(element),
        )
    except (KeyError, ValueError) as error:
        raise BadMetadataError(f"a package's description is incomplete: {error}") from None


def _one(element: ET.Element, name: str) -> ET.Element:
    found = element.find(f"{_COMMON}{name}")
    if found is None:
        raise KeyError(name)
    return found


def _evr(element: ET.Element) -> Evr:
    return Evr(element.get("epoch", "0"), element.get("ver", ""), element.get("rel", ""))


def _sum(element: ET.Element) -> tuple[str, str]:
    name = element.get("type", "")
    return ("sha1" if name == "sha" else name), (element.text or "").strip()


def _capabilities(form: ET.Element, kind: str) -> tuple[Capability, ...]:
    found = form.find(f"{_RPM}{kind}")
    entries = [] if found is None else list(found.iter(f"{_RPM}entry"))
    several = [
        Capability(entry.get("name", ""), entry.get("flags", ""), _evr(entry) if "flags" in entry.attrib else _ANY)
        for entry in entries
    ]
    return tuple(dict.fromkeys(several))


_PREFIXES: Mapping[str, str] = {_COMMON: "", _FILELISTS: "", _RPM: "rpm:"}


def _text(element: ET.Element) -> str:
    """An element with the prefixes that createrepo gives its names."""
    space, _, name = element.tag.rpartition("}")
    tag = f"{_PREFIXES.get(space + '}', '')}{name}"
    attributes = "".join(
        f" {key}={quoteattr(value)}" for key, value in element.attrib.items() if not key.startswith("{")
    )
    children = "".join(_text(child) for child in element)
    inner = escape((element.text or "").strip() if children else element.text or "") + children
    return f"<{tag}{attributes}>{inner}</{tag}>" if inner else f"<{tag}{attributes}/>"


def with_filelists(rpms: Iterable[Rpm], texts: Mapping[str, str]) -> list[Rpm]:
    """The packages with their elements of filelists, by their sums; with no files if it has none."""
    return [replace(rpm, filelist=texts.get(rpm.sum[1]) or _no_files(rpm)) for rpm in rpms]


def _no_files(rpm: Rpm) -> str:
    evr = f'epoch="{rpm.evr.epoch}" ver={quoteattr(rpm.evr.version)} rel={quoteattr(rpm.evr.release)}'
    head = f'<package pkgid="{rpm.sum[1]}" name={quoteattr(rpm.name)} arch="{rpm.arch}">'
    return f"{head}<version {evr}/></package>"
