"""`graph` and `report`: pictures of a cluster, and a page about it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from k8s_installer.cli.console import Output, print_json
from k8s_installer.cli.options import AtOnce, Bundle, Inventory, Templates, require_other
from k8s_installer.cli.terminal import Terminal
from k8s_installer.errors import InputError

if TYPE_CHECKING:
    from k8s_installer.flows.graph import Graph


class OrCluster(TyperGroup):
    """The group of pictures: options without a picture's name are those of `cluster`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer brings its own click
        """Put the name in front where an option comes first that is not one of the group."""
        if args and args[0].startswith("-") and args[0] not in self.get_help_option_names(ctx):
            args = ["cluster", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=OrCluster,
    no_args_is_help=True,
    help="Draw the cluster (the default), or what apply would do, as Mermaid, DOT or SVG.",
)

Picture = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        metavar="mermaid|dot|svg|json|FILE",
        help="Form of stdout, or a file (.svg, .dot, .gv, .mmd, .json).",
    ),
]


@app.command(
    epilog="Examples: `k8s-installer graph cluster -i cluster.yaml -o cluster.svg`, "
    "`k8s-installer graph cluster -i cluster.yaml -o dot | dot -Tpng >cluster.png`"
)
def cluster(inventory: Inventory, output: Picture = "mermaid") -> None:
    """Draw hosts, their components, and who connects to whom with which certificate. Needs no SSH."""
    from k8s_installer.flows import graph
    from k8s_installer.flows.inputs import Inputs

    graph.form_of(output)
    _give(graph.cluster(Inputs(inventory), Terminal(inventory)), output, inventory)


@app.command(
    epilog="Examples: `k8s-installer graph plan -i cluster.yaml -o plan.svg`, "
    "`k8s-installer graph plan -i cluster.yaml >>notes.md`"
)
def plan(
    inventory: Inventory,
    templates: Templates = None,
    bundle: Bundle = None,
    batch: AtOnce = "25%",
    output: Picture = "mermaid",
) -> None:
    """Draw what apply would do: the order of its steps, restarts, health gates and turns."""
    from k8s_installer.flows import graph
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.planning.turns import Batch

    graph.form_of(output)
    size = Batch.parse(batch)
    inputs = Inputs(inventory, templates, bundle)
    made = graph.pending(inputs, Terminal(inventory), size)
    _give(made, output, inventory)
    if not made.more["changes"]:
        Terminal(inventory).say("nothing to change: every host matches the inventory")


def _give(made: Graph, output: str, inventory: Path) -> None:
    from k8s_installer.flows import graph

    if output in graph.FORMS:
        sys.stdout.write(graph.FORMS[output](made))
        return
    require_other(Path(output), inventory)
    graph.save(Path(output), made)
    Terminal(inventory).say(f"wrote {output}")


def _require_page(path: Path, inventory: Path) -> None:
    """Stop before hosts are asked, which may take long, if the page could not be written."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"-o {path}: no such form", hint="-o FILE.html, or -o json")
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder", hint="give the name of a file")
    require_other(path, inventory)


reports = typer.Typer()


@reports.command(
    epilog="Examples: `k8s-installer report -i cluster.yaml -o report.html`, "
    "`k8s-installer report -i cluster.yaml -o report.html --offline`"
)
def report(
    inventory: Inventory,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE.html|json", help="The page to write, or json for stdout.")
    ] = "report.html",
    templates: Templates = None,
    bundle: Bundle = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no host.")] = False,
) -> None:
    """Write one page about the cluster: topology, state, plan, last run, preflight, certificates, hardening."""
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.report import report as made_of

    if output != Output.JSON:
        _require_page(Path(output), inventory)
    terminal = Terminal(inventory)
    known = made_of(Inputs(inventory, templates, bundle), terminal, offline=offline)
    if output == Output.JSON:
        from k8s_installer.report.document import document

        print_json(document(known))
        return
    from k8s_installer.drawing import STYLE
    from k8s_installer.flows.output import write
    from k8s_installer.report.page import page

    write(Path(output), page(known, STYLE).encode())
    terminal.say(f"wrote {output}")
