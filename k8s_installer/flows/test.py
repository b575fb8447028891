"""`test`: pytest, with what the inventory wants as tables and the tests that come with the program, or their files."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from k8s_installer import acceptance
from k8s_installer.acceptance import HostTables, Results, Status
from k8s_installer.errors import InputError, InstallerError, listed
from k8s_installer.flows import resolve
from k8s_installer.flows.inputs import Inputs, read
from k8s_installer.flows.output import write as write_file
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import Resolved
from k8s_installer.flows.session import opened
from k8s_installer.inventory.allocations import NONE
from k8s_installer.model.resources import File

NEEDED = ("pytest", "testinfra")
_OWN = "tests"  # the folder of the user's, beside the inventory
_ENDING_SECONDS = 5.0
_PASSED, _FAILED, _STOPPED, _USAGE, _NOTHING = 0, 1, 2, 4, 5  # exit statuses of pytest
# It may stand behind another line: pytest writes it to another stream.
_ERROR = re.compile(r"(ERROR: |ImportError while).*")
_PERCENT = re.compile(r"\[ *(\d+)%\]$")


@dataclass(frozen=True, slots=True)
class Choice:
    """What is run: on which hosts (empty: all), tests whose names match `expression` (empty: all), and how.

    `tests` is the folder of the user's own tests; None is `tests/` beside the inventory. `junit` is where pytest's
    JUnit file goes. A certificate must have `days` left.
    """

    hosts: tuple[str, ...] = ()
    expression: str = ""
    junit: Path | None = None
    tests: Path | None = None
    days: int = 30


def run(inputs: Inputs, choice: Choice, reporter: Reporter) -> Results:
    """Run all tests, or those chosen.

    Raises:
        InputError: pytest or testinfra is not installed, a host or expression matches nothing, or a test of the user's
            cannot be loaded; nothing was run.
    """
    require_pytest()
    wanted = _wanted(inputs, reporter, asks=True)
    hosts = _tables(wanted, choice.days, reporter)
    names = [one.host for one in hosts]
    unknown = [name for name in choice.hosts if name not in names]
    if unknown:
        raise InputError(f"--host: the inventory has no host {unknown[0]}", hint=f"it has {', '.join(names)}")
    if choice.junit is not None and choice.junit.is_dir():  # before hosts are asked
        raise InputError(f"--junit: {choice.junit} is a folder", hint="give the name of a file")
    own = _own_tests(wanted, choice.tests)
    with tempfile.TemporaryDirectory(prefix="k8s-installer-test-") as folder:
        tests, junit = Path(folder, "tests"), Path(folder, "junit.xml")
        _write(tests, acceptance.folder(wanted.cluster, hosts))
        words = [
            "-c", str(tests / "pytest.ini"), "--rootdir", str(tests), "-v", "--tb=short", "--color=no",
            "--junit-xml", str(junit), "--hosts", ",".join(choice.hosts or names),
            *(["-k", choice.expression] if choice.expression else []), str(tests), *map(str, own),
        ]  # fmt: skip
        began = time.monotonic()
        status, output = _pytest(words, reporter)
        found = junit.read_bytes() if junit.exists() else b""
        results = _results(status, output, found, time.monotonic() - began, choice)
    if choice.junit is not None:
        write_file(choice.junit, found)
    return results


def write(inputs: Inputs, folder: Path, days: int, reporter: Reporter) -> int:
    """Write the tests as files that need pytest and testinfra alone; returns how many.

    Raises:
        InputError: there is something in the folder, or it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--write: {folder} is not an empty folder", hint="remove it first, or give another one")
    wanted = _wanted(inputs, reporter, asks=False)
    files = acceptance.folder(wanted.cluster, _tables(wanted, days, reporter))
    _write(folder, files)
    return len(files)


def require_pytest() -> None:
    """Stop where what runs the tests is not installed.

    Raises:
        InputError: that is so.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"test needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            hint="pip install 'k8s-installer[test]' (with pipx: pipx inject k8s-installer pytest-testinfra). "
            "test --write DIR needs neither",
        )


def _tables(wanted: Resolved, days: int, reporter: Reporter) -> list[HostTables]:
    unmade = [
        ref.name for ref, item in wanted.asked.items() if isinstance(item.resource, File) and item.resource.pending
    ]
    if unmade:
        reporter.warn(
            f"this machine does not have all keys of the cluster: the content of {len(unmade)} files is not checked "
            f"({listed(sorted(set(unmade)), 2)}). keys recover gets them from the hosts"
        )
    return acceptance.tables(wanted.cluster, wanted.profile, wanted.asked, days)


def _wanted(inputs: Inputs, reporter: Reporter, *, asks: bool) -> Resolved:
    """All that the inventory wants; hosts are asked only for what was allocated, if that is not recorded here."""
    cluster, _ = resolve.checked(inputs.inventory)
    known = resolve.recorded(cluster) != NONE
    if asks and not known:
        with opened(inputs, reporter) as session:
            wanted, _ = session.observe(session.resolve())
        return wanted
    if not known:
        reporter.warn("no apply is recorded on this machine: pod subnets are those that a first apply would allocate")
    return resolve.desire(*read(inputs, reporter), inputs.templates, resolve.present_keys)


def _own_tests(wanted: Resolved, given: Path | None) -> list[Path]:
    """The user's folder, if there are tests in it."""
    folder = given or wanted.cluster.folder / _OWN
    if given is not None and not given.is_dir():
        raise InputError(f"--tests: there is no folder {given}")
    has_tests = any(next(folder.rglob(pattern), None) for pattern in ("test_*.py", "*_test.py"))
    return [folder.absolute()] if has_tests else []


def _write(folder: Path, files: dict[PurePosixPath, bytes]) -> None:
    for path, content in files.items():
        write_file(folder / path, content)


def _pytest(words: Sequence[str], reporter: Reporter) -> tuple[int, list[str]]:
    """Run it, show how far it is, and return its exit status and output."""
    lines: list[str] = []
    argv = [sys.executable, "-m", "pytest", *words]
    with (
        reporter.working("running the tests") as working,
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                done = _PERCENT.search(lines[-1])
                if done:
                    working(f"running the tests: {done[1]}%")
        except KeyboardInterrupt:  # the terminal tells pytest, too, which then closes its connections
            with suppress(subprocess.TimeoutExpired):
                process.wait(_ENDING_SECONDS)
            process.kill()
            raise
    return process.returncode, lines


def _results(status: int, output: Sequence[str], junit: bytes, seconds: float, choice: Choice) -> Results:
    if status == _NOTHING:
        raise InputError(f"-k {choice.expression!r} matches no test", hint="try one word, such as -k files")
    if status == _USAGE:
        raise InputError(f"pytest cannot begin: {_reason(output)}")
    if status not in {_PASSED, _FAILED, _STOPPED} or not junit:
        raise InstallerError(f"pytest ended with status {status}", hint="\n".join(output[-5:]))
    results = acceptance.read(junit, seconds)
    if status == _STOPPED:
        broken = [f"{one.subject or one.name}: {one.message}" for one in results.of(Status.ERROR)]
        raise InputError("\n".join(["tests cannot be loaded, so none was run:", *broken]))
    return results


def _reason(output: Sequence[str]) -> str:
    """Why pytest did not begin: its own error, with the error that a file of the user's raised."""
    said = [found[0] for line in output if (found := _ERROR.search(line))]
    raised = [line.removeprefix("E").strip() for line in output if line.startswith("E ")]
    return " ".join([*said[:1], *raised[-1:]]).removeprefix("ERROR: ") or "no reason given"
