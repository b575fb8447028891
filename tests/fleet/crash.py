"""`python -m tests.fleet.crash N INVENTORY [rollback]`: apply, or undo the last run; kill -9 at line N of its journal."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from k8s_installer.cli.console import stop
from k8s_installer.cli.terminal import Terminal
from k8s_installer.flows.apply import Options, apply
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.rollback import roll_back


def main(number: int, inventory: Path, flow: Callable[[Options, Reporter], Outcome]) -> int:
    def after_line(line: int) -> None:
        if line == number:
            os.kill(os.getpid(), signal.SIGKILL)

    options = Options(Inputs(inventory), yes=True, verify=False, after_line=after_line)
    return stop(flow(options, Terminal(inventory))).exit_code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), roll_back if sys.argv[3:] else apply))
