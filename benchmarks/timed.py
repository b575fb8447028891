"""Run one program and say what it took: `python timed.py REPORT PROGRAM ARGUMENT...`.

A process of its own, and a small one: Linux counts the memory of the process that forks as its child's peak, too.
Nothing but the standard library's smallest parts is imported for the same reason.
"""

import os
import sys
import time


def main() -> None:
    """Write `seconds cpu_seconds peak_kib status` to REPORT; exit as the program did."""
    report, *argv = sys.argv[1:]
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            os.execvp(argv[0], argv)  # noqa: S606 - that is what this is for
        finally:
            os._exit(127)
    _, status, usage = os.wait4(child, 0)
    seconds = time.monotonic() - began
    code = os.waitstatus_to_exitcode(status)
    with open(report, "w", encoding="ascii") as stream:  # noqa: PTH123 - pathlib would be a quarter of our memory
        stream.write(f"{seconds} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss} {code}\n")
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
