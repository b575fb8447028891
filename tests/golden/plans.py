"""Plans of forty nodes as people read them, as files to read and to diff; `python -m tests.golden` writes them again."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.pure import answers
from k8s_installer import inventory, profiles
from k8s_installer.desired import Desired, desire
from k8s_installer.inventory import Cluster
from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import File, Missing, Ref, Seen, SeenFile, SeenPackage
from k8s_installer.planning.make import make_plan
from k8s_installer.render import Renderer
from k8s_installer.report.text import plan_lines
from tests.unit.clusters import placeholder

FOLDER = Path(__file__).parent / "plans"
HEAD = 'cluster: {name: big, version: "1.20.2"}\nhosts:\n'
_KUBELET = "/etc/kubernetes/kubelet"


def fleet() -> tuple[Cluster, Desired]:
    """Three masters and forty nodes, and what is wanted of them."""
    hosts = [f"  m{number}: {{address: 10.77.0.{10 + number}, roles: [etcd, master]}}\n" for number in range(1, 4)]
    hosts += [f"  n{number}: {{address: 10.77.0.{20 + number}, roles: [node]}}\n" for number in range(1, 41)]
    cluster = inventory.parse(HEAD + "".join(hosts), Path("/srv/inventory.yaml"))
    return cluster, desire(cluster, profiles.profile_of(cluster), placeholder(cluster), Renderer())


def first(wanted: Desired) -> dict[Ref, Seen]:
    """Nothing is installed."""
    return dict.fromkeys(answers(wanted), Missing.ABSENT)


def edited(wanted: Desired) -> dict[Ref, Seen]:
    """The kubelets were given another image, n7's another address as well; a master has an older package."""
    seen = answers(wanted)
    for ref, item in wanted.items():
        if ref.name == _KUBELET and isinstance(item.resource, File):
            old = item.resource.content.replace(b"pause:3.2", b"pause:3.1").replace(b"10.77.0.27", b"10.77.0.99")
            was = File(old)
            found = seen[ref]
            assert isinstance(found, SeenFile)
            seen[ref] = replace(found, sha256=was.sha256, content=old)
        if (ref.host, ref.name) == ("m2", "kubernetes-master"):
            seen[ref] = SeenPackage("1.19.8", "1", 1.0)
    return seen


PLANS: dict[str, Callable[[Desired], dict[Ref, Seen]]] = {"first": first, "edited": edited}


def made(name: str) -> tuple[Cluster, Desired, Plan]:
    """A plan, and what it is about."""
    cluster, wanted = fleet()
    return cluster, wanted, make_plan(wanted, PLANS[name](wanted))


def shown(name: str) -> str:
    """A plan as a pipe gets it."""
    cluster, wanted, plan = made(name)
    console = Console(file=io.StringIO(), width=80, soft_wrap=True)
    for line in plan_lines(cluster, plan, wanted):
        console.print(line)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
