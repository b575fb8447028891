from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from k8s_installer import profiles
from k8s_installer.errors import InputError
from k8s_installer.host.runtimes import RUNTIMES, of_container
from k8s_installer.profiles.overriding import overridden
from k8s_installer.profiles.schema import Component

BASE = {"a": 1, "b": {"c": [1, 2], "d": None}, "e": "x"}


@pytest.mark.parametrize(
    ("over", "result"),
    [
        ({}, BASE),
        ({"a": 2}, {"a": 2, "b": {"c": [1, 2], "d": None}, "e": "x"}),
        ({"b": {"c": [3]}}, {"a": 1, "b": {"c": [3], "d": None}, "e": "x"}),
        ({"b": {"f": 3}}, {"a": 1, "b": {"c": [1, 2], "d": None, "f": 3}, "e": "x"}),
        ({"b": None}, {"a": 1, "e": "x"}),
        ({"b": 5, "a": {"z": 1}}, {"a": {"z": 1}, "b": 5, "e": "x"}),
    ],
)
def test_mappings_merge_null_removes_and_all_else_replaces(over: dict[str, object], result: dict[str, object]) -> None:
    made = overridden(BASE, over)
    assert made == result
    assert list(made) == list(result)


@pytest.mark.parametrize(
    ("over", "order"),
    [
        ({"new": 1}, ["a", "b", "e", "new"]),
        ({"a": 1, "new": 1}, ["a", "new", "b", "e"]),
        ({"b": {}, "new": 1, "next": 1}, ["a", "b", "new", "next", "e"]),
        ({"e": 1, "a": None, "new": 1}, ["b", "e", "new"]),
    ],
)
def test_a_new_key_goes_after_the_one_that_precedes_it(over: dict[str, object], order: list[str]) -> None:
    assert list(overridden(BASE, over)) == order


def test_a_null_without_a_key_to_remove_names_it() -> None:
    with pytest.raises(ValueError, match=r"^b\.x: null removes a key, but there is none$"):
        overridden(BASE, {"b": {"x": None}})


def written(folder: Path, **components: str) -> Path:
    """A folder of components of somebody's own."""
    for name, text in components.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


OWN = "why: It is an example.\nroles: [node]\nunit: own\n"


def test_a_component_that_only_the_user_has_comes_last_and_in_the_order_that_it_asks_for(tmp_path: Path) -> None:
    profile = profiles.load("1.20.2", components=[written(tmp_path, own=f"{OWN}before: [kubelet]\n")])
    assert list(profile.components) == [*profiles.load("1.20.2").components, "own"]
    assert profile.components["kubelet"].after.here == ("docker", "own")


def test_a_component_of_the_user_s_takes_the_place_of_the_packaged_one(tmp_path: Path) -> None:
    profile = profiles.load("1.20.2", components=[written(tmp_path, docker=OWN)])
    assert list(profile.components) == list(profiles.load("1.20.2").components)
    assert profile.components["docker"].unit == "own"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{OWN}units: own\n", "{path}: units: Extra inputs are not permitted"),
        (f"{OWN}before: [kublet]\n", "{path}: before: there is no component kublet"),
        (f"{OWN}after: {{everywhere: [etc]}}\n", "{path}: after: there is no component etc"),
        ("why: It is an example.\nroles: [node]\ngates: {it is there: {why: So., check: ok, tls: {url: 'http://127.0.0.1:1/'}}}\n",
         "{path}: gates: gates need a unit whose health they check"),
        (f"{OWN}gates: [5]\n", "{path}: gates.0: Input should be a valid dictionary or instance of GateSpec"),
        (f"{OWN}gates: {{it is there: 5}}\n", "{path}: gates.0: Input should be a valid dictionary or instance of GateSpec"),
        (f"{OWN}files: {{/etc/own: 5}}\n", "{path}: files./etc/own: Input should be a valid dictionary or instance of FileSpec"),
        (f"{OWN}files: {{/etc/own: {{why: So., pki: own.crt, when: 5}}}}\n", "{path}: files./etc/own.when: Input should be a valid dictionary or instance of When"),
        ("[]", "{path}: must be a mapping"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_component_names_its_file(tmp_path: Path, text: str, message: str) -> None:
    folder = written(tmp_path, own=text)
    with pytest.raises(InputError) as caught:
        profiles.load("1.20.2", components=[folder])
    assert caught.value.message == message.format(path=tmp_path / "own.yaml")


def test_components_that_come_after_each_other_are_named(tmp_path: Path) -> None:
    folder = written(tmp_path, own=f"{OWN}after: {{here: [kubelet]}}\nbefore: [docker]\n")
    with pytest.raises(InputError, match=r"1\.20\.2\.yaml: components: no order is possible: a cycle: ") as caught:
        profiles.load("1.20.2", components=[folder])
    assert {*caught.value.message.rpartition(": ")[2].split(" after ")} == {"docker", "kubelet", "own"}


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        ("kublet: {}", "components.kublet: no file kublet.yaml in ", "did you mean kubelet?"),
        ("../kubelet: {}", "components.../kubelet: no file ../kubelet.yaml in ", "did you mean kubelet?"),
        ("kubelet: null", "components.kubelet: must be a mapping", "{} uses the component unchanged"),
        ("kubelet: {unt: null}", "components.kubelet.unt: null removes a key, but there is none", ""),
        ("kubelet: {unit: [5]}", "components.kubelet.unit: Input should be a valid string", ""),
        ("kubelet: {roles: [5]}", "components.kubelet.roles.0: Input should be 'etcd', 'master' or 'node'", ""),
    ],
)
def test_what_a_profile_says_wrongly_of_a_component_names_the_profile(
    tmp_path: Path, said: str, message: str, hint: str
) -> None:
    packaged = Path(profiles.__file__).parent / "1.20.2.yaml"
    text = packaged.read_text(encoding="utf-8").partition("\ncomponents:")[0]
    path = tmp_path / "1.20.2.yaml"
    path.write_text(f"{text}\ncomponents:\n  {said}\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        profiles.load("1.20.2", [tmp_path])
    assert caught.value.message.startswith(f"{path}: {message}")
    assert caught.value.hint == hint


@pytest.mark.parametrize("said", ["", "components: [kubelet]\n"])
def test_a_profile_names_its_components(tmp_path: Path, said: str) -> None:
    packaged = Path(profiles.__file__).parent / "1.20.2.yaml"
    text = packaged.read_text(encoding="utf-8").partition("\ncomponents:")[0]
    (tmp_path / "1.20.2.yaml").write_text(f"{text}\n{said}", encoding="utf-8")
    with pytest.raises(InputError, match=r"1\.20\.2\.yaml: components: must be a mapping$"):
        profiles.load("1.20.2", [tmp_path])


def test_a_file_of_the_pki_is_only_where_there_is_one(tmp_path: Path) -> None:
    files = "files: {/etc/own.crt: {why: So., pki: own.crt, when: {network: none}}}\n"
    component = profiles.load("1.20.2", components=[written(tmp_path, own=OWN + files)]).components["own"]
    when = component.files["/etc/own.crt"].when
    assert (when.security, when.network) == ("tls", "none")


@pytest.mark.parametrize("version", profiles.available())
def test_what_runs_the_containers_is_said_by_one_component(version: str) -> None:
    profile = profiles.load(version)
    assert [one.runtime for one in profile.components.values() if one.runtime] == ["docker"]
    assert profile.runtime == "docker"
    assert profile.model_copy(update={"components": {}}).runtime == ""


def test_a_component_can_be_every_runtime_that_hosts_can_be_asked_about() -> None:
    choices = get_args(Component.model_fields["runtime"].annotation)
    assert set(get_args(choices[0])) == set(RUNTIMES)


@pytest.mark.parametrize(
    ("identifier", "process"),
    [
        ("docker://4f1c.a-b", "docker inspect -f '{{.State.Pid}}' 4f1c.a-b"),
        ("containerd://4f1c", None),
        ("docker://$(reboot)", None),
        ("docker://", None),
        ("4f1c", None),
    ],
)
def test_a_container_is_asked_for_by_the_runtime_that_its_id_names(identifier: str, process: str | None) -> None:
    found = of_container(identifier)
    assert (found[0].process(found[1]) if found else None) == process
