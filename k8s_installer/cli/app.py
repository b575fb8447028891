"""The command line as a whole: its groups of commands, how it begins and how it ends.

Each command parses its options and calls one flow, which it imports itself: SSH, cryptography, pydantic and Jinja take
half a second to load, and `--help`, a mistyped option and a shell's completion need none of them. What stands at the
top of modules of `cli/` must stay free of them.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from k8s_installer import __version__
from k8s_installer.cli import backup, bundle, certs, change, explain, graph, init, inspect, keys, lab, test
from k8s_installer.cli.console import Exit, print_error, stderr, stdout, stop
from k8s_installer.cli.verbosity import Verbosity, WithVerbosity, verbosity
from k8s_installer.errors import InputError, InstallerError

app = typer.Typer(
    name="k8s-installer",
    help="Installs Kubernetes component by component, from packages, as systemd units you can read.",
    epilog="Start here: `k8s-installer init HOST...` or, for hosts to try it on, `k8s-installer lab up`; "
    "then `k8s-installer apply -i INVENTORY`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    cls=WithVerbosity,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(init.app)
app.add_typer(inspect.app)
app.add_typer(graph.reports)
app.add_typer(test.app)
app.add_typer(change.app)
app.add_typer(explain.app)
app.add_typer(backup.app)
app.add_typer(lab.app, name="lab")
app.add_typer(bundle.app, name="bundle")
app.add_typer(keys.app, name="keys")
app.add_typer(certs.app, name="certs")
app.add_typer(graph.app, name="graph")


def _version(wanted: bool) -> None:
    if wanted:
        stdout().print(f"k8s-installer {__version__}")
        raise stop(Exit.DONE)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Installs Kubernetes component by component, from packages, as systemd units you can read."""


def main() -> NoReturn:
    """Run the command line and end; the one place where errors become messages and exit codes."""
    status = _status()
    # Python's own end takes everything apart, object by object, which the kernel frees at once: a tenth of a plan.
    os._exit(status)


def _require_streams() -> None:
    """Put nothing where a stream is closed: the next file or connection to be opened would stand in its place.

    Raises:
        InputError: stdout is closed, and what a command finds would be lost.
    """
    lost = sys.stdout is None
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - until the end
    if lost:
        raise InputError("stdout is closed", hint="to throw results away, use >/dev/null")


def _status() -> int:
    try:
        try:
            _require_streams()
            app()
        finally:
            sys.stdout.flush()
    except SystemExit as end:  # as click ends
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except InputError as error:
        print_error(error)
        return Exit.USAGE
    except InstallerError as error:
        print_error(error)
        return Exit.FAILED
    except KeyboardInterrupt:
        stderr().print("stopped")
        return Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - what files and hosts refuse has its own words; this is a fault of ours
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EPIPE}:
            print_error(InstallerError(f"cannot write: {error.strerror}"))
        else:
            from k8s_installer.cli.fault import explained  # noqa: PLC0415 - rare

            print_error(explained(error, show=verbosity() is Verbosity.DEBUG))
        return Exit.FAILED
    return Exit.DONE
