"""docs/inventory.md: every key of the inventory, from its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import yaml

from k8s_installer.flows.schema import Json
from k8s_installer.flows.schema import inventory as schema

_HEAD = """\
# Inventory reference
<!-- {written} -->

An inventory is one YAML file that describes one cluster. `k8s-installer validate -i cluster.yaml` checks it and reports
everything at once, with line numbers; an unknown key is an error. The smallest one:

```yaml
{smallest}```

Editors with a YAML language server complete the keys, explain them and mark errors. Print the schema once:

```sh
k8s-installer schema >inventory.schema.json
```

and name it in the inventory's first line (a path from the inventory's folder):

```yaml
# yaml-language-server: $schema=inventory.schema.json
```

Relative paths in an inventory start at its folder. Versions need quotes, or YAML reads a number. The schema asks for
numbers and true/false without quotes; the program also accepts them with quotes. What a schema cannot say (networks
that overlap, flags of a version, an even number of etcd members), `validate` says.
"""
_SMALLEST = """\
cluster: {name: lab, version: "1.20.2"}
hosts:
  c1: {address: 10.77.0.11, roles: [etcd, master, node]}
"""
_NAMES = {"boolean": "true or false", "number": "number", "integer": "integer", "string": "text", "object": "mapping"}


_VERSION = re.compile(r"\d+\.\d+(\.\d+)?(-\S+)?")


class _Quoting(yaml.SafeDumper):
    """Writes versions with quotes, as an inventory must have them."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, '"' if _VERSION.fullmatch(text) else None)


_Quoting.add_representer(str, _text)


def page(written: str) -> str:
    """The text of the page."""
    made = schema()
    parts = [_HEAD.format(written=written, smallest=_SMALLEST)]
    parts += _tables("", made, made["$defs"], {})
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _tables(place: str, shape: Json, shapes: Mapping[str, Json], known: dict[str, str]) -> Iterator[str]:
    """A table of a mapping's keys, and those of the mappings in it; each shape once, at its first place."""
    yield f"## {place or 'The whole file'}"
    if place:
        yield shape["description"]
    rows = ["| key | type | default | meaning | example |", "|---|---|---|---|---|"]
    inner: list[tuple[str, Json]] = []
    required = shape.get("required", ())
    for name, key in shape["properties"].items():
        below = [(f"{_join(place, name)}{suffix}", found) for suffix, found in _mappings(key)]
        for path, found in below:
            if found not in known:
                known[found] = path
                inner.append((path, shapes[found]))
        where = " or ".join(f"[{known[found]}](#{_anchor(known[found])})" for _, found in below)
        default = "required" if name in required else _default(key)
        meaning = key.get("description") or shapes[_ref(key)]["description"]
        shown = f"{meaning} See {where}." if where else meaning
        rows.append(f"| `{name}` | {_type(key, shapes)} | {default} | {_cell(shown)} | `{_example(name, key)}` |")
    yield "\n".join(rows)
    for path, found_shape in inner:
        yield from _tables(path, found_shape, shapes, known)


def _mappings(key: Json) -> Iterator[tuple[str, str]]:
    """The shapes with keys of their own that a key leads to, each with what comes between."""
    choices = [node for node in key.get("anyOf", ()) if "$ref" in node]
    for node in (key, *choices):
        if "$ref" in node:
            yield f" ({_ref(node).lower()})" if len(choices) > 1 else "", _ref(node)
        below = node.get("additionalProperties")
        if isinstance(below, dict) and "$ref" in below:
            yield ".NAME", _ref(below)


def _ref(node: Json) -> str:
    return str(node["$ref"]).removeprefix("#/$defs/")


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _anchor(place: str) -> str:
    return re.sub(r"[^\w -]", "", place.lower()).replace(" ", "-")


def _type(node: Json, shapes: Mapping[str, Json]) -> str:
    if "$ref" in node:
        target = shapes[_ref(node)]
        return "mapping" if "properties" in target else _type(target, shapes)
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(_type(one, shapes) for one in node["anyOf"] if one != {"type": "null"}))
    if "enum" in node:
        return ", ".join(f"`{one}`" for one in node["enum"])
    if node.get("type") == "array":
        return f"list of {_type(node['items'], shapes)}"
    said = _NAMES[node["type"]]
    low = node.get("minimum", node.get("exclusiveMinimum"))
    return f"{said}, {low} to {node['maximum']}" if "maximum" in node else said


def _default(key: Json) -> str:
    return f"`{_flow(key['default'])}`" if "default" in key else ""


def _example(name: str, key: Json) -> str:
    return _cell(f"{name}: {_flow(key['examples'][0])}")


def _flow(value: object) -> str:
    """A value as it stands in a line of YAML."""
    text = yaml.dump(value, Dumper=_Quoting, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
