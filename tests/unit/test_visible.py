from __future__ import annotations

import io
import json
import sys
import unicodedata

import pytest
from rich.table import Table
from rich.text import Text

from k8s_installer.cli.console import _Screen
from k8s_installer.untrusted.visible import json_text, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ÄÖ 日本 🙂\n\tand a tab", "plain ÄÖ 日本 🙂\n\tand a tab"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m\x85\x7f\0\r", "\\x9b31m\\x85\\x7f\\x00\\x0d"),
        ("a\u202eb\u2066\u200b\ufeff\u2028", "a\\u202eb\\u2066\\u200b\\ufeff\\u2028"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_a_terminal_obeys_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert json.loads(json_text([text])) == [text]
    assert "\x1b" not in json_text([text])


def test_every_hidden_character_of_unicode_is_spelled_out() -> None:
    """By this Python's own tables: those that a newer Unicode adds are spelled out when the list here follows."""
    text = "".join(map(chr, range(sys.maxunicode + 1)))
    hidden = {c for c in visible(text) if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert hidden == {"\n", "\t"}
    left = {c for c in json_text(text) if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert left == set()


def test_a_screen_obeys_nobody_but_keeps_our_colours() -> None:
    out = io.StringIO()
    screen = _Screen(file=out, force_terminal=True, color_system="standard", width=80, highlight=False)
    table = Table()
    table.add_column("a\x1b[2J", min_width=20)
    table.add_row(Text("b\x9bc", "red"))
    screen.print(Text.assemble(("error: ", "red"), "x\x1b]0;t\x07\r"), table, "d\u202ee")
    with screen.status("spinning \x1b[1A"):
        screen.print("[bold]markup[/bold] \x1b[8m!", style="green")
    said = out.getvalue()
    assert "\x1b[31merror: \x1b[0m" in said
    for evil in ("\x1b[2J", "\x9b", "\x1b]", "\x07", "\u202e", "\x1b[8m"):
        assert evil not in said
    for shown in ("\\x1b[2J", "\\x9b", "\\x1b]0;t", "\\u202e", "\\x1b[8m"):
        assert shown in said
