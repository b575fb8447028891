"""What a profile says of a component, over what the component's own file says. Pure."""

from __future__ import annotations

from collections.abc import Mapping


def overridden(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """`base` with `over` laid over it, to any depth.

    Mappings are merged by key. A null removes a key. Any other value, including a list, replaces the old one.
    A key of `base` keeps its place. A new one goes after the key that precedes it in `over`, or to the end if it is
    the first there: files list flags in this order.

    Raises:
        ValueError: a null has nothing to remove.
    """
    order = list(base)
    values = dict(base)
    previous = None
    for key, value in over.items():
        below = base.get(key)
        if value is None:
            if key not in values:
                raise ValueError(f"{key}: null removes a key, but there is none")
            del values[key]
            order.remove(key)
            continue
        if key not in values:
            order.insert(order.index(previous) + 1 if previous is not None else len(order), key)
        values[key] = _both(key, below, value)
        previous = key
    return {key: values[key] for key in order}


def _both(key: str, below: object, value: object) -> object:
    if not isinstance(below, Mapping) or not isinstance(value, Mapping):
        return value
    try:
        return overridden(below, value)
    except ValueError as error:
        raise ValueError(f"{key}.{error}") from None
