"""`k8s-installer bundle`: all that an inventory needs as one file. Commands import their flows; see `app.py`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from k8s_installer.cli import completing
from k8s_installer.cli.console import Output
from k8s_installer.cli.options import Format, Inventory, require_other
from k8s_installer.cli.terminal import Terminal

app = typer.Typer(
    help="Offline bundles: what an inventory needs (packages, images, programs) as one file.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command(
    epilog="Examples:\n\n"
    "  k8s-installer bundle create -i cluster.yaml -o lab.bundle\n\n"
    "  k8s-installer bundle create -i cluster.yaml -o lab.bundle --repo http://mirror.example.com/centos/7.9.2009/os/x86_64\n\n"
    "  k8s-installer bundle create -i cluster.yaml -o lab.bundle --from ./files"
)
def create(
    inventory: Inventory,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The bundle.", show_default=False)],
    repo: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="A yum repository (http, https, file) instead of the inventory's; repeatable."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--from",
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="A folder of local files: *.rpm, images in docker save format, the server tarball.",
        ),
    ] = None,
    assume: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="What hosts already have: a capability, or a pattern; repeatable."),
    ] = None,
    registry: Annotated[str, typer.Option(metavar="HOST", help="The registry for image names without one.")] = "",
    templates: Annotated[Path | None, typer.Option(help="A folder of templates, as for `apply`.")] = None,
    output_format: Annotated[Output, typer.Option(help="Format of stdout.")] = Output.TEXT,
) -> None:
    """Work out what an inventory needs, fetch it, and write it to one file. No host is contacted."""
    from k8s_installer.flows import bundle
    from k8s_installer.report import bundle as report

    require_other(output, inventory)
    terminal, began = Terminal(inventory, output_format), time.monotonic()
    asked = bundle.BundleRequest(inventory, templates, output, tuple(repo or ()), folder, tuple(assume or ()), registry)
    made = bundle.create(asked, terminal)
    terminal.show(lambda: report.lines(output, made), lambda: report.data(output, made))
    next_one = f"k8s-installer apply -i {inventory} --bundle {output}"
    terminal.say(f"created in {time.monotonic() - began:.1f} s    Next: {next_one}")


@app.command(epilog="Example: `k8s-installer bundle verify lab.bundle -i cluster.yaml`")
def verify(
    file: Annotated[Path, typer.Argument(help="The bundle.", show_default=False)],
    inventory: Annotated[
        Path | None,
        typer.Option(
            "-i",
            "--inventory",
            help="Also check that it has everything that this inventory needs.",
            show_default=False,
            autocompletion=completing.inventories,
        ),
    ] = None,
    templates: Annotated[Path | None, typer.Option(help="A folder of templates, as for `apply`.")] = None,
    output: Format = Output.TEXT,
) -> None:
    """Compare every file of a bundle with its manifest."""
    from k8s_installer.flows import bundle
    from k8s_installer.report import bundle as report

    terminal = Terminal(inventory or file, output)
    made = bundle.verify(file, inventory, templates, terminal)
    terminal.show(lambda: report.lines(file, made), lambda: report.data(file, made))
    terminal.say("every file matches the manifest")
