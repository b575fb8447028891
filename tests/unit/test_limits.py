from __future__ import annotations

import errno
import resource

import pytest

from k8s_installer.transport.limits import connections, own_limit, raise_open_files

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "has", "most"),
    [
        (1024, 4096, 4096, 256),
        (1024, 1024, 1024, 256),
        (256, 256, 256, 64),
        (64, 64, 64, 4),
        (1024, INFINITE, 65536, 256),
        (1024, 1_000_000_000, 65536, 256),
        (100_000, 200_000, 100_000, 256),
        (INFINITE, INFINITE, 65536, 256),
    ],
)
def test_the_soft_limit_is_raised_within_reason(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, has: int, most: int
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))
    assert raise_open_files() == has
    assert limits[-1] == ((soft, hard) if soft in (has, INFINITE) else (has, hard))
    assert connections() == most


def test_where_it_may_not_be_raised_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (512, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_open_files() == 512


def test_our_own_limits_are_told_from_a_hosts_trouble() -> None:
    files = own_limit(OSError(errno.EMFILE, "Too many open files"))
    assert files is not None
    assert "this process has too many open files (ulimit -n is " in files.message
    assert "ulimit -n " in files.hint
    machine = own_limit(OSError(errno.ENFILE, "Too many open files in system"))
    assert machine is not None
    assert "fs.file-max" in machine.hint
    threads = own_limit(RuntimeError("can't start new thread"))
    assert threads is not None
    assert "ulimit -u" in threads.hint
    for other in (OSError(errno.EHOSTUNREACH, "No route to host"), RuntimeError("x"), EOFError()):
        assert own_limit(other) is None
