"""Jinja for templates of somebody else: they render text from what they are given, and do nothing else. Pure.

Jinja's own sandbox keeps a template from Python's inner workings (`''.__class__.__mro__`, `str.format`). What it does
not know is closed here: values that lead to the machine (the inventory's folder is a `Path`, and that can read files),
so that only methods of plain values and of the inventory can be called; files outside a folder of templates; and work
without end: every template, loop, text and number has a bound.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Sized
from functools import wraps
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from k8s_installer import userfile

LONGEST = 1 << 20  # characters of one text, and what a file is made from
MOST_STEPS = 10_000_000  # characters and turns of loops of one rendering
_CALL, _TURN = 100, 5  # steps of a macro, block or template, and of a turn of a loop: as they take time
_LARGEST_NUMBER = 1 << 64
_MOST_REPEATS = 10_000
_PLAIN = (str, int, float, bool, list, tuple, dict, frozenset, set, types.NoneType)
_INVENTORY = "k8s_installer.inventory"
_COST, _TURNS, _JOINED = "\0cost", "\0turns", "\0joined"  # filters that no template can name


class Loader(jinja2.FileSystemLoader):
    """Templates of folders: regular files of a moderate size that lie in there, wherever links may lead."""

    def get_source(self, _environment: jinja2.Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """See `FileSystemLoader.get_source`."""
        parts = jinja2.loaders.split_template_path(template)
        for folder in map(Path, self.searchpath):
            path = folder.joinpath(*parts)
            if not userfile.is_file(path):
                continue
            if not path.resolve().is_relative_to(folder.resolve()):
                raise SecurityError(f"{path} leads out of its folder")
            try:
                return userfile.text(path, LONGEST), str(path), lambda: True
            except userfile.UnreadableError as error:
                raise jinja2.TemplateRuntimeError(f"{path}: {error}") from None
        raise jinja2.TemplateNotFound(template)


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment whose templates can neither reach the machine nor keep it busy."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - as Jinja takes them
        super().__init__(**options)
        self._left = MOST_STEPS
        for name in ("lipsum", "cycler", "joiner"):
            self.globals.pop(name)
        self.filters = {name: self._bounded(name, function) for name, function in self.filters.items()}
        self.filters |= {_COST: self._cost, _TURNS: self._turns, _JOINED: self._joined}

    def begin(self) -> None:
        """A rendering begins: it has all steps."""
        self._left = MOST_STEPS

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
        """Only of plain values, of the inventory and of Jinja's own; never of a path, which leads to the machine."""
        return not isinstance(obj, Path) and super().is_safe_attribute(obj, attr, value)

    def is_safe_callable(self, obj: object) -> bool:
        """Macros, what Jinja gives, methods of plain values, and of the inventory."""
        if isinstance(obj, type):
            return obj in (dict, jinja2.utils.Namespace)
        owner = getattr(obj, "__self__", None)
        known = isinstance(obj, types.BuiltinMethodType) and type(owner) in _PLAIN and owner is not None
        ours = isinstance(obj, types.MethodType) and type(owner).__module__.startswith((_INVENTORY, "jinja2."))
        jinjas = isinstance(obj, jinja2.runtime.Macro | jinja2.runtime.BlockReference | jinja2.runtime.LoopContext)
        return (known or ours or jinjas or obj is self.globals["range"]) and super().is_safe_callable(obj)

    def call(self, context: jinja2.runtime.Context, obj: object, /, *args: object, **kwargs: object) -> object:
        """See `SandboxedEnvironment.call`."""
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str | list | tuple):
            self._measure((owner, *args, *kwargs.values()))
        return self._text(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401
        """Arithmetic, whose results are neither huge numbers nor long texts."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**" and (not numbers or abs(right) > 64 or abs(left) > _MOST_REPEATS):  # noqa: PLR2004
            raise SecurityError("a power that is too large")
        repeated = max(_size(left) * _count(right), _size(right) * _count(left))
        if operator == "*" and not numbers and repeated > LONGEST:
            raise SecurityError(f"more than {LONGEST:,} characters or items")
        if operator == "%" and isinstance(left, str):
            raise SecurityError("the operator % of texts; the operator ~ joins them")
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and abs(result) > _LARGEST_NUMBER:
            raise SecurityError("a number that is too large")
        return self._text(result)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """The template's tree, in which everything that takes time is counted."""
        if len(source) > LONGEST:
            raise SecurityError(f"more than {LONGEST:,} characters")
        tree = super()._parse(source, name, filename)
        for loop in list(tree.find_all(nodes.For)):
            loop.iter = _filtered(loop.iter, _TURNS, _written(loop))
        for concat in list(tree.find_all(nodes.Concat)):
            concat.nodes = [_filtered(nodes.List(concat.nodes, lineno=concat.lineno), _JOINED, 0)]
        bodies: list[tuple[nodes.Node, list[nodes.Node]]] = [(part, part.body) for part in tree.find_all(nodes.Block)]
        bodies += [(part, part.body) for part in tree.find_all(nodes.Macro)]
        for part, body in [*bodies, (tree, tree.body)]:
            body.insert(0, nodes.Output([_filtered(nodes.Const("", lineno=1), _COST, _written(part))], lineno=1))
        tree.set_environment(self)
        return tree

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise SecurityError(f"more than {MOST_STEPS:,} steps: a loop, or an include, without end")

    # Of filters that take the context none is carried out when a template is compiled, once and for all renderings.
    @jinja2.pass_context
    def _cost(self, _context: jinja2.runtime.Context, value: str, steps: int) -> str:
        self._spend(_CALL + steps)
        return value

    @jinja2.pass_context
    def _turns(self, _context: jinja2.runtime.Context, items: Iterable[object], steps: int) -> Iterable[object]:
        if isinstance(items, Sized):
            self._spend((_TURN + steps) * len(items))  # and what asks for its length still can
            return items
        return self._counted(items, steps)

    def _counted(self, items: Iterable[object], steps: int) -> Iterator[object]:
        for item in items:
            self._spend(_TURN + steps)
            yield item

    def _joined(self, items: list[object], _steps: int) -> str:
        return str(self._text("".join(map(str, items))))

    def _bounded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the filter's
            self._measure((*args, *kwargs.values()))
            if name == "format":
                raise SecurityError("the filter format")
            return self._text(function(*args, **kwargs))

        return bounded

    def _measure(self, values: Iterable[object]) -> None:
        """Refuse what could make much of little: the most that comes of texts is their lengths' product."""
        product = 1
        for value in values:
            if isinstance(value, int) and abs(value) > _MOST_REPEATS and not isinstance(value, bool):
                raise SecurityError(f"a number beyond {_MOST_REPEATS:,} where something is repeated or filled")
            product *= max(_size(value), 1)
        if product > MOST_STEPS:
            raise SecurityError("a text that would be too long")
        self._spend(product)

    def _text(self, value: object) -> object:
        if _size(value) > LONGEST:
            raise SecurityError(f"more than {LONGEST:,} characters or items")
        return value


def _filtered(node: nodes.Node, name: str, steps: int) -> nodes.Filter:
    return nodes.Filter(node, name, [nodes.Const(steps, lineno=node.lineno)], [], None, None, lineno=node.lineno)


def _written(node: nodes.Node) -> int:
    """How many characters stand in a part of a template."""
    return sum(len(data.data) for data in node.find_all(nodes.TemplateData))


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _size(value: object) -> int:
    """How long a text or a list is; 1 for what has no length."""
    if isinstance(value, IPv4Network):
        return value.num_addresses
    return len(value) if isinstance(value, str | bytes | list | tuple | dict | set | frozenset | range) else 1
