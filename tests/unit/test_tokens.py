"""What service accounts and pods trust, as a master's kubectl says it: the script under sh, and its answer."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from k8s_installer.host import tokens
from k8s_installer.untrusted.answers import Malformed
from tests.unit.test_perform import program

NOON = 1_780_315_200.0  # 2026-06-01T12:00:00Z
PODS = (
    """\
pod kube-system/coredns-1 @2026-06-01T11:59:00Z coredns-token-abcde
pod default/web @2026-06-01T12:00:20Z default-token-xyzab web-tls
pod default/new @2026-06-01T12:01:00Z default-token-xyzab
pod default/alone @2026-06-01T11:00:00Z web-tls
pod default/waiting @ default-token-xyzab
pod default/mute @2026-06-01T11:00:00Z """
    "\n"
)


def asked(folder: Path, secrets: str, pods: str = PODS) -> subprocess.CompletedProcess[str]:
    """Run the script with a kubectl that prints these."""
    pki, out = folder / "etc/kubernetes/pki", folder / "out"
    pki.mkdir(parents=True)
    (pki / "ca.crt").write_bytes(b"both\n")
    out.mkdir()
    (out / "secrets").write_text(secrets)
    (out / "pods").write_text(pods)
    (out / "serviceaccounts").write_text("account default/default default-token-xyzab\naccount kube-system/coredns \n")
    (folder / "bin").mkdir()
    program(folder / "bin", "kubectl", f'while [ "$1" != get ]; do shift; done; cat "{out}/$2"')
    program(folder / "bin", "sleep", "exit 0")
    env = {"PATH": f"{folder}/bin:/usr/bin:/bin", "root": str(folder)}
    return subprocess.run(["sh", "-c", tokens.SCRIPT], env=env, capture_output=True, text=True, check=False)


def test_secrets_with_the_masters_ca_are_up_to_date(tmp_path: Path) -> None:
    have = base64.b64encode(b"both\n").decode()
    done = asked(tmp_path, f"default/default-token-xyzab {have}\nkube-system/coredns-token-abcde {have}\n")
    assert (done.returncode, done.stderr) == (0, "")
    found = tokens.parse(done.stdout)
    assert found.outdated == ()
    assert found.before(NOON) == ["kube-system/coredns-1", "default/web"]
    assert found.with_old_tokens() == ["kube-system/coredns-1"], "no account refers to its token any more"


def test_secrets_with_another_ca_or_none_are_named(tmp_path: Path) -> None:
    done = asked(tmp_path, "default/default-token-xyzab b2xkCg==\ndefault/empty \n", "")
    assert done.returncode == 0
    assert tokens.parse(done.stdout) == tokens.Trust(
        ("default/default-token-xyzab", "default/empty"), (), frozenset({"default/default-token-xyzab"})
    )


def test_a_kubectl_that_gives_no_answer_fails(tmp_path: Path) -> None:
    (tmp_path / "early").mkdir()
    program(tmp_path / "early", "kubectl", "echo refused >&2; exit 1")
    (tmp_path / "etc/kubernetes/pki").mkdir(parents=True)
    (tmp_path / "etc/kubernetes/pki/ca.crt").write_bytes(b"both\n")
    env = {"PATH": f"{tmp_path}/early:/usr/bin:/bin", "root": str(tmp_path)}
    done = subprocess.run(["sh", "-c", tokens.SCRIPT], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "refused" in done.stderr


def test_a_time_that_is_none_is_malformed() -> None:
    with pytest.raises(Malformed, match="the time of a pod"):
        tokens.parse("pod default/web @noon default-token-xyzab\n")
    assert tokens.parse("\nodd\n").pods == ()
