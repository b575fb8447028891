"""YAML text to plain data, keeping the line of every key: errors can then say where.

Scalars are resolved as YAML 1.2 does it: `no` and `on` are words, and 1.20 in `version` is caught as a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import yaml

from k8s_installer.errors import Finding, InventoryError

Lines = dict[tuple[str, ...], int]

_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_DEEPEST = 64
_MOST_NODES = 1_000_000  # an inventory of 5,000 hosts has 100,000
_MOST_DIGITS = 20
# What may open many levels without a bracket: a line that begins with as many blanks, dashes and question marks.
_DEEP = re.compile(rf"^[ ?-]{{{_DEEPEST}}}", re.MULTILINE)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def read(text: str, file: str) -> tuple[object, Lines]:
    """Parse one YAML document into dicts, lists and scalars, and the line (from 1) of each path.

    Raises:
        InventoryError: it is no YAML, a key stands twice, or a key is not a string.
    """
    nodes = _composed(text, file)
    if len(nodes) > 1:
        raise InventoryError([Finding(file, nodes[1].start_mark.line + 1, "a second document: there must be only one")])
    return _read(nodes[0] if nodes else None, file)


def read_all(text: str, file: str) -> list[tuple[object, Lines]]:
    """Parse every document of a file as `read` does one; the lines are those of the file.

    Raises:
        InventoryError: as for `read`.
    """
    return [_read(node, file) for node in _composed(text, file)]


def checked(text: str, file: str) -> None:
    """See that a text is YAML that can be walked through: neither too deep nor too much, however it is written.

    Raises:
        InventoryError: as for `read`.
    """
    _composed(text, file)


def _composed(text: str, file: str) -> list[yaml.Node]:
    try:
        if _DEEP.search(text) or text.count("[") + text.count("{") > _DEEPEST:
            _refuse_depth(text, file)
        nodes = list(yaml.compose_all(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise InventoryError([Finding(file, mark.line + 1 if mark else 0, what)]) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise InventoryError([Finding(file, 0, f"not YAML: {error}")]) from None
    for node in nodes:
        _Measure(file).size(node)
    return nodes


def _refuse_depth(text: str, file: str) -> None:
    """Raise InventoryError at the line where the nesting is too deep: what composes it would exhaust the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            words = f"nested more than {_DEEPEST} levels deep"
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise InventoryError([Finding(file, line, words)])


class _Measure:
    """How much there is of a document with all its aliases written out: a page can stand for terabytes."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._sizes: dict[int, int] = {}
        self._around: set[int] = set()

    def size(self, node: yaml.Node) -> int:
        """Nodes below and with this one; raises InventoryError where they are too many, or one is inside itself."""
        if isinstance(node, yaml.ScalarNode):
            return 1
        known = self._sizes.get(id(node))
        if known is not None:
            return known
        line = node.start_mark.line + 1
        if id(node) in self._around:
            raise InventoryError([Finding(self._file, line, "an alias that contains itself")])
        self._around.add(id(node))
        total = 1 + sum(self.size(child) for child in _children(node))
        self._around.remove(id(node))
        if total > _MOST_NODES:
            words = f"expands to more than {_MOST_NODES:,} values through aliases"
            raise InventoryError([Finding(self._file, line, words)])
        self._sizes[id(node)] = total
        return total


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    for item in node.value:
        yield from item if isinstance(item, tuple) else (item,)


def _read(node: yaml.Node | None, file: str) -> tuple[object, Lines]:
    lines: Lines = {}
    findings: list[Finding] = []
    data = _plain(node, (), file, lines, findings)
    if findings:
        raise InventoryError(findings)
    return data, lines


def _plain(node: yaml.Node | None, path: tuple[str, ...], file: str, lines: Lines, findings: list[Finding]) -> object:
    if node is None:
        return None
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, file, lines, findings)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, str(index)), file, lines, findings) for index, item in enumerate(node.value)]
    return _scalar(node) if isinstance(node, yaml.ScalarNode) else None


def _mapping(
    node: yaml.MappingNode, path: tuple[str, ...], file: str, lines: Lines, findings: list[Finding]
) -> dict[str, object]:
    result: dict[str, object] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            findings.append(Finding(file, line, "a key must be a plain string"))
            continue
        key = str(key_node.value)
        inner = (*path, key)
        if key in result:
            findings.append(Finding(file, line, f"duplicate key {'.'.join(inner)}", f"first on line {lines[inner]}"))
            continue
        lines[inner] = line
        result[key] = _plain(value_node, inner, file, lines, findings)
    return result


def _scalar(node: yaml.ScalarNode) -> object:
    text = str(node.value)
    if node.style in ("'", '"', "|", ">"):
        return text
    if text in _WORDS:
        return _WORDS[text]
    # a number that no program reads stays a word: whoever wants a number says that it is none
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= _MOST_DIGITS else text
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text
