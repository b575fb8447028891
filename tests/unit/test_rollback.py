from __future__ import annotations

import dataclasses
import io
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from k8s_installer.engine.scheduler import apply
from k8s_installer.host.paths import unit_of
from k8s_installer.model.desired import Desired, DesiredResource, Place, Turn
from k8s_installer.model.plan import Action, Change, Plan
from k8s_installer.model.resources import Absent, Backup, Check, File, Gate, Kind, Package, Ref, Unit
from k8s_installer.model.run import Run, State
from k8s_installer.planning.etcd.members import require_members
from k8s_installer.planning.planfile import saved
from k8s_installer.planning.rollback import PastFile, PastSetting, PastUnit, before
from k8s_installer.planning.undo import failed_turns, undo
from k8s_installer.profiles import profile_of
from k8s_installer.report import ending
from tests.fakes import FakeHost
from tests.unit.clusters import cluster
from tests.unit.example import CONFIG, DROP_IN, KEY, desired, hosts
from tests.unit.test_desired import desired as wanted_by
from tests.unit.test_desired import order
from tests.unit.test_plan import converged, planned, with_setting, words

NEW = File(b"KUBE_LOG_LEVEL=broken\n")


def carried_out(plan: Plan, fleet: Mapping[str, FakeHost]) -> Run:
    return apply(plan, fleet, lambda event: None, threading.Event())


def failing(fleet: dict[str, FakeHost], **changed: File) -> tuple[Plan, Run]:
    """Carry out an edit whose kube-apiserver does not come up."""
    fleet["m1"].refuses["kube-apiserver"] = "unknown flag"
    plan = planned(desired(**changed), fleet)
    return plan, carried_out(plan, fleet)


def test_a_failed_turn_gets_its_old_bytes_and_restarts_and_all_is_as_it_was() -> None:
    fleet = converged()
    contents = dict(fleet["m1"].contents)
    plan, run = failing(fleet, config=NEW)
    (turn,) = failed_turns(plan, run)
    back = undo(plan, run, turn)
    assert words(back) == [f"m1 restore {CONFIG}", "m1 restart kube-apiserver", "m1 wait kube-apiserver is ready"]
    assert back.after == ((), (0,), (1,))
    del fleet["m1"].refuses["kube-apiserver"]
    assert not carried_out(back, fleet).failures
    assert fleet["m1"].contents == contents
    assert not planned(desired(), fleet)


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/etc/systemd/system/docker.service", "docker"), ("/etc/systemd/system/docker.service.d/10-x.conf", "docker"),
        ("/usr/lib/systemd/system/a.timer", "a.timer"), ("/etc/sysconfig/docker", ""),
        ("/etc/systemd/system/multi-user.target.wants/docker.service", ""),
    ],
)  # fmt: skip
def test_a_unit_file_and_a_drop_in_define_a_unit(path: str, unit: str) -> None:
    assert unit_of(path) == unit


def test_a_made_file_is_removed_and_a_definition_is_loaded_again() -> None:
    fleet = converged()
    del fleet["n1"].files[DROP_IN], fleet["n1"].contents[DROP_IN]
    fleet["n1"].refuses["kubelet"] = "bad unit file"
    plan = planned(desired(drop_in=File(b"[Service]\nNice=99\n")), fleet)
    run = carried_out(plan, fleet)
    (turn,) = failed_turns(plan, run)
    back = undo(plan, run, turn)
    assert words(back) == [f"n1 remove {DROP_IN}", "n1 daemon-reload kubelet"]  # it was never restarted
    del fleet["n1"].refuses["kubelet"]
    assert not carried_out(back, fleet).failures
    assert DROP_IN not in fleet["n1"].files


def test_a_removed_file_comes_back() -> None:
    fleet = converged()
    contents = dict(fleet["n1"].contents)
    fleet["n1"].refuses["kubelet"] = "it needs its drop-in"
    plan = planned(desired(drop_in=Absent()), fleet)
    run = carried_out(plan, fleet)
    back = undo(plan, run, failed_turns(plan, run)[0])
    assert words(back)[:2] == [f"n1 restore {DROP_IN}", "n1 daemon-reload kubelet"]
    del fleet["n1"].refuses["kubelet"]
    assert not carried_out(back, fleet).failures
    assert fleet["n1"].contents == contents


def test_gates_of_what_was_not_restarted_are_not_awaited() -> None:
    fleet = converged()
    plan, run = failing(fleet, config=NEW, drop_in=File(b"[Service]\nNice=1\n"))
    assert "m1 wait node n1 is ready" in words(plan)
    assert "m1 wait node n1 is ready" not in words(undo(plan, run, failed_turns(plan, run)[0]))


def test_attributes_go_back_too() -> None:
    fleet = converged()
    plan, run = failing(fleet, config=NEW, key=File(b"key\n", 0o640, "kube", "kube", secret=True))
    back = undo(plan, run, failed_turns(plan, run)[0])
    assert words(back)[1] == "m1 attributes /etc/kubernetes/pki/apiserver.key"
    del fleet["m1"].refuses["kube-apiserver"]
    carried_out(back, fleet)
    assert fleet["m1"].files["/etc/kubernetes/pki/apiserver.key"].mode == 0o600


def test_a_first_start_that_fails_keeps_its_files_as_evidence() -> None:
    fleet = hosts()
    plan, run = failing(fleet)
    assert not undo(plan, run, failed_turns(plan, run)[0])


def test_a_file_that_cannot_be_written_is_nothing_to_roll_back() -> None:
    fleet = converged()
    fleet["m1"].refuses[CONFIG] = "No space left on device"
    plan = planned(desired(config=NEW), fleet)
    run = carried_out(plan, fleet)
    assert failed_turns(plan, run) == ()


def past(fleet: dict[str, FakeHost]) -> list[PastFile]:
    """What a run that edits the configuration and makes a file leaves to go back to."""
    old = fleet["m1"].files[CONFIG]
    kept = Backup(old.sha256, old.mode, old.owner, old.group)
    stranger = PastFile(Ref("m1", Kind.FILE, "/etc/no-longer-wanted"), None)
    return [PastFile(Ref("m1", Kind.FILE, CONFIG), kept), PastFile(Ref("n1", Kind.FILE, DROP_IN), None), stranger]


def test_a_whole_run_is_undone_by_a_plan_like_any_other() -> None:
    fleet = converged()
    del fleet["n1"].files[DROP_IN], fleet["n1"].contents[DROP_IN]
    files = past(fleet)
    edit = desired(config=File(b"KUBE_LOG_LEVEL=4\n"))
    assert not carried_out(planned(edit, fleet), fleet).failures
    back = planned(before(desired(), files), fleet)
    assert [word for word in words(back) if "wait" not in word] == [
        f"m1 restore {CONFIG}", "m1 restart kube-apiserver",
        f"n1 remove {DROP_IN}", "n1 daemon-reload kubelet", "n1 restart kubelet",
    ]  # fmt: skip
    assert any("restore file" in line and "-> " in line for line in saved("lab", desired(), back).lines)
    assert not carried_out(back, fleet).failures
    assert not planned(before(desired(), files), fleet)
    assert fleet["m1"].contents[CONFIG] == b"KUBE_LOG_LEVEL=0\n"


def test_a_run_that_changed_a_comment_is_undone_without_a_restart() -> None:
    fleet = converged()
    old, files = fleet["m1"].contents[CONFIG], past(fleet)[:1]
    edit = desired(config=File(b"# why\n" + old))
    assert not carried_out(planned(edit, fleet), fleet).failures
    written = fleet["m1"].files[CONFIG].modified_at
    back = planned(before(edit, files), fleet)
    assert words(back) == [f"m1 rewrite {CONFIG}"]
    assert not carried_out(back, fleet).failures
    assert (fleet["m1"].contents[CONFIG], fleet["m1"].files[CONFIG].modified_at) == (old, written)
    assert not planned(desired(), fleet)


def test_a_kept_file_that_is_gone_by_now_comes_back() -> None:
    fleet = converged()
    files = past(fleet)[:1]
    gone = fleet["m1"].files.pop(CONFIG)
    fleet["m1"].kept[gone.sha256] = fleet["m1"].contents.pop(CONFIG)
    back = planned(before(desired(), files), fleet)
    assert back.changes[0].reason == "missing"
    assert words(back)[0] == f"m1 restore {CONFIG}"


def test_a_unit_without_a_gate_is_restarted_and_nothing_is_awaited() -> None:
    fleet = converged()
    plan, run = failing(fleet, config=NEW)
    bare = Plan(plan.changes[:2], plan.after[:2])
    assert words(undo(bare, run, failed_turns(plan, run)[0])) == [f"m1 restore {CONFIG}", "m1 restart kube-apiserver"]


def test_settings_of_a_failed_turn_get_their_old_values_and_users_stay() -> None:
    fleet = converged()
    fleet["m1"].settings["selinux"] = "enforcing now, permissive at boot"
    fleet["m1"].refuses["kube-apiserver"] = "unknown flag"
    plan = planned({**with_setting("user kube", "system"), **with_setting("selinux", "permissive", config=NEW)}, fleet)
    run = carried_out(plan, fleet)
    back = undo(plan, run, failed_turns(plan, run)[0])
    assert words(back)[:3] == [f"m1 restore {CONFIG}", "m1 set selinux", "m1 restart kube-apiserver"]
    assert any(
        "permissive -> enforcing now, permissive at boot" in line for line in saved("lab", desired(), back).lines
    )
    del fleet["m1"].refuses["kube-apiserver"]
    assert not carried_out(back, fleet).failures
    assert fleet["m1"].settings == {"selinux": "enforcing now, permissive at boot", "user kube": "system"}


def test_a_setting_of_a_past_run_is_wanted_as_it_was() -> None:
    fleet, wanted = converged(), with_setting("swap", "off")
    fleet["m1"].settings["swap"] = "off"
    ref = Ref("m1", Kind.SETTING, "swap")
    back = planned(before(wanted, [PastSetting(ref, "on")]), fleet)
    assert words(back) == ["m1 set swap"]
    assert not carried_out(back, fleet).failures
    assert fleet["m1"].settings == {"swap": "on"}


def test_a_way_back_that_breaks_off_before_the_restart_is_seen_by_the_next_plan() -> None:
    """The service restarts with the new bytes and its gate fails: the old ones are back, and it still runs with those."""
    fleet, old, new = services()
    m1 = fleet["m1"]
    m1.unhealthy.add("api")
    plan = planned(new, fleet)
    run = carried_out(plan, fleet)
    m1.unhealthy.clear()
    back = undo(plan, run, failed_turns(plan, run)[0])
    m1.cut_at = "api"
    assert carried_out(back, fleet).failures
    m1.cut_at = ""
    assert m1.contents[CONFIG] == b"old"
    assert m1.files[CONFIG].modified_at < m1.units["api"].started_at  # its time does not tell
    left = planned(old, fleet)
    assert words(left) == ["m1 restart api", "m1 wait api"]  # manager has never read the new bytes
    assert not carried_out(left, fleet).failures
    assert not planned(old, fleet)


def test_what_never_restarted_is_in_line_when_its_file_is_back() -> None:
    fleet = converged()
    fleet["m1"].refuses[KEY] = "No space left on device"  # so that the restart never begins
    fleet["m1"].unhealthy.add("kubelet")
    plan = planned(desired(config=NEW, key=File(b"new", 0o600, "kube", "kube", secret=True)), fleet)
    run = carried_out(plan, fleet)
    first = Plan(plan.changes, plan.after)
    back = undo(first, dataclasses.replace(run, events=run.events), plan.changes[0].turn)
    assert words(back) == [f"m1 restore {CONFIG}"]
    assert not carried_out(back, fleet).failures
    assert not planned(desired(), fleet)


def services() -> tuple[dict[str, FakeHost], Desired, Desired]:
    """Two services that read one file, and their gates, one after the other; as it is, and edited."""
    turn = Turn("masters", "m1")

    def of(content: bytes) -> Desired:
        package = DesiredResource(Ref("m1", Kind.PACKAGE, "p"), Package("p"), "k", (), "an example", turn)
        file = DesiredResource(Ref("m1", Kind.FILE, CONFIG), File(content), "k", (package.ref,), "an example", turn)
        found = [package, file]
        for name in ("api", "manager"):
            unit = Unit(name, (), (CONFIG,), ("p",))
            found.append(
                DesiredResource(Ref("m1", Kind.UNIT, name), unit, name, (file.ref, found[-1].ref), "an example", turn)
            )
            gate = Gate("u", Check.OK, name, deadline=0.1)
            found.append(DesiredResource(Ref("m1", Kind.GATE, name), gate, name, (found[-1].ref,), "an example", turn))
        return {wanted.ref: wanted for wanted in found}

    fleet = {"m1": FakeHost("m1", brings={"p": ["api", "manager"]})}
    assert not carried_out(planned(of(b"old"), fleet), fleet).failures
    return fleet, of(b"old"), of(b"new")


def test_a_gate_that_fails_on_the_way_back_keeps_no_other_restart_from_it() -> None:
    fleet, old, new = services()
    fleet["m1"].unhealthy.add("manager")
    plan = planned(new, fleet)
    run = carried_out(plan, fleet)
    assert [plan.changes[event.index].ref.name for event in run.failures] == ["manager"]
    fleet["m1"].unhealthy = {"api"}
    back = undo(plan, run, failed_turns(plan, run)[0])
    way = carried_out(back, fleet)
    states = {words(back)[event.index]: event.state for event in way.events}
    assert states == {
        f"m1 restore {CONFIG}": State.DONE,
        "m1 restart api": State.DONE,
        "m1 wait api": State.FAILED,
        "m1 restart manager": State.DONE,
        "m1 wait manager": State.DONE,
    }
    assert not planned(old, fleet)


def test_a_file_that_does_not_come_back_keeps_only_who_reads_it_from_restarting() -> None:
    fleet, _, new = services()
    path, reader = Ref("m1", Kind.FILE, "/etc/other"), Ref("m1", Kind.UNIT, "api")
    other = replace(new[Ref("m1", Kind.FILE, CONFIG)], ref=path)
    unit = replace(new[reader], resource=Unit("api", (), ("/etc/other",), ("p",)), after=(path,))
    first = {**new, path: replace(other, resource=File(b"1")), reader: unit}
    assert not carried_out(planned(first, fleet), fleet).failures
    edited = {**first, path: replace(other, resource=File(b"2"))}
    edited[Ref("m1", Kind.FILE, CONFIG)] = replace(new[Ref("m1", Kind.FILE, CONFIG)], resource=File(b"3"))
    fleet["m1"].unhealthy.add("manager")
    plan = planned(edited, fleet)
    run = carried_out(plan, fleet)
    fleet["m1"].unhealthy.clear()
    fleet["m1"].refuses["/etc/other"] = "No space left on device"
    back = undo(plan, run, failed_turns(plan, run)[0])
    way = carried_out(back, fleet)
    assert {words(back)[event.index]: event.state for event in way.events} == {
        f"m1 restore {CONFIG}": State.DONE,
        "m1 restore /etc/other": State.FAILED,
        "m1 restart api": State.SKIPPED,
        "m1 wait api": State.SKIPPED,
        "m1 restart manager": State.DONE,
        "m1 wait manager": State.DONE,
    }
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(ending.failed(plan, run, [(back, way)], Path("c.yaml"), Path("t")))
    shown = console.export_text()
    assert "the rollback also failed: could not restore /etc/other" in shown
    assert "m1 was not fully rolled back: 3 of 6 changes undone." in shown
    assert "not started: restart api" in shown


def test_of_a_rewrite_that_goes_back_no_process_needs_to_hear() -> None:
    fleet = converged()
    plan, run = failing(
        fleet, config=File(b"# said\nKUBE_LOG_LEVEL=0\n"), key=File(b"k", 0o600, "kube", "kube", secret=True)
    )
    assert plan.changes[0].action is Action.REWRITE
    back = undo(plan, run, failed_turns(plan, run)[0])
    assert [change.readers for change in back.changes] == [(), ("kube-apiserver",), (), ()]


def test_going_back_touches_only_what_the_runs_changed() -> None:
    fleet = converged()
    files = past(fleet)[:1]
    edit = desired(config=File(b"KUBE_LOG_LEVEL=4\n"))
    assert not carried_out(planned(edit, fleet), fleet).failures
    later = desired(config=File(b"KUBE_LOG_LEVEL=4\n"), drop_in=File(b"[Service]\nNice=7\n"))  # not applied yet
    back = planned(before(later, files), fleet)
    assert words(back) == [f"m1 restore {CONFIG}", "m1 restart kube-apiserver", "m1 wait kube-apiserver is ready"]
    assert back.changes[0].readers == ("kube-apiserver",)


def test_going_back_asks_for_no_data_whose_configuration_is_no_part_of_it() -> None:
    """Of a real cluster: what looks at data of etcd reads its configuration, too."""
    whole = wanted_by(cluster())
    path = Ref("n1", Kind.FILE, "/etc/kubernetes/proxy")
    back = before(whole, [PastFile(path, Backup("0" * 64, 0o644, "root", "root"))])
    require_members(back, {})
    within = {ref.kind for ref, item in back.items() if item.place is Place.WITHIN}
    assert within == {Kind.FILE, Kind.UNIT, Kind.GATE}


def test_units_of_a_network_that_returns_start_in_its_order_and_before_what_waits_for_them() -> None:
    """docker waits for what flanneld writes, and flanneld for what is in its etcd; neither is in the inventory now."""
    old, new = (cluster(network=network) for network in ("flannel", "routes"))
    flannel = wanted_by(old)
    whole = wanted_by(new)
    gone = [ref for ref in flannel if ref.kind is Kind.UNIT and ref not in whole]
    assert {ref.name for ref in gone} == {"flannel-etcd", "flannel-network", "flanneld"}
    past = [PastUnit(ref, active=True, enabled=True, component=flannel[ref].component) for ref in reversed(gone)]
    back = before(whole, past, profile_of(new).components)
    started = [ref for ref in order(back) if ref.kind is Kind.UNIT]
    for ref in gone:
        assert back[ref].turn == flannel[ref].turn
    for first, then in (("flannel-etcd", "flannel-network"), ("flannel-network", "flanneld"), ("flanneld", "docker")):
        for later in (ref for ref in started if ref.name == then):
            sooner = [ref for ref in started if ref.name == first and (then != "docker" or ref.host == later.host)]
            assert sooner
            assert max(map(started.index, sooner)) < started.index(later)


def test_a_unit_that_returns_waits_for_those_that_stayed() -> None:
    lab = cluster()
    kubelet, docker = Ref("n1", Kind.UNIT, "kubelet"), Ref("n1", Kind.UNIT, "docker")
    without = {docker: replace(wanted_by(lab)[docker], after=())}
    past = [PastUnit(kubelet, active=True, enabled=True, component="kubelet")]
    assert docker in before(without, past, profile_of(lab).components)[kubelet].after


def test_units_of_a_component_that_nobody_knows_any_more_start_in_the_order_before() -> None:
    refs = [Ref("n1", Kind.UNIT, name) for name in ("last", "middle", "first")]  # as the run stopped them
    back = before({}, [PastUnit(ref, active=True, enabled=True, component="own") for ref in refs])
    assert [ref.name for ref in order(back)] == ["first", "middle", "last"]


class Reloading(FakeHost):
    """A host whose systemd does not answer a daemon-reload."""

    def _service(self, change: Change) -> str:
        return (
            "Failed to reload daemon: Connection timed out"
            if change.action is Action.RELOAD
            else super()._service(change)
        )


def test_nothing_restarts_by_a_definition_that_systemd_has_not_loaded() -> None:
    """It would come up with what it is to get rid of, and count as restarted."""
    fleet, ref = converged(), Ref("n1", Kind.FILE, DROP_IN)
    fleet["n1"].unhealthy.add("kubelet")
    gate = Ref("n1", Kind.GATE, "kubelet is healthy")
    unit = Ref("n1", Kind.UNIT, "kubelet")
    wanted = {
        ref: replace(desired()[ref], turn=Turn("nodes", "n1"), after=()),
        unit: replace(desired()[unit], turn=Turn("nodes", "n1"), after=(ref,)),
        gate: DesiredResource(
            gate, Gate("u", Check.OK, "kubelet", deadline=0.1), "kubelet", (unit,), "an example", Turn("nodes", "n1")
        ),
    }
    edited = {**wanted, ref: replace(wanted[ref], resource=File(b"[Service]\nNice=99\n"))}
    plan = planned(edited, fleet)
    run = carried_out(plan, fleet)
    back = undo(plan, run, failed_turns(plan, run)[0])
    assert words(back) == [
        f"n1 restore {DROP_IN}", "n1 daemon-reload kubelet", "n1 restart kubelet", "n1 wait kubelet is healthy",
    ]  # fmt: skip
    silent = Reloading(**vars(fleet["n1"]))
    way = carried_out(back, {**fleet, "n1": silent})
    assert {words(back)[event.index]: event.state for event in way.events} == {
        f"n1 restore {DROP_IN}": State.DONE,
        "n1 daemon-reload kubelet": State.FAILED,
        "n1 restart kubelet": State.SKIPPED,
        "n1 wait kubelet is healthy": State.SKIPPED,
    }
    left = planned(wanted, {**fleet, "n1": silent})
    assert words(left)[:2] == ["n1 daemon-reload kubelet", "n1 restart kubelet"]
