"""How single values of the file are written: each type checks one, and says in JSON Schema what it accepts."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from k8s_installer.inventory import addresses, nodes
from k8s_installer.inventory.cluster import Taint

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# What survives systemd's EnvironmentFile and word splitting as one word of a command line. A % does: systemd expands it
# in unit files alone.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PORTS = 65535
_LONGEST = 4096  # more than any program reads; Python reads no number of more than 4,300 digits
_SPECIAL = re.compile(r"""["'\\$`]""")
_USER = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]{1,128}")
_FLAG = re.compile(r"[A-Za-z0-9][-_A-Za-z0-9]*")
_URL = re.compile(r"https?://[^\s/]+/\S+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_IMAGES_AT = re.compile(r"[A-Za-z0-9][-.A-Za-z0-9]*(:\d{1,5})?(/[a-z0-9][-._a-z0-9]*)*")
_PACKAGE = re.compile(r"[A-Za-z0-9][-._+A-Za-z0-9]*")
_EVR = re.compile(r"(\d{1,9}:)?[A-Za-z0-9][A-Za-z0-9._+~^]*(-[A-Za-z0-9][A-Za-z0-9._+~^]*)?")
_PROXY = re.compile(r"https?://[-.:\w\[\]]+:\d+/?")
_DOMAIN_LENGTH = 200  # of 253, so that names of Services fit in front of it


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError("must be a DNS label: at most 63 lowercase letters, digits and '-'")
    return value


def _domain(value: str) -> str:
    if len(value) > _DOMAIN_LENGTH or not all(_LABEL.fullmatch(label) for label in value.split(".")):
        raise ValueError(
            f"must be DNS labels (lowercase letters, digits, '-') separated by dots, at most {_DOMAIN_LENGTH} "
            "characters"
        )
    return value


def _flag(value: str) -> str:
    if not _FLAG.fullmatch(value):
        raise ValueError("is not a flag name: use letters, digits, '-' and '_', without leading dashes")
    return value


def sha256(value: object) -> object:
    """A SHA-256 in lower case.

    Raises:
        ValueError: it is none.
    """
    text = str(value).lower()
    if not _SHA256.fullmatch(text):
        raise ValueError("is not a SHA-256: use 64 hexadecimal digits, as sha256sum prints them")
    return text


def _url(value: str) -> str:
    if not _URL.fullmatch(value):
        raise ValueError("must be the URL of a file, starting with https:// or http://")
    return value


def _package(value: str) -> str:
    if not _PACKAGE.fullmatch(value):
        raise ValueError("is not the name of a package")
    return value


def _evr(value: str) -> str:
    if not _EVR.fullmatch(value):
        raise ValueError("must be VERSION-RELEASE or VERSION, as `yum list --showduplicates NAME` shows it")
    return value


def _quoted(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError("must be in quotes: without them YAML reads a number, and 1.20 as 1.2")  # noqa: TRY004
    return value


def _text(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError(f"must be text such as 10.0.0.11, not the number {value}")  # noqa: TRY004 - pydantic's way
    return value


def _word(value: object) -> object:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            shown = {key: str(inner).lower() if isinstance(inner, bool) else inner for key, inner in item.items()}
            pairs = ", ".join(f"{key}={inner}" for key, inner in shown.items())
            raise ValueError(f"must not be a mapping: use a list, [{pairs}]")  # noqa: TRY004 - pydantic's way
        if isinstance(item, list) or (item is None and isinstance(value, list)):
            raise ValueError("must be a string, a number, true, false, a list of those, or null to remove the flag")
        if isinstance(item, str):
            _fit(item)
    return value


def _fit(text: str) -> None:
    """Let pass what survives systemd's EnvironmentFile and word splitting as one word of a command line."""
    if len(text) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} characters")
    if _CONTROL.search(text):
        raise ValueError("has a line break or another control character, which a systemd command line cannot contain")
    if re.search(r"\s", text):
        raise ValueError("has a space, where systemd would split it in two; for several values use a list: [a, b]")
    special = _SPECIAL.search(text)
    if special:
        raise ValueError(f"has a {special[0]} in it, which systemd or a shell would interpret")


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise ValueError("is not a user name: no spaces or control characters")
    return value


def _proxy(value: str) -> str:
    if not _PROXY.fullmatch(value):
        raise ValueError("must be an address such as http://proxy.example.com:3128, without a password")
    return value


def image_registry(value: str) -> str:
    """A registry of images, perhaps with a path below it; a ValueError says what it must be."""
    place = value.rstrip("/")
    found = _IMAGES_AT.fullmatch(place)
    if value and (not found or int((found[1] or ":0")[1:]) > _PORTS):
        raise ValueError("must be a registry such as registry.example.com:5000 or registry.example.com/mirror")
    return place


def like(pattern: re.Pattern[str] | str, **more: int) -> WithJsonSchema:
    """In JSON Schema, a text that a pattern matches as a whole; editors know no names of groups."""
    said = pattern if isinstance(pattern, str) else pattern.pattern
    return WithJsonSchema({"type": "string", "pattern": f"^(?:{re.sub('[?]P<[a-z]+>', '', said)})$", **more})


_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_ADDRESS = rf"{_BYTE}(?:\.{_BYTE}){{3}}"
_WORD = like(r"""[^\s\x00-\x1f\x7f-\x9f"'\\$`]*""", maxLength=_LONGEST).json_schema
_ONE = [_WORD, {"type": ["number", "boolean"]}]
_ARG = {"anyOf": [*_ONE, {"type": "array", "items": {"anyOf": _ONE}}, {"type": "null"}]}
_KEY = rf"(?:{nodes.PREFIX.pattern}/)?{nodes.NAME.pattern}"

Label = Annotated[str, AfterValidator(_label), like(_LABEL)]
Sum = Annotated[str, BeforeValidator(sha256), like("[0-9a-fA-F]{64}")]
Url = Annotated[str, AfterValidator(_url), like(_URL)]
Domain = Annotated[
    str, AfterValidator(_domain), like(rf"{_LABEL.pattern}(?:\.{_LABEL.pattern})*", maxLength=_DOMAIN_LENGTH)
]
Flag = Annotated[str, AfterValidator(_flag), like(_FLAG)]
ProxyUrl = Annotated[str, AfterValidator(_proxy), like(_PROXY)]
Mirror = Annotated[str, AfterValidator(addresses.mirror), like(rf"https?://{addresses.HOST.pattern}/*")]
Registry = Annotated[str, AfterValidator(addresses.registry), like(rf"{addresses.HOST.pattern}|[0-9a-fA-F.:]+/[0-9.]+")]
User = Annotated[str, AfterValidator(_user), like(_USER)]
Gateway = Annotated[str, AfterValidator(addresses.gateway), like(addresses.GATEWAY)]
Endpoint = Annotated[str, AfterValidator(addresses.endpoint), like(addresses.ENDPOINT)]
Address = Annotated[IPv4Address, BeforeValidator(_text), like(_ADDRESS)]
Network = Annotated[IPv4Network, BeforeValidator(_text), like(rf"{_ADDRESS}(?:/(?:3[0-2]|[12]?\d|{_ADDRESS}))?")]
Word = Annotated[str, BeforeValidator(_word), WithJsonSchema(_WORD)]
Version = Annotated[str, BeforeValidator(_quoted)]
ProgramVersion = Annotated[str, Field(pattern=r"^v?\d+(\.\d+)+$"), BeforeValidator(_quoted)]
PackageName = Annotated[str, AfterValidator(_package), like(_PACKAGE)]
PackageVersion = Annotated[str, BeforeValidator(_quoted), AfterValidator(_evr), like(_EVR)]
ImageName = Annotated[
    str, BeforeValidator(_word), AfterValidator(addresses.image), like(rf"(?:{addresses.IMAGE.pattern})?")
]
ImageRegistry = Annotated[str, AfterValidator(image_registry), like(rf"(?:{_IMAGES_AT.pattern}/*)?")]
LabelKey = Annotated[str, AfterValidator(nodes.label_key), like(_KEY)]
LabelText = Annotated[str, AfterValidator(nodes.label), like(rf"(?:{nodes.NAME.pattern})?")]
LabelValue = Annotated[LabelText | None, BeforeValidator(nodes.text)]
AnnotationKey = Annotated[str, AfterValidator(nodes.annotation_key), like(_KEY)]
AnnotationText = Annotated[str, AfterValidator(nodes.annotation)]
AnnotationValue = Annotated[AnnotationText | None, BeforeValidator(nodes.text)]
TaintText = Annotated[
    Taint,
    BeforeValidator(nodes.taint),
    like(rf"{_KEY}(?:={nodes.NAME.pattern}|=)?:(?:{'|'.join(nodes.EFFECTS)})"),
]
Scalar = str | int | float | bool
Arg = Annotated[Scalar | list[Scalar] | None, BeforeValidator(_word), WithJsonSchema(_ARG)]


class Model(BaseModel):
    """A mapping of the file with keys of its own; any other key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, defer_build=True)
