"""Jinja for templates of somebody else: they render text from what they are given, and do nothing else. Pure.

Jinja's own sandbox keeps a template from Python's inner workings (`''.__class__.__mro__`, `str.format`). What it does
not know is closed here: values that lead to the machine (the inventory's folder is a `Path`, and that can read files),
so that only methods of plain values and of the inventory can be called; files outside a folder of templates; and work
without end: every template, loop, text and number has a bound, and all work and output is counted (see `meter`).
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
from jinja2.visitor import NodeTransformer

from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.meter import CONTAINERS, LONGEST, MOST_STEPS, Meter

_MOST_NODES = 50_000  # of a template: to compile so many takes a second or two
_NODES = 4  # parts of an expression that take as long as a step
_CALL, _TURN = 100, 5  # steps of a macro, block or template, and of a turn of a loop: as they take time
_LARGEST_NUMBER = 1 << 64
_MOST_REPEATS = 10_000
_QUICK = 1000  # characters that are copied within a step
_PLAIN = (str, int, float, bool, list, tuple, dict, frozenset, set, types.NoneType)
_INVENTORY = "k8s_installer.inventory"
# Filters that no template can name: what is counted where a template makes, compares or joins values.
_COST, _TURNS, _JOINED, _COMPARED, _COPIED = "\0cost", "\0turns", "\0joined", "\0compared", "\0copied"
# Filters of lists, which write none of what is inside; and those that fill or repeat as often as a number says.
_OF_LISTS = frozenset({
    "attr", "batch", "count", "d", "default", "dictsort", "first", "groupby", "items", "join", "last", "length", "list",
    "map", "max", "min", "random", "reject", "rejectattr", "reverse", "select", "selectattr", "slice", "sort", "sum",
    "to_yaml", "unique",
})  # fmt: skip
_REPEATING = frozenset({"batch", "center", "indent", "round", "slice", "tojson", "truncate", "urlize", "wordwrap"})
_QUADRATIC = frozenset({"urlize", "wordwrap"})  # in the length of a word


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
        super().__init__(finalize=self._written_out, **options)
        self._meter = Meter()
        for name in ("lipsum", "cycler", "joiner"):
            self.globals.pop(name)
        self.globals["namespace"] = _Attributes
        self.tests = {name: self._test(test) for name, test in self.tests.items()}
        self.filters["join"] = self._join
        for name, function in list(self.filters.items()):
            self.add_filter(name, function)
        self.filters |= {_COST: self._cost, _TURNS: self._turns, _JOINED: self._joined}
        self.filters |= {_COMPARED: self._compared, _COPIED: self._copied}

    def begin(self) -> None:
        """A rendering begins: it has all steps."""
        self._meter.begin()

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        """Let templates use a filter, with bounds to what it is given and gives."""
        self.filters[name] = self._bounded(name, function)

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
        """Only of plain values, of the inventory and of Jinja's own; never of a path, which leads to the machine."""
        return not isinstance(obj, Path) and super().is_safe_attribute(obj, attr, value)

    def is_safe_callable(self, obj: object) -> bool:
        """Macros, what Jinja gives, methods of plain values, and of the inventory."""
        if isinstance(obj, type):
            return obj in (dict, _Attributes)
        owner = getattr(obj, "__self__", None)
        known = isinstance(obj, types.BuiltinMethodType) and type(owner) in _PLAIN and owner is not None
        ours = isinstance(obj, types.MethodType) and type(owner).__module__.startswith((_INVENTORY, "jinja2."))
        jinjas = isinstance(obj, jinja2.runtime.Macro | jinja2.runtime.BlockReference | jinja2.runtime.LoopContext)
        return (known or ours or jinjas or obj is self.globals["range"]) and super().is_safe_callable(obj)

    def call(self, context: jinja2.runtime.Context, obj: object, /, *args: object, **kwargs: object) -> object:
        """See `SandboxedEnvironment.call`."""
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str | list | tuple):
            self._measure((owner, *args, *kwargs.values()), repeating=True)
        elif not isinstance(obj, jinja2.runtime.Macro):
            for value in (*args, *kwargs.values()):
                self._meter.size(value)
        return self._text(super().call(context, obj, *args, **kwargs))

    def getitem(self, obj: Any, argument: Any) -> Any:  # noqa: ANN401 - as Jinja takes it
        """See `SandboxedEnvironment.getitem`; what is looked up is hashed."""
        self._meter.size(argument)
        return super().getitem(obj, argument)

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401
        """Arithmetic, whose results are neither huge numbers nor long texts."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**" and (not numbers or abs(right) > 64 or abs(left) > _MOST_REPEATS):  # noqa: PLR2004
            raise SecurityError("a power that is too large")
        repeated = max(_size(left) * _count(right), _size(right) * _count(left))
        if operator == "*" and not numbers and repeated > LONGEST:
            raise SecurityError(f"more than {LONGEST:,} characters or items")
        if operator == "%" and isinstance(left, str):
            raise SecurityError("the operator % on strings; use ~ to join them")
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and abs(result) > _LARGEST_NUMBER:
            raise SecurityError("a number that is too large")
        self._meter.copied(result)
        return self._text(result)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """The template's tree, in which everything that takes time is counted."""
        if len(source) > LONGEST:
            raise SecurityError(f"more than {LONGEST:,} characters")
        tree = super()._parse(source, name, filename)
        if sum(1 for _ in tree.find_all(nodes.Node)) > _MOST_NODES:
            raise SecurityError(f"more than {_MOST_NODES:,} parts of expressions")
        _Counting().visit(tree)
        bodies: list[tuple[nodes.Node, list[nodes.Node]]] = [(part, part.body) for part in tree.find_all(nodes.Block)]
        bodies += [(part, part.body) for part in tree.find_all(nodes.Macro)]
        for part, body in [*bodies, (tree, tree.body)]:
            body.insert(0, nodes.Output([_filtered(nodes.Const("", lineno=1), _COST, _written(part))], lineno=1))
        tree.set_environment(self)
        return tree

    # Of filters that take the context none is carried out when a template is compiled, once and for all renderings.
    @jinja2.pass_context
    def _cost(self, _context: jinja2.runtime.Context, value: str, steps: int) -> str:
        self._meter.spend(_CALL + steps)
        return value

    @jinja2.pass_context
    def _turns(self, _context: jinja2.runtime.Context, items: Iterable[object], steps: int) -> Iterable[object]:
        if isinstance(items, Sized):
            self._meter.spend((_TURN + steps) * len(items))  # and what asks for its length still can
            return items
        return self._counted(items, steps)

    def _counted(self, items: Iterable[object], steps: int) -> Iterator[object]:
        for item in items:
            self._meter.spend(_TURN + steps)
            yield item

    @jinja2.pass_context
    def _joined(self, _context: jinja2.runtime.Context, items: list[object], _steps: int) -> str:
        return self._join(items)

    @jinja2.pass_context
    def _compared(self, _context: jinja2.runtime.Context, value: object, _steps: int) -> object:
        self._meter.copied(value)
        self._meter.size(value)
        return value

    @jinja2.pass_context
    def _copied(self, _context: jinja2.runtime.Context, value: object, _steps: int) -> object:
        self._meter.copied(value)
        return value

    @jinja2.pass_context
    def _written_out(self, _context: jinja2.runtime.Context, value: object) -> str:
        text = self._meter.text(value)
        self._meter.spend(len(text))
        return text

    def _join(self, value: Iterable[object], d: object = "", attribute: str | int | None = None) -> str:
        """Jinja's own filter, with every text counted before they become one."""
        if attribute is not None:
            value = map(jinja2.filters.make_attrgetter(self, attribute), value)
        between, texts, length = self._meter.text(d), list[str](), 0
        for item in value:
            texts.append(self._meter.text(item))
            length += len(texts[-1]) + len(between)
            self._meter.spend(1)
            if length > LONGEST + len(between):
                raise SecurityError(f"more than {LONGEST:,} characters or items")
        joined = between.join(texts)
        self._meter.copied(joined)
        return str(self._text(joined))

    def _test(self, function: Any) -> Callable[..., Any]:  # noqa: ANN401 - as Jinja has it
        @wraps(function)
        def test(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the test's
            for value in (*args, *kwargs.values()):
                self._meter.copied(value)
                self._meter.size(value)
            return function(*args, **kwargs)

        return test

    def _bounded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the filter's
            values = (*args, *kwargs.values())
            self._measure(values, shown=name not in _OF_LISTS, repeating=name in _REPEATING)
            if name in _QUADRATIC:
                self._meter.spend(max(map(_size, values)) ** 2 // _QUICK)
            if name == "format" or (name == "sum" and any(isinstance(value, list | tuple) for value in values[2:])):
                raise SecurityError(f"the filter {name}" + " of lists" * (name == "sum"))
            result = function(*args, **kwargs)
            if isinstance(result, Iterator) and not isinstance(result, jinja2.runtime.LoopContext):
                result = list(self._counted(result, 0))  # no filter is given what cannot be measured
            return self._text(result)

        return bounded

    def _measure(self, values: Iterable[object], *, shown: bool = False, repeating: bool) -> None:
        """Refuse what could make much of little: the most that comes of texts is their lengths' product."""
        product = 1
        for value in values:
            if repeating and isinstance(value, int) and not isinstance(value, bool):
                if abs(value) > _MOST_REPEATS:
                    raise SecurityError(f"a number beyond {_MOST_REPEATS:,} where something is repeated or filled")
                product *= max(abs(value), 1)
            size = self._meter.size(value, shown=shown) if isinstance(value, CONTAINERS) else _size(value)
            product *= max(size, 1)
        if product > MOST_STEPS:
            raise SecurityError("a string that would be too long")
        self._meter.spend(product)

    def _text(self, value: object) -> object:
        if _size(value) > LONGEST:
            raise SecurityError(f"more than {LONGEST:,} characters or items")
        return value


class _Attributes(jinja2.utils.Namespace):
    """What `namespace` makes. It is not written out: a namespace can be inside of itself, and change later."""

    def __repr__(self) -> str:
        return "<Namespace>"


class _Counting(NodeTransformer):
    """Puts what counts around every part of a template that takes time, or makes or compares values."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - as the node is called
        steps = _written(node)
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _TURNS, steps)
        if node.recursive:  # it is called for more than its own items
            node.body.insert(0, nodes.Output([_filtered(nodes.Const("", lineno=1), _COST, steps)], lineno=1))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), _JOINED, 0)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = _filtered(node.expr, _COMPARED, 0)
        for operand in node.ops:
            operand.expr = _filtered(operand.expr, _COMPARED, 0)
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.key = _filtered(node.key, _COMPARED, 0)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(node, _COPIED, 0) if isinstance(node.arg, nodes.Slice) else node


def _filtered(node: nodes.Node, name: str, steps: int) -> nodes.Filter:
    return nodes.Filter(node, name, [nodes.Const(steps, lineno=node.lineno)], [], None, None, lineno=node.lineno)


def _written(node: nodes.Node) -> int:
    """How many characters stand in a part of a template, and what its expressions take."""
    data = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
    return data + sum(1 for _ in node.find_all(nodes.Node)) // _NODES


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _size(value: object) -> int:
    """How long a text or a list is; 1 for what has no length."""
    if isinstance(value, IPv4Network):
        return value.num_addresses
    return len(value) if isinstance(value, str | bytes | list | tuple | dict | set | frozenset | range) else 1
