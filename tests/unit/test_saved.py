from __future__ import annotations

import json

import pytest

from k8s_installer.errors import InputError
from k8s_installer.model.plan import Plan
from k8s_installer.model.resources import File
from k8s_installer.planning.planfile import differences, dump, load, saved
from tests.unit.example import CONFIG, desired, hosts
from tests.unit.test_plan import converged, planned

EDIT = desired(config=File(b"KUBE_LOG_LEVEL=2\n"))


def test_a_saved_plan_is_read_back_as_it_was() -> None:
    plan = saved("lab", EDIT, planned(EDIT, converged()))
    assert load(dump(plan, {"changes": []}), "plan.json") == plan
    assert differences(plan, saved("lab", EDIT, planned(EDIT, converged()))) == []


def test_no_content_is_in_a_saved_plan() -> None:
    wanted = desired(key=File(b"the new key\n", 0o600, "kube", "kube", secret=True))
    text = dump(saved("lab", wanted, planned(wanted, converged())), {})
    assert "the new key" not in text
    assert json.loads(text)["cluster"] == "lab"


def test_a_host_that_has_moved_is_shown() -> None:
    plan = saved("lab", EDIT, planned(EDIT, converged()))
    fleet = converged()
    file = fleet["m1"].files.pop(CONFIG)
    told = differences(plan, saved("lab", EDIT, planned(EDIT, fleet)))
    assert [line.split(":")[0] for line in told] == ["no longer", "now also"]
    assert f"m1 update file {CONFIG}: {file.sha256[:16]} 0644 root:root -> " in told[0]
    assert f"m1 create file {CONFIG}: absent -> " in told[1]


def test_every_kind_of_state_has_words() -> None:
    lines = saved("lab", EDIT, planned(desired(), hosts())).lines
    assert "m1 install package kubernetes-master: absent -> 1.20.2" in lines
    assert "n1 install package kubernetes-node: absent -> any version" in lines
    assert "m1 wait gate kube-apiserver is ready: absent -> wanted" in lines
    running = converged()
    assert any(
        "restart unit kube-apiserver: active enabled -> wanted" in line
        for line in saved("l", EDIT, planned(EDIT, running)).lines
    )


def test_an_inventory_that_changed_is_told_even_if_the_changes_are_the_same() -> None:
    plan = planned(EDIT, converged())
    other = desired(config=File(b"KUBE_LOG_LEVEL=2\n"), drop_in=File(b"[Service]\n", 0o600))
    assert differences(saved("lab", EDIT, plan), saved("lab", other, plan)) == [
        "the inventory, a template or a key has changed since it was made"
    ]


def test_another_order_or_cluster_is_another_plan() -> None:
    plan = planned(EDIT, converged())
    turned = Plan(plan.changes[::-1], plan.after)
    assert differences(saved("lab", EDIT, plan), saved("lab", EDIT, turned)) == ["its changes have a different order"]
    assert differences(saved("lab", EDIT, plan), saved("b", EDIT, plan)) == [
        "it was made for cluster lab, but the inventory is for b"
    ]


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": 1}'])
def test_what_is_no_plan_is_told(text: str) -> None:
    with pytest.raises(InputError, match=r"x\.json: not a saved plan"):
        load(text, "x.json")


def test_a_plan_of_another_format_is_told() -> None:
    with pytest.raises(InputError, match="a plan of format 2; this version reads 1"):
        load('{"format": 2}', "x.json")
