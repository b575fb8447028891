from __future__ import annotations

import gzip
import hashlib
import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BufferedReader
from pathlib import Path

import pytest

from k8s_installer.errors import InstallerError
from k8s_installer.host import compression
from k8s_installer.host.compression import Packed, Packer, plain
from k8s_installer.model.resources import UploadedFile

PROGRAM = b"".join(b"%x: an instruction\n" % number for number in range(100_000))
NOISE = random.Random(1).randbytes(300_000)  # noqa: S311 - no secret, but the same in each run


def large(folder: Path, content: bytes) -> UploadedFile:
    source = folder / "source"
    source.write_bytes(content)
    return UploadedFile(source, hashlib.sha256(content).hexdigest(), len(content))


def test_a_program_shrinks_and_noise_does_not(tmp_path: Path) -> None:
    packer, file = Packer(), large(tmp_path, PROGRAM)
    assert packer.shrinks(file)
    file.source.unlink()
    assert packer.shrinks(file)  # looked at once
    assert not Packer().shrinks(large(tmp_path, NOISE))
    assert not Packer().shrinks(large(tmp_path, b""))
    assert not Packer().shrinks(large(tmp_path, PROGRAM[:200_000] + NOISE * 4))  # most of it does not


def test_the_compressed_copy_is_the_file_and_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "_BLOCK", 100_000)  # so that there are more blocks than processors
    file = large(tmp_path, PROGRAM)
    first = Packer(tmp_path / "one").gzipped(file)
    assert first == Packed(tmp_path / "one" / f"{file.sha256}.gz", first.path.stat().st_size, gzip=True)
    assert gzip.decompress(first.path.read_bytes()) == PROGRAM
    assert first.size < len(PROGRAM) / 3
    second = Packer(tmp_path / "two").gzipped(file)
    assert second.path.read_bytes() == first.path.read_bytes()
    assert [path.name for path in (tmp_path / "one").iterdir()] == [f"{file.sha256}.gz"]


def test_the_copy_of_a_secret_file_stays_beside_it(tmp_path: Path) -> None:
    file = replace(large(tmp_path, PROGRAM), secret=True)
    packed = Packer(tmp_path / "cache").gzipped(file)
    assert packed.path.parent == tmp_path / "packed"
    assert not (tmp_path / "cache").exists()


def test_a_copy_is_made_once_for_all_hosts_and_found_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    real = compression._compress

    def compress(file: UploadedFile, source: BufferedReader, target: Path) -> None:
        made.append(target)
        real(file, source, target)

    monkeypatch.setattr(compression, "_compress", compress)
    file, packer = large(tmp_path, PROGRAM), Packer(tmp_path / "cache")
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: packer.gzipped(file), range(8)))) == 1
    assert Packer(tmp_path / "cache").gzipped(file) == packer.gzipped(file)
    assert len(made) == 1


def test_copies_that_nobody_has_used_for_a_week_go(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for name, days in (("old.gz", 8), ("new.gz", 6)):
        (cache / name).touch()
        then = (cache / name).stat().st_mtime - 86400 * days
        os.utime(cache / name, (then, then))
    file = large(tmp_path, PROGRAM)
    Packer(cache).gzipped(file)
    assert sorted(path.name for path in cache.iterdir()) == sorted(["new.gz", f"{file.sha256}.gz"])


def test_where_there_is_no_room_for_a_copy_the_file_goes_as_it_is(tmp_path: Path) -> None:
    file = large(tmp_path, PROGRAM)
    (tmp_path / "cache").write_text("no folder")
    assert Packer(tmp_path / "cache").gzipped(file) == plain(file) == Packed(file.source, len(PROGRAM), gzip=False)


def test_copies_are_in_the_cache_of_whoever_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = large(tmp_path, PROGRAM)
    assert Packer().gzipped(file).path == tmp_path / "cache" / "k8s-installer" / "uploads" / f"{file.sha256}.gz"


def test_another_file_than_what_is_wanted_is_refused(tmp_path: Path) -> None:
    file = large(tmp_path, PROGRAM)
    file.source.write_bytes(PROGRAM[::-1])
    for look in (Packer(tmp_path / "cache").shrinks, Packer(tmp_path / "cache").gzipped):
        with pytest.raises(InstallerError, match="is a different file: its SHA-256 is") as refused:
            look(file)
        assert refused.value.hint
    assert list((tmp_path / "cache").iterdir()) == []
    file.source.write_bytes(PROGRAM[1:])
    with pytest.raises(InstallerError, match=f"has {len(PROGRAM) - 1} bytes, not {len(PROGRAM)}"):
        Packer().shrinks(file)
    file.source.unlink()
    with pytest.raises(InstallerError, match=r"cannot read .*: No such file"):
        Packer().shrinks(file)
