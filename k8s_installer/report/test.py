"""What the tests of a cluster found: by host, every failure with what was expected and found; or plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Group
from rich.text import Text

from k8s_installer.acceptance import Result, Results, Status

_LINES = 6  # of what a failed test says


def lines(found: Results, inventory: Path, *, why_skipped: bool = False) -> Group:
    """For people: a line for each host, its failures below it, a sum, and what to type next.

    With `why_skipped`, also each check that was skipped, and why.
    """
    names = dict.fromkeys(result.host for result in found.results)
    width = max((len(name) for name in names), default=0)
    shown = [
        line
        for name in names
        for line in _host(name, width, [result for result in found.results if result.host == name], why_skipped)
    ]
    end = [_total(found, len([name for name in names if name]))]
    if not found.passed:
        away = any("cannot be reached" in result.message for result in found.of(Status.ERROR))
        why = "says why a host cannot be reached" if away else "shows what differs from the inventory"
        end.append(Text(f"Next: k8s-installer plan -i {inventory} {why}"))
    return Group(*shown, *end)


def data(found: Results) -> dict[str, object]:
    """For programs: stable names."""
    return {
        "passed": found.passed,
        "seconds": found.seconds,
        "counts": {status.value: len(found.of(status)) for status in Status},
        "checks": [asdict(result) for result in found.results],
    }


def _host(name: str, width: int, results: Sequence[Result], why_skipped: bool) -> Iterator[Text]:  # noqa: FBT001 - as it was asked
    bad = [result for result in results if result.bad]
    skipped = sum(result.status is Status.SKIPPED for result in results)
    done = len(results) - skipped
    mark = ("✗ ", "bold red") if bad else ("✓ ", "green")
    words = f"{len(bad)} of {_count(done, 'check')} failed" if bad else f"{_count(done, 'check')} passed"
    more = f", {skipped} skipped" if skipped else ""
    yield Text.assemble(mark, (f"{name or 'no host':<{width}}  ", "bold"), words, (more, "dim"))
    said: dict[str, list[Result]] = {}
    for result in bad:
        said.setdefault(_message(result), []).append(result)
    for message, those in said.items():
        first, *rest = message.splitlines()[:_LINES]
        also = f" (and {len(those) - 1} more)" if len(those) > 1 else ""
        yield Text.assemble("    ", (f"{first}{also}", "red"))
        yield from (Text(f"    {line}") for line in rest)
    for result in results if why_skipped else ():
        if result.status is Status.SKIPPED:
            why = " ".join(result.message.split()) or "no reason given"
            yield Text(f"    skipped {result.subject}: {result.name}: {why}", "dim")


def _message(result: Result) -> str:
    """What is wrong; a test of the user's does not say in its message which one it is."""
    prefix = f"{result.host}: "
    if result.message.startswith((prefix, f"{result.host} ")):
        return result.message.removeprefix(prefix)
    return f"{result.subject}: {result.name}\n  " + result.message.strip().replace("\n", "\n  ")


def _total(found: Results, hosts: int) -> Text:
    bad, passed, skipped = (
        len(found.of(*status)) for status in ((Status.FAILED, Status.ERROR), (Status.PASSED,), (Status.SKIPPED,))
    )
    parts = [f"{bad} failed"] if bad else []
    parts += [f"{passed} passed", *([f"{skipped} skipped"] if skipped else [])]
    words = f"{_count(len(found.results), 'check')} on {_count(hosts, 'host')}: {', '.join(parts)}"
    return Text(f"{words}, in {found.seconds:.1f} s", "bold green" if found.passed else "bold red")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"
