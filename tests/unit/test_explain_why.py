"""Why a unit restarts in a plan: the file that changes, whose turn it is, what it waits for; or why it does not."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from k8s_installer.errors import InputError
from k8s_installer.explain import texts
from k8s_installer.explain.why import Why, unit_of, why
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import File, Kind, Ref, Seen, SeenFile, SeenUnit, Unit
from k8s_installer.planning.differences import inputs
from k8s_installer.planning.make import make_plan
from k8s_installer.report import why as report
from tests.fakes import FakeHost
from tests.unit import clusters, example
from tests.unit.test_explain import known
from tests.unit.test_plan import seen as observed
from tests.unit.test_rolling import MEMBERS, group, running

TEXTS = texts.load()
ETCD = Ref("m2", Kind.UNIT, "etcd")


def asked(ref: Ref, wanted: Desired, hosts: dict[str, FakeHost]) -> Why:
    seen = observed(wanted, hosts)
    return why(ref, wanted, seen, make_plan(wanted, seen))


def text(found: Why) -> str:
    console = Console(width=80, file=io.StringIO(), record=True, soft_wrap=True, highlight=False)
    console.print(report.text(found, Path("cluster.yaml")))
    return console.export_text()


def test_a_unit_restarts_because_of_a_file_and_waits_for_the_turn_before() -> None:
    found = asked(ETCD, group("etcd", MEMBERS, b'ETCD_OPTIONS="--v=2"\n', together=False), running("etcd", MEMBERS))
    assert found.interrupted
    assert [change.ref.name for change in found.causes] == ["/etc/etcd/etcd.conf"]
    assert (found.members, found.before) == (("m1", "m2", "m3"), ("m1",))
    assert [change.ref for change in found.waits] == [Ref("m1", Kind.GATE, "etcd is healthy")]
    assert [change.ref for change in found.then] == [Ref("m2", Kind.GATE, "etcd is healthy")]
    words = text(found)
    assert "etcd on m2: restart" in words
    assert "because /etc/etcd/etcd.conf changes" in words
    assert "+ETCD_OPTIONS" in words
    assert "--v: (not set) → 2" in words
    assert "turn          etcd, one at a time: m1, m2, m3" in words
    assert "after         the turns of m1" in words
    assert "waits for     etcd is healthy on m1" in words
    assert "It has run since" in words
    assert "shows the whole plan" in words


def changed(component: str, before: str, after: str) -> Why:
    """Why a component of n1 restarts when the inventory changes from one text to another."""
    old, lab = known(clusters.cluster(more=before)), known(clusters.cluster(more=after))
    ref = Ref("n1", Kind.UNIT, component)
    seen: dict[Ref, Seen] = {
        one.ref: SeenFile(one.resource.sha256, 0o644, "root", "root", 0.0, one.resource.content)
        for one in old.desired.values()
        if isinstance(one.resource, File)
    }
    seen[ref] = SeenUnit("loaded", "active", "running", True, 7, 1.0, False)
    reads = {path.name for path in inputs(lab.desired[ref]) if path.kind is Kind.FILE}
    about = {one: item for one, item in lab.desired.items() if one == ref or (one.host == "n1" and one.name in reads)}
    alone = {one: replace(item, after=tuple(set(item.after) & about.keys())) for one, item in about.items()}
    unit = alone[ref].resource
    assert isinstance(unit, Unit)
    alone[ref] = replace(alone[ref], resource=replace(unit, runs=()))
    return why(ref, alone, seen, make_plan(alone, seen), lab)


def decided(found: Why) -> list[tuple[str, str | None, str]]:
    return [(one.name, one.values[0].text, str(one.values[0].origin.place)) for one in found.settings]


def test_the_line_of_the_inventory_that_decides_a_change_is_named() -> None:
    found = changed("kubelet", "", "components: {kubelet: {args: {v: 4}, config: {maxPods: 44}}}\n")
    place = "/srv/lab/inventory.yaml:6"
    assert decided(found) == [("v", "4", place), ("maxPods", "44", place)]
    assert f"from: inventory, {place}" in text(found)
    assert report.data(found)["decided_by"] == [
        {"component": "kubelet", "name": "v", "value": "4", "place": place},
        {"component": "kubelet", "name": "maxPods", "value": "44", "place": place},
    ]


def test_only_the_flags_that_change_are_named_of_a_line_with_many() -> None:
    options = "components: {{docker: {{args: {{max-concurrent-downloads: {}}}}}}}\n"
    found = changed("docker", options.format(20), options.format(2))  # --log-opt is given twice, and stays
    assert decided(found) == [("max-concurrent-downloads", "2", "/srv/lab/inventory.yaml:6")]


def test_a_file_that_the_inventory_does_not_know_is_decided_by_nothing_in_it() -> None:
    wanted = group("etcd", MEMBERS, b'ETCD_OPTIONS="--v=2"\n')
    seen = observed(wanted, running("etcd", MEMBERS))
    lab = known(clusters.cluster(topology="etcd-apart"))
    assert why(ETCD, wanted, seen, make_plan(wanted, seen), lab).settings == ()
    bare = example.desired()
    start = observed(bare, example.hosts())
    assert why(Ref("m1", Kind.UNIT, "kube-apiserver"), bare, start, make_plan(bare, start), lab).settings == ()


def test_a_unit_of_which_nothing_changes_does_not_restart() -> None:
    found = asked(ETCD, group("etcd", MEMBERS), running("etcd", MEMBERS))
    assert not found.interrupted
    assert (found.changes, found.unchanged) == ((), 1)
    words = text(found)
    assert "etcd on m2: does not restart" in words
    assert "The plan is empty" in words


def test_a_change_that_means_nothing_is_shown_and_restarts_nothing() -> None:
    found = asked(ETCD, group("etcd", MEMBERS, b"# a comment\nA=1\n"), running("etcd", MEMBERS))
    assert (found.changes, found.causes, len(found.harmless)) == ((), (), 1)
    words = " ".join(text(found).split())
    assert "does not restart The plan changes nothing that it reads or runs" in words
    assert "What changes without a restart" in words


def test_a_first_start_waits_for_gates_of_other_hosts() -> None:
    wanted, hosts = example.desired(), example.hosts()
    found = asked(Ref("n1", Kind.UNIT, "kubelet"), wanted, hosts)
    assert [str(change.action) for change in found.changes][-1] == "start"
    assert Ref("m1", Kind.GATE, "kube-apiserver is ready") in [change.ref for change in found.waits]
    words = text(found)
    assert "waits for     kube-apiserver is ready on m1" in words
    assert "It has run since" not in words
    data = report.data(found)
    assert (data["interrupted"], data["since"]) == (False, None)
    first = text(asked(Ref("m1", Kind.UNIT, "kube-apiserver"), wanted, hosts))
    assert "waits for     no other service" in first


@pytest.mark.parametrize(
    ("host", "name", "unit"),
    [
        ("m1", "etcd", "etcd"),
        ("m1", "etcd.service", "etcd"),
    ],
)
def test_units_are_found_by_their_name(host: str, name: str, unit: str) -> None:
    assert unit_of(group("etcd", MEMBERS), TEXTS, host, name) == Ref("m1", Kind.UNIT, unit)


def test_units_are_found_by_names_of_their_component() -> None:
    wanted = {
        ref: replace(item, component="kube-apiserver") if ref.name == "kube-apiserver" else item
        for ref, item in example.desired().items()
    }
    assert unit_of(wanted, TEXTS, "m1", "apiserver").name == "kube-apiserver"
    assert unit_of(wanted, TEXTS, "n1", "kubelet").name == "kubelet"


@pytest.mark.parametrize(
    ("host", "name", "message", "hint"),
    [
        ("m9", "etcd", "the inventory has no host m9", "it has m1, m2, m3"),
        ("node-m1", "etcd", "the inventory has no host node-m1", "it has m1, m2, m3"),
        ("m1", "etdc", "nothing that runs on m1 is called etdc", "did you mean etcd?"),
        ("m1", "zzz", "nothing that runs on m1 is called zzz", "it has etcd"),
    ],
)
def test_an_unknown_host_or_unit_has_a_suggestion(host: str, name: str, message: str, hint: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        unit_of(group("etcd", MEMBERS), TEXTS, host, name)
    assert caught.value.hint == hint


def test_a_long_diff_is_cut() -> None:
    content = "".join(f"ETCD_X{number}=1\n" for number in range(30)).encode()
    words = text(asked(ETCD, group("etcd", MEMBERS, content), running("etcd", MEMBERS)))
    assert "more lines" in words
