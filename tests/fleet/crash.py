"""`python -m tests.fleet.crash N INVENTORY [rollback | BACKUP | @MEMBER]`: kill -9 at line N of a run's journal.

The run is an apply, that which undoes the last one, or that which restores a backup or a member's data.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from k8s_installer.cli.console import stop
from k8s_installer.cli.terminal import Terminal
from k8s_installer.flows.apply import Options, apply
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.restore import Source, restore
from k8s_installer.flows.rollback import roll_back

PHRASE = b"correct horse"  # of backups that are sealed


def main(number: int, inventory: Path, flow: Callable[[Options, Reporter], Outcome]) -> int:
    def after_line(line: int) -> None:
        if line == number:
            os.kill(os.getpid(), signal.SIGKILL)

    options = Options(Inputs(inventory), yes=True, verify=False, after_line=after_line)
    return stop(flow(options, Terminal(inventory))).exit_code


def flow(what: str) -> Callable[[Options, Reporter], Outcome]:
    """The run that is killed."""
    if what in ("", "rollback"):
        return roll_back if what else apply

    source = Source(member=what[1:]) if what.startswith("@") else Source(Path(what))

    def restored(options: Options, reporter: Reporter) -> Outcome:
        return restore(replace(options, roll_back=False), reporter, source, lambda: PHRASE)

    return restored


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), flow("".join(sys.argv[3:]))))
