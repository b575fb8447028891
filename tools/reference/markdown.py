"""docs/cli.md: every command with its options and examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from tools.reference.commands import Command, Option, shared

_HEAD = """\
# Commands
<!-- {written} -->

`k8s-installer COMMAND --help` shows the same on a terminal, and `man k8s-installer` in one page (in a checkout:
`man docs/man/k8s-installer.1`).

| exit code | means |
|---|---|
| 0 | done, or nothing to do |
| 1 | failed |
| 2 | wrong usage or invalid input |
| 3 | changes are pending (`plan`, `status`, `certs status`) |
| 130 | stopped by Ctrl-C |

Data goes to stdout, everything else to stderr. `-o json` is for programs. `NO_COLOR` is honoured. Without a terminal
there are no prompts, and commands that change hosts require `--yes`. `K8S_INSTALLER_INVENTORY` takes the place of `-i`.

`k8s-installer --install-completion` makes bash, zsh or fish complete commands, options, hosts, components and
inventories.
"""


def page(commands: Sequence[Command], written: str) -> str:
    """The text of the page."""
    alone, everywhere = shared()
    own = [*_options("option of the program", alone), *_options("option of every command", everywhere)]
    index = ["| command | does |", "|---|---|"]
    index += [f"| [`{one.name}`](#{_anchor(one)}) | {_cell(one.summary)} |" for one in commands if not one.group]
    parts = [_HEAD.format(written=written), *own, "\n".join(index)]
    for one in commands:
        parts += _section(one)
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _section(one: Command) -> Iterator[str]:
    level = "##" if len(one.words) == 1 else "###"
    yield f"{level} {one.name}"
    yield one.help
    if one.group:
        return
    yield f"```text\n{one.usage}\n```"
    yield from _options("argument", one.arguments)
    yield from _options("option", one.options)
    yield from _notes(one.notes)


def _notes(notes: Sequence[str]) -> Iterator[str]:
    block: list[str] = []
    for note in [*notes, ""]:
        if note.startswith("  "):
            block.append(note.strip())
            continue
        if block:
            yield "\n".join(["```sh", *block, "```"])
            block = []
        if note:
            yield " ".join(note.split())


def _options(title: str, options: Sequence[Option]) -> Iterator[str]:
    if options:
        rows = [f"| {title} | meaning | default |", "|---|---|---|"]
        yield "\n".join([*rows, *map(_row, options)])


def _row(option: Option) -> str:
    default = "required" if option.required else f"`{_cell(option.default)}`" if option.default else ""
    written = option.written
    # in a table some renderers end a cell at any |, and others show a backslash before it
    shown = f"<code>{escape(written).replace('|', '&#124;')}</code>" if "|" in written else f"`{written}`"
    return f"| {shown} | {_cell(option.help)} | {default} |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _anchor(one: Command) -> str:
    return one.name.replace(" ", "-")
