"""`backup` and `restore`: a cluster's data and keys in one file. Commands import their flows; see `app.py`."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from k8s_installer.cli import completing
from k8s_installer.cli.change import require_consent
from k8s_installer.cli.console import Output, stop
from k8s_installer.cli.options import (
    AtOnce,
    BreakLock,
    Bundle,
    Format,
    Inventory,
    MaybeInventory,
    Templates,
    Yes,
    require_other,
)
from k8s_installer.cli.terminal import Terminal
from k8s_installer.errors import InputError

app = typer.Typer()

PassphraseFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The pass phrase is the first line of this file.", show_default=False),
]


@app.command(
    epilog="Examples: `k8s-installer backup -i cluster.yaml -o lab.backup --encrypt`; without a terminal "
    "`k8s-installer backup -i cluster.yaml -o lab.backup --passphrase-file /root/phrase`"
)
def backup(
    inventory: Inventory,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The backup.", show_default=False)],
    encrypt: Annotated[bool, typer.Option("--encrypt", help="Ask for a pass phrase and encrypt with it.")] = False,
    passphrase_file: PassphraseFile = None,
    templates: Templates = None,
    output_format: Annotated[Output, typer.Option(help="Format of stdout.")] = Output.TEXT,
) -> None:
    """Write etcd's data, the cluster's keys and the inventory to one file, and read it back.

    Nothing is changed on hosts. The file is 0600: unless it is encrypted, whoever has it has every secret of the
    cluster.
    """
    from k8s_installer.flows.backup import backup
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.report import backup as report

    if str(output) in list(Output):
        raise InputError(
            f"-o {output} would write every secret of the cluster to a file named {output}",
            hint=f"name the file, and give the format of stdout by --output-format {output}",
        )
    require_other(output, inventory)
    terminal, began = Terminal(inventory, output_format), time.monotonic()
    sealed = encrypt or passphrase_file is not None
    phrase = _given(passphrase_file) or _chosen if sealed else None
    made = backup(Inputs(inventory, templates), output, phrase, terminal)
    terminal.show(lambda: report.lines(output, made, sealed=sealed), lambda: report.data(output, made, sealed=sealed))
    terminal.say(f"written and read back in {time.monotonic() - began:.1f} s    Next: copy it to another machine")


@app.command(
    epilog="Examples: `k8s-installer restore lab.backup -i cluster.yaml`; without a terminal "
    "`k8s-installer restore lab.backup -i cluster.yaml --yes --name lab`; `k8s-installer restore lab.backup --check` "
    "only reads it; `k8s-installer restore --from-member m2 -i cluster.yaml` when the quorum is lost for good and m2 "
    "still has its data."
)
def restore(
    file: Annotated[Path | None, typer.Argument(help="A backup.", show_default=False)] = None,
    inventory: MaybeInventory = None,
    from_member: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="Take the data of this member of etcd instead of a backup.",
            autocompletion=completing.host,
        ),
    ] = "",
    check: Annotated[bool, typer.Option("--check", help="Only read the backup; no host is asked.")] = False,
    unpack: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="With --check: write its inventory and keys there.", show_default=False),
    ] = None,
    passphrase_file: PassphraseFile = None,
    templates: Templates = None,
    bundle: Bundle = None,
    yes: Yes = False,
    name: Annotated[str, typer.Option(metavar="CLUSTER", help="The cluster's name; --yes needs it.")] = "",
    verify: Annotated[bool, typer.Option(help="Verify the cluster with real pods when done.")] = True,
    batch: AtOnce = "25%",
    break_lock: BreakLock = False,
    output: Format = Output.TEXT,
) -> None:
    """Replace etcd's data on all members, and make the cluster what the inventory says.

    The API stops while data is replaced; pods run on. The hosts may be new ones, and members more or fewer than there
    were. What was there before is kept beside the new data. After an interruption run the same command again to resume.
    """
    phrase = _given(passphrase_file) or (lambda: _asked(f"Pass phrase of {file}: "))
    if (file is None) == (not from_member):
        words = "needs a backup, or" if file is None else "takes a backup or a member's data, not both: leave out"
        raise InputError(f"restore {words} --from-member HOST", hint="k8s-installer restore FILE -i INVENTORY")
    if check:
        if file is None:
            raise InputError(
                "--check reads a backup, and --from-member changes the cluster: give one of them",
                hint="k8s-installer restore FILE --check",
            )
        _check(file, phrase, unpack, output)
        return
    if inventory is None or unpack is not None:
        raise InputError("restore needs an inventory: -i FILE" if inventory is None else "--unpack needs --check")
    from k8s_installer.flows.apply import Options
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.restore import Source, restore
    from k8s_installer.planning.turns import Batch

    require_consent(yes)
    if yes and not name:
        raise InputError("--yes needs --name", hint="give the cluster's name, as the inventory has it: --name CLUSTER")
    options = Options(
        Inputs(inventory, templates, bundle), batch=Batch.parse(batch), yes=yes, verify=verify, roll_back=False,
        break_lock=break_lock,
    )  # fmt: skip
    source, again = Source(file, from_member), f"restore {file or f'--from-member {from_member}'}"
    raise stop(restore(options, Terminal(inventory, output, command=again), source, phrase, name=name))


def _check(file: Path, phrase: Callable[[], bytes], unpack: Path | None, output: Output) -> None:
    from k8s_installer.flows.restore import check
    from k8s_installer.report import backup as report

    terminal = Terminal(file, output)
    found = check(file, phrase, unpack, terminal)
    made, sealed = found.manifest, found.sealed
    terminal.show(lambda: report.lines(file, made, sealed=sealed), lambda: report.data(file, made, sealed=sealed))
    terminal.say("every byte matches its sums" + (f"; unpacked to {unpack}" if unpack is not None else ""))


def _given(path: Path | None) -> Callable[[], bytes] | None:
    """What reads the pass phrase from a file; None where there is no file."""
    if path is None:
        return None
    from k8s_installer.untrusted import userfile

    def read() -> bytes:
        try:
            phrase = userfile.content(path).split(b"\n", 1)[0].rstrip(b"\r")
        except userfile.UnreadableError as error:
            raise InputError(f"cannot read {path}: {error}") from None
        if not phrase:
            raise InputError(f"{path} has no pass phrase in its first line")
        return phrase

    return read


def _chosen() -> bytes:
    """A new pass phrase, asked for twice."""
    phrase = _asked("Pass phrase for the backup: ")
    if not phrase:
        raise InputError("the pass phrase is empty")
    if _asked("Again: ") != phrase:
        raise InputError("the pass phrases differ")
    return phrase


def _asked(question: str) -> bytes:
    if not sys.stdin.isatty():
        raise InputError("there is no terminal to ask for the pass phrase on", hint="use --passphrase-file FILE")
    return getpass.getpass(question, sys.stderr).encode()
