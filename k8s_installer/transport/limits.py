"""What this machine lets one process have: open files above all, of which every connection takes one to three."""

from __future__ import annotations

import errno
import resource
from contextlib import suppress

from k8s_installer.errors import InstallerError

# Connections that stay open, and so threads of Paramiko's, of which each has one that wakes ten times in a second.
MOST_CONNECTIONS = 256
# More than any run needs; some systems have a hard limit of a thousand million.
_MOST_FILES = 65536
# For everything but connections: files that are read, the journal, what is loaded.
_OWN_FILES = 64
# A connection has a socket, one through a gateway a second, and an upload has its file open.
_EACH = 3
_FEWEST = 4


class LimitError(InstallerError):
    """This machine's own limit is reached: no host is at fault, and asking others is of no use."""


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one, within reason; how many files this process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _MOST_FILES if soft == resource.RLIM_INFINITY else soft
    with suppress(OSError, ValueError):  # some sandboxes refuse
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def connections() -> int:
    """How many connections may stay open at the same time."""
    return max(_FEWEST, min(MOST_CONNECTIONS, (raise_open_files() - _OWN_FILES) // _EACH))


def own_limit(error: BaseException) -> LimitError | None:
    """What to say where an error is no host's: this process may open no more files, or start no more threads."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        whose = "this process" if error.errno == errno.EMFILE else "this machine"
        return LimitError(
            f"{whose} has too many open files (ulimit -n is {files}); this is not a problem of any host",
            hint=f"raise the limit in this shell and run the command again: ulimit -n {max(4096, 2 * files)}"
            if error.errno == errno.EMFILE
            else "raise fs.file-max (sysctl), or stop the programs that have so many files open "
            "(`sysctl fs.file-nr` counts them)",
        )
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return LimitError(
            "this machine allows no more threads; this is not a problem of any host",
            hint="raise the process limit (ulimit -u), or this container's pids.max",
        )
    return None
