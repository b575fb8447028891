"""What shells offer when somebody presses Tab: names from the inventory on the command line, and of files.

Each function takes the beginning of a word and gives the words that it may become. Nothing here may fail, wait for a
host or print: a Tab on a broken inventory offers nothing. The file is read as plain YAML, without what checks it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import typer

_PACKAGE = Path(__file__).parents[1]
_NAME = re.compile(r"[A-Za-z0-9][-.\w]*")  # whatever else stands in a file is nothing to put into a shell
_USUAL = Path("cluster.yaml")
_EXPLANATIONS = _PACKAGE / "explanations"
_GUIDES = ("kubeadm", "order")
_LARGEST = 1 << 17  # bytes of an inventory of two thousand hosts, which takes a tenth of a second to read
_ROOTS = ("ca", "etcd-ca", "etcd-peer-ca", "front-proxy-ca", "flannel-ca", "encryption", "sa")
_BESIDES = ("addons", "host", "nodes")  # what `--only` takes besides components that have a file

_Asked = ParamSpec("_Asked")


def _quiet(complete: Callable[_Asked, list[str]]) -> Callable[_Asked, list[str]]:
    @wraps(complete)
    def completed(*asked: _Asked.args, **named: _Asked.kwargs) -> list[str]:
        with suppress(Exception):  # of any kind: it would be printed into the line that is being typed
            return complete(*asked, **named)
        return []

    return completed


@_quiet
def hosts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Hosts of the inventory, in a list divided by commas."""
    return _listed(_names(_inventory(ctx).get("hosts")), incomplete)


@_quiet
def host(ctx: typer.Context, incomplete: str) -> list[str]:
    """One host of the inventory."""
    return _beginning(_names(_inventory(ctx).get("hosts")), incomplete)


@_quiet
def components(ctx: typer.Context, incomplete: str) -> list[str]:
    """Components, also those beside the inventory, in a list divided by commas."""
    folders = [_PACKAGE / "components", _path(ctx).parent / "components"]
    return _listed(
        sorted({path.stem for folder in folders for path in folder.glob("*.yaml")} | {*_BESIDES}), incomplete
    )


@_quiet
def topics(ctx: typer.Context, incomplete: str) -> list[str]:
    """What can be explained in a word: guides, components, concepts, and hosts of the inventory."""
    texts = [name for file in ("components", "concepts") for name in _read(_EXPLANATIONS / f"{file}.yaml")]
    return _beginning([*_GUIDES, *sorted(texts), *host(ctx, "")], incomplete)


@_quiet
def roots(incomplete: str) -> list[str]:
    """The CAs and keys that can be rotated."""
    return _beginning(_ROOTS, incomplete)


@_quiet
def inventories(incomplete: str) -> list[str]:
    """YAML files here, and one folder further down; where there are none, the shell offers files by itself."""
    folder, _, begun = incomplete.rpartition("/")
    start = Path(folder + "/" if folder or incomplete.startswith("/") else ".").expanduser()
    prefix = f"{folder}/" if incomplete.rpartition("/")[1] else ""
    found = [path.relative_to(start) for pattern in ("*.y*ml", "*/*.y*ml") for path in start.glob(pattern)]
    return sorted(f"{prefix}{path}" for path in found if str(path).startswith(begun) and not str(path).startswith("."))


@_quiet
def labs(incomplete: str) -> list[str]:
    """Labs of this machine."""
    return _beginning(sorted(folder.name for folder in _labs().iterdir()), incomplete)


@_quiet
def lab_hosts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Hosts of the lab that the command is about."""
    path = _labs() / str(ctx.params.get("name") or "demo") / "inventory.yaml"
    return _beginning(_names(_read(path).get("hosts")), incomplete)


def _labs() -> Path:
    from platformdirs import user_cache_path  # noqa: PLC0415 - only where somebody asks for it

    return user_cache_path("k8s-installer", appauthor=False) / "labs"


def _path(ctx: typer.Context) -> Path:
    """The inventory that the command line so far is about."""
    return Path(ctx.params.get("inventory") or _USUAL).expanduser()


def _inventory(ctx: typer.Context) -> Mapping[str, Any]:
    return _read(_path(ctx))


def _read(path: Path) -> Mapping[str, Any]:
    import yaml  # noqa: PLC0415 - only where somebody asks for it

    if path.stat().st_size > _LARGEST:
        return {}
    data = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe one
    return data if isinstance(data, dict) else {}


def _names(said: object) -> list[str]:
    return [name for name in said if isinstance(name, str)] if isinstance(said, dict) else []


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete) and _NAME.fullmatch(name)]


def _listed(names: Iterable[str], incomplete: str) -> list[str]:
    """The lists that a list may become by its last name; none has a name twice."""
    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    return [f"{before}{comma}{name}" for name in _beginning(names, last) if name not in given]
