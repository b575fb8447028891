from __future__ import annotations

from pathlib import Path

import pytest

from k8s_installer.errors import LabError
from k8s_installer.lab import debian

DEB822 = """\
# a comment
Types: deb
URIs: https://packages.example/node
Suites: nodistro
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


@pytest.fixture(autouse=True)
def no_mirror_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(debian.MIRROR_VARIABLE, raising=False)


def apt_folder(tmp_path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "uri"),
    [
        ({"sources.list.d/debian.sources": DEB822}, "http://mirror.example/debian"),
        ({"sources.list": "deb http://one.example/debian bookworm main\n"}, "http://one.example/debian"),
        ({"sources.list": "# deb http://no.example/debian bookworm main\n", "sources.list.d/d.list":
          "deb [arch=amd64 signed-by=/x] http://two.example/debian/ trixie main contrib # own\n"},
         "http://two.example/debian"),
        ({"sources.list": "deb http://s.example/debian-security bookworm-security main\n"
                          "deb http://three.example/debian stable main\n"}, "http://three.example/debian"),
    ],
)  # fmt: skip
def test_the_mirror_is_the_one_of_this_machines_apt(tmp_path: Path, files: dict[str, str], uri: str) -> None:
    assert debian.mirror(apt_folder(tmp_path, files)).uri == uri


def test_apts_mirror_lists_are_followed(tmp_path: Path) -> None:
    mirrors = tmp_path / "mirrors"
    mirrors.write_text("http://first.example/debian/\nhttp://second.example/debian\n")
    folder = apt_folder(tmp_path, {"sources.list": f"deb mirror+file:{mirrors} bookworm main\n"})
    assert debian.mirror(folder).uri == "http://first.example/debian"


def test_a_machine_without_debian_says_how_to_name_a_mirror(tmp_path: Path) -> None:
    folder = apt_folder(tmp_path, {"sources.list": "deb http://archive.example/ubuntu jammy main\n"})
    with pytest.raises(LabError) as caught:
        debian.mirror(folder)
    assert debian.MIRROR_VARIABLE in caught.value.hint


def test_a_named_mirror_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(debian.MIRROR_VARIABLE, "http://mine.example/debian/")
    assert debian.mirror(tmp_path).uri == "http://mine.example/debian"


def test_a_disabled_source_does_not_count(tmp_path: Path) -> None:
    folder = apt_folder(
        tmp_path, {"sources.list.d/debian.sources": DEB822.replace("Types: deb\n", "Enabled: no\nTypes: deb\n")}
    )
    with pytest.raises(LabError):
        debian.mirror(folder)


def test_only_installed_packages_count_as_installed(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text(
        "Package: rpm\nStatus: install ok installed\nVersion: 4\n\n"
        "Package: make\nStatus: deinstall ok config-files\nVersion: 4\n"
    )
    assert debian.packages_missing(["rpm", "make", "gcc"], status) == ["make", "gcc"]
