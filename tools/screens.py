"""The pictures of the terminal in docs/screens: `python -m tools.screens` runs the commands on a lab and draws them.

Each command runs in a terminal of its own (a pty, read by pyte), in a folder with nothing but the lab's inventory. What
the screen has is an SVG without a font or anything else from elsewhere.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from k8s_installer.report.layout import fitted
from k8s_installer.report.text import plan_lines
from tests.golden import plans

FOLDER = Path(__file__).parent.parent / "docs" / "screens"
INSTALLER = [sys.executable, "-m", "k8s_installer"]
LAB = "screens"
LINES = 60  # of the terminal: what is empty at its end is left out
WIDE, NARROW = 100, 80  # columns
BROKEN = "  kube-scheduler: {args: {policy-config-file: /etc/kubernetes/policy.json}}\n"
THEME = TerminalTheme(
    (13, 17, 23), (201, 209, 217),
    [(72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34),
     (88, 166, 255), (188, 140, 255), (57, 197, 207), (201, 209, 217)],
    [(110, 118, 129), (255, 161, 152), (86, 211, 100), (227, 179, 65),
     (121, 192, 255), (210, 168, 255), (86, 212, 221), (240, 246, 252)],
)  # fmt: skip
# rich's own picture, without its title bar and the font that it gets from elsewhere
FORMAT = """\
<svg viewBox="-12 -10 PADDED_WIDTH PADDED_HEIGHT" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
<rect fill="#0d1117" x="-12" y="-10" width="PADDED_WIDTH" height="PADDED_HEIGHT" rx="8"/>
<g clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""

_GREY = b"\x1b[90m"  # in place of faint, which pyte does not know
Enough = Callable[[Sequence[str]], bool]


def ended(_lines: Sequence[str]) -> bool:
    """Take the screen when the command has ended."""
    return False


def half(lines: Sequence[str]) -> bool:
    """Take the screen when a run is about half done, and some host waits for its health."""
    counts = [line.split() for line in lines if " changes  " in line]
    return any(int(words[0]) * 2 > int(words[2]) for words in counts) and any("wait until" in line for line in lines)


def screen(words: Sequence[str], folder: Path, columns: int, *, enough: Enough = ended, first: str = "") -> Text:
    """Run the installer with these words in a terminal; what this shows when it is enough, or at the end.

    The command goes on to its end in any case. What is above the line that begins with `first` is left out.
    """
    shown = pyte.Screen(columns, LINES)
    stream = pyte.ByteStream(shown)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "", "PYTHONPATH": str(FOLDER.parent.parent)}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [*INSTALLER, *words], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    taken: Text | None = None
    while True:
        readable, _, _ = select.select([ours], [], [], 0.1)
        try:
            data = os.read(ours, 1 << 16) if readable else b""
        except OSError:  # the other end is closed
            break
        stream.feed(data.replace(b"\x1b[2m", _GREY).replace(b"\x1b[2;", _GREY[:-1] + b";"))
        if taken is None and enough(shown.display):
            taken = text(shown, words, first, str(folder))
    process.wait()
    os.close(ours)
    return taken or text(shown, words, first, str(folder))


def text(shown: pyte.Screen, words: Sequence[str], first: str, folder: str) -> Text:
    """What a screen shows, from the line that begins with `first`, below the command; the folder has a plain name."""
    lines = [command(words)]
    above = next((row for row, line in enumerate(shown.display) if line.startswith(first)), 0)
    lines += [Text("...")] if above else []
    for row in range(above, LINES):
        line = Text()
        cells = [shown.buffer[row][column] for column in range(shown.columns)]
        for style, run in groupby(cells, key=lambda cell: (colour(cell.fg), cell.bold, cell.italics)):
            said = "".join(cell.data for cell in run).replace(folder, "/srv/lab")
            line.append(said, Style(color=style[0], bold=style[1], italic=style[2]))
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return Text("\n").join(lines)


def command(words: Sequence[str]) -> Text:
    """A command as somebody typed it."""
    return Text.assemble(("$ ", "bold green"), (f"k8s-installer {' '.join(words)}", "bold"))


def colour(name: str) -> str | None:
    """A colour of pyte's as rich calls it."""
    if name == "default":
        return None
    names = {"brown": "yellow", "brightbrown": "bright_yellow", "brightblack": "bright_black"}
    return names.get(name, name.replace("bright", "bright_") if name.startswith("bright") else name)


def save(name: str, shown: Text, columns: int) -> None:
    """Draw a screen into docs/screens."""
    console = Console(
        record=True,
        width=columns,
        file=io.StringIO(),
        color_system="standard",
        force_terminal=True,
        legacy_windows=False,
    )
    for line in shown.split("\n", allow_blank=True):
        for fit in fitted(line, console):
            console.print(fit, soft_wrap=True)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.svg"
    picture = console.export_svg(theme=THEME, code_format=FORMAT, unique_id=name)
    width, height = re.findall(r'<rect x="0" y="0" width="([\d.]+)" height="([\d.]+)"/>', picture)[0]
    for word, length in (("PADDED_WIDTH", float(width) + 24), ("PADDED_HEIGHT", float(height) + 20)):
        picture = picture.replace(word, f"{length:.0f}")
    path.write_text(re.sub(r"<text [^>]*>\n</text>", "", picture))
    sys.stderr.write(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")


def plan_of_forty() -> Text:
    """A plan of more hosts than a lab has: that of the golden tests."""
    cluster, wanted, made = plans.made("edited")
    return Text("\n").join([command(["plan", "-i", "cluster.yaml"]), *plan_lines(cluster, made, wanted)])


def lab(*words: str) -> str:
    """Run a command of the lab's; what it prints."""
    done = subprocess.run([*INSTALLER, "lab", *words, "--name", LAB], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main() -> None:
    """Draw all screens."""
    save("plan", plan_of_forty(), WIDE)
    lab("up")
    try:
        with tempfile.TemporaryDirectory() as place:
            folder, inventory = Path(place), Path(json.loads(lab("status", "-o", "json"))["inventory"]).read_text()
            (folder / "cluster.yaml").write_text(inventory)
            file = ["-i", "cluster.yaml"]
            save("apply", screen(["apply", "--yes", *file], folder, WIDE, enough=half, first="Plan: "), WIDE)
            save("status", screen(["status", *file], folder, WIDE + 20), WIDE + 20)
            (folder / "cluster.yaml").write_text(inventory + BROKEN)
            save("error", screen(["apply", "--yes", *file], folder, WIDE, first="error: "), WIDE)
    finally:
        lab("down")


if __name__ == "__main__":
    main()
