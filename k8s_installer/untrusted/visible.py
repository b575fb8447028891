"""Text that others wrote, made safe for a terminal: what a terminal would obey, or nobody would see, is spelled out.

Hosts, their logs, their API servers and inventories may say anything: `ESC ] 0 ;` sets a window's title, `ESC [ 2 J`
clears the screen, U+202E shows the rest of a line backwards. Everything that is printed or traced passes here once, at
the very end, so nothing before needs to know of it.
"""

from __future__ import annotations

import json
import re

# Unicode's categories Cc (but for newline and tab), Cf, Cs, Zl and Zp: controls (C0, DEL, C1), format characters (bidi
# overrides, zero width, tags), halves of surrogate pairs, and separators that only some programs take for a line's end.
_HIDDEN = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u2064\u2066-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)
_LAST_BYTE, _LAST_OF_PLANE = 0xFF, 0xFFFF


def visible(text: str) -> str:
    r"""The text with each hidden character as Python would write it: `\x1b`, `\u202e`. Newlines and tabs stay."""
    return _HIDDEN.sub(_escaped, text)


def json_text(data: object, *, indent: int | None = None) -> str:
    """JSON in one piece, readable and safe to print: a program that reads it gets every character as it was."""
    return _HIDDEN.sub(_json_escaped, json.dumps(data, indent=indent, ensure_ascii=False))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= _LAST_BYTE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _LAST_OF_PLANE else f"\\U{code:08x}"


def _json_escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]  # ASCII: one escape, or a pair of surrogates
