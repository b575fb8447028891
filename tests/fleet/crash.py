"""`python -m tests.fleet.crash N INVENTORY`: apply, and kill -9 itself when the N-th line of the journal is on disk."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from k8s_installer.cli import applying
from k8s_installer.cli.looking import Asked


def main(number: int, inventory: Path) -> int:
    def after_line(line: int) -> None:
        if line == number:
            os.kill(os.getpid(), signal.SIGKILL)

    options = applying.Options(Asked(inventory, None), time.monotonic(), yes=True, verify=False, after_line=after_line)
    return int(applying.apply(options))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
