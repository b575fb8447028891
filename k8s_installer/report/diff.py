"""The difference that a file's change makes, line by line and flag by flag; secrets show as sums."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from functools import lru_cache

from k8s_installer.desired.flags import variable
from k8s_installer.host import families
from k8s_installer.host.family import NONE
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import File, Original, SeenFile, SeenSetting, Setting
from k8s_installer.pki.validity import described


def unified(change: Change) -> list[str]:
    """A unified diff of a file's change, without line ends; empty where the bytes stay as they are.

    A setting that is lines of a file has one, too.
    """
    file, before = change.after, change.before
    if isinstance(file, Setting):
        return _of_setting(change, file)
    if isinstance(file, Original) and isinstance(before, SeenFile):
        return _back(change, before)
    if not isinstance(file, File) or change.action not in (Action.CREATE, Action.UPDATE, Action.REWRITE):
        return []
    old = before if isinstance(before, SeenFile) else None
    if file.pending:
        was = f"sha256 {old.sha256[:16]}" if old else "nothing"
        return [f"-{was}", f"+{file.new}: made by apply"]
    if file.secret or (old is not None and old.content is None):
        was = f"sha256 {old.sha256[:16]}" if old else "nothing"
        return [f"-{was}", f"+sha256 {file.sha256[:16]}{' (secret)' if file.secret else ''}"]
    place = f"{change.ref.host}:{change.ref.name}"
    content = old.content if old and old.content else b""
    hunks = _certificates(content, file.content) or _hunks(content, file.content)
    return [f"--- {place if old else '/dev/null'}", f"+++ {place}", *hunks] if hunks else []


def _certificates(old: bytes, new: bytes) -> list[str]:
    """What changes between two files of certificates, a line for each; base64 says nothing to people."""
    lines = [described(pem) for pem in (old, new)]
    gone, come = ([line for line in lines[one] if line not in lines[1 - one]] for one in (0, 1))
    return [*(f"-{line}" for line in gone), *(f"+{line}" for line in come)] if lines[1] else []


def _back(change: Change, before: SeenFile) -> list[str]:
    """What leaves a path; its bytes where the host showed them, which are no secret then."""
    if before.content is None:
        return [f"-sha256 {before.sha256[:16]}", *([f"+sha256 {before.original[:16]}"] if before.original else [])]
    place = f"{change.ref.host}:{change.ref.name}"
    heads = [f"--- {place}", f"+++ {place if before.original else '/dev/null'}"]
    return [*heads, *_hunks(before.content, before.kept or b"")]


def _of_setting(change: Change, setting: Setting) -> list[str]:
    seen = change.before.value if isinstance(change.before, SeenSetting) else NONE
    old, new = (families.block(change.ref.name, value) for value in (seen, setting.value))
    if old is None or new is None:
        return []
    place = f"{change.ref.host}:{new[0]}"
    return [f"--- {place}", f"+++ {place}", *_hunks(old[1], new[1])]


def flags(diff: Sequence[str]) -> list[str]:
    """What a diff of variables says flag by flag, as `--name: old → new`, and a repeated one with all its values."""
    old = _flags(line for line in diff if line.startswith("-") and not line.startswith("---"))
    new = _flags(line for line in diff if line.startswith("+") and not line.startswith("+++"))
    return [
        f"{name}: {old.get(name, '(not set)')} → {new.get(name, '(not set)')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


@lru_cache(maxsize=256)  # most hosts have and want the same bytes, and a list of routes has a line for each host
def _hunks(old: bytes, new: bytes) -> tuple[str, ...]:
    """The parts that differ, without the two lines in front that say whose they are."""
    return tuple(difflib.unified_diff(_lines(old), _lines(new), n=0, lineterm=""))[2:]


def _flags(lines: Iterable[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for line in lines:
        _, words = variable(line[1:]) or ("", "")
        for word in words.split():
            name, _, value = word.partition("=")
            if name.startswith("--"):
                found.setdefault(name, []).append(value)
    return {name: ", ".join(values) for name, values in found.items()}


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()
