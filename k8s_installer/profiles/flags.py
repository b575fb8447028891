"""What programs accept: the type of each flag, and what is known of its values beyond that.

`flags/NAME.json` is what the programs say themselves, by program and flag. `flags/NAME.yaml` beside it adds what only
their help or their source says; there a word alone is a type, and a mapping adds to what the JSON has. One of both
is enough. How a value of each type is written is in `k8s_installer/desired/values.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

Given = Literal["once", "split", "repeated"]

# Types whose flag takes several values: separated by commas in one word, or by giving the flag again.
_SPLIT = frozenset({
    "stringSlice", "mapStringString", "mapStringBool", "configurationMap", "thresholds", "moduleSpec", "cidrs", "ips",
    "urls", "ip-urls", "colonSeparatedMultimapStringString", "[]api.Taint", "labels",
})  # fmt: skip
_REPEATED = frozenset({
    "stringArray", "namedCertKey", "list", "map", "mirror", "registry", "runtime", "ulimit", "domain", "pool-options",
})  # fmt: skip


class Flag(BaseModel):
    """One flag of one program.

    `type` is the program's own word for it, or a narrower one of ours. `one_of` are the only values, or the only items
    of a list. `min`, `max` and `above` (which is not itself allowed) limit a number, or the seconds of a duration.
    `keys` are the only keys of a map, each with the only value it may have, with the type of its value, or with an
    empty text; `value` is the type of all values of a map. `also` is a regular expression of further values of
    `one_of`, or of further keys. `several` says how more than one value is given, where the type does not.

    The rest relates a flag to others of its program. `required` ones cannot be left out. `needs` has what must be set
    beside an item, by the item (`*` is any but a number that is the default, `max-*` all that begin so): a flag, or
    FLAG=VALUE|VALUE, where a VALUE with `*` at its end is any that begins so. Of several, with ` or ` between, one is
    enough, and !FLAG=VALUE must not be set. `keys_in` is a map that has all keys of this one. `excludes` are flags that
    cannot be set beside it, `disjoint` one that must have none of its items, and a `distinct` list has no item twice.
    The value is more than TIMES that of each FLAG of `exceeds`, and at least TIMES those of `at_least`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    type: str = "string"
    default: str = ""
    deprecated: bool = False
    hidden: bool = False
    one_of: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    above: float | None = None
    keys: Mapping[str, str] = {}
    value: str = ""
    also: str = ""
    several: Given | None = None
    required: bool = False
    needs: Mapping[str, str] = {}
    keys_in: str = ""
    excludes: tuple[str, ...] = ()
    disjoint: str = ""
    distinct: bool = False
    exceeds: Mapping[str, float] = {}
    at_least: Mapping[str, float] = {}

    @property
    def related(self) -> bool:
        """Whether anything is known of it beside other flags."""
        lone = not (self.needs or self.keys_in or self.excludes or self.disjoint or self.exceeds or self.at_least)
        return self.required or self.distinct or not lone

    @property
    def given(self) -> Given:
        """How a list of values reaches the program."""
        if self.several is not None:
            return self.several
        return "split" if self.type in _SPLIT else "repeated" if self.type in _REPEATED else "once"

    @property
    def sign(self) -> str:
        """What stands between the key and the value of a pair."""
        return "<" if self.type == "thresholds" else "="


def merged(said: Mapping[str, object], more: Mapping[str, object]) -> dict[str, object]:
    """The flags of each program as plain data: what the program says, with what is known beyond that over it.

    What is not a mapping where one belongs is left as it is, for the profile's model to refuse.
    """
    result = dict(said)
    for program, flags in more.items():
        here = result.get(program, {})
        if isinstance(flags, Mapping) and isinstance(here, Mapping):
            result[program] = {**here, **{name: _flag(here.get(name), flag) for name, flag in flags.items()}}
        else:
            result[program] = flags
    return result


def _flag(said: object, more: object) -> object:
    known = {"type": more} if isinstance(more, str) else more
    return {**said, **known} if isinstance(said, Mapping) and isinstance(known, Mapping) else known
