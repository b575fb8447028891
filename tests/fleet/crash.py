"""`python -m tests.fleet.crash N INVENTORY [rollback]`: apply, or undo the last run; kill -9 at line N of its journal."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from k8s_installer.cli import applying
from k8s_installer.cli.console import Exit
from k8s_installer.cli.looking import Asked


def main(number: int, inventory: Path, flow: Callable[[applying.Options], Exit]) -> int:
    def after_line(line: int) -> None:
        if line == number:
            os.kill(os.getpid(), signal.SIGKILL)

    options = applying.Options(Asked(inventory, None), time.monotonic(), yes=True, verify=False, after_line=after_line)
    return int(flow(options))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), applying.roll_back if sys.argv[3:] else applying.apply))
