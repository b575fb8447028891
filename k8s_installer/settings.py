"""Whether two versions of a file say the same to the program that reads it: comments and blanks do not count. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import yaml

_UNITS = "/etc/systemd/system/"
_ENVIRONMENT = ("/etc/sysconfig/", "/etc/etcd/etcd.conf", "/etc/sysctl.d/", "/etc/kubernetes/")
_ADDONS = "/etc/kubernetes/addons/"  # no process reads them: they are applied, to the byte
_YAML = (".yaml", ".kubeconfig")
_COMMENTS = ("#", ";")


@lru_cache(maxsize=256)  # most hosts have and want the same bytes, and a list of routes has a line for each host
def same(path: str, old: bytes, new: bytes) -> bool:
    """Whether a process that has read `old` behaves as if it had read `new`.

    Unit files and drop-ins, EnvironmentFiles, sysctl files and YAML are understood; anything else (keys,
    certificates, scripts, JSON) is the same only to the byte.
    """
    meaning = _reader(path)
    if meaning is None:
        return old == new
    try:
        return meaning(old.decode()) == meaning(new.decode())
    except (UnicodeDecodeError, yaml.YAMLError):
        return False


def _reader(path: str) -> Callable[[str], object] | None:
    if path.startswith(_ADDONS):
        return None
    name = path.rsplit("/", 1)[1]
    if name.endswith(_YAML):
        return _document
    if path.startswith(_UNITS):
        return _lines
    if path.startswith(_ENVIRONMENT) and ("." not in name or name.endswith(".conf")) and "/pki/" not in path:
        return assignments
    return None


def _document(text: str) -> object:
    return yaml.safe_load(text)


def _lines(text: str) -> list[str]:
    """A unit's lines: their order counts (ExecStartPre may stand more than once), blanks at their ends do not."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(_COMMENTS)]


def assignments(text: str) -> dict[str, str]:
    """NAME=VALUE, where the last one counts; units pass values unquoted, so runs of blanks in them are one blank."""
    pairs = (line.partition("=") for line in _lines(text))
    return {name.strip(): " ".join(value.strip().strip("\"'").split()) for name, _, value in pairs}
