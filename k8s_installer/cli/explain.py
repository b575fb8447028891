"""`explain`: one command with topics of many sorts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k8s_installer.cli import completing
from k8s_installer.cli.console import Output, print_json, stdout
from k8s_installer.cli.options import Format, MaybeInventory, Templates
from k8s_installer.errors import InputError

app = typer.Typer()


@app.command(
    epilog="Examples: `k8s-installer explain -i cluster.yaml`, `explain kubelet -i cluster.yaml`, "
    "`explain --max-pods -i cluster.yaml`, `explain /etc/kubernetes/apiserver -i cluster.yaml`, "
    "`explain order -i cluster.yaml`, `explain why n1 kubelet -i cluster.yaml`. Without -i: what is true of every "
    "cluster. Only `why` asks hosts.",
    context_settings={"ignore_unknown_options": True},
)
def explain(
    topic: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TOPIC",
            help="COMPONENT, WORD (such as pod), --FLAG, /FILE, HOST, order, kubeadm, or why HOST UNIT. The list of "
            "topics if left out; `host NAME`, `flag NAME` and so on if a name means several things.",
            autocompletion=completing.topics,
            show_default=False,
        ),
    ] = None,
    inventory: MaybeInventory = None,
    templates: Templates = None,
    output: Format = Output.TEXT,
) -> None:
    """Explain a component, word, flag, file or host: what it is for, and what this cluster has of it."""
    if topic and topic[0] == "why":
        _why(topic[1:], inventory, templates, output)
        return
    from k8s_installer.flows.explain import explain
    from k8s_installer.report import explain as report

    found = explain(topic or [], inventory, templates)
    if output is Output.JSON:
        print_json(report.data(found))
    else:
        stdout().print(report.text(found))


def _why(words: list[str], inventory: Path | None, templates: Path | None, output: Output) -> None:
    if len(words) != 2 or inventory is None:  # noqa: PLR2004 - HOST UNIT
        raise InputError(
            "explain why needs a host, a unit and an inventory",
            hint="for example: k8s-installer explain why n1 kubelet -i cluster.yaml",
        )
    from k8s_installer.cli.terminal import Terminal
    from k8s_installer.flows.inputs import Inputs
    from k8s_installer.flows.why import why
    from k8s_installer.report import why as report

    terminal = Terminal(inventory, output)
    found = why(words[0], words[1], Inputs(inventory, templates), terminal)
    terminal.show(lambda: report.text(found, inventory), lambda: report.data(found))
