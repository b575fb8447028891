from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping

import pytest

from k8s_installer.engine.scheduler import apply
from k8s_installer.errors import InstallerError
from k8s_installer.host.statedir import NOT_KEPT
from k8s_installer.model.desired import Desired, DesiredResource
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import (
    Absent,
    File,
    Kind,
    Missing,
    Package,
    Ref,
    Resource,
    Seen,
    SeenPackage,
    Setting,
)
from k8s_installer.planning.make import make_plan, waits
from k8s_installer.planning.undo import reversible
from tests.fakes import FakeHost
from tests.unit.example import CONFIG, DROP_IN, KEY, desired, hosts


def seen(wanted: Desired, fleet: Mapping[str, FakeHost]) -> dict[Ref, Seen]:
    return {
        ref: found
        for host in fleet.values()
        for ref, found in host.observe([item for ref, item in wanted.items() if ref.host == host.name]).items()
    }


def planned(wanted: Desired, fleet: Mapping[str, FakeHost]) -> Plan:
    return make_plan(wanted, seen(wanted, fleet))


def words(plan: Plan) -> list[str]:
    return [f"{change.ref.host} {change.action} {change.ref.name}" for change in plan.changes]


def converged() -> dict[str, FakeHost]:
    fleet = hosts()
    run = apply(planned(desired(), fleet), fleet, lambda event: None, threading.Event())
    assert not run.failures
    return fleet


def test_bare_hosts_get_packages_then_files_then_services_then_gates() -> None:
    plan = planned(desired(), hosts())
    assert sorted(words(plan)) == sorted(
        [
            "m1 install kubernetes-master", f"m1 create {CONFIG}", f"m1 create {KEY}", "m1 start kube-apiserver",
            "m1 wait kube-apiserver is ready", "n1 install kubernetes-node", f"n1 create {DROP_IN}",
            "n1 daemon-reload kubelet", "n1 start kubelet", "m1 wait node n1 is ready",
        ]
    )  # fmt: skip
    for index, awaited in enumerate(plan.after):
        assert all(before < index for before in awaited)


def test_a_second_plan_is_empty() -> None:
    assert not planned(desired(), converged())


def test_a_changed_file_restarts_its_unit_alone_and_waits_for_its_health() -> None:
    plan = planned(desired(config=File(b"KUBE_LOG_LEVEL=2\n")), converged())
    assert words(plan) == [f"m1 update {CONFIG}", "m1 restart kube-apiserver", "m1 wait kube-apiserver is ready"]
    assert plan.changes[1].reason == f"{CONFIG} changes"
    assert plan.after == ((), (0,), (1,))


def test_a_changed_drop_in_needs_a_daemon_reload_before_the_restart() -> None:
    plan = planned(desired(drop_in=File(b"[Service]\nNice=1\n")), converged())
    assert words(plan) == [
        f"n1 update {DROP_IN}", "n1 daemon-reload kubelet", "n1 restart kubelet", "m1 wait node n1 is ready",
    ]  # fmt: skip


def test_a_mode_alone_is_set_and_nothing_restarts() -> None:
    fleet = converged()
    plan = planned(desired(config=File(b"KUBE_LOG_LEVEL=0\n", 0o600)), fleet)
    assert words(plan) == [f"m1 attributes {CONFIG}"]
    assert plan.changes[0].reason == "0644 root:root instead of 0600 root:root"
    apply(plan, fleet, lambda event: None, threading.Event())
    assert not planned(desired(config=File(b"KUBE_LOG_LEVEL=0\n", 0o600)), fleet)


def test_a_file_that_is_newer_than_its_process_means_a_restart() -> None:
    fleet = converged()
    file = fleet["m1"].files[CONFIG]
    fleet["m1"].files[CONFIG] = dataclasses.replace(file, modified_at=fleet["m1"].clock + 1)
    plan = planned(desired(), fleet)
    assert words(plan) == ["m1 restart kube-apiserver", "m1 wait kube-apiserver is ready"]
    assert plan.changes[0].reason == f"{CONFIG} changed after it started"


def test_new_programs_under_an_old_process_mean_a_restart() -> None:
    fleet = converged()
    package = fleet["m1"].packages["kubernetes-master"]
    fleet["m1"].packages["kubernetes-master"] = dataclasses.replace(package, installed_at=fleet["m1"].clock + 1)
    assert words(planned(desired(), fleet))[0] == "m1 restart kube-apiserver"


def test_another_version_is_an_upgrade_that_cannot_be_rolled_back() -> None:
    plan = planned(desired(master=Package("kubernetes-master", "1.20.3")), converged())
    assert words(plan)[:2] == ["m1 upgrade kubernetes-master", "m1 restart kube-apiserver"]
    assert [reversible(change) for change in plan.changes[:2]] == [False, True]
    assert plan.changes[0].reason == "version 1.20.2 is installed, should be 1.20.3"


def test_another_release_of_the_same_version_is_named_with_the_installed_one() -> None:
    plan = planned(desired(master=Package("kubernetes-master", "1.20.2-9.el7")), converged())
    assert words(plan)[0] == "m1 upgrade kubernetes-master"
    assert plan.changes[0].reason == "version 1.20.2-1.el7 is installed, should be 1.20.2-9.el7"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"active": "failed", "sub": "failed"}, ["n1 start kubelet", "m1 wait node n1 is ready"]),
        ({"enabled": False}, ["n1 enable kubelet", "m1 wait node n1 is ready"]),
        ({"needs_reload": True}, ["n1 daemon-reload kubelet", "m1 wait node n1 is ready"]),
    ],
)
def test_a_unit_that_is_not_as_wanted_is_put_right(state: dict[str, object], expected: list[str]) -> None:
    fleet = converged()
    fleet["n1"].units["kubelet"] = dataclasses.replace(fleet["n1"].units["kubelet"], **state)  # type: ignore[arg-type]
    assert words(planned(desired(), fleet)) == expected


def test_several_causes_of_a_restart_are_counted() -> None:
    plan = planned(desired(config=File(b"a"), key=File(b"b", 0o600, "kube", "kube", secret=True)), converged())
    assert plan.changes[2].reason == f"{CONFIG} (and 1 more) changes"


def test_there_is_no_plan_over_what_could_not_be_asked() -> None:
    wanted = desired()
    found = seen(wanted, converged())
    found[Ref("m1", Kind.FILE, CONFIG)] = Missing.UNKNOWN
    with pytest.raises(InstallerError, match="m1: file /etc/kubernetes/config is unknown"):
        make_plan(wanted, found)


def test_gates_can_be_waited_for_alone() -> None:
    gates = [ref for ref in desired() if ref.kind is Kind.GATE]
    plan = waits(desired(), gates)
    assert words(plan) == ["m1 wait kube-apiserver is ready", "m1 wait node n1 is ready"]
    assert plan.after == ((), ())


def test_a_setting_that_differs_is_set_before_the_service_and_restarts_nothing() -> None:
    fleet, wanted = converged(), with_setting("selinux", "permissive")
    assert not planned(wanted, fleet)  # the hosts have no SELinux
    fleet["m1"].settings["selinux"] = "enforcing"
    plan = planned(wanted, fleet)
    assert words(plan) == ["m1 set selinux"]
    assert plan.changes[0].reason == "enforcing instead of permissive"
    assert reversible(plan.changes[0])
    assert not apply(plan, fleet, lambda event: None, threading.Event()).failures
    assert not planned(wanted, fleet)


def test_a_user_that_is_made_stays() -> None:
    fleet, wanted = converged(), with_setting("user kube", "system")
    plan = planned(wanted, fleet)
    assert (words(plan), reversible(plan.changes[0])) == (["m1 set user kube"], False)
    apply(plan, fleet, lambda event: None, threading.Event())
    assert not planned(wanted, fleet)


def with_setting(name: str, value: str, **changed: Resource) -> Desired:
    """The example with a setting of m1 that its service waits for."""
    wanted, ref = desired(**changed), Ref("m1", Kind.SETTING, name)
    unit = Ref("m1", Kind.UNIT, "kube-apiserver")
    setting = dataclasses.replace(wanted[unit], ref=ref, resource=Setting(value), after=())
    return {ref: setting, **wanted, unit: dataclasses.replace(wanted[unit], after=(*wanted[unit].after, ref))}


@pytest.mark.parametrize(
    ("installed", "wanted", "action"),
    [
        (SeenPackage("1.20.2", "0", 1.0), "1.20.2", None),
        (SeenPackage("1.20.2", "0", 1.0), "1.20.15", Action.UPGRADE),
        (SeenPackage("1.20.15", "0", 1.0), "1.20.2", Action.DOWNGRADE),
        (SeenPackage("1.10", "0", 1.0), "1.9", Action.DOWNGRADE),  # numbers, not texts
        (SeenPackage("1.0", "0", 1.0), "1.0~rc1", Action.DOWNGRADE),
        (SeenPackage("1.02", "0", 1.0), "1.2", None),  # the same to rpm
        (SeenPackage("1.5.2", "0.7.git269f928.el7", 1.0), "1.5.2-0.7.git269f928.el7", None),
        (SeenPackage("1.5.2", "0.7.git269f928.el7", 1.0), "1.5.2-0.6.git269f928.el7", Action.DOWNGRADE),
        (SeenPackage("1.13.1", "209", 1.0, "2"), "1.13.1", None),  # an epoch that is not asked for is any
        (SeenPackage("1.13.1", "209", 1.0, "2"), "2:1.13.1", None),
        (SeenPackage("17.03", "1", 1.0), "2:1.13.1", Action.UPGRADE),
        (SeenPackage("1.13.1", "209", 1.0, "2"), "0:17.03", Action.DOWNGRADE),
        (SeenPackage("9" * 5000, "0", 1.0), "1", Action.DOWNGRADE),
        (SeenPackage("1", "0", 1.0), "", None),
    ],
)
def test_versions_are_compared_as_rpm_does(installed: SeenPackage, wanted: str, action: Action | None) -> None:
    ref = Ref("n1", Kind.PACKAGE, "docker")
    plan = make_plan({ref: DesiredResource(ref, Package("docker", wanted), "docker", (), "")}, {ref: installed})
    assert [change.action for change in plan.changes] == ([action] if action else [])
    assert all(not reversible(change) for change in plan.changes)


def test_what_could_not_be_put_back_is_not_changed_and_all_of_it_is_said_at_once() -> None:
    fleet = converged()
    for host, path, words in (("m1", CONFIG, "is a folder"), ("n1", DROP_IN, "is a symbolic link to /dev/null")):
        fleet[host].files[path] = dataclasses.replace(fleet[host].files[path], sha256="", obstacle=words)
    with pytest.raises(InstallerError) as refused:
        planned(desired(), fleet)
    assert refused.value.message == f"m1: {CONFIG} is a folder\nn1: {DROP_IN} is a symbolic link to /dev/null"
    assert refused.value.hint.startswith("only what can be restored is changed")
    apart = {ref: wanted for ref, wanted in desired().items() if ref.host == "n1" and ref.kind is Kind.UNIT}
    alone = {ref: dataclasses.replace(wanted, after=()) for ref, wanted in apart.items()}
    assert not planned(alone, fleet)  # what nobody asks for is in nobody's way


@pytest.mark.parametrize("others", [{}, {"n1": (DROP_IN, "is a folder")}])
def test_what_a_host_no_longer_keeps_is_not_in_the_way_of_anything(others: dict[str, tuple[str, str]]) -> None:
    fleet = converged()
    for host, (path, words) in {"m1": (CONFIG, NOT_KEPT), **others}.items():
        fleet[host].files[path] = dataclasses.replace(fleet[host].files[path], sha256="", obstacle=words)
    with pytest.raises(InstallerError) as refused:
        planned(desired(), fleet)
    first, *rest = refused.value.hint.splitlines()
    assert first.startswith("a host keeps what its last 10 runs replaced, up to 2 GB, and this is older: ")
    assert ["move each of these out of the way" in line for line in rest] == [True] * len(others)


def test_a_removal_names_who_has_read_the_file_and_a_run_that_died_over_it_is_finished() -> None:
    fleet = converged()
    wanted = desired(drop_in=Absent())
    plan = planned(wanted, fleet)
    assert plan.changes[0].readers == ("kubelet",)
    fleet["n1"].cut_at = "kubelet"
    assert apply(plan, fleet, lambda event: None, threading.Event()).failures
    fleet["n1"].cut_at = ""
    fleet["n1"].units["kubelet"] = dataclasses.replace(fleet["n1"].units["kubelet"], needs_reload=False)
    for again in (wanted, {ref: item for ref, item in wanted.items() if ref.name != DROP_IN}):
        some = {ref: dataclasses.replace(i, after=tuple(b for b in i.after if b in again)) for ref, i in again.items()}
        left = planned(some, fleet)
        assert words(left) == ["n1 restart kubelet", "m1 wait node n1 is ready"]
        assert left.changes[0].reason == "an interrupted run did not restart it"
    assert not apply(left, fleet, lambda event: None, threading.Event()).failures
    assert not planned(wanted, fleet)
