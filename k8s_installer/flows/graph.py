"""`graph`: a cluster and a plan as pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from k8s_installer.desired.connections import connections
from k8s_installer.drawing import Drawing, data, dot, mermaid, svg
from k8s_installer.drawing import cluster as of_cluster
from k8s_installer.drawing import plan as of_plan
from k8s_installer.errors import InputError
from k8s_installer.flows import plan
from k8s_installer.flows.inputs import Inputs, read
from k8s_installer.flows.output import write
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import recorded
from k8s_installer.inventory import settle
from k8s_installer.planning.turns import Batch
from k8s_installer.untrusted.visible import json_text


@dataclass(frozen=True, slots=True)
class Graph:
    """A picture, and what else programs may want to know of what it shows."""

    drawing: Drawing
    more: Mapping[str, object]


def _json(graph: Graph) -> str:
    # enums and tuples become plain JSON first
    return json_text(json.loads(json.dumps({**graph.more, "drawing": data(graph.drawing)})), indent=2) + "\n"


FORMS: Mapping[str, Callable[[Graph], str]] = {
    "mermaid": lambda graph: mermaid(graph.drawing),
    "dot": lambda graph: dot(graph.drawing),
    "svg": lambda graph: svg(graph.drawing),
    "json": _json,
}
_ENDINGS = {".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot", ".svg": "svg", ".json": "json"}


def form_of(output: str) -> str:
    """The form of an output: itself, or that of a file with such an ending.

    Raises:
        InputError: it is neither.
    """
    if output in FORMS:
        return output
    form = _ENDINGS.get(Path(output).suffix.lower())
    if form is None:
        hint = f"-o {'|'.join(FORMS)}, or a file that ends in {', '.join(_ENDINGS)}"
        raise InputError(f"-o {output}: no such form", hint=hint)
    if Path(output).is_dir():
        raise InputError(f"cannot write {output}: it is a folder", hint="give the name of a file")
    return form


def cluster(inputs: Inputs, reporter: Reporter) -> Graph:
    """The picture of what an inventory wants; no host is asked."""
    given, profile = read(inputs, reporter, download=False, opens=False)
    found = settle(given, recorded(given)).cluster  # the first master stays, whoever comes first in the file
    all_of_them = connections(found, profile)
    more = {"cluster": found.name, "version": found.version, "connections": [asdict(one) for one in all_of_them]}
    return Graph(of_cluster.drawing(found, profile, all_of_them), more)


def pending(inputs: Inputs, reporter: Reporter, batch: Batch) -> Graph:
    """The picture of what `apply` would do now; hosts are asked as by `plan`."""
    found = plan.plan(inputs, reporter, batch, replace_keys=False)
    return Graph(of_plan.drawing(found.wanted.cluster, found.plan), {"changes": len(found.plan.changes)})


def save(path: Path, graph: Graph) -> None:
    """Write a picture to a file, in the form that its ending says.

    Raises:
        InputError: it cannot be written.
    """
    write(path, FORMS[form_of(str(path))](graph).encode())
