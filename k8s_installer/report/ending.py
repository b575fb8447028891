"""The last words of a run: what was done, where the time went, or why it stopped; and what to type next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Group
from rich.text import Text

from k8s_installer.errors import listed
from k8s_installer.host.evidence import Why, why
from k8s_installer.model.plan import REPLACED, Action, Change, Plan
from k8s_installer.model.resources import Gate, Kind, Unit
from k8s_installer.model.run import Run, State
from k8s_installer.planning.undo import failed_turns
from k8s_installer.report import timing
from k8s_installer.report.diff import unified
from k8s_installer.report.grouped import about, token
from k8s_installer.report.names import spans
from k8s_installer.report.text import change_words

_MB = 1e6


def applied(
    plan: Plan, run: Run, around: Mapping[str, float], total: float, inventory: Path, closing: Sequence[str] = ()
) -> Group:
    """After success: time by phase, in total, and how much of it was ours. Times are seconds.

    Of `around`, which are the hosts' times before and after the run (`preflight`, `verify`), 0 is not shown. `closing`
    are the last words where they are not that the next plan is empty.
    """
    lines = [*_without(plan, run), Text("Time by phase", "bold")]
    spans = {"preflight": around["preflight"], **timing.phases(plan, run), "verify": around["verify"]}
    spans = {name: seconds for name, seconds in spans.items() if seconds or name not in around}
    width = max(len(name) for name in spans)
    lines += [Text(f"  {name:<{width}}  {seconds:6.1f} s") for name, seconds in spans.items()]
    if run.sent:
        lines.append(Text(f"Sent {sent(run.sent)}"))
    waiting = timing.waiting(plan, run) + sum(around.values())
    lines.append(
        Text(
            f"Done in {total:.1f} s: {waiting:.1f} s waiting for hosts (yum, service starts, health, checks), "
            f"{total - waiting:.1f} s in this tool.",
            "bold green",
        )
    )
    last = closed(closing or [f"Next: k8s-installer plan -i {inventory}    (should show no changes)"])
    return Group(*lines, last)


def closed(closing: Sequence[str]) -> Group:
    """What is true after a run, and what to do next."""
    return Group(*(Text(line, "dim") for line in closing))


def failed(
    plan: Plan, run: Run, undone: Sequence[tuple[Plan, Run]], inventory: Path, trace: Path, command: str = "apply"
) -> Group:
    """After a failure: each real cause in three lines, its evidence, what was undone or left out, and what to type."""
    again = f"fix the cause, then k8s-installer {command} -i {inventory}"
    lines = [*_causes(plan, run, again), *_without(plan, run)]
    for back, way in undone:
        lines += list(_undone(back, way))
    lines += list(_stay(plan, run))
    if run.interrupted:
        lines.append(Text("Stopped on request; the steps in progress were finished.", "bold yellow"))
    if run.sent:
        lines.append(Text(f"Sent {sent(run.sent)}; finished parts are not sent again.", "dim"))
    if run.skipped:
        count = len(run.skipped)
        lines.append(Text(f"{count} change{' was' if count == 1 else 's were'} not started because of this.", "yellow"))
    lines += [Text(f"Full trace: {trace}", "dim"), Text(f"Next: {again}    (resumes where this run stopped)")]
    return Group(*lines)


def _causes(plan: Plan, run: Run, again: str) -> Iterator[Text]:
    """What failed and where, why, and what to do; then the evidence, of hosts with the same cause that of the first."""
    groups: dict[tuple[str, str], list[tuple[Change, Why]]] = {}
    for event in run.failures:
        change, reason = plan.changes[event.index], why(event.detail)
        name = token(about(change))
        same = name.sub("", could_not(change)), name.sub("", reason.cause)
        groups.setdefault(same, []).append((change, reason))
    for found in groups.values():
        (change, reason), *others = found
        hosts = spans(about(one) for one, _ in found)
        yield Text.assemble(("error: ", "bold red"), (f"{hosts}: {could_not(change)}", "bold"))
        yield Text(f"  why: {reason.cause.removeprefix(f'{change.ref.host}: ')}")
        yield Text(f"  next: {'; '.join(reason.hints) or again}", "yellow")
        if reason.evidence:
            yield Text(f"  evidence from {about(change)}{', the trace has the rest' if others else ''}:", "dim")
            yield from (Text(f"    {line}") for line in reason.evidence)
        yield from _led_here([one for one in plan.changes if one.ref.host == change.ref.host], change)


def could_not(change: Change) -> str:
    """What failed, in words."""
    return (
        f"gave up waiting until {change.ref.name}"
        if change.ref.kind is Kind.GATE
        else f"could not {change_words(change)}"
    )


def _without(plan: Plan, run: Run) -> Iterator[Text]:
    """What a run continued without, and why that did not hold."""
    for event in run.events:
        if event.state is State.DONE and event.detail:
            change = plan.changes[event.index]
            yield Text(f"{change.ref.host}: --force: did not {change_words(change)}", "bold yellow")
            yield from (Text(f"  {line}") for line in event.detail.splitlines())


def sent(by_host: Mapping[str, int]) -> str:
    """How many bytes of files went over the wire, in all and to each host; of many hosts the largest."""
    most = sorted(by_host.items(), key=lambda item: (-item[1], item[0]))
    each = listed([f"{host} {count / _MB:.1f}" for host, count in most])
    return f"{sum(by_host.values()) / _MB:.1f} MB of files: {each}"


def _undone(back: Plan, way: Run) -> Iterator[Text]:
    member = back.changes[0].turn.member
    if not way.failures and not way.skipped:
        count = f"{len(back.changes)} change{'' if len(back.changes) == 1 else 's'}"
        yield Text(f"{member} was rolled back: {count} undone, healthy again.", "yellow")
        return
    for event in way.failures:
        change = back.changes[event.index]
        yield Text(f"{about(change)}: the rollback also failed: {could_not(change)}", "bold red")
        yield from (Text(f"  {line}") for line in event.detail.splitlines())
    done = len(back.changes) - len(way.failures) - len(way.skipped)
    yield Text(f"{member} was not fully rolled back: {done} of {len(back.changes)} changes undone.", "bold red")
    for event in way.skipped:
        yield Text(f"  not started: {change_words(back.changes[event.index])}", "yellow")


def _stay(plan: Plan, run: Run) -> Iterator[Text]:
    """The packages that a failed turn leaves in other versions than it began with."""
    turns = failed_turns(plan, run)
    done = [plan.changes[event.index] for event in run.events if event.state is State.DONE]
    replaced = [change for change in done if change.action in REPLACED and change.turn in turns]
    for host in dict.fromkeys(change.ref.host for change in replaced):
        names = ", ".join(change.ref.name for change in replaced if change.ref.host == host)
        yield Text(f"{host} keeps the new version of {names}: packages are not rolled back.", "yellow")


def _led_here(of_host: Sequence[Change], failed_change: Change) -> Iterator[Text]:
    """The diffs of those of the host's files that the failed unit reads: most often the cause is among them."""
    unit = failed_change.after.unit if isinstance(failed_change.after, Gate) else failed_change.ref.name
    read = {
        path
        for change in of_host
        if change.ref.name == unit and isinstance(change.after, Unit)
        for path in (*change.after.reads, *change.after.defined_by)
    }
    for change in of_host:
        if change.ref.name in read and change.action is Action.UPDATE:
            for line in unified(change):
                yield Text(f"    {line}", {"+": "green", "-": "red"}.get(line[:1], "dim"))
