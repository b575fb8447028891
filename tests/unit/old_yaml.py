"""YAML as programs of 2015 to 2017 take it: what go-yaml version 2 of that time refuses, or reads as something else.

The rules are stricter than that parser in places: what two parsers can read in two ways is written in one way that both
read. `tests/contract/test_old_yaml.py` asks the parser itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

_FLOW_STARTS = (yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken)
_FLOW_ENDS = (yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
_ODD = {
    yaml.AnchorToken: "an anchor",
    yaml.AliasToken: "an alias",
    yaml.TagToken: "a tag",
    yaml.DirectiveToken: "a directive",
}
# Each is no string for one of the two, or another number.
_ODD_WORDS = re.compile(
    r"(?i:y|n|yes|no|on|off|<<|=)"
    r"|[-+]?[0-9][0-9_]*(:[0-9]+)+(\.[0-9_]*)?"  # 10:30
    r"|[-+]?0[xob]?[0-9a-fA-F_]+"  # 0644, 0x1f
    r"|[-+]?[0-9_.]*_[0-9_.]*"  # 1_000
    r"|[-+]?[0-9.]+[eE][-+]?[0-9]+"  # 1e3
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*"  # a day
)


def findings(text: str) -> list[str]:
    """All that an old parser may not read as it is meant, each with its line."""
    return [f"line {line + 1}: {words}" for line, words in _findings(text)]


def _findings(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines()):
        if "\t" in line:
            yield number, "a tab"
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        line = token.start_mark.line
        depth += isinstance(token, _FLOW_STARTS) - isinstance(token, _FLOW_ENDS)
        if type(token) in _ODD:
            yield line, _ODD[type(token)]
        if isinstance(token, yaml.ScalarToken) and token.plain:
            if depth and ":" in token.value:
                yield line, f"{token.value} within braces or brackets, and not quoted"
            if _ODD_WORDS.fullmatch(token.value):
                yield line, f"{token.value}, which is not quoted"
    for document in yaml.compose_all(text, Loader=yaml.SafeLoader):
        yield from _keys(document)


def _keys(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _keys(item)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                yield key.start_mark.line, f"the key {key.value} is no string"
            elif key.value in seen:
                yield key.start_mark.line, f"the key {key.value} stands twice"
            seen.add(str(key.value))
            yield from _keys(value)
