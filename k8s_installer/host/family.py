"""What a family of settings is: one kind of property of a host, with one way to ask for it and one to set it. Pure.

A setting is so now, and from the host's next boot on. Its name is FAMILY SUBJECT, or FAMILY alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from k8s_installer.host import paths

ABSENT = "absent"  # the answer where the host has no such thing, and the value that removes one that was created
NONE = "none"  # the value of an empty list, and of an address that is not set

# Shell functions. Pieces that several families use stand in a script once.
Pieces = tuple[str, ...]

# Replaces a file's text in one step; its owner and mode stay, and what was there is kept for a rollback.
REPLACE = f"""\
replace() {{ # path: its new text comes on stdin
  [ ! -L "$1" ] || set -- "$(readlink -f "$1")" # a link stays one, and leads to the new text
  new=$(umask 077; mktemp "${{1%/*}}/.k8s-installer.XXXXXX") || return 1
  dd of="$new" conv=fsync status=none && keep "$1" && chown --reference="$1" "$new" &&
    chmod --reference="$1" "$new" && mv -T "$new" "$1" || {{ rm -f "$new"; return 1; }}
  [ ! -x {paths.RESTORECON} ] || restorecon "$1"
}}
"""


@dataclass(frozen=True, slots=True)
class Value:
    """What is so now, and from the next boot on: one word where both are the same, else `A now, B at boot`."""

    now: str
    boot: str

    @classmethod
    def parse(cls, text: str) -> Value:
        """The value that `str` has written; any other text is one word."""
        now, _, boot = text.removesuffix(" at boot").partition(" now, ")
        return cls(now, boot or now)

    def __str__(self) -> str:
        return self.now if self.now == self.boot else f"{self.now} now, {self.boot} at boot"


def differs(_subject: str, seen: str | None, wanted: str) -> str:
    """Every value but the wanted one is a difference; a host without such a property has none."""
    return "" if seen is None or seen == wanted else f"{seen} instead of {wanted}"


def as_found(before: str | None) -> str | None:
    """What was found before the first change is put back."""
    return before


@dataclass(frozen=True, slots=True)
class Family:
    """A family of settings.

    Attributes:
        name: the first word of its settings' names. In the shell `-` is `_`.
        ask: defines the function `ask_NAME [SUBJECT...]`, which prints `setting NOW BOOT NAME [SUBJECT]` for each
            subject, with ABSENT where the host has no such thing. A subject without an answer is unknown. It reads
            only, and costs no process where a host has none of it. Empty where something else is asked (`unit`).
        set: defines the function `set_NAME [SUBJECT] NOW BOOT`, which sets it to any value that can be an answer, and
            fails with words. It has `keep` (path: keep the file's bytes for a rollback), `$root`, and `$incoming`, the
            folder of what was uploaded.
        differs: of subject, what was seen (None: ABSENT) and what is wanted: why it must be set, or nothing.
        original: of what was seen before this program first set it, the value that puts that back; None where there is
            nothing to put back.
        words: of subject and what is wanted, what setting it does; None: "set NAME to VALUE".
        lines: of a value, the file that it is lines of, and these lines; None where a value is all that there is to
            show.
        one_way: whether a rollback cannot bring back what was there.
        unit: the service that it configures, if there is one: it is set before that service starts.
        node: of subject, the node that a setting is about, which a master sets through the API; None where a setting is
            about the host itself.
    """

    name: str
    ask: Pieces
    set: Pieces
    differs: Callable[[str, str | None, str], str] = differs
    original: Callable[[str | None], str | None] = as_found
    words: Callable[[str, str], str] | None = None
    lines: Callable[[str], tuple[str, bytes]] | None = None
    one_way: bool = False
    unit: str = ""
    node: Callable[[str], str] | None = None

    @property
    def function(self) -> str:
        """The name in the shell, after `ask_` and `set_`."""
        return self.name.replace("-", "_")


def once(
    name: str,
    *,
    ask: Pieces = (),
    set: Pieces,  # noqa: A002 - as the family's own
    differs: Callable[[str, str | None, str], str],
    words: Callable[[str, str], str],
) -> Family:
    """A family of what is done, and never taken back."""
    return Family(name, ask=ask, set=set, differs=differs, original=lambda _before: None, words=words, one_way=True)
