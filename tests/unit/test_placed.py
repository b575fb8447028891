"""What was placed and is no longer wanted leaves; what was there before comes back."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from k8s_installer.engine.scheduler import apply
from k8s_installer.errors import InstallerError
from k8s_installer.host import families
from k8s_installer.host import placed as record
from k8s_installer.host.statedir import NOT_KEPT
from k8s_installer.model.desired import Desired, DesiredResource, Turn
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import (
    Backup,
    File,
    Kind,
    Leaves,
    Missing,
    NoLeftovers,
    NoPackage,
    Original,
    Package,
    Placed,
    Ref,
    Resource,
    Seen,
    SeenFile,
    SeenPackage,
    SeenRecord,
    SeenSetting,
    SeenUnit,
    Setting,
    Unit,
)
from k8s_installer.model.run import Event, Run, State
from k8s_installer.planning import planfile, records, rollback
from k8s_installer.planning.adopting import with_adopted
from k8s_installer.planning.leaving import with_leaving, without_nodes
from k8s_installer.planning.make import make_plan
from k8s_installer.planning.rollback import PastFile, PastItem, PastLeftovers, PastPackage, PastUnit
from k8s_installer.planning.undo import failed_turns, undo
from k8s_installer.report.text import change_words
from k8s_installer.runs import history, journal
from tests.fakes import IDLE, FakeHost

DROP_IN = "/etc/systemd/system/kubelet.service.d/10-limits.conf"
CONFIG = "/etc/kubernetes/kubelet"
MOTD = "/etc/motd"
RUNNING = SeenUnit("loaded", "active", "running", enabled=True, pid=7, started_at=500.0, needs_reload=False)
LEAVES = Leaves(
    "kubelet", ("/var/lib/kubelet", "/var/lib/kubelet/data"), data=("/var/lib/kubelet/data",), chains=("KUBE-.+",)
)


def want(
    kind: Kind, name: str, resource: Resource, *after: Ref, component: str = "kubelet", host: str = "n1"
) -> DesiredResource:
    return DesiredResource(Ref(host, kind, name), resource, component, after, "a test", Turn("nodes", host))


def wanted(*items: DesiredResource) -> Desired:
    return {item.ref: item for item in items}


PACKAGE = want(Kind.PACKAGE, "kubelet", Package("kubelet", leaves=LEAVES))
FILES = (
    want(Kind.FILE, CONFIG, File(b"config\n"), PACKAGE.ref),
    want(Kind.FILE, DROP_IN, File(b"[Service]\nLimitNOFILE=9\n"), PACKAGE.ref),
)
UNIT = want(
    Kind.UNIT, "kubelet", Unit("kubelet", (DROP_IN,), (CONFIG,), ("kubelet",)), PACKAGE.ref, *(f.ref for f in FILES)
)
NODE = wanted(PACKAGE, *FILES, UNIT)
WITHOUT_DROP_IN = wanted(
    PACKAGE,
    FILES[0],
    dataclasses.replace(UNIT, resource=Unit("kubelet", (), (CONFIG,), ("kubelet",)), after=(FILES[0].ref,)),
)


def node(name: str = "n1", **more: object) -> FakeHost:
    return FakeHost(name, brings={"kubelet": ["kubelet"], "docker": ["docker"]}, **more)  # type: ignore[arg-type]


def seen_by(fleet: Mapping[str, FakeHost], items: Collection[DesiredResource]) -> dict[Ref, Seen]:
    return {
        ref: found
        for host in fleet.values()
        for ref, found in host.observe([item for item in items if item.ref.host == host.name]).items()
    }


def planned(whole: Desired, fleet: Mapping[str, FakeHost], part: Desired | None = None, **how: object) -> Plan:
    """As flows make it: look, find what leaves, look at that, adopt, plan, and record."""
    part = whole if part is None else part
    seen = seen_by(fleet, [*part.values(), *map(records.question, fleet)])
    only = how.pop("only", None)
    desired = with_leaving(whole, part, seen, fleet.keys(), only, **how)  # type: ignore[arg-type]
    seen |= seen_by(fleet, [item for item in desired.values() if item.leaving])
    desired = with_adopted(desired, seen)
    return records.recording(make_plan(desired, seen), desired, seen)


def carried_out(plan: Plan, fleet: Mapping[str, FakeHost]) -> None:
    run = apply(plan, fleet, lambda event: None, threading.Event())
    assert not run.failures, [event.detail for event in run.failures]


def applied(whole: Desired, *hosts: FakeHost, **how: object) -> Plan:
    fleet = {host.name: host for host in hosts}
    plan = planned(whole, fleet, **how)  # type: ignore[arg-type]
    carried_out(plan, fleet)
    assert not planned(whole, fleet, **how)  # type: ignore[arg-type]
    return plan


def words(plan: Plan) -> list[str]:
    return [f"{change.action} {change.ref.name}" for change in plan.changes]


def change(plan: Plan, name: str) -> Change:
    return next(change for change in plan.changes if change.ref.name == name)


def test_a_drop_in_that_is_dropped_leaves_before_its_unit_restarts() -> None:
    host = node()
    applied(NODE, host)
    plan = applied(WITHOUT_DROP_IN, host)
    assert words(plan) == [f"remove {DROP_IN}", "daemon-reload kubelet", "restart kubelet"]
    assert change(plan, DROP_IN).reason == "kubelet no longer has it"
    assert change(plan, DROP_IN).readers == ("kubelet",)  # a run that is cut off here restarts it the next time
    assert DROP_IN not in host.files
    assert (Kind.FILE, DROP_IN) not in host.record


def test_a_file_that_was_there_before_comes_back_when_ours_leaves() -> None:
    host = node()
    host.files[CONFIG], host.contents[CONFIG] = SeenFile(File(b"mine").sha256, 0o600, "me", "me", 1.0), b"mine"
    applied(NODE, host)
    assert host.contents[CONFIG] == b"config\n"
    other = wanted(PACKAGE, FILES[1], dataclasses.replace(UNIT, resource=Unit("kubelet", (DROP_IN,)), after=()))
    assert words(applied(other, host)) == [f"restore {CONFIG}", "restart kubelet"]
    assert (host.contents[CONFIG], host.files[CONFIG].mode, host.files[CONFIG].owner) == (b"mine", 0o600, "me")
    assert host.originals == {}


def test_a_component_that_is_gone_stops_first_and_its_settings_leave_last() -> None:
    user = want(Kind.SETTING, "user kube", Setting("system"))
    host = node(settings={"swap": "on"})
    swap = want(Kind.SETTING, "swap", Setting("off"), component="host")
    applied({**wanted(user, swap), **NODE}, host)
    host.leftovers["kubelet"] = ("/var/lib/kubelet",)
    plan = applied(wanted(), host)
    assert words(plan) == [
        "stop kubelet", f"remove {CONFIG}", f"remove {DROP_IN}", "clean up kubelet", "uninstall kubelet",
        "set user kube", "set swap",
    ]  # fmt: skip
    assert [found.after for found in plan.changes[3:]] == [
        NoLeftovers(dataclasses.replace(LEAVES, folders=("/var/lib/kubelet",))),
        NoPackage(in_use=False),
        Setting("absent"),
        Setting("on"),
    ]
    assert change(plan, "kubelet").reason == "no longer wanted on n1"
    assert all(found.forgets for found in plan.changes)
    assert list(host.record) == [(Kind.LEFTOVERS, "kubelet")]
    assert host.packages == {}


def test_the_last_unit_to_start_is_the_first_to_stop_and_what_stays_comes_up_after_that() -> None:
    host = node()
    docker = want(Kind.UNIT, "docker", Unit("docker", runs=("docker",)), component="docker")
    package = want(Kind.PACKAGE, "docker", Package("docker"), component="docker")
    proxy = want(Kind.UNIT, "kube-proxy", Unit("kube-proxy"), UNIT.ref, component="kube-proxy")
    host.units["kube-proxy"] = IDLE
    applied({**wanted(package, dataclasses.replace(docker, after=(package.ref,))), **NODE, **wanted(proxy)}, host)
    host.units["docker"] = IDLE
    plan = applied(wanted(package, docker), host)
    assert words(plan)[:3] == ["stop kube-proxy", "stop kubelet", "start docker"]


def test_data_that_cannot_be_made_again_stays_unless_it_is_asked_for() -> None:
    host = node()
    applied(NODE, host)
    host.leftovers["kubelet"] = ("/var/lib/kubelet",)
    plan = planned(wanted(), {"n1": host}, data=True)
    assert next(found.after for found in plan.changes if found.action is Action.CLEAN) == NoLeftovers(LEAVES)


def test_the_record_remembers_whose_data_it_is_that_stays() -> None:
    host = node()
    applied(NODE, host)
    applied(wanted(), host)  # nothing but data is there
    assert [kind for kind, _ in host.record] == [Kind.LEFTOVERS]
    host.leftovers["kubelet"] = ("/var/lib/kubelet/data",)
    assert words(applied(wanted(), host, data=True)) == ["clean up kubelet"]
    assert host.record == {}


def test_users_stay_while_data_is_theirs_and_go_with_it() -> None:
    host = node()
    applied(NODE, host)
    for name in ("etcd", "kube"):
        entry = Placed(Kind.SETTING, f"user {name}", "kubelet", before="absent", came_with=("kubelet",))
        host.record[entry.kind, entry.name] = entry
        host.settings[entry.name] = "system"
    host.leftovers["kubelet"], host.data_owners["kubelet"] = ("/var/lib/kubelet",), ("etcd", "root")
    plan = applied(wanted(), host)
    assert words(plan)[-2:] == ["uninstall kubelet", "set user kube"]
    because = "no longer wanted on n1; user etcd stays, like the data that belongs to it"
    assert [found.reason for found in plan.changes if found.action is Action.UNINSTALL] == [because]
    assert host.settings["user etcd"] == "system"
    host.leftovers["kubelet"] = ("/var/lib/kubelet/data",)
    assert words(applied(wanted(), host, data=True)) == ["clean up kubelet", "set user etcd"]
    assert host.record == {}


def test_programs_of_a_tarball_take_the_place_of_a_package_and_the_other_way_round() -> None:
    program = want(Kind.FILE, "/usr/local/bin/kubelet", File(b"program", 0o755))
    service = want(Kind.FILE, "/etc/systemd/system/kubelet.service", File(b"[Service]\n"))
    unit = want(
        Kind.UNIT, "kubelet", Unit("kubelet", (service.ref.name,), (program.ref.name,)), program.ref, service.ref
    )
    tarball = wanted(program, service, unit)
    packaged = wanted(PACKAGE, want(Kind.UNIT, "kubelet", Unit("kubelet", runs=("kubelet",)), PACKAGE.ref))
    host = node()
    applied(packaged, host)
    plan = applied(tarball, host)
    assert words(plan)[-2:] == ["restart kubelet", "uninstall kubelet"]
    assert plan.changes[-1].after == NoPackage(in_use=True)  # its scripts would stop what has just started
    assert host.units["kubelet"].is_active
    plan = applied(packaged, host)
    assert words(plan) == [
        "install kubelet", f"remove {program.ref.name}", f"remove {service.ref.name}", "daemon-reload kubelet",
        "restart kubelet",
    ]  # fmt: skip


@pytest.mark.parametrize("kept", [True, False])
def test_what_came_with_a_package_stays_as_long_as_that(*, kept: bool) -> None:
    host = node()
    applied(NODE, host)
    for entry in (
        Placed(Kind.PACKAGE, "socat", "kubelet", came_with=("kubelet", "other")),
        Placed(Kind.SETTING, "user kube", "kubelet", before="absent", came_with=("kubelet",)),
    ):
        host.record[entry.kind, entry.name] = entry
    host.packages["socat"], host.settings["user kube"] = SeenPackage("1", "1", 1.0), "system"
    plan = applied(WITHOUT_DROP_IN if kept else wanted(), host)
    assert ("uninstall socat" not in words(plan), "set user kube" not in words(plan)) == (kept, kept)


def test_a_user_stays_while_its_component_runs() -> None:
    user = want(Kind.SETTING, "user kube", Setting("system"))
    host = node()
    applied({**wanted(user), **NODE}, host)
    assert not planned(NODE, {"n1": host})
    assert "set user kube" in words(applied(wanted(), host))


def test_a_setting_without_a_way_back_stays() -> None:
    host = node()
    host.record[Kind.SETTING, "swap"] = Placed(Kind.SETTING, "swap", "host", before="absent")
    host.record[Kind.SETTING, "colour"] = Placed(Kind.SETTING, "colour", "host", before="blue")  # of another version
    assert not planned(wanted(), {"n1": host})


def test_leftovers_of_a_file_go_with_it_and_those_of_a_component_with_its_unit() -> None:
    host = node()
    routes = want(Kind.FILE, "/etc/routes", File(b"", leaves=Leaves("/etc/routes", routes=("75",))))
    applied({**NODE, **wanted(routes)}, host)
    host.leftovers = {"/etc/routes": ("routes of protocol 75",), "kubelet": ("/var/lib/kubelet",)}
    assert words(applied(NODE, host)) == ["remove /etc/routes", "clean up /etc/routes"]


def test_only_and_another_hosts_record_leave_the_rest_alone() -> None:
    host, other = node(), node("n2")
    motd = want(Kind.FILE, MOTD, File(b"hello"), component="host")
    applied({**NODE, **wanted(motd)}, host)
    fleet = {"n1": host, "n2": other}
    assert words(planned(wanted(), fleet, only=("host",))) == [f"remove {MOTD}"]
    seen = seen_by(fleet, [records.question("n1")])
    assert with_leaving({}, {}, seen, ["n2"], None) == {}


def test_a_unit_that_stays_and_is_no_part_of_the_plan_restarts_with_the_next() -> None:
    host = node(units={"docker": RUNNING})
    docker = want(Kind.UNIT, "docker", Unit("docker", reads=(MOTD,)), component="docker")
    motd = want(Kind.FILE, MOTD, File(b"hello"), component="host")
    applied(wanted(motd, docker), host)
    after = wanted(dataclasses.replace(docker, resource=Unit("docker")))
    plan = planned(after, {"n1": host}, part={}, only=("host",))
    assert [(step.ref.name, step.readers) for step in plan.changes] == [(MOTD, ("docker",))]
    carried_out(plan, {"n1": host})
    assert words(planned(after, {"n1": host})) == ["restart docker"]


def test_a_record_says_which_cluster_has_placed_what() -> None:
    host = node()
    seen = seen_by({"n1": host}, [*NODE.values(), records.question("n1")])
    carried_out(records.recording(make_plan(NODE, seen), NODE, seen, "a"), {"n1": host})
    assert {entry.cluster for entry in host.record.values()} == {"a"}
    seen = seen_by({"n1": host}, [records.question("n1")])
    records.require_own(seen, ["n1"], "a")
    records.require_own(seen, ["n2"], "b")
    with pytest.raises(InstallerError, match="cluster a is installed on n1, as the record there says") as raised:
        records.require_own(seen, ["n1", "n2"], "b")
    first, *_, moved, _ = raised.value.hint.splitlines()
    assert first == "check the addresses in the inventory: a may be running on these machines"
    assert "set `state: absent` in the inventory of a, and apply that. It stops and removes" in moved
    assert records.owners(seen, ["n1", "n2"], "b") == {"n1": ("a",)}
    host.record = {key: entry for key, entry in host.record.items() if entry.kind is Kind.LEFTOVERS}
    assert host.record
    user = Placed(Kind.SETTING, "user etcd", "kubelet", before="absent", cluster="a")
    host.record[user.kind, user.name] = user
    records.require_own(seen_by({"n1": host}, [records.question("n1")]), ["n1"], "b")


def test_the_first_master_deletes_the_node_of_a_kubelet_that_has_stopped() -> None:
    host, master = node(), FakeHost("m1", settings={"node n1": "present"})
    applied(NODE, host)
    fleet = {"n1": host, "m1": master}
    plan = planned(wanted(), fleet, master="m1")
    deleted = next(index for index, found in enumerate(plan.changes) if found.ref.name == "node n1")
    stopped = next(index for index, found in enumerate(plan.changes) if found.action is Action.STOP)
    assert stopped in plan.after[deleted]
    assert plan.changes[deleted].after == Setting("absent")
    assert change_words(plan.changes[deleted]) == "delete node n1"
    carried_out(plan, fleet)
    assert master.settings["node n1"] == "absent"
    assert not planned(wanted(), fleet, master="m1")


def test_a_node_that_could_not_be_deleted_is_deleted_by_the_next_run() -> None:
    host, master = node(), FakeHost("m1", settings={"node n1": "present"}, refuses={"node n1": "no answer within 60 s"})
    applied(NODE, host)
    host.leftovers["kubelet"] = ("/var/lib/kubelet",)
    fleet = {"n1": host, "m1": master}
    run = apply(planned(wanted(), fleet, master="m1"), fleet, lambda event: None, threading.Event())
    assert [event.detail for event in run.failures] == ["no answer within 60 s"]
    assert not host.units["kubelet"].is_active
    master.refuses.clear()
    plan = planned(wanted(), fleet, master="m1")
    assert words(plan) == ["set node n1", "clean up kubelet", "uninstall kubelet"]
    carried_out(plan, fleet)
    assert not planned(wanted(), fleet, master="m1")


def test_the_node_of_a_host_that_does_not_answer_is_deleted_all_the_same() -> None:
    master = FakeHost("m1", settings={"node n1": "present"})
    desired = without_nodes(NODE, ["n1"], "m1")
    assert desired.keys() - NODE.keys() == {Ref("m1", Kind.SETTING, "node n1")}
    deletes = {ref: item for ref, item in desired.items() if ref.host == "m1"}
    plan = make_plan(deletes, seen_by({"m1": master}, list(deletes.values())))
    assert [change_words(found) for found in plan.changes] == ["delete node n1"]


def test_a_node_that_is_deleted_already_changes_no_record() -> None:
    host, master = node(), FakeHost("m1")
    applied(NODE, host)
    plan = planned(wanted(), {"n1": host, "m1": master}, master="m1")
    assert {found.ref.host for found in plan.changes} == {"n1"}


def test_a_unit_that_ran_before_runs_again_without_our_files() -> None:
    host = node(units={"kubelet": RUNNING}, packages={"kubelet": SeenPackage("1.0", "1", 1.0)})
    applied(NODE, host)
    assert host.record[Kind.UNIT, "kubelet"].before == "active enabled"
    plan = applied(wanted(), host)
    assert words(plan) == [f"remove {CONFIG}", f"remove {DROP_IN}", "daemon-reload kubelet", "restart kubelet"]
    assert (host.units["kubelet"].active, host.units["kubelet"].enabled) == ("active", True)
    assert "kubelet" in host.packages


@pytest.mark.parametrize(
    ("unit", "steps"),
    [
        (dataclasses.replace(RUNNING, enabled=False), [f"remove {CONFIG}", f"remove {DROP_IN}", "daemon-reload kubelet", "restart kubelet", "disable kubelet"]),
        (dataclasses.replace(IDLE, enabled=True), ["stop kubelet", f"remove {CONFIG}", f"remove {DROP_IN}"]),
        (IDLE, ["stop kubelet", f"remove {CONFIG}", f"remove {DROP_IN}"]),
    ],
)  # fmt: skip
def test_a_unit_becomes_what_it_was(unit: SeenUnit, steps: list[str]) -> None:
    host = node(units={"kubelet": unit}, packages={"kubelet": SeenPackage("1.0", "1", 1.0)})
    applied(NODE, host)
    assert words(applied(wanted(), host)) == steps
    assert (host.units["kubelet"].is_active, host.units["kubelet"].enabled) == (unit.is_active, unit.enabled)


def test_a_firewall_that_was_off_on_our_account_is_on_again() -> None:
    firewalld = want(Kind.UNIT, "firewalld", Unit("firewalld", active=False, enabled=False), component="host")
    host = node(units={"firewalld": RUNNING})
    assert words(applied(wanted(firewalld), host)) == ["stop firewalld"]
    assert words(applied(wanted(), host)) == ["start firewalld"]
    assert host.record == {}


def test_what_firewalld_clears_is_made_again_in_the_same_apply() -> None:
    docker = want(Kind.UNIT, "docker", Unit("docker", cleared_by=("firewalld",)), component="docker")
    off = want(Kind.UNIT, "firewalld", Unit("firewalld", active=False, enabled=False), component="host")
    host = node(units={"docker": IDLE, "firewalld": RUNNING})
    applied(wanted(docker), host)
    for whole, verb in ((wanted(docker, off), "stop"), (wanted(docker), "start")):
        plan = applied(whole, host)
        assert words(plan) == [f"{verb} firewalld", "restart docker"]
        assert change(plan, "docker").reason == "firewalld clears its rules of iptables"
        assert change(plan, "firewalld").readers == ("docker",)


def test_a_firewalld_that_only_no_longer_starts_at_a_boot_clears_nothing() -> None:
    docker = want(Kind.UNIT, "docker", Unit("docker", cleared_by=("firewalld",)), component="docker")
    off = want(Kind.UNIT, "firewalld", Unit("firewalld", active=False, enabled=False), component="host")
    host = node(units={"docker": RUNNING, "firewalld": dataclasses.replace(IDLE, enabled=True)})
    assert words(applied(wanted(docker, off), host)) == ["disable firewalld"]


def test_what_has_left_by_other_hands_is_forgotten_and_is_somebody_elses_from_then_on() -> None:
    host = node()
    applied({**NODE, **wanted(want(Kind.FILE, MOTD, File(b"hello")))}, host)
    host.units["kubelet"] = IDLE
    host.packages.clear()
    host.files[MOTD], host.contents[MOTD] = SeenFile(File(b"mine").sha256, 0o644, "root", "root", 1.0), b"mine"
    host.originals[MOTD] = (host.files[MOTD], b"mine")
    plan = applied(wanted(), host)
    assert plan.changes[0].action is Action.ADOPT
    assert plan.changes[0].reason == f"kubelet, {MOTD}, kubelet left by other hands"
    host.packages["kubelet"], host.units["kubelet"] = SeenPackage("1.0", "1", 1.0), RUNNING
    assert not planned(wanted(), {"n1": host})
    assert MOTD in host.files


def without_record(host: FakeHost) -> FakeHost:
    host.record.clear()
    return host


def test_a_host_from_before_there_was_a_record_is_adopted_and_can_be_left() -> None:
    host = node()
    applied(NODE, host)
    record = dict(without_record(host).record)
    plan = planned(NODE, {"n1": host})
    assert words(plan) == ["adopt placed"]
    assert plan.changes[0].reason == "2 files, 1 package, 1 unit placed before they were recorded"
    carried_out(plan, {"n1": host})
    assert not planned(NODE, {"n1": host})
    assert host.record != record
    host.leftovers["kubelet"] = ("/var/lib/kubelet",)
    assert words(applied(wanted(), host)) == [
        "stop kubelet", f"remove {CONFIG}", f"remove {DROP_IN}", "clean up kubelet", "uninstall kubelet",
    ]  # fmt: skip


def test_what_is_adopted_is_not_recorded_once_more_as_somebody_elses() -> None:
    host = node()
    applied(NODE, host)
    without_record(host)
    plan = planned(WITHOUT_DROP_IN, {"n1": host})
    assert words(plan) == ["adopt placed"]
    changed = dataclasses.replace(FILES[1], resource=File(b"[Service]\n"))
    plan = planned({**NODE, changed.ref: changed}, {"n1": host})
    assert words(plan) == ["adopt placed", f"update {DROP_IN}", "daemon-reload kubelet", "restart kubelet"]
    carried_out(plan, {"n1": host})
    assert host.record[Kind.UNIT, "kubelet"].before == ""


HEADER = "# Rendered by k8s-installer from templates/x; change the inventory, not this file.\n"


def rendered(path: str, words: str, *, secret: bool = False) -> DesiredResource:
    return want(Kind.FILE, path, File(f"{HEADER}{words}\n".encode(), secret=secret), component="kubelet")


def test_a_host_without_a_record_is_adopted_by_the_very_run_that_changes_every_file() -> None:
    """Nothing is as wanted any more, and what an earlier version wrote is no original."""
    key = want(Kind.FILE, "/etc/kubernetes/key", File(b"key 1", 0o600, secret=True))
    config, secret = rendered(CONFIG, "1"), rendered("/etc/kubernetes/conf", "1", secret=True)
    unit = dataclasses.replace(UNIT, resource=Unit("kubelet", (), (CONFIG,), ("kubelet",)), after=(config.ref,))
    host = node()
    applied(wanted(PACKAGE, config, secret, key, unit), host)
    without_record(host)
    mine = SeenFile(File(b"mine").sha256, 0o644, "me", "me", 1.0)
    host.files[MOTD], host.contents[MOTD] = mine, b"mine"
    new = wanted(
        dataclasses.replace(PACKAGE, resource=Package("kubelet", "2.0", leaves=LEAVES)),
        rendered(CONFIG, "2"), rendered("/etc/kubernetes/conf", "2", secret=True), rendered(MOTD, "2"),
        dataclasses.replace(key, resource=File(b"key 2", 0o600, secret=True)), unit,
    )  # fmt: skip
    plan = applied(new, host)
    assert plan.changes[0].reason == (
        f"3 files, 1 package, 1 unit placed before they were recorded, and {MOTD} kept as found: "
        "nothing shows who wrote it"
    )
    assert host.originals == {MOTD: (mine, b"mine")}
    assert host.record[Kind.UNIT, "kubelet"].before == ""
    applied(wanted(), host)
    assert host.files == {MOTD: mine}
    assert not host.packages
    assert not host.units["kubelet"].is_active


def test_a_file_with_our_header_that_a_record_lacks_is_no_original() -> None:
    host = node()
    applied(wanted(rendered(CONFIG, "1")), host)
    applied(wanted(rendered(MOTD, "1"), rendered(CONFIG, "1")), host)
    del host.record[Kind.FILE, MOTD]
    plan = applied(wanted(rendered(MOTD, "2"), rendered(CONFIG, "1")), host)
    assert words(plan) == ["adopt placed", f"update {MOTD}"]
    assert host.originals == {}


def test_a_fresh_host_adopts_nothing() -> None:
    host = node(units={"kubelet": RUNNING}, packages={"kubelet": SeenPackage("1.0", "1", 1.0)})
    assert Action.ADOPT not in {found.action for found in planned(NODE, {"n1": host}).changes}


def test_a_file_that_a_record_lacks_is_adopted_and_nothing_else() -> None:
    host = node()
    applied(NODE, host)
    del host.record[Kind.FILE, CONFIG], host.record[Kind.UNIT, "kubelet"]
    plan = applied(NODE, host)
    assert words(plan) == ["adopt placed"]
    assert plan.changes[0].reason == "1 file placed before they were recorded"


def test_a_host_that_was_not_asked_records_nothing() -> None:
    host = node()
    seen = seen_by({"n1": host}, list(NODE.values()))
    assert with_adopted(NODE, seen) == NODE
    plan = make_plan(NODE, seen)
    assert records.recording(plan, NODE, seen) == plan
    assert records.entries(seen, "n1") == ()


def test_a_change_records_what_is_new_and_what_leaves_once_for_a_component() -> None:
    host = node()
    plan = applied(NODE, host)
    assert [(entry.kind, entry.name) for found in plan.changes for entry in found.records] == [
        (Kind.PACKAGE, "kubelet"), (Kind.LEFTOVERS, "kubelet"), (Kind.FILE, CONFIG), (Kind.FILE, DROP_IN),
        (Kind.UNIT, "kubelet"),
    ]  # fmt: skip
    config = change(plan, CONFIG).records[0]
    assert (config.units, config.sha256, config.group, config.component) == (
        ("kubelet",), File(b"config\n").sha256, "nodes", "kubelet",
    )  # fmt: skip
    changed = dataclasses.replace(FILES[0], resource=File(b"other\n", secret=True))
    plan = applied({**NODE, changed.ref: changed}, host)
    assert [(entry.name, entry.sha256, entry.secret) for found in plan.changes for entry in found.records] == [
        (CONFIG, File(b"other\n").sha256, True)
    ]
    touched = dataclasses.replace(FILES[0], resource=File(b"other\n", 0o600))
    assert change(applied({**NODE, touched.ref: touched}, host), CONFIG).records == ()


def test_of_a_setting_the_first_value_is_remembered() -> None:
    host = node(settings={"selinux": "enforcing"})
    for value in ("permissive", "disabled now, permissive at boot"):
        applied(wanted(want(Kind.SETTING, "selinux", Setting(value), component="host")), host)
    assert host.record[Kind.SETTING, "selinux"].before == "enforcing"
    applied(wanted(), host)
    assert host.settings == {"selinux": "enforcing"}


def test_applied_objects_and_loaded_images_are_no_part_of_a_hosts_record() -> None:
    host = node(settings={"addons": "", "addon dns": "none", "image a:1": "sha256:1"})
    applied(
        wanted(
            want(Kind.SETTING, "addon dns", Setting("1" * 64)), want(Kind.SETTING, "image a:1", Setting("sha256:2"))
        ),
        host,
    )
    assert host.record == {}


def test_a_group_that_this_version_does_not_have_takes_no_turns() -> None:
    host = node()
    applied(NODE, host)
    host.record = {key: dataclasses.replace(entry, group="ones") for key, entry in host.record.items()}
    assert change(applied(WITHOUT_DROP_IN, host), DROP_IN).turn == Turn("", "n1")
    applied(wanted(), host)


def test_a_secret_that_leaves_is_one_to_the_end() -> None:
    host = node()
    key = want(Kind.FILE, "/etc/kubernetes/key", File(b"key", 0o600, secret=True))
    applied(wanted(key), host)
    plan = applied(wanted(), host)
    before = plan.changes[0].before
    assert plan.changes[0].after == Original(secret=True)
    assert isinstance(before, SeenFile)
    assert before.content is None


# Hosts, and edits of what is wanted of them ---------------------------------------------------------------------------

NAMES = ("docker", "kubelet")
SOURCES = st.fixed_dictionaries(
    {
        "source": st.sampled_from(["package", "tarball"]),
        "config": st.sampled_from([b"", b"one\n", b"two\n", b"packaged\n"]),
        "drop_in": st.sampled_from([b"", b"[Service]\nNice=1\n"]),
        "user": st.booleans(),
    }
)
WANTED = st.fixed_dictionaries({name: st.none() | SOURCES for name in NAMES})
BEFORE = st.fixed_dictionaries(
    {name: st.sampled_from(["nothing", "config", "installed", "enabled", "active", "runs"]) for name in NAMES}
)


def component(name: str, how: Mapping[str, object]) -> Desired:
    config, drop_in = f"/etc/{name}/config", f"/etc/systemd/system/{name}.service.d/10-ours.conf"
    items: list[DesiredResource] = []
    if how["user"]:
        items.append(want(Kind.SETTING, f"user {name}", Setting("system"), component=name))
    runs: tuple[str, ...] = ()
    reads, defines = [], []
    if how["source"] == "package":
        items.append(want(Kind.PACKAGE, name, Package(name), component=name))
        runs = (name,)
    else:
        defines.append(want(Kind.FILE, f"/etc/systemd/system/{name}.service", File(b"[Service]\n"), component=name))
        reads.append(want(Kind.FILE, f"/usr/local/bin/{name}", File(b"program", 0o755), component=name))
    before = tuple(item.ref for item in items)
    if isinstance(how["config"], bytes) and how["config"]:
        reads.append(want(Kind.FILE, config, File(how["config"]), *before, component=name))
    if isinstance(how["drop_in"], bytes) and how["drop_in"]:
        defines.append(want(Kind.FILE, drop_in, File(how["drop_in"]), *before, component=name))
    unit = Unit(name, tuple(item.ref.name for item in defines), tuple(item.ref.name for item in reads), runs)
    items += [*defines, *reads]
    return wanted(*items, want(Kind.UNIT, name, unit, *(item.ref for item in items), component=name))


def whole(choice: Mapping[str, Mapping[str, object] | None]) -> Desired:
    return {ref: item for name, how in choice.items() if how for ref, item in component(name, how).items()}


def fresh(before: Mapping[str, str]) -> FakeHost:
    host = FakeHost(
        "n1",
        brings={name: [name] for name in NAMES},
        carries={name: {f"/etc/{name}/config": b"packaged\n"} for name in NAMES},
    )
    for name, had in before.items():
        content = {"nothing": b"", "config": b"mine\n"}.get(had, b"packaged\n")
        if content:
            path = f"/etc/{name}/config"
            host.files[path], host.contents[path] = SeenFile(File(content).sha256, 0o640, "me", "me", 5.0), content
        if had not in ("nothing", "config"):
            host.packages[name] = SeenPackage("1.0", "1.el7", 5.0)
            host.units[name] = IDLE
        if had in ("active", "runs"):
            host.units[name] = dataclasses.replace(RUNNING, enabled=had == "runs")
        elif had == "enabled":
            host.units[name] = dataclasses.replace(IDLE, enabled=True)
    return host


def state(host: FakeHost) -> dict[str, object]:
    """All of a host that somebody could miss, or find too much."""
    return {
        "files": {path: (host.contents[path], file.mode, file.owner) for path, file in host.files.items()},
        "packages": set(host.packages),
        "units": {
            name: (unit.active, unit.enabled) for name, unit in host.units.items() if unit.is_active or unit.enabled
        },
        "users": {name for name, value in host.settings.items() if value != "absent"},
    }


@settings(deadline=None, max_examples=300)
@given(BEFORE, WANTED, WANTED)
def test_an_edit_leaves_what_the_new_inventory_wants_and_what_was_there_before_any(
    before: Mapping[str, str],
    old: Mapping[str, Mapping[str, object] | None],
    new: Mapping[str, Mapping[str, object] | None],
) -> None:
    # a file that is as wanted before anything was placed is taken for ours: nothing tells the two apart
    assume(
        all(
            had in ("nothing", "config") or b"packaged\n" not in (old[name] or {}).values()
            for name, had in before.items()
        )
    )
    assume(
        all(
            had in ("nothing", "config") or b"packaged\n" not in (new[name] or {}).values()
            for name, had in before.items()
        )
    )
    host, straight, untouched = fresh(before), fresh(before), fresh(before)
    applied(whole(old), host)
    applied(whole(new), host)
    applied(whole(new), straight)
    assert {**state(host), "users": set()} == {**state(straight), "users": set()}  # users stay with their components
    applied(wanted(), host)
    assert state(host) == state(untouched)
    assert host.record == {}
    assert host.originals == {}


@settings(deadline=None, max_examples=200)
@given(BEFORE, WANTED, WANTED, st.integers(0, 30), st.sampled_from(["fails", "is cut off"]))
def test_a_run_that_breaks_off_is_resumed_by_the_next_one(
    before: Mapping[str, str],
    old: Mapping[str, Mapping[str, object] | None],
    new: Mapping[str, Mapping[str, object] | None],
    where: int,
    how: str,
) -> None:
    assume(not any(one and one["config"] == b"packaged\n" for one in (*old.values(), *new.values())))
    host, untouched = fresh(before), fresh(before)
    applied(whole(old), host)
    plan = planned(whole(new), {"n1": host})
    name = plan.changes[where % len(plan.changes)].ref.name if plan else ""
    host.cut_at, host.refuses = ("", {name: "no"}) if how == "fails" else (name, {})
    apply(plan, {"n1": host}, lambda event: None, threading.Event())
    host.cut_at, host.refuses = "", {}
    applied(whole(new), host)
    applied(wanted(), host)
    assert state(host) == state(untouched)
    assert host.record == {}


# The way back ---------------------------------------------------------------------------------------------------------


def test_what_a_run_removed_returns_by_a_rollback() -> None:
    host = node()
    applied(NODE, host)
    was = dict(host.files)
    plan = applied(wanted(), host)
    kept = {path: Backup(file.sha256, file.mode, file.owner, file.group) for path, file in was.items()}
    past: list[PastItem] = [
        PastUnit(UNIT.ref, active=True, enabled=True, component="kubelet"),
        PastPackage(PACKAGE.ref, "1.0-1.el7", "kubelet"),
        *(PastFile(item.ref, kept[item.ref.name], "kubelet", left=True) for item in FILES),
    ]
    motd = want(Kind.FILE, MOTD, File(b"hello"), component="host")
    back = rollback.before(wanted(motd), past)
    assert motd.ref not in back
    assert {item.turn for item in back.values()} == {motd.turn}
    plan = make_plan(back, host.observe(list(back.values())))
    assert [found.action for found in plan.changes] == [
        Action.INSTALL, Action.RESTORE, Action.RESTORE, Action.RELOAD, Action.START,
    ]  # fmt: skip
    carried_out(plan, {"n1": host})
    assert {path: file.sha256 for path, file in host.files.items()} == {path: file.sha256 for path, file in was.items()}
    assert host.units["kubelet"].is_active


def undone(plan: Plan, folder: Path, whole: Desired = {}) -> Desired:  # noqa: B006 - nobody changes it
    """What there was before a run that has done all of this plan, as its journal has it."""
    with journal.start(folder, {}, run="1") as book:
        for index, step in enumerate(plan.changes):
            book.event(Event(index, State.RUNNING, 0.0), step)
            book.event(Event(index, State.DONE, 0.0), step)
    return rollback.before(whole, history.before(list(journal.past(folder))))


def test_a_rollback_gives_the_record_all_its_lines_again(tmp_path: Path) -> None:
    """So what has returned is removed by a later edit as if it had never left."""
    swap = want(Kind.SETTING, "swap", Setting("off"))
    user = want(Kind.SETTING, "user kube", Setting("system"))
    key = want(Kind.FILE, "/etc/kubernetes/key", File(b"key", 0o600, "kube", "kube", secret=True), user.ref)
    package = dataclasses.replace(PACKAGE, resource=Package("kubelet", leaves=dataclasses.replace(LEAVES, data=())))
    whole = {**NODE, **wanted(swap, user, key, package)}
    host = node(settings={"swap": "on"})
    untouched = state(host)
    applied(whole, host)
    host.leftovers["kubelet"] = ("/var/lib/kubelet",)
    record, was = dict(host.record), state(host)
    plan = applied(wanted(), host)
    assert {"clean up kubelet", "set swap", "set user kube"} <= set(words(plan))
    assert (Kind.SETTING, "swap") not in host.record
    back = undone(plan, tmp_path)
    seen = seen_by({"n1": host}, [*back.values(), records.question("n1")])
    carried_out(records.recording(make_plan(back, seen), back, seen), {"n1": host})
    assert (host.record, state(host)) == (record, was)
    assert host.settings["swap"] == "off"
    host.leftovers["kubelet"] = ("/var/lib/kubelet",)
    assert "clean up kubelet" in words(applied(wanted(), host))
    assert (host.settings["swap"], state(host), host.record) == ("on", untouched, {})


def test_only_hosts_that_keep_something_are_rolled_back(tmp_path: Path) -> None:
    fleet = {name: node(name) for name in ("n1", "n2")}
    files = [want(Kind.FILE, CONFIG, File(b"config"), host=name) for name in fleet]
    applied(wanted(*files), *fleet.values())
    plan = applied(wanted(), *fleet.values())
    back = undone(plan, tmp_path)
    lost = SeenFile("", 0, "", "", 0.0, obstacle=NOT_KEPT)
    assert rollback.swept(back, {files[0].ref: lost}) == {"n1"}
    assert rollback.swept(back, {files[0].ref: lost, **recorded("n1", Kind.LEFTOVERS)}) == {"n1"}
    assert rollback.swept(back, {files[0].ref: lost, **recorded("n1", Kind.UNIT)}) == frozenset()
    assert list(rollback.without(back, {"n1"})) == [files[1].ref]
    assert rollback.without({**back, **wanted(dataclasses.replace(UNIT, after=()))}, {"n1", "n2"}) == {}


def recorded(host: str, kind: Kind) -> dict[Ref, Seen]:
    return {records.question(host).ref: SeenRecord((Placed(kind, "kubelet", "kubelet", leaves=LEAVES),))}


@pytest.mark.parametrize("again", [True, False])
def test_what_had_nothing_left_is_swept_when_it_has_returned_and_leaves_again(tmp_path: Path, *, again: bool) -> None:
    """Also if the inventory wants it again before the rollback."""
    host = node()
    tools = dataclasses.replace(UNIT, resource=Unit("kubelet", leaves=dataclasses.replace(LEAVES, data=())), after=())
    host.units["kubelet"] = IDLE
    applied(wanted(tools), host)
    plan = applied(wanted(), host)
    assert "clean up kubelet" not in words(plan)
    back = undone(plan, tmp_path, wanted(tools) if again else {})
    seen = seen_by({"n1": host}, [*back.values(), records.question("n1")])
    carried_out(records.recording(make_plan(back, seen), back, seen), {"n1": host})
    host.leftovers["kubelet"] = ("/var/lib/kubelet",)
    assert words(applied(wanted(), host)) == ["stop kubelet", "clean up kubelet"]


def test_a_turn_that_fails_records_the_settings_and_leftovers_that_it_brings_back() -> None:
    turn = Turn("nodes", "n1")
    old, file, unit, left = (
        Placed(Kind.SETTING, "swap", "kubelet", before="on"), Placed(Kind.FILE, MOTD, "kubelet", sha256="1" * 64),
        Placed(Kind.UNIT, "proxy", "proxy", before="enabled"), Placed(Kind.LEFTOVERS, "proxy", "proxy", leaves=LEAVES),
    )  # fmt: skip
    stopped = Unit("proxy", active=False, enabled=False)
    there = SeenFile("1" * 64, 0o644, "root", "root", 1.0)
    changes = (
        Change(Ref("n1", Kind.UNIT, "proxy"), Action.STOP, "proxy", RUNNING, stopped, "", turn, forgets=(unit,)),
        Change(Ref("n1", Kind.LEFTOVERS, "proxy"), Action.CLEAN, "proxy", Missing.ABSENT, NoLeftovers(LEAVES), "", turn, forgets=(left,)),
        Change(Ref("n1", Kind.SETTING, "swap"), Action.SET, "kubelet", SeenSetting("off"), Setting("on"), "", turn, forgets=(old,)),
        Change(Ref("n1", Kind.FILE, MOTD), Action.REMOVE, "kubelet", there, Original(), "", turn, forgets=(file,)),
        Change(UNIT.ref, Action.RESTART, "kubelet", RUNNING, UNIT.resource, "", turn),
    )  # fmt: skip
    states = [(index, State.DONE) for index in range(4)] + [(4, State.FAILED)]
    events = tuple(Event(index, each, 0.0) for index, end in states for each in (State.RUNNING, end))
    back = undo(Plan(changes, ((),) * 5), Run(events, interrupted=False), turn)
    assert {step.ref.name: step.records for step in back.changes if step.records} == {
        "swap": (old,), MOTD: (file,), "proxy": (unit, left),
    }  # fmt: skip
    restored = change(back, MOTD).after
    assert isinstance(restored, Backup)
    assert not restored.secret


def test_a_turn_that_fails_starts_again_what_it_had_stopped_and_records_it() -> None:
    host = node(units={"proxy": IDLE})
    proxy = want(Kind.UNIT, "proxy", Unit("proxy"), component="kube-proxy")
    applied({**NODE, **wanted(proxy)}, host)
    record = host.record[Kind.UNIT, "proxy"]
    fleet = {"n1": host}
    plan = planned(WITHOUT_DROP_IN, fleet)
    assert words(plan) == ["stop proxy", f"remove {DROP_IN}", "daemon-reload kubelet", "restart kubelet"]
    host.refuses = {"kubelet": "no"}
    run = apply(plan, fleet, lambda event: None, threading.Event())
    host.refuses = {}
    assert (Kind.UNIT, "proxy") not in host.record
    (turn,) = failed_turns(plan, run)
    undone = undo(plan, run, turn)
    carried_out(undone, fleet)
    assert DROP_IN in host.files
    assert host.units["proxy"].is_active
    assert host.record[Kind.UNIT, "proxy"] == record
    assert words(applied(WITHOUT_DROP_IN, host))[0] == "stop proxy"


def test_a_turn_that_fails_has_our_file_again_and_still_the_one_from_before_us() -> None:
    host = node()
    content = b"[Service]\nNice=3\n"
    host.files[DROP_IN], host.contents[DROP_IN] = SeenFile(File(content).sha256, 0o644, "me", "me", 1.0), content
    applied(NODE, host)
    fleet = {"n1": host}
    plan = planned(WITHOUT_DROP_IN, fleet)
    assert words(plan)[0] == f"restore {DROP_IN}"
    host.refuses = {"kubelet": "no"}
    run = apply(plan, fleet, lambda event: None, threading.Event())
    host.refuses = {}
    (turn,) = failed_turns(plan, run)
    carried_out(undo(plan, run, turn), fleet)
    assert host.contents[DROP_IN] == b"[Service]\nLimitNOFILE=9\n"
    applied(WITHOUT_DROP_IN, host)
    assert (host.contents[DROP_IN], host.files[DROP_IN].owner) == (content, "me")


def test_what_a_file_made_goes_with_it_when_its_run_is_undone() -> None:
    """Its rules would stay, and the next plan would find a line about them."""
    host = node()
    applied(WITHOUT_DROP_IN, host)
    left = Leaves(DROP_IN, rules=("-A POSTROUTING -j MASQUERADE",))
    file = dataclasses.replace(FILES[1], resource=File(b"[Service]\nLimitNOFILE=9\n", leaves=left))
    edited = wanted(PACKAGE, FILES[0], file, UNIT)
    applied(edited, host)
    host.leftovers[DROP_IN] = ("rules of iptables",)
    asked = [records.question("n1")]
    back = rollback.before(edited, [PastFile(file.ref, None, "kubelet")])
    back = rollback.with_leftovers(back, seen_by({"n1": host}, asked))
    seen = seen_by({"n1": host}, [*asked, *back.values()])
    plan = records.recording(make_plan(back, seen), back, seen)
    assert words(plan) == [
        f"remove {DROP_IN}", "daemon-reload kubelet", "restart kubelet", f"clean up {DROP_IN}",
    ]  # fmt: skip
    carried_out(plan, {"n1": host})
    assert not planned(WITHOUT_DROP_IN, {"n1": host})


def test_a_drop_in_returns_although_nobody_has_its_unit() -> None:
    file = Ref("n1", Kind.FILE, "/etc/systemd/system/other.service.d/1.conf")
    kept = Backup("1" * 64, 0o644, "root", "root")
    cleaned = PastLeftovers(Ref("n1", Kind.LEFTOVERS, "kubelet"), Placed(Kind.LEFTOVERS, "kubelet", "kubelet"))
    back = rollback.before({}, [PastFile(file, kept, "kubelet", left=True), cleaned])
    assert [item.resource for item in back.values()] == [kept]


def test_a_saved_plan_says_what_leaves_and_what_is_adopted() -> None:
    host = node()
    applied(NODE, host)
    host.leftovers["kubelet"] = ("/var/lib/kubelet",)
    lines = planfile.saved("lab", {}, planned(wanted(), {"n1": host})).lines
    assert "n1 stop unit kubelet: active enabled -> wanted" in lines
    assert "n1 clean up leftovers kubelet: /var/lib/kubelet -> absent" in lines
    assert "n1 uninstall package kubelet: 1.0 -> absent" in lines
    host.record.clear()
    (line,) = planfile.saved("lab", {}, planned(NODE, {"n1": host})).lines
    assert line == "n1 adopt record placed: absent -> 5 entries"


def test_what_a_wanted_component_leaves_as_well_is_no_leftover() -> None:
    """Another component takes the place of the kubelet's, with the same folder, rules, links, routes and units."""
    shared = Leaves(
        "kubelet", ("/var/lib/kubelet", "/var/lib/old"), (), ("cni0",), ("KUBE-",), ("75",), ("pods.slice",)
    )
    old = want(Kind.UNIT, "kubelet", Unit("kubelet", leaves=shared))
    host = node(units={"kubelet": IDLE, "other": IDLE}, leftovers={"kubelet": ("/var/lib/old",)})
    applied(wanted(old), host)
    kept = dataclasses.replace(shared, name="other", folders=("/var/lib/kubelet",))
    new = want(Kind.UNIT, "other", Unit("other", leaves=kept), component="other")
    plan = planned(wanted(new), {"n1": host})
    assert change(plan, "kubelet") is not None
    cleans = [step.after for step in plan.changes if step.action is Action.CLEAN]
    assert cleans == [NoLeftovers(Leaves("kubelet", ("/var/lib/old",)))]


def test_what_ran_before_has_its_own_rules_and_folders() -> None:
    unit = want(Kind.UNIT, "kubelet", Unit("kubelet", (DROP_IN,), leaves=LEAVES), FILES[1].ref)
    drop_in = dataclasses.replace(FILES[1], after=())
    host = node(units={"kubelet": RUNNING})
    plan = applied(wanted(drop_in, unit), host)
    assert {entry.kind for step in plan.changes for entry in step.records} == {Kind.FILE, Kind.UNIT}


def test_an_install_that_failed_records_once_more_what_comes_along() -> None:
    host = node()
    (first,) = planned(wanted(PACKAGE), {"n1": host}).changes
    host.record = {(entry.kind, entry.name): entry for entry in first.records}
    (again,) = planned(wanted(PACKAGE), {"n1": host}).changes
    assert again.records == first.records[:1]  # the folders are claimed already


def test_a_node_is_deleted_where_it_is_there_or_nobody_can_say() -> None:
    assert families.differs("node n1", "present", "absent") == "its host is no node any more"
    assert families.differs("node n1", "unanswered", "absent") == "the API server does not answer for it"


@pytest.mark.parametrize("master", [True, False])
def test_a_manifest_leaves_with_its_objects_or_with_its_host(*, master: bool) -> None:
    path = "/etc/kubernetes/addons/10-site.yaml"
    host = node(settings={"addons": "10-site.yaml"})
    applied(wanted(want(Kind.FILE, path, File(b"kind: List\n"), component="addons")), host)
    names = want(Kind.SETTING, "addons", Setting("10-site.yaml"), component="addons")
    plan = planned(wanted(names) if master else {}, {"n1": host})
    assert [step.ref.name for step in plan.changes] == ([] if master else [path])


OLD = Placed(
    Kind.LEFTOVERS, "docker", "docker", "nodes", cluster="lab",
    leaves=Leaves("docker", ("/var/lib/docker", "/etc/docker/key.json"), links=("docker0",), rules=("DOCKER", "docker0")),
)  # fmt: skip
NOW = Leaves(
    "docker",
    ("/var/lib/docker", "/var/run/docker", "/var/lib/docker/volumes", "/srv/volumes"),
    ("/var/lib/docker/volumes", "/srv/volumes"),
    ("docker0",),
    ("DOCKER",),
    ("-A FORWARD -o docker0 -j ACCEPT", "-A FORWARD -i docker0 -j ACCEPT"),
    units=("docker.slice",),
)


def brought_up_to_date(*record: Placed, now: Leaves | None = NOW) -> tuple[Placed, ...]:
    seen: Mapping[Ref, Seen] = {records.question("n1").ref: SeenRecord(record), UNIT.ref: RUNNING}
    found = records.brought_up_to_date(seen, lambda host, name: now if (host, name) == ("n1", "docker") else None)
    assert found[UNIT.ref] == RUNNING
    return records.entries(found, "n1")


def test_a_line_of_an_earlier_version_is_joined_with_what_is_known_now_and_claims_no_more() -> None:
    file = Placed(Kind.FILE, CONFIG, "docker")
    same, new = brought_up_to_date(file, OLD)
    assert same == file
    assert new == dataclasses.replace(
        OLD,
        leaves=dataclasses.replace(
            NOW,
            folders=("/var/lib/docker", "/etc/docker/key.json", "/var/lib/docker/volumes"),
            rules=("DOCKER", "docker0", *NOW.rules),
        ),
    )
    assert new.joined
    assert brought_up_to_date(OLD, now=None) == (OLD,)


def test_rules_that_were_there_before_stay_somebody_elses() -> None:
    """A line of this form leaves out those that it could not claim."""
    for rules in ((), NOW.rules[:1]):
        (new,) = brought_up_to_date(dataclasses.replace(OLD, leaves=dataclasses.replace(NOW, rules=rules)))
        assert new.leaves is not None
        assert new.leaves.rules == rules
        assert not new.joined


def test_volumes_stay_although_an_earlier_version_recorded_no_data() -> None:
    seen: dict[Ref, Seen] = {records.question("n1").ref: SeenRecord(brought_up_to_date(OLD))}
    for data in (False, True):
        going = with_leaving({}, {}, seen, ["n1"], None, data=data)
        (left,) = (item.resource.leaves for item in going.values() if isinstance(item.resource, NoLeftovers))
        assert ("/var/lib/docker/volumes" in left.folders) is data
        assert "/var/lib/docker/volumes" in left.data


def test_the_next_change_of_a_component_writes_the_joined_line_and_claims_nothing() -> None:
    docker = want(Kind.PACKAGE, "docker", Package("docker", leaves=NOW), component="docker")
    unit = want(Kind.UNIT, "docker", Unit("docker", leaves=NOW), docker.ref, component="docker")
    desired = wanted(docker, unit)
    seen: dict[Ref, Seen] = {
        records.question("n1").ref: SeenRecord(brought_up_to_date(OLD)),
        docker.ref: SeenPackage("1", "1", 1.0),
        unit.ref: dataclasses.replace(RUNNING, enabled=False),
    }
    plan = records.recording(make_plan(desired, seen), desired, seen, "lab")
    written = [entry for change in plan.changes for entry in change.records if entry.kind is Kind.LEFTOVERS]
    assert written == list(brought_up_to_date(OLD))
    assert record.noted(written) == record.adopted(written, ())
    assert record.parse(map(record.line, written)) == tuple(written)
