"""`k8s-installer init`: a first inventory. The command imports its flow itself, as in `app.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from k8s_installer.cli.console import Output, print_json, stop
from k8s_installer.cli.options import Yes
from k8s_installer.cli.terminal import Terminal
from k8s_installer.flows.outcome import Outcome

app = typer.Typer()
_STDOUT = "-"


@app.command(
    epilog="Examples:\n\n"
    "  k8s-installer init 10.0.0.11 10.0.0.12 10.0.0.13\n\n"
    "  k8s-installer init --from-hosts root@10.0.0.11 admin@10.0.0.12:2222 --key ~/.ssh/id_ed25519\n\n"
    "  k8s-installer init 10.0.0.11 10.0.0.12 --registry registry.example.com:5000\n\n"
    "  k8s-installer init --masters 3 --network flannel -o prod.yaml < hosts.txt\n\n"
    "  k8s-installer init 10.0.0.11 10.0.0.12 --yes -o - | less\n\n"
    "Next: `k8s-installer preflight -i cluster.yaml`, then `k8s-installer apply -i cluster.yaml`."
)
def init(
    hosts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[USER@]HOST[:PORT]",
            show_default=False,
            help="The hosts, masters first; without any they are read from stdin, where # begins a comment.",
        ),
    ] = None,
    masters: Annotated[
        int | None,
        typer.Option(help="How many hosts are masters; by default 1, from 6 hosts on 3.", show_default=False),
    ] = None,
    etcd: Annotated[
        int | None, typer.Option(help="How many hosts run etcd: 1, 3 or 5; by default the masters.", show_default=False)
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(help="Kubernetes version; by default what the hosts have, else 1.5.2.", show_default=False),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="routes (one layer-2 network), flannel or none.", show_default=False)
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="The cluster's name; by default the file's, or kubernetes for cluster.yaml.", show_default=False
        ),
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="The private SSH key.", show_default=False)] = None,
    known_hosts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The known_hosts file with the hosts' own SSH keys.", show_default=False),
    ] = None,
    tarball: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Install Kubernetes from this archive of upstream's server programs.",
            show_default=False,
        ),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(
            metavar="HOST[:PORT]",
            help="The registry for images, for nodes that do not reach the internet; by default registry.k8s.io.",
            show_default=False,
        ),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure-registry", help="The registry has no TLS.")] = False,
    from_hosts: Annotated[
        bool, typer.Option("--from-hosts", help="Ask the hosts for names, addresses, versions and repositories.")
    ] = False,
    yes: Yes = False,
    output: Annotated[
        str,
        typer.Option("-o", "--output", metavar="FILE|-|json", help="The file to write; - prints it, json prints data."),
    ] = "cluster.yaml",
) -> None:
    """Write a first inventory, with a comment for each setting. Changes no host, and no inventory that exists.

    On a terminal it asks for what no option says. `--from-hosts` reads only.
    """
    from k8s_installer import draft
    from k8s_installer.flows import init as flow
    from k8s_installer.report import init as report

    interactive = sys.stdin.isatty()
    typed = hosts or ([] if interactive else draft.words(sys.stdin.buffer.read().decode(errors="replace")))
    form = Output.JSON if output == Output.JSON else Output.TEXT
    path = None if form is Output.JSON or output == _STDOUT else Path(output)
    request = flow.Request(
        typed, path, name, version, network, _word(masters), _word(etcd), key, known_hosts, tarball, registry, insecure,
        from_hosts,
        asks=interactive and not yes,
    )  # fmt: skip
    terminal = Terminal(path or Path(_STDOUT), form)
    made = flow.init(request, terminal)
    if made is None:
        terminal.say(f"{output} is left as it is")
        raise stop(Outcome.FAILED)
    if form is Output.JSON:
        print_json(report.data(made.draft, made.text))
        return
    if path is None:
        sys.stdout.write(made.text)
    for line in report.lines(made.draft, path):
        terminal.say(line)
    for warning in made.draft.warnings:
        terminal.warn(f"warning: {warning}")
    for line in report.following(path) if path else ():
        terminal.say(line)


def _word(number: int | None) -> str | None:
    return None if number is None else str(number)
