"""A fault of this program: three lines, and the traceback in a file, without secrets."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import platformdirs

from k8s_installer import __version__
from k8s_installer.errors import InstallerError
from k8s_installer.runs.folder import private_file, prune, run_id
from k8s_installer.runs.redaction import redact
from k8s_installer.untrusted.visible import visible

_MOST = 20  # files that are kept


def explained(error: BaseException, *, show: bool) -> InstallerError:
    """What people read instead of the traceback of an exception that nobody expected.

    Args:
        error: the exception.
        show: whether its traceback goes to stderr as well.
    """
    text = visible(redact("".join(traceback.format_exception(error))))
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f", at {Path(last[0].filename).name}:{last[0].lineno}" if last else ""
    first = redact(str(error)).partition("\n")[0]
    said = f"{type(error).__name__}: {first}" if first else type(error).__name__
    kept = _kept(text)
    if show or kept is None:
        sys.stderr.write(text)
    report = f"please report it with {kept}" if kept is not None else "please report it with the traceback above"
    return InstallerError(
        f"k8s-installer {__version__} has a fault{where}: {said}",
        hint=f"if a run was changing hosts, it stopped there; the same command resumes it\n{report}",
    )


def _kept(text: str) -> Path | None:
    """The file that has it now; None if it cannot be written."""
    folder = platformdirs.user_state_path("k8s-installer") / "faults"
    try:
        path = folder / f"{run_id()}.txt"
        with private_file(folder, path.name) as file:
            file.write(f"k8s-installer {__version__}, Python {sys.version.split()[0]}\n{text}".encode())
        prune(folder, ".txt", _MOST)
    except (InstallerError, OSError):
        return None
    return path
