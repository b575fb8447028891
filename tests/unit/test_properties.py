"""What holds for every fleet and every edit: a plan, carried out, leaves nothing to plan; twice is as good as once."""

from __future__ import annotations

import dataclasses
import threading

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from k8s_installer.engine.scheduler import apply
from k8s_installer.model.desired import Desired, DesiredResource, Turn
from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import Check, File, Gate, Kind, Package, Ref, Resource, SeenFile, Unit
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.turns import Batch
from tests.fakes import FakeHost
from tests.unit.test_plan import seen

CONTENTS = st.sampled_from([b"A=1\n", b"# a comment\nA=1\n", b"A=2\n", b"B=1\n"])
MODES = st.sampled_from([0o600, 0o644])
HOSTS = ["m1", "m2", "n1", "n2", "n3"]
PATHS = ["/etc/kubernetes/a", "/etc/kubernetes/b", "/etc/systemd/system/one.service.d/10-x.conf"]


@st.composite
def fleets(draw: st.DrawFn) -> tuple[Desired, Desired, dict[str, FakeHost], Batch]:
    """Two wishes for the same hosts, and hosts on which anything may be there already, right or wrong."""
    names = draw(st.lists(st.sampled_from(HOSTS), min_size=1, unique=True))
    hosts = {name: FakeHost(name, brings={"package": ["user", "one", "two"]}) for name in names}
    first = {item.ref: item for name in names for item in draw(wishes(name))}
    second = {ref: dataclasses.replace(item, resource=draw(edited(item.resource))) for ref, item in first.items()}
    for host in hosts.values():
        for path in PATHS[:2]:
            if draw(st.booleans()):
                content = draw(CONTENTS)
                host.contents[path] = content
                host.files[path] = SeenFile(File(content).sha256, draw(MODES), "root", "root", draw(st.floats(0, 1000)))
    return first, second, hosts, draw(st.sampled_from([Batch(), Batch.parse("1"), Batch.parse("100%")]))


@st.composite
def wishes(draw: st.DrawFn, host: str) -> list[DesiredResource]:
    turn = Turn("masters" if host.startswith("m") else "nodes", host)

    def want(kind: Kind, name: str, resource: Resource, *after: Ref) -> DesiredResource:
        return DesiredResource(Ref(host, kind, name), resource, "component", after, "a property", turn)

    package = want(Kind.PACKAGE, "package", Package("package", "1.0"))
    owner = draw(st.sampled_from(["root", "user"]))
    files = [want(Kind.FILE, path, File(draw(CONTENTS), draw(MODES), owner, owner), package.ref) for path in PATHS]
    refs = [file.ref for file in files]
    one = want(Kind.UNIT, "one", Unit("one", (PATHS[2],), (PATHS[0],), ("package",)), package.ref, *refs)
    gate = want(Kind.GATE, "one is well", Gate("http://x", Check.OK, "one"), one.ref)
    two = want(Kind.UNIT, "two", Unit("two", (), (PATHS[0], PATHS[1]), ("package",)), package.ref, *refs, gate.ref)
    return [package, *files, one, gate, two]


def edited(resource: Resource) -> st.SearchStrategy[Resource]:
    if isinstance(resource, File):
        return st.builds(File, CONTENTS, MODES, st.just(resource.owner), st.just(resource.group))
    return st.just(resource)


def carry_out(wanted: Desired, hosts: dict[str, FakeHost], batch: Batch) -> Plan:
    plan = make_plan(wanted, seen(wanted, hosts), batch)
    run = apply(plan, hosts, lambda event: None, threading.Event())
    assert not run.failures
    assert not run.skipped
    return plan


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fleets())
def test_a_plan_carried_out_leaves_an_empty_plan_and_a_second_run_changes_nothing(
    case: tuple[Desired, Desired, dict[str, FakeHost], Batch],
) -> None:
    first, second, hosts, batch = case
    for wanted in (first, second):
        carry_out(wanted, hosts, batch)
        state = {name: (dict(host.files), dict(host.units), host.clock) for name, host in hosts.items()}
        assert not carry_out(wanted, hosts, batch)
        assert {name: (host.files, host.units, host.clock) for name, host in hosts.items()} == state
        for ref, item in wanted.items():
            if isinstance(item.resource, File):
                assert hosts[ref.host].contents[ref.name] == item.resource.content


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fleets(), st.integers(0, 200))
def test_a_run_that_is_cut_off_anywhere_is_finished_by_the_next(
    case: tuple[Desired, Desired, dict[str, FakeHost], Batch], changes: int
) -> None:
    first, second, hosts, batch = case
    carry_out(first, hosts, batch)
    plan = make_plan(second, seen(second, hosts), batch)
    for index, change in enumerate(plan.changes[:changes]):  # what a killed run had done of it
        if change.ref.kind is not Kind.GATE:
            hosts[change.ref.host].perform([(index, change)], lambda report: None)
    carry_out(second, hosts, batch)
    assert not make_plan(second, seen(second, hosts), batch)
