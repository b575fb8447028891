"""What a repository offers, and what of it some packages take."""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
from pathlib import Path

import pytest

from k8s_installer.bundle import repodata, rpmfile
from k8s_installer.bundle.closure import Closure, Offers, closure
from k8s_installer.bundle.folder import folder_repository
from k8s_installer.bundle.packages import Repositories, fetched
from k8s_installer.bundle.repodata import BadMetadataError, Capability, holds
from k8s_installer.bundle.store import Store, nothing
from k8s_installer.errors import InputError, InstallerError
from k8s_installer.model.resources import Package
from k8s_installer.planning.evr import Evr, compare
from tests.unit.repositories import Built, filelists_xml, primary_xml, repository, rpm_file


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ("1.10", "1.9"), ("1.0.1", "1.0"), ("1.0", "1.0~rc1"), ("1.0~rc2", "1.0~rc1"), ("2.1", "2.a"), ("1.b", "1.a"),
        ("1.13.1", "1.5.2"), ("1.0.1", "1.0~1"), ("2.0.01.1", "2.0.1.0"), ("1.010", "1.9"), ("1.0a", "1.0"), ("20180405git", "2018"),
    ],
)  # fmt: skip
def test_versions_sort_as_rpm_sorts_them(newer: str, older: str) -> None:
    one, other = Evr("0", newer, "1"), Evr("0", older, "1")
    assert (compare(one, other), compare(other, one), compare(one, one)) == (1, -1, 0)
    assert compare(Evr("", newer, "1"), Evr("1", older, "1")) == -1
    assert compare(Evr("0", older, newer), Evr("0", older, older)) == 1
    assert compare(Evr("0", older, "7"), Evr("0", older, "")) == 0


@pytest.mark.parametrize(
    ("provided", "required", "fits"),
    [
        ("a EQ 2", "a", True), ("a", "a EQ 2", True), ("a EQ 2", "b", False), ("a EQ 2", "a EQ 2", True),
        ("a EQ 2", "a EQ 3", False), ("a EQ 2", "a GE 2", True), ("a EQ 2", "a GT 2", False),
        ("a EQ 2", "a LT 3", True), ("a EQ 2", "a LE 1", False), ("a GE 2", "a EQ 1", True),
    ],
)  # fmt: skip
def test_a_requirement_is_met_by_name_and_version(provided: str, required: str, fits: object) -> None:
    assert holds(capability(provided), capability(required)) is fits


def capability(text: str) -> Capability:
    name, _, rest = text.partition(" ")
    flags, _, version = rest.partition(" ")
    return Capability(name, flags, Evr("0", version, ""))


def found(wanted: list[Package], built: list[Built], *assumed: str) -> Closure:
    return closure(wanted, Offers.of(repodata.primary(primary_xml(built).encode(), "")), assumed)


def names(done: Closure) -> list[str]:
    return sorted(map(str, done.rpms))


def test_a_closure_is_what_is_wanted_and_all_that_it_requires_in_the_newest_version() -> None:
    built = [
        Built("docker", "1.12", epoch="2"),
        Built("docker", "1.13", epoch="2", requires=["docker-client EQ 1.13", "/bin/sh", "rpmlib(X) LE 4"]),
        Built("docker-client", "1.12"),
        Built("docker-client", "1.13"),
        Built("docker-client", "1.14"),
        Built("bash", files=["/usr/bin/sh"], provides=["/bin/sh"], requires=["libc.so.6"]),
        Built("glibc", provides=["libc.so.6"], requires=["bash"]),
        Built("other"),
        Built("glibc", arch="i686", version="9"),
    ]
    done = found([Package("docker")], built)
    assert names(done) == [
        "bash-1.0-1.el7.x86_64", "docker-1.13-1.el7.x86_64", "docker-client-1.13-1.el7.x86_64", "glibc-1.0-1.el7.x86_64",
    ]  # fmt: skip
    assert done.lacking == ()
    assert names(found([Package("docker", "1.12")], built)) == ["docker-1.12-1.el7.x86_64"]


@pytest.mark.parametrize(
    ("version", "release"),
    [("", "10"), ("1.13", "10"), ("1.13-9", "9"), ("2:1.13-9", "9"), ("1.13-8", ""), ("1:1.13-9", "")],
)
def test_a_package_may_be_wanted_in_one_release(version: str, release: str) -> None:
    built = [Built("docker", "1.13", epoch="2", release=one) for one in ("9", "10")]
    done = found([Package("docker", version)], built)
    assert names(done) == [f"docker-1.13-{release}.x86_64"] * bool(release)
    assert bool(done.lacking) is not bool(release)


def test_of_several_providers_it_takes_one_that_is_there_then_the_one_of_that_name_then_the_shortest_name() -> None:
    built = [
        Built("app", requires=["mta", "web"]),
        Built("sendmail", provides=["mta"]),
        Built("exim", provides=["mta", "web"]),
        Built("web"),
        Built("nginx", provides=["web"]),
    ]
    assert names(found([Package("app")], built)) == [f"{name}-1.0-1.el7.x86_64" for name in ("app", "exim")]
    chosen = found([Package("app"), Package("sendmail")], built)
    assert names(chosen) == [f"{name}-1.0-1.el7.x86_64" for name in ("app", "sendmail", "web")]


def test_all_that_is_lacking_is_said_at_once_but_for_what_hosts_have() -> None:
    built = [Built("app", requires=["libfoo GE 2", "systemd"]), Built("libfoo", "1.0")]
    done = found([Package("app"), Package("etcd"), Package("libfoo", "3"), Package("socat")], built, "system*", "socat")
    assert done.lacking == (
        "no package etcd",
        "no package libfoo 3 (available: 1.0)",
        "nothing provides libfoo >= 2, which app-1.0-1.el7.x86_64 requires",
    )


def test_what_is_written_says_what_was_read(tmp_path: Path) -> None:
    built = [Built("b", requires=["/opt/x"], files=["/usr/bin/b", "/opt/b"]), Built("a", provides=["c EQ 2"])]
    read = Repositories(Store(tmp_path / "store"))
    read.add(repository(tmp_path / "repo", built).as_uri())
    (done,) = read.closures([[Package("a"), Package("b")]], ["/opt/x"])
    files = repodata.written(done.rpms)
    assert repodata.written(reversed(done.rpms)) == files
    named = repodata.repomd(files["repodata/repomd.xml"])
    for name, data in named.items():
        content = files[f"repodata/{name}.xml.gz"]
        assert (data.location, data.size) == (f"repodata/{name}.xml.gz", len(content))
    again = list(repodata.primary(files["repodata/primary.xml.gz"], read.rpms[0].base))
    assert sorted(map(str, again)) == sorted(map(str, read.rpms))
    first, second = (sorted(rpms, key=str) for rpms in (again, read.rpms))
    assert [(rpm.provides, rpm.requires, rpm.paths, rpm.sum) for rpm in first] == [
        (rpm.provides, rpm.requires, rpm.paths, rpm.sum) for rpm in second
    ]
    text = gzip.decompress(files["repodata/primary.xml.gz"]).decode()
    assert '<rpm:entry name="c" flags="EQ" epoch="0" ver="2"/>' in text  # yum 3.4 goes by the prefix
    assert "<summary>A &amp; B &lt;c&gt;</summary>" in text
    lists = gzip.decompress(files["repodata/filelists.xml.gz"]).decode()
    assert lists.count("<file>") == 2


def test_a_file_that_primary_does_not_name_is_found_in_the_lists(tmp_path: Path) -> None:
    built = [Built("a", requires=["/opt/b"]), Built("b", files=["/opt/b"])]
    read = Repositories(Store(tmp_path / "store"))
    read.add(repository(tmp_path / "repo", built).as_uri() + "/")
    (done,) = read.closures([[Package("a")]], ())
    assert names(done) == ["a-1.0-1.el7.x86_64", "b-1.0-1.el7.x86_64"]


def test_a_package_that_the_lists_do_not_name_has_no_files() -> None:
    (rpm,) = repodata.with_filelists(repodata.primary(primary_xml([Built("a")]).encode(), ""), {})
    assert list(
        repodata.filelists(gzip.decompress(repodata.written([rpm])["repodata/filelists.xml.gz"]), {rpm.sum[1]}, ())
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x28\xb5\x2f\xfd", "createrepo_c --general-compress-type=gz"),
        (b"<metadata><package>", "cannot be read"),
        (b"\x1f\x8b\x08", "cannot be read"),
        (
            primary_xml([Built("a")]).replace("<location", "<elsewhere").encode(),
            "description is incomplete: 'location'",
        ),
        (primary_xml([Built("a")]).replace('size package="', 'size package="x').encode(), "description is incomplete"),
    ],
)
def test_what_is_no_metadata_is_said(data: bytes, words: str) -> None:
    with pytest.raises(BadMetadataError, match=re.escape(words)):
        list(repodata.primary(data, ""))


def test_a_repomd_that_is_none_is_said() -> None:
    with pytest.raises(BadMetadataError, match="not XML"):
        repodata.repomd(b"<html>")
    with pytest.raises(BadMetadataError, match="names no primary and no filelists"):
        repodata.repomd(b'<r xmlns="http://linux.duke.edu/metadata/repo"><data type="primary"/></r>')


def test_an_rpm_says_whether_it_is_signed() -> None:
    assert rpmfile.is_signed(rpm_file(signed=True))
    assert not rpmfile.is_signed(rpm_file())
    for wrong in (b"", b"<html>" * 99, rpm_file()[:100] + b"x" * 40, rpm_file()[:115]):
        with pytest.raises(rpmfile.NoRpmError):
            rpmfile.is_signed(wrong)


def test_packages_are_fetched_and_compared_with_the_sums_of_their_repository(tmp_path: Path) -> None:
    built = [Built("a", signed=True), Built("b")]
    folder, store, said = repository(tmp_path / "repo", built), Store(tmp_path / "store"), list[str]()
    read = Repositories(store)
    read.add(folder.as_uri())
    assert names(read.closures([[Package("a")]], ())[0]) == ["a-1.0-1.el7.x86_64"]
    had = fetched(read.rpms, store, said.append)
    assert [(one.rpm.name, one.signed, one.path.read_bytes()) for one in had] == [
        ("a", True, built[0].content),
        ("b", False, built[1].content),
    ]
    assert said[-1].startswith("packages: ")
    shutil.rmtree(store.folder)
    store.folder.mkdir()
    (folder / built[1].file).write_bytes(b"x" * len(built[1].content))
    with pytest.raises(InstallerError, match="does not match its source"):
        fetched(read.rpms, store, nothing)


def test_what_a_repository_calls_an_rpm_and_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.repositories.rpm_file", lambda **_: b"<html>")
    read = Repositories(Store(tmp_path / "store"))
    read.add(repository(tmp_path / "repo", [Built("a")]).as_uri())
    with pytest.raises(InstallerError, match="is not an RPM"):
        fetched(read.rpms, read.store, nothing)


def test_sums_by_sha1_are_followed_by_one_of_our_own(tmp_path: Path) -> None:

    built = Built("a")
    folder = repository(tmp_path / "repo", [built])
    path = folder / "repodata/primary.xml.gz"
    text = gzip.decompress(path.read_bytes()).decode()
    text = text.replace(built.sum, hashlib.sha1(built.content).hexdigest()).replace('type="sha256"', 'type="sha"')  # noqa: S324
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(gzip.compress(text.encode()))
    repomd = folder / "repodata/repomd.xml"
    known = repomd.read_text().replace(before, hashlib.sha256(path.read_bytes()).hexdigest())
    repomd.write_text(re.sub("<size>[0-9]+</size>", "", known))
    read = Repositories(Store(tmp_path / "store"))
    read.add(folder.as_uri())
    (had,) = fetched(read.rpms, read.store, nothing)
    assert had.sha256 == built.sum
    repomd.write_text(repomd.read_text().replace('type="sha256"', 'type="md5"'))
    with pytest.raises(InstallerError, match="its sums are md5"):
        read.add(folder.as_uri())


def test_a_folder_with_metadata_is_a_repository_and_one_without_needs_createrepo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "repo", [Built("a")])
    with folder_repository(folder) as address:
        assert address == folder.as_uri()
    shutil.rmtree(folder / "repodata")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(InputError, match="createrepo_c is not installed"), folder_repository(folder):
        pass


def test_filelists_say_what_is_asked_for_alone() -> None:
    built = [Built("a", files=["/opt/a"]), Built("b", files=["/opt/b"]), Built("c")]
    data = filelists_xml(built).encode()
    told = list(repodata.filelists(data, {built[0].sum}, {"/opt/b"}))
    assert [(pkgid, bool(text), paths) for pkgid, text, paths in told] == [
        (built[0].sum, True, []),
        (built[1].sum, False, ["/opt/b"]),
    ]
