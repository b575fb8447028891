"""A plan of many hosts: what reads the same is said once, nothing else is, and what is dangerous stands out."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from k8s_installer.inventory import Cluster, parse
from k8s_installer.model.desired import NO_TURN, Desired, DesiredResource, Turn
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import (
    Check,
    File,
    Gate,
    Kind,
    Leaves,
    Missing,
    NoLeftovers,
    NoPackage,
    Package,
    Ref,
    Resource,
    Seen,
    SeenFile,
    SeenLeftovers,
    SeenPackage,
    SeenSetting,
    Setting,
    Unit,
)
from k8s_installer.report.dangers import danger_lines
from k8s_installer.report.grouped import Words, grouped
from k8s_installer.report.layout import fitted
from k8s_installer.report.names import spans
from k8s_installer.report.text import View, plan_lines, totals

MASTERS, ETCD, NODES = "masters", "etcd", "nodes"
PATH = "/etc/kubernetes/kubelet"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], ""),
        (["n1"], "n1"),
        (["n1", "n2"], "n1, n2"),
        (["n1", "n2", "n3"], "n1 to n3"),
        (["n10", "n2", "n1", "n9", "n11"], "n1, n2, n9 to n11"),
        (["m1", "n3", "n1", "n2", "n7"], "m1, n1 to n3, n7"),
        (["n08", "n09", "n10"], "n08 to n10"),
        (["n8", "n09", "n10"], "n8, n09, n10"),
        (["n1", "n01", "n2", "n3"], "n1, n01, n2, n3"),
        (["a1.lab", "a2.lab", "a3.lab", "a3.example"], "a1.lab to a3.lab, a3.example"),
        (["master", "n1", "n1"], "master, n1"),
        (["10.0.0.9", "10.0.0.10", "10.0.0.11"], "10.0.0.9 to 10.0.0.11"),
    ],
)
def test_a_range_stands_for_its_names_and_no_others(names: list[str], said: str) -> None:
    assert spans(names) == said


def change(  # noqa: PLR0913, PLR0917 - a change has so many fields
    host: str, name: str, action: Action = Action.RESTART, after: Resource | None = None,
    before: Seen = Missing.ABSENT, group: str = "", component: str = "kubelet", reason: str = "a test",
) -> Change:  # fmt: skip
    resource = after or Unit(name)
    kinds = {File: Kind.FILE, Setting: Kind.SETTING, Gate: Kind.GATE, Package: Kind.PACKAGE, NoPackage: Kind.PACKAGE}
    ref = Ref(host, kinds.get(type(resource), Kind.UNIT), name)
    turn = Turn(group, host) if group else NO_TURN
    return Change(ref, action, component, before, resource, reason, turn)


def update(host: str, old: bytes, new: bytes) -> Change:
    was = File(old)
    return change(host, PATH, Action.UPDATE, File(new), SeenFile(was.sha256, 0o644, "root", "root", 1.0, old))


def cluster(nodes: int = 3) -> Cluster:
    lines = [f"  n{number}: {{address: 10.0.0.{20 + number}, roles: [node]}}" for number in range(1, nodes + 1)]
    head = 'cluster: {name: lab, version: "1.20.2"}\nhosts:\n  m1: {address: 10.0.0.1, roles: [etcd, master]}\n'
    return parse(head + "\n".join(lines) + "\n", Path("cluster.yaml"))


def shown(*changes: Change, view: View | None = None, nodes: int = 3) -> str:
    desired: Desired = {
        one.ref: DesiredResource(one.ref, one.after, one.component, (), f"{one.ref.host} needs it", NO_TURN)
        for one in changes
    }
    plan = Plan(changes, ((),) * len(changes))
    return "\n".join(line.plain for line in plan_lines(cluster(nodes), plan, desired, view or View()))


def test_the_same_change_of_many_hosts_is_one_line() -> None:
    assert "  n1 to n3  ↻ restart kubelet  (a test)\n" in shown(*(change(f"n{n}", "kubelet") for n in (1, 2, 3)))


def test_another_reason_or_another_line_is_another_entry() -> None:
    text = shown(
        change("n1", "kubelet"), change("n2", "kubelet", reason="another"), update("n1", b"a\n", b"b\n"),
        update("n2", b"a\n", b"b\n"), update("n3", b"a\n", b"c\n"),
    )  # fmt: skip
    assert "  n1      ↻ restart kubelet  (a test)\n" in text
    assert "  n2      ↻ restart kubelet  (another)\n" in text
    assert f"  n1, n2  ~ update {PATH}  (a test)\n      @@ -1 +1 @@\n      -a\n      +b\n" in text
    assert f"  n3      ~ update {PATH}  (a test)\n      @@ -1 +1 @@\n      -a\n      +c\n" in text
    assert "<" not in text


def test_lines_that_differ_by_the_hosts_own_name_and_address_are_one_entry_that_says_so() -> None:
    text = shown(
        *(update(f"n{n}", b"X=1\n", f"X=n{n}.lab,n{n},10.0.0.2{n}:80 10.0.0.2{n}0\n".encode()) for n in (1, 2)),
    )
    assert "+X=n1.lab,n1,10.0.0.21:80 10.0.0.210" in text  # n1.lab and 10.0.0.210 are no names of n1
    same = shown(*(update(f"n{n}", b"X=1\n", f"X=n{n} (10.0.0.2{n})\n".encode()) for n in (1, 2)))
    assert f"  n1, n2  ~ update {PATH}  (a test)\n" in same
    assert "+X=<name> (<address>)\n" in same
    assert (
        "<name> stands for each host's own name; <address> stands for each host's own address; --full lists every host."
        in same
    )
    others = shown(
        *(update(f"n{n}", b"X=1\n", f"X=n{n}\n".encode()) for n in (2, 1)), update("n3", b"X=1\n", b"X=n1\n")
    )
    assert "  n1, n3  ~ update" in others
    assert "+X=n1" in others  # n3 is given the name of another host
    assert "<name>" not in others


def test_what_would_be_taken_for_a_placeholder_is_left_as_it_is() -> None:
    text = shown(*(update(f"n{n}", b"X=1\n", f"X=n{n} <name>\n".encode()) for n in (1, 2)))
    assert "+X=n1 <name>" in text
    assert "+X=n2 <name>" in text
    assert "each host's own" not in text


def test_sums_of_secrets_are_one_entry_and_new_files_say_whether_they_differ() -> None:
    keys = [
        change(
            f"n{n}",
            PATH,
            Action.UPDATE,
            File(f"{n}".encode(), secret=True),
            SeenFile("0" * 64, 0o600, "root", "root", 1.0),
        )
        for n in (1, 2)
    ]
    assert "      -sha256 <sum>\n      +sha256 <sum> (secret)\n" in shown(*keys)
    new = [change(f"n{n}", PATH, Action.CREATE, File(f"{n}".encode())) for n in (1, 2, 3)]
    assert "n1 to n3  + create /etc/kubernetes/kubelet  0644 root:root, 1 line, different on each host\n" in shown(*new)
    some = [*new[:2], change("n3", PATH, Action.CREATE, File(b"1"))]
    assert "1 line, not the same on all hosts\n" in shown(*some)
    same = [change(f"n{n}", PATH, Action.CREATE, File(b"1")) for n in (1, 2, 3)]
    assert "1 line\n" in shown(*same)


def test_full_and_host_give_each_host_its_own_lines() -> None:
    changes = [change(f"n{n}", "kubelet") for n in (1, 2, 3)]
    full = shown(*changes, view=View(full=True))
    assert [line for line in full.splitlines() if "↻" in line] == [
        f"  n{n}  ↻ restart kubelet  (a test)" for n in (1, 2, 3)
    ]
    one = shown(*changes, view=View(hosts=frozenset({"n2"})))
    assert [line for line in one.splitlines() if "↻" in line] == ["  n2  ↻ restart kubelet  (a test)"]
    assert "Only what is about n2 is listed. The whole plan:\nPlan: 3 restarts." in one


def test_many_hosts_without_a_range_stand_once_above_their_lines() -> None:
    hosts = [f"n{n}" for n in range(1, 24, 2)]
    changes = [change(host, unit) for host in hosts for unit in ("docker", "kubelet")]
    text = shown(*changes, change("n2", "flanneld"), nodes=24)
    lines = f"  {', '.join(hosts)}\n{' ' * 24}↻ restart docker  (a test)\n{' ' * 24}↻ restart kubelet  (a test)\n"
    assert lines in text
    assert f"  {'n2':<20}  ↻ restart flanneld  (a test)\n" in text


def test_each_hosts_own_lines_keep_their_order() -> None:
    def rows(host: str, *names: str) -> list[Change]:
        return [change(host, name) for name in names]

    def order(*changes: Change) -> list[str]:
        return [entry.words.does for entry in grouped(changes, lambda one: Words(one.action, one.ref.name), {})]

    assert order(*rows("n1", "a", "z"), *rows("n2", "a", "b", "z"), *rows("n3", "c", "z")) == ["a", "b", "c", "z"]
    assert order(*rows("n1", "a"), *rows("n2", "b")) == ["a", "b"]
    assert order(*rows("n1", "a", "b"), *rows("n2", "b", "a")) == ["a", "b"]  # only one of them can


def test_what_a_master_asks_for_a_node_is_about_the_node() -> None:
    def ready(node: str) -> Change:
        gate = Gate("https://m1", Check.NODE_READY, "kubelet", unit_host=node)
        return change("m1", f"node {node} is ready", Action.WAIT, gate)

    assert "  n1 to n3  … wait until node <name> is ready\n" in shown(*(ready(f"n{n}") for n in (1, 2, 3)))
    assert "  n1  … wait until node n1 is ready\n" in shown(ready("n1"))
    agrees = Gate("https://m1", Check.ETCD_AGREES, "etcd", unit_host="m2")
    assert "  m1  … wait until the members agree\n" in shown(change("m1", "the members agree", Action.WAIT, agrees))


def test_details_say_what_each_change_is_for() -> None:
    text = shown(*(change(f"n{n}", "kubelet") for n in (1, 2, 3)), view=View(details=True))
    assert "      # <name> needs it\n" in text


def dangers(*changes: Change) -> list[str]:
    return [line for line in shown(*changes).splitlines()[-9:] if line.startswith(("  ↻", "  ■", "  -", "  !"))]


def test_restarts_of_what_others_use_stand_out_with_their_turns() -> None:
    masters = [change(f"m{n}", unit, group=MASTERS) for n in (1, 2, 3) for unit in ("kube-apiserver", "kube-scheduler")]
    assert dangers(*masters) == ["  ↻ restart kube-apiserver, kube-scheduler on m1 to m3, one host at a time"]
    assert dangers(change("m1", "etcd", group=ETCD)) == ["  ↻ restart etcd on m1"]
    assert dangers(change("m1", "etcd", Action.STOP, group=ETCD)) == ["  ↻ stop etcd on m1"]
    assert dangers(change("n1", "kubelet", group=NODES), change("m1", "etcd", Action.START, group=ETCD)) == []


def test_drains_removals_and_what_cannot_be_undone_stand_out() -> None:
    drains = [change("m1", f"drained n{n}", Action.SET, Setting("timeout=60s"), SeenSetting("none")) for n in (2, 3)]
    assert "  ■ drain n2, n3: their pods move to other nodes" in dangers(*drains)
    assert "  n2, n3  ~ cordon and drain node <name> within 60s  (a test)" in shown(*drains)
    gone = [
        change(f"n{n}", "docker", Action.UNINSTALL, NoPackage(), SeenPackage("1", "1", 1.0), component="docker")
        for n in (1, 2, 3)
    ]
    assert dangers(*gone) == ["  - remove from n1 to n3: docker"]
    leaves = Leaves("etcd", folders=("/var/lib/etcd",), data=("/var/lib/etcd",))
    clean = change("m1", "etcd", Action.CLEAN, NoLeftovers(leaves), SeenLeftovers(("/var/lib/etcd",)), component="etcd")
    assert dangers(clean) == [
        "  - remove from m1: etcd",
        "  - delete data on m1: /var/lib/etcd",
        "  ! cannot be rolled back on m1: clean up after etcd",
    ]
    new = [
        change(
            f"m{n}",
            "kubernetes-master",
            Action.UPGRADE,
            Package("kubernetes-master", "1.20.2"),
            SeenPackage("1.19.8", "1", 1.0),
        )
        for n in (1, 2, 3)
    ]
    assert dangers(*new) == ["  ! cannot be rolled back on m1 to m3: upgrade package kubernetes-master 1.20.2"]


def test_a_plan_longer_than_a_screen_begins_with_what_it_ends_with() -> None:
    few, many = ([change("m1", f"unit{n}", group=MASTERS) for n in range(count)] for count in (3, 40))
    assert shown(*few).count("Plan: 3 restarts.") == 1
    text = shown(*many)
    assert text.splitlines()[2] == text.splitlines()[-1] == "Plan: 40 restarts."
    assert text.splitlines()[1] == text.splitlines()[-2] == "  ↻ restart unit0, unit1, unit2, unit3 and 36 more on m1"


def fits(text: str, width: int, *, terminal: bool = True) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal)
    return [line.plain for line in fitted(Text(text), console)]


def test_long_lines_are_broken_at_words_on_a_terminal_alone() -> None:
    line = "  n1 to n40  ~ update /etc/kubernetes/kubelet  (the content differs)"
    assert fits(line, 80) == [line]
    assert fits(line, 50) == ["  n1 to n40  ~ update /etc/kubernetes/kubelet  ", "      (the content differs)"]
    assert fits(line, 50, terminal=False) == [line]
    assert all(len(part) <= 24 for part in fits(line, 24))
    assert max(map(len, fits("word " * 50, 200))) <= 100  # prose is not stretched
    command = "Next: k8s-installer apply -i /srv/clusters/production/inventory.yaml"
    assert fits(command, 50) == [command]


def test_the_keys_that_a_reset_deletes_are_a_danger() -> None:
    (line,) = danger_lines(Plan((), ()), str, "/srv/lab/pki")
    assert line.plain.startswith("  - delete the cluster's keys on this machine: /srv/lab/pki;")


def test_applied_addons_are_counted_as_that() -> None:
    addons = [change("m1", f"addon {name}.yaml", Action.SET, Setting("sum")) for name in "ab"]
    assert totals(Plan(tuple(addons), ((), ()))) == "Plan: 2 addons to apply."
