"""Inventories and their folders that are broken or meant badly: one message with file and line, and at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from k8s_installer.errors import InputError, InstallerError, InventoryError
from k8s_installer.flows import resolve
from k8s_installer.flows.resolve import checked
from k8s_installer.inventory import load
from k8s_installer.inventory.source import read
from k8s_installer.runs import cache, journal
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

GOOD = """\
cluster:
  name: lab
  version: "1.20.2"
hosts:
  m1: {address: 10.77.0.11, roles: [etcd, master]}
  n1: {address: 10.77.0.21, roles: [node]}
"""
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(9)
)


def refused(folder: Path, text: str) -> str:
    path = folder / "cluster.yaml"
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        checked(path)
    assert time.process_time() - began < 1
    assert caught.value.message.count("\n") < 5
    return caught.value.message.replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x [*x]\n", "cluster.yaml:1: an alias that contains itself"),
        ("a: &x {b: {c: *x}}\n", "cluster.yaml:1: an alias that contains itself"),
        (LAUGHS, "cluster.yaml:6: expands to more than 1,000,000 values through aliases"),
        ("a: " + "[" * 100_000, "cluster.yaml:1: while increasing flow level exceeded maximum nesting depth"),
        ("a:\n" + "- " * 100_000, "cluster.yaml:2: nested more than 64 levels deep"),
        ("a: " + "{b: " * 5000, "cluster.yaml:1: nested more than 64 levels deep"),
        ("".join(f"{' ' * n}a:\n" for n in range(300)), "nested more than 64 levels deep"),
        (GOOD + f"ssh: {{port: {'9' * 5000}}}\n", "cluster.yaml:7: ssh.port: '9999"),
        (GOOD + "ssh: {connect_timeout: 1e999}\n", "cluster.yaml:7: ssh.connect_timeout: "),
        (GOOD + 'ssh: {user: "a\\0b"}\n', "cluster.yaml:7: ssh.user: 'a\\x00b' is not a user name"),
        (GOOD + 'ssh: {key: "a\\0b"}\n', "cluster.yaml:7: ssh.key: file a\0b"),
        (GOOD + "ssh: {key: ~nouser/key}\n", "cluster.yaml:7: ssh.key: file ~nouser/key"),
        (GOOD + f"ssh: {{key: {'x' * 5000}}}\n", "cluster.yaml:7: ssh.key: file xxxx"),
        (GOOD + f"ssh: {{key: /{'x/' * 5000}}}\n", "cluster.yaml:7: ssh.key: file /x/x"),
        (GOOD + "ssh: {key: /dev/zero}\n", "cluster.yaml:7: ssh.key: file /dev/zero"),
        (GOOD.replace("10.77.0.11", "127.0.0.1"), "cluster.yaml:5: host m1: other hosts cannot reach 127.0.0.1: it is a loopback address"),
        (GOOD.replace("10.77.0.11", "0.0.0.0"), "cluster.yaml:5: host m1: other hosts cannot reach 0.0.0.0: it is unspecified"),  # noqa: S104
        (GOOD.replace("10.77.0.11", "224.0.0.1"), "it is a multicast address"),
        (GOOD.replace("10.77.0.11", "169.254.0.1"), "it is a link-local address"),
        (GOOD.replace("10.77.0.11", "255.255.255.255"), "it is the broadcast address"),
        (GOOD.replace("10.77.0.11", "240.0.0.1"), "it is a reserved address"),
        (GOOD.replace("hosts:", "  pod_cidr: 224.0.0.0/16\nhosts:"), "cluster.yaml:4: pod_cidr 224.0.0.0/16 cannot be used"),
        (GOOD.replace("n1:", "kubernetes:"), "cluster.yaml:6: host kubernetes: this name means the API server"),
        (GOOD.replace("n1:", "localhost:"), "cluster.yaml:6: host localhost: this name means every host that looks it up"),
        (GOOD.replace("n1:", "n1-:"), "cluster.yaml:6: hosts.n1-"),
        ("\0", "cluster.yaml"),
        ("\x1b", "cluster.yaml"),
    ],
    ids=lambda text: text[:40].replace("\n", " ") if isinstance(text, str) else None,
)  # fmt: skip
def test_a_bad_inventory_is_refused_in_words_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(tmp_path, text)


def test_hosts_of_one_machine_may_have_its_loopback_addresses(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(GOOD.replace("10.77.0.", "127.0.0."))
    assert [host.address for host in load(path).hosts] == ["127.0.0.11", "127.0.0.21"]


def test_aliases_and_deep_flow_that_mean_no_harm_are_read(tmp_path: Path) -> None:
    data, _ = read(
        "a: &x {b: [1, 2]}\nc: *x\nd: [*x, *x]\n" + "e: [" + ", ".join("[[]]" for _ in range(100)) + "]\n", "f"
    )
    assert isinstance(data, dict)
    assert data["d"] == [{"b": [1, 2]}] * 2


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def circle(path: Path) -> None:
    path.symlink_to(path)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def latin(path: Path) -> None:
    path.write_bytes(b"# \xe9\n")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (fifo, "is a FIFO, not a file"),
        (device, "is a device, not a file"),
        (folder, "is a directory, not a file"),
        (circle, "Too many levels of symbolic links"),
        (huge, "has more than 16 MiB"),
        (latin, "not UTF-8 text"),
    ],
)
@pytest.mark.parametrize(
    "where",
    [
        "cluster.yaml",
        "addons/x.yaml",
        "profiles/1.20.2.yaml",
        "profiles/flags/1.20.2.json",
        ".k8s-installer/lab/allocations",
    ],
)
def test_what_is_no_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None], words: str, where: str
) -> None:
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    inventory = tmp_path / "cluster.yaml"
    if path != inventory:
        inventory.write_text(GOOD)
    make(path)
    began = time.monotonic()
    if where.startswith("profiles") and make in (fifo, device, folder, circle):
        checked(inventory)  # that is no profile: ours is used
    else:
        with pytest.raises(InputError, match=words):
            checked(inventory)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("make", [fifo, device, folder, circle, huge, latin])
def test_what_is_remembered_of_hosts_may_be_no_file_at_all(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "seen.json")
    assert cache.load(tmp_path / "seen.json") == {}


@pytest.mark.parametrize("make", [fifo, device, circle, huge])
def test_neither_a_journal_nor_a_stranger_s_ca_is_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "1.jsonl")
    with pytest.raises(InstallerError, match="cannot read the journal"):
        journal.last(tmp_path)
    (tmp_path / "cluster.yaml").write_text(GOOD)
    (tmp_path / ".k8s-installer/other/pki").mkdir(parents=True)
    make(tmp_path / ".k8s-installer/other/pki/ca.crt")
    assert resolve.renamed_from(load(tmp_path / "cluster.yaml"), {"0" * 64}) == ""


@pytest.mark.parametrize("path", [".k8s-installer", ".k8s-installer/lab"])
def test_a_file_in_the_place_of_the_folder_of_keys_is_not_to_be_removed(tmp_path: Path, path: str) -> None:
    (tmp_path / "cluster.yaml").write_text(GOOD)
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text("keys?")
    with pytest.raises(InputError, match=f"^{tmp_path / path} is not a folder$") as caught:
        checked(tmp_path / "cluster.yaml")
    assert caught.value.hint == ("move it away: the cluster's keys and journals are kept in a folder of this name")


def test_a_file_that_opens_and_cannot_be_read_is_refused_in_words() -> None:
    with pytest.raises(UnreadableError, match=r"^Input/output error$"):
        userfile.content(Path("/proc/self/mem"))


def test_a_profile_that_is_a_bomb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/1.20.2.yaml").write_text(LAUGHS)
    assert "profiles/1.20.2.yaml:6: expands to more than" in refused(tmp_path, GOOD)


def test_a_byte_order_mark_is_no_trouble_and_other_encodings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(path).name == "lab"
    path.write_bytes(GOOD.encode("utf-16"))
    with pytest.raises(InventoryError, match="not UTF-8 text: byte 1 is 0xff"):
        load(path)


def test_paths_that_are_none_are_refused_in_words(tmp_path: Path) -> None:
    for path in (Path("a\0b"), tmp_path / ("x" * 5000), tmp_path / "gone"):
        with pytest.raises(UnreadableError):
            userfile.content(path)
        assert not userfile.is_file(path)
