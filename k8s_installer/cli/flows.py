"""What the read-only commands do, step by step, and what they share with `apply`; each gives an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from k8s_installer import fleet, saved, status
from k8s_installer.cli.console import Exit, Output, print_json, stderr, stdout
from k8s_installer.cli.verifying import prove
from k8s_installer.errors import InputError
from k8s_installer.intent import Intent
from k8s_installer.plan import Plan, make_plan
from k8s_installer.report import data, text
from k8s_installer.report import status as status_report
from k8s_installer.resources import File
from k8s_installer.rolling import Batch
from k8s_installer.transport import connect


def render(intent: Intent, folder: Path | None, hosts: list[str]) -> None:
    """Write or print every rendered file; secrets are placeholders here."""
    names = [host.name for host in intent.cluster.hosts]
    unknown = [host for host in hosts if host not in names]
    if unknown:
        raise InputError(f"--host: the inventory has no host {unknown[0]}", hint=f"it has {', '.join(names)}")
    files = [
        (ref, item.resource)
        for ref, item in sorted(intent.desired.items())
        if isinstance(item.resource, File) and (not hosts or ref.host in hosts)
    ]
    for ref, file in files:
        if folder is None:
            stdout().print(f"==> {ref.host}:{ref.name} <==", markup=False)
            stdout().print(file.content.decode(), markup=False)
        else:
            write(folder / ref.host / ref.name.lstrip("/"), file.content)
    if folder is not None:
        stderr().print(f"{len(files)} files of {len(hosts or names)} hosts below {folder}", markup=False)


def plan(intent: Intent, output: Output | Path, batch: Batch, *, full: bool) -> Exit:
    """Observe every host and show the plan, or save it."""
    with observed(intent) as seen:
        seen.require_all()
        made = make_plan(intent.desired, seen.seen, batch)
    shown = data.plan_data(intent.cluster, made)
    if output is Output.JSON:
        print_json(shown)
    else:
        print_plan(intent, made, full=full)
    if isinstance(output, Path):
        write(output, saved.dump(saved.saved(intent.cluster.name, intent.desired, made), shown).encode())
        stderr().print(f"saved: k8s-installer apply {output} carries out exactly this, or stops", markup=False)
    return Exit.PENDING if made else Exit.DONE


def verify(intent: Intent, output: Output) -> Exit:
    """Prove the cluster as it is."""
    with observed(intent) as seen:
        seen.require_all()
        proof = prove(intent, seen)
    if output is Output.JSON:
        print_json(proof.data())
    return Exit.DONE if proof.passed else Exit.FAILED


def show_status(intent: Intent, inventory: Path, output: Output) -> Exit:
    """Ask every host, and show what differs; a host that cannot be reached differs."""
    hosts = intent.cluster.hosts
    with _looking(len(hosts)) as tick:
        found = status.assess(intent.desired, fleet.statuses(hosts, intent.desired, tick))
    if output is Output.JSON:
        print_json(status_report.data(found))
    else:
        stdout().print(status_report.table(found, inventory))
    return Exit.PENDING if found.differs else Exit.DONE


@contextmanager
def observed(intent: Intent, dial: fleet.Dial = connect) -> Iterator[fleet.Fleet]:
    """The fleet that an intent is about, seen; the screen says who has answered."""
    hosts = intent.cluster.hosts
    with ExitStack() as stack:
        with _looking(len(hosts)) as tick:
            seen = stack.enter_context(fleet.observed(hosts, intent.desired, tick, dial))
        yield seen


@contextmanager
def _looking(count: int) -> Iterator[fleet.OnHost]:
    """Say on the screen how many hosts have answered; call what this gives for each."""
    answered: list[str] = []
    with stderr().status(f"looking at {count} hosts") as spinner:

        def tick(host: str) -> None:
            answered.append(host)
            spinner.update(f"looking at {count} hosts: {len(answered)} answered")

        yield tick


def print_plan(intent: Intent, made: Plan, *, full: bool) -> None:
    """A plan on stdout."""
    if not made:
        stdout().print(text.totals(made), markup=False)
        return
    for line in text.plan_lines(intent.cluster, made, intent.desired, full=full):
        stdout().print(line)


def write(path: Path, content: bytes) -> None:
    """Write a file of the user's, with its folders.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
