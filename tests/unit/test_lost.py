"""What of a cluster is lost, and the ways to bring it back, as `plan` and `status` show them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.pure import answers as as_wanted
from k8s_installer.errors import Lost, LostError, TransportError
from k8s_installer.flows.resolve import present_keys, real_keys, resolve
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import Kind, Missing, Ref, Seen, SeenRecord
from k8s_installer.planning import records
from k8s_installer.planning.etcd.changing import questions
from k8s_installer.planning.etcd.config import joining
from k8s_installer.planning.etcd.lost import require_kept
from k8s_installer.planning.trust import foreign, refuse
from k8s_installer.report import status as report
from k8s_installer.report.data import loss_data
from k8s_installer.status import Status
from tests.unit.test_members import LOG, ONE, THREE, conf, flannel, seen, stopped, wanted
from tests.unit.test_membership import HOSTS, ONE_OF_THREE, bare, reported, said, url

NAMES = ("m1", "m2", "m3")
ALL = said(NAMES[::-1])  # etcd sorts by id
REPLACED = THREE.replace(
    "m3: {address: 10.0.0.3, roles: [etcd, master]",
    "m3: {address: 10.0.0.3, roles: [etcd, master], components: {etcd: {args: {initial-cluster-state: existing}}}",
)


def having(desired: Desired, *names: str, answering: tuple[str, ...] = (), list_: str = ALL) -> dict[Ref, Seen]:
    """Members that have data, of which some answer; the disks of the others are new."""
    found = seen(desired, {name: conf(desired, name) for name in names})
    found = bare(desired, found, *(name for name in NAMES if name not in names))
    for name in names:
        if name not in answering:
            found = stopped(found, name)
    found |= {records.question(name).ref: SeenRecord(()) if name in names else Missing.ABSENT for name in NAMES}
    return reported(desired, found, dict.fromkeys(answering, list_))


def silenced(found: Mapping[Ref, Seen], *hosts: str) -> dict[Ref, Seen]:
    return {ref: item for ref, item in found.items() if ref.host not in hosts}


def loss(desired: Desired, found: Mapping[Ref, Seen], *silent: str, hosts: tuple[str, ...] = HOSTS) -> LostError:
    with pytest.raises(LostError) as caught:
        require_kept(desired, found, hosts, silent)
    assert "nothing was changed" in caught.value.message
    return caught.value


def kept(desired: Desired, found: Mapping[Ref, Seen], *silent: str) -> None:
    require_kept(desired, found, HOSTS, silent)


def test_a_member_whose_disk_is_gone_is_named_with_the_setting_that_replaces_it() -> None:
    three = wanted(THREE)
    found = loss(three, having(three, "m1", "m2", answering=("m1", "m2")))
    assert (found.what, found.hosts) == (Lost.MEMBER, ("m3",))
    assert found.message == (
        f"m3 has no data of etcd in {LOG}, and nothing that was installed on it is left, and m1, m2 have data of a "
        "cluster that is in use: this member has lost its data; nothing was changed"
    )
    assert found.hint.splitlines() == [
        "if the disk is just not mounted: mount it, or set data-dir and wal-dir back, then run this command again",
        "if the data is lost: set components: {etcd: {args: {initial-cluster-state: existing}}} in the entry of m3",
        "  then k8s-installer apply -i INVENTORY, and remove the setting: docs/etcd.md",
        "if the host is gone for good: delete its entry, give its roles to another host, and apply",
    ]


def test_a_lost_member_that_the_inventory_replaces_is_planned() -> None:
    replaced = wanted(REPLACED)
    kept(replaced, having(replaced, "m1", "m2", answering=("m1", "m2")))


@pytest.mark.parametrize("answering", [("m1",), ()], ids=["one answers", "none answers"])
def test_a_quorum_that_is_lost_with_the_disks_of_most_members(answering: tuple[str, ...]) -> None:
    for three in (wanted(THREE), wanted(REPLACED)):
        found = loss(three, having(three, "m1", answering=answering))
        assert (found.what, found.hosts) == (Lost.QUORUM, ("m2", "m3"))
        assert found.message.splitlines() == [
            "etcd has lost its quorum: it needs 2 of 3 members, and only m1 can run; nothing was changed",
            f"  m2 has no data of etcd in {LOG}, and nothing that was installed on it is left",
            f"  m3 has no data of etcd in {LOG}, and nothing that was installed on it is left",
        ]
        assert "start m2" not in found.hint
        assert "k8s-installer restore FILE -i INVENTORY" in found.hint
        assert "k8s-installer restore --from-member m1 -i INVENTORY" in found.hint


def test_hosts_that_do_not_answer_are_started_first() -> None:
    three = wanted(THREE)
    found = loss(three, silenced(having(three, *NAMES, answering=NAMES), "m2", "m3"), "m2", "m3")
    assert (found.what, found.hosts) == (Lost.QUORUM, ("m2", "m3"))
    assert found.message.splitlines()[1:] == ["  m2 did not answer", "  m3 did not answer"]
    assert found.hint.startswith("if these hosts are only down: start m2, m3, then run this command again")
    assert "mounted" not in found.hint


def test_a_member_of_the_list_that_the_inventory_does_not_have_counts_towards_the_quorum() -> None:
    three, five = wanted(THREE), said([*NAMES, "m4", "m5"])
    kept(three, having(three, *NAMES, answering=NAMES, list_=five))
    found = loss(three, having(three, "m1", "m2", answering=("m1", "m2"), list_=five))
    assert (found.what, found.hosts) == (Lost.QUORUM, ("m3", "m4", "m5"))
    assert "m4 is not in the inventory, and no host runs it" in found.message
    four = having(three, "m1", "m2", answering=("m1", "m2"), list_=said([*NAMES, "m4"]))
    assert loss(three, four).what is Lost.QUORUM
    leaving = {Ref("m4", ref.kind, ref.name): four[ref] for ref in questions(three, ["m1"])}
    assert loss(three, {**four, **leaving}, hosts=(*HOSTS, "m4")).what is Lost.MEMBER


@pytest.mark.parametrize("names", [NAMES, ("m1",)])
def test_data_that_no_member_has_is_lost_where_the_cluster_was_in_use(names: tuple[str, ...]) -> None:
    desired = wanted(THREE if len(names) > 1 else ONE)
    found = loss(desired, having(desired))
    assert (found.what, found.hosts) == (Lost.DATA, names)
    first, *lines = found.message.splitlines()
    assert first.startswith("etcd's data is lost on all members, but m1: unit kube-apiserver was started before")
    assert len(lines) == len(names)
    assert "restore FILE" in found.hint


def test_nothing_is_lost_by_a_first_start_or_where_hosts_are_silent_or_members_are_only_down() -> None:
    three, one = wanted(THREE), wanted(ONE_OF_THREE)
    kept(three, dict.fromkeys(as_wanted(three), Missing.ABSENT))
    kept(three, reported(three, seen(three, {"m1": conf(three, "m1")}, used=False), {}))  # was cut off
    kept(three, having(three, *NAMES, answering=NAMES))
    kept(three, having(three, *NAMES))  # all are down: a plan starts them
    kept(three, {}, *NAMES)
    kept(three, silenced(having(three), "m1"), "m1")  # m1 may have the data
    grows = bare(three, seen(three, {"m1": conf(one, "m1")}), "m2", "m3")
    kept(three, reported(three, grows, {"m1": said(["m1"])}))
    kept(three, reported(three, stopped(grows, "m1"), {}))
    kept(three, having(three, "m1", "m2", answering=("m1", "m2"), list_=said(NAMES, unstarted="m3")))
    lone = said(["m9"]).replace('"m9"', '"default"')  # with the name and the URL of its first start
    desired = wanted(ONE)
    kept(desired, reported(desired, as_wanted(desired), {"m1": lone}))


def test_who_joined_later_is_known_by_the_files_of_those_that_have_data() -> None:
    three, one = wanted(THREE), wanted(ONE_OF_THREE)
    found = having(three, "m1", "m2")
    joined = joining(conf(three, "m2"), [f"{name}={url(name)}" for name in NAMES])
    later = seen(three, {"m1": conf(one, "m1"), "m2": joined})
    files = {ref: item for ref, item in later.items() if ref.name == "/etc/etcd/etcd.conf" and ref.host != "m3"}
    assert loss(three, {**found, **files}).what is Lost.MEMBER


def test_flannels_own_etcd_is_made_again() -> None:
    insecure = wanted(THREE, "1.5.2", "insecure")
    assert loss(insecure, having(insecure, "m1")).what is Lost.QUORUM
    three = flannel(THREE)
    there = reported(three, as_wanted(three), {})
    kept(
        three,
        {
            ref: Missing.ABSENT if ref.kind is Kind.DATA and "flannel" in ref.name else item
            for ref, item in there.items()
        },
    )


def test_status_has_no_plan_to_offer_where_something_is_lost() -> None:
    three = wanted(THREE)
    found = loss(three, having(three, "m1", answering=("m1",)))
    for status in (Status((), {}, (found,)), Status((), {"m2": TransportError("m2", "no answer")}, (found,))):
        assert status.differs
        console = Console(file=io.StringIO(), width=200)
        console.print(report.table(status, Path("lab.yaml")))
        assert isinstance(console.file, io.StringIO)
        text = console.file.getvalue()
        assert "Next:" not in text
        assert "matches the inventory" not in text
        assert ("m2: no answer" in text) is bool(status.unreachable)
        assert report.data(status)["losses"] == [
            {"what": "quorum", "hosts": ["m2", "m3"], "message": found.message, "ways": found.hint.splitlines()}
        ]


def test_keys_that_only_hosts_have_are_lost_on_this_machine(tmp_path: Path) -> None:
    text = f'cluster: {{name: lab, version: "1.20.2", network: none}}\nhosts:{ONE}\n  n1: {{address: 10.0.0.99, roles: [node]}}\n'
    (tmp_path / "lab.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone/lab.yaml").write_text(text, encoding="utf-8")
    first = resolve(tmp_path / "lab.yaml", None, real_keys)
    clone = resolve(tmp_path / "clone/lab.yaml", None, present_keys)
    with pytest.raises(LostError, match="keys that are not on this machine") as caught:
        refuse(foreign(clone.desired, as_wanted(first.desired), clone.keys), clone.keys, "")
    assert (caught.value.what, caught.value.hosts) == (Lost.KEYS, ("m1", "n1"))
    assert loss_data(caught.value)["ways"] == caught.value.hint.splitlines()
    assert "k8s-installer keys recover -i INVENTORY" in caught.value.hint.splitlines()[0]
