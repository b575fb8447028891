"""Changes as ONE script for one host, and the pure parser of what it reports.

The script says on stdout when each change begins and ends, so that whatever cuts it off, what was done is
known. It stops at the first failure, and what it prints behind `failed` is the evidence.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from k8s_installer.plan import Action, Change
from k8s_installer.resources import File, Package

MARK = "::k8s-installer::"
JOURNAL_LINES = 20
# A program that refuses a flag says so once and then prints pages of usage, which push its words out of sight.
JOURNAL_SEARCHED = 600
COMPLAINT_LINES = 6
COMPLAINTS = "[Ee]rror: |invalid argument|unknown (shorthand )?flag|panic: |fatal|: [EF][0-9]{4} "

# Written beside its target, flushed, owned, checked by sum and renamed: a reader sees the old bytes or the new
# ones, never a mixture, not even after a power cut.
_PRELUDE = f"""\
say() {{ printf '%s %s\\n' '{MARK}' "$*"; }}
failed() {{ say "failed $1"; shift; printf '%s\\n' "$@"; exit 1; }}
evidence() {{
  systemctl status --no-pager --full --lines=0 "$1" 2>&1
  echo '--- errors in its journal'
  journalctl --no-pager -n {JOURNAL_SEARCHED} -u "$1" 2>&1 | grep -E '{COMPLAINTS}' | tail -n {COMPLAINT_LINES}
  echo '--- end of its journal'
  journalctl --no-pager -n {JOURNAL_LINES} -u "$1" 2>&1
}}
put() {{
  folder=${{1%/*}}
  [ -d "$folder" ] || (umask 022; mkdir -p "$folder") || return 1
  new=$(umask 077; mktemp "$folder/.k8s-installer.XXXXXX") || return 1
  base64 -d | dd of="$new" conv=fsync status=none &&
    printf '%s  %s\\n' "$5" "$new" | sha256sum -c --status &&
    chown "$3:$4" "$new" && chmod "$2" "$new" && mv -T "$new" "$1" ||
    {{ rm -f "$new"; df -P "$folder"; return 1; }}
  [ ! -x /usr/sbin/restorecon ] || restorecon "$1"
}}
"""


@dataclass(frozen=True, slots=True)
class Report:
    """One line of a running script: change `index` has begun, is done, or failed."""

    word: str
    index: int


def script(numbered: Sequence[tuple[int, Change]]) -> str:
    """The script that carries these changes of one host out, in this order."""
    parts = [_PRELUDE]
    for action, group in groupby(numbered, key=lambda item: _batch(item[1])):
        changes = list(group)
        if action == "packages":
            parts.append(_packages(changes))
        elif action == "reload":
            parts.append(_reload(changes))
        else:
            parts.extend(_single(index, change) for index, change in changes)
    return "".join(parts)


def _batch(change: Change) -> str:
    """Neighbours that one command can carry out together: a yum transaction, a daemon-reload."""
    if isinstance(change.after, Package):
        return "packages"
    return "reload" if change.action is Action.RELOAD else ""


def _packages(changes: list[tuple[int, Change]]) -> str:
    packages = [change.after for _, change in changes if isinstance(change.after, Package)]
    wanted = [f"{package.name}-{package.version}" if package.version else package.name for package in packages]
    indices = [index for index, _ in changes]
    # yum 3.4 exits 0 although a package was not to be had, as long as it could install another one
    return (
        _each("begin", indices)
        + f"out=$(yum -y -q install {shlex.join(wanted)} 2>&1 </dev/null) || "
        + f'failed {indices[0]} "$out"\n'
        + "".join(
            f'rpm -q {shlex.quote(name)} >/dev/null || failed {index} "$out"\n'
            for (index, _), name in zip(changes, wanted, strict=True)
        )
        + _each("done", indices)
    )


def _reload(changes: list[tuple[int, Change]]) -> str:
    indices = [index for index, _ in changes]
    return (
        _each("begin", indices)
        + f'out=$(systemctl daemon-reload 2>&1) || failed {indices[0]} "$out"\n'
        + _each("done", indices)
    )


def _single(index: int, change: Change) -> str:
    body = _file(index, change, change.after) if isinstance(change.after, File) else _unit(index, change)
    return _each("begin", [index]) + body + _each("done", [index])


def _file(index: int, change: Change, file: File) -> str:
    path = shlex.quote(change.ref.name)
    if change.action is Action.ATTRIBUTES:
        owner = f"{file.owner}:{file.group}"
        return f'out=$(chown {owner} {path} && chmod {file.mode:o} {path} 2>&1) || failed {index} "$out"\n'
    # base64 in lines: dash keeps a heredoc in memory, and a line of megabytes would be slow to scan
    text = base64.encodebytes(file.content).decode()
    return (
        f"out=$(put {path} {file.mode:o} {file.owner} {file.group} {file.sha256} 2>&1 <<'BYTES'\n{text}BYTES\n"
        f') || failed {index} "$out"\n'
    )


def _unit(index: int, change: Change) -> str:
    unit = shlex.quote(change.ref.name)
    fail = f'failed {index} "$out" "$(evidence {unit})"\n'
    enable = f"out=$(systemctl enable {unit} 2>&1) || {fail}"
    if change.action is Action.ENABLE:
        return enable
    # a unit that failed too often refuses to start until its counter is cleared
    reset = f"systemctl reset-failed {unit} 2>/dev/null\n"
    verb = "restart" if change.action is Action.RESTART else "start"
    return enable + reset + f"out=$(systemctl {verb} {unit} 2>&1) || {fail}"


def _each(word: str, indices: Iterable[int]) -> str:
    return "".join(f"say {word} {index}\n" for index in indices)


def report(line: str) -> Report | None:
    """Read one line of output; None where it is not one of ours."""
    mark, _, rest = line.partition(" ")
    word, _, index = rest.partition(" ")
    return Report(word, int(index)) if mark == MARK and index.isdigit() else None


def evidence(output: str) -> str:
    """What a failed script printed behind its last mark."""
    lines = output.splitlines()
    marks = [number for number, line in enumerate(lines) if line.startswith(MARK)]
    return "\n".join(lines[marks[-1] + 1 :] if marks else lines).strip()


def evidence_script(unit: str) -> str:
    """What systemd and the journal say about a unit; reads only."""
    return f"{_PRELUDE}evidence {shlex.quote(unit)}\n"
