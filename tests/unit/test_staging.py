from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from k8s_installer.host.perform import script as changes
from k8s_installer.host.upload import evidence, script
from k8s_installer.model.plan import Action, Change
from k8s_installer.model.resources import Kind, Missing, Ref, UploadedFile
from tests.unit.test_perform import marks, program, shell

BYTES = bytes(range(256)) * 100


def wanted(mode: int = 0o755) -> UploadedFile:
    return UploadedFile(
        Path("source"), hashlib.sha256(BYTES).hexdigest(), len(BYTES), mode, Path.home().owner(), Path.home().group()
    )


def begun(folder: Path, size: int, *, packed: bool, programs: str = "/usr/bin:/bin") -> subprocess.Popen[bytes]:
    """The script as a host runs it, which waits for what comes; `size` is what was said to come."""
    environment = {
        "PATH": f"{folder}:{programs}",
        "K8S_INSTALLER_KEPT": f"{folder}/kept",
        "K8S_INSTALLER_INCOMING": f"{folder}/incoming",
    }
    argv = ["/bin/sh", "-c", script(wanted(), size, packed=packed)]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)


def staged(
    folder: Path, coming: bytes, *, packed: bool, of: int = 0, programs: str = "/usr/bin:/bin"
) -> subprocess.CompletedProcess[bytes]:
    """Run the script as a host would, with `coming` on its stdin; `of` is what was said to come."""
    with begun(folder, of or len(coming), packed=packed, programs=programs) as process:
        out, err = process.communicate(coming)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "incoming").iterdir())


@pytest.mark.parametrize("openssl", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_what_arrives_whole_is_staged_under_its_sum(tmp_path: Path, *, packed: bool, openssl: bool) -> None:
    if not openssl:
        for tool in ("dd", "df", "stat", "find", "mkdir", "mv", "rm", "tee", "cat", "gzip", "cut", "sha256sum"):
            (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    programs = "/usr/bin:/bin" if openssl else ""
    result = staged(tmp_path, gzip.compress(BYTES) if packed else BYTES, packed=packed, programs=programs)
    assert (result.returncode, result.stdout) == (0, b"send 0\n")
    assert names(tmp_path) == [wanted().sha256]
    assert (tmp_path / "incoming" / wanted().sha256).read_bytes() == BYTES
    assert (tmp_path / "incoming").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("packed", [True, False])
def test_what_breaks_off_is_gone_on_with(tmp_path: Path, *, packed: bool) -> None:
    coming = gzip.compress(BYTES, mtime=0) if packed else BYTES
    first = staged(tmp_path, coming[:300], packed=packed, of=len(coming))
    assert first.returncode == 1
    assert b"the next `apply` resumes it" in first.stdout
    second = staged(tmp_path, coming[300:], packed=packed, of=len(coming))
    assert (second.returncode, second.stdout) == (0, b"send 300\n")
    assert names(tmp_path) == [wanted().sha256]


@pytest.mark.parametrize("sent", [300, len(BYTES)])
def test_one_that_was_given_up_for_being_slow_and_ends_late_takes_nothing_from_the_next(
    tmp_path: Path, sent: int
) -> None:
    """A trial of plain bytes is given up, and the same file comes compressed before the host knows."""
    coming = gzip.compress(BYTES, mtime=0)
    with begun(tmp_path, len(coming), packed=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"send 0\n"
        trial = staged(tmp_path, BYTES[:sent], packed=False, of=len(BYTES))
        assert trial.returncode == (0 if sent == len(BYTES) else 1)
        process.communicate(coming)
    assert process.returncode == 0
    assert wanted().sha256 in names(tmp_path)
    assert (tmp_path / "incoming" / wanted().sha256).read_bytes() == BYTES


@pytest.mark.parametrize("packed", [True, False])
def test_what_arrives_whole_and_wrong_is_thrown_away(tmp_path: Path, *, packed: bool) -> None:
    result = staged(tmp_path, b"x" * 500, packed=packed)
    assert result.returncode == 1
    assert "sends it again" in evidence(result.stdout.decode(), result.stderr.decode())
    assert names(tmp_path) == []


def test_another_compressed_copy_is_another_upload(tmp_path: Path) -> None:
    one, two = gzip.compress(BYTES, 1), gzip.compress(BYTES, 1) + gzip.compress(b"")
    staged(tmp_path, one[:100], packed=True, of=len(one))
    assert staged(tmp_path, two, packed=True).stdout == b"send 0\n"
    assert names(tmp_path) == [wanted().sha256]


def test_what_the_host_has_is_not_asked_for(tmp_path: Path) -> None:
    staged(tmp_path, BYTES, packed=False)
    assert (staged(tmp_path, b"", packed=False).returncode, staged(tmp_path, b"", packed=False).stdout) == (0, b"")
    (tmp_path / "kept").mkdir()
    (tmp_path / "incoming" / wanted().sha256).rename(tmp_path / "kept" / wanted().sha256)
    again = staged(tmp_path, b"", packed=False)
    assert (again.returncode, again.stdout) == (0, b"")
    assert names(tmp_path) == [wanted().sha256]
    assert (tmp_path / "kept" / wanted().sha256).exists()


def test_what_nobody_goes_on_with_is_removed_after_a_week(tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    for name, days in (("old.5.part", 9), ("new.5.part", 2)):
        (tmp_path / "incoming" / name).write_text("x")
        then = (tmp_path / "incoming" / name).stat().st_mtime - 86400 * days
        os.utime(tmp_path / "incoming" / name, (then, then))
    staged(tmp_path, BYTES, packed=False)
    assert names(tmp_path) == [wanted().sha256, "new.5.part"]


def test_a_disk_without_room_is_told_before_anything_comes(tmp_path: Path) -> None:
    program(tmp_path, "df", "echo Filesystem 1024-blocks Used Available; echo /dev/vda1 9 9 20 100% /")
    result = staged(tmp_path, BYTES, packed=False)
    assert (result.returncode, result.stdout.split(b"\n")[0]) == (1, b"no room: 0 MB more are needed")


def test_evidence_is_what_was_said_to_people() -> None:
    assert evidence("send 12\nno room\n", "") == "no room"
    assert evidence("send 12\nit broke\n", "gzip: trailing garbage\n") == "it broke\ngzip: trailing garbage"
    assert evidence("we send 12\n", "") == "we send 12"


def test_what_is_staged_is_placed_once_and_copied_for_the_others(tmp_path: Path) -> None:
    staged(tmp_path, BYTES, packed=False)
    inode = (tmp_path / "incoming" / wanted().sha256).stat().st_ino
    targets = [tmp_path / "bin" / name for name in ("kubectl", "k")]
    refs = [Ref("m1", Kind.FILE, str(target)) for target in targets]
    placed = [Change(ref, Action.CREATE, "kubelet", Missing.ABSENT, wanted(), "a test") for ref in refs]
    result = shell(changes(list(enumerate(placed))), tmp_path)
    assert marks(result.stdout) == ["begin 0", "done 0", "begin 1", "done 1"]
    assert [target.read_bytes() for target in targets] == [BYTES, BYTES]
    assert [target.stat().st_mode & 0o777 for target in targets] == [0o755, 0o755]
    assert targets[1].stat().st_ino == inode  # renamed, not copied
    assert names(tmp_path) == []


def test_what_is_not_staged_leaves_the_old_file(tmp_path: Path) -> None:
    ref = Ref("m1", Kind.FILE, str(tmp_path / "kubelet"))
    change = Change(ref, Action.CREATE, "kubelet", Missing.ABSENT, wanted(), "a test")
    result = shell(changes([(0, change)]), tmp_path)
    assert marks(result.stdout) == ["begin 0", "failed 0"]
    assert "No such file" in result.stdout
    assert not (tmp_path / "kubelet").exists()
