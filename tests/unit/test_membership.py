"""From the members that etcd has to those of the inventory: the steps alone, and as resources in a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pure import answers as as_wanted
from benchmarks.pure import recorded
from k8s_installer import inventory, profiles
from k8s_installer.desired import desire
from k8s_installer.errors import InstallerError
from k8s_installer.host import families, gates
from k8s_installer.host.family import ABSENT
from k8s_installer.model.desired import Desired
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import Check, File, Gate, Kind, Missing, Ref, Seen, SeenFile, SeenRecord, SeenSetting
from k8s_installer.planning import records
from k8s_installer.planning.etcd.changing import changing, questions
from k8s_installer.planning.etcd.config import as_started, joining, start
from k8s_installer.planning.etcd.listed import Listed, View, view
from k8s_installer.planning.etcd.members import require_members
from k8s_installer.planning.etcd.membership import Move, Step, Wanted, steps
from k8s_installer.planning.leaving import with_leaving
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.select import on_members
from k8s_installer.render import Renderer
from tests.unit.clusters import placeholder
from tests.unit.test_members import CONF, IDLE, THREE, conf, seen, wanted


def url(name: str) -> str:
    return f"https://10.0.0.{name[1:]}:2380"


def member(name: str, *, learner: bool = False, started: bool = True) -> Listed:
    return Listed(name[1:], name if started else "", (url(name),), learner)


def having(*names: str, learners: bool = False) -> View:
    return View(tuple(map(member, names)), learners)


def want(name: str, *, data: bool | None = True, runs: bool = True, starts: bool = False) -> Wanted:
    return Wanted(name, url(name), data, runs, starts)


def new(name: str) -> Wanted:
    return want(name, data=False, runs=False, starts=True)


def told(found: Sequence[Step]) -> list[str]:
    return [f"{step.move} {step.name}" for step in found]


def refused(has: View, wants: Sequence[Wanted], running: Sequence[str] = ()) -> tuple[str, str]:
    with pytest.raises(InstallerError) as caught:
        steps(has, wants, [url(name) for name in running])
    assert "nothing was changed" in caught.value.message
    return caught.value.message, caught.value.hint


def test_members_join_one_at_a_time_and_each_starts_with_those_before_it() -> None:
    found = steps(having("m1"), [want("m1"), new("m2"), new("m3")])
    assert told(found) == ["add m2", "add m3"]
    assert [step.members for step in found] == [
        (f"m1={url('m1')}", f"m2={url('m2')}"),
        (f"m1={url('m1')}", f"m2={url('m2')}", f"m3={url('m3')}"),
    ]
    assert found[0].answering == found[0].members


def test_members_join_as_learners_where_etcd_has_them() -> None:
    found = steps(having("m1", learners=True), [want("m1"), new("m2"), new("m3")])
    assert told(found) == ["add m2", "promote m2", "add m3", "promote m3"]


def test_members_that_run_leave_last_and_dead_ones_first() -> None:
    found = steps(having("m1", "m2", "m3", "m4", "m5"), [want("m1"), want("m2"), new("m6")], [url("m4"), url("m5")])
    assert told(found) == ["remove m3", "add m6", "remove m4", "remove m5"]
    assert [step.live for step in found] == [False, False, True, True]


def test_etcd_moves_to_other_hosts() -> None:
    found = steps(having("m1"), [new("m5"), new("m6"), new("m7")], [url("m1")])
    assert told(found) == ["add m5", "add m6", "add m7", "remove m1"]


def test_a_member_that_lost_its_data_is_replaced_where_the_inventory_says_so() -> None:
    lost = replace(new("m3"), replaced=True)
    assert told(steps(having("m1", "m2", "m3"), [want("m1"), want("m2"), lost])) == ["remove m3", "add m3"]
    words, _ = refused(having("m1", "m2", "m3"), [want("m1"), want("m2", runs=False), lost])
    assert words.startswith("etcd has no quorum: m2, m3 of 3 members are down")
    assert steps(having("m1", "m2", "m3"), [want("m1"), want("m2"), replace(want("m3"), replaced=True)]) == ()


def test_nothing_is_done_where_the_list_is_as_wanted() -> None:
    assert steps(having("m1", "m2", "m3"), [want("m1"), want("m2"), want("m3", runs=False, starts=True)]) == ()
    assert steps(View((Listed("1", "default", ("http://localhost:2380",)),), learners=False), [want("m1")]) == ()


def test_what_was_begun_is_gone_on_with() -> None:
    unstarted = View((member("m1"), member("m2", started=False)), learners=False)
    assert told(steps(unstarted, [want("m1"), new("m2"), new("m3")])) == ["start m2", "add m3"]
    learner = View((member("m1"), member("m2", learner=True)), learners=True)
    assert told(steps(learner, [want("m1"), want("m2")])) == ["promote m2"]
    new_learner = View((member("m1"), member("m2", learner=True, started=False)), learners=True)
    assert told(steps(new_learner, [want("m1"), new("m2")])) == ["start m2", "promote m2"]
    assert told(steps(new_learner, [want("m1")])) == ["remove 2"]


def test_what_may_cost_the_quorum_is_refused() -> None:
    three = having("m1", "m2", "m3")
    words, hint = refused(three, [want("m1"), want("m2", runs=False)], ["m3"])
    assert words.startswith("without m3 etcd would lose its quorum: m2 is down")
    words, hint = refused(three, [want("m1"), want("m2"), want("m3", data=None, runs=False), new("m4")])
    assert words.startswith("m4 cannot join while m3 is down")
    assert "give its role etcd to another one" in hint
    words, _ = refused(three, [want("m1"), new("m4")])
    assert words.startswith("etcd has no quorum: m2, m3 of 3 members are down")
    unstarted = View((member("m1"), member("m2", started=False)), learners=False)
    words, _ = refused(unstarted, [want("m1")])
    assert words.startswith("etcd has no quorum: 2 of 2 members is down")


def test_a_member_is_who_it_was() -> None:
    three = having("m1", "m2", "m3")
    words, hint = refused(three, [want("m1"), want("m2"), new("m3")])
    assert "m3 has no data, and m1, m2 have data of a cluster that is in use" in words
    assert "set initial-cluster-state: existing for m3" in hint
    words, hint = refused(three, [want("m1"), want("m2"), want("m3"), want("m4", runs=False)])
    assert "m4 has data of a member that is not in etcd's list any more" in words
    assert "move its data away" in hint
    words, hint = refused(three, [want("m1"), want("m2"), replace(want("m3"), url="https://10.0.0.9:2380")])
    assert "m3 is in etcd's list with https://10.0.0.3:2380, and in the inventory with https://10.0.0.9:2380" in words
    assert "etcdctl member update 3 --peer-urls=https://10.0.0.9:2380" in hint
    alone = View((Listed("1", "default", ("http://localhost:2380",)),), learners=False)
    words, _ = refused(alone, [want("m1"), new("m2")])
    assert "m1 is in etcd's list with http://localhost:2380" in words


@dataclass
class Simulated:
    """etcd as it takes orders: it refuses what a real one refuses, and each state that it is in is checked."""

    learners: bool
    listed: dict[str, Listed] = field(default_factory=dict)
    data: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    budget: int = 1_000

    def tick(self) -> None:
        """A moment at which the installer may be killed."""
        if self.budget <= 0:
            raise InterruptedError
        self.budget -= 1

    def quorum(self) -> bool:
        voters = [url(name) for name in self.names() if not self.listed[url(name)].learner]
        return len([one for one in voters if one in self.running]) > len(voters) // 2

    def names(self) -> list[str]:
        return [f"m{one.id}" for one in self.listed.values()]

    def pending(self) -> list[str]:
        return [one for one, found in self.listed.items() if not found.name or found.learner]

    def checked(self) -> None:
        """Never two at once, and never without a quorum, but while a second voter starts beside an only one."""
        assert len(self.pending()) <= 1
        assert self.quorum() or (not self.learners and len(self.listed) == 2 and self.pending())

    def apply(self, names: Sequence[str]) -> None:
        wants = [
            Wanted(name, url(name), url(name) in self.data, url(name) in self.running, url(name) not in self.running)
            for name in names
        ]
        leaving = [one for one in self.running if one not in map(url, names)]
        found = steps(View(tuple(self.listed.values()), self.learners), wants, leaving)
        for one in wants:
            if one.has_data and one.url in self.listed:
                self.start(one.url, one.name)
        for step in found:
            self.carry_out(step)
        self.running &= set(map(url, names))

    def carry_out(self, step: Step) -> None:
        self.tick()
        if step.move is Move.ADD:
            assert self.quorum()
            assert self.running >= self.listed.keys()
            self.listed[step.url] = Listed(step.url.split(".")[3].split(":")[0], "", (step.url,), self.learners)
            self.checked()
            self.tick()
        if step.move in (Move.ADD, Move.START):
            assert [one.partition("=")[2] for one in step.members] == list(self.listed), "etcd compares them"
            self.start(step.url, step.name)
        elif step.move is Move.PROMOTE:
            assert step.url in self.running
            self.listed[step.url] = replace(self.listed[step.url], learner=False)
        else:
            assert self.quorum()
            del self.listed[step.url]
            if step.live:
                self.checked()
                self.tick()
            self.running.discard(step.url)
        self.checked()
        self.tick()

    def start(self, one: str, name: str) -> None:
        assert one in self.listed
        self.listed[one] = replace(self.listed[one], name=name)
        self.data.add(one)
        self.running.add(one)


MEMBERS = st.lists(st.sampled_from([f"m{n}" for n in range(1, 8)]), min_size=1, max_size=5, unique=True)


@given(st.booleans(), MEMBERS, st.lists(st.tuples(MEMBERS, st.integers(0, 30), MEMBERS), max_size=5))
def test_from_wherever_it_was_killed_it_converges_with_a_quorum_and_one_change_at_a_time(
    learners: bool,  # noqa: FBT001 - hypothesis gives it
    first: list[str],
    edits: list[tuple[list[str], int, list[str]]],
) -> None:
    etcd = Simulated(learners)
    for name in first:
        etcd.listed[url(name)] = member(name)
        etcd.data.add(url(name))
        etcd.running.add(url(name))
    for names, budget, others in edits:
        etcd.data &= etcd.listed.keys()  # as the refusal asks: data of former members is moved away
        etcd.budget = budget
        try:
            etcd.apply(names)
        except InterruptedError:
            etcd.data &= etcd.listed.keys()
            etcd.budget = 1_000
            with suppress(InstallerError):
                etcd.apply(others)  # another edit from there: refused, or as safe
            etcd.data &= etcd.listed.keys()
            etcd.apply(names)  # typed again
        etcd.budget = 1_000
        assert etcd.listed.keys() == set(map(url, names))
        assert not etcd.pending()
        assert steps(View(tuple(etcd.listed.values()), learners), [want(name) for name in names]) == ()


@given(MEMBERS, st.data(), st.booleans())
def test_a_minority_that_died_is_replaced(names: list[str], data: st.DataObject, learners: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    etcd = Simulated(learners)
    for name in names:
        etcd.listed[url(name)] = member(name)
        etcd.data.add(url(name))
        etcd.running.add(url(name))
    dead = data.draw(st.lists(st.sampled_from(names), max_size=(len(names) - 1) // 2, unique=True))
    for name in dead:
        etcd.running.discard(url(name))
        etcd.data.discard(url(name))
    staying = [name for name in names if name not in dead]
    etcd.apply([*staying, *[f"m{n}" for n in range(11, 11 + len(dead))]])
    assert len(etcd.listed) == len(etcd.running) == len(names)


def said(
    names: Sequence[str],
    *,
    api: str = "v3beta",
    cluster: str = "1",
    index: int = 7,
    unstarted: str = "",
    first: str = "",
) -> str:
    """What a host answers that runs etcd; a member that was added has no name before it has started, as one of the
    first has.
    """
    members = [
        {"ID": name[1:], "peerURLs": [url(name)]}
        | ({"name": name} if name != unstarted else {})
        | ({"clientURLs": [url(name).replace(":2380", ":2379")]} if name not in (unstarted, first) else {})
        for name in names
    ]
    header = {"cluster_id": cluster}
    parts = [{"header": header, "members": members}, {"header": header, "leader": "1", "raftIndex": str(index)}]
    return "|".join([api, *(json.dumps(part, separators=(",", ":")) for part in parts)])


def test_the_list_is_that_of_who_has_the_most_of_the_log() -> None:
    answers = {"m1": said(["m1"], index=5), "m2": said(["m1", "m2"], index=6, api="v3")}
    assert view(answers) == View((member("m1"), member("m2")), learners=True)
    assert view({"m1": said(["m1", "m2"], unstarted="m2")}) == View(
        (member("m1"), member("m2", started=False)), learners=False
    )
    for text in ("", "v3", "v3|{}|{}", 'v3|{"error":"rpc not supported for learner"}|{"raftIndex":"x"}', "v3|[|{"):
        assert view({"m1": text}) is None


def test_a_member_of_a_first_start_that_never_started_has_lost_nothing() -> None:
    three = wanted(THREE)
    found = bare(three, seen(three, {name: conf(three, name) for name in ("m1", "m2")}), "m3")
    made, there, _ = plan_of(
        three, reported(three, found, dict.fromkeys(("m1", "m2"), said(["m1", "m2", "m3"], first="m3")))
    )
    assert order(made)[:2] == ["start etcd on m3", "agree"]
    assert start(conf(there, "m3")).members == start(conf(three, "m3")).members


def test_separate_clusters_are_refused() -> None:
    with pytest.raises(InstallerError, match=r"2 separate clusters, on m1, m2"):
        view({"m1": said(["m1"]), "m2": said(["m2"], cluster="2")})


HOSTS = ("m1", "m2", "m3", "n1")
ONE_OF_THREE = THREE.replace("10.0.0.2, roles: [etcd, master]", "10.0.0.2, roles: [master]").replace(
    "10.0.0.3, roles: [etcd, master]", "10.0.0.3, roles: [master]"
)


def reported(desired: Desired, found: Mapping[Ref, Seen], answers: Mapping[str, str]) -> dict[Ref, Seen]:
    """The same with what hosts answer about etcd's members."""
    asked = {
        ref: SeenSetting(answers[ref.host]) if ref.host in answers else Missing.ABSENT
        for ref in questions(desired, HOSTS)
    }
    return {**found, **asked}


def plan_of(desired: Desired, found: Mapping[Ref, Seen]) -> tuple[Plan, Desired, Mapping[Ref, Seen]]:
    there, more = changing(desired, desired, found, HOSTS)
    require_members(desired, more, there)
    return make_plan(there, more), there, more


def order(made: Plan) -> list[str]:
    """What is done about members, in order, for people."""
    lines = []
    for change in made.changes:
        family, _, subject = change.ref.name.partition(" ")
        if family.startswith("etcd-"):
            lines.append(f"{family} {subject.split()[0]} on {change.ref.host}")
        elif change.action in (Action.START, Action.RESTART, Action.STOP) and change.ref.name in (
            "etcd",
            "kube-apiserver",
        ):
            lines.append(f"{change.action} {change.ref.name} on {change.ref.host}")
        elif (
            change.ref.kind is Kind.GATE and isinstance(change.after, Gate) and change.after.check is Check.ETCD_AGREES
        ):
            lines.append("agree")
    return lines


def bare(desired: Desired, found: dict[Ref, Seen], *hosts: str) -> dict[Ref, Seen]:
    return {
        ref: (IDLE if ref.kind is Kind.UNIT else Missing.ABSENT)
        if ref.host in hosts and desired[ref].component == "etcd"
        else item
        for ref, item in found.items()
    }


def test_a_plan_adds_members_in_a_chain_and_restarts_none() -> None:
    one, three = wanted(ONE_OF_THREE), wanted(THREE)
    found = reported(three, bare(three, seen(three, {"m1": conf(one, "m1")}), "m2", "m3"), {"m1": said(["m1"])})
    made, there, _ = plan_of(three, found)
    assert order(made) == [
        "etcd-added m2 on m1", "start etcd on m2", "agree", "etcd-added m3 on m1", "start etcd on m3", "agree",
    ]  # fmt: skip
    assert not [change for change in made.changes if change.ref == Ref("m1", Kind.FILE, CONF)]
    files = {host: start(conf(there, host)) for host in ("m2", "m3")}
    assert files["m2"].members == {f"m1={url('m1')}", f"m2={url('m2')}"}
    assert files["m3"].members == start(conf(three, "m3")).members
    assert all(file.joins for file in files.values())
    chain = [index for index, change in enumerate(made.changes) if change.ref.name.startswith("etcd-added")]
    assert made.after[chain[1]]


def test_where_etcd_does_not_answer_a_new_member_is_refused() -> None:
    one, three = wanted(ONE_OF_THREE), wanted(THREE)
    found = reported(three, bare(three, seen(three, {"m1": conf(one, "m1")}), "m2", "m3"), {})
    with pytest.raises(InstallerError, match="the inventory adds m2="):
        plan_of(three, found)


def test_grown_members_are_as_wanted_also_where_none_runs() -> None:
    one, three = wanted(ONE_OF_THREE), wanted(THREE)
    files = {
        "m1": conf(one, "m1"),
        "m2": joining(conf(three, "m2"), [f"m1={url('m1')}", f"m2={url('m2')}"]),
        "m3": joining(conf(three, "m3"), sorted(start(conf(three, "m3")).members)),
    }
    for answers in ({}, {name: said(["m1", "m2", "m3"]) for name in files}):
        made, _, _ = plan_of(three, reported(three, seen(three, files), answers))
        assert not made


def test_only_all_members_together_change() -> None:
    one, three = wanted(ONE_OF_THREE), wanted(THREE)
    found = reported(three, bare(three, seen(three, {"m1": conf(one, "m1")}), "m2", "m3"), {"m1": said(["m1"])})
    with pytest.raises(InstallerError, match="m1, m3 would be left out"):
        changing(three, on_members(three, {"m2"}), found, HOSTS)


def leaving(desired: Desired, before: Desired, found: dict[Ref, Seen]) -> tuple[Desired, dict[Ref, Seen]]:
    """What is wanted with what leaves, by the records of hosts; and what hosts have of that."""
    old = as_wanted(before)
    asked = {records.question(host).ref for host in HOSTS}
    known = {ref: SeenRecord(recorded(before, ref.host)) for ref in asked}
    there = with_leaving(desired, desired, {**found, **known}, HOSTS, None)
    gone = {ref: old.get(ref, Missing.ABSENT) for ref, item in there.items() if item.leaving}
    kept = {ref: replace(item, original="") if isinstance(item, SeenFile) else item for ref, item in gone.items()}
    return there, {**found, **known, **kept}


def test_a_member_leaves_after_the_apiservers_and_before_it_stops() -> None:
    three, one = wanted(THREE), wanted(ONE_OF_THREE)
    found = seen(one, {"m1": conf(three, "m1")})
    for host in ("m1", "m2", "m3"):  # their list of endpoints changes
        for ref, item in one.items():
            if ref.host == host and isinstance(item.resource, File) and ref.name.endswith("kubernetes/apiserver"):
                found[ref] = SeenFile("0" * 64, 0o644, "root", "root", 0.0, b"KUBE_ETCD_SERVERS=old")
    there, found = leaving(one, three, found)
    found = reported(one, found, {name: said(["m1", "m2", "m3"]) for name in ("m1", "m2", "m3")})
    there, more = changing(one, there, found, HOSTS)
    made = make_plan(there, more)
    lines = order(made)
    restarts = [line for line in lines if line.startswith("restart kube-apiserver")]
    assert len(restarts) == 3
    assert lines == [
        *restarts,
        "etcd-removed 2 on m1", "stop etcd on m2", "agree", "etcd-removed 3 on m1", "stop etcd on m3", "agree",
    ]  # fmt: skip
    removal = next(ref for ref in there if ref.name.startswith("etcd-removed 2"))
    assert there[removal].resource.value == ABSENT  # type: ignore[union-attr]
    gates = [
        item.resource.expects
        for item in there.values()
        if isinstance(item.resource, Gate) and item.resource.check is Check.ETCD_MEMBERS
    ]
    assert {frozenset(expects) for expects in gates} == {start(conf(one, "m1")).members}
    assert made.changes[-1].ref == Ref("m1", Kind.GATE, "etcd has the members of the inventory")
    stops = [change for change in made.changes if change.action is Action.STOP]
    assert {change.turn.group for change in stops} == {"former"}


def test_a_file_keeps_what_etcd_does_not_read_again() -> None:
    new_file = (
        b'# x\nETCD_NAME="m1"\nETCD_INITIAL_CLUSTER="m1=a,m2=b"\nETCD_INITIAL_CLUSTER_STATE="new"\nETCD_DEBUG="1"\n'
    )
    old = b"ETCD_INITIAL_CLUSTER='m1=a'\n"
    assert as_started(new_file, old) == b'# x\nETCD_NAME="m1"\nETCD_INITIAL_CLUSTER="m1=a"\nETCD_DEBUG="1"\n'
    assert joining(b"ETCD_NAME=m2\n", ["m1=a", "m2=b"]) == (
        b'ETCD_NAME=m2\nETCD_INITIAL_CLUSTER="m1=a,m2=b"\nETCD_INITIAL_CLUSTER_STATE="existing"\n'
    )


def test_learners_are_promoted_before_the_next_one_joins_and_before_gates_ask_for_votes() -> None:
    one, three = wanted(ONE_OF_THREE), wanted(THREE)
    found = bare(three, seen(three, {"m1": conf(one, "m1")}), "m2", "m3")
    made, there, _ = plan_of(three, reported(three, found, {"m1": said(["m1"], api="v3")}))
    assert order(made) == [
        "etcd-added m2 on m1", "start etcd on m2", "agree", "etcd-voter m2 on m1",
        "etcd-added m3 on m1", "start etcd on m3", "agree", "etcd-voter m3 on m1",
    ]  # fmt: skip
    (last,) = (ref for ref in there if ref.name.startswith("etcd-voter m3"))
    assert last in there[Ref("m2", Kind.GATE, "etcd is healthy")].after
    words = {families.words(change.ref.name, "") for change in made.changes if change.ref.name.startswith("etcd-")}
    assert words == {
        "add m2 to etcd's members", "let m2 vote in etcd", "add m3 to etcd's members", "let m3 vote in etcd",
    }  # fmt: skip


def test_a_member_that_was_added_starts_without_being_added_again() -> None:
    one, three = wanted(ONE_OF_THREE), wanted(THREE)
    found = bare(three, seen(three, {"m1": conf(one, "m1")}), "m2", "m3")
    made, there, _ = plan_of(three, reported(three, found, {"m1": said(["m1", "m2"], unstarted="m2")}))
    assert order(made) == ["start etcd on m2", "agree", "etcd-added m3 on m1", "start etcd on m3", "agree"]
    assert start(conf(there, "m2")).joins


def test_dead_members_leave_the_list_first_and_lost_ones_join_again() -> None:
    again = THREE.replace(
        "10.0.0.3, roles: [etcd, master]",
        "10.0.0.3, roles: [etcd, master], components: {etcd: {args: {initial-cluster-state: existing}}}",
    )
    three = wanted(again)
    files = {name: conf(wanted(THREE), name) for name in ("m1", "m2")}
    found = bare(three, seen(three, files), "m3")
    answers = {name: said(["m1", "m2", "m3"]) for name in files}
    made, there, _ = plan_of(three, reported(three, found, answers))
    assert order(made) == [
        "etcd-removed 3 on m1", "agree", "etcd-added m3 on m1", "start etcd on m3", "agree",
    ]  # fmt: skip
    assert start(conf(there, "m3")).joins
    joined = SeenFile("0" * 64, 0o644, "root", "root", 0.0, conf(there, "m3"))
    found |= {Ref("m3", Kind.UNIT, "etcd"): replace(IDLE, enabled=True), Ref("m3", Kind.FILE, CONF): joined}
    made, _, _ = plan_of(three, reported(three, found, answers))  # also one that has joined before
    assert order(made)[:3] == ["etcd-removed 3 on m1", "agree", "etcd-added m3 on m1"]


def test_what_the_inventory_does_not_know_leaves_the_list() -> None:
    three = wanted(THREE)
    files = {name: conf(three, name) for name in ("m1", "m2", "m3")}
    answers = {name: said(["m1", "m2", "m3", "m9"]) for name in files}
    made, _, _ = plan_of(three, reported(three, seen(three, files), answers))
    assert order(made) == ["etcd-removed 9 on m1", "agree"]


def test_a_plan_about_other_things_changes_no_member() -> None:
    one, three = wanted(ONE_OF_THREE), wanted(THREE)
    found = reported(three, bare(three, seen(three, {"m1": conf(one, "m1")}), "m2", "m3"), {"m1": said(["m1"])})
    part = {ref: item for ref, item in three.items() if item.component == "kubelet"}
    assert changing(three, part, found, HOSTS) == (part, found)


def test_flannels_members_change_like_the_clusters() -> None:
    text = 'cluster: {{name: lab, version: "1.20.2", network: flannel}}\nhosts:{}\n  n1: {{address: 10.0.0.99, roles: [node]}}\n'
    lab = inventory.parse(text.format(THREE), Path("/srv/inventory.yaml"))
    three = desire(lab, profiles.profile_of(lab), placeholder(lab), Renderer())
    names = sorted({ref.name.split()[1] for ref in questions(three, HOSTS)})
    assert names == ["/etc/etcd/etcd.conf", "/etc/etcd/flannel.conf"]


def status(index: int, *, leader: str = "1", cluster: str = "1") -> str:
    return json.dumps({"header": {"cluster_id": cluster}, "leader": leader, "raftIndex": str(index)})


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([status(7), status(8), status(7)], "one cluster with one log: m1=a, m2=b"),
        ([status(7), status(6), status(7)], "a member does not have all of the log yet"),
        ([status(7), status(7)], "1 of 2 members do not answer"),
        ([status(7), status(7, leader="0"), status(7)], "a member knows no leader"),
        ([status(7), status(7, cluster="2"), status(7)], "2 separate clusters"),
        (["curl: (7) refused"], "etcd does not report its status"),
    ],
)
def test_members_agree_where_all_answer_with_one_log(lines: list[str], words: str) -> None:
    gate = Gate("https://127.0.0.1:2379", Check.ETCD_AGREES, "etcd", expects=("m1=a", "m2=b"))
    answer = gates.judge(gate, "\n".join([*lines, "status 200\n"]))
    assert words in answer.words
    assert answer.holds == words.startswith("one cluster")


def test_an_only_member_agrees_with_itself() -> None:
    gate = Gate("https://127.0.0.1:2379", Check.ETCD_AGREES, "etcd", expects=("m1=a",))
    assert gates.judge(gate, f"{status(7)}\nstatus 200\n").holds
    assert not gates.judge(gate, '{"header":{"cluster_id":"1"},"leader":"1","raftIndex":"x"}\nstatus 503\n').holds
    assert "maintenance/status" in gates.script(gate)


@pytest.mark.parametrize(("version", "security"), [("1.5.2", "tls"), ("1.5.2", "insecure"), ("1.20.2", "tls")])
def test_three_members_become_five_in_every_version_and_without_tls(version: str, security: str) -> None:
    five = THREE + "".join(f"\n  m{n}: {{address: 10.0.0.{n}, roles: [etcd]}}" for n in (4, 5))
    before, after = (wanted(hosts, version, security) for hosts in (THREE, five))
    files = {name: conf(before, name) for name in ("m1", "m2", "m3")}
    found = bare(after, seen(after, files), "m4", "m5")
    text = said(["m1", "m2", "m3"])
    answers = dict.fromkeys(files, text.replace("https:", "http:") if security == "insecure" else text)
    made, there, _ = plan_of(after, reported(after, found, answers))
    joins = [line for line in order(made) if "kube-apiserver" not in line]
    assert joins == [
        "etcd-added m4 on m1", "start etcd on m4", "agree", "etcd-added m5 on m1", "start etcd on m5", "agree",
    ]  # fmt: skip
    assert start(conf(there, "m5")).members == start(conf(after, "m5")).members
    assert conf(there, "m1") == files["m1"]
