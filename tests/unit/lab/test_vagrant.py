from __future__ import annotations

from pathlib import Path

import pytest

from k8s_installer.errors import InputError, LabError
from k8s_installer.lab import state, vagrant
from k8s_installer.lab.state import Lab, Shape

SHAPE = Shape(1, 1, "1.5.2", driver="vagrant")

# as written by Vagrant 2.3
ANSWER = """\
1700000000,m1,metadata,provider,virtualbox
1700000000,m1,provider-name,virtualbox
1700000000,m1,state,running
1700000000,m1,state-human-short,running
1700000000,n1,state,poweroff
1700000000,,ui,info,Current machine states:
"""


def say(line: str) -> None:
    """Nobody listens."""


def test_running_machines_are_read_from_vagrants_answer() -> None:
    assert vagrant.running_hosts(ANSWER) == frozenset({"m1"})


def test_the_shape_travels_in_the_environment(tmp_path: Path) -> None:
    env = vagrant.environment(Lab("demo", 5, SHAPE, state.plan_hosts(5, SHAPE), "boot"), tmp_path)
    assert (env["LAB_MASTERS"], env["LAB_NODES"], env["LAB_VERSION"], env["LAB_NUMBER"]) == ("1", "1", "1.5.2", "5")
    assert (Path(env["VAGRANT_CWD"]) / "Vagrantfile").is_file()
    assert Path(env["VAGRANT_DOTFILE_PATH"]).parent == tmp_path


def test_a_version_that_centos_7_does_not_have_wants_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(vagrant.REPOSITORY_VARIABLE, raising=False)
    with pytest.raises(InputError, match=r"only Kubernetes 1\.5\.2"):
        vagrant.up("demo", Shape(1, 1, "1.20.2", driver="vagrant"), say, tmp_path)


def test_programs_are_for_containers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--programs"):
        vagrant.up("demo", Shape(1, 1, "1.5.2", "/bin", "vagrant"), say, tmp_path)


def test_without_vagrant_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="vagrant is not installed"):
        vagrant.up("demo", SHAPE, say, tmp_path)


def test_a_lab_without_machines_needs_no_vagrant_to_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    state.save(tmp_path, Lab("demo", 5, SHAPE, state.plan_hosts(5, SHAPE), "boot"))
    assert vagrant.status("demo", tmp_path).condition == "stopped"
    assert vagrant.down("demo", say, tmp_path)
    assert vagrant.status("demo", tmp_path).condition == "absent"
