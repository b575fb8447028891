from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from k8s_installer.lab.artifacts import artifact, digest_of, digest_of_files


def test_an_artefact_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("x")

    first = artifact(tmp_path, "stage", ["a"], make)
    second = artifact(tmp_path, "stage", ["a"], make)
    assert first == second
    assert (first / "file").read_text() == "x"
    assert len(made) == 1


def test_other_inputs_make_another_artefact(tmp_path: Path) -> None:
    one = artifact(tmp_path, "stage", ["a", "b"], lambda _: None)
    assert artifact(tmp_path, "stage", ["ab"], lambda _: None) != one
    assert artifact(tmp_path, "other", ["a", "b"], lambda _: None) != one


def test_a_failure_leaves_no_half_artefact(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        artifact(tmp_path, "stage", ["a"], fail)
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    leftover = tmp_path / "artifacts" / f".stage-{digest_of(['a'])}.killed"
    leftover.mkdir(parents=True)
    artifact(tmp_path, "stage", ["a"], lambda _: None)
    assert not leftover.exists()


def test_two_that_start_together_make_it_once(tmp_path: Path) -> None:
    made: list[int] = []

    def make(_: Path) -> None:
        time.sleep(0.1)
        made.append(1)

    threads = [threading.Thread(target=artifact, args=(tmp_path, "stage", ["a"], make)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_the_digest_of_a_folder_sees_names_content_links_and_the_executable_bit(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    digests = [digest_of_files(tmp_path)]
    (tmp_path / "a").chmod(0o755)
    digests.append(digest_of_files(tmp_path))
    (tmp_path / "a").write_text("y")
    digests.append(digest_of_files(tmp_path))
    (tmp_path / "b").symlink_to("a")
    digests.append(digest_of_files(tmp_path))
    assert len(set(digests)) == 4
