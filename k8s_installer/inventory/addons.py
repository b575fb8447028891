"""The folder `addons` beside an inventory: manifests that are applied to the cluster, checked before any host is asked.

They are plain files, and no templates. What the API makes of them is the API's to say; here they must be objects
that `kubectl apply` can name. Those in `addons/early` are applied before the nodes start; of the others `moment` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from k8s_installer.errors import Finding, InventoryError
from k8s_installer.inventory import moment
from k8s_installer.inventory.cluster import Addon, ApiKind
from k8s_installer.inventory.source import Lines, read_all
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

FOLDER = "addons"
DNS = "cluster-dns.yaml"  # the name of ours
SUFFIXES = (".yaml", ".yml", ".json")
_NAME = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]*")

_CONTAINERS = ("containers", "initContainers")

_Key = tuple[str, ...]  # API group, kind, namespace and name: what the API knows an object by


@dataclass(frozen=True, slots=True)
class _Manifest:
    """A file as it was read: the addon, its objects, and what it says of its moment (None where it says nothing)."""

    addon: Addon
    objects: Sequence[moment.Object]
    said: str | None


def addons(folder: Path) -> tuple[tuple[Addon, ...], list[Finding]]:
    """The manifests of an inventory's folder, as they are applied, in order, and all that is wrong with them."""
    found: dict[str, _Manifest] = {}
    findings: list[Finding] = []
    seen: dict[_Key, str] = {}
    for where, early in ((folder / FOLDER / moment.EARLY, True), (folder / FOLDER, False)):
        for path in sorted(where.glob("*")):
            if path.suffix not in SUFFIXES or path.name.startswith("."):
                continue
            if path.name in found:
                finding = Finding(str(path), 0, f"another addon has this name: {FOLDER}/{moment.EARLY}/{path.name}")
                findings.append(finding)
            for manifest in _read(path, seen, findings, early=early):
                found[path.name] = manifest
    return _in_order(found.values()), findings


def _in_order(manifests: Iterable[_Manifest]) -> tuple[Addon, ...]:
    """The early ones first, each group by name."""
    namespaces: set[str] = set()
    result = []
    for manifest in sorted(manifests, key=lambda item: item.addon.name):
        when = manifest.said or moment.natural(manifest.objects, namespaces)
        if when == moment.EARLY:
            namespaces.update(moment.made(manifest.objects))
        result.append(replace(manifest.addon, early=when == moment.EARLY))
    return tuple(sorted(result, key=lambda addon: not addon.early))


def _read(path: Path, seen: dict[_Key, str], findings: list[Finding], *, early: bool) -> Iterator[_Manifest]:
    file = str(path)
    if not _NAME.fullmatch(path.name):
        findings.append(Finding(file, 0, "an addon's name may have only letters, digits, '.', '-' and '_'"))
    if path.name == DNS:
        findings.append(Finding(file, 0, f"{DNS} is the cluster's own DNS", "rename the file"))
    try:
        content = userfile.content(path)
        text = content.decode()
        documents = read_all(text, file)
    except UnreadableError as error:
        findings.append(Finding(file, 0, f"cannot read the addon: {error}"))
        return
    except UnicodeError:
        findings.append(Finding(file, 0, "not UTF-8 text"))
        return
    except InventoryError as error:
        findings.extend(error.findings)
        return
    objects = [found for data, lines in documents for found in _objects(data, lines, file, findings)]
    if not objects and not any(finding.file == file for finding in findings):
        findings.append(Finding(file, 0, "contains no object"))
    for item, line in objects:
        key = _key(item)
        if key in seen:
            findings.append(Finding(file, line, f"{item['kind']} {key[-1]} appears twice", f"first in {seen[key]}"))
        seen.setdefault(key, f"{path.name}:{line}")
    images = dict.fromkeys(image for data, _ in documents for image in _images(data))
    secret = any(item["kind"] == "Secret" for item, _ in objects)
    said = _said(text, file, findings, early=early)
    kinds = tuple(ApiKind(item["apiVersion"], item["kind"], line) for item, line in objects)
    addon = Addon(path.name, content, secret, tuple(images), file=file, kinds=kinds)
    yield _Manifest(addon, [item for item, _ in objects], said)


def _said(text: str, file: str, findings: list[Finding], *, early: bool) -> str | None:
    """When the manifest says that it comes, by its folder or its leading comment."""
    said = moment.said(text)
    if said not in (None, moment.EARLY, moment.LATE):
        words = f"# k8s-installer: {said}"
        findings.append(Finding(file, 1, f"{words}: an addon is {moment.EARLY} or {moment.LATE}"))
    if early and said == moment.LATE:
        findings.append(
            Finding(file, 1, "its comment says late, but its folder is early", "move the file, or change the comment")
        )
    return moment.EARLY if early else said


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


def _objects(data: object, lines: Lines, file: str, findings: list[Finding]) -> Iterator[tuple[moment.Object, int]]:
    """The objects of one document, each with its line; a List, or a RoleList and the like, holds several."""
    if data is None:
        return
    if isinstance(data, dict) and str(data.get("kind")).endswith("List") and isinstance(data.get("items"), list):
        for number, item in enumerate(data["items"]):
            yield from _object(item, ("items", str(number)), lines, file, findings)
    else:
        yield from _object(data, (), lines, file, findings)


def _object(
    data: object, path: tuple[str, ...], lines: Lines, file: str, findings: list[Finding]
) -> Iterator[tuple[moment.Object, int]]:
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
    yield data, line


def _key(item: moment.Object) -> _Key:
    group, metadata = item["apiVersion"].rpartition("/")[0], item["metadata"]
    return group, item["kind"], str(metadata.get("namespace") or "default"), metadata["name"]
