"""Templates to bytes: the one Jinja environment, strict about every name."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import yaml

from k8s_installer.errors import TemplateError
from k8s_installer.untrusted.sandbox import Loader, Sandbox

# A word that is a string without quotes, on a line of its own, for every reader of YAML.
_PLAIN = re.compile(r"[A-Za-z/][-./\w]*(:[-./\w]+)*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
# What PyYAML takes for a string and go-yaml of Kubernetes' time for a boolean or a number.
_AMBIGUOUS = re.compile(r"[yYnN]|[-+]?(0[xob]?[0-9A-Fa-f_]+|\.?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?)")

# What an expression of a template can raise besides Jinja's own errors; NameError is how it compiles 1e999,
# and SyntaxError how a slice among other things.
_FAULTS = (
    jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError,
    AttributeError, NameError, SyntaxError, RecursionError,
)  # fmt: skip


def packaged_templates() -> Path:
    """The folder of the templates that come with the program: in a wheel, or in the repository."""
    installed = Path(__file__).parent / "_templates"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "templates"


class _Ours(jinja2.Environment):
    """For what comes with the program.

    All templates share one dictionary of globals, which none of ours adds to. Jinja copies what a template has for each
    rendering, and takes longer over a chain of two than over the text.
    """

    def make_globals(self, d: MutableMapping[str, object] | None) -> MutableMapping[str, object]:
        return {**self.globals, **d} if d else self.globals


class Renderer:
    """Renders templates, each found in the first of `folders` that has it, else among the packaged ones.

    A template is read and compiled once per `Renderer`, so all hosts see the same text. With folders of the user's,
    or with `sandboxed` (for expressions of the user's profiles), templates can do nothing but render.
    """

    def __init__(self, folders: Sequence[Path] = (), *, sandboxed: bool = False) -> None:
        self._folders = [*folders, packaged_templates()]
        self._sandbox: Sandbox | None = None
        # auto_reload off and no limit to the cache: one compilation each. autoescape off: nothing here is HTML,
        # and &quot; in a unit file would be a fault.
        options: dict[str, Any] = {
            "undefined": jinja2.StrictUndefined, "autoescape": False, "keep_trailing_newline": True,
            "trim_blocks": True, "lstrip_blocks": True, "auto_reload": False, "cache_size": -1,
        }  # fmt: skip
        if folders or sandboxed:
            self._sandbox = Sandbox(loader=Loader(self._folders), **options)
        self._environment = self._sandbox or _Ours(loader=jinja2.FileSystemLoader(self._folders), **options)
        if self._sandbox:
            self._sandbox.add_filter("to_yaml", self._to_yaml)
        else:
            self._environment.filters["to_yaml"] = self._to_yaml
        self._files: dict[str, jinja2.Template] = {}
        self._expressions: dict[str, jinja2.Template] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._yaml: dict[str, str] = {}

    def file(self, template: str, context: Mapping[str, object], host: str) -> bytes:
        """The bytes of a file; `host` is named if it fails.

        Raises:
            TemplateError: the template is missing, is no Jinja, or uses a name that is not there.
        """
        try:
            if template not in self._files:
                self._files[template] = self._environment.get_template(template)
            return self._rendered(self._files[template], context).encode()
        except _FAULTS as error:
            raise self._error(error, template, host) from error

    def text(self, source: str, context: Mapping[str, object], host: str, *, where: str) -> str:
        """The text of a template that stands in a profile; `where` says which, if it fails.

        Raises:
            TemplateError: as for `file`.
        """
        if _is_plain(source):
            return source
        try:
            if source not in self._expressions:
                self._expressions[source] = self._environment.from_string(source)
            return self._rendered(self._expressions[source], context)
        except _FAULTS as error:
            raise TemplateError(f"{where}, for {host}: {_words(error)}") from error

    def _rendered(self, template: jinja2.Template, context: Mapping[str, object]) -> str:
        if self._sandbox is not None:
            self._sandbox.begin()
        return template.render(context)

    def names(self, source: str) -> frozenset[str]:
        """The names that a template in a profile takes from its context, itself and not by including another.

        It must be valid, as `text` finds out.
        """
        if _is_plain(source):
            return frozenset()
        if source not in self._names:
            tree = self._environment.parse(source)
            self._names[source] = frozenset(jinja2.meta.find_undeclared_variables(tree))
        return self._names[source]

    def _to_yaml(self, value: object) -> str:
        """YAML in the order given, for files that people read; most hosts want the same, so each is written once."""
        key = json.dumps(value)
        if key not in self._yaml:
            self._yaml[key] = _dumped(value)
        return self._yaml[key]

    def _error(self, error: Exception, template: str, host: str) -> TemplateError:
        name, line = template, 0
        if isinstance(error, jinja2.TemplateNotFound):
            return TemplateError(f"template {error.name} is missing, needed for {host}")
        if isinstance(error, jinja2.TemplateSyntaxError):
            name, line = error.name or template, error.lineno
        else:
            # Jinja gives the frames of a template the file and the lines of the template itself.
            for frame in traceback.extract_tb(error.__traceback__):
                for folder in self._folders:
                    if Path(frame.filename).is_relative_to(folder):
                        name, line = str(Path(frame.filename).relative_to(folder)), frame.lineno or 0
        return TemplateError(f"{name}:{line}, for {host}: {_words(error)}")


def _is_plain(source: str) -> bool:
    """Whether a template is its own text; most values of a profile are."""
    return "{{" not in source and "{%" not in source


class _Dumper(yaml.SafeDumper):
    """PyYAML's own, with quotes also around what only older readers take for no string."""


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if _AMBIGUOUS.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def _dumped(value: object) -> str:
    if isinstance(value, str):  # one that stands in a template's own line
        safe = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if safe else json.dumps(value)
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=4096)
    return text.rstrip("\n")


def _words(error: Exception) -> str:
    return (error.message if isinstance(error, jinja2.TemplateError) else None) or str(error) or type(error).__name__
