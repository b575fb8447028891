"""JSON Schemas (draft 2020-12) of the files that people write, made from the models that read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from k8s_installer.inventory.schema import InventoryModel
from k8s_installer.profiles import available, files
from k8s_installer.profiles.components import names
from k8s_installer.profiles.schema import Component, Profile

DRAFT = "https://json-schema.org/draft/2020-12/schema"  # a name, which nobody loads
_DEFS = "#/$defs/"
_NULL = {"type": "null"}
_MOST = 2  # entries of a map in an example

Json = dict[str, Any]


def inventory() -> Json:
    """That of an inventory, with the names of the packaged components for editors to offer; others stay allowed."""
    made = _made(InventoryModel, "inventory")
    packaged = _components()
    for place in (made, made["$defs"]["Host"]):
        shape = place["properties"]["components"]
        shape["properties"] = {
            name: {**shape["additionalProperties"], "description": said["why"]}
            for name, said in packaged.items()
            if said.get("tunable", True)
        }
    return made


def component() -> Json:
    """That of a component's file; examples are those of the packaged ones."""
    made = _made(Component, "component")
    _illustrate(made, [*_components().values()], made["$defs"])
    return made


def profile() -> Json:
    """That of a profile's file; what it says of a component is laid over the component's own file."""
    made = _made(Profile, "profile")
    shapes = made["$defs"]
    _illustrate(shapes["Component"], [*_components().values()], shapes)
    _illustrate(made, [files.parsed(files.PROFILES / f"{one}.yaml", files.as_yaml) for one in available()], shapes)
    components = made["properties"]["components"]
    components["additionalProperties"] = _over(components["additionalProperties"], shapes)
    made["$defs"] = {name: shapes[name] for name in sorted(_needed(made["properties"], shapes, set()))}
    return made


SCHEMAS: Mapping[str, Callable[[], Json]] = {"inventory": inventory, "profile": profile, "component": component}


def _components() -> dict[str, Json]:
    """The files of the packaged components, as plain data."""
    paths = {name: files.COMPONENTS / f"{name}.yaml" for name in names(files.COMPONENTS)}
    return {name: files.parsed(path, files.as_yaml) for name, path in paths.items()}


def _made(model: type[BaseModel], name: str) -> Json:
    made: Json = _tidy(model.model_json_schema())
    return {"$schema": DRAFT, "title": f"k8s-installer: {name}", **made}


def _tidy(node: Any) -> Any:  # noqa: ANN401 - any JSON
    """What pydantic writes, without titles and defaults that say nothing, and with the keys of every map checked."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _below(key, value) for key, value in node.items() if not _silent(key, value)}
    if patterns := made.pop("patternProperties", None):
        ((pattern, values),) = patterns.items()
        made |= {"propertyNames": {"pattern": pattern}, "additionalProperties": values}
    return made


def _below(key: str, value: Any) -> Any:  # noqa: ANN401 - any JSON
    match key:
        case "examples" | "default" | "enum":
            return value
        case "$ref":
            return _DEFS + _short(value.removeprefix(_DEFS))
        case "$defs":
            return {_short(name): _tidy(shape) for name, shape in value.items()}
        case "properties":
            return {name: _tidy(shape) for name, shape in value.items()}
    return _tidy(value)


def _short(name: str) -> str:
    """A class's name as that of a shape."""
    return name.removeprefix("_").removesuffix("Model").removesuffix("Spec")


def _silent(key: str, value: object) -> bool:
    """Whether an entry says nothing: a class's name, or that something is nothing if it is left out."""
    says = isinstance(value, str | int | float) and value != ""
    return (key == "title" and isinstance(value, str)) or (key == "default" and not says)


def _shape(node: Json, shapes: Mapping[str, Json]) -> Json:
    """What stands for a node: itself, or the shape that it refers to."""
    return shapes[node["$ref"].removeprefix(_DEFS)] if "$ref" in node else node


def _illustrate(node: Json, said: Sequence[Any], shapes: Mapping[str, Json]) -> None:
    """Give every key that has no example the first one that real files have."""
    shape = _shape(node, shapes)
    maps = [value for value in said if isinstance(value, Mapping)]
    for name, below in shape.get("properties", {}).items():
        values = [value[name] for value in maps if value.get(name) is not None]
        if values:
            below.setdefault("examples", [_part(values[0], below)])
        _illustrate(below, values, shapes)
    if isinstance(shape.get("additionalProperties"), dict):
        _illustrate(shape["additionalProperties"], [inner for value in maps for inner in value.values()], shapes)
    if "items" in shape:
        lists = [value for value in said if isinstance(value, list)]
        _illustrate(shape["items"], [inner for value in lists for inner in value], shapes)
    for other in shape.get("anyOf", ()):
        _illustrate(other, said, shapes)


def _part(value: object, shape: Json) -> object:
    """Of a map with many keys the first ones."""
    if isinstance(value, Mapping) and "additionalProperties" in shape:
        return dict([*value.items()][:_MOST])
    return value


def _over(node: Json, shapes: dict[str, Json]) -> Json:
    """What may be laid over a node: no key is required, and null removes one; lists and scalars are replaced."""
    if "$ref" in node:
        name = node["$ref"].removeprefix(_DEFS)
        if "properties" not in shapes[name]:
            return node
        changed = f"{name}Change"
        if changed not in shapes:
            shapes[changed] = _over(shapes[name], shapes)
        return {**node, "$ref": _DEFS + changed}
    made = {key: value for key, value in node.items() if key != "required"}
    if "properties" in node:
        made["properties"] = {name: _or_null(_over(below, shapes)) for name, below in node["properties"].items()}
    if isinstance(node.get("additionalProperties"), dict):
        made["additionalProperties"] = _or_null(_over(node["additionalProperties"], shapes))
    if "anyOf" in node:
        made["anyOf"] = [_over(below, shapes) for below in node["anyOf"]]
    return made


def _or_null(node: Json) -> Json:
    said = {key: node[key] for key in node if key in ("description", "examples")}
    return {**said, "anyOf": [{key: node[key] for key in node if key not in said}, _NULL]}


def _needed(node: object, shapes: Mapping[str, Json], found: set[str]) -> set[str]:
    """The names of the shapes that a node refers to, at any distance."""
    for name in _named(node):
        if name not in found:
            found.add(name)
            _needed(shapes[name], shapes, found)
    return found


def _named(node: object) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix(_DEFS)
        for below in node.values():
            yield from _named(below)
    elif isinstance(node, list):
        for below in node:
            yield from _named(below)
