"""The lock of a whole cluster: on every master, so that no edit of the inventory moves it. Hosts are folders here."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from k8s_installer.cli import applying
from k8s_installer.cli.applying import Options, _locked
from k8s_installer.cli.looking import Asked
from k8s_installer.errors import HostsError, TransportError
from k8s_installer.fleet import Connections
from k8s_installer.inventory import Cluster, Host
from k8s_installer.lock import FOLDER, LockHeld
from k8s_installer.trace import open_trace
from k8s_installer.transport import OnLine, Pool, Result, Transport
from tests.unit.clusters import cluster
from tests.unit.test_lock import Shell


class Master(Shell):
    """A master whose /var/lib is a folder of ours; it hears which of all was asked when."""

    def __init__(self, folder: Path, name: str, asked: list[str]) -> None:
        super().__init__()
        self.host, self.folder, self.asked = name, folder / name, asked

    def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
        self.asked.append(self.host)
        return super().run(script.replace(FOLDER, str(self.folder)), timeout=timeout, on_line=on_line)


class Hosts:
    """Stands in for the connections; those in `away` do not answer."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.away, self.asked = folder, set[str](), list[str]()
        monkeypatch.setattr(applying, "connecting", self.connecting)

    @contextmanager
    def connecting(self, hosts: Sequence[Host]) -> Iterator[Connections]:
        lines = Pool(len(hosts), self.dialled)
        with ThreadPoolExecutor(1) as pool:
            yield Connections(pool, {host.name: lines.line(host) for host in hosts})

    def dialled(self, host: Host) -> Transport:
        if host.name in self.away:
            raise TransportError(host.name, "no answer")
        return Master(self.folder, host.name, self.asked)

    @contextmanager
    def locked(self, *names: str) -> Iterator[None]:
        with open_trace(self.folder / "trace") as trace, _locked(masters(*names), options(), trace):
            yield


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    return Hosts(tmp_path, monkeypatch)


def masters(*names: str) -> Cluster:
    hosts = [f"{name}: {{address: 10.77.0.{ord(name[0]) + int(name[1])}, roles: [master]}}" for name in names]
    etcd = "e1: {address: 10.77.0.1, roles: [etcd, node]}"
    return cluster(topology="\n  " + "\n  ".join([etcd, *hosts]) + "\n")


def options() -> Options:
    return Options(Asked(Path("c.yaml"), None), 0.0)


@pytest.mark.parametrize(
    "edited", [("m3", "m2", "m1"), ("m2", "m3"), ("m3",), ("a0", "m1"), ("m2", "m4", "m5", "m6", "m7")]
)
def test_no_edit_of_the_masters_lets_a_second_run_in(hosts: Hosts, edited: tuple[str, ...]) -> None:
    with hosts.locked("m1", "m2", "m3"), pytest.raises(LockHeld), hosts.locked(*edited):
        raise AssertionError("two runs at once")
    with hosts.locked(*edited):
        pass  # and it holds nothing that it could not get as a whole


def test_it_is_taken_in_the_order_of_the_names(hosts: Hosts) -> None:
    with hosts.locked("m3", "m1", "m2"):
        assert hosts.asked[:3] == ["m1", "m2", "m3"]


def test_a_master_that_is_away_is_passed_over_while_more_than_half_are_there(hosts: Hosts) -> None:
    hosts.away = {"m1"}
    with hosts.locked("m1", "m2", "m3"):
        hosts.away = {"m2"}
        with pytest.raises(LockHeld), hosts.locked("m1", "m2", "m3"):
            raise AssertionError("two runs at once")
    hosts.away = {"m1", "m3"}
    with pytest.raises(HostsError, match=r"m1: no answer\nm3: no answer"), hosts.locked("m1", "m2", "m3"):
        raise AssertionError("a minority holds no lock")


def test_of_two_that_begin_together_one_gets_it(hosts: Hosts) -> None:
    inside, refused = list[int](), list[int]()
    both, over = threading.Barrier(2, timeout=10), threading.Barrier(2, timeout=10)

    def begin(number: int) -> None:
        both.wait()
        try:
            with hosts.locked("m1", "m2", "m3"):
                inside.append(number)
                over.wait()
        except LockHeld:
            refused.append(number)
            over.wait()

    runs = [threading.Thread(target=begin, args=(number,)) for number in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(20)
    assert (len(inside), len(refused)) == (1, 1)
