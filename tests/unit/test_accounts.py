"""New tokens for all service accounts: the script under sh with a kubectl that keeps accounts in files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from k8s_installer.host import families
from tests.unit.test_perform import program

# a patch takes an account's references, and the next look at accounts finds what the controller-manager gave it
KUBECTL = """\
while case $1 in get | patch | annotate) false ;; esac; do shift; done
echo "$*" >>"$folder/calls"
case "$*" in
  'get secrets'*) printf 'default/default-token-old kube-system/dns-token-old '; cat "$folder/tokens" ;;
  'get serviceaccounts'*) cat "$folder/accounts"; cp "$folder/later" "$folder/accounts" ;;
  'patch serviceaccount gone '*) echo 'serviceaccounts "gone" not found' >&2; exit 1 ;;
  'patch serviceaccount '*) [ ! -e "$folder/down" ] || { echo refused >&2; exit 1; } ;;
  'annotate --overwrite namespace kube-system k8s-installer/tokens=abc') ;;
  *) exit 9 ;;
esac
"""
BEFORE = "default default default-token-old pull-secret\nkube-system dns dns-token-old\nkube-system bare \n"
AFTER = (
    "default default pull-secret default-token-new\nkube-system dns dns-token-new\nkube-system bare bare-token-new\n"
)


GIVES_ONE = """\
awk '!given && NF == 2 { $0 = $0 " " $2 "-token-new"; given = 1 } 1' "$folder/later" >"$folder/next"
mv "$folder/next" "$folder/later"
"""


def ran(
    folder: Path, later: str = AFTER, meanwhile: str = "exit 0", before: str = BEFORE
) -> subprocess.CompletedProcess[str]:
    (folder / "bin").mkdir()
    program(folder / "bin", "kubectl", KUBECTL)
    program(folder / "bin", "sleep", meanwhile)
    (folder / "tokens").touch()
    (folder / "accounts").write_text(before)
    (folder / "later").write_text(later)
    script = families.setters(["tokens"]) + families.setter("tokens", "abc")
    env = {"PATH": f"{folder}/bin:/usr/bin:/bin", "folder": str(folder), "root": str(folder)}
    return subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, check=False)


def test_accounts_lose_their_tokens_and_nothing_else_and_get_new_ones(tmp_path: Path) -> None:
    done = ran(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    calls = (tmp_path / "calls").read_text().splitlines()
    patches = {
        tuple(call.split()[2:5:2]): json.loads(call.partition(" -p ")[2]) for call in calls if call.startswith("patch")
    }
    assert patches == {
        ("default", "default"): {"secrets": [{"name": "pull-secret"}]},
        ("dns", "kube-system"): {"secrets": []},
        ("bare", "kube-system"): {"secrets": []},
    }
    assert calls[-1].startswith("annotate")


def test_an_account_that_gets_no_token_is_named_and_nothing_is_noted(tmp_path: Path) -> None:
    done = ran(tmp_path, BEFORE)
    assert done.returncode == 1
    assert done.stderr == "no new token for default/default kube-system/dns kube-system/bare\n"
    assert "annotate" not in (tmp_path / "calls").read_text()


def test_a_controller_manager_that_makes_one_token_a_second_is_waited_for(tmp_path: Path) -> None:
    many = 120
    done = ran(tmp_path, "".join(f"default account-{number}\n" for number in range(many)), GIVES_ONE)
    assert (done.returncode, done.stderr) == (0, "")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert sum(call.startswith("get serviceaccounts") for call in calls) > many


def test_tokens_of_more_bytes_than_an_argument_may_have(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("".join(f"default/account-{number}-token-abcde " for number in range(5000)))
    done = ran(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_account_that_is_deleted_meanwhile_does_not_stop_it(tmp_path: Path) -> None:
    done = ran(tmp_path, before=f"ci gone gone-token-old\n{BEFORE}")
    assert done.returncode == 0
    assert "annotate" in (tmp_path / "calls").read_text()


def test_an_account_that_cannot_be_changed_stops_it(tmp_path: Path) -> None:
    (tmp_path / "down").touch()
    done = ran(tmp_path)
    assert done.returncode == 1
    assert done.stderr == "refused\n"


def test_the_reason_is_said() -> None:
    assert families.differs("tokens", "abc", "abc") == ""
    assert families.differs("tokens", "none", "abc") == "some may be signed with another key"
    assert families.differs("tokens", "unanswered", "abc") == "the API server does not answer for it"
    assert families.words("tokens", "abc") == "give every service account a new token"
    assert families.original("tokens", "none") is None
