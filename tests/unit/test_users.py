"""System users, which packages bring and a tarball does not."""

from __future__ import annotations

from k8s_installer import journal, observe, perform
from k8s_installer.desired.model import Desired, Wanted
from k8s_installer.plan import Action, make_plan
from k8s_installer.report import text
from k8s_installer.resources import Kind, Missing, Ref, SeenSetting, Setting
from tests.fakes import FakeHost

REF = Ref("m1", Kind.SETTING, "user kube")
WANTED = Wanted(REF, Setting("system"), "kube-apiserver", (), "kube-apiserver runs as this user.")
DESIRED: Desired = {REF: WANTED}


def test_a_user_that_is_missing_is_made_and_one_that_is_there_is_left_alone() -> None:
    host = FakeHost("m1")
    plan = make_plan(DESIRED, host.observe([WANTED]))
    assert [(change.action, change.reason) for change in plan.changes] == [(Action.SET, "not there")]
    host.perform(list(enumerate(plan.changes)), lambda _: None)
    assert host.observe([WANTED]) == {REF: SeenSetting("system")}
    assert not make_plan(DESIRED, host.observe([WANTED]))


def test_a_host_is_asked_for_it_in_the_script_of_everything_else() -> None:
    assert 'for user in kube; do getent passwd "$user"' in observe.script([WANTED])
    assert observe.parse(f"clock 5 1\nuser kube\n{observe.END}", [WANTED]) == {REF: SeenSetting("system")}
    assert observe.parse(f"clock 5 1\n{observe.END}", [WANTED]) == {REF: Missing.ABSENT}


def test_it_is_made_once_and_shown_like_everything_else() -> None:
    change = make_plan(DESIRED, {REF: Missing.ABSENT}).changes[0]
    assert 'out=$(system_user kube 2>&1) || failed 7 "$out"\n' in perform.script([(7, change)])
    assert text._line(change, 2).plain == "  m1  ~ set user kube to system  (not there)"
    assert journal._facts(0, change)["kind"] == "setting"
