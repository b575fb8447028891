"""Run one program and say what it took: `python timed.py REPORT PROGRAM ARGUMENT...`.

A process of its own, and a small one: Linux counts the memory of the process that forks as its child's peak, too.
Nothing but the standard library's smallest parts is imported for the same reason.
"""

import _signal  # type: ignore[import-not-found]  # `signal` makes enumerations, which are memory
import os
import sys
import time

_LOOK = 0.25  # seconds between two looks at the program's threads and files


def main() -> None:
    """Write `seconds cpu_seconds peak_kib status threads files` to REPORT; exit as the program did."""
    report, *argv = sys.argv[1:]
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            os.execvp(argv[0], argv)  # noqa: S606 - that is what this is for
        finally:
            os._exit(127)
    most = [0, 0]
    _signal.signal(_signal.SIGALRM, lambda *_: _look(child, most))
    _signal.setitimer(_signal.ITIMER_REAL, _LOOK, _LOOK)
    _, status, usage = os.wait4(child, 0)
    _signal.setitimer(_signal.ITIMER_REAL, 0)
    seconds = time.monotonic() - began
    code = os.waitstatus_to_exitcode(status)
    with open(report, "w", encoding="ascii") as stream:  # noqa: PTH123 - pathlib would be a quarter of our memory
        stream.write(f"{seconds} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss} {code} {most[0]} {most[1]}\n")
    sys.exit(code if code >= 0 else 128 - code)


def _look(child: int, most: list[int]) -> None:
    """Keep the most threads and open files that a process was seen to have."""
    try:
        seen = [len(os.listdir(f"/proc/{child}/{name}")) for name in ("task", "fd")]  # noqa: PTH208
    except OSError:  # it has just ended
        return
    most[:] = map(max, most, seen)


if __name__ == "__main__":
    main()
