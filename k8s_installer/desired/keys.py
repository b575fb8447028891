"""The keys of a configuration file, checked against its schema: their names, their types, their values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from k8s_installer.desired.values import Wrong, as_text, wrong_item
from k8s_installer.errors import did_you_mean
from k8s_installer.profiles.flags import Flag
from k8s_installer.profiles.schema import EVERY, ConfigSchema, Shape

_WHOLE = frozenset({"int", "int32", "int64"})
_REAL = frozenset({"float32", "float64"})


def wrong_keys(schema: ConfigSchema, key: str, value: object) -> Iterator[Wrong]:
    """Everything that keeps a program from taking one key of its file; a value of None removes the key and is right."""
    if key not in schema.keys:
        yield Wrong((), "unknown key", did_you_mean(key, schema.keys))
    elif value is not None:
        yield from _wrong(schema, (key,), schema.keys[key], value)


def _wrong(schema: ConfigSchema, path: tuple[str, ...], shape: Shape, value: object) -> Iterator[Wrong]:
    """What is wrong below a path of the file: `at` of each is what follows its first part."""
    if isinstance(shape, str):
        yield from _scalar(schema, path, shape, value)
    elif isinstance(shape, list):
        yield from _list(schema, path, shape[0], value)
    elif not isinstance(value, Mapping):
        yield Wrong(path[1:], f"must be a mapping, not {_shown(value)}", _example(shape))
    else:
        for name, inner in value.items():
            below = (*path, name)
            if name not in shape and EVERY not in shape:
                yield Wrong(below[1:], f"{'.'.join(below)}: unknown key", did_you_mean(name, shape))
            elif inner is not None:
                yield from _wrong(schema, below, shape.get(name, shape.get(EVERY, "")), inner)


def _list(schema: ConfigSchema, path: tuple[str, ...], shape: Shape, value: object) -> Iterator[Wrong]:
    if not isinstance(value, list):
        yield Wrong(path[1:], f"must be a list, not {_shown(value)}", f"[{_shown(value)}]")
        return
    for index, inner in enumerate(value):
        yield from _wrong(schema, (*path, str(index)), shape, inner)


def _scalar(schema: ConfigSchema, path: tuple[str, ...], kind: str, value: object) -> Iterator[Wrong]:
    message = _mistyped(kind, value)
    if message is None and isinstance(value, str | int | float):
        message = _misvalued(schema, path, kind, value)
    if message is not None:
        yield Wrong(path[1:], *message)


def _mistyped(kind: str, value: object) -> tuple[str, str] | None:
    """What is wrong with the type of a scalar: JSON's types are not turned into each other as those of flags are."""
    shown = _shown(value)
    if kind == "bool":
        return None if isinstance(value, bool) else (f"must be true or false, not {shown}", "")
    if kind in _WHOLE or kind in _REAL:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or (kind in _WHOLE and isinstance(value, float))
        ):
            return f"must be a {'whole ' if kind in _WHOLE else ''}number, not {shown}", ""
        return None
    if isinstance(value, str):
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "duration":
        return f"must be a duration, not {shown}", f"{value}s for seconds" if number else "such as 10s"
    return f"must be a string, not {shown}", f'write "{as_text(value)}"' if isinstance(value, int | float) else ""


def _misvalued(schema: ConfigSchema, path: tuple[str, ...], kind: str, value: str | float) -> tuple[str, str] | None:
    """What is wrong with a scalar of the right type; an empty text is the default of every key."""
    if value == "":
        return None
    text = as_text(value)
    message = wrong_item(Flag(type=kind), text)
    names = tuple(part for part in path if not part.isdecimal())
    if message is None and ".".join(names) in schema.values:
        return wrong_item(schema.values[".".join(names)], text)
    above = ".".join(names[:-1])
    if message is None and above in schema.values:
        flag = schema.values[above]
        return wrong_item(flag, f"{names[-1]}{flag.sign}{text}")
    return message


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, int | float):
        return as_text(value)
    return "a list" if isinstance(value, list) else "a mapping"


def _example(shape: Mapping[str, Shape]) -> str:
    return "KEY: VALUE for each" if EVERY in shape else f"its keys are {', '.join(shape)}"
