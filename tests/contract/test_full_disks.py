"""A full /tmp is no hindrance, a full /var is named, and keys touch neither: with a real bash as CentOS 7's /bin/sh."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from k8s_installer.host.perform import evidence, script
from k8s_installer.preflight import ask
from k8s_installer.verify.api import ApiAccess, Request
from k8s_installer.verify.api import script as api_script
from tests.unit.test_perform import marks, seen, updated, written

pytestmark = pytest.mark.contract
BASH = ["bash", "--posix", "-s"]
KEY = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n" * 6000  # more than a pipe holds


def full(folder: str, fill: str = "fill") -> str:
    """Commands that make a folder a full disk of its own, in a namespace that ends with the shell."""
    return f"mount -t tmpfs -o size=64k,mode=1777 tmpfs {folder} && {{ cat /dev/zero >{folder}/{fill}; }} 2>/dev/null;"


def run(folder: Path, text: str, prepare: str) -> subprocess.CompletedProcess[str]:
    """Run a script by bash in POSIX mode, in mounts of its own, as root of a user's own namespace where we are not."""
    if shutil.which("bash") is None or shutil.which("unshare") is None:
        raise AssertionError("this test needs bash and unshare: apt-get install bash util-linux")
    argv = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{prepare} exec "$@"', "sh", *BASH]
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "K8S_INSTALLER_KEPT": f"{folder}/var/kept", "LC_ALL": "C"}
    return subprocess.run(argv, input=text, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Not below /tmp, which is another one in the test."""
    place = Path("/var/tmp") / f"k8s-installer-{tmp_path.parent.name}-{tmp_path.name}"
    shutil.rmtree(place, ignore_errors=True)
    (place / "var").mkdir(parents=True)
    (place / "etc").mkdir()
    return place


def test_a_full_tmp_hinders_no_change(folder: Path) -> None:
    target = folder / "etc" / "key"
    target.write_bytes(b"old")
    change = updated(target, KEY, seen(target, b"old"))
    proof = run(folder, f"cat >/dev/null <<X\n{'words ' * 40_000}\nX\n", full("/tmp"))
    assert "here-document" in proof.stderr, "this bash writes no here-documents to /tmp: the test proves nothing"
    result = run(folder, script([(0, change)]), full("/tmp"))
    assert marks(result.stdout) == ["begin 0", "done 0"], result.stdout + result.stderr
    assert target.read_bytes() == KEY
    stale = updated(target, b"newer", seen(target, b"what a plan saw"))
    target.write_bytes(b"by hand\n")
    result = run(folder, script([(0, stale)]), full("/tmp"))
    assert "+by hand" in evidence(result.stdout)
    shutil.rmtree(folder)


def test_a_full_var_is_the_cause_that_is_told(folder: Path) -> None:
    target = folder / "etc" / "key"
    target.write_bytes(KEY)
    full_var = full(f"{folder}/var")
    result = run(folder, script([(0, updated(target, b"new", seen(target)))]), full_var)
    assert marks(result.stdout) == ["begin 0", "failed 0"]
    told = evidence(result.stdout)
    assert "No space left on device" in told
    assert f"100% {folder}/var" in told
    assert target.read_bytes() == KEY
    created = run(folder, script([(0, written(folder / "etc" / "new", b"new"))]), full_var)
    assert "No space left on device" in evidence(created.stdout)  # a host that cannot say who changes it is left alone
    assert f"100% {folder}/var" in evidence(created.stdout)
    shutil.rmtree(folder)


def test_no_script_for_a_host_has_a_here_document() -> None:
    change = written(Path("/etc/x"), b"x")
    request = Request("POST", "/api/v1/pods", {"kind": "Pod", "note": "it's $HOME"})
    texts = [script([(0, change)]), api_script(ApiAccess("http://127.0.0.1:1"), [request]), ask._LINKS]
    assert [text for text in texts if "<<" in text] == []
