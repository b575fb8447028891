"""How work and memory grow with the number of hosts: counted, never timed."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from collections import Counter, UserDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import jinja2
import pytest

from benchmarks.pure import answers
from k8s_installer import inventory, profiles
from k8s_installer.desired import Desired, desire
from k8s_installer.inventory import Cluster
from k8s_installer.model.desired import DesiredResource, Place, Turn
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import (
    Kind,
    Leaves,
    Missing,
    Placed,
    Ref,
    Seen,
    SeenFile,
    SeenLeftovers,
    SeenRecord,
    SeenSetting,
    Setting,
)
from k8s_installer.planning.adopting import with_adopted
from k8s_installer.planning.leaving import with_leaving
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.records import question
from k8s_installer.render import Renderer
from tests.unit.clusters import placeholder

if TYPE_CHECKING:
    from _typeshed import TraceFunction

NODES = (40, 80, 120)  # the same step twice, and batches of a quarter without a rest
HEAD = 'cluster: {name: big, version: "1.20.2", pod_cidr: 10.0.0.0/11, service_cidr: 10.254.0.0/16}\nhosts:\n'
CONFIG = "/etc/kubernetes/config"


def text(nodes: int, more: str = "") -> str:
    """An inventory of three masters and many nodes; `more` is said of each node, with its number for `#`."""
    masters = [f"  m{number}: {{address: 172.16.0.{number}, roles: [etcd, master]}}" for number in (1, 2, 3)]
    return HEAD + "\n".join(masters) + "\n" + "".join(
        f"  n{number}: {{address: 172.20.0.{number}, roles: [node]{more.replace('#', str(number))}}}\n"
        for number in range(nodes)
    )  # fmt: skip


def cluster(nodes: int, more: str = "") -> Cluster:
    return inventory.parse(text(nodes, more), Path("/srv/inventory.yaml"))


def wanted(nodes: int) -> Desired:
    large = cluster(nodes)
    return desire(large, profiles.profile_of(large), placeholder(large), Renderer())


def bare(desired: Desired) -> dict[Ref, Seen]:
    return dict.fromkeys(answers(desired), Missing.ABSENT)


def edited(desired: Desired) -> dict[Ref, Seen]:
    """One file of every host is another, and a setting that all its services wait for."""
    return {
        ref: replace(seen, sha256="0" * 64)
        if isinstance(seen, SeenFile) and ref.name == CONFIG
        else SeenSetting("enforcing")
        if ref.name == "selinux"
        else seen
        for ref, seen in answers(desired).items()
    }


def half_new(desired: Desired) -> dict[Ref, Seen]:
    """Every second node is bare, and a file of all others is another: the batch waits for those that rise."""
    new = {ref for ref in desired if ref.host.startswith("n") and int(ref.host[1:]) % 2}
    return {ref: Missing.ABSENT if ref in new else seen for ref, seen in edited(desired).items()}


def new_nodes(desired: Desired) -> dict[Ref, Seen]:
    """The masters restart, and no node is there yet: all of these wait."""
    return {ref: Missing.ABSENT if ref.host.startswith("n") else seen for ref, seen in edited(desired).items()}


def enclosed(desired: Desired) -> Desired:
    """What a master does for each node before and after the node's turn."""
    found = dict(desired)
    for node in dict.fromkeys(ref.host for ref in desired if ref.host.startswith("n")):
        for place in (Place.OPENS, Place.CLOSES):
            ref = Ref("m1", Kind.SETTING, f"firewalld-source {place.value}-{node}")
            found[ref] = DesiredResource(ref, Setting("on"), "drain", (), "a test", Turn("nodes", node), place)
    return found


def steps(count: Callable[[int], int]) -> tuple[int, int]:
    """How much more the second size has than the first, and the third than the second."""
    first, second, third = (count(nodes) for nodes in NODES)
    assert first < second, "it counts nothing"
    return second - first, third - second


def grows_evenly(count: Callable[[int], int], tolerance: float = 0.0) -> bool:
    one, other = steps(count)
    return abs(one - other) <= tolerance * one


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each template was compiled."""
    count: Counter[str] = Counter()
    compiling = jinja2.Environment.compile

    def counted(self: jinja2.Environment, source: str, *arguments: object) -> object:
        count[source] += 1
        return compiling(self, source, *arguments)  # type: ignore[call-overload]

    monkeypatch.setattr(jinja2.Environment, "compile", counted)
    return iter([count])


def test_each_template_is_compiled_once_however_many_hosts_there_are(compiled: Iterator[Counter[str]]) -> None:
    count = next(compiled)
    wanted(4)
    few = Counter(count)
    count.clear()
    wanted(40)
    assert few == count
    assert set(count.values()) == {1, 2}  # certificates have a renderer of their own


def test_the_same_number_of_templates_is_rendered_for_each_host(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[object] = []
    rendering = jinja2.Template.render

    def counted(self: jinja2.Template, *arguments: object, **names: object) -> str:
        rendered.append(self)
        return rendering(self, *arguments, **names)

    monkeypatch.setattr(jinja2.Template, "render", counted)

    def count(nodes: int) -> int:
        rendered.clear()
        wanted(nodes)
        return len(rendered)

    assert grows_evenly(count)


def test_a_file_that_all_hosts_share_is_one_file() -> None:
    desired = wanted(8)
    shared = [item.resource for ref, item in desired.items() if ref.name == "/etc/kubernetes/network/routes"]
    assert len(shared) == 11
    assert len({id(file) for file in shared}) == 1


def test_edges_grow_with_the_number_of_hosts() -> None:
    assert grows_evenly(lambda nodes: sum(len(item.after) for item in wanted(nodes).values()))


@pytest.mark.parametrize("seen", [bare, edited, half_new, new_nodes])
def test_edges_of_a_plan_grow_with_the_number_of_hosts(seen: Callable[[Desired], dict[Ref, Seen]]) -> None:
    def plan(nodes: int) -> Plan:
        desired = enclosed(wanted(nodes))
        return make_plan(desired, seen(desired))

    assert grows_evenly(lambda nodes: sum(map(len, plan(nodes).after)))


def test_every_restart_waits_for_all_that_rise() -> None:
    desired = wanted(8)
    plan = make_plan(desired, half_new(desired))
    waits: list[set[int]] = []
    for before in plan.after:
        waits.append(set(before).union(*(waits[index] for index in before)))
    restarts = [
        index
        for index, change in enumerate(plan.changes)
        if (change.action, change.turn.group) == (Action.RESTART, "nodes")
    ]
    rising = {
        index
        for index, change in enumerate(plan.changes)
        if change.turn.group == "nodes" and int(change.turn.member[1:]) % 2
    }
    assert restarts
    assert rising
    assert all(rising <= waits[index] for index in restarts)


@pytest.mark.parametrize("seen", [answers, bare, edited, half_new, new_nodes])
def test_calls_from_the_inventory_to_the_plan_grow_with_the_number_of_hosts(
    seen: Callable[[Desired], dict[Ref, Seen]],
) -> None:
    wanted(4)  # what is made once for the whole process is made

    def count(nodes: int) -> int:
        desired = wanted(nodes)
        found = seen(desired)
        return _calls(lambda: (wanted(nodes), make_plan(desired, found)))

    assert grows_evenly(count, tolerance=0.02)


def test_calls_for_the_nodes_own_networks_grow_with_their_number() -> None:
    cluster(4, ", pod_subnet: 10.0.#.0/25")
    for own in (", pod_subnet: 10.0.#.0/24", ", pod_subnet: 10.0.#.0/25"):
        assert grows_evenly(lambda nodes, own=own: _calls(lambda: cluster(nodes, own)), tolerance=0.02)  # type: ignore[misc]


def test_what_leaves_takes_as_many_looks_at_everything_for_many_hosts_as_for_few() -> None:
    class Counted(UserDict[Ref, DesiredResource]):
        looks = 0

        def __iter__(self) -> Iterator[Ref]:
            self.looks += 1
            return super().__iter__()

    def looks(nodes: int) -> int:
        whole = Counted(wanted(nodes))
        with_leaving(whole, whole, {}, {ref.host for ref in whole}, None)
        return whole.looks

    assert looks(NODES[0]) == looks(NODES[1])


def leaving_nodes(nodes: int) -> tuple[Desired, dict[Ref, Seen]]:
    """All that nodes have recorded leaves, and users stay for the data that is theirs."""
    left = Leaves("kubelet", ("/var/lib/kubelet",))
    record = (
        *(Placed(Kind.FILE, f"{CONFIG}.{number}", "kubelet", "nodes") for number in range(8)),
        Placed(Kind.UNIT, "kubelet", "kubelet", "nodes"),
        Placed(Kind.PACKAGE, "kubernetes-node", "kubelet", "nodes"),
        Placed(Kind.SETTING, "user kube", "kubelet", before="absent", came_with=("kubernetes-node",)),
        Placed(Kind.LEFTOVERS, "kubelet", "kubelet", leaves=left),
    )
    hosts = [f"n{number}" for number in range(nodes)]
    seen: dict[Ref, Seen] = {question(host).ref: SeenRecord(record) for host in hosts}
    going = with_leaving({}, {}, seen, hosts, None)
    seen |= {ref: SeenLeftovers((), ("kube",)) if ref.kind is Kind.LEFTOVERS else Missing.ABSENT for ref in going}
    return going, seen


def test_lines_for_what_leaves_grow_with_the_number_of_hosts() -> None:
    leaving_nodes(4)
    assert grows_evenly(lambda nodes: _lines(lambda: leaving_nodes(nodes)), tolerance=0.02)


def test_lines_for_what_is_adopted_grow_with_the_number_of_hosts() -> None:
    def gone(nodes: int) -> int:
        going, seen = leaving_nodes(nodes)
        return _lines(lambda: with_adopted(going, seen))

    def never_recorded(nodes: int) -> int:
        desired = wanted(nodes)
        seen = {**answers(desired), **{question(ref.host).ref: Missing.ABSENT for ref in desired}}
        return _lines(lambda: with_adopted(desired, seen))

    gone(4)
    never_recorded(4)
    assert grows_evenly(gone, tolerance=0.02)
    assert grows_evenly(never_recorded, tolerance=0.02)


def test_memory_grows_with_the_number_of_hosts() -> None:
    def count(nodes: int) -> int:
        tracemalloc.start()
        try:
            desired = wanted(nodes)
            gc.collect()
            # without the dictionary's own table, which doubles now and then
            return tracemalloc.get_traced_memory()[0] - sys.getsizeof(desired)
        finally:
            tracemalloc.stop()

    wanted(4)
    assert grows_evenly(count, tolerance=0.1)


@pytest.mark.parametrize("command", ["", "; sys.argv = ['k8s-installer', '--help']; k8s_installer.cli.main()"])
def test_the_help_needs_none_of_the_large_libraries(command: str) -> None:
    loaded = _loaded(f"import sys, k8s_installer.cli\npass{command}")
    assert "k8s_installer.cli.app" in loaded
    large = {"paramiko", "fabric", "invoke", "cryptography", "jinja2", "pydantic", "yaml", "k8s_installer.lab"}
    assert not large & loaded


def test_a_plan_loads_nothing_that_only_other_commands_need() -> None:
    loaded = _loaded("import k8s_installer.cli, k8s_installer.flows.plan")
    rooms = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("k8s_installer.")}
    assert "k8s_installer.flows" in rooms
    assert not rooms & {f"k8s_installer.{room}" for room in ("bundle", "lab", "preflight", "status", "verify")}
    flows = {name.split(".")[2] for name in loaded if name.startswith("k8s_installer.flows.")}
    assert not flows & {"apply", "carry_out", "rollback"}


def _loaded(program: str) -> set[str]:
    """The modules that a Python that runs this loads."""
    argv = [sys.executable, "-X", "importtime", "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def _calls(work: Callable[[], object]) -> int:
    count = 0

    def called(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def _lines(work: Callable[[], object]) -> int:
    """How many lines run, those of comprehensions among them, which are no calls."""
    count = 0

    def traced(_frame: FrameType, event: str, _argument: object) -> TraceFunction:
        nonlocal count
        count += event == "line"
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
