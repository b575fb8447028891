"""The keys of Secrets that a host has are compared by sums: the host's awk and this machine must read alike."""

from __future__ import annotations

import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from k8s_installer.host import observe
from k8s_installer.model.desired import DesiredResource
from k8s_installer.model.resources import File, Kind, Ref, SeenFile
from k8s_installer.pki import encryption
from tests.unit.test_perform import program

ONE = ["aescbc:", "name:key1", "secret:QUJD"]
CONFIGS: dict[str, tuple[bytes, list[str]]] = {
    "as it is rendered": (b"# header\nresources: [secrets]\n- aescbc:\n    keys:\n    - name: key1\n      secret: QUJD\n", ONE),
    "YAML in one line": (b"{resources: [{providers: [{aescbc: {keys: [{name: key1, secret: QUJD}]}}]}]}\n", ONE),
    "JSON": (b'{"providers":[{"aescbc":{"keys":[{"name":"key1","secret":"QUJD"}]}}]}', ONE),
    "quotes, tabs and the ends of lines of Windows": (b"- 'aescbc':\r\n\tname:\t'key1'\r\n\tsecret: \"QUJD\"\r\n", ONE),
    "values on lines of their own": (b"aescbc:\n  name:\n    key1\n  secret: |-\n    QUJD\n", ONE),
    "comments": (b"aescbc: # secret: no\n#  secret: no\n  name: key1 # old\n  secret: # here\n    QUJD\n", ONE),
    "several": (
        b"- secretbox:\n  - name: a\n    secret: eA==\n- aescbc:\n  - name: key1\n    secret: QUJD\n",
        ["secretbox:", "name:a", "secret:eA==", *ONE],
    ),
    "a KMS": (b"- kms:\n    name: vault\n    endpoint: unix:///run/kms.sock\n", ["kms:", "name:vault"]),
    "no key": (b"- identity: {}\n", []),
    "an empty file": (b"", []),
    "cut off": (b"- aescbc:\n  - name: key1\n    secret:", ["aescbc:", "name:key1"]),
    "bytes that are no text": (b"aescbc: \xff\xfe\n name: \xff\n secret: QUJD\n", ["aescbc:", "name:\udcff", "secret:QUJD"]),
}  # fmt: skip
AWKS = [awk for awk in ("mawk", "gawk", "busybox awk") if shutil.which(awk.partition(" ")[0])]


@pytest.mark.parametrize("awk", AWKS)
@pytest.mark.parametrize("case", CONFIGS)
def test_hosts_and_this_machine_find_the_same_keys(tmp_path: Path, case: str, awk: str) -> None:
    config, words = CONFIGS[case]
    (tmp_path / "config").write_bytes(config)
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin", "awk", f'PATH=/usr/bin:/bin exec {awk} "$@"')
    found = answered(tmp_path, f"{tmp_path}/bin:/usr/bin:/bin")
    expected = {sha256(word.encode(errors="surrogateescape")).hexdigest() for word in words}
    assert found.sealed == encryption.sums(config) == expected
    assert encryption.count(config) == sum(word.startswith("secret:") for word in words)


def answered(folder: Path, path: str) -> SeenFile:
    item = asked(folder)
    done = subprocess.run(["sh", "-c", observe.script([item])], env={"PATH": path}, capture_output=True, check=True)
    found = observe.parse(done.stdout.decode(), [item])[item.ref]
    assert isinstance(found, SeenFile)
    assert found.content is None
    return found


def asked(folder: Path) -> DesiredResource:
    file = File(b"wanted\n", 0o600, secret=True, made_of=("encryption.key",))
    return DesiredResource(Ref("m1", Kind.FILE, f"{folder}/config"), file, "kube-apiserver", (), "a test")


def test_a_key_is_in_no_answer_and_in_no_argument(tmp_path: Path) -> None:
    config, _ = CONFIGS["several"]
    (tmp_path / "config").write_bytes(config)
    (tmp_path / "bin").mkdir()
    for name in ("awk", "sha256sum", "stat", "base64", "printf", "tr"):
        program(tmp_path / "bin", name, f'echo "$@" >>{tmp_path}/arguments; exec {shutil.which(name)} "$@"')
    item = asked(tmp_path)
    path = f"{tmp_path}/bin:/usr/bin:/bin"
    done = subprocess.run(["sh", "-c", observe.script([item])], env={"PATH": path}, capture_output=True, check=True)
    arguments = (tmp_path / "arguments").read_text()
    assert str(tmp_path / "config") in arguments
    for key in ("QUJD", "eA=="):
        assert key not in done.stdout.decode() + done.stderr.decode() + arguments


def test_a_host_sums_a_bounded_number_of_words(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(b"".join(b"secret: k%d\n" % number for number in range(1000)))
    found = answered(tmp_path, "/usr/bin:/bin")
    assert len(found.sealed) == 64
    (tmp_path / "config").write_bytes(b"secret: k\n" * observe.LARGEST_DIFF)  # too large to be a configuration
    assert not answered(tmp_path, "/usr/bin:/bin").sealed
