from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from k8s_installer.engine import lease
from k8s_installer.engine.lease import (
    Claim,
    LockHeld,
    LockLost,
    LockReply,
    Terms,
    hold,
    parse,
    release_script,
    renew_script,
    take_script,
)
from k8s_installer.engine.owner import Owner, this_process
from k8s_installer.errors import CommandFailed, HostError, TransportError
from k8s_installer.transport import OnLine, Result
from k8s_installer.transport.session import wrap
from tests.fakes import NoUploads

ALICE, BOB = Owner("alice@laptop", 4711), Owner("bob@desk", 12)
SHELLS = [["/bin/sh", "-s"], *([["bash", "--posix", "-s"]] if shutil.which("bash") else [])]
# renewals follow each other at once, and give up only where a test says so
QUICK = Terms(lease=60, beat=0.01, give_up=30.0)


class Shell(NoUploads):
    """A `Transport` to this machine; `trouble` is raised in place of running what contains its word."""

    host = "m1"

    def __init__(self, shell: list[str] = SHELLS[0]) -> None:
        self.shell = shell
        self.trouble: dict[str, Exception] = {}
        self.renewed = threading.Semaphore(0)

    def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
        for word, error in self.trouble.items():
            if word in script:
                raise error
        text = wrap(script, "marker")
        done = subprocess.run(self.shell, input=text, capture_output=True, text=True, check=False, timeout=10)
        if "say renewed" in script:
            self.renewed.release()
        return Result(done.returncode, done.stdout, done.stderr)

    def close(self) -> None:
        raise AssertionError("the lock does not close a connection that it was given")


@pytest.fixture(params=SHELLS, ids=lambda shell: Path(shell[0]).name)
def shell(request: pytest.FixtureRequest) -> Shell:
    return Shell(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "it's here" / "k8s-installer"


def claim(folder: Path, owner: Owner, lease: int = 60) -> Claim:
    return Claim(str(folder), f"token-{owner.pid}", owner, lease)


def said(shell: Shell, script: str) -> LockReply:
    result = shell.run(script)
    assert (result.status, result.stderr) == (0, "marker\n"), result
    answer = parse(result.stdout)
    assert answer is not None
    return answer


def take(shell: Shell, claim: Claim, *, force: bool = False) -> LockReply:
    held = said(shell, take_script(claim))
    return said(shell, take_script(claim, held.token)) if force else held


def unexpected(news: object) -> None:
    raise AssertionError(news)


def test_a_free_lock_is_taken_and_kept_from_others_until_it_is_released(shell: Shell, folder: Path) -> None:
    assert take(shell, claim(folder, ALICE)).word == "taken"
    held = take(shell, claim(folder, BOB))
    assert (held.word, held.owner, held.pid, held.until - held.since) == ("held", "alice@laptop", 4711, 60)
    assert said(shell, release_script(claim(folder, BOB))).word == "lost"
    assert said(shell, release_script(claim(folder, ALICE))).word == "released"
    assert take(shell, claim(folder, BOB)).word == "taken"


def test_the_lock_is_for_root_alone(shell: Shell, folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    take(shell, claim(folder, ALICE))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {"guard": 0o600, "lock": 0o600}


def test_of_many_that_come_at_the_same_time_one_gets_the_lock(folder: Path) -> None:
    scripts = [wrap(take_script(claim(folder, Owner(f"user-{n}", n))), "marker") for n in range(8)]
    pipes = [
        subprocess.Popen(SHELLS[0], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in scripts
    ]
    for pipe, script in zip(pipes, scripts, strict=True):
        assert pipe.stdin is not None
        pipe.stdin.write(script)
        pipe.stdin.flush()
    answers = [parse(pipe.communicate()[0]) for pipe in pipes]
    winners = [n for n, answer in enumerate(answers) if answer is not None and answer.word == "taken"]
    assert len(winners) == 1
    holders = {answer.owner for answer in answers if answer is not None and answer.word == "held"}
    assert holders == {f"user-{winners[0]}"}
    assert len(answers) == 8
    assert None not in answers


def test_a_lease_that_nobody_renews_ends_by_itself(shell: Shell, folder: Path) -> None:
    take(shell, claim(folder, ALICE, lease=0))
    assert take(shell, claim(folder, BOB)).word == "taken"


def fields(folder: Path) -> list[str]:
    return (folder / "lock").read_text().split()


def test_expiry_does_not_depend_on_a_clock_that_somebody_can_set(shell: Shell, folder: Path) -> None:
    take(shell, claim(folder, ALICE))
    word, token, boot, up, _since, _until, *rest = fields(folder)
    (folder / "lock").write_text(f"{word} {token} {boot} {up} 1 2 {' '.join(rest)}\n")
    assert take(shell, claim(folder, BOB)).word == "held"
    (folder / "lock").write_text(f"{word} {token} {boot} 1 1 99999999999 {' '.join(rest)}\n")
    assert take(shell, claim(folder, BOB)).word == "taken"


def test_a_lease_from_before_a_reboot_ends_by_the_calendar(shell: Shell, folder: Path) -> None:
    take(shell, claim(folder, ALICE))
    word, token, _boot, _up, since, until, *rest = fields(folder)
    (folder / "lock").write_text(f"{word} {token} another-boot 1 {since} {until} {' '.join(rest)}\n")
    assert take(shell, claim(folder, BOB)).word == "held"
    (folder / "lock").write_text(f"{word} {token} another-boot 99999999999 1 2 {' '.join(rest)}\n")
    assert take(shell, claim(folder, BOB)).word == "taken"


def test_a_renewal_makes_the_lease_full_again_and_keeps_its_start(shell: Shell, folder: Path) -> None:
    take(shell, claim(folder, ALICE, lease=0))
    word, token, boot, up, _since, *rest = fields(folder)
    (folder / "lock").write_text(f"{word} {token} {boot} {up} 1 {' '.join(rest)}\n")
    assert said(shell, renew_script(claim(folder, ALICE))).word == "renewed"
    assert fields(folder)[4] == "1"
    assert take(shell, claim(folder, BOB)).word == "held"


def test_a_broken_lock_cannot_be_renewed_nor_released_by_who_had_it(shell: Shell, folder: Path) -> None:
    take(shell, claim(folder, ALICE))
    broken = take(shell, claim(folder, BOB), force=True)
    assert (broken.word, broken.owner) == ("taken", "alice@laptop")
    lost = said(shell, renew_script(claim(folder, ALICE)))
    assert (lost.word, lost.owner) == ("lost", "bob@desk")
    assert said(shell, release_script(claim(folder, ALICE))).word == "lost"
    assert said(shell, renew_script(claim(folder, BOB))).word == "renewed"
    assert said(shell, release_script(claim(folder, BOB))).word == "released"
    gone = said(shell, renew_script(claim(folder, ALICE)))
    assert (gone.word, gone.owner, gone.since) == ("lost", "", 0)
    assert not (folder / "lock").exists()


GARBAGE = [
    b"",
    b"\n",
    b"\xff\xfe\x80 \x01garbage\n",
    b"k8s-installer/1 token boot 1 2 3\n",
    b"k8s-installer/1 token boot 1 2 3 4x alice\n",
    b"k8s-installer/1 token boot $(date) 2 3 4 alice\n",
    b"k8s-installer/2 token boot 1 2 3 4 alice\n",
    b"k8s-installer/1 token boot 99999999999999999999 2 3 4 alice\n",
    b"k8s-installer/1 to\x1bken boot 1 2 3 4 alice\n",
]


@pytest.mark.parametrize("content", GARBAGE)
def test_a_file_that_cannot_be_read_is_held_by_somebody_and_expires_too(
    shell: Shell, folder: Path, content: bytes
) -> None:
    folder.mkdir(parents=True)
    (folder / "lock").write_bytes(content)
    held = take(shell, claim(folder, BOB))
    assert (held.word, held.owner, held.pid, held.until - held.since) == ("held", "", 0, 60)
    os.utime(folder / "lock", (1, 1))
    assert take(shell, claim(folder, BOB)).word == "taken"


def test_garbage_is_broken_like_any_lock(shell: Shell, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "lock").write_bytes(GARBAGE[2])
    assert take(shell, claim(folder, BOB), force=True).word == "taken"
    assert said(shell, renew_script(claim(folder, BOB))).word == "renewed"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("o'brien @ home $(id) `id`", "o'brien @ home $(id) `id`"),
        ("two\nlines\t\x1b[31m", "two lines [31m"),
        ("Zoë@büro", "Zoë@büro"),
        ("-n", "-n"),
        ("  ", "somebody"),
    ],
)
def test_any_name_of_an_owner_is_kept_as_it_is_on_one_line(shell: Shell, folder: Path, name: str, shown: str) -> None:
    take(shell, claim(folder, Owner(name, 1)))
    assert take(shell, claim(folder, BOB)).owner == shown


def test_a_folder_that_cannot_be_made_is_an_error_of_the_host(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(CommandFailed, match="m1: taking the lock: exit 1: mkdir: "),
        hold(shell, ALICE, force=False, on_lost=unexpected, on_back=unexpected, folder=str(tmp_path / "file" / "x")),
    ):
        raise AssertionError("not reached")


def test_a_lock_that_cannot_be_written_is_an_error_of_the_host(shell: Shell, folder: Path) -> None:
    (folder / "lock.new").mkdir(parents=True)
    with pytest.raises(CommandFailed, match="m1: taking the lock: exit 1: "), held(shell, ALICE, folder):
        raise AssertionError("not reached")


@pytest.mark.parametrize(
    "words",
    [
        "held 1 1 99999999999999999999 1 token x",
        f"held {'9' * 5000} 1 2 3 token x",
        "held 1 1 2 3 $(reboot) x",
        "held \u0661 1 2 3 token x",
        "held",
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error_of_the_host(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell()
    monkeypatch.setattr(shell, "run", lambda script, timeout: Result(0, f"{lease.MARK} {words}\n", ""))
    with (
        pytest.raises(HostError, match=r"^m1: taking the lock: its answer cannot be read$"),
        hold(shell, ALICE, force=False, on_lost=unexpected, on_back=unexpected),
    ):
        raise AssertionError("not reached")


def test_nothing_that_a_holder_is_called_reaches_the_terminal() -> None:
    answer = parse(f"{lease.MARK} held 1 1 2 3 token \x1b[31mEVIL\x1b]0;title\x07\x9b{'x' * 5000}\n")
    assert answer is not None
    assert str(LockHeld("m1", answer)).isprintable()
    assert len(answer.owner) == 200


def test_of_two_that_see_a_dead_run_one_gets_its_lock(tmp_path: Path) -> None:
    """Both are told that it is held by a process that is no more, and both take it over from that one."""
    me = this_process()
    child = subprocess.Popen(["true"])
    child.wait()
    Shell().run(take_script(claim(tmp_path, Owner(me.name, child.pid))))
    both = threading.Barrier(2, timeout=5)

    class Late(Shell):
        def run(self, script: str, *, timeout: float = 60.0, on_line: OnLine | None = None) -> Result:
            if "over=token" in script:
                both.wait()
            return super().run(script, timeout=timeout, on_line=on_line)

    inside: list[int] = []
    refused: list[LockHeld] = []
    ended = threading.Barrier(2, timeout=5)

    def start(number: int) -> None:
        try:
            with hold(
                Late(), me, force=False, on_lost=unexpected, on_back=unexpected, folder=str(tmp_path), terms=QUICK
            ):
                inside.append(number)
                ended.wait()
        except LockHeld as error:
            refused.append(error)
            ended.wait()

    runs = [threading.Thread(target=start, args=(number,)) for number in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(10)
    assert (len(inside), len(refused)) == (1, 1)
    assert refused[0].holder.pid == me.pid


@pytest.mark.parametrize("content", [GARBAGE[2], b"k8s-installer/1 token boot 99999999999 1 99999999999 4 alice\n"])
def test_a_lock_is_broken_only_where_it_is_the_one_that_was_seen(shell: Shell, folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True)
    (folder / "lock").write_bytes(content)
    seen = take(shell, claim(folder, BOB))
    assert seen.word == "held"
    assert take(shell, claim(folder, ALICE), force=True).word == "taken"
    late = said(shell, take_script(claim(folder, BOB), seen.token))
    assert (late.word, late.owner) == ("held", ALICE.name)


def test_other_output_is_no_answer() -> None:
    assert parse("") is None
    assert parse("::k8s-installer-lock:: taken\nwelcome\n") is None


@contextmanager
def held(
    shell: Shell,
    owner: Owner,
    folder: Path,
    *,
    force: bool = False,
    on_lost: Callable[[LockLost], None] = unexpected,
    terms: Terms = QUICK,
) -> Iterator[None]:
    on_back = on_lost.regained if isinstance(on_lost, Losses) else unexpected
    with hold(shell, owner, force=force, on_lost=on_lost, on_back=on_back, folder=str(folder), terms=terms):
        yield


class Losses:
    """What `on_lost` and `on_back` were told."""

    def __init__(self) -> None:
        self.errors: list[LockLost] = []
        self.heard, self.back = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, error: LockLost) -> None:
        self.errors.append(error)
        self.heard.release()

    def regained(self, host: str) -> None:
        assert host == "m1"
        self.back.release()


def test_a_held_lock_is_renewed_and_released_behind_the_with(shell: Shell, folder: Path) -> None:
    with held(shell, ALICE, folder):
        for _ in range(3):
            assert shell.renewed.acquire(timeout=5)
        assert take(shell, claim(folder, BOB)).word == "held"
    assert not (folder / "lock").exists()


def test_a_lock_that_is_renewed_outlives_its_lease(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()
    monkeypatch.setattr(lease, "uptime", lambda: next(seconds))  # a look at it takes a second
    shell = Shell()
    with held(shell, ALICE, folder, terms=Terms(lease=60, beat=0.01, give_up=10.0)):
        for _ in range(12):
            assert shell.renewed.acquire(timeout=5)


def test_a_lock_is_released_when_the_run_fails_and_the_runs_own_error_is_seen(folder: Path) -> None:
    with pytest.raises(KeyError), held(Shell(), ALICE, folder):
        raise KeyError
    assert not (folder / "lock").exists()


def test_a_master_that_cannot_be_asked_at_the_end_does_not_hide_what_happened(folder: Path) -> None:
    shell = Shell()
    with held(shell, ALICE, folder):
        shell.trouble["say released"] = TransportError("m1", "the connection was lost")
    assert (folder / "lock").exists()


def test_a_second_run_is_told_who_holds_the_lock(folder: Path) -> None:
    with held(Shell(), ALICE, folder):
        words = r"^m1: alice@laptop \(pid 4711\) holds the lock since .* UTC \(\d+ s ago\), until .* unless"
        with pytest.raises(LockHeld, match=words), held(Shell(), BOB, folder):
            raise AssertionError("not reached")
        assert "alice@laptop" in (folder / "lock").read_text()


def test_a_run_whose_lock_is_broken_hears_of_it_and_of_a_rival_that_keeps_it(folder: Path) -> None:
    lost = Losses()
    with held(Shell(), ALICE, folder, on_lost=lost):
        with held(Shell(), BOB, folder, force=True):
            for _ in range(2):
                assert lost.heard.acquire(timeout=5)
            assert not lost.heard.acquire(timeout=0.3)  # once, and once more
            assert "bob@desk" in (folder / "lock").read_text()
        first, second = lost.errors
        assert first.message.startswith(
            "m1: the lock of this run was taken over: bob@desk (pid 12) holds the lock since "
        )
        assert "run `apply` again" in first.hint
        assert (first.rival, second.rival) == (False, True)
        assert lost.back.acquire(timeout=5)  # bob has ended


def test_a_lock_that_was_removed_is_lost_and_taken_again(folder: Path) -> None:
    lost = Losses()
    with held(Shell(), ALICE, folder, on_lost=lost):
        (folder / "lock").unlink()
        assert lost.heard.acquire(timeout=5)
        assert lost.back.acquire(timeout=5)
        assert "alice@laptop" in (folder / "lock").read_text()
        (folder / "lock").unlink()
        assert lost.heard.acquire(timeout=5)
    assert [error.message for error in lost.errors] == [
        "m1: the lock of this run was taken over: nobody holds it any more"
    ] * 2
    assert not any(error.rival for error in lost.errors)


def test_a_master_that_comes_back_has_our_lock_again(folder: Path) -> None:
    shell, lost = Shell(), Losses()
    with held(shell, ALICE, folder, terms=Terms(lease=60, beat=0.01, give_up=1.0), on_lost=lost):
        shell.trouble["flock"] = TransportError("m1", "no answer")
        assert lost.heard.acquire(timeout=5)
        assert not lost.back.acquire(timeout=0.1)
        shell.trouble.clear()
        assert lost.back.acquire(timeout=5)
        assert take(Shell(), claim(folder, BOB)).word == "held"


def test_one_renewal_that_fails_is_tried_again(folder: Path) -> None:
    shell = Shell()
    with held(shell, ALICE, folder):
        assert shell.renewed.acquire(timeout=5)
        shell.trouble["say renewed"] = TransportError("m1", "no answer")
        while shell.renewed.acquire(blocking=False):
            pass
        shell.trouble.clear()
        assert shell.renewed.acquire(timeout=5)


@pytest.mark.parametrize("error", [TransportError("m1", "the connection was lost"), ValueError("m1: a fault of ours")])
def test_a_lock_that_cannot_be_renewed_in_time_is_lost_with_the_reason(folder: Path, error: Exception) -> None:
    shell, lost = Shell(), Losses()
    terms = Terms(lease=60, beat=0.01, give_up=1.5)
    with held(shell, ALICE, folder, terms=terms, on_lost=lost):
        shell.trouble["flock"] = error
        assert lost.heard.acquire(timeout=5)
        assert not lost.heard.acquire(timeout=0.3)
        shell.trouble.clear()
        assert lost.back.acquire(timeout=5)
    assert [it.message for it in lost.errors] == [f"m1: the lock could not be renewed for 1.5 s: {error}"]


def test_the_clock_of_a_lease_counts_the_time_in_which_this_machine_sleeps() -> None:
    up = float(Path("/proc/uptime").read_text().split()[0])
    assert 0 <= lease.uptime() - up < 5
    assert lease._UPTIME == time.CLOCK_BOOTTIME


def test_who_looks_after_a_suspension_knows_at_once_that_the_lease_has_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renewing thread waits for the rest of its beat, by a clock that stood still; nothing may begin meanwhile."""
    asleep, lost = 0.0, Losses()
    monkeypatch.setattr(lease, "uptime", lambda: time.monotonic() + asleep)
    terms = Terms(lease=60, beat=30.0, give_up=55.0)
    with hold(Shell(), ALICE, force=False, on_lost=lost, on_back=unexpected, folder=str(folder), terms=terms) as look:
        look()
        assert not lost.errors
        asleep = 56.0
        look()
        look()
    (error,) = lost.errors
    assert (
        error.message
        == "m1: the lock could not be renewed for 55 s: this machine was suspended, or too busy to renew it"
    )
    assert "run `apply` again" in error.hint


def test_the_message_says_who_since_when_until_when_and_what_to_do() -> None:
    noon = 1_700_000_000 // 86400 * 86400 + 12 * 3600
    error = LockHeld("m1", LockReply("held", noon + 310, noon + 190, noon + 340, 4711, "alice@laptop"))
    assert error.message == (
        "m1: alice@laptop (pid 4711) holds the lock since 12:03:10 UTC (2 min ago), until 12:05:40 unless it is renewed"
    )
    assert error.hint == (
        "wait for that run. If it is dead, its lock expires at 12:05:40; "
        "to take it over now, if nothing else is running: --break-lock"
    )


@pytest.mark.parametrize(
    ("since", "words"),
    [
        (-5, "since 12:00:05 UTC (0 s ago)"),
        (59, "since 11:59:01 UTC (59 s ago)"),
        (7200, "since 10:00:00 UTC (2 h ago)"),
        (2 * 86400, "since 2023-11-12 12:00:00 UTC (2 d ago)"),
    ],
)
def test_times_are_told_as_people_read_them(since: int, words: str) -> None:
    noon = 1_700_000_000 // 86400 * 86400 + 12 * 3600
    assert words in str(LockHeld("m1", LockReply("held", noon, noon - since, noon + 60, 1, "alice")))


def test_an_unreadable_lock_is_somebodys() -> None:
    error = LockHeld("m1", LockReply("held", 100, 90, 150, 0, ""))
    assert str(error).startswith("m1: another run (the lock file is unreadable) holds the lock since 00:01:30 UTC")


def test_the_lock_of_our_own_run_that_died_is_taken_at_once(tmp_path: Path) -> None:
    me = this_process()
    child = subprocess.Popen(["true"])
    child.wait()
    dead = Owner(me.name, child.pid)
    shell = Shell()
    shell.run(take_script(claim(tmp_path, dead)))
    with held(shell, me, tmp_path):
        pass
