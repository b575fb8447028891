"""`python -m tests.fleet.crash N INVENTORY [rollback | renew | rotate NAME STEP | BACKUP | @MEMBER]`: kill -9 at line N.

The line is one of the journal of a run: an apply, that which undoes the last one, renews certificates, makes a step of a
rotation, or restores a backup or a member's data.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from k8s_installer.cli.console import stop
from k8s_installer.cli.terminal import Terminal
from k8s_installer.flows.apply import Options, apply
from k8s_installer.flows.certs import renew
from k8s_installer.flows.inputs import Inputs
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.restore import Source, restore
from k8s_installer.flows.rollback import roll_back
from k8s_installer.flows.rotate import rotate
from k8s_installer.model.rotation import Step

PHRASE = b"correct horse"  # of backups that are sealed


def main(number: int, inventory: Path, flow: Callable[[Options, Reporter], Outcome]) -> int:
    def after_line(line: int) -> None:
        if line == number:
            os.kill(os.getpid(), signal.SIGKILL)

    options = Options(Inputs(inventory), yes=True, verify=False, after_line=after_line)
    return stop(flow(options, Terminal(inventory))).exit_code


def flow(*words: str) -> Callable[[Options, Reporter], Outcome]:
    """The run that is killed."""
    match words:
        case ():
            return apply
        case ("rollback",):
            return roll_back
        case ("renew",):
            return partial(without_preflight, renew)
        case ("rotate", root, step):
            return partial(without_preflight, partial(rotate, root=root, step=Step(step)))
        case _:
            (what,) = words
            return partial(restored, Source(member=what[1:]) if what.startswith("@") else Source(Path(what)))


def without_preflight(of: Callable[[Options, Reporter], Outcome], options: Options, reporter: Reporter) -> Outcome:
    return of(replace(options, preflight=False), reporter)


def restored(source: Source, options: Options, reporter: Reporter) -> Outcome:
    return restore(replace(options, roll_back=False), reporter, source, lambda: PHRASE)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), flow(*sys.argv[3:])))
