"""The lock of a whole cluster: on every master, so that no edit of the inventory moves it. Hosts are folders here."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from k8s_installer.engine import lease
from k8s_installer.engine.lease import FOLDER, LockHeld, Terms
from k8s_installer.engine.lock import LockOutOfReach, hold
from k8s_installer.engine.owner import this_process
from k8s_installer.errors import TransportError
from k8s_installer.transport import OnLine, Result
from tests.unit.test_lease import Shell


class Master(Shell):
    """A master whose /var/lib is a folder of ours; it hears which of all was asked when."""

    def __init__(self, folder: Path, name: str, hosts: Hosts) -> None:
        super().__init__()
        self.host, self.folder, self.hosts = name, folder / name, hosts

    def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
        if self.host in self.hosts.away:
            raise TransportError(self.host, "no answer")
        self.hosts.asked.append(self.host)
        return super().run(script.replace(FOLDER, str(self.folder)), timeout=timeout, on_line=on_line)


class Hosts:
    """Masters by name, of which those in `away` do not answer; and what is said of the lock meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.away, self.asked = folder, set[str](), list[str]()
        self.said: queue.SimpleQueue[str] = queue.SimpleQueue()

    @contextmanager
    def locked(self, *names: str, force: bool = False, skip: bool = False) -> Iterator[threading.Event]:
        ways = {name: Master(self.folder, name, self) for name in names}
        with hold(ways, this_process(), force=force, skip=skip, say=self.said.put) as lost:
            yield lost

    def hears(self) -> str:
        return self.said.get(timeout=5)


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    monkeypatch.setattr(lease, "hold", partial(lease.hold, terms=Terms(lease=60, beat=0.02, give_up=2.0)))
    return Hosts(tmp_path)


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
        assert list(dict.fromkeys(hosts.asked)) == ["m1", "m2", "m3"]


def test_a_master_that_is_away_is_passed_over_while_more_than_half_are_there(hosts: Hosts) -> None:
    hosts.away = {"m1"}
    with hosts.locked("m1", "m2", "m3"):
        hosts.away = {"m2"}
        with pytest.raises(LockHeld), hosts.locked("m1", "m2", "m3"):
            raise AssertionError("two runs at once")
        hosts.away = set()
    hosts.away = {"m1", "m3"}
    with pytest.raises(LockOutOfReach, match=r"m1: no answer\nm3: no answer"), hosts.locked("m1", "m2", "m3"):
        raise AssertionError("a minority holds no lock")


def test_two_masters_of_which_one_is_down_say_that_it_is_about_the_lock(hosts: Hosts) -> None:
    hosts.away = {"m2"}
    with pytest.raises(LockOutOfReach) as refused, hosts.locked("m1", "m2"):
        raise AssertionError("half of the masters are not enough")
    assert refused.value.message == (
        "the cluster's lock cannot be taken: every run needs it on more than half of the "
        "masters, but 1 of 2 answers\nm2: no answer"
    )
    assert refused.value.hint == (
        "nothing was changed. Bring m2 back, or fix the network, then try again. If that is not possible, and nobody "
        "else is changing this cluster: --break-lock takes the lock without m2"
    )
    with hosts.locked("m1", "m2", force=True) as lost:
        assert not lost.is_set()
        hosts.away = {"m1", "m2"}
        assert hosts.hears() == "m1: the lock could not be renewed for 2 s: m1: no answer: no new steps are started"
        assert lost.is_set()
    with pytest.raises(LockOutOfReach, match="none of 2 answer") as refused, hosts.locked("m1", "m2", force=True):
        raise AssertionError("there is no lock at all")
    assert "--break-lock" not in refused.value.hint


@pytest.mark.parametrize("away", [{"m1"}, {"m1", "m2"}])
def test_a_run_that_skips_who_does_not_answer_needs_no_master(hosts: Hosts, away: set[str]) -> None:
    hosts.away = away
    with hosts.locked("m1", "m2", skip=True) as lost:
        assert not lost.is_set()
        if away == {"m1"}:
            with pytest.raises(LockHeld), hosts.locked("m1", "m2", skip=True):
                raise AssertionError("two runs at once")


def test_a_run_outlives_the_loss_of_fewer_than_half_of_its_leases(hosts: Hosts) -> None:
    with hosts.locked("m1", "m2", "m3") as lost:
        hosts.away = {"m2"}
        words = "m2: the lock could not be renewed for 2 s: m2: no answer: the run continues with 2 of 3 masters"
        assert hosts.hears() == words
        with pytest.raises(LockHeld), hosts.locked("m1", "m2", "m3"):
            raise AssertionError("two runs at once")
        hosts.away = set()
        assert hosts.hears() == "m2: this run holds the lock again"
        assert not lost.is_set()
        hosts.away = {"m1", "m3"}
        assert "the run continues with 2 of 3 masters" in hosts.hears()
        assert "no new steps are started" in hosts.hears()
        assert lost.is_set()
        hosts.away = set()  # what has begun is finished, and the lock keeps others out until then
    assert hosts.said.empty()


def test_a_master_that_was_away_at_the_start_counts_as_lost(hosts: Hosts) -> None:
    hosts.away = {"m1"}
    with hosts.locked("m1", "m2", "m3") as lost:
        hosts.away = {"m1", "m3"}
        assert hosts.hears().endswith("no new steps are started")
        assert lost.is_set()


def test_after_a_suspension_nothing_begins_before_the_leases_are_known_to_have_ended(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep = 0.0
    monkeypatch.setattr(lease, "uptime", lambda: time.monotonic() + asleep)
    # the renewing threads sleep on
    monkeypatch.setattr(lease, "hold", partial(lease.hold, terms=Terms(lease=60, beat=30, give_up=55)))
    with hosts.locked("m1", "m2", "m3") as lost:
        assert not lost.is_set()
        asleep = 60.0
        assert lost.is_set()
        words = "the lock could not be renewed for 55 s: this machine was suspended, or too busy to renew it"
        assert hosts.hears() == f"m1: {words}: the run continues with 2 of 3 masters"
        assert hosts.hears() == f"m2: {words}: no new steps are started"
    assert hosts.said.empty()


def test_a_lease_that_is_gone_is_taken_again(hosts: Hosts) -> None:
    with hosts.locked("m1", "m2", "m3") as lost:
        (hosts.folder / "m3/lock").unlink()
        assert (
            hosts.hears()
            == "m3: the lock of this run was taken over: nobody holds it any more: the run continues with 2 of 3 masters"
        )
        assert hosts.hears() == "m3: this run holds the lock again"
        assert not lost.is_set()


def test_a_run_whose_lock_is_broken_stops_and_says_so_once(hosts: Hosts) -> None:
    with hosts.locked("m1", "m2", "m3") as lost, hosts.locked("m1", "m2", "m3", force=True) as other:
        assert "the run continues" in hosts.hears()
        assert "no new steps are started" in hosts.hears()
        asked = len(hosts.asked)
        while len(hosts.asked) < asked + 18:  # three renewals of each, by both
            assert not other.wait(0.02)
        assert lost.is_set()
    assert hosts.said.empty()


def test_a_run_stops_for_another_that_broke_the_lock_of_a_master_that_they_share(hosts: Hosts) -> None:
    """Of three leases that is fewer than half, but two runs change the same master."""
    with hosts.locked("m1", "m2", "m3") as lost:
        with hosts.locked("m3", "m9", force=True):
            assert "the run continues" in hosts.hears()
            words = hosts.hears()
            assert words.startswith("m3: the lock of this run was taken over: ")
            assert words.endswith("no new steps are started")
        assert lost.is_set()


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
