"""All Secrets written again with one key: the script under sh with a kubectl that keeps them in files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from k8s_installer.host import families, secrets
from k8s_installer.pki import encryption
from k8s_installer.render import Renderer
from tests.unit.test_perform import program

KUBECTL = """\
while case $1 in get | replace | annotate) false ;; esac; do shift; done
echo "$*" >>"$folder/calls"
case "$*" in
  'get namespace kube-system'*) cat "$folder/note" ;;
  'get namespaces'*) echo namespace/default; echo namespaces/kube-system; echo namespace/empty ;;
  'get secrets -n empty'*) ;;
  'get secrets -n '*' -o name') echo secret/one ;;
  'get secrets -n '*) echo "{content of $4}" ;;
  'replace -n '*) cat >/dev/null; [ ! -e "$folder/conflict" ] || { rm "$folder/conflict"; echo conflict >&2; exit 1; }
    [ ! -e "$folder/down" ] || { echo refused >&2; exit 1; } ;;
  'annotate --overwrite namespace kube-system k8s-installer/secrets='*) printf %s "${5#*=}" >"$folder/note" ;;
  *) exit 9 ;;
esac
"""


def ran(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    (folder / "bin").mkdir(exist_ok=True)
    program(folder / "bin", "kubectl", KUBECTL)
    program(folder / "bin", "sleep", "exit 0")
    env = {"PATH": f"{folder}/bin:/usr/bin:/bin", "folder": str(folder), "root": str(folder)}
    return subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, check=False)


def write(folder: Path) -> subprocess.CompletedProcess[str]:
    return ran(folder, families.setters(["secrets"]) + families.setter("secrets", "key2"))


def asked(folder: Path) -> str | None:
    done = ran(folder, families.questions(["secrets"]))
    assert done.returncode == 0
    ((name, value),) = families.answers(line.removeprefix("setting ") for line in done.stdout.splitlines())
    assert name == "secrets"
    return value


def test_every_secret_goes_out_and_back_once_and_the_key_is_noted_after_that(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("")
    assert asked(tmp_path) == "none"
    done = write(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call for call in calls if call.startswith("replace")] == [
        "replace -n default -f -", "replace -n kube-system -f -",
    ]  # fmt: skip
    assert calls[-1].startswith("annotate")
    assert asked(tmp_path) == "key2"


def test_a_conflict_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "conflict").touch()
    assert write(tmp_path).returncode == 0
    assert (tmp_path / "calls").read_text().count("replace -n default") == 2


def test_where_some_cannot_be_written_nothing_is_noted(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("")
    (tmp_path / "down").touch()
    done = write(tmp_path)
    assert done.returncode == 1
    assert done.stderr == "refused\n" * 5
    assert asked(tmp_path) == "none"


def test_an_api_that_does_not_answer_is_no_note(tmp_path: Path) -> None:
    assert asked(tmp_path) == "unanswered"


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ("key2", ""),
        ("none", "some may be written with another key"),
        ("key1", "some may be written with another key"),
        ("unanswered", "the API server does not answer for it"),
    ],
)
def test_the_reason_is_said(seen: str, words: str) -> None:
    assert families.differs("secrets", seen, "key2") == words
    assert families.words("secrets", "key2") == "write all Secrets again, with key2"
    assert families.original("secrets", seen) is None
    assert secrets.FAMILY.one_way


# the keys


@pytest.mark.parametrize("name", ["encryption.yaml.j2", "encryption-1.9.yaml.j2"])
@pytest.mark.parametrize("sandboxed", [False, True])
def test_a_configuration_has_the_keys_of_the_folder_in_their_order(name: str, *, sandboxed: bool) -> None:
    text = "key2 QkJC\nQUFB\n"
    names = {"header": "h", "pki": {"encryption.key": text}}
    config = Renderer(sandboxed=sandboxed).file(f"kubernetes/{name}", names, "m1").decode()
    shown = [line.strip(" -") for line in config.splitlines() if "name:" in line or "secret:" in line]
    assert shown == ["name: key2", "secret: QkJC", "name: key1", "secret: QUFB"]
    one, two = encryption.keys(text.encode())
    assert (one.name, two.name) == ("key2", "key1")
    assert one.words() | two.words() < encryption.sums(config.encode())
    assert one.line() + two.line() == text
    assert encryption.following([one, two]) == "key3"
    assert encryption.following([encryption.NamedKey("mine", "x")]) == "key2"
