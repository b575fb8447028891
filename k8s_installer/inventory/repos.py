"""`repos:`, where CentOS 7's packages come from: a word, or a mapping with one address or one file."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from k8s_installer.inventory.values import Model, Sum, like, sha256

# Where CentOS 7 is since its mirrors are gone. Plain HTTP, for a host that was never updated knows no authority that
# signed this server's certificate; what is installed from it is checked by the distribution's own key.
VAULT = "http://vault.centos.org"
RELEASE = "7.9.2009"  # the last one, and its folder there
_ADDRESS = re.compile(r"(https?|ftp|file)://[^\s\"'\\$`%]+")
_OWN = ("mirror", "vault")

Address = Annotated[str, like(_ADDRESS)]
FilePath = Annotated[str, WithJsonSchema({"type": "string", "minLength": 1})]


class BundleModel(Model):
    """A bundle: packages and images from one file."""

    file: str
    sha256: str = ""


class _Bundle(Model):
    """A bundle: packages and images from one file."""

    bundle: FilePath = Field(
        description="The file that `bundle create` wrote; a relative path starts at the inventory's folder.",
        examples=["lab.bundle"],
    )
    sha256: Sum | None = Field(
        default=None,
        description="The SHA-256 of its manifest, as `bundle create` prints it. Without it, any bundle is accepted.",
        examples=["0123456789abcdef" * 4],
    )


class _Vault(Model):
    """A copy of CentOS 7's archive."""

    vault: Address = Field(
        description=f"The folder that contains `{RELEASE}`.", examples=["http://mirror.example.com/centos-vault"]
    )


class _Mirror(Model):
    """A mirror of CentOS 7's last release."""

    mirror: Address = Field(
        description="The folder that contains `os`, `updates` and `extras`.",
        examples=[f"http://mirror.example.com/centos/{RELEASE}"],
    )


def repos(value: object) -> object:
    """The address of the repositories, nothing for `as-is`, or a bundle; one without a file is given to each command.

    Raises:
        ValueError: it is none of these.
    """
    (kind, said), *more = value.items() if isinstance(value, dict) and value else [("", "")]
    if kind == "bundle" and isinstance(said, str) and said and [key for key, _ in more] == ["sha256"]:
        return BundleModel(file=said, sha256=str(sha256(more[0][1])))
    if value == "bundle" or (kind == "bundle" and isinstance(said, str) and said and not more):
        return BundleModel(file=said)
    if kind in _OWN and isinstance(said, str) and not more:
        if not _ADDRESS.fullmatch(said):
            example = f"http://mirror.example.com/centos{f'/{RELEASE}' if kind == 'mirror' else '-vault'}"
            raise ValueError(f"{kind} must be an address such as {example}")
        return said.rstrip("/") if kind == "mirror" else f"{said.rstrip('/')}/{RELEASE}"
    if not isinstance(value, str) or value not in ("as-is", "vault"):
        raise ValueError(
            "must be as-is, vault, bundle, {vault: URL}, {mirror: URL}, {bundle: FILE} or {bundle: FILE, sha256: SUM}"
        )
    return f"{VAULT}/{RELEASE}" if value == "vault" else ""


_Written = Literal["as-is", "vault", "bundle"] | _Vault | _Mirror | _Bundle
Repos = Annotated[str | BundleModel, BeforeValidator(repos, json_schema_input_type=_Written)]
