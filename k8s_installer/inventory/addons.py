"""The folder `addons` beside an inventory: manifests that are applied to the cluster, checked before any host is asked.

They are plain files, and no templates. What the API makes of them is the API's to say; here they must be objects
that `kubectl apply` can name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from k8s_installer.errors import Finding, InventoryError
from k8s_installer.inventory.cluster import Addon
from k8s_installer.inventory.source import Lines, read_all

FOLDER = "addons"
DNS = "cluster-dns.yaml"  # the name of ours
SUFFIXES = (".yaml", ".yml", ".json")
_NAME = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]*")

_CONTAINERS = ("containers", "initContainers")

_Object = tuple[str, ...]  # API group, kind, namespace and name: what the API knows an object by


def addons(folder: Path) -> tuple[tuple[Addon, ...], list[Finding]]:
    """The manifests of an inventory's folder in the order of their names, and all that is wrong with them."""
    found: list[Addon] = []
    findings: list[Finding] = []
    seen: dict[_Object, str] = {}
    for path in sorted((folder / FOLDER).glob("*")):
        if path.suffix in SUFFIXES and not path.name.startswith("."):
            found += _addon(path, seen, findings)
    return tuple(found), findings


def _addon(path: Path, seen: dict[_Object, str], findings: list[Finding]) -> Iterator[Addon]:
    file = str(path)
    if not _NAME.fullmatch(path.name):
        findings.append(Finding(file, 0, "an addon's name has letters, digits, '.', '-' and '_' alone"))
    if path.name == DNS:
        findings.append(Finding(file, 0, f"{DNS} is the cluster's own DNS", "give the file another name"))
    try:
        content = path.read_bytes()
        documents = read_all(content.decode(), file)
    except OSError as error:
        findings.append(Finding(file, 0, f"cannot read the addon: {error.strerror}"))
        return
    except UnicodeError:
        findings.append(Finding(file, 0, "not UTF-8 text"))
        return
    except InventoryError as error:
        findings.extend(error.findings)
        return
    objects = [found for data, lines in documents for found in _objects(data, lines, file, findings)]
    if not objects and not any(finding.file == file for finding in findings):
        findings.append(Finding(file, 0, "holds no object"))
    for key, line in objects:
        if key in seen:
            _, kind, _, name = key
            findings.append(Finding(file, line, f"{kind} {name} stands twice", f"first in {seen[key]}"))
        seen.setdefault(key, f"{path.name}:{line}")
    images = dict.fromkeys(image for data, _ in documents for image in _images(data))
    yield Addon(path.name, content, any(kind == "Secret" for (_, kind, _, _), _ in objects), tuple(images))


def _images(data: object) -> Iterator[str]:
    """The images of all containers in a document, however deep: of a Pod, a Deployment, a CronJob, a List of them."""
    if isinstance(data, list):
        for item in data:
            yield from _images(item)
    elif isinstance(data, dict):
        for key, value in data.items():
            if key in _CONTAINERS and isinstance(value, list):
                images = (item.get("image") for item in value if isinstance(item, dict))
                yield from (image for image in images if isinstance(image, str) and image)
            else:
                yield from _images(value)


def _objects(data: object, lines: Lines, file: str, findings: list[Finding]) -> Iterator[tuple[_Object, int]]:
    """The objects of one document, each with its line; a List holds several."""
    if data is None:
        return
    if isinstance(data, dict) and data.get("kind") == "List" and isinstance(data.get("items"), list):
        for number, item in enumerate(data["items"]):
            yield from _object(item, ("items", str(number)), lines, file, findings)
    else:
        yield from _object(data, (), lines, file, findings)


def _object(
    data: object, path: tuple[str, ...], lines: Lines, file: str, findings: list[Finding]
) -> Iterator[tuple[_Object, int]]:
    line = lines[path]
    if not isinstance(data, dict):
        findings.append(Finding(file, line, "an object is a mapping with apiVersion, kind and metadata"))
        return
    metadata: Any = data.get("metadata")
    named = metadata.get("name") if isinstance(metadata, dict) else None
    words = {"apiVersion": data.get("apiVersion"), "kind": data.get("kind"), "metadata.name": named}
    missing = [key for key, value in words.items() if not isinstance(value, str) or not value]
    if missing:
        findings.append(Finding(file, line, f"an object without {', '.join(missing)}"))
        return
    version, kind, name = map(str, words.values())
    yield (version.rpartition("/")[0], kind, str(metadata.get("namespace") or "default"), name), line
