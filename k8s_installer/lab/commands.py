"""Running this machine's programs: one way, one error."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from k8s_installer.errors import LabError

Say: TypeAlias = Callable[[str], None]
"""Receives one line of progress; the lab itself never prints."""

_KEPT_LINES = 12


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
    timeout: float | None = None,
) -> str:
    """Run one program, without a shell, and return its standard output.

    Args:
        argv: the program and its arguments.
        env: the whole environment, or None for this process's own.
        cwd: the folder it runs in.
        stdin: text for its standard input.
        timeout: seconds after which it is killed, or None.

    Raises:
        LabError: it is not installed, took too long, or failed; the message ends with its last lines.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            env=env,
            cwd=cwd,
            input=stdin,
            timeout=timeout,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{words[0]} is not installed on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{_short(words)}: not finished after {timeout:.0f} s") from error
    if done.returncode:
        tail = "\n".join((done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-_KEPT_LINES:])
        raise LabError(f"{_short(words)}: exit {done.returncode}:\n{tail}")
    return done.stdout


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Tell whether a program that only asks something exits 0; a missing program counts as no."""
    try:
        run(argv)
    except LabError:
        return False
    return True


def _short(words: Sequence[str], limit: int = 100) -> str:
    line = " ".join(words)
    return line if len(line) <= limit else f"{line[:limit]}…"
