"""What a bundle says of itself: every file in it with its sum and source, as its first member. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from k8s_installer.errors import InputError

NAME = "manifest.json"
SUM = f"{NAME}.sha256"  # the second member: the manifest's own sum, as sha256sum prints it
REPODATA = ("rpms/repodata/repomd.xml", "rpms/repodata/primary.xml.gz", "rpms/repodata/filelists.xml.gz")

# Each part begins with a letter or a digit, so that none leads up or out.
_NAME = r"^[A-Za-z0-9][-A-Za-z0-9._+~:@^]*(/[A-Za-z0-9][-A-Za-z0-9._+~:@^]*)*$"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Model):
    """One file of a bundle: its name in the archive, its sum, its size, and where it came from."""

    name: str = Field(pattern=_NAME, max_length=250)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    source: str


class Rpm(Entry):
    """A package; yum checks the signature of one that is `signed`."""

    signed: bool


class Image(Entry):
    """A container image as a docker archive; `id` is its configuration's digest, by which docker calls it."""

    references: tuple[str, ...]
    id: str = Field(pattern="^sha256:[0-9a-f]{64}$")


class Manifest(_Model):
    """The whole of it. `assumed` are capabilities that the hosts have of themselves, as patterns.

    `programs` is upstream's tarball of server programs, where the inventory takes them from there.
    """

    format: Literal[1] = 1
    cluster: str
    version: str
    assumed: tuple[str, ...] = ()
    rpms: tuple[Rpm, ...] = ()
    repodata: tuple[Entry, ...] = ()
    images: tuple[Image, ...] = ()
    programs: Entry | None = None

    def entries(self) -> Iterator[Entry]:
        """Every file after the manifest, in the order of the archive."""
        yield from self.repodata
        yield from self.rpms
        yield from self.images
        if self.programs is not None:
            yield self.programs

    @property
    def size(self) -> int:
        """How many bytes its files have."""
        return sum(entry.size for entry in self.entries())


def dumped(manifest: Manifest) -> bytes:
    """The bytes of a manifest; the same one gives the same."""
    return (manifest.model_dump_json(indent=1) + "\n").encode()


def loaded(data: bytes, where: str) -> Manifest:
    """Read a manifest; `where` names the bundle for messages.

    Raises:
        InputError: it is none, or one that a newer version of this program made.
    """
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        words = f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
        raise InputError(f"{where}: its {NAME} cannot be read: {words}", hint="create the bundle again") from None
