from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from k8s_installer.errors import InputError, LabError
from k8s_installer.lab import state
from k8s_installer.lab.processes import Process, identify
from k8s_installer.lab.state import Lab, Shape

GONE = Process(pid=os.getpid(), start=1)  # this number, but of another process


def a_lab(**changes: object) -> Lab:
    shape = Shape(1, 1, "1.20.2")
    lab = Lab("demo", 3, shape, state.plan_hosts(3, shape), boot="this boot")
    return replace(lab, **changes)  # type: ignore[arg-type]


def running_lab() -> Lab:
    me = identify(os.getpid())
    assert me
    lab = a_lab(server=me)
    for host in lab.hosts:
        lab = state.with_process(lab, host.name, me)
    return lab


@pytest.mark.parametrize("name", ["demo", "a", "ha-2", "elevenchars"])
def test_a_name_that_an_interface_can_bear_is_accepted(name: str) -> None:
    state.check(name, Shape(1, 0, "1.5.2"))


@pytest.mark.parametrize("name", ["", "twelve-chars", "Demo", "a.b", "a_b", "-a", "a-", "a/b", "ä", "a b"])
def test_a_name_that_no_interface_can_bear_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="--name"):
        state.check(name, Shape(1, 2, "1.20.2"))


@pytest.mark.parametrize(
    ("shape", "word"),
    [
        (Shape(0, 2, "1.20.2"), "--masters 0"),
        (Shape(11, 2, "1.20.2"), "--masters 11"),
        (Shape(1, -1, "1.20.2"), "--nodes -1"),
        (Shape(1, 201, "1.20.2"), "--nodes 201"),
        (Shape(1, 2, "latest"), "--version 'latest'"),
        (Shape(1, 2, "1.20.2", driver="vagrant", offline=True), "--offline: only for containers"),
    ],
)
def test_a_shape_that_makes_no_sense_is_refused(shape: Shape, word: str) -> None:
    with pytest.raises(InputError, match=word):
        state.check("demo", shape)


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        state.check("NO", Shape(0, -1, "x"))
    assert all(word in caught.value.message for word in ("--name", "--masters", "--nodes", "--version"))


def test_masters_and_nodes_get_names_and_addresses_in_order() -> None:
    hosts = state.plan_hosts(7, Shape(2, 1, "1.20.2"))
    assert [(host.name, host.address) for host in hosts] == [
        ("m1", "10.77.7.11"),
        ("m2", "10.77.7.12"),
        ("n1", "10.77.7.21"),
    ]


def test_a_lab_without_a_record_is_absent() -> None:
    assert state.condition(None, "this boot") == "absent"


def test_a_lab_whose_processes_live_is_running() -> None:
    assert state.condition(running_lab(), "this boot") == "running"


def test_a_lab_of_an_earlier_boot_is_stopped_whatever_its_numbers_say() -> None:
    assert state.condition(running_lab(), "the next boot") == "stopped"


def test_a_lab_whose_process_numbers_belong_to_others_now_is_stopped() -> None:
    lab = a_lab(server=GONE)
    for host in lab.hosts:
        lab = state.with_process(lab, host.name, GONE)
    assert state.condition(lab, "this boot") == "stopped"


def test_a_lab_that_lost_one_host_is_partly_running() -> None:
    assert state.condition(state.with_process(running_lab(), "n1", GONE), "this boot") == "partly running"


def test_a_half_made_lab_is_stopped() -> None:
    assert state.condition(a_lab(), "this boot") == "stopped"


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    lab = state.with_process(a_lab(server=GONE, inventory_digest="d"), "m1", GONE)
    state.save(tmp_path, lab)
    assert state.load(tmp_path, "demo") == lab
    assert state.load_all(tmp_path) == [lab]


def test_a_lab_folder_is_closed_to_other_users(tmp_path: Path) -> None:
    state.save(tmp_path, a_lab())
    assert (tmp_path / "labs/demo").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("text", ["", "{", "{}", '{"name": 1}', "[]"])
def test_a_damaged_record_is_said_and_down_is_the_hint(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "labs/demo"
    folder.mkdir(parents=True)
    (folder / "lab.json").write_text(text)
    with pytest.raises(LabError, match="damaged") as caught:
        state.load(tmp_path, "demo")
    assert "lab down --name demo" in caught.value.hint
    assert state.load_or_none(tmp_path, "demo") is None


def test_an_offline_lab_runs_without_a_server() -> None:
    lab = running_lab()
    offline = replace(lab, shape=replace(lab.shape, offline=True), server=None)
    assert state.condition(offline, "this boot") == "running"
    assert state.condition(replace(lab, server=None), "this boot") == "partly running"
