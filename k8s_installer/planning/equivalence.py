"""Whether two versions of a file say the same to the program that reads it: comments and blanks do not count. Pure.

What is compared is the text of each value and never what Python makes of it: `false` is 0 to Python and so is `0.0`,
and `010` is another number to each reader of YAML. Where the rules of a format leave room for doubt (duplicate keys,
quotes inside a value, a line that continues on the next one), two versions are the same only to the byte: a restart too
many is better than a process that runs with what is no longer there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import yaml

from k8s_installer.host import paths

_APPLIED = f"{paths.ADDONS}/"  # no process reads them: they are applied, to the byte
_YAML = (".yaml", ".kubeconfig")
_COMMENTS = ("#", ";")
_BLANKS = " \t"
# What a process has read and goes by no more: a kubelet registers its node once.
_READ_ONCE = ("--register-with-taints=",)
# NAME="VALUE", NAME='VALUE' or NAME=VALUE, with nothing in the value that a shell or systemd would take out of it.
_PLAIN = re.compile(r"""([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?:"([^"']*)"|'([^"']*)'|([^"']*))""")


class _DoubtError(ValueError):
    """Programs may read this text in different ways."""


@lru_cache(maxsize=256)  # most hosts have and want the same bytes, and a list of routes has a line for each host
def same(path: str, old: bytes, new: bytes) -> bool:
    """Whether a process that has read `old` behaves as if it had read `new`.

    Unit files and drop-ins, EnvironmentFiles, sysctl files and YAML are understood; anything else (keys,
    certificates, scripts, JSON) is the same only to the byte.
    """
    meaning = _reader(path)
    if old == new or meaning is None:
        return old == new
    try:
        return meaning(old.decode()) == meaning(new.decode())
    except (UnicodeDecodeError, yaml.YAMLError, _DoubtError, RecursionError):
        return False


def _reader(path: str) -> Callable[[str], object] | None:
    """How a file of this path is read; None where every byte counts."""
    name = path.rsplit("/", 1)[1]
    if name.endswith(_YAML) and not path.startswith(_APPLIED):
        return _documents
    if ("." in name and not name.endswith(".conf")) or "/pki/" in path:
        return None
    return next((reader for folder, reader in _READERS if path.startswith(folder)), None)


def _documents(text: str) -> object:
    """YAML as a tree of texts: each scalar with its tag and whether it is quoted; the order of keys does not count.

    Raises:
        _DoubtError: a key is there twice, and readers differ; or an alias is used, and a few can be millions of nodes.
    """
    stack: list[list[object]] = [[]]
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _DoubtError("an alias")
        if isinstance(event, yaml.DocumentStartEvent):
            stack[-1].append((event.version, tuple(sorted((event.tags or {}).items()))))
        elif isinstance(event, yaml.ScalarEvent):
            # a plain 1 is a number and a quoted one is a text; which kind of quotes makes no difference
            stack[-1].append((event.tag, event.value, event.style is None))
        elif isinstance(event, yaml.CollectionStartEvent):
            stack.append([event.tag])
        elif isinstance(event, yaml.MappingEndEvent):
            stack[-2].append(_mapping(stack.pop()))
        elif isinstance(event, yaml.SequenceEndEvent):
            stack[-2].append(tuple(stack.pop()))
    return stack[0]


def _mapping(items: list[object]) -> object:
    tag, *rest = items
    keys, values = rest[::2], rest[1::2]
    # by their texts: who turns keys into texts, as JSON does, has 1 and "1" twice
    if len({key[1:2] for key in keys if isinstance(key, tuple)}) < len(keys):
        raise _DoubtError("a key is there twice")
    return tag, frozenset(zip(keys, values, strict=True))


def _lines(text: str) -> list[str]:
    """A unit's lines: their order counts (ExecStartPre may stand more than once), blanks at their ends do not.

    Raises:
        _DoubtError: a line continues on the next one, in which a comment or a blank line would count.
    """
    if "\\\n" in text or "\r" in text:
        raise _DoubtError("a line that continues")
    lines = (line.strip(_BLANKS) for line in text.split("\n"))
    return [line for line in lines if line and not line.startswith(_COMMENTS)]


def _sysctl(text: str) -> list[tuple[str, str]]:
    """NAME = VALUE in their order: some settings reset others."""
    pairs = (line.partition("=") for line in _lines(text))
    return [(name.strip(_BLANKS) + equals, value.strip(_BLANKS)) for name, equals, value in pairs]


def _assignments(text: str) -> dict[str, str]:
    """NAME=VALUE, where the last one counts.

    Raises:
        _DoubtError: a line is not that, or its value has quotes inside or a backslash.
    """
    result: dict[str, str] = {}
    for line in _lines(text):
        found = _PLAIN.fullmatch(line)
        if found is None or "\\" in line:
            raise _DoubtError(line)
        name, *values = found.groups()
        result[name] = next(value for value in values if value is not None)
    return result


def _arguments(text: str) -> dict[str, list[str]]:
    # by systemd's blanks alone: to it a no-break space is a letter of the argument
    words = {name: re.split(f"[{_BLANKS}]+", value.strip(_BLANKS)) for name, value in _assignments(text).items()}
    return {name: [word for word in value if not word.startswith(_READ_ONCE)] for name, value in words.items()}


_READERS: tuple[tuple[str, Callable[[str], object]], ...] = (
    (f"{paths.UNITS}/", _lines),
    (f"{paths.SYSCTLS}/", _sysctl),
    (f"{paths.SYSCONFIG}/", _assignments),
    (paths.ETCD_CONFIG, _assignments),
    # the packaged units pass these variables unquoted, so a run of blanks in them is one blank
    (f"{paths.KUBERNETES}/", _arguments),
)
