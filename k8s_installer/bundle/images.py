"""Container images as docker archives: which an inventory needs, and files that `docker load` takes.

An archive holds one image, under all the names that it is needed by, and the same image makes the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from k8s_installer.inventory import Cluster
from k8s_installer.profiles import Profile
from k8s_installer.profiles import images as named
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

_CHUNK = 1 << 20
_PACKED = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))


# How an archive shows that it is none, or is damaged.
_BROKEN = (
    tarfile.TarError, OSError, UnreadableError, EOFError, zlib.error,
    ValueError, LookupError, TypeError, AttributeError, RecursionError,
)  # fmt: skip


class BadImageError(ValueError):
    """What was read is no image that docker could load; the message says why."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: its name in the archive, its size, and what opens it, as often as it is needed."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True, slots=True)
class Image:
    """An image: its configuration, whose sum is its id, and its layers, the lowest first."""

    config: bytes
    layers: Sequence[Layer]

    @property
    def id(self) -> str:
        """By which docker calls it."""
        return f"sha256:{hashlib.sha256(self.config).hexdigest()}"


def images(cluster: Cluster, profile: Profile) -> tuple[str, ...]:
    """The images that the nodes of a cluster run before anybody else has asked for any, its addons' among them."""
    spec = profile.dns.get(cluster.dns)
    wanted = [named.pause(cluster, profile), cluster.images.verify]
    wanted += named.of_dns(cluster, spec).values() if spec else ()
    wanted += (image for addon in cluster.addons for image in addon.images)
    return tuple(dict.fromkeys(name for name in wanted if name))


def full(reference: str) -> str:
    """A reference with its tag: `latest` is what none means.

    Raises:
        BadImageError: it names a digest, which docker cannot be given under a name.
    """
    if "@" in reference:
        raise BadImageError(f"{reference} has a digest: a bundle needs a name with a tag")
    name = reference.rpartition("/")[2]
    return reference if ":" in name else f"{reference}:latest"


def write(image: Image, references: Iterable[str], target: Path) -> None:
    """Write an image as an archive of its own.

    Raises:
        BadImageError: a layer is not what the configuration says.
    """
    _check(image)
    config = f"{image.id.removeprefix('sha256:')}.json"
    names = [f"{number:03}/layer.tar" for number, _ in enumerate(image.layers)]
    described = [{"Config": config, "RepoTags": sorted(references), "Layers": names}]
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, config, len(image.config), io.BytesIO(image.config))
        for name, layer in zip(names, image.layers, strict=True):
            with layer.open() as stream:
                _add(tar, name, layer.size, stream)
        data = json.dumps(described).encode()
        _add(tar, "manifest.json", len(data), io.BytesIO(data))


@contextmanager
def archive(path: Path) -> Iterator[Mapping[str, Image]]:
    """The images of an archive that `docker save` wrote, also in gzip's format, by their references.

    Raises:
        BadImageError: it is none, or is damaged.
    """
    try:
        with userfile.opened(path) as file, tarfile.open(fileobj=file, mode="r:*") as tar:
            members = {member.name.removeprefix("./"): member for member in tar}
            if "manifest.json" not in members:
                raise BadImageError("it has no manifest.json, so it is not from docker save")
            described = json.loads(_content(tar, members, "manifest.json"))
            found: dict[str, Image] = {}
            for item in described:
                image = Image(
                    _content(tar, members, item["Config"]), [_layer(tar, members, name) for name in item["Layers"]]
                )
                found |= dict.fromkeys(item.get("RepoTags") or (), image)
            yield found
    except _BROKEN as error:
        if isinstance(error, BadImageError):
            raise
        raise BadImageError(f"it cannot be read: {error}") from None


def _content(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], name: str) -> bytes:
    stream = tar.extractfile(members[name])
    if stream is None:
        raise BadImageError(f"{name} is not a file")
    if members[name].size > userfile.LARGEST:
        raise BadImageError(f"{name} has more than {userfile.LARGEST >> 20} MiB")
    return stream.read()


def _layer(tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], name: str) -> Layer:
    member = members[name]
    if member.issym():  # docker before 1.10 saved a layer that is there twice as a link
        folder = name.rpartition("/")[0]
        member = members["/".join(_resolved(f"{folder}/{member.linkname}".split("/")))]

    def opened() -> IO[bytes]:
        stream = tar.extractfile(member)
        if stream is None:
            raise BadImageError(f"{name} is not a file")
        return stream

    return Layer(name, member.size, opened)


def _resolved(parts: Iterable[str]) -> list[str]:
    path: list[str] = []
    for part in parts:
        if part == "..":
            path = path[:-1]
        elif part not in ("", "."):
            path.append(part)
    return path


def _check(image: Image) -> None:
    """See that an image is for these hosts, and that every layer is the one that its configuration names."""
    config: Any = json.loads(image.config)
    machine = f"{config.get('os', 'linux')}/{config.get('architecture', 'amd64')}"
    if machine != "linux/amd64":
        raise BadImageError(f"it is for {machine}: the hosts are linux/amd64")
    wanted = config["rootfs"]["diff_ids"]
    if len(wanted) != len(image.layers):
        raise BadImageError(f"it has {len(image.layers)} layers, but its configuration lists {len(wanted)}")
    for layer, diff in zip(image.layers, wanted, strict=True):
        with layer.open() as stream:
            came = _diff_id(stream)
        if came != diff:
            raise BadImageError(f"its layer {layer.name} is {came[:23]}..., not {diff[:23]}...")


def _diff_id(stream: IO[bytes]) -> str:
    start = stream.read(4)
    stream.seek(0)
    packed = next((name for magic, name in _PACKED if start.startswith(magic)), "")
    if packed == "zstd":
        raise BadImageError("its layers are compressed with zstd, which the hosts' docker cannot read")
    source: IO[bytes] = gzip.GzipFile(fileobj=stream) if packed else stream  # type: ignore[assignment]
    total = hashlib.sha256()
    while piece := source.read(_CHUNK):
        total.update(piece)
    return f"sha256:{total.hexdigest()}"


def _add(tar: tarfile.TarFile, name: str, size: int, stream: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    tar.addfile(entry, stream)
