from __future__ import annotations

from pathlib import Path

import pytest

from k8s_installer.errors import InputError
from k8s_installer.lab import programs


def say(line: str) -> None:
    """Nobody listens."""


def folder_of(tmp_path: Path, version: str, names: tuple[str, ...] = programs.PROGRAMS) -> Path:
    for name in names:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho Kubernetes {version}\n")
        path.chmod(0o755)
    return tmp_path


def test_given_programs_are_taken_and_identified_by_content(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "v1.5.2")
    files, words = programs.programs(tmp_path / "cache", "1.5.2", folder, say)
    assert files == {name: folder / name for name in programs.PROGRAMS}
    (folder / "kubelet").write_text("#!/bin/sh\necho Kubernetes v1.5.2 # another build\n")
    again = programs.programs(tmp_path / "cache", "1.5.2", folder, say)[1]
    assert [a == b for a, b in zip(words, again, strict=True)].count(False) == 1


def test_missing_programs_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "v1.5.2", ("kube-apiserver", "kube-controller-manager", "kube-proxy"))
    with pytest.raises(InputError, match="no program kube-scheduler, kubelet"):
        programs.programs(tmp_path, "1.5.2", folder, say)


def test_programs_of_another_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is 1\.9\.4, not 1\.5\.2") as caught:
        programs.programs(tmp_path, "1.5.2", folder_of(tmp_path, "v1.9.4"), say)
    assert caught.value.hint == "--version 1.9.4"


@pytest.mark.parametrize("version", ["v1.5.2-dirty", "v1.5.2+abc", "v0.0.0-master+$Format:%h$"])
def test_builds_of_ones_own_are_accepted(tmp_path: Path, version: str) -> None:
    programs.programs(tmp_path, "1.5.2", folder_of(tmp_path, version), say)


def test_a_missing_kubectl_is_the_labs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own-kubectl"
    own.touch()
    monkeypatch.setattr(programs, "built_kubectl", lambda _cache, _say: own)
    files, _ = programs.programs(tmp_path, "1.5.2", folder_of(tmp_path, "v1.5.2", programs.SERVERS), say)
    assert files["kubectl"] == own


def test_a_version_that_cannot_be_built_wants_programs(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        programs.programs(tmp_path, "1.9.4", None, say)
    assert "--programs" in caught.value.hint


def test_a_build_takes_nothing_from_the_users_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    monkeypatch.setenv("GOTOOLCHAIN", "go1.26.0")
    monkeypatch.setenv("CGO_CFLAGS", "-O3")
    env = programs.build_environment(tmp_path)
    assert "GOTOOLCHAIN" not in env
    assert "CGO_CFLAGS" not in env
    assert env["GOFLAGS"] == ""
    assert env["PATH"].startswith(f"{tmp_path}/goroot/")


def test_a_program_that_is_none_has_no_version(tmp_path: Path) -> None:
    assert programs.version_of(tmp_path / "absent") == ""
